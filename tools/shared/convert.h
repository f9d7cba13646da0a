/* SPDX-License-Identifier: MIT */
/* Element types: names, and conversion between them. */
#ifndef TOOLS_SHARED_CONVERT_H
#define TOOLS_SHARED_CONVERT_H

#include "batchnorm/batchnorm.h"

/* "f32", "f64", "bf16", "f16", "i64". */
const char *type_name(batchnorm_dtype dtype);

/* The four floating types by these names, in the order of batchnorm_dtype; NULL at the end. */
extern const char *const dtype_words[];

/* Convert count elements, from I64 or a floating type to a floating type, each rounded once, to the nearest, ties to even; NaN
 * stays NaN. The arrays must not overlap. */
void convert_elements(batchnorm_dtype from_dtype, const void *from, batchnorm_dtype to_dtype, void *to, size_t count);

/* An integer as a double from which a conversion to `to` rounds right: to F64 it is the nearest, to a smaller type one that
 * keeps whether something is left of the digits that double lacks. `bits` has the sign in all places above. */
double integer_to_double(uint64_t bits, bool is_signed, batchnorm_dtype to);

#endif
