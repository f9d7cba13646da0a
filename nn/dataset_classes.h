/* SPDX-License-Identifier: MIT */
/* For dataset_folder.c: what the folders of a data set are, and which files in them are images. */
#ifndef NN_DATASET_CLASSES_H
#define NN_DATASET_CLASSES_H

#include "dataset_kinds.h"

/* What a directory has, in the order of names, without what begins with a dot and without __MACOSX, which archives of a Mac
 * have beside their contents. */
typedef struct nn_listing {
    struct dirent **entries;
    int count;
} nn_listing;

bool nn_list(const char *directory, nn_listing *listing, char *message);
void nn_free_listing(nn_listing *listing);

/* The parts of a set: root/train and root/test, or what else is called so; or root for both, and then *test is empty. */
bool nn_find_parts(const char *root, char train[NN_PATH_BYTES], char test[NN_PATH_BYTES], char *message);

/* The folders in `directory` are the classes. Their names are those of a set, which has none yet. */
bool nn_list_classes(const char *directory, nn_dataset *dataset, char *message);

/* A file in the folder of a class. One is an image by the ending of its name or by its first bytes, whether it can be read or
 * not; what is no regular file is none. */
typedef enum nn_entry { NN_ENTRY_IMAGE, NN_ENTRY_OTHER, NN_ENTRY_FOLDER } nn_entry;
nn_entry nn_entry_kind(const char *path);

#endif
