/* SPDX-License-Identifier: MIT */
/* The kernels of one element type: compiled for each instruction set and type with -DBNK_ISA=<name>, the flags of that set, and
 * -DBNK_TYPE=<type>. The one external symbol is the struct of pointers to them. */
#ifndef BNK_TYPE
#error "define BNK_TYPE as f32, f64, bf16 or f16, and compile verbs.c for each (docs/building.md)"
#endif
#include "kernel/plane.h"
#include "kernel/rows.h"

extern const struct bnk_verbs BNK_VERBS_OF(BNK_TYPE);
const struct bnk_verbs BNK_VERBS_OF(BNK_TYPE) = {
    .bytes = sizeof(elem),
    .number_bytes = sizeof(num),
    .pivot = pivot,
    .moments_plane = moments_plane,
    .moments_rows = moments_rows,
    .affine_plane = affine_plane,
    .affine_rows = affine_rows,
    .dots_plane = dots_plane,
    .dots_rows = dots_rows,
    .blend_plane = blend_plane,
    .blend_rows = blend_rows,
    .affine_moments = affine_moments,
    .blend_dots = blend_dots,
    .gather = gather,
    .scatter = scatter,
};
