/* SPDX-License-Identifier: MIT */
/* PNG and JPEG files in the directory of files.h, written by libpng and libjpeg. */
#ifndef TESTS_NN_IMAGE_FILES_H
#define TESTS_NN_IMAGE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Like IHDR: bits of a sample and libpng's colour type. rows: as they are in the file, one after the other. A palette has the
 * colours (i, 2 i, 255 - i), and each second entry is transparent. */
struct png {
    size_t width, height;
    int bits, type;
    bool interlaced;
    const uint8_t *rows;
};

void put_png(const char *name, const struct png *png);
/* components: 1 grey, 3 RGB, 4 CMYK. */
void put_jpeg(const char *name, size_t width, size_t height, int components, const uint8_t *pixels, bool progressive);
/* An image of one colour: grey if red, green and blue are equal. */
void put_plain_png(const char *name, size_t width, size_t height, uint8_t red, uint8_t green, uint8_t blue);

#endif
