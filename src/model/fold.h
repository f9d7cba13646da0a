/* SPDX-License-Identifier: MIT */
/* Folding: a batch norm in inference is y = k x + b for each channel, and what is linear before or after it can do that with
 * other weights. The plan changes which node makes which value, and notes for every linear node by what its weights are
 * multiplied; linear.c computes them, and fold_write.c writes the file. */
#ifndef BN_FOLD_H
#define BN_FOLD_H

#include "model/norms.h"

enum bn_outcome {
    BN_LEFT,
    BN_INTO_BEFORE, /* into the linear node before it */
    BN_INTO_AFTER,  /* into the one after it */
    BN_INTO_NORM,   /* into the batch norm before it */
    BN_INTO_PARTS,  /* into all that a Concat joins */
    BN_AS_MUL_ADD,  /* became a Mul and an Add */
    BN_AS_ADD       /* the scale went into the Conv after it, the rest became an Add */
};

/* Numbers for each channel: v becomes k v + b. */
struct bn_affine {
    size_t channels;
    double *k, *b;
};

struct bn_folded {
    enum bn_outcome outcome;
    uint32_t target;          /* a node; BN_NONE: there is none */
    struct bn_affine instead; /* BN_AS_MUL_ADD, BN_AS_ADD: the numbers of the nodes that take its place */
    int rank;                 /* of what they are added to */
    int32_t type;
    char why[BN_NORM_TEXT]; /* it was left; empty: it was not */
};

enum bn_linear_kind { BN_CONV, BN_CONV_TRANSPOSE, BN_GEMM, BN_MATMUL };

/* A node that is linear in its input: y = out_scale * W (in_scale x + in_shift) + out_shift, by channels. */
struct bn_linear {
    uint32_t node;
    enum bn_linear_kind kind;
    size_t ins, outs, groups, taps;  /* channels; elements of a kernel */
    bool transposed;                 /* Gemm's weights are (out, in) */
    double alpha, beta;              /* of a Gemm */
    double *out_scale, *out_shift;   /* [outs]; out_shift begins with the bias */
    double *in_scale, *in_shift;     /* [ins] */
    struct bn_constant weight, bias; /* bias.at NULL: it has none */
    bool changes;
};

struct bn_fold_options {
    bool assume_constant; /* defaults that the caller may replace are constants */
    bool rewrite;         /* what is left becomes a Mul and an Add */
};

struct bn_fold {
    struct bn_onnx *onnx; /* whose uses and values change */
    struct bn_fold_options options;
    struct bn_norms norms;
    struct bn_folded *folded;
    bool *gone, *replaced;         /* of nodes */
    uint32_t *linear_of, *norm_of; /* of nodes: among `linears` and `norms`; BN_NONE: it is none, or not yet read */
    bool *rescaled;                /* of norms: their weight and bias changed */
    struct bn_linear *linears;
    size_t linear_count, linear_room;
    bool no_memory;
};

/* Plans all folds. Returns OK, NO_MEMORY or IO, with `why`. Free it in any case. */
batchnorm_status bn_fold_plan(struct bn_fold *fold, struct bn_onnx *onnx, struct bn_fold_options options, char *why);
void bn_fold_free(struct bn_fold *fold);

/* linear.c: returns what is known of a linear node, read at the first time; NULL, with the reason, if its weights cannot be
 * changed or it is none. */
struct bn_linear *bn_linear_of(struct bn_fold *fold, uint32_t node, char *why);
void bn_linear_free(struct bn_linear *linear);
/* Multiplies what comes out of a linear node, or goes into it; without `applies` says whether that is possible. */
bool bn_linear_after(struct bn_fold *fold, struct bn_linear *linear, const struct bn_affine *a, bool applies, char *why);
bool bn_linear_before(struct bn_fold *fold, struct bn_linear *linear, const struct bn_affine *a, bool applies, char *why);

/* Reads the weights again, which are not kept; false, with f->no_memory, if that fails. */
bool bn_linear_load(struct bn_fold *fold, struct bn_linear *linear);
void bn_linear_unload(const struct bn_onnx *onnx, struct bn_linear *linear);

/* With loaded weights: computes some of them, one after the other, or all biases, as they are when everything is folded. */
void bn_linear_row(const struct bn_linear *linear, size_t first, size_t count, double *to);
void bn_linear_bias(const struct bn_linear *linear, double *bias);

/* fold_path.c: follows nodes that keep channels apart, and combines constants on the way. */
/* Makes whatever computes `value` compute k value + b; `target` is where it ended. */
bool bn_fold_up(struct bn_fold *fold, uint32_t value, struct bn_affine *a, bool applies, uint32_t *target, char *why);
/* Makes whatever takes `value` take it as if it were k value + b. */
bool bn_fold_down(struct bn_fold *fold, uint32_t value, struct bn_affine *a, bool applies, uint32_t *target, char *why);

/* A node goes: what computes its input computes its output, or what takes its output takes its input. */
void bn_fold_bypass_up(struct bn_fold *fold, uint32_t node, uint32_t input_use);
void bn_fold_bypass_down(struct bn_fold *fold, uint32_t node, uint32_t input_use);

/* sizes.c: returns whether ONNX Runtime may take some value for larger than it is. Nodes that are new may be refused then. */
bool bn_sizes_are_doubtful(const struct bn_onnx *onnx);

/* Makes a batch norm and the constants after it one batch norm. */
void bn_fold_steps(struct bn_fold *fold, size_t norm);

/* A copy of numbers; at NULL without memory. */
struct bn_affine bn_affine_copy(const struct bn_affine *a);
void bn_affine_free(struct bn_affine *a);

#endif
