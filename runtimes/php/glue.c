/*
 * PHP behind the world `script`: a server interface of its own, as `php-cgi` and `php` are others. What a script prints is the answer;
 * as a command it has the standard streams. Errors are lines of stderr and never part of an answer, unless the script's settings say
 * otherwise: `.user.ini` beside it, or `ini_set`.
 *
 * PHP is started once, for the snapshot. A cell begins one request in what that left, and is thrown away with all that the request
 * has allocated, so nothing is taken down but what has an effect: destructors, sessions, what is still to be written.
 */

#include "files.h"
#include "folder.h"
#include "host.h"
#include "modules.h"
#include "outbound.h"

#include "SAPI.h"
#include "php.h"
#include "php_ini.h"
#include "php_main.h"
#include "php_output.h"
#include "php_variables.h"
#include "rfc1867.h"
#include "zend_exceptions.h"
#include "zend_extensions.h"
#include "zend_smart_str.h"

#include "ext/standard/basic_functions.h"
#include "ext/standard/php_standard.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/libc-environ.h>

/* Where the script's folder is. */
static const char FOLDER[] = "/app";

static char **variables;
static int argument_count;
static char **arguments;

/* What a script gets that does not say what it wants. The host has the limits: memory, time, sizes. */
static void defaults(HashTable *settings) {
    static const char *const pairs[][2] = {
        {"expose_php", "0"},
        {"display_errors", "0"},
        {"log_errors", "1"},
        {"html_errors", "0"},
        {"memory_limit", "-1"},
        {"max_execution_time", "0"},
        {"output_buffering", "4096"},
        {"post_max_size", "0"},
        {"upload_max_filesize", "1G"},
        {"sys_temp_dir", "/tmp"},
        {"session.save_path", "/sessions"},
        {"session.use_strict_mode", "1"},
        {"session.cookie_httponly", "1"},
        {"user_agent", "PHP"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        zval value;
        ZVAL_NEW_STR(&value, zend_string_init(pairs[i][1], strlen(pairs[i][1]), 1));
        zend_hash_str_update(settings, pairs[i][0], strlen(pairs[i][0]), &value);
    }
}

static void set(const char *name, const char *value) {
    zend_string *key = zend_string_init(name, strlen(name), 1);
    zend_alter_ini_entry_chars(key, value, strlen(value), PHP_INI_SYSTEM, PHP_INI_STAGE_ACTIVATE);
    zend_string_release(key);
}

static void log_line(const char *message, int level) {
    (void)level;
    fprintf(stderr, "%s\n", message);
}

/* Requests. */

static size_t answer_body(const char *data, size_t len) {
    if (answer_began() && !answer_write(data, len)) php_handle_aborted_connection();
    return len;
}

static void flush_answer(void *context) {
    (void)context;
    if (!SG(headers_sent)) sapi_send_headers();
}

static int answer_headers(sapi_headers_struct *from) {
    struct header *headers = emalloc((zend_llist_count(&from->headers) + 1) * sizeof *headers);
    size_t count = 0;
    int status = from->http_response_code ? from->http_response_code : 200;
    zend_llist_position at;
    for (sapi_header_struct *line = zend_llist_get_first_ex(&from->headers, &at); line; line = zend_llist_get_next_ex(&from->headers, &at)) {
        char *colon = memchr(line->header, ':', line->header_len);
        if (colon == NULL) continue;
        char *value = colon + 1, *end = line->header + line->header_len;
        while (value < end && *value == ' ') value++;
        size_t len = (size_t)(colon - line->header);
        /* How a program behind CGI says it. */
        if (len == 6 && strncasecmp(line->header, "Status", 6) == 0) {
            status = atoi(value);
            continue;
        }
        headers[count++] = (struct header){{line->header, len}, {value, (size_t)(end - value)}};
    }
    bool good = answer_head(status, headers, count);
    efree(headers);
    if (!good) fprintf(stderr, "PHP: the answer has a header or a status that is none\n");
    return good ? SAPI_HEADER_SENT_SUCCESSFULLY : SAPI_HEADER_SEND_FAILED;
}

static size_t read_form(char *into, size_t len) {
    size_t count = 0;
    while (count < len) {
        long n = request_read(into + count, len - count);
        if (n <= 0) break;
        count += (size_t)n;
    }
    return count;
}

static const struct text *header(const char *name) {
    for (size_t i = 0; i < request.header_count; i++)
        if (strlen(name) == request.headers[i].name.len && strncasecmp(name, request.headers[i].name.data, strlen(name)) == 0)
            return &request.headers[i].value;
    return NULL;
}

static char *copied(const char *data, size_t len) {
    return estrndup(data, len);
}

static char *value_of(const char *name) {
    const struct text *value = header(name);
    return value ? copied(value->data, value->len) : NULL;
}

static char *read_cookies(void) {
    return value_of("cookie");
}

static void put(zval *into, const char *name, const char *value, size_t len) {
    size_t kept = len;
    char *copy = copied(value, len);
    if (sapi_module.input_filter(PARSE_SERVER, (char *)name, &copy, len, &kept)) php_register_variable_safe(name, copy, kept, into);
    efree(copy);
}

static void put_text(zval *into, const char *name, const char *value) {
    put(into, name, value, strlen(value));
}

/* Headers as CGI names them. One of them could pass for a setting of a library that sends requests. */
static void put_headers(zval *into) {
    for (size_t i = 0; i < request.header_count; i++) {
        struct text name = request.headers[i].name, value = request.headers[i].value;
        if (name.len == 5 && strncasecmp(name.data, "proxy", 5) == 0) continue;
        smart_str key = {0};
        bool plain = (name.len == 12 && strncasecmp(name.data, "content-type", 12) == 0) ||
                     (name.len == 14 && strncasecmp(name.data, "content-length", 14) == 0);
        if (!plain) smart_str_appends(&key, "HTTP_");
        for (size_t n = 0; n < name.len; n++) smart_str_appendc(&key, name.data[n] == '-' ? '_' : (char)toupper(name.data[n]));
        smart_str_0(&key);
        put(into, ZSTR_VAL(key.s), value.data, value.len);
        smart_str_free(&key);
    }
}

/* Where in a path the script is named, followed by nothing or by more of the path. */
static const char *named_in(const char *path, const char *name) {
    size_t own = strlen(name);
    for (const char *at = path; (at = strstr(at, name)) != NULL; at++)
        if (at[own] == 0 || at[own] == '/') return at;
    return NULL;
}

/*
 * The script as a part of the address, and what comes after it. A page answers to its name, to that without `.php`, and `index.php` to that
 * of its folder; for all other paths it is PATH_INFO that tells them apart. PHP_SELF always leads back to the page.
 */
static void put_paths(zval *into) {
    const char *script = SG(request_info).path_translated;
    const char *name = strncmp(script, FOLDER, sizeof FOLDER - 1) == 0 ? script + sizeof FOLDER - 1 : script;
    char *path = estrdup(SG(request_info).request_uri), *whole;
    size_t len = php_url_decode(path, strlen(path)), own = strlen(name);
    const char *at = named_in(path, name), *self = path, *rest = "";
    put_text(into, "SCRIPT_FILENAME", script);
    put_text(into, "DOCUMENT_ROOT", FOLDER);
    if (at) {
        rest = at + own;
        spprintf(&whole, 0, "%.*s", (int)(rest - path), path);
    } else if (len + 4 >= own && own > 4 && strncmp(path + (len + 4 - own), name, own - 4) == 0) {
        spprintf(&whole, 0, "%s.php", path);
        self = whole;
    } else {
        spprintf(&whole, 0, "%s", name);
        bool folder = own == len + 9 && strncmp(path, name, len) == 0 && strcmp(name + len, "index.php") == 0;
        if (folder) self = name;
        else rest = path;
    }
    put_text(into, "SCRIPT_NAME", whole);
    if (*rest) put_text(into, "PATH_INFO", rest);
    put_text(into, "PHP_SELF", self);
    efree(whole);
    efree(path);
}

static void put_server(zval *into) {
    for (char **variable = variables; variable && *variable; variable++) {
        char *equals = strchr(*variable, '=');
        if (equals == NULL) continue;
        char *name = copied(*variable, (size_t)(equals - *variable));
        put_text(into, name, equals + 1);
        efree(name);
    }
    if (SG(server_context) == NULL) {
        const char *script = SG(request_info).path_translated;
        put_text(into, "PHP_SELF", script);
        put_text(into, "SCRIPT_NAME", script);
        put_text(into, "SCRIPT_FILENAME", script);
        put_text(into, "PATH_TRANSLATED", script);
        put_text(into, "DOCUMENT_ROOT", "");
        return;
    }
    put_headers(into);
    put_paths(into);
    put_text(into, "GATEWAY_INTERFACE", "CGI/1.1");
    put_text(into, "SERVER_SOFTWARE", "Watertight");
    put_text(into, "SERVER_PROTOCOL", "HTTP/1.1");
    put_text(into, "REQUEST_METHOD", SG(request_info).request_method);
    put_text(into, "QUERY_STRING", SG(request_info).query_string);
    put(into, "REQUEST_URI", request.path.data, request.path.len);
    put(into, "REQUEST_SCHEME", request.scheme.data, request.scheme.len);
    bool https = request.scheme.len == 5;
    if (https) put_text(into, "HTTPS", "on");
    const char *host = request.authority.data, *end = host + request.authority.len, *colon = end;
    while (colon > host && colon[-1] >= '0' && colon[-1] <= '9') colon--;
    bool port = colon > host && colon < end && colon[-1] == ':';
    /* The host tells it as the authority, and not as a header. */
    put(into, "HTTP_HOST", host, request.authority.len);
    put(into, "SERVER_NAME", host, port ? (size_t)(colon - 1 - host) : request.authority.len);
    if (port) put(into, "SERVER_PORT", colon, (size_t)(end - colon));
    else put_text(into, "SERVER_PORT", https ? "443" : "80");
    /* The host keeps who asks to itself; programs expect that there is somebody. */
    put_text(into, "REMOTE_ADDR", "127.0.0.1");
}

/* Commands. */

static size_t print(const char *data, size_t len) {
    for (size_t at = 0; at < len;) {
        ssize_t n = write(STDOUT_FILENO, data + at, len - at);
        if (n <= 0) php_handle_aborted_connection();
        at += (size_t)n;
    }
    return len;
}

static void flush_nothing(void *context) { (void)context; }

static int send_no_headers(sapi_headers_struct *headers) {
    (void)headers;
    return SAPI_HEADER_SENT_SUCCESSFULLY;
}

static void constant(const char *name, const char *stream, const char *mode) {
    zend_constant constant;
    php_stream_context *context = php_stream_context_alloc();
    php_stream *opened = php_stream_open_wrapper_ex(stream, mode, 0, NULL, context);
    if (opened == NULL) return;
    php_stream_to_zval(opened, &constant.value);
    ZEND_CONSTANT_SET_FLAGS(&constant, CONST_CS, 0);
    constant.name = zend_string_init_interned(name, strlen(name), 0);
    zend_register_constant(&constant);
}

/* Both. */

/* What can only be registered while PHP starts. */
static int start_with_it(int type, int number) {
    outbound_register();
    return SUCCESS;
}

static zend_module_entry extension = {
    STANDARD_MODULE_HEADER,
    .name = "watertight",
    .functions = module_functions,
    .module_startup_func = start_with_it,
    .version = PHP_VERSION,
    STANDARD_MODULE_PROPERTIES,
};

static int start(sapi_module_struct *module) {
    return php_module_startup(module, &extension);
}

static sapi_module_struct module = {
    .name = "cgi-fcgi",
    .pretty_name = "Watertight",
    .startup = start,
    .shutdown = php_module_shutdown_wrapper,
    .ub_write = answer_body,
    .flush = flush_answer,
    .sapi_error = php_error,
    .send_headers = answer_headers,
    .read_post = read_form,
    .read_cookies = read_cookies,
    .register_server_variables = put_server,
    .log_message = log_line,
    .ini_defaults = defaults,
    .php_ini_ignore = 1,
    .php_ini_ignore_cwd = 1,
};

static void be_a_command(void) {
    sapi_module.name = "cli";
    sapi_module.ub_write = print;
    sapi_module.flush = flush_nothing;
    sapi_module.send_headers = send_no_headers;
    zval *name = zend_hash_str_find(EG(zend_constants), ZEND_STRL("PHP_SAPI"));
    if (name) ZVAL_NEW_STR(&((zend_constant *)Z_PTR_P(name))->value, zend_string_init("cli", 3, 1));
    set("output_buffering", "0");
    set("implicit_flush", "1");
    set("register_argc_argv", "1");
}

void language_prepare(void) {
    sapi_startup(&module);
    if (sapi_module.startup(&sapi_module) == FAILURE) abort();
}

void language_wake(int argc, char **argv, char **environment) {
    /* PHP looks at it without asking the C library. */
    __wasilibc_deinitialize_environ();
    __wasilibc_maybe_reinitialize_environ_eagerly();
    files_wake();
    argument_count = argc;
    arguments = argv;
    variables = environment;
}

/* Settings that lie beside the script, as for PHP behind FastCGI. */
static void read_settings(const char *script) {
    const char *slash = strrchr(script, '/');
    char *folder = copied(script, slash ? (size_t)(slash - script) : 0);
    HashTable settings;
    zend_hash_init(&settings, 8, NULL, (dtor_func_t)config_zval_dtor, 1);
    if (php_parse_user_ini_file(folder, ".user.ini", &settings) == SUCCESS)
        php_ini_activate_config(&settings, PHP_INI_PERDIR, PHP_INI_STAGE_HTACCESS);
    efree(folder);
}

/* Nobody asks: see `scripts` in runtime.toml. */
bool language_load(const char *script) {
    (void)script;
    return false;
}

static bool is_fatal(int kind) {
    return kind & (E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR);
}

/* Runs it; false when it ended in an error that nobody caught. */
static bool execute(const char *script) {
    zend_file_handle file;
    zend_stream_init_filename(&file, script);
    file.primary_script = true;
    CG(skip_shebang) = true;
    php_execute_script(&file);
    return EG(exit_status) != 255 || !is_fatal(PG(last_error_type));
}

/* What still has an effect after the script has ended. */
static void finish(void) {
    EG(flags) |= EG_FLAGS_IN_SHUTDOWN;
    EG(current_execute_data) = NULL;
    php_call_shutdown_functions();
    zend_try {
        zend_call_destructors();
    }
    zend_end_try();
}

int language_command(const char *script) {
    be_a_command();
    SG(options) |= SAPI_OPTION_NO_CHDIR;
    SG(headers_sent) = 1;
    SG(request_info).no_headers = 1;
    SG(request_info).argc = argument_count;
    SG(request_info).argv = arguments;
    SG(request_info).path_translated = (char *)script;
    read_settings(script);
    if (php_request_startup() == FAILURE) return 255;
    modules_begin();
    SG(headers_sent) = 1;
    SG(request_info).no_headers = 1;
    constant("STDIN", "php://stdin", "rb");
    constant("STDOUT", "php://stdout", "wb");
    constant("STDERR", "php://stderr", "wb");
    execute(script);
    int code = EG(exit_status);
    finish();
    zend_try {
        php_output_end_all();
    }
    zend_end_try();
    zend_deactivate_modules();
    php_output_deactivate();
    /* A shutdown function may have said otherwise. */
    return EG(exit_status) ? EG(exit_status) : code;
}

/* Whether this can be a page: neither hidden nor for the others to include. */
static bool is_page(const char *path, size_t len) {
    for (size_t i = 0; i + 1 < len; i++)
        if (path[i] == '/' && (path[i + 1] == '.' || path[i + 1] == '_')) return false;
    return len > 4 && memcmp(path + len - 4, ".php", 4) == 0 && strlen(path) == len;
}

/*
 * The page that a path names. `index.php` answers for the folder that it lies in, as it does behind every web server: pages beside it
 * run by their own names, other files are given out, and the rest is for `index.php` itself. NULL: it has been answered.
 */
static const char *page_of(const char *script, const char *path, size_t len) {
    const char *name = strrchr(script, '/');
    if (name == NULL || strcmp(name, "/index.php") != 0 || len <= 1) return script;
    char *page;
    size_t whole = (size_t)spprintf(&page, 0, "%.*s%.*s", (int)(name - script), script, (int)len, path);
    size_t root = (size_t)(name - script);
    whole = root + php_url_decode(page + root, whole - root);
    if (page[whole - 1] == '/') {
        char *index;
        whole = (size_t)spprintf(&index, 0, "%sindex.php", page);
        page = index;
    }
    struct stat found;
    if (is_page(page + root, whole - root) && stat(page, &found) == 0 && S_ISREG(found.st_mode)) return page;
    if (!folder_has(script)) return script;
    folder_answer(script);
    return NULL;
}

void language_request(const char *script) {
    const char *mark = memchr(request.path.data, '?', request.path.len);
    size_t path = mark ? (size_t)(mark - request.path.data) : request.path.len;
    const char *page = page_of(script, request.path.data, path);
    if (page == NULL) return;
    /* The host's part has made the script's folder the current one. */
    if (page == script) SG(options) |= SAPI_OPTION_NO_CHDIR;
    script = page;
    SG(server_context) = &module;
    SG(sapi_headers).http_response_code = 200;
    SG(request_info).request_method = copied(request.method.data, request.method.len);
    SG(request_info).request_uri = copied(request.path.data, path);
    SG(request_info).query_string = mark ? copied(mark + 1, request.path.len - path - 1) : copied("", 0);
    SG(request_info).path_translated = (char *)script;
    SG(request_info).content_type = value_of("content-type");
    const char *length = value_of("content-length");
    SG(request_info).content_length = length ? strtoll(length, NULL, 10) : 0;
    read_settings(script);
    if (php_request_startup() == FAILURE) {
        answer_failure();
        return;
    }
    modules_begin();
    SG(request_info).proto_num = 1001;
    bool good = execute(script);
    bool cut = !good && SG(headers_sent);
    finish();
    /* A page that somebody made of the error is the answer. */
    bool silent = !good && !SG(headers_sent) && (!OG(active) || (php_output_get_level() <= 1 && OG(active)->buffer.used == 0));
    if (!silent) {
        zend_try {
            php_output_end_all();
        }
        zend_end_try();
    }
    zend_deactivate_modules();
    if (!silent) php_output_deactivate();
    if (silent || cut || !answer_began()) answer_failure();
    else answer_end();
}
