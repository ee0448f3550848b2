/*
 * What PHP takes for granted of an operating system and WASI's C library does not declare. It is included before everything else.
 * What can be answered is answered by `system.c`; the rest fails with ENOSYS, and the script sees the warning that PHP makes of that.
 */
#ifndef WATERTIGHT_PHP_WASI_H
#define WATERTIGHT_PHP_WASI_H

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* The C library of WASI 0.1 hides sockets: declared, they can fail when they are used. */
#define __wasilibc_use_wasip2
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#undef __wasilibc_use_wasip2

#define AF_UNIX 3
#define PF_UNIX AF_UNIX
#define MSG_OOB 0
#ifndef POLLPRI
#define POLLPRI 0
#endif
/* The one of the C library has no path. */
#define __wasilibc___struct_sockaddr_un_h
struct sockaddr_un {
    sa_family_t sun_family;
    char sun_path[108];
};
int socketpair(int, int, int, int *);
in_addr_t inet_addr(const char *);

/* Locks are granted: a cell has no others of its own kind that it could wait for. */
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
int flock(int, int);

#define SA_RESTART 0
#define SA_RESETHAND 0
#define SA_NODEFER 0
#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2
struct sigaction {
    void (*sa_handler)(int);
    sigset_t sa_mask;
    int sa_flags;
};
int sigaction(int, const struct sigaction *, struct sigaction *);
int sigemptyset(sigset_t *);
int sigaddset(sigset_t *, int);
int sigprocmask(int, const sigset_t *, sigset_t *);

struct passwd {
    char *pw_name, *pw_passwd, *pw_gecos, *pw_dir, *pw_shell;
    uid_t pw_uid;
    gid_t pw_gid;
};
struct group {
    char *gr_name, *gr_passwd, **gr_mem;
    gid_t gr_gid;
};
struct passwd *getpwnam(const char *);
struct passwd *getpwuid(uid_t);
struct group *getgrnam(const char *);
struct group *getgrgid(gid_t);
uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
int getgroups(int, gid_t *);
int chmod(const char *, mode_t);
int fchmod(int, mode_t);
int chown(const char *, uid_t, gid_t);
int lchown(const char *, uid_t, gid_t);
mode_t umask(mode_t);

FILE *popen(const char *, const char *);
int pclose(FILE *);
pid_t fork(void);
int kill(pid_t, int);
int pipe(int *);
int dup(int);
int dup2(int, int);
unsigned alarm(unsigned);
void tzset(void);
int getdtablesize(void);

int mkstemp(char *);
FILE *tmpfile(void);

#endif
