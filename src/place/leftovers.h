/* SPDX-License-Identifier: MIT */
/* For place.c: names of files that are not in place yet, and those that killed runs left. */
#ifndef BN_LEFTOVERS_H
#define BN_LEFTOVERS_H

/* A name in `directory`, which ends with a slash, for an output at `path`: ".batchnorm-PID-OUTPUT-RANDOM", in allocated memory;
 * NULL without it. OUTPUT tells outputs apart. The name does not grow with path's, which may be as long as a name can be. */
char *bn_leftover_name(const char *directory, const char *path);

/* Removes the files of that output whose process is gone, and which nobody has locked. */
void bn_leftovers_remove(const char *path);

#endif
