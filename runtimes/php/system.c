/*
 * What an operating system would do for PHP and WASI does not. Memory comes from the C library; users, processes, signals, locks and
 * sockets are answered as on a machine that has none, so that PHP's own functions fail with a warning and not with a trap.
 */

#include "host.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <wasi.h>

static int no(void) {
    errno = ENOSYS;
    return -1;
}

/*
 * Memory for PHP's allocator, which wants it by 2 MiB and aligned to that. It is taken from where linear memory ends, and what is given back
 * is used again: from the C library's heap, every other such piece would be lost to alignment.
 */
enum { CHUNK = 2 << 20, PAGE = 64 << 10, CHUNKS = 2048 };

static enum { NOT_OURS, USED, FREE } chunks[CHUNKS];

static size_t chunk_of(size_t address) {
    return (address + CHUNK - 1) / CHUNK;
}

static void mark(size_t first, size_t count, int as) {
    for (size_t i = first; i < first + count; i++) chunks[i] = as;
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset) {
    (void)protection;
    (void)offset;
    /* Never at a place that is asked for, no files, and no stacks: those are for fibers, and nothing can switch to one. */
    if (at != NULL || fd >= 0 || (flags & MAP_STACK) || len == 0 || len > INT32_MAX) {
        errno = ENOSYS;
        return MAP_FAILED;
    }
    size_t count = chunk_of(len), run = 0;
    for (size_t i = 0; i < CHUNKS; i++) {
        run = chunks[i] == FREE ? run + 1 : 0;
        if (run < count) continue;
        mark(i + 1 - count, count, USED);
        return (void *)((i + 1 - count) * CHUNK);
    }
    size_t end = __builtin_wasm_memory_size(0) * PAGE, first = chunk_of(end);
    if (first + count >= CHUNKS || __builtin_wasm_memory_grow(0, ((first + count) * CHUNK - end) / PAGE) == SIZE_MAX) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    mark(first, count, USED);
    return (void *)(first * CHUNK);
}

/* Also the end of what was asked for together. */
int munmap(void *pages, size_t len) {
    size_t first = chunk_of((size_t)pages);
    mark(first, chunk_of((size_t)pages + len) - first, FREE);
    return 0;
}

int mprotect(void *pages, size_t len, int protection) { return 0; }
int madvise(void *pages, size_t len, int advice) { return 0; }

/* Named by PHP where a fiber would begin, which needs a stack first. */
void *make_fcontext(void *stack, size_t len, void *function) { abort(); }
void jump_fcontext(void *into, void *to, void *transfer) { abort(); }

uid_t getuid(void) { return 0; }
uid_t geteuid(void) { return 0; }
gid_t getgid(void) { return 0; }
gid_t getegid(void) { return 0; }
int getgroups(int room, gid_t *groups) { return 0; }
struct passwd *getpwnam(const char *name) { return NULL; }
struct passwd *getpwuid(uid_t id) { return NULL; }
struct group *getgrnam(const char *name) { return NULL; }
struct group *getgrgid(gid_t id) { return NULL; }

/* Everything is its own user's. */
int chown(const char *path, uid_t user, gid_t group) { return no(); }
int lchown(const char *path, uid_t user, gid_t group) { return no(); }
mode_t umask(mode_t mask) { return 022; }

/* No lock is ever held by another. */
int flock(int fd, int operation) { return 0; }

FILE *popen(const char *command, const char *mode) { return no(), NULL; }
int pclose(FILE *file) { return no(); }
pid_t fork(void) { return no(); }
int kill(pid_t process, int signal) { return no(); }
int pipe(int *ends) { return no(); }
int dup2(int from, int to) { return no(); }
unsigned alarm(unsigned seconds) { return 0; }
int system(const char *command) { return no(); }
int sigaction(int signal, const struct sigaction *action, struct sigaction *old) { return 0; }
int sigemptyset(sigset_t *set) { return 0; }
int sigaddset(sigset_t *set, int signal) { return 0; }
int sigprocmask(int how, const sigset_t *set, sigset_t *old) { return 0; }
void tzset(void) {}
int getdtablesize(void) { return 1024; }

void openlog(const char *name, int options, int facility) {}
void closelog(void) {}
void syslog(int priority, const char *format, ...) {}

int socket(int family, int kind, int protocol) { return no(); }
int socketpair(int family, int kind, int protocol, int *pair) { return no(); }
int connect(int fd, const struct sockaddr *to, socklen_t len) { return no(); }
int bind(int fd, const struct sockaddr *to, socklen_t len) { return no(); }
int listen(int fd, int queue) { return no(); }
int getsockname(int fd, struct sockaddr *at, socklen_t *len) { return no(); }
int getpeername(int fd, struct sockaddr *at, socklen_t *len) { return no(); }
int setsockopt(int fd, int level, int name, const void *value, socklen_t len) { return no(); }
ssize_t sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to, socklen_t to_len) { return no(); }
ssize_t recvfrom(int fd, void *data, size_t len, int flags, struct sockaddr *from, socklen_t *from_len) { return no(); }
struct hostent *gethostbyname(const char *name) { return NULL; }
struct hostent *gethostbyaddr(const void *address, socklen_t len, int family) { return NULL; }
struct servent *getservbyname(const char *name, const char *protocol) { return NULL; }
struct servent *getservbyport(int port, const char *protocol) { return NULL; }
struct protoent *getprotobyname(const char *name) { return NULL; }
struct protoent *getprotobynumber(int number) { return NULL; }
int getnameinfo(const struct sockaddr *at, socklen_t len, char *host, socklen_t host_len, char *service, socklen_t service_len, int flags) {
    return -1;
}

in_addr_t inet_addr(const char *text) {
    struct in_addr address;
    return inet_aton(text, &address) ? address.s_addr : INADDR_NONE;
}
