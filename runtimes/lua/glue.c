/*
 * Lua behind the world `script`. A script that answers requests returns a function: it gets a table (method, path, query, headers, and
 * `body`, a function that reads it) and returns a status, a table of headers, and a string or a function that gives one piece after
 * the other. An error that nobody catches goes to stderr.
 */

#include "host.h"
#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"
#include "modules.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wasi/libc-environ.h>

static lua_State *lua;
static int handler = LUA_NOREF;
/* While a script is loaded for a snapshot: whether it did what belongs in each cell. */
static bool loading, impure;

static int traced(lua_State *L) {
    const char *message = lua_tostring(L, 1);
    luaL_traceback(L, L, message ? message : luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

static void report(void) {
    fprintf(stderr, "%s\n", lua_tostring(lua, -1));
    lua_pop(lua, 1);
}

/* Calls with a traceback for what fails. */
static int call(int arguments, int results) {
    int at = lua_gettop(lua) - arguments;
    lua_pushcfunction(lua, traced);
    lua_insert(lua, at);
    int status = lua_pcall(lua, arguments, results, at);
    lua_remove(lua, at);
    return status;
}

/* A function that notes that it was called, in front of another. */
static int watched(lua_State *L) {
    if (loading) impure = true;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static void watch(const char *library, const char *name) {
    lua_getglobal(lua, library);
    lua_getfield(lua, -1, name);
    lua_pushcclosure(lua, watched, 1);
    lua_setfield(lua, -2, name);
    lua_pop(lua, 1);
}

static int leave(lua_State *L) {
    int code = lua_isboolean(L, 1) ? (lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE) : (int)luaL_optinteger(L, 1, EXIT_SUCCESS);
    fflush(NULL);
    exit_with(code);
}

/* WASI has no cpu time: the time since the cell began is the nearest. */
static int since_start(lua_State *L) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
    return 1;
}

void language_prepare(void) {
    lua = luaL_newstate();
    luaL_openlibs(lua);
    luaL_dostring(lua, "package.path = './?.lua;./?/init.lua;/app/?.lua;/app/?/init.lua'; package.cpath = ''; package.loadlib = nil");
    lua_getglobal(lua, "os");
    lua_pushcfunction(lua, leave);
    lua_setfield(lua, -2, "exit");
    lua_pushcfunction(lua, since_start);
    lua_setfield(lua, -2, "clock");
    lua_pop(lua, 1);
    install_modules(lua);
    watch("math", "random");
    watch("os", "getenv");
    watch("os", "time");
    watch("os", "clock");
    watch("os", "date");
    watch("io", "open");
    lua_gc(lua, LUA_GCCOLLECT);
}

void language_wake(int argc, char **argv, char **environment) {
    (void)environment;
    __wasilibc_deinitialize_environ();
    lua_createtable(lua, argc, 0);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(lua, argv[i]);
        lua_rawseti(lua, -2, i);
    }
    lua_setglobal(lua, "arg");
    if (preparing) return;
    lua_getglobal(lua, "math");
    lua_getfield(lua, -1, "randomseed");
    lua_pushinteger(lua, (lua_Integer)(chance() * 0x1p53));
    lua_pushinteger(lua, (lua_Integer)(chance() * 0x1p53));
    lua_call(lua, 2, 0);
    lua_pop(lua, 1);
}

/* Runs the script; what it returns is on the stack. */
static bool run(const char *script, int results) {
    if (luaL_loadfile(lua, script) != LUA_OK) return false;
    int arguments = 0;
    lua_getglobal(lua, "arg");
    int table = lua_gettop(lua);
    while (results == 0 && lua_rawgeti(lua, table, arguments + 1) != LUA_TNIL) arguments++;
    if (results == 0) lua_pop(lua, 1);
    lua_remove(lua, table);
    return call(arguments, results) == LUA_OK;
}

bool language_load(const char *script) {
    /* `wake` has run: what follows is the script's own doing. */
    loading = true;
    impure = false;
    bool good = run(script, 1) && lua_isfunction(lua, -1);
    loading = false;
    if (good) handler = luaL_ref(lua, LUA_REGISTRYINDEX);
    else if (lua_isstring(lua, -1)) report();
    else lua_pop(lua, 1);
    lua_gc(lua, LUA_GCCOLLECT);
    return good && !impure;
}

int language_command(const char *script) {
    bool good = run(script, 0);
    if (!good) report();
    fflush(NULL);
    return good ? 0 : 1;
}

static int read_body(lua_State *L) {
    luaL_Buffer buffer;
    bool all = lua_isnoneornil(L, 1);
    luaL_buffinit(L, &buffer);
    long n;
    do {
        char *room = luaL_prepbuffsize(&buffer, 64 * 1024);
        n = request_read(room, 64 * 1024);
        if (n < 0) return luaL_error(L, "the client went away in the middle of its request");
        luaL_addsize(&buffer, (size_t)n);
    } while (all && n > 0);
    luaL_pushresult(&buffer);
    if (!all && n == 0) lua_pushnil(L);
    return 1;
}

static void set(const char *name, struct text text) {
    lua_pushlstring(lua, text.data, text.len);
    lua_setfield(lua, -2, name);
}

static void push_request(void) {
    lua_newtable(lua);
    const char *query = memchr(request.path.data, '?', request.path.len);
    size_t path = query ? (size_t)(query - request.path.data) : request.path.len;
    set("method", request.method);
    set("scheme", request.scheme);
    set("authority", request.authority);
    set("path", (struct text){request.path.data, path});
    set("query", query ? (struct text){(char *)query + 1, request.path.len - path - 1} : (struct text){"", 0});
    lua_newtable(lua);
    for (size_t i = 0; i < request.header_count; i++) {
        struct header *header = &request.headers[i];
        lua_pushlstring(lua, header->name.data, header->name.len);
        lua_pushvalue(lua, -1);
        bool again = lua_rawget(lua, -3) != LUA_TNIL;
        if (again) lua_pushliteral(lua, ", ");
        lua_pushlstring(lua, header->value.data, header->value.len);
        if (again) {
            lua_concat(lua, 3);
        } else {
            lua_remove(lua, -2);
        }
        lua_rawset(lua, -3);
    }
    lua_setfield(lua, -2, "headers");
    lua_pushcfunction(lua, read_body);
    lua_setfield(lua, -2, "body");
}

/* Sends what is on the stack: status, headers, body. */
static int answer(lua_State *L) {
    int status = (int)luaL_checkinteger(L, 1);
    size_t count = 0;
    if (!lua_isnoneornil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) count++;
    }
    struct header *headers = lua_newuserdata(L, (count + 1) * sizeof *headers);
    size_t n = 0;
    if (count > 0)
        for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1), n++) {
            luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, 2, "a header's name is a string");
            headers[n].name.data = (char *)lua_tolstring(L, -2, &headers[n].name.len);
            headers[n].value.data = (char *)luaL_checklstring(L, -1, &headers[n].value.len);
        }
    if (!answer_head(status, headers, count)) return luaL_error(L, "the answer has a header or a status that is none");
    size_t len;
    if (lua_isfunction(L, 3)) {
        for (;;) {
            lua_pushvalue(L, 3);
            lua_call(L, 0, 1);
            if (lua_isnil(L, -1)) break;
            const char *piece = luaL_checklstring(L, -1, &len);
            if (!answer_write(piece, len)) break;
            lua_pop(L, 1);
        }
    } else if (!lua_isnoneornil(L, 3)) {
        const char *body = luaL_checklstring(L, 3, &len);
        answer_write(body, len);
    }
    answer_end();
    return 0;
}

void language_request(const char *script) {
    bool good = true;
    if (handler == LUA_NOREF) {
        good = run(script, 1);
        if (good && !lua_isfunction(lua, -1)) {
            lua_pushfstring(lua, "%s returns no function: return function(request) … end", script);
            good = false;
        }
    } else {
        lua_rawgeti(lua, LUA_REGISTRYINDEX, handler);
    }
    if (good) {
        push_request();
        good = call(1, 3) == LUA_OK;
    }
    if (good) {
        lua_pushcfunction(lua, answer);
        lua_insert(lua, -4);
        good = call(3, 0) == LUA_OK;
    }
    fflush(stdout);
    if (!good) {
        report();
        answer_failure();
    }
}

/* What WASI has not, and the library links. */
int system(const char *command) {
    (void)command;
    return -1;
}

FILE *tmpfile(void) { return NULL; }
