/* Files that WASI has not: see `files.c`. */
#ifndef WATERTIGHT_PHP_FILES_H
#define WATERTIGHT_PHP_FILES_H

/* A cell begins: what it is granted is not known yet. */
void files_wake(void);

#endif
