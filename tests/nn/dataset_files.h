/* SPDX-License-Identifier: MIT */
/* Small data sets as files, in the directory of files.h. */
#ifndef TESTS_NN_DATASET_FILES_H
#define TESTS_NN_DATASET_FILES_H

#include <stddef.h>
#include <stdint.h>

/* IDX images whose rows are black but for two: image i has 200 in the rows 2 (i mod 10) and the next, modulo the height. The
 * file has `channels` only if it is not 1. */
void put_images(const char *name, size_t count, size_t height, size_t width, size_t channels);
/* IDX labels 0, 1, ... 9, 0, ... but for the first. */
void put_labels(const char *name, size_t count, uint8_t first);
/* The four files of such a set with images of 28 x 28. */
void put_stripes(size_t train, size_t test);
/* The file `name`, compressed, as name.gz instead. */
void compress_file(const char *name);

#endif
