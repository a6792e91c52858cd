/* Kills every process of its process namespace that has a variable in its environment. See README.md.
 *
 *   kill NAME=VALUE
 *
 * It looks until none is left, as there may be more by then, and succeeds if that is soon.
 */
#include "system.h"

enum { MILLISECOND = 1000, PAUSE = 2 * MILLISECOND, WITHIN = 5000 * MILLISECOND };
enum { HERE = -100, SIGKILL = 9 };

struct entry { i64 inode, offset; u16 length; u8 kind; char name[]; };

static char *copy(char *to, const char *from) {
  while (*from) *to++ = *from++;
  *to = 0;
  return to;
}

/* Whether a variable is in the environment of a process, which is one text after another, each with its zero. */
static int has(const char *pid, const char *variable) {
  char path[64], chunk[1024];
  copy(copy(copy(path, "/proc/"), pid), "/environ");
  int fd = (int)call(OPENAT, HERE, (long)path, CLOSE_ON_EXEC, 0, 0, 0);
  if (fd < 0) return 0;
  /* How much of the variable the text has so far; below zero, the text is another. */
  int found = 0;
  long at = 0;
  for (long length; !found && (length = call(READ, fd, (long)chunk, sizeof chunk, 0, 0, 0)) > 0;)
    for (long i = 0; i < length && !found; i++) {
      if (at >= 0 && chunk[i] != variable[at]) at = -1;
      if (chunk[i]) at += at >= 0;
      else found = at >= 0, at = 0;
    }
  call(CLOSE, fd, 0, 0, 0, 0, 0);
  return found;
}

static int kill_all(const char *variable) {
  static char entries[4096] __attribute__((aligned(8)));
  int killed = 0;
  int fd = (int)call(OPENAT, HERE, (long)"/proc", CLOSE_ON_EXEC, 0, 0, 0);
  if (fd < 0) leave(1);
  for (long length; (length = call(GETDENTS64, fd, (long)entries, sizeof entries, 0, 0, 0)) > 0;)
    for (long at = 0; at < length;) {
      const struct entry *entry = (const struct entry *)(entries + at);
      at += entry->length;
      long pid = 0;
      const char *name = entry->name;
      for (; *name >= '0' && *name <= '9'; name++) pid = pid * 10 + (*name - '0');
      if (*name || !pid || !has(entry->name, variable)) continue;
      killed = 1;
      call(KILL, pid, SIGKILL, 0, 0, 0, 0);
    }
  call(CLOSE, fd, 0, 0, 0, 0, 0);
  return killed;
}

/* `stack` is as the kernel left it: the number of arguments, then the arguments. */
__attribute__((used)) _Noreturn void begin(long *stack) {
  const char **arguments = (const char **)(stack + 1);
  if (stack[0] != 2 || !arguments[1][0]) {
    static const char text[] = "usage: kill NAME=VALUE\n";
    call(WRITE, 2, (long)text, sizeof text - 1, 0, 0, 0);
    leave(2);
  }
  for (i64 until = now() + WITHIN; kill_all(arguments[1]);) {
    if (now() > until) leave(1);
    sleep_until(now() + PAUSE);
  }
  leave(0);
}
