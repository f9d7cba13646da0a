/* SPDX-License-Identifier: MIT */
/* Structs of callers, which begin with their size. */
#ifndef BN_SIZED_H
#define BN_SIZED_H

#include <stddef.h>

/* Returns the struct as this library knows it: the caller's, if it has the size `known`; a copy in `place`, if it has
 * the size `first` of the version before, with zeros for what it lacks, or is larger, and zero where the library knows nothing;
 * NULL for anything else, which no version had. No member may be added where padding was: that of a caller is not zero. */
const void *bn_sized(const void *given, void *place, size_t known, size_t first);

#endif
