/*
 * The limits that control groups put on the process, version 1, version 2 and both at once
 * (hybrid). An image asks at start whether it is contained and then for memory and processors.
 * A limit holds for a group and all below it, so each walk goes up to the root of the mount and
 * keeps the smallest. Reading fails softly: what cannot be read does not limit.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "svm_container.h"

/* What every path starts with; a test points it to a tree of its own. */
const char *svm_container_root = "";

/* One controller: the folder of our group and how much of it is the mount point. */
typedef struct {
    char path[PATH_MAX];
    size_t mount; /* length of the mount point's part of path; 0: the controller was not found */
    bool v2;
} controller;

static controller memory, processors;

static FILE *open_file(const char *path) {
    char full[PATH_MAX];
    if (snprintf(full, sizeof full, "%s%s", svm_container_root, path) >= (int)sizeof full) return NULL;
    return fopen(full, "re");
}

/* The number at the start of a file in the folder, or -1: missing, "max" or not a number. */
static int64_t read_number(const char *folder, const char *name) {
    char path[PATH_MAX], text[64] = "";
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return -1;
    FILE *file = open_file(path);
    if (!file) return -1;
    char *line = fgets(text, sizeof text, file);
    fclose(file);
    if (!line) return -1;
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    return end == text || text[0] == '-' || value > INT64_MAX ? -1 : (int64_t)value;
}

/* The value of a key in a file of "key value" lines, or -1. */
static int64_t read_key(const char *folder, const char *name, const char *key) {
    char path[PATH_MAX], line[256], found[128];
    unsigned long long value;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return -1;
    FILE *file = open_file(path);
    if (!file) return -1;
    int64_t result = -1;
    while (result < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "%127s %llu", found, &value) == 2 && strcmp(found, key) == 0 && value <= INT64_MAX)
            result = (int64_t)value;
    fclose(file);
    return result;
}

static bool has_word(const char *list, const char *word, char separator) {
    size_t length = strlen(word);
    for (const char *at = list; at; at = (at = strchr(at, separator)) ? at + 1 : NULL)
        if (strncmp(at, word, length) == 0 && (at[length] == separator || at[length] == 0)) return true;
    return false;
}

/* The kernel writes space, tab, newline and backslash in paths as three octal digits. */
static void unescape(char *text) {
    char *to = text;
    for (char *from = text; *from; from++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
            from[3] >= '0' && from[3] <= '7') {
            *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = 0;
}

/* The path of our group in a hierarchy; controller NULL: the one hierarchy of version 2. */
static bool own_group(const char *name, char *group, size_t size) {
    FILE *file = open_file("/proc/self/cgroup");
    if (!file) return false;
    char line[PATH_MAX + 256];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        names++;
        if (name ? !has_word(names, name, ',') : *names != 0) continue;
        found = snprintf(group, size, "%s", path) < (int)size;
    }
    fclose(file);
    return found;
}

/* Joins mount point and group; the group's part above the mount's root is not visible here. */
static void locate(controller *c, const char *name, const char *point, const char *root) {
    char group[PATH_MAX];
    if (!own_group(name, group, sizeof group)) return;
    const char *below = group;
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(group, root, length) == 0 && (group[length] == '/' || group[length] == 0))
        below = group + length;
    else
        below = ""; /* the mount shows another part of the tree: all we know is its top */
    if (strstr(below, "/..") || strcmp(below, "/") == 0) below = "";
    if (snprintf(c->path, sizeof c->path, "%s%s", point, below) >= (int)sizeof c->path) return;
    c->mount = strlen(point);
    c->v2 = name == NULL;
}

/* Finds the controllers in the table of mounts; a version 1 controller hides version 2. */
static void find_controllers(void) {
    FILE *file = open_file("/proc/self/mountinfo");
    if (!file) return;
    char line[2 * PATH_MAX + 1024], root[PATH_MAX], point[PATH_MAX], type[32], options[512];
    while (fgets(line, sizeof line, file)) {
        char *tail = strstr(line, " - ");
        if (!tail || sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) != 2 ||
            sscanf(tail, " - %31s %*s %511s", type, options) != 2)
            continue;
        unescape(root);
        unescape(point);
        if (strcmp(type, "cgroup2") == 0) {
            if (!memory.mount) locate(&memory, NULL, point, root);
            if (!processors.mount) locate(&processors, NULL, point, root);
        } else if (strcmp(type, "cgroup") == 0) {
            if (has_word(options, "memory", ',')) locate(&memory, "memory", point, root);
            if (has_word(options, "cpu", ',')) locate(&processors, "cpu", point, root);
        }
    }
    fclose(file);
}

/* The smallest value that the function gives for the group and those above it; -1: none. */
static int64_t smallest(const controller *c, int64_t (*value)(const char *folder, bool v2)) {
    if (!c->mount) return -1;
    char folder[PATH_MAX];
    memcpy(folder, c->path, sizeof folder);
    int64_t least = -1;
    for (;;) {
        int64_t here = value(folder, c->v2);
        if (here >= 0 && (least < 0 || here < least)) least = here;
        if (strlen(folder) <= c->mount) return least;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < c->mount) return least;
        *slash = 0;
    }
}

static int64_t host_memory(void) { return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE); }

/* Version 1 writes "no limit" as a number near 2^63: anything beyond the machine is none. */
static int64_t below_host(int64_t bytes) { return bytes >= 0 && bytes < host_memory() ? bytes : -1; }

static int64_t memory_limit(const char *folder, bool v2) {
    return below_host(read_number(folder, v2 ? "memory.max" : "memory.limit_in_bytes"));
}

static int64_t swap_limit(const char *folder, bool v2) {
    if (!v2) return below_host(read_number(folder, "memory.memsw.limit_in_bytes"));
    int64_t swap = read_number(folder, "memory.swap.max"), limit = memory_limit(folder, v2);
    return swap < 0 || limit < 0 ? -1 : limit + swap;
}

static int64_t soft_limit(const char *folder, bool v2) {
    return below_host(read_number(folder, v2 ? "memory.low" : "memory.soft_limit_in_bytes"));
}

/* Processors, in thousandths. */
static int64_t quota(const char *folder, bool v2) {
    long long limit = -1, period = -1;
    if (v2) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s/cpu.max", folder) >= (int)sizeof path) return -1;
        FILE *file = open_file(path);
        if (!file) return -1;
        if (fscanf(file, "%lld %lld", &limit, &period) != 2) limit = -1; /* "max 100000" */
        fclose(file);
    } else {
        limit = read_number(folder, "cpu.cfs_quota_us");
        period = read_number(folder, "cpu.cfs_period_us");
    }
    return limit <= 0 || period <= 0 || limit > INT64_MAX / 1000 ? -1 : limit * 1000 / period;
}

int svm_container_initialize(int version) {
    if (version < SVM_CONTAINER_VERSION) return SVM_CONTAINER_TOO_NEW;
    if (version > SVM_CONTAINER_VERSION) return SVM_CONTAINER_TOO_OLD;
    memset(&memory, 0, sizeof memory);
    memset(&processors, 0, sizeof processors);
    find_controllers();
    return smallest(&memory, memory_limit) >= 0 || smallest(&processors, quota) >= 0
               ? SVM_CONTAINER_CONTAINED
               : SVM_CONTAINER_NOT_CONTAINED;
}

uint64_t svm_container_physical_memory(void) {
    int64_t limit = smallest(&memory, memory_limit);
    return (uint64_t)(limit >= 0 ? limit : host_memory());
}

int64_t svm_container_memory_limit_in_bytes(void) { return smallest(&memory, memory_limit); }

int64_t svm_container_memory_and_swap_limit_in_bytes(void) { return smallest(&memory, swap_limit); }

int64_t svm_container_memory_soft_limit_in_bytes(void) { return smallest(&memory, soft_limit); }

int64_t svm_container_memory_usage_in_bytes(void) {
    return memory.mount ? read_number(memory.path, memory.v2 ? "memory.current" : "memory.usage_in_bytes") : -1;
}

int64_t svm_container_memory_max_usage_in_bytes(void) {
    return memory.mount ? read_number(memory.path, memory.v2 ? "memory.peak" : "memory.max_usage_in_bytes") : -1;
}

int64_t svm_container_rss_usage_in_bytes(void) {
    return memory.mount ? read_key(memory.path, "memory.stat", memory.v2 ? "anon" : "rss") : -1;
}

int64_t svm_container_cache_usage_in_bytes(void) {
    return memory.mount ? read_key(memory.path, "memory.stat", memory.v2 ? "file" : "cache") : -1;
}

/* Processors that the process may run on, or fewer if the quota is less; parts are rounded up. */
int svm_container_active_processor_count(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                            : (int)sysconf(_SC_NPROCESSORS_ONLN);
    int64_t limit = smallest(&processors, quota);
    if (limit >= 0 && (limit + 999) / 1000 < count) count = (int)((limit + 999) / 1000);
    return count > 0 ? count : 1;
}
