/* SPDX-License-Identifier: MIT */
/* The kernels of one element type: compiled for each instruction set and type with -DBNK_ISA=<name>, the flags of that set, and
 * -DBNK_TYPE=<type>. The one external symbol is the struct of pointers to them. */
#ifndef BNK_TYPE
#error "define BNK_TYPE as f32, f64, bf16 or f16, and compile verbs.c for each (docs/building.md)"
#endif
#include "kernel/copies.h"
#include "kernel/curved.h"
#include "kernel/plane.h"
#include "kernel/rows.h"

extern const struct bnk_verbs BNK_VERBS_OF(BNK_TYPE);
const struct bnk_verbs BNK_VERBS_OF(BNK_TYPE) = {
    .bytes = sizeof(elem),
    .coefficient_bytes = sizeof(num),
    .in_float = IS_SHORT,
    .keeps_lost = BNK_TYPE_IS(f64),
    .compresses = COMPRESSES && !IS_SHORT,
    .spread = {[BNK_AFFINE] = !IS_SHORT         ? BNK_LANES - 1
                              : BNK_BYTES == 64 ? 4 * BNK_LANES - 1
                                                : 2 * BNK_LANES - 1,
               [BNK_BLEND] = IS_SHORT ? 2 * BNK_LANES - 1 : BNK_LANES - 1},
    .pivot = pivot,
    .verb =
        {[BNK_PLANE] =
             {[BNK_MOMENTS] = moments_plane, [BNK_AFFINE] = affine_plane, [BNK_DOTS] = dots_plane, [BNK_BLEND] = blend_plane},
         [BNK_ROWS] =
             {[BNK_MOMENTS] = moments_rows, [BNK_AFFINE] = affine_rows, [BNK_DOTS] = dots_rows, [BNK_BLEND] = blend_rows}},
    .pair = {[BNK_AFFINE] = affine_moments, [BNK_BLEND] = blend_dots},
    .to_numbers = to_numbers,
    .from_numbers = from_numbers,
    .curved = curved,
    .gather = gather,
    .scatter = scatter,
    .pick = pick,
    .replace = replace,
};
