/* SPDX-License-Identifier: MIT */
/* Room 4: the only code that reads or writes elements. A kernel knows runs of elements and a few coefficients; it cannot fail
 * and cannot allocate. One table per instruction set; every table gives the same bits. */
#ifndef BN_KERNEL_H
#define BN_KERNEL_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* Virtual lanes: in a plane, element i of a row is added to lane i % BNK_LANES, whatever the register width is. */
#define BNK_LANES 16

/* So many steps of a row of a plane, or rows, are summed up on their own before they are added to the sums, where elements have
 * 16 bits, and in moments of F64. It decides about the order of additions. */
#define BNK_RUN 16

/* Rows that the kernels do together, so that sums or coefficients are loaded once for all of them, and several pages of memory
 * are on their way at a time: in rows by verb (dots read two arrays), and in a plane of one channel before the next. */
enum { BNK_ROWS_OF_MOMENTS = 8, BNK_ROWS_OF_DOTS = 4, BNK_ROWS_WRITTEN = 4, BNK_ROWS_OF_CHANNEL = 4 };

/* Bytes of one coefficient of every channel of a row, up to which all coefficients of the row stay in the first-level cache. */
enum { BNK_FEW_COEFFICIENTS = 4096 };

/* The element types that have kernels: BATCHNORM_F32, F64, BF16, F16, in that order. */
#define BNK_DTYPES 4

/* In a plane a row is a run of elements of one channel; in rows it is one element of every channel. */
enum bnk_layout { BNK_PLANE, BNK_ROWS, BNK_LAYOUTS };

/* What a kernel computes: two verbs reduce, two write. */
enum bnk_verb { BNK_MOMENTS, BNK_AFFINE, BNK_DOTS, BNK_BLEND, BNK_VERBS };

/* What a kernel takes an array for. The inputs come first. */
enum bnk_role { BNK_X, BNK_DY, BNK_Z, BNK_Y, BNK_OUT, BNK_DZ, BNK_ARRAYS, BNK_INPUTS = BNK_OUT };

/* Coefficient i of channel c is element i * pitch + c, in the type that the elements are computed in: double for F64, float for
 * the others. Of a float that is a NaN the lower half is 0. */
struct bnk_coefficients {
    const void *at;
    size_t pitch;
};

/* affine: y = ((x - M1) - M2) * K + B. blend: dx = (P * dy + Q * ((x - M1) - M2)) + S. A blend that is gated by a v that must
 * be computed again has the coefficients of that v, too, from BNK_GATE on; one with an addend has those of the addend there. */
enum { BNK_M1, BNK_M2, BNK_K, BNK_B, BNK_AFFINE_COEFFICIENTS };
enum { BNK_P = BNK_M2 + 1, BNK_Q, BNK_S, BNK_BLEND_COEFFICIENTS };
enum { BNK_GATE = BNK_BLEND_COEFFICIENTS, BNK_GATED_COEFFICIENTS = BNK_GATE + BNK_AFFINE_COEFFICIENTS };

/* act(v) = v where v > 0, slope * v elsewhere (0 where `cut`, also for v = -inf), at most ceiling. Its derivative is 0 or slope
 * where not v > 0, and 0 from the ceiling on. Most activations are settings of these; of the others `curve` is the
 * batchnorm_activation_kind, which is never 0, and v is never taken from y. */
struct bnk_act {
    double slope, ceiling;
    bool cut;
    int curve;
};

/* An array as a kernel sees it; at NULL: not there. Distances in elements, but `ahead`: so many bytes before an input is read
 * it is fetched into the second-level cache; 0: it is not. */
struct bnk_array {
    char *at;
    ptrdiff_t row, channel, ahead;
};

/* One call. In a plane: for every row r, for every channel c, `length` contiguous elements at `at + r * row + c * channel`. In
 * rows: for every row, `length` contiguous elements, each of a channel of its own (`channels` and the distance `channel` are
 * not used). Outputs may be the very same memory as an input. Sums are added to, so that they may go on over several calls:
 * sum i of channel c is in a plane in the lanes sums[i][c * all * BNK_LANES ...], where `all` is how many sums the verb has, in
 * rows the one number sums[i][c]. Everything in rows is padded to whole steps of BNK_LANES by its owner. */
struct bnk_call {
    size_t rows, channels, length;
    /* by enum bnk_role. moments: x; affine: x, z, out; dots: dy, x, and y or z for the gate; blend: what dots has, out, dz */
    struct bnk_array array[BNK_ARRAYS];
    const double *shift; /* of each channel; dots subtracts it as the mean */
    double *sums[4];     /* what moments and dots add up: see struct bnk_verbs */
    struct bnk_coefficients coefficients;
    bool exact;  /* moments and dots of 16-bit elements: no sum is in float */
    bool active; /* affine: add z and apply act; dots and blend: gate dy */
    /* active dots and blend, with a slope above 0 and neither ceiling nor curve: what stands in the role of x is y, and x is
     * y * (1 / slope) where y < 0, else y. It gates, too. There are neither y, z nor dz, and always out */
    bool from_y;
    struct bnk_act act;
    bool without_x; /* active blend: leave out Q * (x - ...), also where it is not finite */
    bool stream;    /* write past the caches where the processor can */
};

typedef void bnk_kernel(const struct bnk_call *call);
typedef void bnk_pair(const struct bnk_call *write, const struct bnk_call *reduce);

/* Columns that are chosen: those that have a 1 and not a 0 among so many, and the same listed, unless pick can do without. */
struct bnk_choice {
    const unsigned char *ones;
    size_t columns;
    const unsigned short *index;
    size_t count;
    ptrdiff_t ahead; /* as that of struct bnk_array */
};

/* Which columns are replaced, and by what else. */
struct bnk_replacement {
    const unsigned char *mask;
    unsigned char when;
    bool fills;
};

struct bnk_verbs;
typedef void bnk_curved(const struct bnk_verbs *elements, const struct bnk_call *call, enum bnk_verb verb,
                        enum bnk_layout layout);

/* The kernels of one element type. */
struct bnk_verbs {
    size_t bytes;             /* of an element */
    size_t coefficient_bytes; /* of a coefficient */
    bool in_float;            /* sums are partly in float, where struct bnk_call does not say `exact` */
    bool keeps_lost;          /* moments have two more sums */
    bool compresses;          /* pick needs no list of columns that lie side by side */
    /* by the verb of a write: elements of a channel of a plane up to which it is faster in rows, each element of a sample as a
     * channel of its own, where there are many samples */
    size_t spread[BNK_VERBS];
    /* out[i] = the median of x[0][i * stride], x[1][i * stride] and x[2][i * stride], each of them 0 where it is not finite: a
     * shift that is close to the data, that no single value spoils, and that never poisons a sum */
    void (*pivot)(const void *const x[3], ptrdiff_t stride, size_t count, double *out);
    /* The kernels of each verb, for either layout.
     * moments: sums of x - shift, a float if the elements are no doubles, and of its square. Of doubles there are two more,
     *          which are to be added to those if they are finite: what they lost in roundings
     * affine:  out = affine(x), or if active act(affine(x) + z)
     * dots:    sums of g and g * (x - shift); g is dy, or if active dy * act'(v) rounded to the element type, where v is y, or
     *          computed again from x and z if there is no y
     * blend:   out = blend(g, x), dz = g. If active, x, out or dz may be absent; otherwise there is no dz. Where there are both
     *          y, which gates, and z, affine(z) is added to out
     * None of them takes an active call whose activation is a curve. */
    bnk_kernel *verb[BNK_LAYOUTS][BNK_VERBS];
    /* In planes, by the verb of the write: a write and the reduction of other channels at once, row by row, so that the memory
     * has both to do all the time. Affine goes with moments, blend with dots; NULL for the verbs that reduce. Rows, channels
     * and length of the two are equal. */
    bnk_pair *pair[BNK_VERBS];
    /* An active call of any verb but moments whose activation is a curve, of these elements. */
    bnk_curved *curved;
    /* for that: BNK_LANES or fewer elements as numbers, with zeros up to BNK_LANES, and back */
    void (*to_numbers)(const void *from, size_t keep, void *to);
    void (*from_numbers)(const void *from, size_t keep, void *to);
    /* copies between strided memory and rows that are `pitch` elements apart: element (r, i) is at r * row + i * column */
    void (*gather)(const void *from, ptrdiff_t row, ptrdiff_t column, size_t rows, size_t columns, void *to, size_t pitch);
    void (*scatter)(const void *from, size_t pitch, size_t rows, size_t columns, void *to, ptrdiff_t row, ptrdiff_t column);
    /* the same of some columns, which become neighbours; beyond them some more of a row of `to` may be written, up to a whole
     * step */
    void (*pick)(const void *from, ptrdiff_t row, ptrdiff_t column, size_t rows, const struct bnk_choice *choice, void *to,
                 size_t pitch);
    /* copies packed columns to such that lie side by side, where the mask, a byte of 0 or 1 for each, is `when`; where it is
     * not, these stay, or become 0 if it `fills` */
    void (*replace)(const void *from, size_t pitch, size_t rows, size_t columns, const struct bnk_replacement *by, void *to,
                    ptrdiff_t row);
};

/* Channels whose numbers are made coefficients together, at most. */
enum { BNK_SOME = 64 };

/* y = (x - mean) * scale + bias. Where `spread` is 0 every x of the channel is mean, and y is to be exactly bias; NULL: nothing
 * is known. */
struct bnk_affines {
    const double *mean, *scale, *bias, *spread;
};

/* dx = p * dy + q * (x - mean) + s */
struct bnk_blends {
    const double *mean, *p, *q, *s;
};

/* From what the coefficients of a gradient come. */
struct bnk_gradients {
    const double *mean, *scale, *rstd, *values, *sum, *dot;
    bool from_y;
};

struct bnk_moments {
    double mean, m2;
};

/* Returns what the sums of n values about a shift say: the mean as an offset from the origin, and m2, which `dot` is already
 * where it `is_m2`. The squares of finite values may overflow, and m2 is infinite then. */
static inline struct bnk_moments bnk_moments(double shift, double sum, double dot, double n, double origin, bool is_m2) {
    const double offset = sum / n, m2 = is_m2 ? dot : dot - sum * offset, least = m2 < 0 ? 0 : m2;
    const double finite = m2 - m2 == 0 ? least : INFINITY; /* no && here: it would be a branch */
    return (struct bnk_moments){shift - origin + offset, sum - sum == 0 ? finite : least};
}

/* Returns 1 / sqrt(var + eps), with the population variance, which is 0 without any value. */
static inline double bnk_rstd(double values, double m2, double eps) {
    const bool any = values > 0;
    const double var = m2 / (any ? values : 1);
    return 1 / sqrt((any ? var : 0) + eps);
}

/* 1 where the mean lies so far from the shift that less than 1 / far of what m2 lost to it is left of m2, else 0: a number, so
 * that loops which count are vectors. */
static inline double bnk_is_far(double sum, double dot, double n, double far, bool is_m2) {
    const double lost = sum * (sum / n), left = is_m2 ? dot : dot - lost;
    return lost > far * left ? 1 : 0;
}

/* 1 where sums are not finite, or those of products so small that some may have been lost in float, else 0. */
static inline double bnk_is_spoilt(double sum, double dot) {
    return fabs(dot) >= 0x1p-96 && (dot - dot) + (sum - sum) == 0 ? 0 : 1;
}

/* Numbers of channels, in double. Nothing that is written overlaps anything else. `stride` is how far apart neighbours are. */
struct bnk_numbers {
    void (*to_doubles)(const float *from, size_t count, double *to);
    void (*to_floats)(const double *from, size_t count, float *to);
    /* Repeat each number `times` times; of what that gives, `count` numbers from number `first` on. Up to BNK_LANES more may be
     * written. */
    void (*repeat_floats)(const float *from, size_t times, size_t first, size_t count, float *to);
    void (*repeat_doubles)(const double *from, size_t times, size_t first, size_t count, double *to);
    /* bnk_moments() in place, with the shift as origin */
    void (*moments)(const double *shift, double n, bool is_m2, size_t channels, size_t stride, double *sum, double *dot);
    /* Whether bnk_is_far() or bnk_is_spoilt() is 1 in any channel */
    bool (*is_far)(const double *sum, const double *dot, double n, double far, bool is_m2, size_t channels, size_t stride);
    bool (*is_spoilt)(const double *sum, const double *dot, size_t channels, size_t stride);
    /* rstd = 1 / sqrt(m2 / values + eps), where the variance of no value is 0; values NULL: m2 is the variance */
    void (*rstd)(const double *values, const double *m2, double eps, size_t channels, double *rstd);
    /* Moves running statistics towards the new mean and m2 / divisor, in channels that have any value. */
    void (*running)(const double *values, const double *new_mean, const double *m2, const double *divisor, double factor,
                    size_t channels, double *mean, double *var);
    /* Write the coefficients of at most BNK_SOME channels, in float or double, each `pitch` numbers after the one before. */
    void (*affines)(bool is_float, const struct bnk_affines *of, size_t channels, void *to, size_t pitch);
    void (*blends)(bool is_float, const struct bnk_blends *of, size_t channels, void *to, size_t pitch);
    /* dx = scale * (dy - sum / values - (x - mean) * rstd^2 * dot / values): mean, q and s of the blend. Without any value only
     * the first term is left. From y, x - mean is scale times larger, and its factor smaller. */
    void (*gradients)(const struct bnk_gradients *of, size_t channels, double *mean, double *q, double *s);
};

struct bnk_table {
    const char *name;
    const struct bnk_numbers *numbers;
    const struct bnk_verbs *verbs[BNK_DTYPES];
    /* copy past the caches where the processor can */
    void (*stream)(const void *from, size_t bytes, void *to);
    /* what was streamed is seen by other threads from here on */
    void (*fence)(void);
    /* sums[i] = the sum of lanes i * BNK_LANES ...: the upper half is added to the lower, and so on */
    void (*fold)(const double *lanes, size_t count, double *sums);
    /* The four sums of moments of F64, of n values, become two: that of x - shift, and that of the squares about the mean. Of
     * planes, whose lanes are added one by one: those of channel c become sums[2 * c] and sums[2 * c + 1]. */
    void (*fold_pairs)(const double *lanes, size_t channels, double n, double *sums);
    /* Of rows: in place. */
    void (*finish_pairs)(double *const sums[4], size_t channels, double n);
    /* act(v) of an activation that is a curve, or act'(v), in place of each v */
    void (*curve)(int kind, bool derivative, double v[BNK_LANES]);
};

/* The table in use: the best that this machine runs, or the one that the environment variable BATCHNORM_ISA names. */
const struct bnk_table *bnk_table(void);

/* Every table of this build that can run here, best first, then NULL: for tests. */
const struct bnk_table *bnk_runnable(size_t index);

/* Use another table from now on: for tests, while no call is running. */
void bnk_use(const struct bnk_table *table);

#endif
