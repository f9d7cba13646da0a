/* SPDX-License-Identifier: MIT */
/* What was wrong, for people: "PATH: what it is; what it must be". */
#ifndef NN_MESSAGE_H
#define NN_MESSAGE_H

#include <stdbool.h>

enum { NN_MESSAGE_BYTES = 8192 };

#define NN_NO_MEMORY "memory could not be allocated"

/* What a path is called: "-" is standard input, where something may come from there. */
const char *nn_path_name(const char *path);

/* Writes it to `message`, NN_MESSAGE_BYTES long, and returns false. */
__attribute__((format(printf, 3, 4))) bool nn_wrong(char *message, const char *path, const char *format, ...);

#endif
