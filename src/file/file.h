/* SPDX-License-Identifier: MIT */
/* Side room: model file bytes <-> records. It knows no batch norm but the names of a layer's state, and does no arithmetic on
 * elements. */
#ifndef BN_FILE_H
#define BN_FILE_H

#include "batchnorm/safetensors.h"
#include "place/place.h"
#include "place/source.h"

/* Write a sentence to message (if it is not NULL), with control characters replaced, and return status. */
batchnorm_status bn_fail(batchnorm_status status, char *message, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Returns whether a text is valid UTF-8. */
bool bn_is_utf8(const char *text);

/* Element types as safetensors spells them. */
struct bn_type {
    const char *name;
    unsigned bits;         /* of one element */
    bool is_integer;       /* of at most 8 bytes, without a fraction */
    bool known;            /* batchnorm.h has it: as `dtype` */
    batchnorm_dtype dtype; /* if known */
};
/* NULL for a name that the format does not have. */
const struct bn_type *bn_type_find(const char *name);
/* Every batchnorm_dtype has one; NULL for a value that is none. */
const struct bn_type *bn_type_of(batchnorm_dtype dtype);

/* The value of a tensor of one integer; false if it is none, or does not fit. */
bool bn_safetensors_integer(const batchnorm_safetensors *file, size_t index, int64_t *value);

/* From little-endian to the byte order of the host, or back: the same exchange. */
void bn_host_order(void *elements, size_t count, size_t bytes);

/* Read-only random access. is_worth_reading: see bn_source_open(). */
struct bn_input {
    struct bn_source source;
    char *message;
};
batchnorm_status bn_input_open(struct bn_input *in, const char *path, bool (*is_worth_reading)(const unsigned char *first),
                               char *message);
batchnorm_status bn_input_read(const struct bn_input *in, uint64_t offset, void *to, size_t bytes);
void bn_input_close(struct bn_input *in);

/* A new file that takes the place of path in one step (or what is written to a pipe or a device there): begin, write any number
 * of times, then commit. cancel, which is fine after each of them, removes what is left of it. */
struct bn_output_file {
    struct bn_place place;
    char *message;
};
batchnorm_status bn_output_begin(struct bn_output_file *out, const char *path, char *message);
batchnorm_status bn_output_write(struct bn_output_file *out, const void *from, size_t bytes);
batchnorm_status bn_output_commit(struct bn_output_file *out);
void bn_output_cancel(struct bn_output_file *out);

#endif
