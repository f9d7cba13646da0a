/* SPDX-License-Identifier: MIT */
/* NumPy's .npy files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef TOOLS_SHARED_NPY_H
#define TOOLS_SHARED_NPY_H

#include "array.h"

/* What a header says. */
struct npy_header {
    batchnorm_dtype dtype; /* of floating-point elements, */
    size_t integer_bytes;  /* else of integers and truth values */
    bool is_signed;
    bool big_endian, fortran_order;
    int rank;
    int64_t shape[BATCHNORM_MAX_RANK];
};

/* Read the dictionary of a header, `length` bytes. */
bool npy_parse_header(struct npy_header *header, const char *text, size_t length, char *message);

/* Read a file of version 1 to 3 with elements of type f2, f4 or f8. An array in Fortran order stays so: its view has the
 * strides of that order. Elements are brought into the byte order of the host, and converted, unless `to` is NULL. Then there
 * may be integers and truth values, too. */
bool npy_read(struct array *array, const char *path, const batchnorm_dtype *to, char *message);

/* Sizes and type of what npy_read() would read, whose elements are all there, in row-major order. */
bool npy_look(const char *path, batchnorm_tensor *view, char *message);

/* Read `count` rows along the first dimension. */
bool npy_read_rows(struct array *array, const char *path, int64_t first, int64_t count, batchnorm_dtype to, char *message);

/* Read a file that is in memory. */
bool npy_read_bytes(struct array *array, const void *bytes, size_t count, batchnorm_dtype to, char *message);

/* Write a contiguous array, little-endian, version 1.0, to an open file. bf16 has no name in this format. */
bool npy_write(int fd, const batchnorm_tensor *tensor, char *message);

#endif
