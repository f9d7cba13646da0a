/* SPDX-License-Identifier: MIT */
#include "picture.h"

#ifdef TOOLS_HAVE_PNG
#include <png.h>
#include <stdlib.h>
#include <string.h>

bool picture_possible(void) { return true; }

/* RFC 4648; text: 4 * ceil(count / 3) + 1 bytes. */
static void base64(const uint8_t *bytes, size_t count, char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < count; i += 3) {
        const size_t left = count - i;
        const uint32_t group =
            (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
        *text++ = digits[group >> 18];
        *text++ = digits[group >> 12 & 63];
        *text++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *text++ = left > 2 ? digits[group & 63] : '=';
    }
    *text = '\0';
}

char *picture_uri(const uint8_t *pixels, size_t height, size_t width, size_t channels) {
    static const char prefix[] = "data:image/png;base64,";
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
    uint8_t *png = malloc(bytes);
    char *uri = malloc(sizeof prefix + 4 * ((bytes + 2) / 3));
    const bool made = png && uri && png_image_write_to_memory(&image, png, &bytes, 0, pixels, 0, NULL);
    if (made) {
        memcpy(uri, prefix, sizeof prefix);
        base64(png, bytes, uri + sizeof prefix - 1);
    }
    png_image_free(&image);
    free(png);
    if (made) return uri;
    free(uri);
    return NULL;
}

#else /* libpng was not found */

bool picture_possible(void) { return false; }

char *picture_uri(const uint8_t *pixels, size_t height, size_t width, size_t channels) {
    (void)pixels;
    (void)height;
    (void)width;
    (void)channels;
    return NULL;
}

#endif
