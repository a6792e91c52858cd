/* Asks a service, from inside its network, what its clients will ask. See README.md.
 *
 *   probe wait IP PORT/tcp PORT/udp ...    until every port is open
 *   probe http IP PORT PATH                until a GET is answered with 2xx or 3xx
 *   probe sockets                          what waits for clients now
 *
 * Each change of what is found is a line: `6379/tcp connection refused`, `6379/tcp open`, `http status 503`. A socket is a
 * line with the kernel's table that has it and its own address there: `tcp 0100007F:18EB`; the last line is `all sockets`.
 */
#include "system.h"

static _Noreturn void usage(void);
#include "arguments.h"

enum { MILLISECOND = 1000, MOST_PORTS = 256, ATTEMPT = 400 * MILLISECOND };

/* Between two looks, at most: what is found has a long way to go through the engine, and 25 ms for all of it. */
enum { PAUSE = 8 * MILLISECOND, PAUSE_HTTP = 50 * MILLISECOND };

static i64 longer(i64 pause, i64 most) { return pause * 5 / 4 < most ? pause * 5 / 4 : most; }

/* Found instead of an error number. */
enum { OPEN = 0, UNKNOWN = -1, UNBOUND = -2, NOT_HTTP = -3, CLOSED = -4, STATUS = 100000 };

static _Noreturn void usage(void) {
  static const char text[] = "usage: probe wait IP PORT/tcp PORT/udp ... | probe http IP PORT PATH | probe sockets\n";
  call(WRITE, 2, (long)text, sizeof text - 1, 0, 0, 0);
  leave(2);
}

/* ---- text ---- */

struct text { u32 length; char bytes[2048]; };

static void add_byte(struct text *text, char byte) {
  if (text->length < sizeof text->bytes) text->bytes[text->length++] = byte;
}

static void add(struct text *text, const char *more) {
  while (*more) add_byte(text, *more++);
}

static void add_number(struct text *text, u32 number) {
  if (number >= 10) add_number(text, number / 10);
  add_byte(text, (char)('0' + number % 10));
}

/* ---- addresses ---- */

struct address {
  int six;          /* whether it is of IPv6 */
  u8 bytes[16];     /* in network order; the first four for IPv4 */
  const char *text;
};

static struct address parse_address(const char *text) {
  struct address address = {0, {0}, text};
  const char *at = text;
  for (const char *c = text; *c; c++) address.six |= *c == ':';
  if (!address.six) {
    for (int i = 0; i < 4; i++) {
      if (i && *at++ != '.') usage();
      address.bytes[i] = (u8)number(&at, 10, 255);
    }
  } else {
    int length = 0, gap = -1; /* bytes so far; where `::` stands for zeros */
    if (at[0] == ':' && at[1] == ':') gap = 0, at += 2;
    while (*at) {
      if (length == 16) usage();
      u32 group = number(&at, 16, 65535);
      address.bytes[length++] = (u8)(group >> 8);
      address.bytes[length++] = (u8)group;
      if (!*at) break;
      if (*at++ != ':') usage();
      if (*at == ':') {
        if (gap >= 0) usage();
        gap = length, at++;
      } else if (!*at) usage();
    }
    if (length < 16) {
      if (gap < 0) usage();
      for (int i = 1; i <= length - gap; i++) {
        address.bytes[16 - i] = address.bytes[length - i];
        address.bytes[length - i] = 0;
      }
    } else if (gap >= 0) usage();
  }
  if (*at) usage();
  return address;
}

/* ---- what is found ---- */

static void add_found(struct text *line, int found) {
  switch (found) {
    case OPEN: return add(line, "open");
    case UNBOUND: return add(line, "no socket is bound to it");
    case NOT_HTTP: return add(line, "the answer is not HTTP");
    case CLOSED: return add(line, "connection closed without an answer");
    case ECONNREFUSED: return add(line, "connection refused");
    case ECONNRESET: return add(line, "connection reset");
    case ETIMEDOUT: return add(line, "timed out");
    case EHOSTUNREACH: return add(line, "no route to host");
    case ENETUNREACH: return add(line, "network is unreachable");
  }
  add(line, found >= STATUS ? "status " : "error ");
  add_number(line, (u32)(found >= STATUS ? found - STATUS : found));
}

static void print(struct text *line) {
  add_byte(line, '\n');
  /* Nobody listens any longer: nobody needs to know. */
  if (call(WRITE, 1, (long)line->bytes, line->length, 0, 0, 0) < 0) leave(1);
}

struct port { u16 number; u8 udp; int found; int fd; i64 began; };

static void found(struct port *port, int what) {
  if (port->found == what) return;
  port->found = what;
  struct text line = {0};
  add_number(&line, port->number);
  add(&line, port->udp ? "/udp " : "/tcp ");
  add_found(&line, what);
  print(&line);
}

/* ---- UDP: the kernel's table of this network's sockets ---- */

static const char *next_field(const char *at) {
  while (*at && *at != ' ') at++;
  while (*at == ' ') at++;
  return at;
}

/* `1: 0100007F:0035 00000000:0000 07 ...`: number, own address, peer's address, state. Words of an address are in the
 * byte order of the machine. A socket serves our clients when it is bound to the address or to all, and to no peer. */
static void look_at_socket(const char *at, const struct address *address, struct port *ports, int count) {
  u8 bytes[16] = {0};
  int length = 0, any = 1, six = 0, own = 1;
  while (*at == ' ') at++;
  at = next_field(at);
  const char *peer = next_field(at);
  const char *state = next_field(peer);
  for (; digit(at[0]) < 16 && length < 16; length += 4) {
    u32 word = 0;
    for (int i = 0; i < 8; i++, at++) {
      if (digit(*at) >= 16) return;
      word = word << 4 | (u32)digit(*at);
    }
    any &= !word;
    memcpy(bytes + length, &word, 4);
  }
  if (*at++ != ':' || state[0] != '0' || state[1] != '7') return;
  u32 port = 0;
  for (; digit(*at) < 16; at++) port = port << 4 | (u32)digit(*at);

  six = length == 16;
  /* ::ffff:1.2.3.4 serves 1.2.3.4 */
  int mapped = six && !address->six && bytes[10] == 0xff && bytes[11] == 0xff;
  int from = mapped ? 12 : 0;
  if (six != address->six && !mapped) own = 0;
  for (int i = 0; i < (address->six ? 16 : 4); i++) own &= bytes[from + i] == address->bytes[i];
  int all = any && six >= address->six; /* :: takes IPv4 as well, 0.0.0.0 does not take IPv6 */
  if (!all && !own) return;
  for (int i = 0; i < count; i++)
    if (ports[i].udp && ports[i].number == port) found(&ports[i], OPEN);
}

/* Hands each line of a table to `look`, with what it needs. */
static void each_line(const char *table, void (*look)(const char *line, void *with), void *with) {
  static char chunk[4096];
  char line[256];
  u32 length = 0;
  int fd = (int)call(OPENAT, -100, (long)table, CLOSE_ON_EXEC, 0, 0, 0);
  if (fd < 0) return;
  for (long read; (read = call(READ, fd, (long)chunk, sizeof chunk, 0, 0, 0)) > 0;)
    for (long i = 0; i < read; i++) {
      if (chunk[i] != '\n') {
        if (length < sizeof line - 1) line[length++] = chunk[i];
        continue;
      }
      line[length] = 0;
      look(line, with);
      length = 0;
    }
  call(CLOSE, fd, 0, 0, 0, 0, 0);
}

struct wanted { const struct address *address; struct port *ports; int count; };

static void look_for_ports(const char *line, void *with) {
  const struct wanted *wanted = with;
  look_at_socket(line, wanted->address, wanted->ports, wanted->count);
}

/* ---- sockets ---- */

struct table { const char *name, *state; };

/* A socket that waits for clients has the state for that: it listens, or is bound to no peer. */
static void show_socket(const char *at, void *with) {
  const struct table *table = with;
  struct text line = {0};
  while (*at == ' ') at++;
  at = next_field(at);
  const char *state = next_field(next_field(at));
  if (state[0] != table->state[0] || state[1] != table->state[1]) return;
  add(&line, table->name);
  add_byte(&line, ' ');
  while (*at && *at != ' ') add_byte(&line, *at++);
  print(&line);
}

static _Noreturn void show_sockets(void) {
  static const char listens[] = "0A", has_no_peer[] = "07";
  struct table tcp = {"tcp", listens}, udp = {"udp", has_no_peer};
  each_line("/proc/net/tcp", show_socket, &tcp);
  each_line("/proc/net/udp", show_socket, &udp);
  each_line("/proc/net/tcp6", show_socket, &tcp);
  each_line("/proc/net/udp6", show_socket, &udp);
  struct text last = {0};
  add(&last, "all sockets");
  print(&last);
  leave(0);
}

/* ---- wait ---- */

static void end_attempt(struct port *port, int what) {
  call(CLOSE, port->fd, 0, 0, 0, 0, 0);
  port->fd = -1;
  found(port, what);
}

/* Follows the connections under way until then. */
static void follow(struct port *ports, int count, i64 until) {
  static struct pollfd sockets[MOST_PORTS];
  static struct port *owners[MOST_PORTS];
  do {
    int pending = 0;
    for (int i = 0; i < count; i++) {
      if (ports[i].fd < 0) continue;
      owners[pending] = &ports[i];
      sockets[pending++] = (struct pollfd){ports[i].fd, POLLOUT, 0};
    }
    if (!pending) return;
    wait_for(sockets, pending, until);
    for (int i = 0; i < pending; i++) {
      if (sockets[i].revents) end_attempt(owners[i], end_connect(sockets[i].fd));
      else if (now() - owners[i]->began > ATTEMPT) end_attempt(owners[i], ETIMEDOUT);
    }
  } while (now() < until);
}

static _Noreturn void wait_ports(const struct address *address, struct port *ports, int count) {
  i64 pause = MILLISECOND;
  for (;; pause = longer(pause, PAUSE)) {
    int udp = 0, closed = 0;
    i64 began = now();
    for (int i = 0; i < count; i++) {
      struct port *port = &ports[i];
      if (port->found == OPEN) continue;
      udp |= port->udp;
      if (port->udp || port->fd >= 0) continue;
      int fd = begin_connect(address->six, address->bytes, port->number, STREAM);
      if (fd < 0) found(port, -fd);
      else port->fd = fd, port->began = now();
    }
    if (udp) {
      struct wanted wanted = {address, ports, count};
      each_line("/proc/net/udp", look_for_ports, &wanted);
      each_line("/proc/net/udp6", look_for_ports, &wanted);
    }
    /* Some kernels take milliseconds over a table: no more than a fifth of a processor is for us. */
    i64 cost = now() - began;
    i64 until = began + cost + (pause > 4 * cost ? pause : 4 * cost);
    follow(ports, count, until);
    for (int i = 0; i < count; i++) {
      if (ports[i].found == OPEN) continue;
      closed = 1;
      if (ports[i].udp) found(&ports[i], UNBOUND);
    }
    if (!closed) leave(0);
    sleep_until(until);
  }
}

/* ---- http ---- */

/* Waits until the socket can be read from or written to: whether it could in time. */
static int ready(int fd, short events, i64 until) {
  struct pollfd socket = {fd, events, 0};
  while (!socket.revents && now() < until) wait_for(&socket, 1, until);
  return socket.revents != 0;
}

/* The same as probe/http.rs: a change here is a change there. */
static int ask(int fd, const struct text *request) {
  if (!ready(fd, POLLOUT, now() + ATTEMPT)) return ETIMEDOUT;
  int error = end_connect(fd);
  if (error) return error;
  long sent = call(SENDTO, fd, (long)request->bytes, request->length, 040000, 0, 0); /* no SIGPIPE */
  if (sent != (long)request->length) return sent < 0 ? (int)-sent : ECONNRESET;

  char head[4096];
  int length = 0;
  for (i64 until = now() + 5000 * MILLISECOND; length < 12;) {
    if (!ready(fd, POLLIN, until)) return ETIMEDOUT;
    long read = call(READ, fd, (long)(head + length), 12 - length, 0, 0, 0);
    if (read == 0) return CLOSED;
    if (read < 0) return (int)-read;
    length += (int)read;
  }
  int status = 0;
  for (int i = 0; i < 7; i++)
    if (head[i] != "HTTP/1."[i]) return NOT_HTTP;
  for (int i = 9; i < 12; i++) {
    if (digit(head[i]) > 9) return NOT_HTTP;
    status = status * 10 + digit(head[i]);
  }
  if (head[8] != ' ') return NOT_HTTP;

  /* A service that is hung up on fills its log: the rest is listened to, for a while. */
  i64 until = now() + 100 * MILLISECOND;
  for (int rest = 0; rest < 65536 && ready(fd, POLLIN, until);) {
    long read = call(READ, fd, (long)head, sizeof head, 0, 0, 0);
    if (read <= 0) break;
    rest += (int)read;
  }
  return status >= 200 && status < 400 ? OPEN : STATUS + status;
}

static _Noreturn void wait_http(const struct address *address, u16 port, const char *path) {
  struct text request = {0};
  add(&request, "GET ");
  add(&request, path);
  add(&request, " HTTP/1.1\r\nHost: ");
  add(&request, address->six ? "[" : "");
  add(&request, address->text);
  add(&request, address->six ? "]:" : ":");
  add_number(&request, port);
  add(&request, "\r\nUser-Agent: bowline\r\nAccept: */*\r\nConnection: close\r\n\r\n");
  if (request.length == sizeof request.bytes) usage();

  int last = UNKNOWN;
  i64 pause = 2 * MILLISECOND;
  for (;; pause = longer(pause, PAUSE_HTTP)) {
    int fd = begin_connect(address->six, address->bytes, port, STREAM);
    int what = fd < 0 ? -fd : ask(fd, &request);
    if (fd >= 0) call(CLOSE, fd, 0, 0, 0, 0, 0);
    if (what != last) {
      struct text line = {0};
      add(&line, "http ");
      add_found(&line, what);
      print(&line);
    }
    if (what == OPEN) leave(0);
    last = what;
    sleep_until(now() + pause);
  }
}

/* `stack` is as the kernel left it: the number of arguments, then the arguments. */
__attribute__((used)) _Noreturn void begin(long *stack) {
  static struct port ports[MOST_PORTS];
  long count = stack[0] - 3;
  const char **arguments = (const char **)(stack + 1);
  if (stack[0] == 2 && same(arguments[1], "sockets")) show_sockets();
  if (count < 1) usage();
  struct address address = parse_address(arguments[2]);
  if (same(arguments[1], "http") && count == 2) {
    const char *at = arguments[3];
    u16 port = port_number(&at);
    if (*at) usage();
    wait_http(&address, port, arguments[4]);
  }
  if (!same(arguments[1], "wait") || count > MOST_PORTS) usage();
  for (long i = 0; i < count; i++) {
    const char *at = arguments[3 + i];
    u16 number = port_number(&at);
    u8 udp = same(at, "/udp");
    if (!udp && !same(at, "/tcp")) usage();
    ports[i] = (struct port){number, udp, UNKNOWN, -1, 0};
  }
  wait_ports(&address, ports, (int)count);
}
