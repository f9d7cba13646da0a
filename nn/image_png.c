/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "message.h"

#ifdef NN_HAVE_PNG
#include <png.h>

/* Everything is here and not in local variables: libpng leaves by longjmp(), which forgets those. */
struct decoder {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t left;
    nn_image *image;
    png_bytep *rows;
    char *message;
    int orientation;
    size_t most; /* of a side */
};

static PNG_NORETURN void fail(png_structp png, png_const_charp what) {
    const struct decoder *d = png_get_error_ptr(png);
    snprintf(d->message, NN_MESSAGE_BYTES, "broken PNG: %s", what);
    png_longjmp(png, 1);
}

static void be_quiet(png_structp png, png_const_charp what) { (void)png, (void)what; }

static void take(png_structp png, png_bytep to, size_t count) {
    struct decoder *d = png_get_io_ptr(png);
    if (count > d->left) png_error(png, "the file ends too early");
    memcpy(to, d->bytes, count);
    d->bytes += count;
    d->left -= count;
}

/* Since libpng 1.6.32. */
static void find_orientation(struct decoder *d) {
#ifdef PNG_eXIf_SUPPORTED
    png_uint_32 count = 0;
    png_bytep exif = NULL;
    if (png_get_eXIf_1(d->png, d->info, &count, &exif) && exif) d->orientation = nn_exif_orientation(exif, count);
#else
    (void)d;
#endif
}

static bool run(struct decoder *d) {
    if (setjmp(png_jmpbuf(d->png))) return false;
    png_set_read_fn(d->png, d, take);
    png_set_user_limits(d->png, (png_uint_32)d->most, (png_uint_32)d->most);
    png_read_info(d->png, d->info);
    png_set_expand(d->png); /* palettes, and fewer than 8 bits */
    png_set_scale_16(d->png);
    png_set_strip_alpha(d->png);
    png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    const size_t height = png_get_image_height(d->png, d->info), width = png_get_image_width(d->png, d->info);
    const size_t channels = png_get_channels(d->png, d->info);
    if (!nn_image_allocate(d->image, d->most, height, width, channels, d->message)) return false;
    d->rows = malloc(height * sizeof *d->rows);
    if (!d->rows) png_error(d->png, NN_NO_MEMORY);
    for (size_t i = 0; i < height; i++) d->rows[i] = d->image->pixels + i * width * channels;
    png_read_image(d->png, d->rows);
    png_read_end(d->png, d->info);
    find_orientation(d);
    return true;
}

bool nn_decode_png(const uint8_t *bytes, size_t count, size_t most, nn_image *image, char *message) {
    struct decoder d = {.bytes = bytes, .left = count, .image = image, .message = message, .orientation = 1, .most = most};
    snprintf(message, NN_MESSAGE_BYTES, NN_NO_MEMORY);
    d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, fail, be_quiet);
    if (!d.png) return false;
    d.info = png_create_info_struct(d.png);
    const bool done = d.info && run(&d);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    free(d.rows);
    return done && nn_image_orient(image, d.orientation, message);
}

#else /* libpng was not found */

bool nn_decode_png(const uint8_t *bytes, size_t count, size_t most, nn_image *image, char *message) {
    (void)bytes, (void)count, (void)most, (void)image;
    snprintf(message, NN_MESSAGE_BYTES, "a PNG file, and this was built without libpng (Debian: libpng-dev)");
    return false;
}

#endif
