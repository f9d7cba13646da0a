/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE */
#include <string.h>

#include "image.h"
#include "message.h"

#ifdef NN_HAVE_JPEG
#include <jerror.h>
#include <jpeglib.h>

/* Everything is here and not in local variables: longjmp() forgets those. */
struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    const uint8_t *bytes;
    size_t count;
    nn_image *image;
    char *message;
    int orientation;
    size_t most; /* of a side */
};

static void fail(j_common_ptr jpeg) {
    struct decoder *d = jpeg->client_data;
    char what[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, what);
    snprintf(d->message, NN_MESSAGE_BYTES, "broken JPEG: %s", what);
    longjmp(d->failed, 1);
}

/* libjpeg goes on after a warning and invents what is missing. Only these leave the pixels as they were meant. */
static void hear(j_common_ptr jpeg, int level) {
    if (level >= 0) return; /* news */
    switch (jpeg->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
        return;
    default:
        fail(jpeg);
    }
}

static void be_quiet(j_common_ptr jpeg) { (void)jpeg; }

/* The first marker with Exif data counts. */
static int find_orientation(const struct jpeg_decompress_struct *jpeg) {
    static const uint8_t head[] = {'E', 'x', 'i', 'f', 0, 0};
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m; m = m->next) {
        if (m->data_length >= sizeof head && memcmp(m->data, head, sizeof head) == 0)
            return nn_exif_orientation(m->data + sizeof head, m->data_length - sizeof head);
    }
    return 1;
}

static bool choose_colours(struct decoder *d) {
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    if (jpeg->num_components != 1 && jpeg->num_components != 3) {
        snprintf(d->message, NN_MESSAGE_BYTES, "a JPEG file with %d colour components (CMYK, perhaps); it must be grey or RGB",
                 jpeg->num_components);
        return false;
    }
    jpeg->out_color_space = jpeg->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    return true;
}

static bool run(struct decoder *d) {
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    if (setjmp(d->failed)) return false;
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, (unsigned char *)(uintptr_t)d->bytes, (unsigned long)d->count); /* not const in old versions */
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(jpeg, TRUE);
    d->orientation = find_orientation(jpeg);
    if (!choose_colours(d)) return false;
    const size_t channels = (size_t)jpeg->num_components;
    if (!nn_image_allocate(d->image, d->most, jpeg->image_height, jpeg->image_width, channels, d->message)) return false;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = d->image->pixels + (size_t)jpeg->output_scanline * d->image->width * channels;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
    return true;
}

bool nn_decode_jpeg(const uint8_t *bytes, size_t count, size_t most, nn_image *image, char *message) {
    struct decoder d = {.bytes = bytes, .count = count, .image = image, .message = message, .most = most};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.jpeg.client_data = &d;
    d.errors.error_exit = fail;
    d.errors.emit_message = hear;
    d.errors.output_message = be_quiet;
    const bool done = run(&d);
    jpeg_destroy_decompress(&d.jpeg);
    return done && nn_image_orient(image, d.orientation, message);
}

#else /* libjpeg was not found */

bool nn_decode_jpeg(const uint8_t *bytes, size_t count, size_t most, nn_image *image, char *message) {
    (void)bytes, (void)count, (void)most, (void)image;
    snprintf(message, NN_MESSAGE_BYTES, "a JPEG file, and this was built without libjpeg (Debian: libjpeg-dev)");
    return false;
}

#endif
