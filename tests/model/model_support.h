/* SPDX-License-Identifier: MIT */
/* Files of models, put together byte by byte. */
#ifndef TESTS_MODEL_MODEL_SUPPORT_H
#define TESTS_MODEL_MODEL_SUPPORT_H

#include "batchnorm/model.h"

struct bytes {
    unsigned char at[1 << 14];
    size_t count;
};

void put(struct bytes *b, const void *from, size_t count);
void put_text(struct bytes *b, const char *text);
/* A little-endian number of so many bytes. */
void put_number(struct bytes *b, uint64_t value, int bytes);

/* Fields of protocol buffers */
void put_varint(struct bytes *b, uint64_t value);
void put_int(struct bytes *b, uint32_t field, uint64_t value);
void put_string(struct bytes *b, uint32_t field, const char *text);
void put_message(struct bytes *b, uint32_t field, const struct bytes *message);

/* Pickles: a text (BINUNICODE), a global, a small number, and a tensor of a storage. */
void pickle_text(struct bytes *b, const char *text);
void pickle_global(struct bytes *b, const char *module, const char *name);
void pickle_int(struct bytes *b, int64_t value);
struct stored {
    const char *type, *key; /* "FloatStorage", "0" */
    int64_t elements, offset;
    int rank;
    int64_t sizes[4], strides[4];
    bool is_legacy; /* its identity has a sixth item */
};
void pickle_tensor(struct bytes *b, const struct stored *s);
/* The same with the type of the elements, "float8_e5m2", of a storage that has none, or with what it is a view of, "neg"; NULL:
 * neither. */
void pickle_odd_tensor(struct bytes *b, const struct stored *s, const char *type, const char *view);

/* A zip file: entries, then the directory. */
struct zip_writer {
    struct bytes file, directory;
    int count;
};
void zip_add(struct zip_writer *z, const char *name, const void *data, size_t bytes);
void zip_end(struct zip_writer *z);

/* Opens bytes as a file; NULL, with the message, if they are refused. What is opened is closed by let_go(). */
batchnorm_model *open_bytes(const struct bytes *b, char *message);

/* Opens bytes, looks at everything that the model has, and closes it again. Returns whether it was opened; a refusal must have
 * a message. */
bool look_at(const void *bytes, size_t count, bool folds);

#endif
