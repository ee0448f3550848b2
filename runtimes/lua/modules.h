/* Other components for `require`: what glue.c asks of modules.c. */
#ifndef WATERTIGHT_LUA_MODULES_H
#define WATERTIGHT_LUA_MODULES_H

#include "lua.h"

void install_modules(lua_State *L);

#endif
