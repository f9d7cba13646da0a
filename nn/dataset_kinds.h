/* SPDX-License-Identifier: MIT */
/* For the dataset_*.c: one loader for each kind of data, and what they share. */
#ifndef NN_DATASET_KINDS_H
#define NN_DATASET_KINDS_H

#include "dataset.h"
#include "message.h"

typedef enum nn_loaded { NN_NOT_THIS_KIND, NN_LOADED, NN_BROKEN } nn_loaded;

/* Fills both sets but for mean, rstd and the test set's names; a training set without names gets numbers. Only NN_BROKEN has
 * written the message. What was allocated is freed by the caller in any case. options->limit is a hint: images beyond it may be
 * left out. */
typedef nn_loaded nn_loader(const char *path, const nn_data_options *options, nn_dataset *train, nn_dataset *test,
                            char *message);
nn_loader nn_load_idx, nn_load_cifar, nn_load_folder;

enum { NN_PATH_BYTES = 4096 };

/* path = directory/name; false, with a message, if that is too long. */
bool nn_join(char path[NN_PATH_BYTES], const char *directory, const char *name, char *message);
/* directory/name if it is there, else directory/name.gz; false, without a message, if neither is. */
bool nn_find_file(char path[NN_PATH_BYTES], const char *directory, const char *name);
bool nn_is_directory(const char *path);
/* The directory that a path is in, "." if the path has none; a path that is a directory itself stays. */
bool nn_directory_of(char directory[NN_PATH_BYTES], const char *path, char *message);
const char *nn_name_of(const char *path);

/* A copy in one block, to be freed at once; NULL when there is no memory. names NULL: numbers. */
char **nn_copy_names(const char *const *names, size_t count);
/* Whether an image of a size that can be handled; false with a message. */
bool nn_check_size(const char *path, size_t height, size_t width, char *message);

#endif
