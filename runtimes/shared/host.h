/* What a language's glue in C sees of the host: one request and its answer, requests to others, chance, and the exit code. */
#ifndef WATERTIGHT_HOST_H
#define WATERTIGHT_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *data;
    size_t len;
};

struct header {
    struct text name, value;
};

/* The head of a message. All of it is valid until the cell ends. */
struct message {
    struct text method, path, scheme, authority;
    int status;
    struct header *headers;
    size_t header_count;
};

/* The request that is answered. */
extern struct message request;

/* Reads of its body: how many bytes, 0 at its end, -1 when the client went away in the middle of it. */
long request_read(void *into, size_t len);

/* The head of the answer; false when a header is none, and nothing was sent. */
bool answer_head(int status, const struct header *headers, size_t count);
/* More of its body; false when nobody reads it any more. */
bool answer_write(const void *data, size_t len);
bool answer_began(void);
/* Its end. Without this the client is told that it is cut off. */
void answer_end(void);
/* Says that there was an error, but not which; or, too late for that, cuts the answer off. */
void answer_failure(void);

/* Sends a request with its whole body, and waits for the head of the answer: NULL, or why there is none. */
const char *outbound_send(const struct message *out, const void *body, size_t len, struct message *answer);
/* Reads of the body of the answer. */
long outbound_read(void *into, size_t len);

/* A number in [0, 1), seeded anew in each cell. */
double chance(void);
void exit_with(int code) __attribute__((noreturn));

/* Whether a snapshot is taken: chance, clocks and the environment are not to be asked then. */
extern bool preparing;

/* What each language has. `prepare` runs once, when the snapshot is taken; the others run in a cell that starts from it. */
void language_prepare(void);
/* Loads the script for the snapshot: false where it has to be loaded in each cell. */
bool language_load(const char *script);
/* Takes what the language's own allocator has free before `end`; not every language has one. */
void language_fill(const char *end);
/* Sets what belongs to the cell alone. */
void language_wake(int argc, char **argv, char **environment);
int language_command(const char *script);
void language_request(const char *script);

#endif
