/* SPDX-License-Identifier: MIT */
/* Labelled grey images, as Fashion-MNIST has them. */
#ifndef NN_DATASET_H
#define NN_DATASET_H

#include "idx.h"

enum { NN_IMAGE_SIDE = 28, NN_IMAGE_SIZE = NN_IMAGE_SIDE * NN_IMAGE_SIDE, NN_CLASSES = 10 };

typedef struct nn_dataset {
    uint32_t count;
    uint8_t *pixels;  /* [count][NN_IMAGE_SIZE] */
    uint8_t *labels;  /* [count], below NN_CLASSES */
    float mean, rstd; /* of the pixels of the training images: what a network sees has mean 0 and variance 1 */
} nn_dataset;

/* The training and the test images of a directory: {train,t10k}-{images-idx3,labels-idx1}-ubyte, with or without .gz. Of the
 * training images the first `limit` are kept; 0 keeps all. (Their order in Fashion-MNIST is random, so the first are as good
 * a sample as any, and the same in every run.) False: `message`, NN_MESSAGE_BYTES long, says which file is wrong and how. */
bool nn_dataset_load(const char *directory, uint32_t limit, nn_dataset *train, nn_dataset *test, char *message);
void nn_dataset_free(nn_dataset *dataset);

/* The images order[0..n) and their labels as a network wants them: x: [n][NN_IMAGE_SIZE], labels: [n]. */
void nn_dataset_batch(const nn_dataset *dataset, const uint32_t *order, size_t n, float *x, uint8_t *labels);

#endif
