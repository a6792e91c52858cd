# Does what its arguments say, one after the other, and then answers on 8080: with the files of its directory, and on `/id`
# with a text that tells its instances apart. What stands behind `--` it does whenever it is told to stop, and goes on.
#
#   say=TEXT warn=TEXT    writes a line to standard output, or to standard error
#   write=TEXT            writes to standard output, without the end of a line
#   fill=NUMBER           writes a line of so many letters
#   touch=PATH            makes a file
#   note=PATH,TEXT        adds a line to a file
#   time=PATH             makes a file of the time, in seconds
#   signal=PATH           makes a file of the name of the signal that it was told to stop by
#   ask=PATH,URL          adds a line to a file: the status that is answered, or the error
#   wait=SECONDS          waits
#   until=PATH            waits until something is there
#   hang-up=SECONDS       listens on 8080 for so long, and hangs up on whoever connects
#   later=PORT,SECONDS    listens on another port in so many seconds, without waiting for that
#   on=ADDRESS            answers on this address alone
#   exit=CODE             ends
import os, signal, socket, sys, threading, time

address, told = "0.0.0.0", None


def write(path, text, mode="w"):
    with open(path, mode) as file:
        file.write(text)


def status(url):
    import urllib.request

    try:
        return urllib.request.urlopen(url, timeout=5).status
    except Exception as error:
        return error


def hang_up(seconds):
    until, listener = time.time() + seconds, socket.create_server(("0.0.0.0", 8080))
    listener.settimeout(0.1)
    while time.time() < until:
        try:
            listener.accept()[0].close()
        except TimeoutError:
            pass
    listener.close()


def listen(port):
    listener = socket.create_server(("0.0.0.0", port))
    while True:
        listener.accept()


def after(seconds, action, *args):
    timer = threading.Timer(seconds, action, args)
    timer.daemon = True
    timer.start()


def do(stage):
    global address
    word, value = stage.split("=", 1)
    first, _, second = value.partition(",")
    if word == "say":
        print(value, flush=True)
    elif word == "warn":
        print(value, file=sys.stderr, flush=True)
    elif word == "write":
        print(value, end="", flush=True)
    elif word == "fill":
        print("x" * int(value), flush=True)
    elif word == "touch":
        write(value, "")
    elif word == "note":
        write(first, second + "\n", "a")
    elif word == "time":
        write(value, str(time.time()))
    elif word == "signal":
        write(value, signal.Signals(told).name)
    elif word == "ask":
        write(first, f"{status(second)}\n", "a")
    elif word == "wait":
        time.sleep(float(value))
    elif word == "until":
        while not os.path.exists(value):
            time.sleep(0.01)
    elif word == "hang-up":
        hang_up(float(value))
    elif word == "later":
        after(float(second), listen, int(first))
    elif word == "on":
        address = value
    elif word == "exit":
        sys.exit(int(value))
    else:
        sys.exit(f"no such stage: {stage}")


def stop(number, _):
    global told
    told = number
    for stage in at_the_end:
        do(stage)


def serve():
    # Here, as they take a moment: it is to hear of its end from the first one on.
    import http.server, uuid

    me = str(uuid.uuid4())

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/id":
                return super().do_GET()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(me.encode())

    web = http.server.ThreadingHTTPServer((address, 8080), Handler)
    # Beside what it does when it is told to stop.
    threading.Thread(target=web.serve_forever, daemon=True).start()


stages, at_the_end = sys.argv[1:], []
if "--" in stages:
    middle = stages.index("--")
    stages, at_the_end = stages[:middle], stages[middle + 1 :]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, stop)
for stage in stages:
    do(stage)
serve()
while True:
    signal.pause()
