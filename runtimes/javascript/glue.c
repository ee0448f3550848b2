/*
 * QuickJS behind the world `script`: modules from the mounted folder, promises and timers until an answer is there, and the host's
 * functions that web.js makes the globals of the web of. An exception that nobody catches goes to stderr.
 */

#include "host.h"
#include "modules.h"
#include "quickjs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern const uint8_t web_js[];
extern const size_t web_js_len;

/* From here on what there is lives for ever: see immortal.c. */
void js_make_immortal(JSRuntime *runtime);

static JSRuntime *runtime;
static JSContext *js;
static JSValue hooks, loaded;
static bool has_loaded;

static JSValue bytes_of(const void *data, size_t len) {
    return JS_NewUint8ArrayCopy(js, data, len);
}

static JSValue string_of(struct text text) {
    return JS_NewStringLen(js, text.data, text.len);
}

static JSValue failed(const char *what, const char *path) {
    JSValue error = JS_NewError(js);
    char message[512];
    snprintf(message, sizeof message, "%s: %s '%s'", errno == ENOENT ? "ENOENT" : strerror(errno), what, path);
    JS_DefinePropertyValueStr(js, error, "message", JS_NewString(js, message), JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
    JS_SetPropertyStr(js, error, "code", JS_NewString(js, errno == ENOENT || errno == ENOTCAPABLE ? "ENOENT" : errno == EROFS || errno == EACCES || errno == EPERM ? "EACCES" : "EIO"));
    return JS_Throw(js, error);
}

static void report(JSValue error) {
    const char *text = JS_ToCString(js, error);
    JSValue stack = JS_IsObject(error) ? JS_GetPropertyStr(js, error, "stack") : JS_UNDEFINED;
    const char *trace = JS_IsString(stack) ? JS_ToCString(js, stack) : NULL;
    fprintf(stderr, "%s\n%s", text ? text : "an exception", trace ? trace : "");
    fflush(stderr);
    JS_FreeCString(js, text);
    JS_FreeCString(js, trace);
    JS_FreeValue(js, stack);
}

static void report_exception(void) {
    JSValue error = JS_GetException(js);
    report(error);
    JS_FreeValue(js, error);
}

/* Reads a whole file: NULL with errno. The bytes are followed by a zero. */
static uint8_t *read_file(int fd, size_t *len) {
    size_t room = 64 * 1024, have = 0;
    uint8_t *data = malloc(room + 1);
    for (;;) {
        ssize_t n = read(fd, data + have, room - have);
        if (n < 0) {
            free(data);
            return NULL;
        }
        if (n == 0) break;
        have += (size_t)n;
        if (have == room) data = realloc(data, (room *= 2) + 1);
    }
    data[have] = 0;
    *len = have;
    return data;
}

#define FUNCTION(name) static JSValue name(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)

FUNCTION(host_read) {
    const char *path = JS_IsNumber(argv[0]) ? NULL : JS_ToCString(ctx, argv[0]);
    int32_t number = 0;
    if (path == NULL) JS_ToInt32(ctx, &number, argv[0]);
    int fd = path ? open(path, O_RDONLY) : number;
    size_t len;
    uint8_t *data = fd < 0 ? NULL : read_file(fd, &len);
    JSValue result = data ? bytes_of(data, len) : failed("open", path ? path : "stdin");
    free(data);
    if (path && fd >= 0) close(fd);
    JS_FreeCString(ctx, path);
    return result;
}

static bool write_all(int fd, const uint8_t *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0) return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

FUNCTION(host_write) {
    size_t len;
    const uint8_t *data = JS_GetUint8Array(ctx, &len, argv[1]);
    if (data == NULL) return JS_EXCEPTION;
    const char *path = JS_IsNumber(argv[0]) ? NULL : JS_ToCString(ctx, argv[0]);
    int32_t number = 1;
    if (path == NULL) JS_ToInt32(ctx, &number, argv[0]);
    int fd = path ? open(path, O_WRONLY | O_CREAT | (JS_ToBool(ctx, argv[2]) ? O_APPEND : O_TRUNC), 0666) : number;
    bool done = fd >= 0 && write_all(fd, data, len);
    JSValue result = done ? JS_UNDEFINED : failed("open", path ? path : "stdout");
    if (path && fd >= 0) close(fd);
    JS_FreeCString(ctx, path);
    return result;
}

FUNCTION(host_list) {
    const char *path = JS_ToCString(ctx, argv[0]);
    DIR *folder = opendir(path);
    JSValue result = folder ? JS_NewArray(ctx) : failed("scandir", path);
    uint32_t n = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            JS_SetPropertyUint32(ctx, result, n++, JS_NewString(ctx, entry->d_name));
    if (folder) closedir(folder);
    JS_FreeCString(ctx, path);
    return result;
}

FUNCTION(host_stat) {
    const char *path = JS_ToCString(ctx, argv[0]);
    struct stat found;
    JSValue result;
    if (stat(path, &found)) {
        result = failed("stat", path);
    } else {
        result = JS_NewArray(ctx);
        JS_SetPropertyUint32(ctx, result, 0, JS_NewBool(ctx, S_ISDIR(found.st_mode)));
        JS_SetPropertyUint32(ctx, result, 1, JS_NewInt64(ctx, found.st_size));
        JS_SetPropertyUint32(ctx, result, 2, JS_NewFloat64(ctx, (double)found.st_mtim.tv_sec * 1e3));
    }
    JS_FreeCString(ctx, path);
    return result;
}

static JSValue on_path(JSValueConst path, int (*act)(const char *), const char *what) {
    const char *text = JS_ToCString(js, path);
    JSValue result = act(text) ? failed(what, text) : JS_UNDEFINED;
    JS_FreeCString(js, text);
    return result;
}

static int make_folder(const char *path) {
    return mkdir(path, 0777);
}

FUNCTION(host_mkdir) { return on_path(argv[0], make_folder, "mkdir"); }
FUNCTION(host_unlink) { return on_path(argv[0], unlink, "unlink"); }
FUNCTION(host_rmdir) { return on_path(argv[0], rmdir, "rmdir"); }

FUNCTION(host_exit) {
    int32_t code = 0;
    JS_ToInt32(ctx, &code, argv[0]);
    exit_with(code);
}

FUNCTION(host_chance) { return JS_NewFloat64(ctx, chance()); }

FUNCTION(host_fill) {
    size_t len;
    uint8_t *data = JS_GetUint8Array(ctx, &len, argv[0]);
    for (size_t at = 0; data && at < len; at += 256) getentropy(data + at, len - at < 256 ? len - at : 256);
    return data ? JS_UNDEFINED : JS_EXCEPTION;
}

FUNCTION(host_encode) {
    size_t len;
    const char *text = JS_ToCStringLen(ctx, &len, argv[0]);
    JSValue result = text ? bytes_of(text, len) : JS_EXCEPTION;
    JS_FreeCString(ctx, text);
    return result;
}

FUNCTION(host_decode) {
    size_t len;
    const uint8_t *data = JS_GetUint8Array(ctx, &len, argv[0]);
    return data ? JS_NewStringLen(ctx, (const char *)data, len) : JS_EXCEPTION;
}

/* A text, and the name that its stack traces have. */
FUNCTION(host_evaluate) {
    size_t len;
    const char *text = JS_ToCStringLen(ctx, &len, argv[0]);
    const char *name = JS_ToCString(ctx, argv[1]);
    JSValue result = text && name ? JS_Eval(ctx, text, len, name, JS_EVAL_TYPE_GLOBAL) : JS_EXCEPTION;
    JS_FreeCString(ctx, text);
    JS_FreeCString(ctx, name);
    return result;
}

static JSValue headers_of(const struct message *message) {
    JSValue list = JS_NewArray(js);
    for (size_t i = 0; i < message->header_count; i++) {
        JSValue pair = JS_NewArray(js);
        JS_SetPropertyUint32(js, pair, 0, string_of(message->headers[i].name));
        JS_SetPropertyUint32(js, pair, 1, string_of(message->headers[i].value));
        JS_SetPropertyUint32(js, list, (uint32_t)i, pair);
    }
    return list;
}

/* Takes a list of pairs of strings. The strings stay until the cell ends. */
static struct header *headers_from(JSValueConst list, size_t *count) {
    int64_t len = 0;
    JS_GetLength(js, list, &len);
    struct header *headers = calloc((size_t)len + 1, sizeof *headers);
    for (int64_t i = 0; i < len; i++) {
        JSValue pair = JS_GetPropertyInt64(js, list, i);
        struct text *parts[2] = {&headers[i].name, &headers[i].value};
        for (uint32_t n = 0; n < 2; n++) {
            JSValue part = JS_GetPropertyUint32(js, pair, n);
            parts[n]->data = (char *)JS_ToCStringLen(js, &parts[n]->len, part);
            JS_FreeValue(js, part);
        }
        JS_FreeValue(js, pair);
    }
    *count = (size_t)len;
    return headers;
}

FUNCTION(host_request) {
    JSValue result = JS_NewArray(ctx);
    struct text parts[] = {request.method, request.scheme, request.authority, request.path};
    for (uint32_t n = 0; n < 4; n++) JS_SetPropertyUint32(ctx, result, n, string_of(parts[n]));
    JS_SetPropertyUint32(ctx, result, 4, headers_of(&request));
    return result;
}

static JSValue next_of(long (*next)(void *, size_t)) {
    static uint8_t buffer[64 * 1024];
    long n = next(buffer, sizeof buffer);
    if (n < 0) return JS_ThrowTypeError(js, "the body is cut off");
    return n == 0 ? JS_NULL : bytes_of(buffer, (size_t)n);
}

FUNCTION(host_body) { return next_of(request_read); }
FUNCTION(host_outbound_body) { return next_of(outbound_read); }

FUNCTION(host_head) {
    int32_t status = 200;
    JS_ToInt32(ctx, &status, argv[0]);
    size_t count;
    struct header *headers = headers_from(argv[1], &count);
    return answer_head(status, headers, count) ? JS_UNDEFINED : JS_ThrowTypeError(ctx, "the answer has a header or a status that is none");
}

FUNCTION(host_answer) {
    size_t len;
    const uint8_t *data = JS_GetUint8Array(ctx, &len, argv[0]);
    return data ? JS_NewBool(ctx, answer_write(data, len)) : JS_EXCEPTION;
}

FUNCTION(host_end) {
    answer_end();
    return JS_UNDEFINED;
}

/* method, scheme, authority, path, headers, body */
FUNCTION(host_send) {
    struct message out = {0}, answer = {0};
    struct text *parts[] = {&out.method, &out.scheme, &out.authority, &out.path};
    for (int n = 0; n < 4; n++) parts[n]->data = (char *)JS_ToCStringLen(ctx, &parts[n]->len, argv[n]);
    out.headers = headers_from(argv[4], &out.header_count);
    size_t len = 0;
    const uint8_t *body = JS_GetUint8Array(ctx, &len, argv[5]);
    const char *error = outbound_send(&out, body, len, &answer);
    if (error) return JS_ThrowTypeError(ctx, "fetch failed: %s: %s", out.authority.data, error);
    JSValue result = JS_NewArray(ctx);
    JS_SetPropertyUint32(ctx, result, 0, JS_NewInt32(ctx, answer.status));
    JS_SetPropertyUint32(ctx, result, 1, headers_of(&answer));
    return result;
}

FUNCTION(host_sleep) {
    double ms = 0;
    JS_ToFloat64(ctx, &ms, argv[0]);
    struct timespec time = {(time_t)(ms / 1e3), (long)((ms - (double)(time_t)(ms / 1e3) * 1e3) * 1e6)};
    nanosleep(&time, NULL);
    return JS_UNDEFINED;
}

static const JSCFunctionListEntry FUNCTIONS[] = {
    JS_CFUNC_DEF("read", 1, host_read), JS_CFUNC_DEF("write", 3, host_write), JS_CFUNC_DEF("list", 1, host_list),
    JS_CFUNC_DEF("stat", 1, host_stat), JS_CFUNC_DEF("mkdir", 1, host_mkdir), JS_CFUNC_DEF("unlink", 1, host_unlink),
    JS_CFUNC_DEF("rmdir", 1, host_rmdir), JS_CFUNC_DEF("exit", 1, host_exit), JS_CFUNC_DEF("chance", 0, host_chance),
    JS_CFUNC_DEF("fill", 1, host_fill), JS_CFUNC_DEF("encode", 1, host_encode), JS_CFUNC_DEF("decode", 1, host_decode),
    JS_CFUNC_DEF("evaluate", 2, host_evaluate),
    JS_CFUNC_DEF("request", 0, host_request), JS_CFUNC_DEF("body", 0, host_body), JS_CFUNC_DEF("head", 2, host_head),
    JS_CFUNC_DEF("answer", 1, host_answer), JS_CFUNC_DEF("end", 0, host_end), JS_CFUNC_DEF("send", 6, host_send),
    JS_CFUNC_DEF("outboundBody", 0, host_outbound_body), JS_CFUNC_DEF("sleep", 1, host_sleep),
};

/* Calls a function of web.js. */
static JSValue hook(const char *name, int argc, JSValueConst *argv) {
    JSValue function = JS_GetPropertyStr(js, hooks, name);
    JSValue result = JS_Call(js, function, hooks, argc, argv);
    JS_FreeValue(js, function);
    return result;
}

/* Where a module is: web.js knows the rules of bare names. */
static char *resolve(JSContext *ctx, const char *base, const char *name, void *opaque) {
    if (is_module_name(name)) return js_strdup(ctx, name);
    JSValue arguments[] = {JS_NewString(ctx, base), JS_NewString(ctx, name)};
    JSValue found = hook("resolve", 2, (JSValueConst *)arguments);
    const char *text = JS_IsException(found) ? NULL : JS_ToCString(ctx, found);
    char *copy = text ? js_strdup(ctx, text) : NULL;
    JS_FreeCString(ctx, text);
    JS_FreeValue(ctx, found);
    JS_FreeValue(ctx, arguments[0]);
    JS_FreeValue(ctx, arguments[1]);
    return copy;
}

static JSModuleDef *load_module(JSContext *ctx, const char *name, void *opaque) {
    if (is_module_name(name)) return load_component_module(ctx, name);
    JSValue argument = JS_NewString(ctx, name);
    /* Its own text for what is built in or not JavaScript. */
    JSValue own = hook("source", 1, (JSValueConst *)&argument);
    JS_FreeValue(ctx, argument);
    if (JS_IsException(own)) return NULL;
    size_t len;
    uint8_t *data = NULL;
    if (JS_IsString(own)) {
        const char *text = JS_ToCStringLen(ctx, &len, own);
        data = malloc(len + 1);
        memcpy(data, text, len + 1);
        JS_FreeCString(ctx, text);
    } else {
        int fd = open(name, O_RDONLY);
        data = fd < 0 ? NULL : read_file(fd, &len);
        if (fd >= 0) close(fd);
    }
    JS_FreeValue(ctx, own);
    if (data == NULL) {
        JS_ThrowReferenceError(ctx, "cannot load module '%s': %s", name, strerror(errno));
        return NULL;
    }
    JSValue module = JS_Eval(ctx, (const char *)data, len, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    free(data);
    if (JS_IsException(module)) return NULL;
    JSModuleDef *definition = JS_VALUE_GET_PTR(module);
    char url[1100];
    snprintf(url, sizeof url, "file://%s", name);
    JSValue meta = JS_GetImportMeta(ctx, definition);
    JS_SetPropertyStr(ctx, meta, "url", JS_NewString(ctx, url));
    JS_FreeValue(ctx, meta);
    JS_FreeValue(ctx, module);
    return definition;
}

void language_prepare(void) {
    runtime = JS_NewRuntime();
    js = JS_NewContext(runtime);
    JS_SetModuleLoaderFunc(runtime, resolve, load_module, NULL);
    JSValue host = JS_NewObject(js);
    JS_SetPropertyFunctionList(js, host, FUNCTIONS, sizeof FUNCTIONS / sizeof *FUNCTIONS);
    JSValue global = JS_GetGlobalObject(js);
    JS_SetPropertyStr(js, global, "__host", host);
    JSValue web = JS_Eval(js, (const char *)web_js, web_js_len, "watertight:web", JS_EVAL_TYPE_GLOBAL);
    if (JS_IsException(web)) {
        report_exception();
        abort();
    }
    JS_FreeValue(js, web);
    hooks = JS_GetPropertyStr(js, global, "__hooks");
    /* Scripts have the web's own names for all of this. */
    const char *names[] = {"__host", "__hooks"};
    for (size_t n = 0; n < 2; n++) {
        JSAtom name = JS_NewAtom(js, names[n]);
        JS_DeleteProperty(js, global, name, 0);
        JS_FreeAtom(js, name);
    }
    JS_FreeValue(js, global);
    JS_RunGC(runtime);
}

void language_fill(const char *end) {
    for (size_t size = 8; size <= 512; size += 8) {
        const char *new;
        do new = js_malloc_rt(runtime, size);
        while (new != NULL && new < end);
    }
    js_make_immortal(runtime);
}

void language_wake(int argc, char **argv, char **environment) {
    JSValue values[] = {JS_NewArray(js), JS_NewObject(js)};
    for (int i = 0; i < argc; i++) JS_SetPropertyUint32(js, values[0], (uint32_t)i, JS_NewString(js, argv[i]));
    for (; *environment; environment++) {
        char *equals = strchr(*environment, '=');
        if (equals == NULL) continue;
        *equals = 0;
        JS_SetPropertyStr(js, values[1], *environment, JS_NewString(js, equals + 1));
        *equals = '=';
    }
    JS_FreeValue(js, hook("wake", 2, (JSValueConst *)values));
    JS_FreeValue(js, values[0]);
    JS_FreeValue(js, values[1]);
}

/* Runs jobs and timers until a promise is settled: its value, or an exception. */
static JSValue settle(JSValue promise) {
    for (;;) {
        JSContext *ctx;
        int ran = JS_ExecutePendingJob(runtime, &ctx);
        if (ran < 0) report_exception();
        if (ran != 0) continue;
        JSPromiseStateEnum state = JS_PromiseState(js, promise);
        if (state != JS_PROMISE_PENDING) {
            if (state == JS_PROMISE_NOT_A_PROMISE) return promise;
            JSValue result = JS_PromiseResult(js, promise);
            JS_FreeValue(js, promise);
            return state == JS_PROMISE_FULFILLED ? result : JS_Throw(js, result);
        }
        /* Sleeps until the next timer, and runs it. */
        JSValue more = hook("tick", 0, NULL);
        if (JS_IsException(more)) report_exception();
        bool idle = JS_IsBool(more) && !JS_ToBool(js, more);
        if (idle) {
            JS_FreeValue(js, promise);
            return JS_ThrowInternalError(js, "a promise is waited for that nothing will settle");
        }
    }
}

/* The exports of the script. */
static JSValue import(const char *script) {
    if (has_loaded) return JS_DupValue(js, loaded);
    JSValue argument = JS_NewString(js, script);
    JSValue exports = hook("load", 1, (JSValueConst *)&argument);
    JS_FreeValue(js, argument);
    return JS_IsException(exports) ? exports : settle(exports);
}

bool language_load(const char *script) {
    loaded = import(script);
    has_loaded = !JS_IsException(loaded);
    if (!has_loaded) report_exception();
    JSValue pure = hook("pure", 0, NULL);
    bool keep = has_loaded && JS_ToBool(js, pure);
    JS_FreeValue(js, pure);
    JS_RunGC(runtime);
    return keep;
}

int language_command(const char *script) {
    JSValue exports = import(script);
    if (!JS_IsException(exports)) {
        /* What the script has left to do: timers, and what follows from them. */
        for (;;) {
            JSContext *ctx;
            int ran = JS_ExecutePendingJob(runtime, &ctx);
            if (ran < 0) {
                exports = JS_EXCEPTION;
                break;
            }
            if (ran != 0) continue;
            JSValue more = hook("tick", 0, NULL);
            if (JS_IsException(more)) {
                exports = JS_EXCEPTION;
                break;
            }
            if (!JS_ToBool(js, more)) break;
        }
    }
    if (JS_IsException(exports)) {
        report_exception();
        return 1;
    }
    JSValue code = hook("exitCode", 0, NULL);
    int32_t number = 0;
    JS_ToInt32(js, &number, code);
    return number;
}

void language_request(const char *script) {
    JSValue exports = import(script);
    JSValue done = JS_EXCEPTION;
    if (!JS_IsException(exports)) {
        done = hook("handle", 1, (JSValueConst *)&exports);
        if (!JS_IsException(done)) done = settle(done);
    }
    if (JS_IsException(done)) {
        report_exception();
        answer_failure();
    }
}
