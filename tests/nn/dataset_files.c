/* SPDX-License-Identifier: MIT */
#include "dataset_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "tests/support/files.h"
#include "tests/support/test.h"

static uint8_t *put_size(uint8_t *to, size_t size) {
    for (int shift = 24; shift >= 0; shift -= 8) *to++ = (uint8_t)(size >> shift);
    return to;
}

void put_images(const char *name, size_t count, size_t height, size_t width, size_t channels) {
    const size_t row = width * channels, bytes = count * height * row;
    uint8_t *file = calloc(20 + bytes, 1), *p = file;
    assert_non_null(file);
    *p++ = 0, *p++ = 0, *p++ = 8, *p++ = channels == 1 ? 3 : 4;
    p = put_size(put_size(put_size(p, count), height), width);
    if (channels != 1) p = put_size(p, channels);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 2 && height > 0; k++) memset(p + (i * height + (i % 10 * 2 + k) % height) * row, 200, row);
    }
    file_put(file_path(name), file, (size_t)(p - file) + bytes);
    free(file);
}

void put_labels(const char *name, size_t count, uint8_t first) {
    uint8_t *file = calloc(8 + count, 1), *p = file;
    assert_non_null(file);
    *p++ = 0, *p++ = 0, *p++ = 8, *p++ = 1;
    p = put_size(p, count);
    for (size_t i = 0; i < count; i++) p[i] = (uint8_t)(i % 10);
    if (count > 0) p[0] = first;
    file_put(file_path(name), file, 8 + count);
    free(file);
}

void put_stripes(size_t train, size_t test) {
    put_images("train-images-idx3-ubyte", train, 28, 28, 1);
    put_labels("train-labels-idx1-ubyte", train, 0);
    put_images("t10k-images-idx3-ubyte", test, 28, 28, 1);
    put_labels("t10k-labels-idx1-ubyte", test, 0);
}

void compress_file(const char *name) {
    enum { MOST = 1 << 20 };
    char path[700];
    uint8_t *bytes = malloc(MOST);
    assert_non_null(bytes);
    const size_t count = file_get(file_path(name), bytes, MOST);
    assert_in_range(count, 0, MOST);
    snprintf(path, sizeof path, "%s.gz", file_path(name));
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)count), count);
    assert_int_equal(gzclose(file), Z_OK);
    files_remove(file_path(name));
    free(bytes);
}
