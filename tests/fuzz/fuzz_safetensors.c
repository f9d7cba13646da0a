/* SPDX-License-Identifier: MIT */
/* Any bytes as a safetensors file: refused, or a file all of whose tensors are there. The first byte says
 * whether the rest is a whole file or lacks the size of the header, which is then put in front: few random sizes fit. */
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "batchnorm/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* So that reading is not left out. */
volatile unsigned sink;

static void put(int fd, const void *bytes, size_t count) {
    if (write(fd, bytes, count) != (ssize_t)count) abort();
}

static void read_all(const batchnorm_safetensors *file) {
    for (size_t i = 0; i < batchnorm_safetensors_count(file); i++) {
        const batchnorm_safetensors_entry *entry = batchnorm_safetensors_at(file, i);
        if (batchnorm_safetensors_find(file, entry->name) != entry) abort();
        for (size_t b = 0; entry->tensor.data && b < entry->bytes; b++) sink += ((uint8_t *)entry->tensor.data)[b];
        int64_t elements = batchnorm_tensor_elements(&entry->tensor);
        if (entry->tensor.data && (size_t)elements * batchnorm_dtype_bytes(entry->tensor.dtype) != entry->bytes) abort();
    }
    for (size_t i = 0; batchnorm_safetensors_metadata_at(file, i); i++)
        sink += (unsigned)strlen(batchnorm_safetensors_metadata_at(file, i)->value);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    if (count < 1) return 0;
    int fd = memfd_create("f.safetensors", 0);
    if (fd < 0) abort();
    size_t data = bytes[0] & 1 ? 0 : bytes[0] / 2; /* bytes after the header, if that comes first */
    if (!(bytes[0] & 1)) {
        data = data < count - 1 ? data : 0;
        uint8_t size[8] = {0};
        for (int i = 0; i < 8; i++) size[i] = (uint8_t)((uint64_t)(count - 1 - data) >> 8 * i);
        put(fd, size, sizeof size);
    }
    put(fd, bytes + 1, count - 1);
    char path[64], message[BATCHNORM_MESSAGE_BYTES];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    batchnorm_safetensors *file;
    batchnorm_status status = batchnorm_safetensors_open(path, &file, message);
    if (status == BATCHNORM_OK)
        read_all(file);
    else if (file || message[0] == '\0')
        abort();
    batchnorm_safetensors_close(file);
    close(fd);
    return 0;
}
