// Greets who is named in its arguments.
#include "greeting.h"
#include "program.h" // made from wit/world.wit by the build

#include <stdio.h>

bool exports_wasi_cli_run_run(void) {
  char text[1024];
  program_list_string_t arguments;
  wasi_cli_environment_get_arguments(&arguments);
  if (arguments.len < 2) {
    greet("", 0, text, sizeof text);
    puts(text);
  }
  for (size_t i = 1; i < arguments.len; i++) {
    greet((const char *)arguments.ptr[i].ptr, arguments.ptr[i].len, text, sizeof text);
    puts(text);
  }
  program_list_string_free(&arguments);
  return fflush(stdout) == 0;
}
