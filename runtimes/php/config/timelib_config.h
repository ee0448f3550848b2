/* Dates are allocated as everything of a request is. */
#include "php_config.h"
#include "zend.h"

#include <inttypes.h>
#include <stdint.h>

#define timelib_malloc emalloc
#define timelib_realloc erealloc
#define timelib_calloc ecalloc
#define timelib_strdup estrdup
#define timelib_strndup estrndup
#define timelib_free efree
