/* SPDX-License-Identifier: MIT */
/* The data on which statistics are taken, in batches as the model takes them. */
#ifndef TOOLS_RECALIBRATE_SAMPLES_H
#define TOOLS_RECALIBRATE_SAMPLES_H

#include "nn/dataset.h"
#include "scale.h"
#include "tools/shared/runtime.h"

/* Samples of one file, or images, that follow each other. */
struct piece {
    size_t file; /* of arrays */
    size_t first, count;
};

struct samples {
    enum { SAMPLES_ARRAYS, SAMPLES_IMAGES, SAMPLES_SET } kind;
    const struct recalibrate_request *request;
    const batchnorm_model *model;
    struct runtime_array input; /* what the model takes: name, type, sizes */
    char **paths;
    size_t path_count, path_room;
    nn_dataset set;
    bool channels_last;
    size_t channels; /* of images */
    bool is_scaled;  /* their pixels become floats */
    struct scale scale;
    nn_size size;
    struct piece *pieces; /* one for each batch */
    size_t batches, piece_room;
    size_t count, left_out; /* samples; those at the end of a file that are no whole batch of a model with fixed batches */
};

/* Finds the samples, and looks whether they fit the input of a model. False: message, NN_MESSAGE_BYTES long, says which file is
 * wrong, how, and what would be right. Close them in any case. */
bool samples_open(struct samples *samples, const struct recalibrate_request *request, const batchnorm_model *model,
                  const struct runtime_array *input, char *message);
void samples_close(struct samples *samples);

/* Reads a batch: `array` gets sizes and data, which are to be freed. Numbers that are not finite are refused. */
bool samples_read(const struct samples *samples, size_t batch, struct runtime_array *array, char *message);

/* Which samples a batch has, for messages: `text` has NN_MESSAGE_BYTES. */
void samples_describe(const struct samples *samples, size_t batch, char *text);

/* For samples*.c */
bool samples_add_path(struct samples *samples, const char *path, char *message);
/* Cuts samples of a file into batches. */
bool samples_cut(struct samples *samples, size_t file, size_t count, char *message);
/* samples_images.c: finds out how images become what the model takes, and reads some. */
bool samples_find_images(struct samples *samples, char *message);
bool samples_fit_images(struct samples *samples, char *message);
bool samples_read_images(const struct samples *samples, const struct piece *piece, struct runtime_array *array, char *message);

#endif
