/*
 * The files of a folder, as they are: types by their endings, ETags, ranges, HEAD, and `index.html` for a folder.
 *
 * Hidden files, manifests and the sources of scripts are not given out. What a link leads to outside of the folder the host refuses.
 */

#include "folder.h"
#include "host.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *TYPES[][2] = {
    {"html", "text/html; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"map", "application/json"},
    {"webmanifest", "application/manifest+json"},
    {"xml", "application/xml"},
    {"txt", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"avif", "image/avif"},
    {"ico", "image/x-icon"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"ttf", "font/ttf"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"zip", "application/zip"},
    {"gz", "application/gzip"},
    {"wasm", "application/wasm"},
    {"mp4", "video/mp4"},
    {"webm", "video/webm"},
    {"mp3", "audio/mpeg"},
    {"ogg", "audio/ogg"},
    {"wav", "audio/wav"},
};

/* Not for visitors: what runs, and what says how. */
static const char *KEPT_BACK[] = {"py", "rb", "php", "phtml", "inc", "ini", "lua", "toml", "pyc", "lock"};

enum { MAX_PATH = 4096 };

static struct text text(const char *data) {
    return (struct text){(char *)data, strlen(data)};
}

static const struct header *find(const char *name) {
    for (size_t i = 0; i < request.header_count; i++) {
        const struct text *own = &request.headers[i].name;
        if (own->len == strlen(name) && strncasecmp(own->data, name, own->len) == 0) return &request.headers[i];
    }
    return NULL;
}

/* Copies a header's value as a string; false where there is none, or it is too long. */
static bool value_of(const char *name, char *into, size_t room) {
    const struct header *header = find(name);
    if (header == NULL || header->value.len >= room) return false;
    memcpy(into, header->value.data, header->value.len);
    into[header->value.len] = 0;
    return true;
}

static void say(int status, const char *what, const struct header *more, size_t count) {
    struct header headers[4] = {{text("content-type"), text("text/plain; charset=utf-8")}};
    for (size_t i = 0; i < count && i < 3; i++) headers[1 + i] = more[i];
    if (!answer_head(status, headers, 1 + count)) return;
    answer_write(what, strlen(what));
    answer_end();
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The path of a file below the folder, or false where there can be none. */
static bool decode(const char *root, char *into) {
    size_t at = strlen(root);
    memcpy(into, root, at);
    const char *path = request.path.data, *end = path + request.path.len;
    for (; path < end && *path != '?'; path++) {
        char c = *path;
        if (c == '%') {
            if (end - path < 3 || digit(path[1]) < 0 || digit(path[2]) < 0) return false;
            c = (char)(digit(path[1]) * 16 + digit(path[2]));
            path += 2;
            /* A separator that is hidden is none. */
            if (c == '/' || c == 0) return false;
        }
        /* `.`, `..` and what is hidden. */
        if (c == '.' && into[at - 1] == '/') return false;
        if (at + 16 >= MAX_PATH) return false;
        into[at++] = c;
    }
    into[at] = 0;
    return true;
}

static const char *ending_of(const char *path) {
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    return dot != NULL && dot > slash ? dot + 1 : "";
}

static bool kept_back(const char *ending) {
    for (size_t i = 0; i < sizeof KEPT_BACK / sizeof *KEPT_BACK; i++)
        if (strcasecmp(ending, KEPT_BACK[i]) == 0) return true;
    return false;
}

static const char *type_of(const char *ending) {
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (strcasecmp(ending, TYPES[i][0]) == 0) return TYPES[i][1];
    return "application/octet-stream";
}

/* Whether a list of tags has this one. */
static bool has_tag(const char *list, const char *tag) {
    return strcmp(list, "*") == 0 || strstr(list, tag) != NULL;
}

enum range { WHOLE, PART, NONE };

static enum range one_range(const char *tag, long long size, long long *from, long long *to) {
    char range[128], condition[128];
    if (!value_of("range", range, sizeof range) || strncmp(range, "bytes=", 6) != 0 || strchr(range, ',')) return WHOLE;
    if (value_of("if-range", condition, sizeof condition) && strcmp(condition, tag) != 0) return WHOLE;
    char *dash = strchr(range, '-'), *end;
    if (dash == NULL) return WHOLE;
    if (dash == range + 6) {
        long long last = strtoll(dash + 1, &end, 10);
        if (*end != 0 || end == dash + 1 || last < 0) return WHOLE;
        if (last == 0 || size == 0) return NONE;
        *from = last < size ? size - last : 0;
        return PART;
    }
    *from = strtoll(range + 6, &end, 10);
    if (end != dash || *from < 0) return WHOLE;
    if (dash[1] != 0) {
        long long last = strtoll(dash + 1, &end, 10);
        if (*end != 0 || last < *from) return WHOLE;
        if (last < *to) *to = last;
    }
    return *from < size ? PART : NONE;
}

/* One range of bytes; of several, or of what is no range, the whole. */
static enum range range_of(const char *tag, long long size, long long *from, long long *to) {
    *from = 0;
    *to = size - 1;
    enum range asked = one_range(tag, size, from, to);
    if (asked == WHOLE) {
        *from = 0;
        *to = size - 1;
    }
    return asked;
}

bool folder_has(const char *script) {
    static char path[MAX_PATH];
    struct stat found;
    const char *slash = strrchr(script, '/');
    size_t len = slash ? (size_t)(slash - script) : 0;
    char root[MAX_PATH];
    if (len >= sizeof root) return false;
    memcpy(root, script, len);
    root[len] = 0;
    return decode(root, path) && !kept_back(ending_of(path)) && stat(path, &found) == 0 && S_ISREG(found.st_mode);
}

void folder_answer(const char *script) {
    static char root[MAX_PATH], path[MAX_PATH], buffer[64 * 1024];
    bool head = request.method.len == 4 && memcmp(request.method.data, "HEAD", 4) == 0;
    if (!head && !(request.method.len == 3 && memcmp(request.method.data, "GET", 3) == 0)) {
        struct header allow = {text("allow"), text("GET, HEAD")};
        say(405, "files are only read\n", &allow, 1);
        return;
    }
    snprintf(root, sizeof root, "%s", script);
    char *slash = strrchr(root, '/');
    if (slash != NULL) *slash = 0;
    struct stat found;
    if (!decode(root, path) || kept_back(ending_of(path)) || stat(path, &found) != 0) {
        say(404, "not found\n", NULL, 0);
        return;
    }
    if (S_ISDIR(found.st_mode)) {
        size_t len = strlen(path);
        if (path[len - 1] != '/') {
            /* So that links within are relative to the folder. */
            static char target[MAX_PATH];
            const char *query = memchr(request.path.data, '?', request.path.len);
            int length = (int)(query ? query - request.path.data : (long)request.path.len);
            snprintf(target, sizeof target, "%.*s/", length, request.path.data);
            /* Two slashes at the start would be another host's name. */
            struct header location = {text("location"), text(target[1] == '/' ? "/" : target)};
            say(301, "it is a folder\n", &location, 1);
            return;
        }
        strcpy(path + len, "index.html");
        if (stat(path, &found) != 0 || !S_ISREG(found.st_mode)) {
            say(404, "not found\n", NULL, 0);
            return;
        }
    }
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        say(404, "not found\n", NULL, 0);
        return;
    }
    char tag[64], date[64], size[32], range[96], seen[512];
    snprintf(tag, sizeof tag, "\"%llx-%llx%09lx\"", (long long)found.st_size, (long long)found.st_mtim.tv_sec, found.st_mtim.tv_nsec);
    time_t changed = found.st_mtim.tv_sec;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&changed));
    struct header headers[8] = {
        {text("etag"), text(tag)},
        {text("last-modified"), text(date)},
        {text("accept-ranges"), text("bytes")},
        {text("x-content-type-options"), text("nosniff")},
        {text("content-type"), text(type_of(ending_of(path)))},
    };
    if (value_of("if-none-match", seen, sizeof seen) ? has_tag(seen, tag)
                                                      : value_of("if-modified-since", seen, sizeof seen) && strcmp(seen, date) == 0) {
        answer_head(304, headers, 3);
        answer_end();
        return;
    }
    long long from, to;
    enum range asked = range_of(tag, found.st_size, &from, &to);
    if (asked == NONE) {
        snprintf(range, sizeof range, "bytes */%lld", (long long)found.st_size);
        struct header none = {text("content-range"), text(range)};
        say(416, "there is no such part\n", &none, 1);
        return;
    }
    size_t count = 5;
    snprintf(size, sizeof size, "%lld", to - from + 1);
    headers[count++] = (struct header){text("content-length"), text(size)};
    if (asked == PART) {
        snprintf(range, sizeof range, "bytes %lld-%lld/%lld", from, to, (long long)found.st_size);
        headers[count++] = (struct header){text("content-range"), text(range)};
    }
    answer_head(asked == PART ? 206 : 200, headers, count);
    lseek(fd, from, SEEK_SET);
    for (long long left = head ? 0 : to - from + 1; left > 0;) {
        ssize_t n = read(fd, buffer, left < (long long)sizeof buffer ? (size_t)left : sizeof buffer);
        if (n <= 0) {
            /* It became shorter meanwhile. */
            answer_failure();
            return;
        }
        if (!answer_write(buffer, (size_t)n)) break;
        left -= n;
    }
    answer_end();
}
