/*
 * Other components of the app for `require`: `local markdown = require "press:markdown/render"`. A module's functions have snake_case
 * names. A call that fails raises a table with `kind`, `message` and `payload`; one with the wrong arguments, a string.
 */

#include "modules.h"

#include "calls.h"

#include "lauxlib.h"

#include <stdlib.h>
#include <string.h>

/* ---- values */

/* Writes the value at this place: NULL, or why it cannot be. */
static const char *write_value(lua_State *L, struct cbor *out, int at, int depth);

static const char *write_table(lua_State *L, struct cbor *out, int at, int depth) {
    size_t len = lua_rawlen(L, at), count = 0;
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) count++;
    const char *wrong = NULL;
    if (count == len) {
        cbor_array(out, len);
        for (size_t i = 1; wrong == NULL && i <= len; i++) {
            lua_rawgeti(L, at, (lua_Integer)i);
            wrong = write_value(L, out, lua_gettop(L), depth + 1);
            lua_pop(L, 1);
        }
        return wrong;
    }
    cbor_map(out, count);
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
        int value = lua_gettop(L);
        wrong = write_value(L, out, value - 1, depth + 1);
        if (wrong == NULL) wrong = write_value(L, out, value, depth + 1);
        if (wrong != NULL) {
            lua_pop(L, 2);
            break;
        }
    }
    return wrong;
}

static const char *write_value(lua_State *L, struct cbor *out, int at, int depth) {
    size_t len;
    if (depth > CBOR_DEPTH || !lua_checkstack(L, 8)) return "what is nested so deep";
    switch (lua_type(L, at)) {
    case LUA_TNIL: case LUA_TLIGHTUSERDATA: cbor_null(out); return NULL;
    case LUA_TBOOLEAN: cbor_bool(out, lua_toboolean(L, at)); return NULL;
    case LUA_TNUMBER:
        if (lua_isinteger(L, at)) cbor_integer(out, lua_tointeger(L, at));
        else cbor_real(out, lua_tonumber(L, at));
        return NULL;
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, at, &len);
        cbor_string(out, text, len);
        return NULL;
    }
    case LUA_TTABLE: return write_table(L, out, at, depth);
    default: return luaL_typename(L, at);
    }
}

/* Pushes the next value. */
static void read_value(lua_State *L, struct text *from) {
    struct item item = cbor_next(from);
    luaL_checkstack(L, 8, "values");
    switch (item.kind) {
    case CBOR_INTEGER: case CBOR_WIDE: lua_pushinteger(L, (lua_Integer)(item.negative ? ~item.number : item.number)); return;
    case CBOR_BYTES: case CBOR_TEXT: lua_pushlstring(L, item.text.data, item.text.len); return;
    case CBOR_BOOL: lua_pushboolean(L, item.number != 0); return;
    case CBOR_FLOAT: lua_pushnumber(L, item.real); return;
    case CBOR_ARRAY:
        lua_createtable(L, (int)item.number, 0);
        for (uint64_t i = 1; i <= item.number; i++) {
            read_value(L, from);
            lua_rawseti(L, -2, (lua_Integer)i);
        }
        return;
    case CBOR_MAP:
        lua_createtable(L, 0, (int)item.number);
        for (uint64_t i = 0; i < item.number; i++) {
            if (item.is_map) {
                read_value(L, from);
            } else {
                struct text name = cbor_next(from).text;
                char *snake = malloc(name.len + 1);
                lua_pushlstring(L, snake, name_joined(name, '_', snake));
                free(snake);
            }
            read_value(L, from);
            lua_rawset(L, -3);
        }
        return;
    case CBOR_NULL: case CBOR_END: lua_pushnil(L);
    }
}

/* ---- calls */

#define FAILURE "watertight.failure"

static int failure_text(lua_State *L) {
    lua_getfield(L, 1, "message");
    return 1;
}

static int throw(lua_State *L, struct failure *failure) {
    struct text payload = failure->payload;
    bool mistake = failure->kind.len == 4 && memcmp(failure->kind.data, "type", 4) == 0;
    if (mistake) {
        luaL_where(L, 1);
        lua_pushlstring(L, failure->message.data, failure->message.len);
        lua_concat(L, 2);
    } else {
        lua_newtable(L);
        lua_pushlstring(L, failure->kind.data, failure->kind.len);
        lua_setfield(L, -2, "kind");
        lua_pushlstring(L, failure->message.data, failure->message.len);
        lua_setfield(L, -2, "message");
        if (payload.len > 0) {
            read_value(L, &payload);
            lua_setfield(L, -2, "payload");
        }
        luaL_setmetatable(L, FAILURE);
    }
    module_free((struct text){NULL, 0}, failure);
    return lua_error(L);
}

static struct text upvalue(lua_State *L, int place) {
    struct text text;
    text.data = (char *)lua_tolstring(L, lua_upvalueindex(place), &text.len);
    return text;
}

static int call(lua_State *L) {
    struct cbor arguments = {0};
    int count = lua_gettop(L);
    cbor_array(&arguments, (size_t)count);
    for (int i = 1; i <= count; i++) {
        const char *wrong = write_value(L, &arguments, i, 0);
        if (wrong == NULL) continue;
        cbor_free(&arguments);
        return luaL_error(L, "%s cannot be given to another component", wrong);
    }
    struct failure failure;
    struct text result = module_call(upvalue(L, 1), upvalue(L, 2), &arguments, &failure);
    cbor_free(&arguments);
    if (failure.kind.data != NULL) return throw(L, &failure);
    struct text from = result;
    read_value(L, &from);
    module_free(result, &failure);
    return 1;
}

/* ---- modules */

static int load(lua_State *L) {
    struct text module;
    module.data = (char *)lua_tolstring(L, 1, &module.len);
    struct text from = module_find(module.data, module.len);
    uint64_t count = cbor_next(&from).number;
    lua_createtable(L, 0, (int)count);
    for (uint64_t i = 0; i < count; i++) {
        struct text name = cbor_next(&from).text;
        char *snake = malloc(name.len + 1);
        lua_pushlstring(L, snake, name_joined(name, '_', snake));
        free(snake);
        lua_pushvalue(L, 1);
        lua_pushlstring(L, name.data, name.len);
        lua_pushcclosure(L, call, 2);
        lua_rawset(L, -3);
        /* Parameters and signature are for people. */
        uint64_t facts = cbor_next(&from).number;
        for (uint64_t n = 0; n < facts; n++) {
            cbor_next(&from);
            struct item fact = cbor_next(&from);
            for (uint64_t p = 0; fact.kind == CBOR_ARRAY && p < fact.number; p++) cbor_next(&from);
        }
    }
    return 1;
}

static int search(lua_State *L) {
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    if (strchr(name, ':') == NULL) return 0;
    if (module_find(name, len).data != NULL) lua_pushcfunction(L, load);
    else lua_pushfstring(L, "no component that this one uses exports '%s': in watertight.toml, list one that does in its `uses`", name);
    return 1;
}

void install_modules(lua_State *L) {
    luaL_newmetatable(L, FAILURE);
    lua_pushcfunction(L, failure_text);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    lua_pushcfunction(L, search);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 2);
}
