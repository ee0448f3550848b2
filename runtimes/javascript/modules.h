/* Other components as ES modules: what glue.c asks of modules.c. */
#ifndef WATERTIGHT_JAVASCRIPT_MODULES_H
#define WATERTIGHT_JAVASCRIPT_MODULES_H

#include "quickjs.h"

/* Whether a specifier names a component's interface, by its look: `press:markdown/render`. */
bool is_module_name(const char *specifier);
/* The module; NULL with an exception. */
JSModuleDef *load_component_module(JSContext *ctx, const char *name);

#endif
