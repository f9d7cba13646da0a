/* SPDX-License-Identifier: MIT */
/* Room 2's door: jobs on validated arrays. Plan knows the shape and the per-channel numbers, decides the blocks and never
 * touches an element of x. */
#ifndef BN_JOB_H
#define BN_JOB_H

#include "batchnorm/stats.h"

#define BN_MAX_DIMS 7

/* Which array of a geometry is which. Each job says which of them it reads and writes; the others are not looked at. */
enum {
    BN_X,  /* the input */
    BN_Z,  /* the residual */
    BN_Y,  /* the output; in backward the forward's, which gates dy */
    BN_DY, /* gradients */
    BN_DX,
    BN_DZ,
    BN_TX, /* tangents */
    BN_TY,
    BN_VX, /* the cotangent of dx, and the gradients that double backward makes */
    BN_GX,
    BN_GDY,
    BN_ARRAYS
};

/* One array; strides in elements, in the order of the geometry's dims. */
struct bn_array {
    char *data;
    ptrdiff_t channel;
    ptrdiff_t stride[BN_MAX_DIMS];
    uintptr_t low, high; /* where it lies: the lowest address, and the first one after the highest element; room 1's */
};

/* Bytes of an element. */
static inline size_t bn_element_bytes(batchnorm_dtype dtype) {
    return dtype == BATCHNORM_F32 ? 4 : dtype == BATCHNORM_F64 ? 8 : 2;
}

/* Which positions count: those of a 1 enter the statistics. A position is an index of every dim. Bytes, of which any but 0 is a
 * 1, or for each index of the first dim how many of the last dim count, from the first on. */
struct bn_mask {
    bool is_there;
    bool outputs; /* y, dx and dz are 0 where there is no 1, and dy counts as 0 */
    const unsigned char *data;
    ptrdiff_t stride[BN_MAX_DIMS]; /* in bytes */
    const size_t *lengths;         /* instead of data */
};

/* Sizes and arrays of one job. The dims are all dimensions but the channels, as they came; a view brings them into the order of
 * memory and merges those that can be merged. An array is there if its data is not NULL; of the others nothing else is set. */
struct bn_geometry {
    batchnorm_dtype dtype;
    size_t channels;
    size_t count; /* values per channel: the product of extent[0..dims) */
    int dims;
    size_t extent[BN_MAX_DIMS]; /* the samples come first */
    size_t grain; /* samples of a chunk: sums are made of each chunk alone, and folded in a tree; 0: there are no chunks */
    size_t first; /* the number of the first sample among those of all parts of the batch; a multiple of grain */
    struct bn_mask mask;
    struct bn_array array[BN_ARRAYS];
    unsigned placed; /* a bit for each array that has a place, low and high; room 1's */
};

static inline bool bn_is_there(const struct bn_geometry *g, int array) { return g->array[array].data != NULL; }

/* Per-channel numbers that a caller gives: an array of double or of float, or nothing. */
struct bn_vector {
    const void *data;
    batchnorm_dtype dtype; /* F32 or F64 */
};

/* Element c of the vector, or `absent` if there is no vector. */
static inline double bn_vector_get(struct bn_vector v, size_t c, double absent) {
    if (!v.data) return absent;
    return v.dtype == BATCHNORM_F64 ? ((const double *)v.data)[c] : (double)((const float *)v.data)[c];
}

/* The same, to be written: data NULL means not wanted. */
struct bn_output {
    void *data;
    batchnorm_dtype dtype;
};

static inline void bn_output_set(struct bn_output v, size_t c, double value) {
    if (!v.data) return;
    if (v.dtype == BATCHNORM_F64)
        ((double *)v.data)[c] = value;
    else
        ((float *)v.data)[c] = (float)value;
}

/* The type that elements of a type are computed in, and that weight, bias and running statistics have beside them. */
static inline batchnorm_dtype bn_computing_dtype(batchnorm_dtype elements) {
    return elements == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32;
}
static inline batchnorm_dtype bn_parameter_dtype(batchnorm_dtype elements) { return bn_computing_dtype(elements); }

/* How a job runs, and where its scratch memory comes from: the caller's workspace, else its owner's (a layer's), else
 * malloc. */
struct bn_exec {
    const batchnorm_exec *caller; /* NULL: all zeros */
    /* The owner's memory, and how it becomes larger: a function that returns memory that stays the owner's, or NULL. */
    void *memory;
    size_t bytes;
    void *(*reserve)(void *owner, size_t bytes);
    void *owner;
};

/* The jobs. Each takes a geometry with count > 0 and channels > 0, validated pointers, and of the arrays those that it names;
 * an output that is not wanted is not there. A job is built into a pass, which then is asked for its bytes or run. */
struct bn_pass;
typedef void bn_build(struct bn_pass *pass, const struct bn_geometry *g, const void *job);

/* Returns the scratch that bn_job_run() takes for the same geometry and job, SIZE_MAX when that does not fit. It depends on
 * which arrays and vectors are there, and not on their addresses. */
size_t bn_job_bytes(const struct bn_geometry *g, bn_build *build, const void *job);

/* Returns OK, NO_MEMORY, WORKSPACE_TOO_SMALL, with an owner TOO_LARGE, or of a forward ONE_VALUE; after all but the first
 * nothing was written. */
batchnorm_status bn_job_run(const struct bn_geometry *g, bn_build *build, const void *job, const struct bn_exec *exec);

/* How a job goes, and from what that was decided. None of it changes a bit of a result. */
struct bn_decision {
    const char *limits;                         /* the name of the limits */
    size_t l2_bytes, llc_bytes;                 /* the caches */
    size_t threads;                             /* 0: only the caller knows */
    bool by_blocks;                             /* a block of channels from end to end; else sweeps over everything */
    bool fused;                                 /* the write of one block with the reduction of the next */
    size_t blocks_items, gate_items, set_items; /* of blocks; of channels, for the gate and between the sweeps */
    int sweeps;
    struct {
        const char *verb, *layout;
        size_t block;       /* channels done together */
        size_t pieces;      /* of a block */
        size_t items;       /* where it is swept on its own */
        size_t wide;        /* rows taken as one */
        size_t fetch_bytes; /* from a fetch to its use; 0: nothing is fetched */
        bool stream;        /* past the caches */
    } sweep[5];
};

/* Fills in what bn_job_run() would decide. */
void bn_job_explain(const struct bn_geometry *g, bn_build *build, const void *job, const batchnorm_exec *exec,
                    struct bn_decision *decision);

/* Declares bn_build_NAME() and bn_run_NAME(), for a `struct bn_NAME`. */
#define BN_JOB(name)                                                                                                           \
    bn_build bn_build_##name;                                                                                                  \
    static inline batchnorm_status bn_run_##name(const struct bn_geometry *g, const struct bn_##name *job,                     \
                                                 const struct bn_exec *exec) {                                                 \
        return bn_job_run(g, bn_build_##name, job, exec);                                                                      \
    }

/* Statistics of x alone, merged into stats[channels], or their nodes: for each the means as offsets, the m2 and the origins of
 * every channel, and then the count of each. Array: X. */
struct bn_stats {
    batchnorm_stat *stats;
    double *nodes;
};
BN_JOB(stats)

/* y from given statistics. Arrays: X, Z, Y. */
struct bn_normalize {
    struct bn_vector weight, bias;
    const double *mean, *rstd;
    batchnorm_activation activation;
};
BN_JOB(normalize)

/* y from running statistics: rstd = 1 / sqrt(var + eps). save_mean and save_rstd may be NULL. Arrays: X, Z, Y. */
struct bn_infer {
    struct bn_vector weight, bias, mean, var;
    double eps;
    double *save_mean, *save_rstd;
    batchnorm_activation activation;
};
BN_JOB(infer)

/* Statistics of x into stats[channels], and y from them. Running statistics are the caller's next step. Arrays: X, Z, Y.
 * stats, save_mean and save_rstd may be NULL. */
struct bn_forward {
    struct bn_vector weight, bias;
    double eps;
    batchnorm_activation activation;
    bool needs_two; /* ONE_VALUE if the mask has fewer ones */
    batchnorm_stat *stats;
    const batchnorm_stat *given; /* the statistics, where they are not those of x */
    double *save_mean, *save_rstd;
    /* Called once, after all statistics are known and all of y is written, with the batch's statistics; may be NULL. */
    void (*done)(void *arg, const batchnorm_stat *stats);
    void *arg;
};
BN_JOB(forward)

/* Gradients. Arrays: DY, DX; X where statistics, dweight or the gate need it; if gated DZ, and Y, or Z where v is computed
 * again. From y: DY, DX and Y; it needs no mean. flags: BATCHNORM_FROZEN, BATCHNORM_ACCUMULATE. */
struct bn_backward {
    struct bn_vector weight, bias; /* bias: where v is computed again, or x is taken from y */
    const double *mean, *rstd;
    struct bn_output dweight, dbias;
    batchnorm_activation activation;
    bool gated;  /* by the activation, or there is a dz */
    bool from_y; /* x is taken from y, which is act(v); act is the identity, or has a slope above 0 and is linear but at 0 */
    unsigned flags;
    const batchnorm_sum *given; /* the sums, where they are not those of this call */
    batchnorm_sum *sums;        /* where the sums are added, which are all that is wanted then, or their nodes go */
    double *nodes;
};

/* Writes dweight and dbias from the sums that are given. */
void bn_backward_numbers(const struct bn_backward *job, size_t channels);
BN_JOB(backward)

/* The tangent of y. Arrays: X, TX, TY. */
struct bn_jvp {
    struct bn_vector weight, tweight, tbias;
    const double *mean, *rstd;
    unsigned flags;
};
BN_JOB(jvp)

/* Gradients of the gradients. Arrays: X, DY, VX, GX, GDY. */
struct bn_double_backward {
    struct bn_vector weight, vweight, vbias;
    const double *mean, *rstd;
    struct bn_output gweight;
    unsigned flags;
};
BN_JOB(double_backward)
#undef BN_JOB

/* What the running statistics become: into mean and var (each may have data NULL), from the values of `mean_from` and
 * `var_from` (which may be the same memory). Channels with count 0 keep theirs. `factor` is the weight of the new value.
 * Returns false, and writes nothing, when options->require_finite holds and some channel is not finite. */
bool bn_update_running(const batchnorm_stat *stats, size_t channels, const batchnorm_options *options, double factor,
                       struct bn_vector mean_from, struct bn_vector var_from, struct bn_output mean, struct bn_output var);

/* The weight of the new value: options->momentum, or 1 - it. */
double bn_momentum_of_new(const batchnorm_options *options);

#endif
