/* SPDX-License-Identifier: MIT */
/* The data set that a test loads from files in the directory of files.h. */
#ifndef TESTS_NN_LOADED_H
#define TESTS_NN_LOADED_H

#include "nn/dataset.h"

extern char message[NN_MESSAGE_BYTES];
extern nn_dataset train, test;

/* In place of the set that was loaded before. */
void load(const char *name, uint32_t limit);
/* A teardown. */
int unload(void **state);

/* Loading from `path` fails, nothing is there, and the message says both. */
void assert_bad_dataset(const char *path, const char *name, const char *what);
void assert_says(const char *name, const char *what);

#endif
