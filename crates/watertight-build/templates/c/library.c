// The library's interface, as wit/world.wit has it.
#include "greeting.h"
#include "library.h" // made from wit/world.wit by the build

void exports_app_{{ident}}_greeting_greet(library_string_t *name, library_string_t *ret) {
  char text[1024];
  greet((const char *)name->ptr, name->len, text, sizeof text);
  library_string_dup(ret, text);
  library_string_free(name);
}
