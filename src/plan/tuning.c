/* SPDX-License-Identifier: MIT */
/* Linux tells the caches in sysfs. sysconf() is not asked: on virtual machines it has been seen to tell ten times the last
 * level. */
#if defined(__linux__)
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plan/tuning.h"

struct bn_tuning bn_tuning;

/* Where a row differs from the default, it was measured to be faster there. Rows that say so were not measured. */
/* clang-format off */
static const struct bn_limits rows[] = {
    /* items:  item per thread unknown worth  fold gate   blocks: most l2 run  else  row llc channel
       sweeps: run    wide  planes   rows     wide rows   memory: stream fetch near   ahead tile  llc most  rows: fetches */
    {"default", 32768, 4,      64, 65536,     8,   16,             32, 2, 3072, 7168, 512, 4, 4,
               16384, 2048, 1 << 17, 1 << 16, 32,                 5,    4,    16384, 4,    2048, 64 << 20, 1,  1,  1,   1},
    {"zen4",    16384, 4,      64, 32768,     8,   16,             32, 2, 3072, 7168, 512, 4, 4,
               16384, 2048, 1 << 17, 1 << 16, 32,                 5,    4,    16384, 4,    2048, 64 << 20, 1,  1,  1,   1},
    {"zen5",    32768, 4,      64, 65536,     8,   16,             32, 2, 3072, 7168, 512, 4, 4,
               16384, 2048, 1 << 17, 1 << 16, 32,                 6,    4,    16384, 4,    2048, 64 << 20, 1,  1,  1,   0},
    {"golden_cove", 32768, 4,  64, 65536,     8,   16,             16, 2, 3072, 7168, 512, 4, 4,
               16384, 2048, 1 << 17, 1 << 16, 32,                 4,    4,    16384, 4,    2048, 64 << 20, 4,  2,  4,   4},
    /* not measured */
    {"neoverse", 32768, 4,     64, 65536,     8,   16,             32, 2, 3072, 7168, 512, 4, 4,
               16384, 2048, 1 << 17, 1 << 16, 32,                 5,    4,    16384, 4,    2048, 64 << 20, 1,  1,  1,   1},
};
/* clang-format on */

const struct bn_limits *bn_limits_at(size_t index) { return index < sizeof rows / sizeof *rows ? &rows[index] : NULL; }

static const struct bn_limits *row_of(const char *name) {
    for (size_t i = 0; name && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

enum { DEFAULT_L2 = 1 << 20, DEFAULT_LLC = 16 << 20, LEVELS = 5 };

#if defined(__linux__)
/* Returns the number at the beginning of a small file, times 1024 or 1024^2 if K or M follows; 0 if there is none. A 32-bit
 * program may run on a machine whose caches are larger than it can count. */
static size_t read_number(const char *path) {
    char text[32];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text);
    close(file);
    uint64_t number = 0;
    ssize_t i = 0;
    for (; i < length && text[i] >= '0' && text[i] <= '9' && number < UINT64_C(1) << 40; i++)
        number = 10 * number + (uint64_t)(text[i] - '0');
    if (i < length && text[i] == 'K') number <<= 10;
    if (i < length && text[i] == 'M') number <<= 20;
    return (size_t)number == number ? (size_t)number : SIZE_MAX;
}

/* Finds the sizes of levels 2 and up; where a level has several caches, that of the last one listed. */
static void read_levels(size_t size[LEVELS]) {
    char level_file[] = "/sys/devices/system/cpu/cpu0/cache/index0/level";
    char size_file[] = "/sys/devices/system/cpu/cpu0/cache/index0/size";
    const size_t digit = sizeof "/sys/devices/system/cpu/cpu0/cache/index" - 1;
    for (char i = '0'; i <= '9'; i++) {
        level_file[digit] = size_file[digit] = i;
        size_t level = read_number(level_file);
        if (level == 0) return;
        if (level < LEVELS) size[level] = read_number(size_file);
    }
}
#else
static void read_levels(size_t size[LEVELS]) { (void)size; }
#endif

#if defined(__x86_64__) || defined(__i386__)
/* AMD's family 25 is Zen 3 and Zen 4, of which Zen 4 has AVX-512; 26 is Zen 5. Intel's servers from Golden Cove on have AMX. */
static const char *processor(void) {
    unsigned a, b, c, d, vendor, extended = 0;
    if (!__get_cpuid(0, &a, &vendor, &c, &d) || !__get_cpuid(1, &a, &b, &c, &d)) return NULL;
    const unsigned base = a >> 8 & 15, family = base + (base == 15 ? a >> 20 & 255 : 0);
    const bool features = __get_cpuid_count(7, 0, &a, &extended, &c, &d);
    const bool has_avx512 = features && (extended >> 16 & 1), has_amx = features && (d >> 24 & 1);
    if (vendor == signature_AMD_ebx && family == 25 && has_avx512) return "zen4";
    if (vendor == signature_AMD_ebx && family == 26) return "zen5";
    if (vendor == signature_INTEL_ebx && has_amx) return "golden_cove";
    return NULL;
}
#elif defined(__aarch64__) && defined(__linux__)
/* The identification of Arm's cores: implementer 0x41, and the parts N1, V1, N2 and V2. */
static const char *processor(void) {
    static const unsigned parts[] = {0xd0c, 0xd40, 0xd49, 0xd4f};
    char text[24] = {0};
    const int file = open("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", O_RDONLY | O_CLOEXEC);
    if (file < 0) return NULL;
    const ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    const unsigned long long midr = length > 0 ? strtoull(text, NULL, 16) : 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (midr >> 24 == 0x41 && (midr >> 4 & 0xfff) == parts[i]) return "neoverse";
    return NULL;
}
#else
static const char *processor(void) { return NULL; }
#endif

/* Chooses the limits that the environment names, or those of this processor. */
static const struct bn_limits *choose_limits(void) {
    const struct bn_limits *wanted = row_of(getenv("BATCHNORM_TUNING")), *here = wanted ? wanted : row_of(processor());
    return here ? here : &rows[0];
}

/* Two threads may choose at once; they choose the same. */
static _Atomic(const struct bn_limits *) chosen;

void bn_limits_use(const struct bn_limits *limits) { atomic_store_explicit(&chosen, limits, memory_order_release); }

static const struct bn_limits *limits_here(void) {
    const struct bn_limits *limits = atomic_load_explicit(&chosen, memory_order_acquire);
    if (!limits) bn_limits_use(limits = choose_limits());
    return limits;
}

/* 0 until the system was asked. Two threads may ask at once; they get the same. */
static _Atomic size_t l2, llc;

static void ask(void) {
    size_t size[LEVELS] = {0}, last = 0;
    read_levels(size);
    for (int level = 2; level < LEVELS; level++)
        if (size[level] != 0) last = size[level];
    atomic_store_explicit(&l2, size[2] ? size[2] : DEFAULT_L2, memory_order_relaxed);
    atomic_store_explicit(&llc, last ? last : DEFAULT_LLC, memory_order_release);
}

struct bn_machine bn_machine(void) {
    if (atomic_load_explicit(&llc, memory_order_acquire) == 0) ask();
    const struct bn_tuning *t = &bn_tuning;
    struct bn_machine m = {.l2_bytes = atomic_load_explicit(&l2, memory_order_relaxed),
                           .llc_bytes = atomic_load_explicit(&llc, memory_order_relaxed),
                           .limits = t->limits ? t->limits : limits_here()};
    if (m.llc_bytes > m.limits->llc_most) m.llc_bytes = m.limits->llc_most;
    if (t->l2_bytes) m.l2_bytes = t->l2_bytes;
    if (t->llc_bytes) m.llc_bytes = t->llc_bytes;
    return m;
}
