/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* _SC_NPROCESSORS_ONLN */
#include "machine.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "batchnorm/batchnorm.h"
#include "copy.h"

#ifdef __OPTIMIZE__
#define OPTIMIZED ""
#else
#define OPTIMIZED ", not optimized"
#endif

static void make_printable(char *text) {
    for (; *text; text++)
        if (*text < ' ' || *text > '~') *text = '?';
}

/* The first line of a small file, without its end. */
static bool read_line(const char *path, char *line, int bytes) {
    FILE *file = fopen(path, "re");
    if (!file) return false;
    const bool ok = fgets(line, bytes, file) != NULL;
    fclose(file);
    if (ok) line[strcspn(line, "\n")] = '\0';
    return ok;
}

/* The value after "NAME :" in a file of such lines. */
static bool find_value(const char *path, const char *name, char *value, size_t bytes) {
    char line[512];
    FILE *file = fopen(path, "re");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        const size_t length = strlen(name);
        const char *colon = strchr(line, ':');
        if (strncmp(line, name, length) != 0 || !colon || line + length + strspn(line + length, " \t") != colon) continue;
        const char *begin = colon + 1 + strspn(colon + 1, " \t");
        snprintf(value, bytes, "%.*s", (int)strcspn(begin, "\n"), begin);
        found = value[0] != '\0';
    }
    if (file) fclose(file);
    return found;
}

/* x86 and some others name the processor; elsewhere the board or the architecture has to do. */
static void read_cpu(char *cpu) {
    struct utsname name;
    if (find_value("/proc/cpuinfo", "model name", cpu, BENCH_FACT_BYTES)) return;
    if (read_line("/sys/firmware/devicetree/base/model", cpu, BENCH_FACT_BYTES)) return;
    snprintf(cpu, BENCH_FACT_BYTES, "%.100s processor", uname(&name) == 0 ? name.machine : "unknown");
}

/* sysconf() has cache sizes too, but adds up those of all processors on some virtual machines. */
static bool read_cache(int index, struct bench_cache *cache) {
    static const char *const files[] = {"type", "level", "size", "shared_cpu_list"};
    char path[96], text[4][64];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, files[i]);
        if (!read_line(path, text[i], sizeof text[i])) return false;
    }
    char *unit;
    const unsigned long long size = strtoull(text[2], &unit, 10);
    cache->level = strcmp(text[0], "Instruction") == 0 ? 0 : (int)strtol(text[1], NULL, 10);
    cache->bytes = (size_t)size * (*unit == 'K' ? 1u << 10 : *unit == 'M' ? 1u << 20 : 1);
    snprintf(cache->processors, sizeof cache->processors, "%.31s", text[3]);
    make_printable(cache->processors);
    return true;
}

void bench_machine_read(struct bench_machine *machine) {
    *machine = (struct bench_machine){.version = batchnorm_version(),
                                      .isa = batchnorm_isa(),
                                      .processors = sysconf(_SC_NPROCESSORS_ONLN),
                                      .copy_vector_bytes = bench_copy_vector_bytes(),
                                      .openmp = bench_has_openmp()};
    read_cpu(machine->cpu);
    make_printable(machine->cpu);
    for (int index = 0; machine->cache_count < BENCH_MOST_CACHES; index++) {
        struct bench_cache *cache = &machine->caches[machine->cache_count];
        if (!read_cache(index, cache)) break;
        if (cache->level > 0) machine->cache_count++;
    }
#ifdef __clang__
    snprintf(machine->compiler, BENCH_FACT_BYTES, "clang %s%s", __clang_version__, OPTIMIZED);
#else
    snprintf(machine->compiler, BENCH_FACT_BYTES, "gcc %s%s", __VERSION__, OPTIMIZED);
#endif
    for (size_t end = strlen(machine->compiler); end > 0 && machine->compiler[end - 1] == ' ';) machine->compiler[--end] = '\0';
}

/* What a number in a file of the control group is; "max" and an absent file are no limit. */
static size_t read_bytes(const char *path) {
    char line[64];
    if (!read_line(path, line, sizeof line) || line[0] < '0' || line[0] > '9') return SIZE_MAX;
    const unsigned long long value = strtoull(line, NULL, 10);
    return value > SIZE_MAX ? SIZE_MAX : (size_t)value;
}

size_t bench_machine_free_bytes(void) {
    char text[64];
    size_t bytes = SIZE_MAX;
    if (find_value("/proc/meminfo", "MemAvailable", text, sizeof text)) {
        const unsigned long long kilobytes = strtoull(text, NULL, 10);
        bytes = kilobytes > SIZE_MAX >> 10 ? SIZE_MAX : (size_t)kilobytes << 10;
    }
    const size_t most = read_bytes("/sys/fs/cgroup/memory.max"), used = read_bytes("/sys/fs/cgroup/memory.current");
    const size_t left = most == SIZE_MAX || used == SIZE_MAX ? SIZE_MAX : most > used ? most - used : 0;
    return left < bytes ? left : bytes;
}

const char *bench_caches_text(const struct bench_machine *machine, char text[BENCH_CACHES_TEXT_BYTES]) {
    int length = snprintf(text, BENCH_CACHES_TEXT_BYTES, "%s", machine->cache_count ? "" : "caches unknown");
    for (size_t i = 0; i < machine->cache_count; i++) {
        const struct bench_cache *cache = &machine->caches[i];
        const bool large = cache->bytes >= 1 << 20, shared = strpbrk(cache->processors, ",-") != NULL;
        length += snprintf(text + length, (size_t)(BENCH_CACHES_TEXT_BYTES - length), "%sL%d %g %s%s%s%s", i ? ", " : "",
                           cache->level, (double)cache->bytes / (large ? 1 << 20 : 1 << 10), large ? "MB" : "KB",
                           shared ? " (processors " : "", shared ? cache->processors : "", shared ? ")" : "");
    }
    return text;
}
