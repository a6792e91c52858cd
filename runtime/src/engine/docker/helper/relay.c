/* Carries TCP connections and UDP flows between its network and whoever holds its standard input and output. See README.md.
 *
 *   relay dial                              connects to where it is told to
 *   relay listen PORT/tcp PORT/udp ...      takes what arrives at these ports
 *
 * Both streams consist of frames: a kind (one byte), a channel (two), a length (two), and so many bytes. Numbers have
 * their first byte first. A channel is a connection or a flow. Its number, below MOST, is chosen by the side that opens
 * it, and is free again when each side has sent CLOSE, which is the last frame of either.
 *
 *   READY    from here, once: the ports are open
 *   FAILED   from here: the port of this index cannot be listened at, with an error number (2 bytes)
 *   OPEN     dial: a connection (0) or flow (1), its port (2 bytes) and address (4 or 16); listen, from here: the index of
 *            the port (2 bytes)
 *   OPENED   dial, from here: it is connected
 *   DATA     bytes of a connection, or one datagram
 *   CREDIT   so many bytes of a connection more may be sent (4 bytes); at first WINDOW may
 *   END      nothing more is sent, as of a socket that is shut down
 *   CLOSE    the channel is closed: in order (0), or with an error number (2 bytes), as of a socket that is reset
 *
 * Datagrams have no credit. There is no room for them when the stream or the socket has none, and then they are dropped.
 */
#include "system.h"

static _Noreturn void usage(void);
#include "arguments.h"

enum { READY, FAILED, OPEN, OPENED, DATA, CREDIT, END, CLOSED };
enum { MOST = 1024, MOST_PORTS = 256, WINDOW = 512 << 10, HEAD = 5, LONGEST = 65535 };

/* What is written at once for a channel besides data; what has to be free for a socket to be read. */
enum { NOTICES = 64, READ_ROOM = NOTICES + HEAD + LONGEST };

enum { SECOND = 1000000, TICK = 5 * SECOND, PAUSE = SECOND / 10 };
/* A flow ends when it has been idle for so long; for less where others wait for its channel. A connection whose other side
 * does not read has so long to take what is left when it is closed. */
enum { IDLE = 180 * SECOND, IDLE_IF_CROWDED = 10 * SECOND, LINGER = 60 * SECOND };

static _Noreturn void stop(const char *why) {
  u32 length = 0;
  while (why[length]) length++;
  call(WRITE, 2, (long)why, length, 0, 0, 0);
  leave(2);
}

static _Noreturn void usage(void) { stop("usage: relay dial | relay listen PORT/tcp PORT/udp ...\n"); }

/* The other side does not keep to the protocol. */
static _Noreturn void broken(const char *why) { stop(why); }

/* ---- the stream to the other side ---- */

static struct { u32 from, to; u8 bytes[256 << 10]; } out;

static u32 room(void) { return sizeof out.bytes - out.to; }

static void put(u8 byte) { out.bytes[out.to++] = byte; }

static void put_two(u32 number) { put((u8)(number >> 8)), put((u8)number); }

static void head(u8 kind, u32 channel, u32 length) { put(kind), put_two(channel), put_two(length); }

/* Writes what there is, as far as it is taken. */
static void flush(void) {
  while (out.from < out.to) {
    long written = call(WRITE, 1, (long)(out.bytes + out.from), out.to - out.from, 0, 0, 0);
    if (written == -EINTR) continue;
    if (written == -EAGAIN) break;
    if (written <= 0) leave(1);
    out.from += (u32)written;
  }
  if (out.from < sizeof out.bytes / 2 && out.from < out.to) return;
  memcpy(out.bytes, out.bytes + out.from, out.to - out.from);
  out.to -= out.from, out.from = 0;
}

/* ---- channels ---- */

enum { FREE, CONNECTING, CONNECTED, FLOW, OVER };
enum { OWES_OPEN = 1, OWES_OPENED = 2, OWES_END = 4, OWES_CLOSE = 8 };

static struct channel {
  u8 state;         /* OVER: nothing is here any more, but CLOSE has not come or is owed */
  u8 owes;          /* frames to be sent as soon as there is room, in this order */
  u8 ended_here;    /* the socket has nothing more to say */
  u8 ended_there;   /* nor has the other side */
  u8 closed_there;  /* CLOSE has come */
  u8 length_of_peer;
  u16 port;         /* the index of the port that it came in at */
  u16 error;        /* of the socket, when it could not be written to */
  int fd;           /* below zero for a flow that came in: it is that of its port */
  u32 credit;       /* how much may be sent to the other side */
  u32 taken;        /* how much was written to the socket since credit was last given */
  u32 from, length; /* what the socket has not taken yet, in the ring */
  u8 *ring;         /* of WINDOW bytes; none before there is need */
  i64 last;         /* when something last moved */
  u8 peer[28];      /* of a flow that came in */
} channels[MOST];

static u32 used; /* all channels that are not free have numbers below this */
static int crowded; /* somebody was turned away since the last tick */

static struct port { int fd; u8 udp; } ports[MOST_PORTS];
static u32 port_count;
static i64 paused_until; /* until when no connection is accepted */

static u32 number_of(const struct channel *c) { return (u32)(c - channels); }

static void notices(struct channel *c) {
  if (room() < NOTICES) return;
  u8 owes = c->owes;
  c->owes = 0;
  if (owes & OWES_OPEN) head(OPEN, number_of(c), 2), put_two(c->port);
  if (owes & OWES_OPENED) head(OPENED, number_of(c), 0);
  if (c->taken >= WINDOW / 4 && c->state == CONNECTED) {
    head(CREDIT, number_of(c), 4), put_two(c->taken >> 16), put_two(c->taken);
    c->taken = 0;
  }
  if (owes & OWES_END) head(END, number_of(c), 0);
  if (owes & OWES_CLOSE) {
    head(CLOSED, number_of(c), 2), put_two(c->error);
    if (c->closed_there) c->state = FREE;
  }
}

static struct channel *occupy(struct channel *c, u8 state, int fd) {
  memset(c, 0, sizeof *c);
  c->state = state, c->fd = fd, c->credit = WINDOW, c->last = now();
  if (number_of(c) >= used) used = number_of(c) + 1;
  return c;
}

static struct channel *find_free(void) {
  for (u32 i = 0; i < MOST; i++)
    if (channels[i].state == FREE) return &channels[i];
  crowded = 1;
  return 0;
}

static void over(struct channel *c, int error) {
  if (c->fd >= 0) call(CLOSE, c->fd, 0, 0, 0, 0, 0);
  if (c->ring) call(MUNMAP, (long)c->ring, WINDOW, 0, 0, 0, 0);
  c->ring = 0, c->length = 0, c->fd = -1;
  c->state = OVER, c->error = (u16)error, c->owes |= OWES_CLOSE;
}

/* Lets close() reset the connection. */
static void set_reset(int fd) {
  int linger[2] = {1, 0};
  call(SETSOCKOPT, fd, 1, 13, (long)linger, sizeof linger, 0);
}

static void reset(struct channel *c, int error) {
  if (c->fd >= 0) set_reset(c->fd);
  over(c, error);
}

static void undelayed(int fd) {
  int yes = 1;
  call(SETSOCKOPT, fd, 6, 1, (long)&yes, sizeof yes, 0);
}

/* ---- to the socket ---- */

/* After a change of what is left to do. */
static void settle(struct channel *c) {
  if (c->length || !c->ended_there) return;
  if (c->ended_here) return over(c, c->error);
  call(SHUTDOWN, c->fd, 1, 0, 0, 0, 0);
}

/* What the peer sent before it reset the connection can still be read, as from any socket. */
static void cannot_write(struct channel *c, int error) {
  c->error = (u16)(error == EPIPE ? ECONNRESET : error);
  c->taken += c->length, c->length = 0;
  if (c->ended_here || !c->credit) reset(c, c->error);
}

/* Writes bytes to the socket: how many it took. */
static u32 write_some(struct channel *c, const u8 *bytes, u32 length) {
  long sent = call(SENDTO, c->fd, (long)bytes, length, 040000, 0, 0); /* no SIGPIPE */
  if (sent == -EAGAIN || sent == -EINTR) return 0;
  if (sent < 0) return cannot_write(c, (int)-sent), 0;
  c->taken += (u32)sent, c->last = now();
  return (u32)sent;
}

static void write_ring(struct channel *c) {
  while (c->length) {
    u32 piece = c->length < WINDOW - c->from ? c->length : WINDOW - c->from;
    u32 sent = write_some(c, c->ring + c->from, piece);
    if (c->state != CONNECTED || !c->length) return;
    c->from = (c->from + sent) % WINDOW, c->length -= sent;
    if (sent < piece) return;
  }
  settle(c);
}

static void write_data(struct channel *c, const u8 *bytes, u32 length) {
  if (c->ended_there || length > WINDOW - c->length - c->taken) broken("more data than there is credit\n");
  if (c->error) {
    c->taken += length;
    return;
  }
  u32 sent = c->length ? 0 : write_some(c, bytes, length);
  if (c->state != CONNECTED || sent == length) return;
  bytes += sent, length -= sent;
  if (c->error) {
    c->taken += length;
    return;
  }
  if (!c->ring) {
    long ring = call(MMAP, 0, WINDOW, 3, 042, -1, 0); /* to read and write; private, of nothing */
    if (ring < 0 && ring > -4096) return reset(c, ENOMEM);
    c->ring = (u8 *)ring;
  }
  if (!c->length) c->from = 0;
  for (u32 at = (c->from + c->length) % WINDOW; length;) {
    u32 piece = length < WINDOW - at ? length : WINDOW - at;
    memcpy(c->ring + at, bytes, piece);
    bytes += piece, length -= piece, c->length += piece, at = 0;
  }
}

static void write_datagram(struct channel *c, const u8 *bytes, u32 length) {
  int has_own = c->fd >= 0;
  int fd = has_own ? c->fd : ports[c->port].fd;
  call(SENDTO, fd, (long)bytes, length, 040000, has_own ? 0 : (long)c->peer, has_own ? 0 : c->length_of_peer);
  c->last = now();
}

/* ---- from the socket ---- */

static void read_connection(struct channel *c) {
  u32 most = c->credit < LONGEST ? c->credit : LONGEST;
  long read = call(READ, c->fd, (long)(out.bytes + out.to + HEAD), most, 0, 0, 0);
  if (read == -EAGAIN || read == -EINTR) return;
  if (read < 0) return over(c, (int)-read);
  if (read > 0) {
    head(DATA, number_of(c), (u32)read);
    out.to += (u32)read, c->credit -= (u32)read, c->last = now();
    if (c->error && !c->credit) reset(c, c->error);
    return;
  }
  if (c->error) return over(c, c->error);
  c->ended_here = 1, c->owes |= OWES_END;
  settle(c);
}

static void read_flow(struct channel *c) {
  long read = call(READ, c->fd, (long)(out.bytes + out.to + HEAD), LONGEST, 0, 0, 0);
  if (read < 0) return; /* nobody is there at the moment, for example */
  head(DATA, number_of(c), (u32)read);
  out.to += (u32)read, c->last = now();
}

static struct channel *flow_of(u32 port, const u8 *peer, u32 length) {
  for (u32 i = 0; i < used; i++) {
    struct channel *c = &channels[i];
    if (c->state != FLOW || c->port != port || c->length_of_peer != length) continue;
    u32 at = 0;
    while (at < length && c->peer[at] == peer[at]) at++;
    if (at == length) return c;
  }
  struct channel *c = find_free();
  if (!c) return 0;
  occupy(c, FLOW, -1);
  c->port = (u16)port, c->length_of_peer = (u8)length, c->owes = OWES_OPEN;
  memcpy(c->peer, peer, length);
  return c;
}

static void read_datagrams(u32 port) {
  static u8 bytes[LONGEST];
  while (room() >= READ_ROOM) {
    u8 peer[28] = {0};
    u32 length = sizeof peer;
    long read = call(RECVFROM, ports[port].fd, (long)bytes, sizeof bytes, 0, (long)peer, (long)&length);
    if (read < 0) return;
    struct channel *c = flow_of(port, peer, length);
    if (!c) continue;
    notices(c);
    head(DATA, number_of(c), (u32)read);
    memcpy(out.bytes + out.to, bytes, (unsigned long)read);
    out.to += (u32)read, c->last = now();
  }
}

static void accept_connections(u32 port) {
  for (int i = 0; i < 64; i++) {
    int fd = (int)call(ACCEPT4, ports[port].fd, 0, 0, NON_BLOCKING | CLOSE_ON_EXEC, 0, 0);
    if (fd == -EAGAIN) return;
    if (fd == -ECONNABORTED || fd == -EINTR) continue;
    if (fd < 0) { /* too many files, or no memory: perhaps later */
      paused_until = now() + PAUSE;
      return;
    }
    struct channel *c = find_free();
    if (!c) { /* whoever it is learns at once that there are too many */
      set_reset(fd);
      call(CLOSE, fd, 0, 0, 0, 0, 0);
      continue;
    }
    undelayed(fd);
    occupy(c, CONNECTED, fd);
    c->port = (u16)port, c->owes = OWES_OPEN;
  }
}

/* ---- what the other side says ---- */

static u32 two(const u8 *bytes) { return (u32)bytes[0] << 8 | bytes[1]; }

static void dial(struct channel *c, const u8 *bytes, u32 length) {
  if (port_count || c->state != FREE || (length != 7 && length != 19) || bytes[0] > 1) broken("a bad OPEN\n");
  u8 flow = bytes[0];
  int fd = begin_connect(length == 19, bytes + 3, (u16)two(bytes + 1), flow ? DATAGRAM : STREAM);
  occupy(c, flow ? FLOW : CONNECTING, fd);
  if (fd < 0) return over(c, -fd);
  if (flow) c->owes = OWES_OPENED;
  else undelayed(fd);
}

static void connected(struct channel *c) {
  int error = end_connect(c->fd);
  if (error) return over(c, error);
  c->state = CONNECTED, c->owes = OWES_OPENED;
}

static void close_there(struct channel *c, u32 error) {
  if (c->closed_there) broken("a second CLOSE\n");
  c->closed_there = 1;
  if (c->state == OVER) {
    if (!(c->owes & OWES_CLOSE)) c->state = FREE;
    return;
  }
  /* In order: what is left is still written. */
  if (!error && c->state == CONNECTED && c->ended_here && c->ended_there) return;
  if (c->state == FLOW) over(c, 0);
  else reset(c, 0);
}

static void hear(u8 kind, u32 number, const u8 *bytes, u32 length) {
  if (number >= MOST) broken("a channel of too high a number\n");
  struct channel *c = &channels[number];
  if (kind == OPEN) return dial(c, bytes, length);
  if (c->state == FREE) broken("a frame of no channel\n");
  if (kind == CLOSED && length == 2) return close_there(c, two(bytes));
  if (c->closed_there) broken("a frame after CLOSE\n");
  if (c->state == OVER) return; /* it was sent before our CLOSE arrived */
  if (kind == DATA && c->state == FLOW) return write_datagram(c, bytes, length);
  if (c->state != CONNECTED) broken("a frame before OPENED\n");
  if (kind == DATA) return write_data(c, bytes, length);
  if (kind == END && !length && !c->ended_there) {
    c->ended_there = 1;
    return settle(c);
  }
  if (kind != CREDIT || length != 4) broken("a frame of no known kind\n");
  u32 credit = two(bytes) << 16 | two(bytes + 2);
  if (credit > WINDOW - c->credit) broken("too much credit\n");
  c->credit += credit;
}

static void read_frames(void) {
  static u8 bytes[2 * (HEAD + LONGEST)];
  static u32 length;
  long read = call(READ, 0, (long)(bytes + length), sizeof bytes - length, 0, 0, 0);
  if (read == -EAGAIN || read == -EINTR) return;
  if (read <= 0) leave(read < 0); /* whoever held us is gone */
  length += (u32)read;
  u32 at = 0;
  while (length - at >= HEAD) {
    u32 size = two(bytes + at + 3);
    if (length - at < HEAD + size) break;
    hear(bytes[at], two(bytes + at + 1), bytes + at + HEAD, size);
    at += HEAD + size;
  }
  memcpy(bytes, bytes + at, length - at);
  length -= at;
}

/* ---- all of it ---- */

static void tick(void) {
  i64 idle = crowded ? IDLE_IF_CROWDED : IDLE;
  for (u32 i = 0; i < used; i++) {
    struct channel *c = &channels[i];
    i64 since = now() - c->last;
    if (c->state == FLOW && since > idle) over(c, 0);
    if (c->state == CONNECTED && c->closed_there && since > LINGER) reset(c, ETIMEDOUT);
  }
  crowded = 0;
}

static short interest(const struct channel *c, int has_room) {
  if (c->state == CONNECTING) return POLLOUT;
  if (c->state == FLOW) return c->fd >= 0 && has_room ? POLLIN : 0;
  if (c->state != CONNECTED) return 0;
  return (short)((c->length ? POLLOUT : 0) | (has_room && c->credit && !c->ended_here ? POLLIN : 0));
}

static _Noreturn void carry(void) {
  static struct pollfd sockets[2 + MOST_PORTS + MOST];
  static struct channel *owners[2 + MOST_PORTS + MOST];
  i64 next_tick = now() + TICK;
  /* Each turn begins after the channel that was read last, so that none is always the one that finds no room. */
  for (u32 first = 0;;) {
    while (used && channels[used - 1].state == FREE) used--;
    for (u32 i = 0; i < used; i++) notices(&channels[i]);
    flush();

    int has_room = room() >= READ_ROOM, count = 2, timed = 0;
    i64 time = now(), until = time + 3600LL * SECOND;
    sockets[0] = (struct pollfd){0, POLLIN, 0};
    sockets[1] = (struct pollfd){1, out.from < out.to ? POLLOUT : 0, 0};
    if (time < paused_until) until = paused_until;
    for (u32 i = 0; i < port_count; i++, count++) {
      int waits = ports[i].udp ? !has_room : time < paused_until;
      sockets[count] = (struct pollfd){waits ? -1 : ports[i].fd, POLLIN, 0};
    }
    for (u32 i = 0; i < used; i++) {
      struct channel *c = &channels[(first + i) % used];
      timed |= c->state == FLOW || c->closed_there;
      short events = interest(c, has_room);
      if (!events) continue;
      owners[count] = c;
      sockets[count++] = (struct pollfd){c->fd, events, 0};
    }
    if (time >= next_tick) tick(), next_tick = time + TICK, until = time;
    if (timed && next_tick < until) until = next_tick;
    wait_for(sockets, count, until);

    if (sockets[1].revents & POLLERR) leave(1);
    /* Channels before frames: a channel that ends here is not another one yet. */
    for (int i = 2 + (int)port_count; i < count; i++) {
      struct channel *c = owners[i];
      if (!sockets[i].revents) continue;
      if (c->state == CONNECTING) connected(c);
      else if (c->state == FLOW) {
        if (room() >= READ_ROOM) notices(c), read_flow(c);
      } else {
        if (sockets[i].events & POLLOUT) write_ring(c);
        if (sockets[i].events & POLLIN && c->state == CONNECTED && room() >= READ_ROOM) {
          notices(c), read_connection(c);
          first = number_of(c) + 1;
        }
      }
    }
    for (u32 i = 0; i < port_count; i++) {
      if (!sockets[2 + i].revents) continue;
      if (ports[i].udp) read_datagrams(i);
      else accept_connections(i);
    }
    if (sockets[0].revents) read_frames();
  }
}

/* Listens at all of this network's addresses: the socket, or an error number below zero. */
static int listen_at(u16 port, int udp) {
  static const u8 any[16];
  int six = 1, no = 0;
  int kind = (udp ? DATAGRAM : STREAM) | NON_BLOCKING | CLOSE_ON_EXEC;
  int fd = (int)call(SOCKET, 10, kind, 0, 0, 0, 0);
  if (fd == -EAFNOSUPPORT) six = 0, fd = (int)call(SOCKET, 2, kind, 0, 0, 0, 0);
  if (fd < 0) return fd;
  if (six) call(SETSOCKOPT, fd, 41, 26, (long)&no, sizeof no, 0); /* IPv4 too */
  u8 address[28];
  u32 length = socket_address(address, six, any, port);
  int error = (int)call(BIND, fd, (long)address, length, 0, 0, 0);
  if (!error && !udp) error = (int)call(LISTEN, fd, MOST, 0, 0, 0, 0);
  return error ? error : fd;
}

static void not_blocking(int fd) {
  long flags = call(FCNTL, fd, 3, 0, 0, 0, 0);
  call(FCNTL, fd, 4, flags | NON_BLOCKING, 0, 0, 0);
  call(FCNTL, fd, 1031, sizeof out.bytes, 0, 0, 0); /* the size of a pipe: fewer turns for as much */
}

/* As many files as there are channels, where so many are allowed. */
static void allow_files(void) {
  unsigned long limit[2];
  if (call(PRLIMIT64, 0, 7, 0, (long)limit, 0, 0)) return;
  unsigned long wanted = MOST + MOST_PORTS + 16;
  if (limit[0] >= wanted) return;
  limit[0] = wanted < limit[1] ? wanted : limit[1];
  call(PRLIMIT64, 0, 7, (long)limit, 0, 0, 0);
}

/* `stack` is as the kernel left it: the number of arguments, then the arguments. */
__attribute__((used)) _Noreturn void begin(long *stack) {
  long count = stack[0];
  const char **arguments = (const char **)(stack + 1);
  if (count < 2) usage();
  int listens = same(arguments[1], "listen");
  if (listens ? count < 3 || count > 2 + MOST_PORTS : count != 2 || !same(arguments[1], "dial")) usage();
  allow_files();
  for (long i = 2; i < count; i++) {
    const char *at = arguments[i];
    u16 number = port_number(&at);
    u8 udp = (u8)same(at, "/udp");
    if (!udp && !same(at, "/tcp")) usage();
    int fd = listen_at(number, udp);
    if (fd < 0) {
      head(FAILED, (u32)(i - 2), 2), put_two((u32)-fd);
      flush();
      leave(1);
    }
    ports[port_count++] = (struct port){fd, udp};
  }
  head(READY, 0, 0);
  not_blocking(0), not_blocking(1);
  carry();
}
