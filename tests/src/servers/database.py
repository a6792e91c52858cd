# Sets up `/data` unless that has been begun before, as entry points of databases do, and then serves on 8080; what is half set
# up it cannot use. To set up takes as many seconds as its first argument says; where there is a second one, it ends with that
# before it is done. There is a file `/began` from when it begins.
import http.server, os, sys, time

if not os.path.exists("/data/PG_VERSION"):
    open("/data/PG_VERSION", "w").close()
    open("/began", "w").close()
    print("setting up", flush=True)
    time.sleep(float(sys.argv[1]))
    if len(sys.argv) > 2:
        sys.exit(int(sys.argv[2]))
    open("/data/tables", "w").close()
assert os.path.exists("/data/tables"), "half a database"
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
