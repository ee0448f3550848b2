/* See calls.h. */

#include "calls.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define FROM(name) __attribute__((import_module("watertight:runtime/modules@0.1.0"), import_name(name)))

/* Results are written where the last argument points. */
FROM("describe") void modules_describe(struct text *);
FROM("call") void modules_call(const char *, size_t, const char *, size_t, const void *, size_t, void *);

/* Either case of what a call gives (Canonical ABI). */
struct called {
    uint8_t failed;
    union {
        struct text result;
        struct failure failure;
    };
};

static uint64_t big_endian(struct text *from, size_t bytes) {
    uint64_t number = 0;
    for (; bytes > 0 && from->len > 0; bytes--, from->data++, from->len--) number = number << 8 | (uint8_t)*from->data;
    return number;
}

enum { MAP_TAG = 259, STRING_TAG = 30580 };

struct item cbor_next(struct text *from) {
    struct item item = {CBOR_END};
    for (;;) {
        if (from->len == 0) return item;
        uint8_t first = (uint8_t)big_endian(from, 1);
        int major = first >> 5, low = first & 31;
        uint64_t number = low < 24 ? (uint64_t)low : big_endian(from, (size_t)1 << (low - 24 & 3));
        item.number = number;
        switch (major) {
        case 0: case 1:
            item.kind = low == 27 ? CBOR_WIDE : CBOR_INTEGER;
            item.negative = major == 1;
            return item;
        case 2: case 3:
            item.kind = major == 2 ? CBOR_BYTES : CBOR_TEXT;
            item.text = (struct text){from->data, number < from->len ? (size_t)number : from->len};
            from->data += item.text.len;
            from->len -= item.text.len;
            return item;
        case 4: item.kind = CBOR_ARRAY; return item;
        case 5: item.kind = CBOR_MAP; return item;
        case 6: item.is_map |= number == MAP_TAG; continue;
        }
        if (low == 20 || low == 21) {
            item.kind = CBOR_BOOL;
            item.number = low == 21;
        } else if (low == 26) {
            uint32_t bits = (uint32_t)number;
            float real;
            memcpy(&real, &bits, sizeof real);
            item.kind = CBOR_FLOAT;
            item.real = real;
        } else if (low == 27) {
            memcpy(&item.real, &number, sizeof number);
            item.kind = CBOR_FLOAT;
        } else {
            item.kind = CBOR_NULL;
        }
        return item;
    }
}

static void put(struct cbor *out, const void *data, size_t len) {
    if (out->room - out->len < len) {
        out->room = (out->room + len) * 2 + 64;
        out->data = realloc(out->data, out->room);
        if (out->data == NULL) abort();
    }
    if (len > 0) memcpy(out->data + out->len, data, len);
    out->len += len;
}

static void put_big_endian(struct cbor *out, uint8_t first, uint64_t number, size_t bytes) {
    uint8_t data[9] = {first};
    for (size_t i = 0; i < bytes; i++) data[1 + i] = (uint8_t)(number >> 8 * (bytes - 1 - i));
    put(out, data, 1 + bytes);
}

void cbor_head(struct cbor *out, int major, uint64_t number) {
    uint8_t first = (uint8_t)(major << 5);
    if (number < 24) put_big_endian(out, first | (uint8_t)number, 0, 0);
    else if (number <= UINT8_MAX) put_big_endian(out, first | 24, number, 1);
    else if (number <= UINT16_MAX) put_big_endian(out, first | 25, number, 2);
    else if (number <= UINT32_MAX) put_big_endian(out, first | 26, number, 4);
    else put_big_endian(out, first | 27, number, 8);
}

void cbor_integer(struct cbor *out, int64_t number) {
    if (number < 0) cbor_head(out, 1, ~(uint64_t)number);
    else cbor_head(out, 0, (uint64_t)number);
}

void cbor_unsigned(struct cbor *out, uint64_t number) { cbor_head(out, 0, number); }

void cbor_real(struct cbor *out, double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_big_endian(out, 0xfb, bits, 8);
}

void cbor_bytes(struct cbor *out, const void *data, size_t len) {
    cbor_head(out, 2, len);
    put(out, data, len);
}

void cbor_text(struct cbor *out, const char *data, size_t len) {
    cbor_head(out, 3, len);
    put(out, data, len);
}

void cbor_string(struct cbor *out, const char *data, size_t len) {
    cbor_head(out, 6, STRING_TAG);
    cbor_bytes(out, data, len);
}

void cbor_array(struct cbor *out, size_t count) { cbor_head(out, 4, count); }
void cbor_map(struct cbor *out, size_t count) { cbor_head(out, 5, count); }
void cbor_bool(struct cbor *out, bool set) { put(out, set ? "\xf5" : "\xf4", 1); }
void cbor_null(struct cbor *out) { put(out, "\xf6", 1); }

void cbor_free(struct cbor *out) {
    free(out->data);
    *out = (struct cbor){0};
}

/* What there is does not change. */
static struct text description;
static bool described;

static void skip(struct text *from) {
    for (uint64_t left = 1; left > 0; left--) {
        struct item item = cbor_next(from);
        if (item.kind == CBOR_END) return;
        if (item.kind == CBOR_ARRAY) left += item.number;
        if (item.kind == CBOR_MAP) left += 2 * item.number;
    }
}

struct text module_at(size_t place, struct text *name) {
    if (!described) modules_describe(&description);
    described = true;
    struct text from = description;
    uint64_t count = cbor_next(&from).number;
    for (size_t n = 0; n < count; n++) {
        *name = cbor_next(&from).text;
        if (n == place) return from;
        skip(&from);
    }
    return (struct text){NULL, 0};
}

struct text module_find(const char *wanted, size_t len) {
    struct text name, found;
    for (size_t place = 0; (found = module_at(place, &name)).data != NULL; place++)
        if (name.len == len && memcmp(name.data, wanted, len) == 0) break;
    return found;
}

struct text module_call(struct text module, struct text function, const struct cbor *arguments, struct failure *failure) {
    struct called called;
    modules_call(module.data, module.len, function.data, function.len, arguments->data, arguments->len, &called);
    *failure = called.failed ? called.failure : (struct failure){0};
    return called.failed ? (struct text){NULL, 0} : called.result;
}

void module_free(struct text result, struct failure *failure) {
    struct text owned[] = {result, failure->kind, failure->message, failure->payload};
    for (size_t n = 0; n < 4; n++)
        if (owned[n].len > 0) free(owned[n].data);
}

size_t name_camel(struct text name, char *into) {
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '-' && i + 1 < name.len) into[n++] = (char)toupper((unsigned char)name.data[++i]);
        else into[n++] = name.data[i];
    }
    return n;
}

size_t name_joined(struct text name, char joint, char *into) {
    for (size_t i = 0; i < name.len; i++) into[i] = name.data[i] == '-' ? joint : name.data[i];
    return name.len;
}
