/* SPDX-License-Identifier: MIT */
/* An image file as bytes: PNG (libpng) or JPEG (libjpeg), told apart by how they begin, whatever their names are.
 *
 * Pixels are what is stored: 16 bits are rounded to 8, fewer are stretched to 8, a palette is looked up, alpha is dropped
 * (as PIL's convert("RGB") does), gamma and colour profiles are not applied. An image is turned and mirrored as its Exif data
 * says (as PIL's ImageOps.exif_transpose() does); Exif data that is malformed says nothing. An image is grey if its red, green
 * and blue are equal everywhere, however it is stored. A file that ends early or has a wrong checksum is refused. */
#ifndef NN_IMAGE_H
#define NN_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of an image as a network takes it, and of a photo that is made smaller; that has at most NN_PHOTO_MAX_PIXELS, too. */
enum { NN_IMAGE_MAX_SIDE = 4096, NN_PHOTO_MAX_SIDE = 16384, NN_PHOTO_MAX_PIXELS = 1 << 27 };

typedef struct nn_image {
    size_t height, width, channels; /* 1 or 3 channels */
    uint8_t *pixels;                /* [height][width][channels]; free() it */
} nn_image;

/* How an image of any size becomes one of this size. Crop: it is resized until it covers the size, and the middle is taken
 * (torchvision's Resize(N) and CenterCrop(N)). Stretch: it is resized to the size, whatever that does to its proportions. */
typedef enum nn_fit { NN_CROP, NN_STRETCH } nn_fit;
typedef struct nn_size {
    size_t height, width; /* 0: as it is */
    nn_fit fit;
} nn_size;

/* What is wanted beside the pixels. */
typedef struct nn_image_options {
    nn_size size;
    bool any_file; /* what is no regular file is read, too, such as a pipe; - is standard input */
} nn_image_options;

/* False: `message`, NN_MESSAGE_BYTES long, names the file and what is wrong with it, and nothing is to be freed. */
bool nn_image_read(const char *path, nn_image *image, char *message);
bool nn_image_read_as(const char *path, const nn_image_options *options, nn_image *image, char *message);
/* The same from memory, as it is; the message names no file. */
bool nn_image_decode(const uint8_t *bytes, size_t count, nn_image *image, char *message);
/* Whether bytes begin as PNG or JPEG does. */
bool nn_image_begins(const uint8_t *bytes, size_t count);
/* Becomes an image of this size, upwards or downwards. False: no memory. */
bool nn_image_fit(nn_image *image, const nn_size *size, char *message);
/* From 1 channel to 3 equal ones, or from 3 to luma, (299 R + 587 G + 114 B) / 1000, rounded. False: no memory. */
bool nn_image_set_channels(nn_image *image, size_t channels);

/* What Exif data, which begins with "II" or "MM", says of the orientation: 1 (upright) to 8, and 1 where it says nothing. */
int nn_exif_orientation(const uint8_t *bytes, size_t count);
/* Pixels that are stored in this orientation become upright. */
bool nn_image_orient(nn_image *image, int orientation, char *message);

/* For image.c: pixels of 1 or 3 channels, with sides of at most `most`; what was allocated is freed by the caller in any
 * case. */
bool nn_decode_png(const uint8_t *bytes, size_t count, size_t most, nn_image *image, char *message);
bool nn_decode_jpeg(const uint8_t *bytes, size_t count, size_t most, nn_image *image, char *message);
/* Sets the sizes and allocates the pixels. */
bool nn_image_allocate(nn_image *image, size_t most, size_t height, size_t width, size_t channels, char *message);

#endif
