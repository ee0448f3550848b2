// What the component does, apart from how it is called: this can be tested anywhere.
#ifndef GREETING_H
#define GREETING_H

#include <stddef.h>

// Writes a greeting and its NUL into `out`, cut to its room; gives its length.
size_t greet(const char *name, size_t name_len, char *out, size_t room);

#endif
