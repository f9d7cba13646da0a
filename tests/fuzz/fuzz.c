/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void fuzz_expect(int true_) {
    if (!true_) abort();
}

static void put(int fd, const void *bytes, size_t count) { fuzz_expect(write(fd, bytes, count) == (ssize_t)count); }

const char *fuzz_file(const void *head, size_t head_count, const uint8_t *bytes, size_t count) {
    static char path[64];
    static int fd = -1;
    if (fd >= 0) close(fd);
    fd = memfd_create("fuzz", 0);
    fuzz_expect(fd >= 0);
    if (head_count) put(fd, head, head_count);
    put(fd, bytes, count);
    fuzz_expect(lseek(fd, 0, SEEK_SET) == 0); /* an open file is read from where it stands */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

/* So that reading is not left out. */
volatile unsigned fuzz_sink;

void fuzz_took(const void *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) fuzz_sink += ((const uint8_t *)bytes)[i];
}

void fuzz_refused(const char *message, const void *left) { fuzz_expect(message[0] != '\0' && left == NULL); }
