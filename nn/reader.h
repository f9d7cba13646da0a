/* SPDX-License-Identifier: MIT */
/* The bytes of a file, unpacked if it is gzip-compressed. Each function that fails has written the reader's message, which
 * names the file and what is wrong with it. Without zlib plain files are read, and compressed ones refused. */
#ifndef NN_READER_H
#define NN_READER_H

#include <stddef.h>
#include <stdint.h>

#include "message.h"

typedef struct nn_reader {
    const char *path;
    void *file;
    char *message; /* NN_MESSAGE_BYTES long */
} nn_reader;

/* A regular file. What is none (a pipe, a socket, a device) is refused at once, and nobody waits for its other end. */
bool nn_reader_open(nn_reader *reader, const char *path, char *message);
/* What is no regular file is read, too, until it ends. */
bool nn_reader_open_any(nn_reader *reader, const char *path, char *message);
void nn_reader_close(nn_reader *reader);

/* Up to `count` bytes into `to`; *got is less only at the end of the file. */
bool nn_reader_some(nn_reader *reader, uint8_t *to, size_t count, size_t *got);
/* As many as there are, but at most `most`. free(*bytes), also after a failure. Memory grows with what has really been read: a
 * broken header must not ask for terabytes. */
bool nn_reader_all(nn_reader *reader, size_t most, uint8_t **bytes, size_t *count);
/* Whether nothing is left; false, without a message, if something is. Asking also makes zlib check the sum at the end. */
bool nn_reader_at_end(nn_reader *reader, bool *end);

#endif
