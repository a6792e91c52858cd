/* Process 1 of a container in which steps run one after another, each by a command of the engine's. See README.md.
 *
 *   chain
 *
 * It says `r` once it is ready. On each byte of its standard input it ends everything else in the container, and says `c`
 * if the next step finds what it would find in a new container, but for the files of the image; `d` if something differs
 * that is in no image; `s` if something cannot be killed. It ends with its standard input, and everything ends with it.
 *
 * Its own file is removed as it begins, so that it is in no image. Nothing in the container can read or write what goes
 * to it and comes from it: no process without rights over all others may look into one that is not to be dumped.
 */
#include "system.h"

enum { MILLISECOND = 1000, PAUSE = MILLISECOND, GONE_WITHIN = 5000 * MILLISECOND, QUIET_WITHIN = 50 * MILLISECOND };
enum { HERE = -100, SIGKILL = 9, SIGCHLD = 17, SET_DUMPABLE = 4 };
enum { NO_FOLLOW = 0x100, BASIC = 0x7ff, KIND = 0170000, DIRECTORY = 0040000, DEEPEST = 16 };

typedef unsigned long long u64;

struct entry { i64 inode, offset; u16 length; u8 kind; char name[]; };

struct moment { i64 seconds; u32 nanoseconds, unused; };

/* As the kernel's of that name, whose layout is the same on all machines. */
struct statx {
  u32 mask, block_size;
  u64 attributes;
  u32 links, user, group;
  u16 mode, unused;
  u64 inode, size, blocks, attributes_mask;
  struct moment accessed, born, changed, modified;
  u32 device[2], lies_on[2];
  u64 more[14];
};

/* FNV-1a. Nobody gains anything by two states that come to one number: what a step may change there, it may change in its
 * image too. */
static u64 add(u64 hash, const void *bytes, unsigned long length) {
  for (const u8 *at = bytes; length--; at++) hash = (hash ^ *at) * 1099511628211ull;
  return hash;
}

static unsigned long length_of(const char *text) {
  unsigned long length = 0;
  while (text[length]) length++;
  return length;
}

static const u64 BEGINNING = 14695981039346656037ull;

/* What is at a path. Times of directories do not count: they change when something is made there and removed again. */
static u64 look(const char *path, int flags, int *is_directory) {
  struct statx found;
  memset(&found, 0, sizeof found);
  u64 hash = add(BEGINNING, path, length_of(path));
  long error = call(STATX, HERE, (long)path, flags, BASIC, (long)&found, 0);
  *is_directory = !error && (found.mode & KIND) == DIRECTORY;
  if (error) return add(hash, &error, sizeof error);
  u32 owners[5] = {found.mode, found.user, found.group, found.device[0], found.device[1]};
  hash = add(hash, owners, sizeof owners);
  if (*is_directory) return hash;
  u64 contents[4] = {found.inode, found.size, (u64)found.changed.seconds, found.changed.nanoseconds};
  return add(hash, contents, sizeof contents);
}

/* Everything below a directory, in whatever order it is listed. */
static u64 below(char *path, unsigned long length, int depth) {
  char entries[2048] __attribute__((aligned(8)));
  u64 sum = 0;
  int fd = (int)call(OPENAT, HERE, (long)path, CLOSE_ON_EXEC, 0, 0, 0);
  if (fd < 0) return (u64)fd;
  for (long read; (read = call(GETDENTS64, fd, (long)entries, sizeof entries, 0, 0, 0)) > 0;)
    for (long at = 0; at < read;) {
      const struct entry *entry = (const struct entry *)(entries + at);
      at += entry->length;
      const char *name = entry->name;
      if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]))) continue;
      unsigned long end = length_of(name) + 1;
      if (length + end >= 4096 || depth == DEEPEST) {
        sum += 1;
        continue;
      }
      path[length] = '/';
      memcpy(path + length + 1, name, end);
      int is_directory;
      sum += look(path, NO_FOLLOW, &is_directory);
      if (is_directory) sum += below(path, length + end, depth + 1);
      path[length] = 0;
    }
  call(CLOSE, fd, 0, 0, 0, 0, 0);
  return sum;
}

/* How a file of the kernel's begins; its length, or zero. */
static long begin_of(const char *path, char *to, long most) {
  int fd = (int)call(OPENAT, HERE, (long)path, CLOSE_ON_EXEC, 0, 0, 0);
  long length = 0;
  if (fd < 0) return 0;
  for (long read; length < most && (read = call(READ, fd, (long)(to + length), most - length, 0, 0, 0)) > 0;)
    length += read;
  call(CLOSE, fd, 0, 0, 0, 0, 0);
  return length;
}

/* The numbers behind these words, which are the network's own; others are of the whole machine. */
static u64 sockets(u64 hash, const char *path) {
  static const char *const words[] = {"used ", "inuse ", "tw "};
  static char text[1024];
  long length = begin_of(path, text, sizeof text);
  for (long at = 0; at < length; at++)
    for (unsigned long word = 0; word < sizeof words / sizeof *words; word++) {
      long after = at;
      for (const char *letter = words[word]; after < length && *letter && text[after] == *letter; letter++) after++;
      if (after - at != (long)length_of(words[word])) continue;
      while (after < length && text[after] >= '0' && text[after] <= '9') after++;
      hash = add(hash, text + at, (unsigned long)(after - at));
    }
  return hash;
}

/* All that a step may leave, and an image does not have: what is in memory, and files that the engine made. */
static u64 state(void) {
  static const char *const files[] = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};
  static const char *const queues[] = {"/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg"};
  static char path[4096], text[1024];
  int is_directory;
  u64 hash = look("/dev", 0, &is_directory);
  memcpy(path, "/dev", 5);
  hash += below(path, 4, 0);
  for (unsigned long at = 0; at < sizeof files / sizeof *files; at++) hash += look(files[at], 0, &is_directory);
  for (unsigned long at = 0; at < sizeof queues / sizeof *queues; at++)
    hash = add(hash, text, (unsigned long)begin_of(queues[at], text, sizeof text));
  return sockets(sockets(hash, "/proc/net/sockstat"), "/proc/net/sockstat6");
}

static int is_alone(void) {
  return call(KILL, -1, SIGKILL, 0, 0, 0, 0) == -ESRCH;
}

static void say(char word) {
  if (call(WRITE, 1, (long)&word, 1, 0, 0, 0) != 1) leave(1);
}

/* `stack` is as the kernel left it: the number of arguments, then the arguments. */
__attribute__((used)) _Noreturn void begin(long *stack) {
  /* What has no parent any more is process 1's, and leaves nothing to be waited for if that ignores the end of it. */
  long ignore[4] = {1, 0, 0, 0};
  if (call(PRCTL, SET_DUMPABLE, 0, 0, 0, 0, 0) || call(RT_SIGACTION, SIGCHLD, (long)ignore, 0, 8, 0, 0) ||
      call(UNLINKAT, HERE, stack[1], 0, 0, 0, 0))
    leave(1);
  u64 first = state();
  say('r');
  for (;;) {
    char byte;
    long read = call(READ, 0, (long)&byte, 1, 0, 0, 0);
    if (read == -EINTR) continue;
    if (read != 1) leave(0);
    i64 until = now() + GONE_WITHIN;
    int alone;
    while (!(alone = is_alone()) && now() < until) sleep_until(now() + PAUSE);
    if (!alone) {
      say('s');
      continue;
    }
    /* Sockets of processes that have ended may be closed a moment later. */
    int same;
    for (until = now() + QUIET_WITHIN; !(same = state() == first) && now() < until;) sleep_until(now() + PAUSE);
    say(same ? 'c' : 'd');
  }
}
