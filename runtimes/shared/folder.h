/* The files of a folder as answers: see `folder.c`. */
#ifndef WATERTIGHT_FOLDER_H
#define WATERTIGHT_FOLDER_H

#include <stdbool.h>

/* Whether the path of the request names a file beside the script that visitors may have. */
bool folder_has(const char *script);

/* Answers the request with what its path names beside the script, or says that there is none. */
void folder_answer(const char *script);

#endif
