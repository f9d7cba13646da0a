/* SPDX-License-Identifier: MIT */
/* What people take for a model, and is none. */
#ifndef BN_OTHER_H
#define BN_OTHER_H

#include "model/map.h"

/* What a file is, by its first bytes, with what to do about it; NULL: nothing that is known. */
const char *bn_other_kind(const struct bn_map *map);

#endif
