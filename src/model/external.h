/* SPDX-License-Identifier: MIT */
/* Files of tensor data beside a model. A model that comes from somebody else must not reach files that are none of its own: the
 * location is relative, has no "..", and meets no symbolic link and no second name of a file. */
#ifndef BN_EXTERNAL_H
#define BN_EXTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens `location`, of so many bytes, beside the model at `model`. With `follows_links` symbolic links and further names are
 * allowed. Returns -1, with what is wrong in `why`, which has `room` bytes. */
int bn_external_open(const char *model, const char *location, size_t bytes, bool follows_links, char *why, size_t room);

/* Returns the bytes of an open file. */
uint64_t bn_external_bytes(int fd);

/* Reads exactly so many bytes; returns false, with what is wrong in `why`, if they are not there. */
bool bn_external_read(int fd, uint64_t offset, void *to, size_t bytes, char *why, size_t room);

#endif
