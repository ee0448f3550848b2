/* Other components as classes: see `modules.c`. */
#ifndef WATERTIGHT_PHP_MODULES_H
#define WATERTIGHT_PHP_MODULES_H

#include "php.h"

extern const zend_function_entry module_functions[];

/* Defines a class for each, when a request begins. */
void modules_begin(void);

#endif
