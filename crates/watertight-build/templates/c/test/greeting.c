#include "../greeting.h"

#include <assert.h>
#include <string.h>

int main(void) {
  char text[16];
  assert(greet("Ada", 3, text, sizeof text) == 11 && strcmp(text, "Hello, Ada!") == 0);
  assert(greet("", 0, text, sizeof text) == 13 && strcmp(text, "Hello, world!") == 0);
  assert(greet("Wilhelmina", 10, text, sizeof text) == 15 && strcmp(text, "Hello, Wilhelmi") == 0);
  return 0;
}
