/* The kernel without a C library: system calls, entry, and the functions that compilers call on their own. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;

/* Not every program needs all of this. */
#define UNUSED __attribute__((unused))

#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, CLOSE = 3, MMAP = 9, MUNMAP = 11, RT_SIGACTION = 13, SOCKET = 41, CONNECT = 42, SENDTO = 44,
       RECVFROM = 45, SHUTDOWN = 48, BIND = 49, LISTEN = 50, SETSOCKOPT = 54, GETSOCKOPT = 55, KILL = 62, FCNTL = 72,
       PRCTL = 157, GETDENTS64 = 217, CLOCK_GETTIME = 228, EXIT_GROUP = 231, OPENAT = 257, UNLINKAT = 263, PPOLL = 271,
       ACCEPT4 = 288, PRLIMIT64 = 302, STATX = 332 };

static long call(long n, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");

#elif defined(__aarch64__)
enum { FCNTL = 25, UNLINKAT = 35, OPENAT = 56, CLOSE = 57, GETDENTS64 = 61, READ = 63, WRITE = 64, PPOLL = 73,
       EXIT_GROUP = 94, CLOCK_GETTIME = 113, KILL = 129, RT_SIGACTION = 134, PRCTL = 167, SOCKET = 198, BIND = 200,
       LISTEN = 201, CONNECT = 203, SENDTO = 206, RECVFROM = 207, SETSOCKOPT = 208, GETSOCKOPT = 209, SHUTDOWN = 210,
       MUNMAP = 215, MMAP = 222, ACCEPT4 = 242, PRLIMIT64 = 261, STATX = 291 };

static long call(long n, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}

__asm__(".globl _start\n_start:\n mov x29, 0\n mov x30, 0\n mov x0, sp\n bl begin\n");

#else
#error "the helper is built for x86_64 and aarch64"
#endif

void *memset(void *to, int byte, unsigned long length) {
  for (u8 *at = to; length--;) *at++ = (u8)byte;
  return to;
}

/* From the front: so also where both overlap, if `to` comes first. */
void *memcpy(void *to, const void *from, unsigned long length) {
  u8 *at = to;
  const u8 *source = from;
  for (; length >= 8; length -= 8, at += 8, source += 8) {
    i64 word;
    __builtin_memcpy(&word, source, 8);
    __builtin_memcpy(at, &word, 8);
  }
  while (length--) *at++ = *source++;
  return to;
}

struct timespec { i64 seconds, nanoseconds; };
struct pollfd { int fd; short events, revents; };

/* Numbers of errors and options are the same on both machines. */
enum { ESRCH = 3, EINTR = 4, EAGAIN = 11, ENOMEM = 12, EPIPE = 32, EAFNOSUPPORT = 97, ENETUNREACH = 101, ECONNABORTED = 103,
       ECONNRESET = 104, ETIMEDOUT = 110, ECONNREFUSED = 111, EHOSTUNREACH = 113, EINPROGRESS = 115 };
enum { STREAM = 1, DATAGRAM = 2, NON_BLOCKING = 04000, CLOSE_ON_EXEC = 02000000 };
enum { POLLIN = 1, POLLOUT = 4, POLLERR = 8 };

static _Noreturn void leave(int code) {
  for (;;) call(EXIT_GROUP, code, 0, 0, 0, 0, 0);
}

/* Microseconds of a clock that only goes forward. */
static i64 now(void) {
  struct timespec time = {0, 0};
  call(CLOCK_GETTIME, 1, (long)&time, 0, 0, 0, 0);
  return time.seconds * 1000000 + time.nanoseconds / 1000;
}

/* Waits until one of the sockets has something to say, or until this time. */
static void wait_for(struct pollfd *sockets, int count, i64 until) {
  i64 left = until - now();
  if (left < 0) left = 0;
  struct timespec time = {left / 1000000, left % 1000000 * 1000};
  if (call(PPOLL, (long)sockets, count, (long)&time, 0, 8, 0) < 0)
    for (int i = 0; i < count; i++) sockets[i].revents = 0;
}

UNUSED static void sleep_until(i64 until) {
  while (now() < until) wait_for(0, 0, until);
}

/* Makes a socket address of an address in network order and a port: its length. */
static u32 socket_address(u8 to[28], int six, const u8 *bytes, u16 port) {
  u16 family = six ? 10 : 2;
  memset(to, 0, 28);
  memcpy(to, &family, 2);
  to[2] = (u8)(port >> 8), to[3] = (u8)port;
  memcpy(to + (six ? 8 : 4), bytes, six ? 16 : 4);
  return six ? 28 : 16;
}

/* Begins to connect: the socket, or an error number below zero. */
UNUSED static int begin_connect(int six, const u8 *bytes, u16 port, int kind) {
  u8 to[28];
  u32 length = socket_address(to, six, bytes, port);
  int fd = (int)call(SOCKET, six ? 10 : 2, kind | NON_BLOCKING | CLOSE_ON_EXEC, 0, 0, 0, 0);
  if (fd < 0) return fd;
  int error = (int)call(CONNECT, fd, (long)to, length, 0, 0, 0);
  if (!error || error == -EINPROGRESS) return fd;
  call(CLOSE, fd, 0, 0, 0, 0, 0);
  return error;
}

/* How a connection came out, once its socket can be written to: zero or an error number. */
UNUSED static int end_connect(int fd) {
  int error = 0;
  u32 size = sizeof error;
  call(GETSOCKOPT, fd, 1, 4, (long)&error, (long)&size, 0);
  return error;
}
