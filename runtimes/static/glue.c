/* A folder is served as it is: `folder.c` has how. The script is only where that folder is. */

#include "folder.h"
#include "host.h"

#include <stdio.h>

void language_prepare(void) {}

bool language_load(const char *script) {
    (void)script;
    return false;
}

void language_wake(int argc, char **argv, char **environment) {
    (void)argc;
    (void)argv;
    (void)environment;
}

int language_command(const char *script) {
    (void)script;
    fputs("these files are served, not run: watertight serve\n", stderr);
    return 1;
}

void language_request(const char *script) {
    folder_answer(script);
}
