/* SPDX-License-Identifier: MIT */
/* Any bytes as an .npy file: refused, or an array all of whose elements are there. */
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/shared/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* So that reading is not left out. */
volatile double sink;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    int fd = memfd_create("x.npy", 0);
    char path[64], message[MESSAGE_BYTES];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, bytes, count) != (ssize_t)count) abort();
    struct array array;
    if (npy_read(&array, path, message)) {
        if (!array_convert(&array, BATCHNORM_F64, message)) abort();
        const batchnorm_tensor *view = &array.view;
        int64_t last = 0;
        for (int64_t i = 0; i < batchnorm_tensor_elements(view); i++) sink += ((double *)array.memory)[i];
        for (int d = 0; d < view->rank; d++) last += (view->shape[d] - 1) * view->stride[d];
        if (batchnorm_tensor_elements(view) > 0 && last + 1 != batchnorm_tensor_elements(view)) abort();
    }
    array_free(&array);
    close(fd);
    return 0;
}
