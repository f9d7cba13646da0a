/* SPDX-License-Identifier: MIT */
/* PNG and JPEG files of every kind become pixels; broken ones are refused, without a word on stderr. */
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "image_files.h"
#include "nn/image.h"
#include "nn/message.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

static char message[NN_MESSAGE_BYTES];

enum { WIDTH = 11, HEIGHT = 6, PIXELS = WIDTH * HEIGHT, MOST = 8192 };

/* Bytes that repeat nowhere soon. */
static const uint8_t *noise(void) {
    static uint8_t bytes[PIXELS * 8];
    uint32_t x = 12345;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    return bytes;
}

/* Sample number i of a row of samples of `bits` each, at most 8, stretched to 8. */
static uint8_t sample(const uint8_t *row, size_t i, unsigned bits) {
    const unsigned most = (1u << bits) - 1, value = row[i * bits / 8] >> (8 - bits - i * bits % 8) & most;
    return (uint8_t)(value * 255 / most);
}

static nn_image read_png(int bits, int type, bool interlaced) {
    nn_image image;
    put_png("a.png", &(struct png){WIDTH, HEIGHT, bits, type, interlaced, noise()});
    if (!nn_image_read(file_path("a.png"), &image, message)) fail_msg("%s", message);
    assert_true(image.width == WIDTH && image.height == HEIGHT);
    return image;
}

TEST(grey_png_of_every_depth) {
    for (unsigned bits = 1; bits <= 8; bits *= 2) {
        for (int interlaced = 0; interlaced < 2; interlaced++) {
            const nn_image image = read_png((int)bits, PNG_COLOR_TYPE_GRAY, interlaced);
            const size_t row = (WIDTH * bits + 7) / 8;
            assert_int_equal(image.channels, 1);
            for (size_t i = 0; i < PIXELS; i++) {
                assert_int_equal(image.pixels[i], sample(noise() + i / WIDTH * row, i % WIDTH, bits));
            }
            free(image.pixels);
        }
    }
}

/* 8 or 16 bits, with or without alpha, in the order in which the file has its samples. */
static void assert_png(int bits, int type, size_t samples, size_t channels, bool interlaced) {
    const nn_image image = read_png(bits, type, interlaced);
    const uint8_t *from = noise();
    assert_int_equal(image.channels, channels);
    for (size_t i = 0; i < PIXELS; i++) {
        for (size_t c = 0; c < channels; c++) {
            const size_t at = i * samples + c;
            const unsigned wide = bits == 8 ? from[at] * 257u : from[2 * at] * 256u + from[2 * at + 1];
            assert_int_equal(image.pixels[i * channels + c], (wide + 128) / 257); /* to the nearest */
        }
    }
    free(image.pixels);
}

TEST(png_with_colours_alpha_and_16_bits) {
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        for (int bits = 8; bits <= 16; bits += 8) {
            assert_png(bits, PNG_COLOR_TYPE_GRAY, 1, 1, interlaced);
            assert_png(bits, PNG_COLOR_TYPE_GRAY_ALPHA, 2, 1, interlaced);
            assert_png(bits, PNG_COLOR_TYPE_RGB, 3, 3, interlaced);
            assert_png(bits, PNG_COLOR_TYPE_RGB_ALPHA, 4, 3, interlaced);
        }
    }
}

TEST(png_with_a_palette) {
    for (unsigned bits = 1; bits <= 8; bits *= 2) {
        const nn_image image = read_png((int)bits, PNG_COLOR_TYPE_PALETTE, bits == 4);
        const size_t row = (WIDTH * bits + 7) / 8;
        assert_int_equal(image.channels, 3);
        for (size_t i = 0; i < PIXELS; i++) {
            const size_t at = i % WIDTH;
            const unsigned entry = noise()[i / WIDTH * row + at * bits / 8] >> (8 - bits - at * bits % 8) & ((1u << bits) - 1);
            assert_int_equal(image.pixels[3 * i], entry);
            assert_int_equal(image.pixels[3 * i + 1], 2 * entry % 256);
            assert_int_equal(image.pixels[3 * i + 2], 255 - entry);
        }
        free(image.pixels);
    }
}

TEST(equal_colours_are_grey) {
    nn_image image;
    put_plain_png("a.png", 3, 2, 7, 7, 7);
    assert_true(nn_image_read(file_path("a.png"), &image, message));
    assert_true(image.channels == 1 && image.pixels[5] == 7);
    assert_true(nn_image_set_channels(&image, 3));
    for (size_t i = 0; i < 18; i++) assert_int_equal(image.pixels[i], 7);
    memcpy(image.pixels, (const uint8_t[]){10, 100, 250, 199, 0, 0}, 6);
    assert_true(nn_image_set_channels(&image, 1));
    assert_true(image.pixels[0] == 90 && image.pixels[1] == 60 && image.pixels[2] == 7); /* 2.99 + 58.7 + 28.5, 59.501 */
    free(image.pixels);
}

/* Smooth, so that little is lost. */
TEST(jpeg_grey_and_colour) {
    uint8_t pixels[PIXELS * 3];
    nn_image image;
    for (int channels = 1; channels <= 3; channels += 2) {
        for (size_t i = 0; i < PIXELS * (size_t)channels; i++) {
            const size_t pixel = i / (size_t)channels;
            pixels[i] = (uint8_t)(50 + pixel % WIDTH * 4 + pixel / WIDTH * 9 + i % (size_t)channels * 30);
        }
        for (int progressive = 0; progressive < 2; progressive++) {
            put_jpeg("a.png", WIDTH, HEIGHT, channels, pixels, progressive); /* the name does not matter */
            if (!nn_image_read(file_path("a.png"), &image, message)) fail_msg("%s", message);
            assert_true(image.width == WIDTH && image.height == HEIGHT && image.channels == (size_t)channels);
            for (size_t i = 0; i < PIXELS * (size_t)channels; i++) assert_true(abs(image.pixels[i] - pixels[i]) <= 3);
            free(image.pixels);
        }
    }
    put_jpeg("a.jpg", WIDTH, HEIGHT, 4, noise(), false);
    assert_false(nn_image_read(file_path("a.jpg"), &image, message));
    assert_non_null(strstr(message, "a.jpg: a JPEG file with 4 colour components"));
}

/* In memory of its own, so that reading beyond its end would be seen. */
static bool decode(const uint8_t *bytes, size_t count, nn_image *image) {
    uint8_t *copy = malloc(count > 0 ? count : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, count);
    message[0] = '\0';
    const bool done = nn_image_decode(copy, count, image, message);
    assert_true((done || message[0]) && done == (image->pixels != NULL));
    free(copy);
    return done;
}

static void assert_truncated_is_refused(const char *name) {
    static uint8_t bytes[MOST];
    nn_image image;
    const size_t count = file_get(file_path(name), bytes, sizeof bytes);
    assert_in_range(count, 50, MOST);
    assert_true(decode(bytes, count, &image));
    free(image.pixels);
    for (size_t cut = 0; cut < count; cut++) {
        if (decode(bytes, cut, &image)) fail_msg("%zu of %zu bytes are enough", cut, count);
    }
    file_put(file_path(name), bytes, count / 2);
    assert_false(nn_image_read(file_path(name), &image, message));
    if (!strstr(message, file_path(name))) fail_msg("%s", message);
}

TEST(truncated_anywhere_is_refused) {
    for (int kind = 0; kind < 4; kind++) {
        put_png("a",
                &(struct png){WIDTH, HEIGHT, 8, kind & 1 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_PALETTE, kind & 2, noise()});
        assert_truncated_is_refused("a");
        put_jpeg("a", WIDTH, HEIGHT, kind & 1 ? 3 : 1, noise(), kind & 2);
        assert_truncated_is_refused("a");
    }
}

/* Checksums: a flipped bit is found, or it was in something that has no influence on pixels. */
TEST(png_with_a_flipped_bit_is_refused) {
    static uint8_t bytes[MOST];
    nn_image image;
    size_t refused = 0;
    put_png("a", &(struct png){WIDTH, HEIGHT, 8, PNG_COLOR_TYPE_RGB, false, noise()});
    const size_t count = file_get(file_path("a"), bytes, sizeof bytes);
    for (size_t bit = 0; bit < 8 * count; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (decode(bytes, count, &image)) {
            assert_memory_equal(image.pixels, noise(), 3 * PIXELS);
            free(image.pixels);
        } else {
            refused++;
        }
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_in_range(refused, 8 * (count - 32), 8 * count);
}

/* JPEG has no checksums: what is left is that nothing breaks, which sanitizers watch. */
TEST(jpeg_with_a_wrong_byte_does_no_harm) {
    static uint8_t bytes[MOST];
    nn_image image;
    size_t refused = 0;
    put_jpeg("a", 9, 9, 3, noise(), true);
    const size_t count = file_get(file_path("a"), bytes, sizeof bytes);
    for (size_t i = 2; i < count; i++) {
        const uint8_t byte = bytes[i];
        bytes[i] = (uint8_t)(byte ^ 0xff);
        if (decode(bytes, count, &image)) {
            free(image.pixels);
        } else {
            refused++;
        }
        bytes[i] = byte;
    }
    assert_in_range(refused, 20, count);
}

TEST(what_is_no_image_is_refused) {
    nn_image image;
    assert_false(decode((const uint8_t *)"", 0, &image));
    assert_string_equal(message, "the file is empty; it must be PNG or JPEG");
    assert_false(decode((const uint8_t *)"GIF89a", 6, &image));
    assert_string_equal(message, "neither PNG nor JPEG");
    assert_false(nn_image_read(file_path("missing"), &image, message));
    assert_non_null(strstr(message, "missing: No such file or directory"));
    put_plain_png("wide.png", 4097, 1, 1, 2, 3);
    assert_false(nn_image_read(file_path("wide.png"), &image, message));
    assert_non_null(strstr(message, "wide.png: "));
    uint8_t *row = calloc(4097, 1);
    put_jpeg("wide.jpg", 4097, 1, 1, row, false);
    free(row);
    assert_false(nn_image_read(file_path("wide.jpg"), &image, message));
    assert_non_null(strstr(message, "wide.jpg: the image is 4097 wide and 1 high; each must be 1 to 4096"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grey_png_of_every_depth),
        cmocka_unit_test(png_with_colours_alpha_and_16_bits),
        cmocka_unit_test(png_with_a_palette),
        cmocka_unit_test(equal_colours_are_grey),
        cmocka_unit_test(jpeg_grey_and_colour),
        cmocka_unit_test(truncated_anywhere_is_refused),
        cmocka_unit_test(png_with_a_flipped_bit_is_refused),
        cmocka_unit_test(jpeg_with_a_wrong_byte_does_no_harm),
        cmocka_unit_test(what_is_no_image_is_refused),
    };
    return cmocka_run_group_tests_name("nn.image", tests, files_setup, files_teardown);
}
