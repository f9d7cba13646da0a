/* SPDX-License-Identifier: MIT */
/* The picture of drifts by layer. */
#ifndef TOOLS_RECALIBRATE_SVG_H
#define TOOLS_RECALIBRATE_SVG_H

#include "layers.h"

/* An SVG: for each layer, from the first to the last, how far what arrives is from its statistics, before and after, or if
 * after is NULL before alone. To be freed; NULL without memory. */
char *svg_of_drifts(const char *title, const struct layers *layers, const struct drift *before, const struct drift *after);

#endif
