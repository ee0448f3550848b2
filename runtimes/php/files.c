/*
 * Files that WASI has not: `/tmp`, `/dev/urandom` and `/dev/null`. What is in `/tmp` lies in the cell's own memory, counts as that, and
 * is gone when the cell ends: enough for uploads and for whatever else PHP sets aside, without a grant. Where a folder is
 * granted as `/tmp`, that is used.
 *
 * The linker puts these functions in front of the C library's (`--wrap`), for those in the library too. Names of folders are
 * kept as they are given, so `/tmp/../etc` is in no folder and not there.
 */

#include "host.h"
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wasi.h>

#define REAL(result, name, ...) result __real_##name(__VA_ARGS__)

REAL(int, open, const char *, int, ...);
REAL(int, close, int);
REAL(ssize_t, read, int, void *, size_t);
REAL(ssize_t, write, int, const void *, size_t);
REAL(off_t, lseek, int, off_t, int);
REAL(int, ftruncate, int, off_t);
REAL(int, fstat, int, struct stat *);
REAL(int, stat, const char *, struct stat *);
REAL(int, lstat, const char *, struct stat *);
REAL(int, access, const char *, int);
REAL(int, unlink, const char *);
REAL(int, rename, const char *, const char *);
REAL(int, mkdir, const char *, mode_t);
REAL(int, rmdir, const char *);
REAL(DIR *, opendir, const char *);
REAL(struct dirent *, readdir, DIR *);
REAL(int, closedir, DIR *);
REAL(void, rewinddir, DIR *);

/* One file or folder below /tmp. */
struct entry {
    struct entry *next;
    char *name;
    char *data;
    size_t len, room;
    time_t changed;
    int opened;
    bool folder, gone;
};

enum kind { CLOSED, KEPT, RANDOM, NOTHING, SAME };

/* What is open, by numbers that the C library does not give. */
enum { FIRST = 4096, MAX_OPEN = 256 };
static struct open {
    enum kind kind;
    struct entry *entry;
    size_t at;
    int flags, same;
} opened[MAX_OPEN];

static struct entry *entries;
static bool looked, granted;

static const char FOLDER[] = "/tmp";

void files_wake(void) {
    looked = false;
}

/* Whether a path is ours: the name below /tmp, "" for that itself. */
static const char *ours(const char *path) {
    size_t len = sizeof FOLDER - 1;
    if (strncmp(path, FOLDER, len) || (path[len] && path[len] != '/')) return NULL;
    if (!looked) {
        struct stat status;
        granted = __real_stat(FOLDER, &status) == 0;
        looked = true;
    }
    if (granted) return NULL;
    path += len;
    while (*path == '/') path++;
    return path;
}

static struct entry *find(const char *name) {
    size_t len = strlen(name);
    while (len > 0 && name[len - 1] == '/') len--;
    for (struct entry *entry = entries; entry; entry = entry->next)
        if (!entry->gone && strncmp(entry->name, name, len) == 0 && entry->name[len] == 0) return entry;
    return NULL;
}

/* Whether something new can have this name. */
static bool has_place(const char *name) {
    const char *slash = strrchr(name, '/');
    if (*name == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return false;
    if (slash == NULL) return true;
    char *parent = strndup(name, (size_t)(slash - name));
    struct entry *found = parent ? find(parent) : NULL;
    free(parent);
    return found && found->folder;
}

static struct entry *make(const char *name, bool folder) {
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL || (entry->name = strdup(name)) == NULL) {
        free(entry);
        errno = ENOSPC;
        return NULL;
    }
    size_t len = strlen(name);
    while (len > 0 && entry->name[len - 1] == '/') entry->name[--len] = 0;
    entry->folder = folder;
    entry->changed = time(NULL);
    entry->next = entries;
    return entries = entry;
}

static int fail(int error) {
    errno = error;
    return -1;
}

static int open_as(enum kind kind, struct entry *entry, int flags, int same) {
    for (int i = 0; i < MAX_OPEN; i++)
        if (opened[i].kind == CLOSED) {
            opened[i] = (struct open){kind, entry, 0, flags, same};
            if (entry) entry->opened++;
            return FIRST + i;
        }
    return fail(EMFILE);
}

static struct open *of(int fd) {
    if (fd < FIRST || fd >= FIRST + MAX_OPEN || opened[fd - FIRST].kind == CLOSED) return NULL;
    return &opened[fd - FIRST];
}

/* The number that the C library knows it by. */
static int real(int fd) {
    struct open *open = of(fd);
    return open && open->kind == SAME ? open->same : fd;
}

static struct open *kept(int fd) {
    struct open *open = of(fd);
    return open && open->kind != SAME ? open : NULL;
}

int __wrap_open(const char *path, int flags, ...) {
    const char *name = ours(path);
    if (name == NULL) {
        if (strcmp(path, "/dev/urandom") == 0 || strcmp(path, "/dev/random") == 0) return open_as(RANDOM, NULL, flags, 0);
        if (strcmp(path, "/dev/null") == 0) return open_as(NOTHING, NULL, flags, 0);
        return __real_open(path, flags);
    }
    struct entry *entry = find(name);
    bool writes = (flags & O_WRONLY) == O_WRONLY;
    if (*name == 0 || (entry && entry->folder)) return writes ? fail(EISDIR) : fail(ENOTSUP);
    if (entry && (flags & O_CREAT) && (flags & O_EXCL)) return fail(EEXIST);
    if (entry == NULL) {
        if (!(flags & O_CREAT) || !has_place(name)) return fail(ENOENT);
        if ((entry = make(name, false)) == NULL) return -1;
    }
    if (writes && (flags & O_TRUNC)) entry->len = 0;
    return open_as(KEPT, entry, flags, 0);
}

static void forget(struct entry *entry) {
    if (!entry->gone || entry->opened) return;
    for (struct entry **link = &entries; *link; link = &(*link)->next)
        if (*link == entry) {
            *link = entry->next;
            free(entry->data);
            free(entry->name);
            free(entry);
            return;
        }
}

int __wrap_close(int fd) {
    struct open *open = of(fd);
    if (open == NULL) return __real_close(fd);
    open->kind = CLOSED;
    if (open->entry) {
        open->entry->opened--;
        forget(open->entry);
    }
    return 0;
}

ssize_t __wrap_read(int fd, void *into, size_t len) {
    struct open *open = kept(fd);
    if (open == NULL) return __real_read(real(fd), into, len);
    if (open->kind == NOTHING) return 0;
    if (open->kind == RANDOM) {
        for (size_t at = 0; at < len; at += 256)
            if (getentropy((char *)into + at, len - at < 256 ? len - at : 256)) return -1;
        return (ssize_t)len;
    }
    struct entry *entry = open->entry;
    size_t rest = open->at < entry->len ? entry->len - open->at : 0;
    if (len > rest) len = rest;
    if (len) memcpy(into, entry->data + open->at, len);
    open->at += len;
    return (ssize_t)len;
}

static bool grow(struct entry *entry, size_t len) {
    if (len > entry->room) {
        size_t room = entry->room + entry->room / 2;
        if (room < len) room = len;
        if (room < 4096) room = 4096;
        char *data = realloc(entry->data, room);
        if (data == NULL) return false;
        entry->data = data;
        entry->room = room;
    }
    if (len > entry->len) {
        memset(entry->data + entry->len, 0, len - entry->len);
        entry->len = len;
    }
    return true;
}

ssize_t __wrap_write(int fd, const void *from, size_t len) {
    struct open *open = kept(fd);
    if (open == NULL) return __real_write(real(fd), from, len);
    if (open->kind != KEPT) return (ssize_t)len;
    if ((open->flags & O_WRONLY) != O_WRONLY) return fail(EBADF);
    struct entry *entry = open->entry;
    if (open->flags & O_APPEND) open->at = entry->len;
    if (len > SIZE_MAX / 4 || !grow(entry, open->at + len)) return fail(ENOSPC);
    memcpy(entry->data + open->at, from, len);
    open->at += len;
    return (ssize_t)len;
}

off_t __wrap_lseek(int fd, off_t offset, int whence) {
    struct open *open = kept(fd);
    if (open == NULL) return __real_lseek(real(fd), offset, whence);
    if (open->kind != KEPT) return fail(ESPIPE);
    off_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? (off_t)open->at : (off_t)open->entry->len;
    if (from + offset < 0 || from + offset > INT32_MAX) return fail(EINVAL);
    open->at = (size_t)(from + offset);
    return from + offset;
}

int __wrap_ftruncate(int fd, off_t len) {
    struct open *open = kept(fd);
    if (open == NULL) return __real_ftruncate(real(fd), len);
    if (open->kind != KEPT || len < 0 || len > INT32_MAX) return fail(EINVAL);
    if (!grow(open->entry, (size_t)len)) return fail(ENOSPC);
    open->entry->len = (size_t)len;
    return 0;
}

static int describe(const struct entry *entry, struct stat *into) {
    *into = (struct stat){.st_mode = S_IFDIR | 0777, .st_nlink = 1, .st_blksize = 4096, .st_ino = 1};
    if (entry == NULL) return 0;
    if (!entry->folder) {
        into->st_mode = S_IFREG | 0600;
        into->st_size = (off_t)entry->len;
        into->st_blocks = (blkcnt_t)(entry->len + 511) / 512;
    }
    into->st_ino = (ino_t)(uintptr_t)entry;
    into->st_mtim.tv_sec = into->st_atim.tv_sec = into->st_ctim.tv_sec = entry->changed;
    return 0;
}

int __wrap_fstat(int fd, struct stat *into) {
    struct open *open = kept(fd);
    if (open == NULL) return __real_fstat(real(fd), into);
    if (open->kind == KEPT) return describe(open->entry, into);
    *into = (struct stat){.st_mode = S_IFCHR | 0666, .st_nlink = 1};
    return 0;
}

static int look(const char *name, struct stat *into) {
    struct entry *entry = find(name);
    if (*name && entry == NULL) return fail(ENOENT);
    return describe(*name ? entry : NULL, into);
}

int __wrap_stat(const char *path, struct stat *into) {
    const char *name = ours(path);
    return name ? look(name, into) : __real_stat(path, into);
}

int __wrap_lstat(const char *path, struct stat *into) {
    const char *name = ours(path);
    return name ? look(name, into) : __real_lstat(path, into);
}

int __wrap_access(const char *path, int mode) {
    const char *name = ours(path);
    struct stat status;
    return name ? look(name, &status) : __real_access(path, mode);
}

int __wrap_unlink(const char *path) {
    const char *name = ours(path);
    if (name == NULL) return __real_unlink(path);
    struct entry *entry = find(name);
    if (entry == NULL) return fail(ENOENT);
    if (entry->folder) return fail(EISDIR);
    entry->gone = true;
    forget(entry);
    return 0;
}

int __wrap_rename(const char *from, const char *to) {
    const char *old = ours(from), *new = ours(to);
    if (old == NULL && new == NULL) return __real_rename(from, to);
    /* PHP copies then. */
    if (old == NULL || new == NULL) return fail(EXDEV);
    struct entry *entry = find(old), *there = find(new);
    if (entry == NULL || !has_place(new)) return fail(ENOENT);
    if (entry->folder) return fail(ENOTSUP);
    if (there == entry) return 0;
    if (there && there->folder) return fail(EISDIR);
    char *name = strdup(new);
    if (name == NULL) return fail(ENOSPC);
    if (there) {
        there->gone = true;
        forget(there);
    }
    free(entry->name);
    entry->name = name;
    return 0;
}

int __wrap_mkdir(const char *path, mode_t mode) {
    const char *name = ours(path);
    if (name == NULL) return __real_mkdir(path, mode);
    if (*name == 0 || find(name)) return fail(EEXIST);
    if (!has_place(name)) return fail(ENOENT);
    return make(name, true) ? 0 : -1;
}

/* Whether it lies in the folder itself: then its name there. */
static const char *within(const struct entry *entry, const char *folder) {
    size_t len = strlen(folder);
    if (entry->gone) return NULL;
    if (len && (strncmp(entry->name, folder, len) || entry->name[len] != '/')) return NULL;
    const char *name = entry->name + (len ? len + 1 : 0);
    return strchr(name, '/') ? NULL : name;
}

int __wrap_rmdir(const char *path) {
    const char *name = ours(path);
    if (name == NULL) return __real_rmdir(path);
    struct entry *entry = find(name);
    if (entry == NULL) return fail(ENOENT);
    if (!entry->folder) return fail(ENOTDIR);
    for (struct entry *other = entries; other; other = other->next)
        if (within(other, entry->name)) return fail(ENOTEMPTY);
    entry->gone = true;
    forget(entry);
    return 0;
}

/* A folder that is read: the C library's, or the names in one of ours. */
struct folder {
    DIR *real;
    char *name;
    size_t at;
    struct dirent *room;
};

DIR *__wrap_opendir(const char *path) {
    const char *name = ours(path);
    struct folder *folder = calloc(1, sizeof *folder);
    if (folder == NULL) return NULL;
    if (name == NULL) {
        folder->real = __real_opendir(path);
    } else {
        struct entry *entry = find(name);
        if (*name && (entry == NULL || !entry->folder)) errno = entry ? ENOTDIR : ENOENT;
        else folder->name = strdup(*name ? entry->name : "");
    }
    if (folder->real == NULL && folder->name == NULL) {
        free(folder);
        return NULL;
    }
    return (DIR *)folder;
}

static struct dirent *found(struct folder *folder, const char *name, bool is_folder) {
    size_t len = strlen(name);
    struct dirent *room = realloc(folder->room, sizeof *room + len + 1);
    if (room == NULL) return NULL;
    folder->at++;
    room->d_ino = 1;
    room->d_type = is_folder ? DT_DIR : DT_REG;
    memcpy(room->d_name, name, len + 1);
    return folder->room = room;
}

struct dirent *__wrap_readdir(DIR *dir) {
    struct folder *folder = (struct folder *)dir;
    if (folder->real) return __real_readdir(folder->real);
    if (folder->at < 2) return found(folder, folder->at ? ".." : ".", true);
    size_t at = 2;
    for (struct entry *entry = entries; entry; entry = entry->next) {
        const char *name = within(entry, folder->name);
        if (name && at++ == folder->at) return found(folder, name, entry->folder);
    }
    return NULL;
}

int __wrap_closedir(DIR *dir) {
    struct folder *folder = (struct folder *)dir;
    int result = folder->real ? __real_closedir(folder->real) : 0;
    free(folder->room);
    free(folder->name);
    free(folder);
    return result;
}

void __wrap_rewinddir(DIR *dir) {
    struct folder *folder = (struct folder *)dir;
    if (folder->real) __real_rewinddir(folder->real);
    folder->at = 0;
}

/* The standard streams once more, so that closing the copy does not close them. */
int dup(int fd) {
    if (fd < 0 || fd > STDERR_FILENO) return fail(EBADF);
    return open_as(SAME, NULL, 0, fd);
}

int mkstemp(char *template) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t len = strlen(template);
    if (len < 6) return fail(EINVAL);
    for (int tries = 0; tries < 100; tries++) {
        for (size_t i = len - 6; i < len; i++) template[i] = letters[(size_t)(chance() * (sizeof letters - 1))];
        int fd = __wrap_open(template, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

FILE *tmpfile(void) { return NULL; }
