/*
 * The functions that an image calls in libchelper: what the C library offers only
 * behind macros, variadic functions or errno conventions that compiled Java code cannot use.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

char **getEnviron(void) { return environ; }

int getThreadId(void) { return (int)syscall(SYS_gettid); }

int openSII(const char *path, int flags, int mode) { return open(path, flags, mode); }

int openatISII(int dir, const char *path, int flags, int mode) {
    return openat(dir, path, flags, mode);
}

int fprintfSD(FILE *file, const char *format, const char *text, int number) {
    return fprintf(file, format, text, number);
}

void *mremapP(void *old, size_t old_size, size_t new_size, int flags, void *new_address) {
    return mremap(old, old_size, new_size, flags, new_address);
}

void codeSynchronization_clearCache(long start, long end) {
    __builtin___clear_cache((char *)start, (char *)end);
}

/*
 * The user time of one thread in nanoseconds, or -1. proc(5): field 14 of stat is utime, in
 * clock ticks; the second field is the name in parentheses and may hold spaces and parentheses
 * of its own, so fields are counted from the last ')'.
 */
int64_t getThreadUserTimeSlow(int thread) {
    char path[64], stat[2048];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    ssize_t size = read(file, stat, sizeof stat - 1);
    close(file);
    if (size <= 0) return -1;
    stat[size] = 0;
    char *field = strrchr(stat, ')');
    unsigned long ticks;
    if (!field || sscanf(field + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu", &ticks) != 1)
        return -1;
    return (int64_t)ticks * (1000000000LL / sysconf(_SC_CLK_TCK));
}

/* libjava finds the zone in TZ, /etc/timezone and /etc/localtime; the mappings are for Windows. */
extern char *findJavaTZ_md(const char *java_home);

char *SVM_FindJavaTZmd(const char *mappings, int length) {
    (void)mappings;
    (void)length;
    return findJavaTZ_md(NULL);
}
