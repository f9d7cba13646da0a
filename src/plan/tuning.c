/* SPDX-License-Identifier: MIT */
/* Linux tells the caches in sysfs. sysconf() is not asked: on virtual machines it has been seen to tell ten times the last
 * level. */
#if defined(__linux__)
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <unistd.h>
#endif
#include <stdatomic.h>
#include <stdint.h>

#include "plan/tuning.h"

struct bn_tuning bn_tuning;

/* clang-format off */
static const struct bn_limits limits[] = {
    /* items:  item per thread unknown worth  fold gate   blocks: most l2 run  else  row llc channel
       sweeps: run    wide  planes   rows     wide rows   memory: stream fetch near   ahead tile */
    {"default", 32768, 4,      64, 65536,     8,   16,             32, 2, 3072, 7168, 512, 4, 4,
               16384, 2048, 1 << 17, 1 << 16, 32,                 6,    4,    16384, 4,    2048},
};
/* clang-format on */

/* Chooses the limits of this processor; so far those of one have been measured. */
static const struct bn_limits *choose_limits(void) { return &limits[0]; }

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
    return (struct bn_machine){
        .l2_bytes = t->l2_bytes ? t->l2_bytes : atomic_load_explicit(&l2, memory_order_relaxed),
        .llc_bytes = t->llc_bytes ? t->llc_bytes : atomic_load_explicit(&llc, memory_order_relaxed),
        .limits = t->limits ? t->limits : choose_limits(),
    };
}
