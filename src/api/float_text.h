/* SPDX-License-Identifier: MIT */
#ifndef BN_FLOAT_TEXT_H
#define BN_FLOAT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { BN_FLOAT_TEXT = 40 };

/* Writes a number as Python's repr does: the shortest text that gives the same double back, or the same float if `single`. The
 * locale plays no part. Returns the length. */
size_t bn_float_text(double value, bool single, char text[BN_FLOAT_TEXT]);

#endif
