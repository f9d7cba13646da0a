/* SPDX-License-Identifier: MIT */
#include "image_files.h"

#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <png.h>

#include "tests/support/files.h"
#include "tests/support/test.h"

static FILE *create(const char *name) {
    const char *path = file_path(name);
    file_make_directories(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    return file;
}

void put_png(const char *name, const struct png *p) {
    FILE *file = create(name);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    assert_non_null(info);
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)p->width, (png_uint_32)p->height, p->bits, p->type,
                 p->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (p->type == PNG_COLOR_TYPE_PALETTE) {
        png_color palette[256];
        png_byte alpha[256];
        for (int i = 0; i < 256; i++) {
            palette[i] = (png_color){(png_byte)i, (png_byte)(2 * i), (png_byte)(255 - i)};
            alpha[i] = i % 2 ? 0 : 255;
        }
        png_set_PLTE(png, info, palette, 1 << p->bits);
        png_set_tRNS(png, info, alpha, 1 << p->bits, NULL);
    }
    png_set_gAMA(png, info, 1.0); /* which is not applied */
    png_write_info(png, info);
    png_bytep *rows = malloc(p->height * sizeof *rows);
    for (size_t i = 0; i < p->height; i++) rows[i] = (png_bytep)(uintptr_t)p->rows + i * png_get_rowbytes(png, info);
    png_write_image(png, rows);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(rows);
    assert_int_equal(fclose(file), 0);
}

void put_jpeg(const char *name, size_t width, size_t height, int components, const uint8_t *pixels, bool progressive) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    FILE *file = create(name);
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = components;
    jpeg.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    if (progressive) jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (size_t i = 0; i < height; i++) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)pixels + i * width * (size_t)components;
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    assert_int_equal(fclose(file), 0);
}

void put_plain_png(const char *name, size_t width, size_t height, uint8_t red, uint8_t green, uint8_t blue) {
    uint8_t *rows = malloc(width * height * 3);
    assert_non_null(rows);
    for (size_t i = 0; i < width * height; i++) rows[3 * i] = red, rows[3 * i + 1] = green, rows[3 * i + 2] = blue;
    put_png(name, &(struct png){width, height, 8, PNG_COLOR_TYPE_RGB, false, rows});
    free(rows);
}
