/*
 * The world `script` in C, by hand: what the host calls, and what it is asked, in the canonical ABI.
 *
 * A generator of bindings would do the same for every type of WASI; a language's glue needs two dozen functions of it. Numbers of
 * fields and cases follow `wasi:http/types@0.2.12`. Results that do not fit in one value are written where the last argument points.
 */

#include "host.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <wasi/api.h>

#define FROM(module, name) __attribute__((import_module(module), import_name(name)))
#define HTTP(name) FROM("wasi:http/types@0.2.12", name)
#define IO(name) FROM("wasi:io/streams@0.2.12", name)
#define AS(name) __attribute__((export_name(name)))

/* Handles of the host's resources. */
typedef int32_t handle;

/* Room for what a cell allocates, in one piece. */
enum { ROOM = 1 << 20 };

/* Room for any result: the largest, an error code, is smaller. */
struct result {
    _Alignas(8) uint8_t bytes[64];
};

HTTP("[method]incoming-request.method") void request_method(handle, void *);
HTTP("[method]incoming-request.path-with-query") void request_path(handle, void *);
HTTP("[method]incoming-request.scheme") void request_scheme(handle, void *);
HTTP("[method]incoming-request.authority") void request_authority(handle, void *);
HTTP("[method]incoming-request.headers") handle request_headers(handle);
HTTP("[method]incoming-request.consume") void request_consume(handle, void *);
HTTP("[method]incoming-body.stream") void body_stream(handle, void *);
HTTP("[method]fields.entries") void fields_entries(handle, void *);
HTTP("[static]fields.from-list") void fields_from_list(const void *, size_t, void *);
HTTP("[resource-drop]fields") void fields_drop(handle);
HTTP("[constructor]outgoing-response") handle response_new(handle);
HTTP("[method]outgoing-response.set-status-code") int32_t response_set_status(handle, int32_t);
HTTP("[method]outgoing-response.body") void response_body(handle, void *);
HTTP("[method]outgoing-body.write") void body_write(handle, void *);
HTTP("[static]outgoing-body.finish") void body_finish(handle, int32_t, handle, void *);
HTTP("[resource-drop]outgoing-body") void body_drop(handle);
HTTP("[resource-drop]outgoing-response") void response_drop(handle);
HTTP("[static]response-outparam.set")
void outparam_set(handle, int32_t, int32_t, int32_t, int64_t, int32_t, int32_t, int32_t, int32_t);
HTTP("[constructor]outgoing-request") handle out_new(handle);
HTTP("[method]outgoing-request.set-method") int32_t out_set_method(handle, int32_t, const char *, size_t);
HTTP("[method]outgoing-request.set-path-with-query") int32_t out_set_path(handle, int32_t, const char *, size_t);
HTTP("[method]outgoing-request.set-scheme") int32_t out_set_scheme(handle, int32_t, int32_t, const char *, size_t);
HTTP("[method]outgoing-request.set-authority") int32_t out_set_authority(handle, int32_t, const char *, size_t);
HTTP("[method]outgoing-request.body") void out_body(handle, void *);
HTTP("[resource-drop]outgoing-request") void out_drop(handle);
HTTP("[method]future-incoming-response.subscribe") handle future_subscribe(handle);
HTTP("[method]future-incoming-response.get") void future_get(handle, void *);
HTTP("[resource-drop]future-incoming-response") void future_drop(handle);
HTTP("[method]incoming-response.status") int32_t incoming_status(handle);
HTTP("[method]incoming-response.headers") handle incoming_headers(handle);
HTTP("[method]incoming-response.consume") void incoming_consume(handle, void *);
HTTP("[resource-drop]incoming-response") void incoming_drop(handle);
HTTP("[resource-drop]incoming-body") void incoming_body_drop(handle);
FROM("wasi:http/outgoing-handler@0.2.12", "handle") void outgoing_handle(handle, int32_t, handle, void *);
IO("[method]input-stream.blocking-read") void input_read(handle, int64_t, void *);
IO("[resource-drop]input-stream") void input_drop(handle);
IO("[method]output-stream.check-write") void output_room(handle, void *);
IO("[method]output-stream.write") void output_write(handle, const void *, size_t, void *);
IO("[method]output-stream.blocking-flush") void output_flush(handle, void *);
IO("[method]output-stream.subscribe") handle output_subscribe(handle);
IO("[resource-drop]output-stream") void output_drop(handle);
FROM("wasi:io/poll@0.2.12", "[method]pollable.block") void pollable_block(handle);
FROM("wasi:io/poll@0.2.12", "[resource-drop]pollable") void pollable_drop(handle);
FROM("wasi:cli/exit@0.2.12", "exit-with-code") void exit_with_code(int32_t);
FROM("wasi_snapshot_preview1", "reset_adapter_state") void reset_adapter_state(void);
void __wasilibc_reset_preopens(void);

struct message request;
bool preparing;

static handle incoming_body, incoming_stream, outparam, outgoing_body, outgoing_stream;
/* The answer to the last request that was sent. */
static handle answer, answer_body, answer_stream;
static char **arguments;
static int argument_count;
static uint64_t state[2];

/* Where the host puts what it returns. */
AS("cabi_realloc") void *cabi_realloc(void *old, size_t old_len, size_t align, size_t len) {
    (void)old_len;
    (void)align;
    if (len == 0) return (void *)align;
    void *room = realloc(old, len);
    if (room == NULL) abort();
    return room;
}

static int32_t word(const struct result *result, size_t at) {
    int32_t value;
    memcpy(&value, result->bytes + at, sizeof value);
    return value;
}

static struct text text_at(const struct result *result, size_t at) {
    return (struct text){(char *)(intptr_t)word(result, at), (size_t)word(result, at + 4)};
}

static struct text literal(const char *text) {
    return (struct text){(char *)text, strlen(text)};
}

static const char *METHODS[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
enum { OTHER_METHOD = 9 };

static void read_headers(handle fields, struct message *into) {
    struct result result;
    fields_entries(fields, &result);
    fields_drop(fields);
    /* A list of pairs of a name and a value: the same as ours. */
    into->headers = (struct header *)(intptr_t)word(&result, 0);
    into->header_count = (size_t)word(&result, 4);
}

static void read_request(handle incoming) {
    struct result result;
    request_method(incoming, &result);
    request.method = result.bytes[0] < OTHER_METHOD ? literal(METHODS[result.bytes[0]]) : text_at(&result, 4);
    request_path(incoming, &result);
    request.path = result.bytes[0] ? text_at(&result, 4) : literal("/");
    request_scheme(incoming, &result);
    request.scheme = literal(result.bytes[0] && result.bytes[4] == 1 ? "https" : "http");
    request_authority(incoming, &result);
    request.authority = result.bytes[0] ? text_at(&result, 4) : literal("localhost");
    read_headers(request_headers(incoming), &request);
    request_consume(incoming, &result);
    incoming_body = word(&result, 4);
    body_stream(incoming_body, &result);
    incoming_stream = word(&result, 4);
}

static long read_stream(handle stream, void *into, size_t len) {
    struct result result;
    do {
        input_read(stream, (int64_t)len, &result);
        /* The second case of the error is the end. */
        if (result.bytes[0]) return result.bytes[4] == 1 ? 0 : -1;
    } while (word(&result, 8) == 0);
    struct text read = text_at(&result, 4);
    memcpy(into, read.data, read.len);
    free(read.data);
    return (long)read.len;
}

long request_read(void *into, size_t len) {
    return read_stream(incoming_stream, into, len);
}

bool answer_began(void) {
    return outgoing_stream != 0;
}

/* What only concerns one connection: the host sets its own. */
static bool is_hop_by_hop(const struct text *name) {
    static const char *names[] = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == name->len && strncasecmp(names[i], name->data, name->len) == 0) return true;
    return false;
}

static handle new_fields(const struct header *headers, size_t count) {
    struct header *kept = malloc((count + 1) * sizeof *kept);
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_hop_by_hop(&headers[i].name)) kept[n++] = headers[i];
    struct result result;
    fields_from_list(kept, n, &result);
    free(kept);
    return result.bytes[0] ? -1 : word(&result, 4);
}

bool answer_head(int status, const struct header *headers, size_t count) {
    handle fields = new_fields(headers, count);
    if (fields < 0) return false;
    handle response = response_new(fields);
    if (response_set_status(response, status)) {
        response_drop(response);
        return false;
    }
    struct result result;
    response_body(response, &result);
    outgoing_body = word(&result, 4);
    body_write(outgoing_body, &result);
    outgoing_stream = word(&result, 4);
    outparam_set(outparam, 0, response, 0, 0, 0, 0, 0, 0);
    return true;
}

static bool write_stream(handle stream, const char *data, size_t len) {
    struct result result;
    while (len > 0) {
        output_room(stream, &result);
        if (result.bytes[0]) return false;
        uint64_t room;
        memcpy(&room, result.bytes + 8, sizeof room);
        if (room == 0) {
            handle ready = output_subscribe(stream);
            pollable_block(ready);
            pollable_drop(ready);
            continue;
        }
        size_t take = room < len ? (size_t)room : len;
        output_write(stream, data, take, &result);
        if (result.bytes[0]) return false;
        data += take;
        len -= take;
    }
    return true;
}

bool answer_write(const void *data, size_t len) {
    return write_stream(outgoing_stream, data, len);
}

void answer_end(void) {
    struct result result;
    output_flush(outgoing_stream, &result);
    output_drop(outgoing_stream);
    body_finish(outgoing_body, 0, 0, &result);
    outgoing_body = 0;
}

void answer_failure(void) {
    if (answer_began()) {
        if (outgoing_body == 0) return;
        output_drop(outgoing_stream);
        body_drop(outgoing_body);
        outgoing_body = 0;
        return;
    }
    struct header kind = {literal("content-type"), literal("text/plain; charset=utf-8")};
    if (answer_head(500, &kind, 1)) {
        answer_write("Internal Server Error\n", 22);
        answer_end();
    }
}

static const char *error_of(int32_t code) {
    switch (code) {
    case 0: case 1: return "the name is not known";
    case 2: case 3: case 4: case 5: return "the host cannot be reached";
    case 6: return "the connection was refused";
    case 7: case 8: case 9: case 10: return "the connection was lost";
    case 15: return "the host is not granted";
    default: return "the request failed";
    }
}

/* The host counts requests in flight, and one is until nothing of its answer is held. */
static void let_go(void) {
    if (answer_stream) input_drop(answer_stream);
    if (answer_body) incoming_body_drop(answer_body);
    if (answer) incoming_drop(answer);
    answer = answer_body = answer_stream = 0;
}

const char *outbound_send(const struct message *out, const void *body, size_t len, struct message *into) {
    let_go();
    handle fields = new_fields(out->headers, out->header_count);
    if (fields < 0) return "a header is none";
    handle sent = out_new(fields);
    int32_t method = 0;
    while (method < OTHER_METHOD && (strlen(METHODS[method]) != out->method.len || memcmp(METHODS[method], out->method.data, out->method.len))) method++;
    bool https = out->scheme.len == 5;
    if (out_set_method(sent, method, out->method.data, out->method.len) || out_set_scheme(sent, 1, https, 0, 0) ||
        out_set_authority(sent, 1, out->authority.data, out->authority.len) ||
        out_set_path(sent, 1, out->path.data, out->path.len)) {
        out_drop(sent);
        return "the address is none";
    }
    struct result result;
    out_body(sent, &result);
    handle out_body = word(&result, 4);
    outgoing_handle(sent, 0, 0, &result);
    if (result.bytes[0]) {
        body_drop(out_body);
        return error_of(result.bytes[8]);
    }
    handle future = word(&result, 8);
    body_write(out_body, &result);
    handle stream = word(&result, 4);
    write_stream(stream, body, len);
    output_flush(stream, &result);
    output_drop(stream);
    body_finish(out_body, 0, 0, &result);
    handle ready = future_subscribe(future);
    pollable_block(ready);
    pollable_drop(ready);
    future_get(future, &result);
    future_drop(future);
    if (result.bytes[8]) return "the answer was taken already";
    if (result.bytes[16]) return error_of(result.bytes[24]);
    answer = word(&result, 24);
    into->status = incoming_status(answer);
    read_headers(incoming_headers(answer), into);
    incoming_consume(answer, &result);
    answer_body = word(&result, 4);
    body_stream(answer_body, &result);
    answer_stream = word(&result, 4);
    return NULL;
}

long outbound_read(void *into, size_t len) {
    if (answer_stream == 0) return 0;
    long n = read_stream(answer_stream, into, len);
    if (n <= 0) let_go();
    return n;
}

double chance(void) {
    while (state[0] == 0 && state[1] == 0) getentropy(state, sizeof state);
    /* xorshift128+ */
    uint64_t a = state[0], b = state[1];
    state[0] = b;
    a ^= a << 23;
    state[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return (double)((state[1] + b) >> 11) * 0x1.0p-53;
}

void exit_with(int code) {
    exit_with_code(code & 0xff);
    abort();
}

static bool prepared, standing;

static void be_prepared(void) {
    if (!prepared) language_prepare();
    prepared = true;
}

static char *wake(void) {
    be_prepared();
    state[0] = state[1] = 0;
    size_t count = 0, bytes = 0;
    __wasi_args_sizes_get(&count, &bytes);
    arguments = calloc(count + 1, sizeof *arguments);
    __wasi_args_get((uint8_t **)arguments, malloc(bytes + 1));
    argument_count = (int)count;
    __wasi_environ_sizes_get(&count, &bytes);
    char **environment = calloc(count + 1, sizeof *environment);
    __wasi_environ_get((uint8_t **)environment, malloc(bytes + 1));
    language_wake(argument_count, arguments, environment);
    char *script = argument_count > 0 ? arguments[0] : "";
    char *slash = strrchr(script, '/');
    /* The C library remembers it, and would have a look at the folder in each cell. */
    if (standing) return script;
    standing = true;
    if (slash != NULL && slash > script) {
        *slash = 0;
        chdir(script);
        *slash = '/';
    }
    return script;
}

/* Forgets every handle of the cell that the snapshot is taken of. */
static void sleep_well(void) {
    free(arguments);
    arguments = NULL;
    argument_count = 0;
    __wasilibc_reset_preopens();
    reset_adapter_state();
}

/*
 * Takes what is free, so that what a cell allocates lies together: cells share the snapshot's pages until they write to them. What is
 * taken stays so.
 */
static void fill_holes(void) {
    char *end = (char *)(__builtin_wasm_memory_size(0) << 16);
    for (size_t size = 1 << 18; size > 4; size -= size > 64 ? size / 8 : 4) {
        char *new;
        do new = malloc(size);
        while (new != NULL && new < end);
        free(new);
    }
    language_fill(end);
    void *volatile room = malloc(ROOM);
    free(room);
}

__attribute__((weak)) void language_fill(const char *end) {
    (void)end;
}

/* Makes the interpreter ready, and with a script that script: false where it has to be loaded in each cell. */
AS("prepare") int32_t prepare(void) {
    be_prepared();
    size_t count = 0, bytes = 0;
    __wasi_args_sizes_get(&count, &bytes);
    preparing = true;
    bool loaded = count == 0 || language_load(wake());
    preparing = false;
    sleep_well();
    fill_holes();
    return loaded;
}

AS("wasi:cli/run@0.2.12#run") int32_t run(void) {
    char *script = wake();
    int code = language_command(script);
    if (code != 0) exit_with(code);
    return 0;
}

AS("wasi:http/incoming-handler@0.2.12#handle") void handle_request(handle incoming, handle out) {
    outparam = out;
    char *script = wake();
    read_request(incoming);
    language_request(script);
}
