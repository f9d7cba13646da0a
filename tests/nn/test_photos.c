/* SPDX-License-Identifier: MIT */
/* Photos as cameras store them: turned, mirrored, with Exif data that may be anything, and of any size. Long because every
 * orientation and every way to become another size is looked at. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image_files.h"
#include "nn/image.h"
#include "nn/message.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

#include <png.h>
#include <zlib.h>

enum { HEIGHT = 24, WIDTH = 40, MOST = 1 << 16 };
static char message[NN_MESSAGE_BYTES];

/* Exif data as in a file, with its orientation as entry 2 of 3. */
static size_t put_exif(uint8_t *to, bool little, unsigned orientation) {
    static const uint16_t words[] = {0, 42, 0, 8, 3,      0x0100, 3, 0, 1, 40, 0, 0x0112, 3,
                                     0, 1,  0, 0, 0x0213, 3,      0, 1, 1, 0,  0, 0};
    const size_t count = sizeof words / sizeof words[0];
    memcpy(to, little ? "II" : "MM", 2);
    for (size_t i = 1; i < count; i++) {
        unsigned word = i == 15 ? orientation : words[i];
        to[2 * i + little] = (uint8_t)(word >> 8);
        to[2 * i + !little] = (uint8_t)word;
        if (!little) continue;
        const bool second = i == 3 || i == 8 || i == 14 || i == 20; /* of a number of 32 bits: the low half comes first */
        if (second) {
            uint8_t half[2];
            memcpy(half, to + 2 * i, 2);
            memcpy(to + 2 * i, to + 2 * i - 2, 2);
            memcpy(to + 2 * i - 2, half, 2);
        }
    }
    return 2 * count;
}

/* A JPEG file becomes one with this Exif data. */
static void add_marker(const char *name, const uint8_t *exif, size_t count) {
    static uint8_t file[MOST], with[MOST];
    const size_t size = file_get(file_path(name), file, MOST), length = 2 + 6 + count;
    uint8_t *p = with;
    memcpy(p, file, 2);
    p += 2;
    *p++ = 0xff, *p++ = 0xe1, *p++ = (uint8_t)(length >> 8), *p++ = (uint8_t)length;
    memcpy(p, "Exif\0\0", 6);
    memcpy(p + 6, exif, count);
    memcpy(p + 6 + count, file + 2, size - 2);
    file_put(file_path(name), with, size + 2 + length);
}

/* A PNG file becomes one with this Exif data, in the chunk behind the first. */
static void add_chunk(const char *name, const uint8_t *exif, size_t count) {
    enum { FIRST = 33 }; /* the signature and IHDR */
    static uint8_t file[MOST], with[MOST];
    const size_t size = file_get(file_path(name), file, MOST);
    uint8_t *p = with + FIRST;
    memcpy(with, file, FIRST);
    memcpy(p, (const uint8_t[]){0, 0, 0, (uint8_t)count, 'e', 'X', 'I', 'f'}, 8);
    memcpy(p + 8, exif, count);
    const unsigned long sum = crc32(0, p + 4, (unsigned)count + 4);
    p += 8 + count;
    for (int shift = 24; shift >= 0; shift -= 8) *p++ = (uint8_t)(sum >> shift);
    memcpy(p, file + FIRST, size - FIRST);
    file_put(file_path(name), with, size + 12 + count);
}

/* The corners of a photo: one is white, one grey, the others black. */
static uint8_t upright(size_t y, size_t x) {
    const bool below = y >= HEIGHT / 2, right = x >= WIDTH / 2;
    return below ? (right ? 0 : 100) : right ? 250 : 0;
}

/* What a sensor has in each orientation: the place where Exif says row 0 and column 0 are, by the words of the standard. */
static void put_photo(const char *name, int orientation, bool jpeg) {
    static uint8_t pixels[HEIGHT * WIDTH];
    const size_t h = orientation < 5 ? HEIGHT : WIDTH, w = orientation < 5 ? WIDTH : HEIGHT;
    for (size_t row = 0; row < h; row++) {
        for (size_t column = 0; column < w; column++) {
            size_t y = row, x = column;
            switch (orientation) { /* row 0 is the ... side, column 0 is the ... side */
            case 2:
                y = row, x = WIDTH - 1 - column;
                break; /* top, right */
            case 3:
                y = HEIGHT - 1 - row, x = WIDTH - 1 - column;
                break; /* bottom, right */
            case 4:
                y = HEIGHT - 1 - row, x = column;
                break; /* bottom, left */
            case 5:
                y = column, x = row;
                break; /* left, top */
            case 6:
                y = column, x = WIDTH - 1 - row;
                break; /* right, top */
            case 7:
                y = HEIGHT - 1 - column, x = WIDTH - 1 - row;
                break; /* right, bottom */
            case 8:
                y = HEIGHT - 1 - column, x = row;
                break; /* left, bottom */
            }
            pixels[row * w + column] = upright(y, x);
        }
    }
    if (jpeg)
        put_jpeg(name, w, h, 1, pixels, false);
    else
        put_png(name, &(struct png){w, h, 8, PNG_COLOR_TYPE_GRAY, false, pixels});
}

static void assert_upright(const char *name, int most) {
    nn_image image;
    if (!nn_image_read(file_path(name), &image, message)) fail_msg("%s", message);
    assert_true(image.height == HEIGHT && image.width == WIDTH && image.channels == 1);
    for (size_t i = 0; i < HEIGHT * WIDTH; i++)
        if (abs(image.pixels[i] - upright(i / WIDTH, i % WIDTH)) > most) fail_msg("%s: pixel %zu", name, i);
    free(image.pixels);
}

TEST(photos_are_turned_upright) {
    uint8_t exif[64];
    for (int orientation = 1; orientation <= 8; orientation++) {
        for (int little = 0; little < 2; little++) {
            const size_t count = put_exif(exif, little, (unsigned)orientation);
            assert_int_equal(nn_exif_orientation(exif, count), orientation);
            put_photo("a.jpg", orientation, true);
            add_marker("a.jpg", exif, count);
            assert_upright("a.jpg", 4);
#ifdef PNG_eXIf_SUPPORTED
            put_photo("a.png", orientation, false);
            add_chunk("a.png", exif, count);
            assert_upright("a.png", 0);
#endif
        }
    }
}

/* Of three channels the pixels are moved, not the bytes. */
TEST(colours_stay_together) {
    nn_image image = {1, 2, 3, malloc(6)};
    memcpy(image.pixels, "abcdef", 6);
    assert_true(nn_image_orient(&image, 6, message));
    assert_true(image.height == 2 && image.width == 1);
    assert_memory_equal(image.pixels, "abcdef", 6);
    assert_true(nn_image_orient(&image, 3, message));
    assert_memory_equal(image.pixels, "defabc", 6);
    free(image.pixels);
}

/* In memory of its own, so that reading beyond its end would be seen. */
static int orientation_of(const uint8_t *exif, size_t count) {
    uint8_t *copy = malloc(count > 0 ? count : 1);
    memcpy(copy, exif, count);
    const int orientation = nn_exif_orientation(copy, count);
    free(copy);
    return orientation;
}

TEST(malformed_exif_says_nothing) {
    uint8_t exif[64], wrong[64];
    for (int little = 0; little < 2; little++) {
        const size_t count = put_exif(exif, little, 6);
        for (size_t cut = 0; cut < count; cut++) assert_int_equal(orientation_of(exif, cut), cut < 34 ? 1 : 6);
        for (size_t i = 0; i < count; i++) {
            for (int bit = 0; bit < 8; bit++) {
                memcpy(wrong, exif, count);
                wrong[i] ^= (uint8_t)(1 << bit);
                assert_in_range(orientation_of(wrong, count), 1, 8);
                const bool counts = i < 8 || (i >= 22 && i < 32); /* the head, and the entry itself */
                const bool harmless = i == 31 || i == 30;         /* another orientation */
                if (counts && !harmless) assert_int_equal(orientation_of(wrong, count), 1);
            }
        }
        put_exif(exif, little, 0);
        assert_int_equal(orientation_of(exif, count), 1);
        put_exif(exif, little, 9);
        assert_int_equal(orientation_of(exif, count), 1);
        put_exif(exif, little, 6);
        memset(exif + 4, 0xff, 4); /* the directory is far away */
        assert_int_equal(orientation_of(exif, count), 1);
    }
    put_photo("a.jpg", 1, true);
    add_marker("a.jpg", exif, 12);
    assert_upright("a.jpg", 4);
    add_marker("a.jpg", exif, 0);
    assert_upright("a.jpg", 4);
}

/* Sizes. */

/* Any pixels, the same each time. */
static nn_image make_image(size_t height, size_t width, size_t channels) {
    nn_image image = {height, width, channels, malloc(height * width * channels)};
    uint32_t state = 1;
    assert_non_null(image.pixels);
    for (size_t i = 0; i < height * width * channels; i++) {
        state = state * 1664525u + 1013904223u;
        image.pixels[i] = (uint8_t)(state >> 24);
    }
    return image;
}

/* How much of source pixel x goes into place i, where `source` become `whole`: PIL's bilinear filter, whose support grows where
 * it shrinks. Not yet divided by the sum. */
static long double reference_weight(size_t x, size_t i, size_t source, size_t whole) {
    const long double scale = (long double)source / (long double)whole, support = scale > 1 ? scale : 1;
    const long double away = fabsl((long double)x + 0.5L - ((long double)i + 0.5L) * scale) / support;
    return away < 1 ? 1 - away : 0;
}

static long double reference_pixel(const nn_image *image, size_t y, size_t x, size_t c, size_t height, size_t width) {
    long double sum = 0, total = 0;
    for (size_t i = 0; i < image->height; i++) {
        const long double of_row = reference_weight(i, y, image->height, height);
        for (size_t k = 0; of_row > 0 && k < image->width; k++) {
            const long double weight = of_row * reference_weight(k, x, image->width, width);
            sum += weight * image->pixels[(i * image->width + k) * image->channels + c];
            total += weight;
        }
    }
    return sum / total;
}

/* The whole has this size; the result begins at top and left. */
static void assert_fits(size_t h, size_t w, size_t channels, nn_size size, size_t height, size_t width, size_t top,
                        size_t left) {
    nn_image image = make_image(h, w, channels), is = make_image(h, w, channels);
    assert_true(nn_image_fit(&is, &size, message));
    assert_true(is.height == size.height && is.width == size.width && is.channels == channels);
    for (size_t i = 0; i < is.height * is.width * channels; i++) {
        const size_t y = top + i / channels / is.width, x = left + i / channels % is.width;
        const long double pixel = reference_pixel(&image, y, x, i % channels, height, width);
        if (fabsl(pixel - is.pixels[i]) > 0.51L)
            fail_msg("%zu x %zu to %zu x %zu: byte %zu is %d, not %Lf", h, w, height, width, i, is.pixels[i], pixel);
    }
    free(image.pixels);
    free(is.pixels);
}

TEST(images_are_made_to_fit) {
    assert_fits(37, 53, 3, (nn_size){8, 8, NN_STRETCH}, 8, 8, 0, 0);
    assert_fits(37, 53, 1, (nn_size){80, 61, NN_STRETCH}, 80, 61, 0, 0);
    assert_fits(9, 40, 3, (nn_size){20, 10, NN_STRETCH}, 20, 10, 0, 0);
    assert_fits(1, 1, 3, (nn_size){3, 5, NN_STRETCH}, 3, 5, 0, 0);
    assert_fits(300, 2, 1, (nn_size){1, 2, NN_STRETCH}, 1, 2, 0, 0);
    assert_fits(16, 16, 3, (nn_size){8, 8, NN_CROP}, 8, 8, 0, 0);
    assert_fits(30, 47, 3, (nn_size){10, 10, NN_CROP}, 10, 15, 0, 2); /* 2.5 is rounded to even */
    assert_fits(30, 53, 3, (nn_size){10, 10, NN_CROP}, 10, 17, 0, 4); /* and 3.5 */
    assert_fits(53, 30, 1, (nn_size){10, 10, NN_CROP}, 17, 10, 4, 0);
    assert_fits(6, 4, 3, (nn_size){20, 20, NN_CROP}, 30, 20, 5, 0);   /* enlarged */
    assert_fits(40, 30, 1, (nn_size){16, 24, NN_CROP}, 32, 24, 8, 0); /* not square */
    assert_fits(1, 5000, 1, (nn_size){4, 4, NN_CROP}, 4, 20000, 0, 9998);
}

TEST(what_fits_already_stays) {
    nn_image image = make_image(9, 14, 3), is = make_image(9, 14, 3);
    for (int fit = NN_CROP; fit <= NN_STRETCH; fit++) {
        assert_true(nn_image_fit(&is, &(nn_size){0, 0, (nn_fit)fit}, message));
        assert_true(nn_image_fit(&is, &(nn_size){9, 14, (nn_fit)fit}, message));
        assert_true(is.height == 9 && is.width == 14);
        assert_memory_equal(is.pixels, image.pixels, 9 * 14 * 3);
    }
    assert_true(nn_image_fit(&is, &(nn_size){9, 9, NN_CROP}, message)); /* 2.5, so 2 */
    for (size_t i = 0; i < 9; i++) assert_memory_equal(is.pixels + i * 9 * 3, image.pixels + (i * 14 + 2) * 3, 9 * 3);
    memset(is.pixels, 77, 9 * 9 * 3); /* no weight is lost */
    assert_true(nn_image_fit(&is, &(nn_size){5, 31, NN_STRETCH}, message));
    for (size_t i = 0; i < (size_t)5 * 31 * 3; i++) assert_int_equal(is.pixels[i], 77);
    free(image.pixels);
    free(is.pixels);
}

/* What is larger than any network takes may be a photo. */
TEST(photos_are_larger) {
    static uint8_t row[NN_PHOTO_MAX_SIDE + 1];
    const nn_image_options options = {.size = {4, 4, NN_STRETCH}};
    nn_image image;
    put_jpeg("wide.jpg", NN_PHOTO_MAX_SIDE, 1, 1, row, false);
    put_png("wide.png", &(struct png){NN_PHOTO_MAX_SIDE, 1, 8, PNG_COLOR_TYPE_GRAY, false, row});
    put_png("wider.png", &(struct png){NN_PHOTO_MAX_SIDE + 1, 1, 8, PNG_COLOR_TYPE_GRAY, false, row});
    assert_true(nn_image_read_as(file_path("wide.jpg"), &options, &image, message));
    assert_true(image.height == 4 && image.width == 4);
    free(image.pixels);
    assert_true(nn_image_read_as(file_path("wide.png"), &options, &image, message));
    free(image.pixels);
    assert_false(nn_image_read_as(file_path("wider.png"), &options, &image, message));
    assert_false(nn_image_read(file_path("wide.jpg"), &image, message));
    assert_non_null(strstr(message, "16384 wide and 1 high; each must be 1 to 4096"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(photos_are_turned_upright),   cmocka_unit_test(colours_stay_together),
        cmocka_unit_test(malformed_exif_says_nothing), cmocka_unit_test(images_are_made_to_fit),
        cmocka_unit_test(what_fits_already_stays),     cmocka_unit_test(photos_are_larger),
    };
    return cmocka_run_group_tests_name("nn.photos", tests, files_setup, files_teardown);
}
