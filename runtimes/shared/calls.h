/* Other components of the app, called by name, and the CBOR that values are in on the way there and back. */
#ifndef WATERTIGHT_CALLS_H
#define WATERTIGHT_CALLS_H

#include "host.h"

/* One item of CBOR, or the head of one that others follow. */
enum kind { CBOR_END, CBOR_INTEGER, CBOR_WIDE, CBOR_BYTES, CBOR_TEXT, CBOR_ARRAY, CBOR_MAP, CBOR_BOOL, CBOR_NULL, CBOR_FLOAT };

struct item {
    enum kind kind;
    /* CBOR_WIDE: a number of 64 bits by its type. It and CBOR_INTEGER are `negative ? -1 - number : number`; of CBOR_ARRAY and CBOR_MAP it is how
     * many elements or pairs follow, of CBOR_BOOL whether it is set. */
    uint64_t number;
    bool negative;
    /* A map with keys of any type, where others are records. */
    bool is_map;
    double real;
    struct text text;
};

/* Reads the next item. What the host wrote is well-formed. */
struct item cbor_next(struct text *from);

/* Grows as it is written to. */
struct cbor {
    uint8_t *data;
    size_t len, room;
};

void cbor_head(struct cbor *out, int major, uint64_t number);
void cbor_integer(struct cbor *out, int64_t number);
void cbor_unsigned(struct cbor *out, uint64_t number);
void cbor_real(struct cbor *out, double number);
void cbor_bytes(struct cbor *out, const void *data, size_t len);
void cbor_text(struct cbor *out, const char *data, size_t len);
/* A string of a language that has one type for text and bytes: it is what is wanted where it goes. */
void cbor_string(struct cbor *out, const char *data, size_t len);
void cbor_array(struct cbor *out, size_t count);
void cbor_map(struct cbor *out, size_t count);
void cbor_bool(struct cbor *out, bool set);
void cbor_null(struct cbor *out);
void cbor_free(struct cbor *out);

/* How deep values may be nested: deeper is a circle. */
enum { CBOR_DEPTH = 200 };

/* The description of a module: a map of its functions; data is NULL where there is none. */
struct text module_find(const char *name, size_t len);
/* The same of the module at this place, and its name; data is NULL past the last one. */
struct text module_at(size_t place, struct text *name);

struct failure {
    /* `kind` is NULL for a call that returned. */
    struct text kind, message, payload;
};

/* Calls. What it returns, or the failure's payload and texts, is to be freed by `module_free`. */
struct text module_call(struct text module, struct text function, const struct cbor *arguments, struct failure *failure);
void module_free(struct text result, struct failure *failure);

/* Names in the way of other languages, in `into`: `max-width` as maxWidth, or with another letter between the words. They are never longer. */
size_t name_camel(struct text name, char *into);
size_t name_joined(struct text name, char joint, char *into);

#endif
