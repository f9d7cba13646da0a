/* SPDX-License-Identifier: MIT */
/* Files of one format that are wrong, cut or changed: what every reader of files must stand. Every failure fails the test. */
#ifndef TESTS_SUPPORT_MALFORMED_H
#define TESTS_SUPPORT_MALFORMED_H

#include <stdbool.h>
#include <stddef.h>

/* Reads a file: looks at all that it has, gives it back, and is true. Or the file is refused, nothing is left, and it is false
 * with the reason in `message`, which has BATCHNORM_MESSAGE_BYTES. */
typedef bool malformed_reader(const char *path, char *message);

/* Makes the bytes of a file of a header and `count` bytes of data; returns how many there are, at most 1000. */
typedef size_t malformed_composer(unsigned char *bytes, const char *header, size_t count);

/* A file that breaks a rule: a header and how many bytes of data go with it, or without a composer all of its `count` bytes;
 * and words of the message that says which rule. */
struct malformed {
    const char *bytes;
    size_t count;
    const char *says;
};

void every_one_is_refused(malformed_reader *read, malformed_composer *compose, const struct malformed *files, size_t count);

/* The whole file is read, and refused at every other length. */
void every_cut_is_refused(malformed_reader *read, const void *bytes, size_t count);

/* Every byte of the header gets each of its bits flipped, and each of these characters instead. A changed file is refused, or
 * read so that every byte it gives is there: a sanitizer would see one that is not. Both happen often enough. */
void every_change_is_stood(malformed_reader *read, const void *bytes, size_t count, size_t header, const char *others);

#endif
