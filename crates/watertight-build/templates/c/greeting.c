#include "greeting.h"

#include <stdio.h>

size_t greet(const char *name, size_t name_len, char *out, size_t room) {
  int length = name_len == 0 ? snprintf(out, room, "Hello, world!")
                             : snprintf(out, room, "Hello, %.*s!", (int)name_len, name);
  if (length < 0 || room == 0) {
    return 0;
  }
  return (size_t)length < room ? (size_t)length : room - 1;
}
