/* What the programs are told: words, numbers and ports. Anything else ends them with their usage. */

static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

static int digit(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  byte |= 0x20;
  return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : 99;
}

/* Reads a number up to `most`, moves past it, and refuses anything else. */
static u32 number(const char **at, u32 base, u32 most) {
  u32 value = 0;
  if (digit(**at) >= (int)base) usage();
  for (; digit(**at) < (int)base; ++*at) {
    value = value * base + (u32)digit(**at);
    if (value > most) usage();
  }
  return value;
}

static u16 port_number(const char **at) {
  u32 port = number(at, 10, 65535);
  if (!port) usage();
  return (u16)port;
}
