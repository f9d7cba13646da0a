/* SPDX-License-Identifier: MIT */
/* Any bytes as an IDX file: refused with a message, or an array all of whose elements are there. */
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nn/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* So that reading is not left out. */
volatile unsigned sink;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    int fd = memfd_create("idx", 0);
    char path[64], message[NN_MESSAGE_BYTES];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, bytes, count) != (ssize_t)count) abort();
    nn_idx idx;
    message[0] = '\0';
    if (nn_idx_read(path, &idx, message)) {
        size_t total = 1;
        for (int d = 0; d < idx.rank; d++) total *= idx.shape[d];
        for (size_t i = 0; i < total; i++) sink += idx.bytes[i];
        free(idx.bytes);
    } else if (!message[0] || idx.bytes) {
        abort();
    }
    close(fd);
    return 0;
}
