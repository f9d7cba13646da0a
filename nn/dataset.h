/* SPDX-License-Identifier: MIT */
/* Labelled images for training and testing, in memory, and batches of them as a network wants them.
 *
 * Three kinds of data are told apart by what is there:
 *
 * IDX (MNIST, Fashion-MNIST, EMNIST and their like), plain or .gz:
 *     ...train-images-idx3-ubyte, ...train-labels-idx1-ubyte, and the same with t10k or test for train. idx4 has colours:
 *     (count, height, width, 3). Labels are 0 to the largest of the training labels. Where a directory has several such sets,
 *     the path is that of one file of training images. Names of classes: those of Fashion-MNIST if it is that, else numbers.
 * CIFAR, the binary version, plain or .gz:
 *     data_batch_1.bin to data_batch_5.bin and test_batch.bin, all with as many images, and names in batches.meta.txt if it is
 *     there (CIFAR-10); or train.bin, five times as long as test.bin, and fine_label_names.txt (CIFAR-100, fine labels).
 * Folders of PNG or JPEG files, one folder for each class:
 *     PATH/CLASS/FILE, or PATH/train/CLASS/FILE and PATH/test/CLASS/FILE; train may be called training, and test may be called
 *     testing, val, valid or validation, in any case of letters. A folder train without folders in it, beside others, is a
 *     class. Without parts every 6th image of a class in the order of names (the 6th, the 12th, ...) is a test image. Classes
 *     are numbered in the order of their names (bytes compared). Images come in turns: the first of each class, the second of
 *     each, and so on. What begins with a dot is skipped, and __MACOSX. Files that are no images, neither by the ending of
 *     their name nor by their first bytes, are passed over, as are pipes and devices. image.h says how files become pixels;
 *     if all of them are grey there is one channel, else three.
 *
 * All images have one size, or are made so if that is wanted, of at most NN_IMAGE_MAX_SIDE each way, and there are 2 to
 * NN_MAX_CLASSES classes. */
#ifndef NN_DATASET_H
#define NN_DATASET_H

#include <stdint.h>

#include "image.h"
#include "message.h"
#include "shape.h"

#define NN_DATASET_DEFAULT "/usr/share/datasets/fashion-mnist" /* where Debian has it */

enum { NN_MAX_CLASSES = 256, NN_MAX_CHANNELS = 3 }; /* a label is a byte */

typedef struct nn_dataset {
    uint32_t count;
    nn_shape image;                                     /* of one; 1 or 3 channels */
    size_t classes;                                     /* labels are below it */
    uint8_t *pixels;                                    /* [count][height][width][channels] */
    uint8_t *labels;                                    /* [count] */
    char **class_names;                                 /* [classes] */
    float mean[NN_MAX_CHANNELS], rstd[NN_MAX_CHANNELS]; /* of each channel of the training images, in both sets: what a network
                                                           trains on has mean 0 and variance 1 */
} nn_dataset;

/* What there is to tell of a set that was loaded. */
typedef struct nn_data_notes {
    size_t passed_over;          /* files in the folders of classes that are no images, */
    char first_passed_over[512]; /* and the first of them, from the path of the set on */
    size_t skipped;              /* images that are broken, and the message about the first */
    char first_skipped[NN_MESSAGE_BYTES];
} nn_data_notes;

typedef struct nn_data_options {
    uint32_t limit;       /* keep so many training images; 0: all */
    nn_size size;         /* images become this size */
    bool may_have_size;   /* where images differ in size, the message says that --size would do */
    bool skip_bad;        /* in folders, broken images are passed over and not an error */
    nn_data_notes *notes; /* zeros at first; NULL: not wanted */
} nn_data_options;

/* The training and the test images at `path`. Of the training images the first `limit` are kept; 0 keeps all. (The order in
 * the files of Fashion-MNIST and CIFAR is random, and folders take turns, so the first are as good a sample as any, and the
 * same in every run.) False: `message`, NN_MESSAGE_BYTES long, says which file is wrong, how, and what would be right. */
bool nn_dataset_load(const char *path, uint32_t limit, nn_dataset *train, nn_dataset *test, char *message);
/* The same with all options. */
bool nn_dataset_load_with(const char *path, const nn_data_options *options, nn_dataset *train, nn_dataset *test, char *message);
/* Pixels of a PNG or JPEG file, or of standard input (-), for a network that was trained on images of this shape, which were
 * made so: colours become grey (luma) or grey becomes colour as it needs. Where they were taken as they are, the size must
 * fit. */
bool nn_dataset_read_image(const char *path, nn_shape shape, const nn_size *size, uint8_t *pixels, char *message);
void nn_dataset_free(nn_dataset *dataset);

/* Random changes that keep the class. Shift: up to `shift` pixels in each direction, independently and uniformly, where what
 * comes in from outside is black (bytes of 0, normalized as all others), and then, if `flip`, left and right are exchanged with
 * probability 1/2: torchvision's RandomCrop(size, padding=shift) and RandomHorizontalFlip. What happens to an image depends on
 * seed, epoch and the image's index only, not on batches or threads. */
typedef struct nn_augmentation {
    unsigned shift; /* 0: none; below the height and the width */
    bool flip;
    uint64_t seed, epoch;
} nn_augmentation;

/* The images order[0..n) as a network wants them, (pixel - mean) * rstd, and their labels. x: [n][height][width][channels],
 * labels: [n], NULL if not wanted. augmentation NULL: as they are. */
void nn_dataset_batch(const nn_dataset *dataset, const uint32_t *order, size_t n, const nn_augmentation *augmentation, float *x,
                      uint8_t *labels);

#endif
