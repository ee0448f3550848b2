/*
 * `http://` and `https://` as files, with the options that PHP's own wrapper has (method, header, content, user_agent,
 * ignore_errors, follow_location, max_redirects), but sent by the host, which knows names, has the TLS and refuses what is not granted.
 * An answer is read to its end before a script sees it.
 */

#include "outbound.h"
#include "host.h"

#include "php.h"
#include "php_memory_streams.h"
#include "php_streams.h"
#include "zend_smart_str.h"

#include "ext/standard/base64.h"
#include "ext/standard/file.h"
#include "ext/standard/url.h"

/* Redirects that are followed when nobody says how many. */
enum { MAX_REDIRECTS = 20 };

/* Headers that one request may have. */
enum { MAX_HEADERS = 128 };

struct sent {
    struct header headers[MAX_HEADERS];
    size_t count;
    bool kind, agent, authorization;
};

static zval *option(php_stream_context *context, const char *name) {
    return context ? php_stream_context_get_option(context, "http", name) : NULL;
}

static struct text of(zend_string *string) {
    return (struct text){ZSTR_VAL(string), ZSTR_LEN(string)};
}

static struct text literal(const char *text) {
    return (struct text){(char *)text, strlen(text)};
}

static bool is(struct text text, const char *name) {
    return text.len == strlen(name) && strncasecmp(text.data, name, text.len) == 0;
}

static void add(struct sent *sent, struct text name, struct text value) {
    if (sent->count < MAX_HEADERS) sent->headers[sent->count++] = (struct header){name, value};
}

/* Headers as a script writes them: lines, or an array of such. */
static void add_lines(struct sent *sent, struct text lines) {
    const char *at = lines.data, *end = lines.data + lines.len;
    while (at < end) {
        const char *line = at, *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL) stop = end;
        at = stop + 1;
        while (stop > line && (stop[-1] == '\r' || stop[-1] == ' ')) stop--;
        const char *colon = memchr(line, ':', (size_t)(stop - line));
        if (colon == NULL) continue;
        struct text name = {(char *)line, (size_t)(colon - line)};
        for (colon++; colon < stop && *colon == ' ';) colon++;
        /* These are the host's. */
        if (is(name, "host") || is(name, "content-length") || is(name, "connection") || is(name, "transfer-encoding")) continue;
        sent->kind |= is(name, "content-type");
        sent->agent |= is(name, "user-agent");
        sent->authorization |= is(name, "authorization");
        add(sent, name, (struct text){(char *)colon, (size_t)(stop - colon)});
    }
}

static void add_headers(struct sent *sent, php_stream_context *context) {
    zval *given = option(context, "header"), *line;
    if (given && Z_TYPE_P(given) == IS_STRING) add_lines(sent, of(Z_STR_P(given)));
    if (given && Z_TYPE_P(given) == IS_ARRAY)
        ZEND_HASH_FOREACH_VAL(Z_ARRVAL_P(given), line) {
            if (Z_TYPE_P(line) == IS_STRING) add_lines(sent, of(Z_STR_P(line)));
        }
    ZEND_HASH_FOREACH_END();
    zval *agent = option(context, "user_agent");
    const char *usual = FG(user_agent);
    if (!sent->agent && agent && Z_TYPE_P(agent) == IS_STRING) add(sent, literal("user-agent"), of(Z_STR_P(agent)));
    else if (!sent->agent && usual) add(sent, literal("user-agent"), literal(usual));
}

static bool says(zval *value, bool usual) {
    return value ? zend_is_true(value) : usual;
}

static zend_string *read_all(void) {
    smart_str body = {0};
    char room[16384];
    long n;
    while ((n = outbound_read(room, sizeof room)) > 0) smart_str_appendl(&body, room, (size_t)n);
    if (n < 0) {
        smart_str_free(&body);
        return NULL;
    }
    return smart_str_extract(&body);
}

/* What a script sees in `$http_response_header`; where a redirect leads, if this is one. */
static zend_string *keep_headers(zval *into, const struct message *answer) {
    zend_string *location = NULL;
    add_next_index_str(into, zend_strpprintf(0, "HTTP/1.1 %d", answer->status));
    for (size_t i = 0; i < answer->header_count; i++) {
        struct text name = answer->headers[i].name, value = answer->headers[i].value;
        if (answer->status >= 300 && answer->status < 400 && is(name, "location") && location == NULL)
            location = zend_string_init(value.data, value.len, 0);
        add_next_index_str(into, zend_strpprintf(0, "%.*s: %.*s", (int)name.len, name.data, (int)value.len, value.data));
    }
    return location;
}

static zend_string *address_of(php_url *base, zend_string *location) {
    const char *to = ZSTR_VAL(location);
    if (strncasecmp(to, "http://", 7) == 0 || strncasecmp(to, "https://", 8) == 0) return zend_string_copy(location);
    const char *scheme = ZSTR_VAL(base->scheme);
    if (to[0] == '/' && to[1] == '/') return zend_strpprintf(0, "%s:%s", scheme, to);
    smart_str address = {0};
    smart_str_append_printf(&address, "%s://%s", scheme, ZSTR_VAL(base->host));
    if (base->port) smart_str_append_printf(&address, ":%d", base->port);
    if (*to != '/') {
        const char *path = base->path ? ZSTR_VAL(base->path) : "/", *slash = strrchr(path, '/');
        smart_str_appendl(&address, path, slash ? (size_t)(slash - path) + 1 : 0);
    }
    smart_str_append(&address, location);
    return smart_str_extract(&address);
}

static bool is_web(php_url *url) {
    return url && url->scheme && url->host &&
           (zend_string_equals_literal_ci(url->scheme, "http") || zend_string_equals_literal_ci(url->scheme, "https"));
}

/* One exchange: NULL, or why there is no answer. */
static const char *exchange(php_url *url, php_stream_context *context, zend_string *method, zend_string *content, struct message *answer) {
    struct sent sent = {.count = 0};
    zend_string *length = NULL, *login = NULL;
    add_headers(&sent, context);
    if (content) {
        length = zend_long_to_str((zend_long)ZSTR_LEN(content));
        add(&sent, literal("content-length"), of(length));
        if (!sent.kind) add(&sent, literal("content-type"), literal("application/x-www-form-urlencoded"));
    }
    if (url->user && !sent.authorization) {
        zend_string *pair = zend_strpprintf(0, "%s:%s", ZSTR_VAL(url->user), url->pass ? ZSTR_VAL(url->pass) : "");
        zend_string *coded = php_base64_encode((unsigned char *)ZSTR_VAL(pair), ZSTR_LEN(pair));
        login = zend_strpprintf(0, "Basic %s", ZSTR_VAL(coded));
        add(&sent, literal("authorization"), of(login));
        zend_string_release(pair);
        zend_string_release(coded);
    }
    smart_str path = {0}, authority = {0};
    smart_str_appends(&path, url->path ? ZSTR_VAL(url->path) : "/");
    if (url->query) {
        smart_str_appendc(&path, '?');
        smart_str_append(&path, url->query);
    }
    smart_str_append(&authority, url->host);
    if (url->port) smart_str_append_printf(&authority, ":%d", url->port);
    struct message out = {
        .method = of(method),
        .scheme = of(url->scheme),
        .authority = of(smart_str_extract(&authority)),
        .path = of(smart_str_extract(&path)),
        .headers = sent.headers,
        .header_count = sent.count,
    };
    return outbound_send(&out, content ? ZSTR_VAL(content) : "", content ? ZSTR_LEN(content) : 0, answer);
}

static php_stream *open_address(
    php_stream_wrapper *wrapper, const char *path, const char *mode, int options, zend_string **opened, php_stream_context *context STREAMS_DC) {
    if (strpbrk(mode, "awx+")) {
        php_stream_wrapper_log_error(wrapper, options, "HTTP wrapper does not support writeable connections");
        return NULL;
    }
    zval *given = option(context, "method"), *body = option(context, "content"), *most = option(context, "max_redirects");
    zend_string *method = given && Z_TYPE_P(given) == IS_STRING ? zend_string_toupper(Z_STR_P(given)) : zend_string_init("GET", 3, 0);
    zend_string *content = body && Z_TYPE_P(body) == IS_STRING && Z_STRLEN_P(body) ? Z_STR_P(body) : NULL;
    zend_long redirects = most ? zval_get_long(most) : MAX_REDIRECTS;
    bool follows = says(option(context, "follow_location"), true), ignores = says(option(context, "ignore_errors"), false);
    zend_string *address = zend_string_init(path, strlen(path), 0);
    zval headers;
    array_init(&headers);
    php_stream *stream = NULL;
    struct message answer;
    for (;;) {
        php_url *url = php_url_parse(ZSTR_VAL(address));
        if (!is_web(url)) {
            php_stream_wrapper_log_error(wrapper, options, "the address is none");
            break;
        }
        const char *error = exchange(url, context, method, content, &answer);
        if (error) {
            php_stream_wrapper_log_error(wrapper, options, "%s", error);
            break;
        }
        zend_string *location = keep_headers(&headers, &answer);
        if (location && follows && redirects-- > 1) {
            zend_string_release(address);
            address = address_of(url, location);
            /* As browsers do, and PHP. */
            if (answer.status != 307 && answer.status != 308) {
                if (!zend_string_equals_literal(method, "HEAD")) method = zend_string_init("GET", 3, 0);
                content = NULL;
            }
            continue;
        }
        if (location && follows) {
            php_stream_wrapper_log_error(wrapper, options, "Redirection limit reached, aborting");
            break;
        }
        if (answer.status >= 400 && !ignores) {
            php_stream_wrapper_log_error(wrapper, options, "HTTP request failed! HTTP/1.1 %d", answer.status);
            break;
        }
        zend_string *text = read_all();
        if (text == NULL) {
            php_stream_wrapper_log_error(wrapper, options, "the answer was cut off");
            break;
        }
        stream = php_stream_memory_open(TEMP_STREAM_READONLY, text);
        zend_string_release(text);
        break;
    }
    if (stream) {
        stream->flags &= ~PHP_STREAM_FLAG_NO_BUFFER;
        ZVAL_COPY(&stream->wrapperdata, &headers);
    }
    zend_set_local_var_str(ZEND_STRL("http_response_header"), &headers, 0);
    return stream;
}

static int no_status(php_stream_wrapper *wrapper, php_stream *stream, php_stream_statbuf *into) {
    return -1;
}

static const php_stream_wrapper_ops operations = {.stream_opener = open_address, .stream_stat = no_status, .label = "http"};
static const php_stream_wrapper wrapper = {.wops = &operations, .is_url = 1};

void outbound_register(void) {
    php_unregister_url_stream_wrapper("http");
    php_unregister_url_stream_wrapper("https");
    php_register_url_stream_wrapper("http", &wrapper);
    php_register_url_stream_wrapper("https", &wrapper);
}
