/* SPDX-License-Identifier: MIT */
/* The table of one instruction set: compiled once for each with -DBNK_ISA=<name> and the flags of that set, as verbs.c is for
 * each of its element types. */
#include "kernel/curve.h"
#include "kernel/fold.h"
#include "kernel/isa.h"
#include "kernel/numbers.h"
#include "kernel/vectors.h"

static void stream(const void *from, size_t bytes, void *to) {
    size_t lead = (0 - (uintptr_t)to) % BNK_LINE;
    if (lead > bytes) lead = bytes;
    memcpy(to, from, lead);
    const char *p = (const char *)from + lead;
    char *q = (char *)to + lead;
    size_t left = bytes - lead;
    for (; left >= BNK_BYTES; left -= BNK_BYTES, p += BNK_BYTES, q += BNK_BYTES) stream_bytes(q, p, BNK_BYTES);
    memcpy(q, p, left);
}

static void fence(void) {
#ifdef __SSE2__
    _mm_sfence();
#endif
}

#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)

extern const struct bnk_verbs BNK_VERBS_OF(f32), BNK_VERBS_OF(f64), BNK_VERBS_OF(bf16), BNK_VERBS_OF(f16);

extern const struct bnk_table BNK_TABLE;
const struct bnk_table BNK_TABLE = {.name = TEXT_OF(BNK_ISA),
                                    .numbers = &numbers,
                                    .verbs = {&BNK_VERBS_OF(f32), &BNK_VERBS_OF(f64), &BNK_VERBS_OF(bf16), &BNK_VERBS_OF(f16)},
                                    .stream = stream,
                                    .fence = fence,
                                    .fold = fold,
                                    .fold_pairs = fold_pairs,
                                    .finish_pairs = finish_pairs,
                                    .curve = curve};
