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
 * Pages for PHP's allocator, which wants them by 2 MiB and aligned to that. It never asks for them at a place where it could not do
 * without; it gives back the end of a mapping now and then, which stays until the rest of it goes.
 */
enum { CHUNK = 2 << 20, PAGE = 64 << 10 };

static void **mappings;
static size_t mapping_count, mapping_room;

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset) {
    (void)protection;
    (void)offset;
    void *pages;
    if (mapping_count == mapping_room) {
        size_t room = mapping_room ? 2 * mapping_room : 64;
        void **more = realloc(mappings, room * sizeof *more);
        if (more == NULL) return MAP_FAILED;
        mappings = more;
        mapping_room = room;
    }
    /* Stacks are for fibers, and there is no way to switch to one. */
    if (at != NULL || fd >= 0 || (flags & MAP_STACK)) {
        errno = ENOSYS;
        return MAP_FAILED;
    }
    if (posix_memalign(&pages, len >= CHUNK ? CHUNK : PAGE, len)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return mappings[mapping_count++] = pages;
}

int munmap(void *pages, size_t len) {
    (void)len;
    for (size_t i = 0; i < mapping_count; i++)
        if (mappings[i] == pages) {
            free(pages);
            mappings[i] = mappings[--mapping_count];
            break;
        }
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
