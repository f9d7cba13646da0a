/* SPDX-License-Identifier: MIT */
/* What one step of BNK_LANES elements does, for one element type. Longer than 300 lines, because the steps of all verbs share
 * their loads, their gates and their last parts. Before inclusion:
 *   ELEM            the type of an element in memory
 *   NUM, VN, VM, WN the type outputs are computed in, its vector, a mask over it, lanes of it
 *   TYPE(name)      the helper of lanes.h for this element type
 *   OF_NUM(name)    the helper of vectors.h for VN
 *   FN(name)        the name of a function or type
 * plane.h and rows.h make verbs of the steps. The last, partial step of a row works on a copy, so that nothing outside the
 * row is read or written. */

enum { FN(doubles) = BNK_LANES / BNK_WD, FN(parts) = BNK_LANES / WN };
/* elements of a cache line, and what streams are aligned to */
enum { FN(line) = BNK_LINE / sizeof(ELEM), FN(aligned) = BNK_LANES * sizeof(ELEM) < 64 ? BNK_LANES * sizeof(ELEM) : 64 };

/* 0 in place of what is not finite */
BNK_INLINE bnk_vd FN(finite)(bnk_vd v) { return (bnk_vd)((bnk_vm)v & (bnk_vm)(v - v == 0)); }

/* Those that do not lie side by side are collected first, a step of them at a time: a load that waits for several stores takes
 * long. */
static void FN(pivot)(const void *x, ptrdiff_t stride, size_t count, double *out) {
    const ELEM *p = x;
    ELEM some[BNK_LANES] = {0};
    double finite[BNK_LANES];
    for (size_t i = 0, n; i < count; i += n) {
        n = count - i < BNK_LANES ? count - i : BNK_LANES;
        bool at_once = stride == 1 && n == BNK_LANES;
        for (size_t k = 0; k < n && !at_once; k++) some[k] = p[(ptrdiff_t)(i + k) * stride];
        const ELEM *from = at_once ? p + i : some;
        for (int k = 0; k < BNK_LANES; k += BNK_WD) store_vd(finite + k, FN(finite)(TYPE(load_double)(from + k)));
        memcpy(out + i, finite, n * sizeof *out);
    }
}

/* Where row r of channel c of an array begins; NULL for an array that is not there. */
BNK_INLINE ELEM *FN(there)(const struct bnk_array *a, size_t r, size_t c) {
    return (ELEM *)(void *)a->at + (ptrdiff_t)r * a->row + (ptrdiff_t)c * a->channel;
}
BNK_INLINE ELEM *FN(row)(const struct bnk_array *a, size_t r, size_t c) { return a->at ? FN(there)(a, r, c) : NULL; }

/* Fetch what lies `ahead` bytes after the step at p, once for every line; nothing if that is 0. */
BNK_INLINE void FN(fetch)(const ELEM *p, size_t i, ptrdiff_t ahead) {
    if (ahead == 0 || (FN(line) > BNK_LANES && (uintptr_t)(p + i) % BNK_LINE >= BNK_LANES * sizeof(ELEM))) return;
    for (size_t k = 0; k < BNK_LANES; k += FN(line)) BNK_FETCH((const char *)(p + i + k) + ahead);
}

BNK_INLINE VN FN(choose)(VM mask, VN yes, VN no) {
#if defined(__AVX512F__) && BNK_BYTES == 64
    return (VN)_mm512_ternarylogic_epi32((__m512i)mask, (__m512i)yes, (__m512i)no, 0xca);
#else
    return (VN)(((VM)yes & mask) | ((VM)no & ~mask));
#endif
}

/* The numbers of one vector of channels, or those of one channel in every lane. */
struct FN(affine) {
    VN m1, m2, k, b;
};
struct FN(blend) {
    VN m1, m2, p, q, s;
};

BNK_INLINE struct FN(affine) FN(affine_splat)(struct bnk_numbers n, size_t first, size_t c) {
    const NUM *p = (const NUM *)n.numbers + first * n.pitch + c;
    return (struct FN(affine)){OF_NUM(splat)(p[BNK_M1 * n.pitch]), OF_NUM(splat)(p[BNK_M2 * n.pitch]),
                               OF_NUM(splat)(p[BNK_K * n.pitch]), OF_NUM(splat)(p[BNK_B * n.pitch])};
}

BNK_INLINE struct FN(affine) FN(affine_load)(struct bnk_numbers n, size_t first, size_t c) {
    const NUM *p = (const NUM *)n.numbers + first * n.pitch + c;
    return (struct FN(affine)){OF_NUM(load)(p + BNK_M1 * n.pitch), OF_NUM(load)(p + BNK_M2 * n.pitch),
                               OF_NUM(load)(p + BNK_K * n.pitch), OF_NUM(load)(p + BNK_B * n.pitch)};
}

BNK_INLINE struct FN(blend) FN(blend_splat)(struct bnk_numbers n, size_t c) {
    const NUM *p = (const NUM *)n.numbers + c;
    return (struct FN(blend)){OF_NUM(splat)(p[BNK_M1 * n.pitch]), OF_NUM(splat)(p[BNK_M2 * n.pitch]),
                              OF_NUM(splat)(p[BNK_P * n.pitch]), OF_NUM(splat)(p[BNK_Q * n.pitch]),
                              OF_NUM(splat)(p[BNK_S * n.pitch])};
}

BNK_INLINE struct FN(blend) FN(blend_load)(struct bnk_numbers n, size_t c) {
    const NUM *p = (const NUM *)n.numbers + c;
    return (struct FN(blend)){OF_NUM(load)(p + BNK_M1 * n.pitch), OF_NUM(load)(p + BNK_M2 * n.pitch),
                              OF_NUM(load)(p + BNK_P * n.pitch), OF_NUM(load)(p + BNK_Q * n.pitch),
                              OF_NUM(load)(p + BNK_S * n.pitch)};
}

/* Lanes of vector `part` of a step that are among its first `keep`, and numbers that are `a` there and `b` elsewhere. */
BNK_INLINE VM FN(first_lanes)(int part, size_t keep) {
    NUM lane[WN];
    for (int i = 0; i < WN; i++) lane[i] = (NUM)(part * WN + i);
    return (VM)(OF_NUM(load)(lane) < OF_NUM(splat)((NUM)keep));
}

BNK_INLINE struct FN(affine) FN(join_affines)(VM here, struct FN(affine) a, struct FN(affine) b) {
    return (struct FN(affine)){FN(choose)(here, a.m1, b.m1), FN(choose)(here, a.m2, b.m2), FN(choose)(here, a.k, b.k),
                               FN(choose)(here, a.b, b.b)};
}

BNK_INLINE struct FN(blend) FN(join_blends)(VM here, struct FN(blend) a, struct FN(blend) b) {
    return (struct FN(blend)){FN(choose)(here, a.m1, b.m1), FN(choose)(here, a.m2, b.m2), FN(choose)(here, a.p, b.p),
                              FN(choose)(here, a.q, b.q), FN(choose)(here, a.s, b.s)};
}

BNK_INLINE VN FN(affine_of)(struct FN(affine) n, const ELEM *x) { return ((TYPE(load)(x) - n.m1) - n.m2) * n.k + n.b; }

BNK_INLINE void FN(put)(ELEM *to, VN v, bool stream) {
    if (stream)
        TYPE(stream)(to, v);
    else
        TYPE(store)(to, v);
}

/* act and its derivative, with the settings in every lane */
struct FN(act) {
    VN slope, ceiling;
    bool cut;
};

BNK_INLINE struct FN(act) FN(act_splat)(struct bnk_act a) {
    return (struct FN(act)){OF_NUM(splat)((NUM)a.slope), OF_NUM(splat)((NUM)a.ceiling), a.cut};
}

BNK_INLINE VN FN(act_of)(struct FN(act) a, VN v) {
    if (a.cut) return OF_NUM(cut)(v, a.ceiling);
    v = FN(choose)((VM)(v < 0), v * a.slope, v);
    return FN(choose)((VM)(v > a.ceiling), a.ceiling, v);
}

/* dy * act'(v), rounded to an element */
BNK_INLINE VN FN(gate_of)(struct FN(act) a, VN v, VN dy) {
    if (a.cut) return OF_NUM(gate)(v, a.ceiling, dy);
    VN g = FN(choose)((VM)(v > 0), dy, dy * a.slope);
    if (sizeof(ELEM) < sizeof(NUM)) {
        ELEM rounded[WN];
        TYPE(store)(rounded, g);
        g = TYPE(load)(rounded);
    }
    return g;
}

/* one step of each verb; n, g and act have one entry a part of the step where they are not the same for all */

BNK_INLINE void FN(active_part)(struct FN(affine) n, struct FN(act) act, const ELEM *x, const ELEM *z, ELEM *out, bool stream) {
    VN v = FN(affine_of)(n, x);
    if (z) v = v + TYPE(load)(z);
    FN(put)(out, FN(act_of)(act, v), stream);
}

BNK_INLINE void FN(blend_part)(struct FN(blend) n, const ELEM *dy, const ELEM *x, ELEM *out, bool stream) {
    FN(put)(out, (n.p * TYPE(load)(dy) + n.q * ((TYPE(load)(x) - n.m1) - n.m2)) + n.s, stream);
}

/* What a gated step reads and writes; any of x, y, z, out, dz may be NULL. */
struct FN(gated) {
    const ELEM *dy, *x, *z, *y;
    ELEM *out, *dz;
};

BNK_INLINE VN FN(gated_dy)(struct FN(affine) forward, struct FN(act) act, struct FN(gated) s, size_t i) {
    VN v;
    if (s.y) {
        v = TYPE(load)(s.y + i);
    } else {
        v = FN(affine_of)(forward, s.x + i);
        if (s.z) v = v + TYPE(load)(s.z + i);
    }
    return FN(gate_of)(act, v, TYPE(load)(s.dy + i));
}

BNK_INLINE void FN(gated_blend_part)(struct FN(blend) n, struct FN(affine) forward, struct FN(act) act, struct FN(gated) s,
                                     size_t i, bool without_x, bool stream) {
    VN g = FN(gated_dy)(forward, act, s, i), dx = n.p * g;
    if (!without_x) dx = dx + n.q * ((TYPE(load)(s.x + i) - n.m1) - n.m2);
    dx = dx + n.s;
    if (s.y && s.z) dx = FN(affine_of)(forward, s.z + i) + dx;
    if (s.dz) FN(put)(s.dz + i, g, stream);
    if (s.out) FN(put)(s.out + i, dx, stream);
}

/* A partial step: every array that is there is copied, and the outputs are copied back. */
struct FN(copies) {
    ELEM dy[BNK_LANES], x[BNK_LANES], z[BNK_LANES], y[BNK_LANES], out[BNK_LANES], dz[BNK_LANES];
};

BNK_INLINE const ELEM *FN(take)(ELEM *to, const ELEM *from, size_t keep) {
    if (!from) return NULL;
    take_part(to, from, keep, sizeof(ELEM));
    return to;
}

BNK_INLINE struct FN(gated) FN(take_gated)(struct FN(copies) *c, struct FN(gated) s, size_t keep) {
    memset(c->out, 0, sizeof c->out); /* for the compiler's peace of mind: a step writes all of it */
    memset(c->dz, 0, sizeof c->dz);
    return (struct FN(gated)){FN(take)(c->dy, s.dy, keep), FN(take)(c->x, s.x, keep),    FN(take)(c->z, s.z, keep),
                              FN(take)(c->y, s.y, keep),   s.out ? c->out : NULL, s.dz ? c->dz : NULL};
}

BNK_INLINE void FN(give_gated)(const struct FN(copies) *c, struct FN(gated) s, size_t keep) {
    if (s.out) give_part(s.out, c->out, keep, sizeof(ELEM));
    if (s.dz) give_part(s.dz, c->dz, keep, sizeof(ELEM));
}

BNK_INLINE struct FN(gated) FN(gated_at)(struct FN(gated) s, size_t i) {
    return (struct FN(gated)){s.dy ? s.dy + i : NULL, s.x ? s.x + i : NULL,     s.z ? s.z + i : NULL,
                              s.y ? s.y + i : NULL, s.out ? s.out + i : NULL, s.dz ? s.dz + i : NULL};
}

/* The arrays of a row. What a verb that is not active does not have costs nothing: `has_dy`, `writes` and `active` are
 * constants. */
BNK_INLINE struct FN(gated) FN(row_at)(const struct bnk_call *k, size_t r, size_t c, bool has_dy, bool writes, bool active) {
    struct FN(gated) s = {0};
    if (active) {
        s = (struct FN(gated)){FN(row)(&k->dy, r, c), FN(row)(&k->x, r, c),   FN(row)(&k->z, r, c),
                               FN(row)(&k->y, r, c),  FN(row)(&k->out, r, c), FN(row)(&k->dz, r, c)};
    } else {
        s.x = FN(there)(&k->x, r, c);
        if (has_dy) s.dy = FN(there)(&k->dy, r, c);
        if (writes) s.out = FN(there)(&k->out, r, c);
    }
    return s;
}

/* Vector i of a step; beyond `keep` elements it has zeros where the processor has masks, and reads on where it has none. */
BNK_INLINE bnk_vd FN(doubles_at)(const ELEM *p, int i, size_t keep) {
    const size_t before = (size_t)i * BNK_WD;
    if (BNK_MASKS && keep < BNK_LANES) return TYPE(some_double)(p + before, keep > before ? keep - before : 0);
    return TYPE(load_double)(p + before);
}

/* Sums of one step, `keep` of whose elements are real: a vector without any would add 0, which changes no sum that began with
 * 0; shift and mean have one vector for every vector of sums. Arrays of vectors with constant indices stay in registers;
 * structs of them do not. */
BNK_INLINE void FN(moments_step)(bnk_vd *sum, bnk_vd *dot, bnk_vd one, const bnk_vd *shift, const ELEM *x, size_t keep) {
#pragma GCC unroll 8
    for (int i = 0; i < FN(doubles); i++) {
        if (keep <= (size_t)i * BNK_WD) break;
        bnk_vd d = subtract_by(one, FN(doubles_at)(x, i, keep), shift[i]);
        if (keep < BNK_LANES) d = keep_vd(d, i, keep);
        sum[i] = add_by(one, d, sum[i]);
        dot[i] += d * d;
    }
}

BNK_INLINE void FN(dots_step)(bnk_vd *sum, bnk_vd *dot, bnk_vd one, const bnk_vd *mean, const ELEM *dy, const ELEM *x,
                              size_t keep) {
#pragma GCC unroll 8
    for (int i = 0; i < FN(doubles); i++) {
        if (keep <= (size_t)i * BNK_WD) break;
        bnk_vd g = FN(doubles_at)(dy, i, keep), d = g * subtract_by(one, FN(doubles_at)(x, i, keep), mean[i]);
        if (keep < BNK_LANES) d = keep_vd(d, i, keep);
        sum[i] = add_by(one, g, sum[i]);
        dot[i] += d;
    }
}

/* The same, of a dy that was gated; without x the second sum is of no use. */
BNK_INLINE void FN(gated_dots_step)(bnk_vd *sum, bnk_vd *dot, bnk_vd one, const bnk_vd *mean, const bnk_vd *g, const ELEM *x,
                                    size_t keep) {
#pragma GCC unroll 8
    for (int i = 0; i < FN(doubles); i++) {
        bnk_vd d = x ? g[i] * subtract_by(one, TYPE(load_double)(x + i * BNK_WD), mean[i]) : g[i];
        if (keep < BNK_LANES) d = keep_vd(d, i, keep);
        sum[i] = add_by(one, g[i], sum[i]);
        dot[i] += d;
    }
}

/* A step of a reduction: of the elements i... of a row. `forward` has one entry for every part of the step. */
BNK_INLINE void FN(reduce_step)(bnk_vd *sum, bnk_vd *dot, bnk_vd one, const bnk_vd *shift, const struct FN(affine) *forward,
                                struct FN(act) act, struct FN(gated) at, size_t i, size_t keep, bool dots, bool active) {
    if (!dots) {
        FN(moments_step)(sum, dot, one, shift, at.x + i, keep);
    } else if (!active) {
        FN(dots_step)(sum, dot, one, shift, at.dy + i, at.x + i, keep);
    } else {
        bnk_vd g[FN(doubles)];
#pragma GCC unroll 8
        for (int part = 0; part < FN(parts); part++)
            OF_NUM(to_doubles)(FN(gated_dy)(forward[part], act, at, i + (size_t)part * WN),
                               g + part * (FN(doubles) / FN(parts)));
        FN(gated_dots_step)(sum, dot, one, shift, g, at.x ? at.x + i : NULL, keep);
    }
}

BNK_INLINE void FN(load_sums)(const double *sums, const double *dots, bnk_vd *sum, bnk_vd *dot) {
#pragma GCC unroll 8
    for (int i = 0; i < FN(doubles); i++) {
        sum[i] = load_vd(sums + i * BNK_WD);
        dot[i] = load_vd(dots + i * BNK_WD);
    }
}

BNK_INLINE void FN(store_sums)(double *sums, double *dots, const bnk_vd *sum, const bnk_vd *dot) {
#pragma GCC unroll 8
    for (int i = 0; i < FN(doubles); i++) {
        store_vd(sums + i * BNK_WD, sum[i]);
        store_vd(dots + i * BNK_WD, dot[i]);
    }
}

/* Fetch what the reduction or the write of the elements c... of a row will read later. */
BNK_INLINE void FN(fetch_row)(const struct bnk_call *k, struct FN(gated) row, size_t c, bool has_dy, bool active) {
    if (!active || row.x) FN(fetch)(row.x, c, k->x.ahead);
    if (has_dy) FN(fetch)(row.dy, c, k->dy.ahead);
    if (active && row.z) FN(fetch)(row.z, c, k->z.ahead);
    if (active && row.y) FN(fetch)(row.y, c, k->y.ahead);
}
