/* Loaded before the C library (LD_PRELOAD), it ends the process by SIGKILL right before the call number KILL_AT, counted
 * from 1, that changes the file system. At a normal end it writes how many there were into the file named by
 * KILL_COUNT. As a checkpoint is written beside training, two runs may make their calls in another order. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* More than one thread may change files: a checkpoint is written beside training. */
static atomic_long calls;

static void change(void) {
    const char *at = getenv("KILL_AT");
    long call = atomic_fetch_add(&calls, 1) + 1;
    if (at && atol(at) == call) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("KILL_COUNT");
    long counted = calls;
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%ld\n", counted);
        fclose(file);
    }
}

static int is_file(int fd) {
    struct stat about;
    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CHANGES(flags) ((flags) & (O_CREAT | O_TRUNC))

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = CHANGES(flags) ? va_arg(rest, mode_t) : 0;                                                       \
        va_end(rest);                                                                                                  \
        if (CHANGES(flags)) change();                                                                                  \
        return NEXT(name)(path, flags, mode);                                                                          \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                                   \
    int name(int folder, const char *path, int flags, ...) {                                                           \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = CHANGES(flags) ? va_arg(rest, mode_t) : 0;                                                       \
        va_end(rest);                                                                                                  \
        if (CHANGES(flags)) change();                                                                                  \
        return NEXT(name)(folder, path, flags, mode);                                                                  \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *bytes, size_t count) {
    if (is_file(fd)) change();
    return NEXT(write)(fd, bytes, count);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (is_file(fd)) change();
    return NEXT(writev)(fd, parts, count);
}
int fsync(int fd) {
    change();
    return NEXT(fsync)(fd);
}
int fdatasync(int fd) {
    change();
    return NEXT(fdatasync)(fd);
}
int ftruncate(int fd, off_t length) {
    change();
    return NEXT(ftruncate)(fd, length);
}
int ftruncate64(int fd, off64_t length) {
    change();
    return NEXT(ftruncate64)(fd, length);
}
/* A line of the file named by KILL_LOG for each rename that was done: what has its final name must not be lost. */
static void renamed(const char *to) {
    const char *path = getenv("KILL_LOG");
    int fd = path ? NEXT(open)(path, O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;
    char line[4096];
    int length = snprintf(line, sizeof line, "%s\n", to);
    if (fd >= 0) {
        if (length > 0 && length < (int)sizeof line && NEXT(write)(fd, line, length) != length) abort();
        close(fd);
    }
}

int rename(const char *from, const char *to) {
    change();
    int done = NEXT(rename)(from, to);
    if (done == 0) renamed(to);
    return done;
}
int unlink(const char *path) {
    change();
    return NEXT(unlink)(path);
}
int unlinkat(int folder, const char *path, int flags) {
    change();
    return NEXT(unlinkat)(folder, path, flags);
}
int mkdir(const char *path, mode_t mode) {
    change();
    return NEXT(mkdir)(path, mode);
}
int rmdir(const char *path) {
    change();
    return NEXT(rmdir)(path);
}
int creat(const char *path, mode_t mode) {
    change();
    return NEXT(creat)(path, mode);
}
int truncate(const char *path, off_t length) {
    change();
    return NEXT(truncate)(path, length);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    change();
    return NEXT(pwrite64)(fd, bytes, count, at);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    change();
    return NEXT(renameat)(from_folder, from, to_folder, to);
}
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    change();
    return NEXT(renameat2)(from_folder, from, to_folder, to, flags);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    change();
    return NEXT(mkdirat)(folder, path, mode);
}
int link(const char *from, const char *to) {
    change();
    return NEXT(link)(from, to);
}
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    change();
    return NEXT(linkat)(from_folder, from, to_folder, to, flags);
}
int symlink(const char *from, const char *to) {
    change();
    return NEXT(symlink)(from, to);
}
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t count, unsigned flags) {
    change();
    return NEXT(copy_file_range)(from, from_at, to, to_at, count, flags);
}
