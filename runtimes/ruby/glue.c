/*
 * CRuby behind the world `script`. Ruby itself comes as one module that is linked already; this file is put beside it into the same
 * module and the same memory, above Ruby's own (`xtask/src/runtimes/ruby.rs`). It stands in two places:
 *
 *  - Where Ruby would call JavaScript: `JS.eval(text)` is how boot.rb asks for what it needs, an operation for each first letter.
 *  - Between Ruby and preview 1: Ruby sees one folder, `/`, so that nothing of a cell's own folders is in its memory, and finds the
 *    bodies of messages as files below /dev. Clocks of the cell's work, exit codes and open files pass through here as well.
 *
 * What it is asked wrongly is an error number, never a trap.
 */

#include "calls.h"
#include "host.h"

#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

#define FROM(module, name) __attribute__((import_module(module), import_name(name)))
#define AS(name) __attribute__((export_name(name)))

extern const uint8_t boot_rb[];

FROM("ruby", "_initialize") void ruby_initialize(void);
FROM("ruby", "realloc") void *ruby_realloc(void *, size_t, size_t, size_t);
FROM("ruby", "cabi_post_rstring-ptr") void ruby_free(void *);
FROM("ruby", "ruby-init: func(args: list<string>) -> ()") void ruby_init(const struct text *, size_t);
FROM("ruby", "rb-eval-string-protect: func(str: string) -> tuple<handle<rb-abi-value>, s32>")
const int32_t *ruby_eval(const char *, size_t);

/* The memory that Ruby allocates from is the only one. */
void *realloc(void *old, size_t len) {
    return ruby_realloc(old, 0, 8, len ? len : 1);
}

void *malloc(size_t len) {
    return realloc(NULL, len);
}

void *calloc(size_t count, size_t len) {
    size_t bytes;
    if (__builtin_mul_overflow(count, len, &bytes)) abort();
    return memset(malloc(bytes), 0, bytes);
}

void free(void *old) {
    struct text gone = {old, 1};
    if (old != NULL) ruby_free(&gone);
}

void abort(void) {
    __builtin_trap();
}

/* Its own, which the rest of what is linked here must not have a second time. */
int chdir(const char *path) {
    (void)path;
    return 0;
}

static bool call(const char *code) {
    return ruby_eval(code, strlen(code))[1] == 0;
}

/* ---- The cell's folders ---- */

enum {
    /* What Ruby has as `/`: the number of the first folder of any cell. */
    ROOT = 3,
    /* Folders that a cell may have. */
    MAX_FOLDERS = 64,
    MAX_NAME = 256,
};

/* Files that are none of the host's. */
enum special { REQUEST = 1 << 20, ANSWER, OUTBOUND, NOTHING, SPECIAL_END };

static const char *SPECIAL[] = {"dev/watertight/request", "dev/watertight/answer", "dev/watertight/outbound", "dev/null"};

static struct folder {
    char name[MAX_NAME];
    size_t len;
} folders[MAX_FOLDERS];
static int folder_count;
static bool folders_known;

#define REAL(name) FROM("wasi_snapshot_preview1", name)
REAL("fd_prestat_get") int32_t real_prestat_get(int32_t, void *);
REAL("fd_prestat_dir_name") int32_t real_prestat_dir_name(int32_t, char *, int32_t);
REAL("path_open") int32_t real_path_open(int32_t, int32_t, const char *, int32_t, int32_t, int64_t, int64_t, int32_t, int32_t *);
REAL("path_filestat_get") int32_t real_path_filestat_get(int32_t, int32_t, const char *, int32_t, void *);
REAL("path_filestat_set_times")
int32_t real_path_filestat_set_times(int32_t, int32_t, const char *, int32_t, int64_t, int64_t, int32_t);
REAL("path_create_directory") int32_t real_path_create_directory(int32_t, const char *, int32_t);
REAL("path_remove_directory") int32_t real_path_remove_directory(int32_t, const char *, int32_t);
REAL("path_unlink_file") int32_t real_path_unlink_file(int32_t, const char *, int32_t);
REAL("path_readlink") int32_t real_path_readlink(int32_t, const char *, int32_t, char *, int32_t, int32_t *);
REAL("path_symlink") int32_t real_path_symlink(const char *, int32_t, int32_t, const char *, int32_t);
REAL("path_link") int32_t real_path_link(int32_t, int32_t, const char *, int32_t, int32_t, const char *, int32_t);
REAL("path_rename") int32_t real_path_rename(int32_t, const char *, int32_t, int32_t, const char *, int32_t);
REAL("fd_close") int32_t real_fd_close(int32_t);
REAL("fd_read") int32_t real_fd_read(int32_t, const struct text *, int32_t, int32_t *);
REAL("fd_write") int32_t real_fd_write(int32_t, const struct text *, int32_t, int32_t *);
REAL("fd_seek") int32_t real_fd_seek(int32_t, int64_t, int32_t, int64_t *);
REAL("fd_tell") int32_t real_fd_tell(int32_t, int64_t *);
REAL("fd_fdstat_get") int32_t real_fd_fdstat_get(int32_t, void *);
REAL("fd_fdstat_set_flags") int32_t real_fd_fdstat_set_flags(int32_t, int32_t);
REAL("fd_filestat_get") int32_t real_fd_filestat_get(int32_t, void *);
REAL("clock_time_get") int32_t real_clock_time_get(int32_t, int64_t, uint64_t *);
REAL("poll_oneoff") int32_t real_poll_oneoff(const void *, void *, int32_t, int32_t *);

static void learn_folders(void) {
    folders_known = true;
    __wasi_prestat_t found;
    for (folder_count = 0; folder_count < MAX_FOLDERS && !real_prestat_get(ROOT + folder_count, &found); folder_count++) {
        struct folder *folder = &folders[folder_count];
        folder->len = found.u.dir.pr_name_len;
        /* A name that is too long is none that a path could begin with. */
        if (folder->len >= MAX_NAME || real_prestat_dir_name(ROOT + folder_count, folder->name, (int32_t)folder->len)) folder->len = MAX_NAME;
    }
}

/* A path below `/` as one below a folder of the cell: false where there is none. */
static bool find(int32_t *fd, const char **path, int32_t *len) {
    if (*fd != ROOT) return true;
    if (!folders_known) learn_folders();
    size_t longest = 0, left = (size_t)*len;
    const char *rest = NULL;
    for (int i = 0; i < folder_count; i++) {
        const char *name = folders[i].name;
        size_t name_len = folders[i].len;
        if (name_len > 0 && name_len < MAX_NAME && name[0] == '/') name++, name_len--;
        if (folders[i].len == MAX_NAME || name_len > (size_t)*len || memcmp(name, *path, name_len)) continue;
        bool whole = name_len == (size_t)*len;
        if (!whole && name_len > 0 && (*path)[name_len] != '/') continue;
        if (rest != NULL && name_len < longest) continue;
        longest = name_len;
        *fd = ROOT + i;
        size_t skipped = whole || name_len == 0 ? name_len : name_len + 1;
        rest = *path + skipped;
        left = (size_t)*len - skipped;
    }
    if (rest == NULL) return false;
    *path = left ? rest : ".";
    *len = left ? (int32_t)left : 1;
    return true;
}

/* The number of a file that is none of the host's: 0 where it is none. */
static int32_t special(int32_t fd, const char *path, int32_t len) {
    for (int i = 0; fd == ROOT && i < SPECIAL_END - REQUEST; i++)
        if ((size_t)len == strlen(SPECIAL[i]) && !memcmp(path, SPECIAL[i], (size_t)len)) return REQUEST + i;
    return 0;
}

int32_t my_fd_filestat_get(int32_t fd, __wasi_filestat_t *out);

#define FIND(fd, path, len) \
    if (!find(&fd, &path, &len)) return __WASI_ERRNO_NOENT

AS("path_open")
int32_t my_path_open(int32_t fd, int32_t look, const char *path, int32_t len, int32_t how, int64_t rights, int64_t more, int32_t flags, int32_t *out) {
    *out = special(fd, path, len);
    if (*out) return 0;
    FIND(fd, path, len);
    return real_path_open(fd, look, path, len, how, rights, more, flags, out);
}

AS("path_filestat_get") int32_t my_path_filestat_get(int32_t fd, int32_t look, const char *path, int32_t len, __wasi_filestat_t *out) {
    int32_t own = special(fd, path, len);
    if (own) return my_fd_filestat_get(own, out);
    FIND(fd, path, len);
    return real_path_filestat_get(fd, look, path, len, out);
}

AS("path_filestat_set_times")
int32_t my_path_filestat_set_times(int32_t fd, int32_t look, const char *path, int32_t len, int64_t read, int64_t written, int32_t which) {
    FIND(fd, path, len);
    return real_path_filestat_set_times(fd, look, path, len, read, written, which);
}

AS("path_create_directory") int32_t my_path_create_directory(int32_t fd, const char *path, int32_t len) {
    FIND(fd, path, len);
    return real_path_create_directory(fd, path, len);
}

AS("path_remove_directory") int32_t my_path_remove_directory(int32_t fd, const char *path, int32_t len) {
    FIND(fd, path, len);
    return real_path_remove_directory(fd, path, len);
}

AS("path_unlink_file") int32_t my_path_unlink_file(int32_t fd, const char *path, int32_t len) {
    FIND(fd, path, len);
    return real_path_unlink_file(fd, path, len);
}

AS("path_readlink") int32_t my_path_readlink(int32_t fd, const char *path, int32_t len, char *into, int32_t room, int32_t *out) {
    FIND(fd, path, len);
    return real_path_readlink(fd, path, len, into, room, out);
}

AS("path_symlink") int32_t my_path_symlink(const char *to, int32_t to_len, int32_t fd, const char *path, int32_t len) {
    FIND(fd, path, len);
    return real_path_symlink(to, to_len, fd, path, len);
}

AS("path_link")
int32_t my_path_link(int32_t fd, int32_t look, const char *path, int32_t len, int32_t to, const char *name, int32_t name_len) {
    FIND(fd, path, len);
    FIND(to, name, name_len);
    return real_path_link(fd, look, path, len, to, name, name_len);
}

AS("path_rename") int32_t my_path_rename(int32_t fd, const char *path, int32_t len, int32_t to, const char *name, int32_t name_len) {
    FIND(fd, path, len);
    FIND(to, name, name_len);
    return real_path_rename(fd, path, len, to, name, name_len);
}

AS("fd_prestat_get") int32_t my_prestat_get(int32_t fd, __wasi_prestat_t *out) {
    if (fd != ROOT) return __WASI_ERRNO_BADF;
    *out = (__wasi_prestat_t){.tag = __WASI_PREOPENTYPE_DIR, .u.dir.pr_name_len = 1};
    return 0;
}

AS("fd_prestat_dir_name") int32_t my_prestat_dir_name(int32_t fd, char *into, int32_t len) {
    if (fd != ROOT || len < 1) return __WASI_ERRNO_BADF;
    *into = '/';
    return 0;
}

/* ---- Files that are open ---- */

/* Every right that preview 1 has; more would be an error. */
#define ALL_RIGHTS ((uint64_t)0x1fffffff)

static bool is_special(int32_t fd) {
    return fd >= REQUEST && fd < SPECIAL_END;
}

AS("fd_close") int32_t my_fd_close(int32_t fd) {
    return is_special(fd) ? 0 : real_fd_close(fd);
}

AS("fd_read") int32_t my_fd_read(int32_t fd, const struct text *into, int32_t count, int32_t *out) {
    if (!is_special(fd)) return real_fd_read(fd, into, count, out);
    *out = 0;
    for (int32_t i = 0; i < count && fd != NOTHING; i++) {
        if (fd == ANSWER) return __WASI_ERRNO_BADF;
        if (into[i].len == 0) continue;
        long read = fd == REQUEST ? request_read(into[i].data, into[i].len) : outbound_read(into[i].data, into[i].len);
        if (read < 0) return __WASI_ERRNO_CONNRESET;
        *out = (int32_t)read;
        break;
    }
    return 0;
}

AS("fd_write") int32_t my_fd_write(int32_t fd, const struct text *from, int32_t count, int32_t *out) {
    if (!is_special(fd)) return real_fd_write(fd, from, count, out);
    *out = 0;
    for (int32_t i = 0; i < count; i++) {
        if (fd == REQUEST || fd == OUTBOUND) return __WASI_ERRNO_BADF;
        if (fd == ANSWER && (!answer_began() || !answer_write(from[i].data, from[i].len))) return __WASI_ERRNO_PIPE;
        *out += (int32_t)from[i].len;
    }
    return 0;
}

AS("fd_seek") int32_t my_fd_seek(int32_t fd, int64_t by, int32_t from, int64_t *out) {
    return is_special(fd) ? __WASI_ERRNO_SPIPE : real_fd_seek(fd, by, from, out);
}

AS("fd_tell") int32_t my_fd_tell(int32_t fd, int64_t *out) {
    return is_special(fd) ? __WASI_ERRNO_SPIPE : real_fd_tell(fd, out);
}

AS("fd_fdstat_get") int32_t my_fd_fdstat_get(int32_t fd, __wasi_fdstat_t *out) {
    if (fd == ROOT) {
        *out = (__wasi_fdstat_t){.fs_filetype = __WASI_FILETYPE_DIRECTORY, .fs_rights_base = ALL_RIGHTS, .fs_rights_inheriting = ALL_RIGHTS};
        return 0;
    }
    if (!is_special(fd)) return real_fd_fdstat_get(fd, out);
    *out = (__wasi_fdstat_t){.fs_filetype = __WASI_FILETYPE_SOCKET_STREAM, .fs_rights_base = __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE};
    return 0;
}

AS("fd_fdstat_set_flags") int32_t my_fd_fdstat_set_flags(int32_t fd, int32_t flags) {
    return is_special(fd) ? 0 : real_fd_fdstat_set_flags(fd, flags);
}

AS("fd_filestat_get") int32_t my_fd_filestat_get(int32_t fd, __wasi_filestat_t *out) {
    if (fd != ROOT && !is_special(fd)) return real_fd_filestat_get(fd, out);
    *out = (__wasi_filestat_t){.filetype = fd == ROOT ? __WASI_FILETYPE_DIRECTORY : __WASI_FILETYPE_SOCKET_STREAM, .nlink = 1, .ino = (uint64_t)fd};
    return 0;
}

/* A message's body is read and written whole: who waits for it need not. */
AS("poll_oneoff") int32_t my_poll_oneoff(const __wasi_subscription_t *in, __wasi_event_t *out, int32_t count, int32_t *ready) {
    *ready = 0;
    for (int32_t i = 0; i < count; i++) {
        bool is_file = in[i].u.tag != __WASI_EVENTTYPE_CLOCK;
        if (!is_file || !is_special((int32_t)in[i].u.u.fd_read.file_descriptor)) continue;
        out[(*ready)++] = (__wasi_event_t){.userdata = in[i].userdata, .type = in[i].u.tag, .fd_readwrite.nbytes = 1};
    }
    return *ready ? 0 : real_poll_oneoff(in, out, count, ready);
}

/* ---- What else is the cell's own ---- */

static uint64_t began;

AS("clock_time_get") int32_t my_clock_time_get(int32_t clock, int64_t precision, uint64_t *out) {
    bool of_work = clock == __WASI_CLOCKID_PROCESS_CPUTIME_ID || clock == __WASI_CLOCKID_THREAD_CPUTIME_ID;
    if (!of_work) return real_clock_time_get(clock, precision, out);
    /* The collector of garbage asks for it, also in a snapshot. WASI has none: the time since the first question is the nearest. */
    *out = 0;
    if (preparing) return 0;
    int32_t failed = real_clock_time_get(__WASI_CLOCKID_MONOTONIC, precision, out);
    if (began == 0) began = *out;
    *out -= began;
    return failed;
}

/* Variables are set by `wake`: those of the cell that the snapshot is taken of are no other's. */
AS("environ_sizes_get") int32_t my_environ_sizes_get(int32_t *count, int32_t *len) {
    *count = *len = 0;
    return 0;
}

AS("environ_get") int32_t my_environ_get(void *list, void *texts) {
    (void)list;
    (void)texts;
    return 0;
}

AS("proc_exit") void my_proc_exit(int32_t code) {
    exit_with(code);
}

/* ---- What boot.rb asks ---- */

static char **arguments, **variables;
static struct text reply;
static double number;

static void reply_bytes(const char *data, size_t len) {
    reply.data = realloc(reply.data, reply.len + len + 1);
    if (len > 0) memcpy(reply.data + reply.len, data, len);
    reply.data[reply.len + len] = 0;
    reply.len += len;
}

static void reply_add(const char *data, size_t len) {
    reply_bytes(data, len);
    reply.len++;
}

static void reply_list(char **list) {
    while (list != NULL && *list != NULL) reply_add(*list, strlen(*list)), list++;
}

static void reply_headers(const struct message *message) {
    for (size_t i = 0; i < message->header_count; i++) {
        reply_add(message->headers[i].name.data, message->headers[i].name.len);
        reply_add(message->headers[i].value.data, message->headers[i].value.len);
    }
}

/* The next text of those in front of each a zero. */
static struct text next(struct text *from) {
    char *end = memchr(from->data, 0, from->len);
    struct text found = {from->data, end ? (size_t)(end - from->data) : from->len};
    size_t used = end ? found.len + 1 : found.len;
    from->data += used;
    from->len -= used;
    return found;
}

static size_t number_of(struct text text) {
    size_t value = 0;
    for (size_t i = 0; i < text.len && i < 9 && text.data[i] >= '0' && text.data[i] <= '9'; i++) value = value * 10 + (size_t)(text.data[i] - '0');
    return value;
}

static struct header *headers_from(struct text *from, size_t *count) {
    *count = number_of(next(from));
    if (*count > from->len) *count = from->len;
    struct header *headers = calloc(*count + 1, sizeof *headers);
    for (size_t i = 0; i < *count; i++) {
        headers[i].name = next(from);
        headers[i].value = next(from);
    }
    return headers;
}

static void send(struct text from) {
    struct message out = {0}, answer = {0};
    out.method = next(&from);
    out.scheme = next(&from);
    out.authority = next(&from);
    out.path = next(&from);
    out.headers = headers_from(&from, &out.header_count);
    const char *failed = outbound_send(&out, from.data, from.len, &answer);
    free(out.headers);
    number = failed ? 0 : answer.status;
    if (failed) reply_add(failed, strlen(failed));
    else reply_headers(&answer);
}

/* How many functions a module has, and what they are called. */
static void reply_functions(struct text from) {
    uint64_t count = cbor_next(&from).number;
    for (uint64_t i = 0; i < count; i++) {
        struct text name = cbor_next(&from).text;
        reply_add(name.data, name.len);
        /* Parameters and signature are for people. */
        uint64_t facts = cbor_next(&from).number;
        for (uint64_t n = 0; n < facts; n++) {
            cbor_next(&from);
            struct item fact = cbor_next(&from);
            for (uint64_t p = 0; fact.kind == CBOR_ARRAY && p < fact.number; p++) cbor_next(&from);
        }
    }
}

/* What a call gives: 1 and the result, or 0, the failure's kind and message, and its payload. */
static void call_module(struct text from) {
    struct text module = next(&from), function = next(&from);
    struct cbor given = {(uint8_t *)from.data, from.len, from.len};
    struct failure failure;
    struct text result = module_call(module, function, &given, &failure);
    number = failure.kind.data == NULL;
    if (number) {
        reply_bytes(result.data, result.len);
    } else {
        reply_add(failure.kind.data, failure.kind.len);
        reply_add(failure.message.data, failure.message.len);
        reply_bytes(failure.payload.data, failure.payload.len);
    }
    module_free(result, &failure);
}

static void ask(struct text from) {
    if (from.len == 0) return;
    char operation = *from.data++;
    from.len--;
    size_t count, status;
    struct header *headers;
    struct text found;
    switch (operation) {
    case 'r':
        reply_add(request.method.data, request.method.len);
        reply_add(request.path.data, request.path.len);
        reply_add(request.scheme.data, request.scheme.len);
        reply_add(request.authority.data, request.authority.len);
        reply_headers(&request);
        break;
    case 'h':
        status = number_of(next(&from));
        headers = headers_from(&from, &count);
        number = answer_head((int)status, headers, count);
        free(headers);
        break;
    case 'b': number = answer_began(); break;
    case 'e': answer_end(); break;
    case 'f': answer_failure(); break;
    case 's': send(from); break;
    case 'm':
        found = module_find(from.data, from.len);
        number = found.data != NULL;
        if (number) reply_functions(found);
        break;
    case 'c': call_module(from); break;
    case 'a': reply_list(arguments); break;
    case 'v': reply_list(variables); break;
    case 'x': exit_with((int)number_of(next(&from)));
    }
}

struct result {
    int32_t failed, handle;
};

AS("eval-js: func(code: string) -> variant { success(handle<js-abi-value>), failure(handle<js-abi-value>) }")
void eval_js(char *code, size_t len, struct result *out) {
    /* Ruby frees the text that it gave, and the one that it gets. */
    reply = (struct text){NULL, 0};
    number = 0;
    ask((struct text){code, len});
    *out = (struct result){0, 1};
}

AS("js-value-to-string: func(value: handle<js-abi-value>) -> string") void value_to_string(int32_t value, struct text *out) {
    (void)value;
    *out = reply;
    reply = (struct text){NULL, 0};
}

struct integer {
    int32_t is_text;
    double value;
};

AS("js-value-to-integer: func(value: handle<js-abi-value>) -> variant { as-float(float64), bignum(string) }")
void value_to_integer(int32_t value, struct integer *out) {
    (void)value;
    *out = (struct integer){0, number};
}

/* What else there would be in JavaScript: nothing, but none of it may be missing. */
#define NONE(name, ...) AS(name) int32_t

NONE("is-js: func(value: handle<js-abi-value>) -> bool") none_is(int32_t a) { return a != 0; }
NONE("instance-of: func(value: handle<js-abi-value>, klass: handle<js-abi-value>) -> bool") none_of(int32_t a, int32_t b) { return a == b; }
NONE("global-this: func() -> handle<js-abi-value>") none_global(void) { return 1; }
NONE("int-to-js-number: func(value: s32) -> handle<js-abi-value>") none_int(int32_t a) { return a != 0; }
NONE("float-to-js-number: func(value: float64) -> handle<js-abi-value>") none_float(double a) { return a != 0; }
NONE("string-to-js-string: func(value: string) -> handle<js-abi-value>") none_string(void *a, size_t b) { return a != NULL && b; }
NONE("bool-to-js-bool: func(value: bool) -> handle<js-abi-value>") none_bool(int32_t a) { return a; }
NONE("proc-to-js-function: func(value: u32) -> handle<js-abi-value>") none_proc(int32_t a) { return a != 0; }
NONE("rb-object-to-js-rb-value: func(raw-rb-abi-value: u32) -> handle<js-abi-value>") none_object(int32_t a) { return a != 0; }
NONE("import-js-value-from-host: func() -> handle<js-abi-value>") none_import(void) { return 1; }
NONE("js-value-equal: func(lhs: handle<js-abi-value>, rhs: handle<js-abi-value>) -> bool") none_equal(int32_t a, int32_t b) { return a == b; }
NONE("js-value-strictly-equal: func(lhs: handle<js-abi-value>, rhs: handle<js-abi-value>) -> bool")
none_same(int32_t a, int32_t b) { return a == b; }
AS("export-js-value-to-host: func(value: handle<js-abi-value>) -> ()") void none_export(int32_t a) { (void)a; }
AS("js-value-typeof: func(value: handle<js-abi-value>) -> string") void none_typeof(int32_t a, struct text *out) {
    (void)a;
    *out = (struct text){NULL, 0};
}

#define FAILED *out = (struct result){1, 1}
AS("reflect-apply: func(target: handle<js-abi-value>, this-argument: handle<js-abi-value>, arguments: list<handle<js-abi-value>>) -> variant { success(handle<js-abi-value>), failure(handle<js-abi-value>) }")
void none_apply(int32_t a, int32_t b, void *c, size_t d, struct result *out) { (void)a, (void)b, (void)c, (void)d; FAILED; }
AS("reflect-get: func(target: handle<js-abi-value>, property-key: string) -> variant { success(handle<js-abi-value>), failure(handle<js-abi-value>) }")
void none_get(int32_t a, void *b, size_t c, struct result *out) { (void)a, (void)b, (void)c; FAILED; }
AS("reflect-set: func(target: handle<js-abi-value>, property-key: string, value: handle<js-abi-value>) -> variant { success(handle<js-abi-value>), failure(handle<js-abi-value>) }")
void none_set(int32_t a, void *b, size_t c, int32_t d, struct result *out) { (void)a, (void)b, (void)c, (void)d; FAILED; }

AS("rb_wasm_throw_prohibit_rewind_exception") void none_throw(void *message, size_t len) {
    (void)message, (void)len;
    abort();
}

/* Ruby's own objects, when it hands them out: the handle is the pointer. */
AS("resource_new_rb-abi-value") int32_t object_new(int32_t pointer) { return pointer; }
AS("resource_get_rb-abi-value") int32_t object_get(int32_t handle) { return handle; }
AS("resource_drop_js-abi-value") void value_drop(int32_t handle) { (void)handle; }

/* ---- What every language has ---- */

void language_prepare(void) {
    static const struct text options[] = {{"ruby", 5}, {"--disable-gems", 15}, {"-EUTF-8", 8}, {"-e_=0", 6}};
    preparing = true;
    ruby_initialize();
    ruby_init(options, sizeof options / sizeof *options);
    if (!call((const char *)boot_rb)) abort();
    preparing = false;
}

void __wasilibc_reset_preopens(void) {
    folders_known = false;
    folder_count = 0;
    arguments = variables = NULL;
}

void language_wake(int argc, char **argv, char **environment) {
    (void)argc;
    arguments = argv;
    variables = environment;
    began = 0;
    call("Watertight.wake");
}

static int answered(const char *code) {
    const int32_t *result = ruby_eval(code, strlen(code));
    return result[1] ? 1 : (int)(result[0] >> 1);
}

/* Nobody asks: see `scripts` in runtime.toml. */
bool language_load(const char *script) {
    (void)script;
    return false;
}

int language_command(const char *script) {
    (void)script;
    return answered("Watertight.command");
}

void language_request(const char *script) {
    (void)script;
    if (!call("Watertight.request")) answer_failure();
}
