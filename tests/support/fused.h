/* SPDX-License-Identifier: MIT */
/* The fused calls over a problem. */
#ifndef TESTS_SUPPORT_FUSED_H
#define TESTS_SUPPORT_FUSED_H

#include "problem.h"

enum fused_verb { INFER_FUSED, NORMALIZE_FUSED, FORWARD_FUSED, BACKWARD_FUSED, BACKWARD_FUSED_FROZEN, FUSED_VERBS };

/* What a call has beside the problem. Without from_y, backward computes v again. */
struct fused {
    batchnorm_activation activation;
    bool residual, from_y;
};

/* Every activation of the list, those with a parameter with several of it. The first is the identity. */
extern const batchnorm_activation fused_activations[];
extern const int fused_activation_count;
/* Whether backward reads the y that it is given. */
bool fused_told_by_y(batchnorm_activation activation);
/* The first number that is no activation. */
extern const batchnorm_activation_kind fused_no_kind;

const char *fused_verb_name(enum fused_verb verb);
/* layout_shape() with the strides of Z and DZ. */
struct strided fused_shape(enum layout layout, batchnorm_dtype dtype, size_t n, size_t c, size_t s);
batchnorm_status fused_run(struct problem *p, enum fused_verb verb, const struct fused *f, const batchnorm_exec *exec);
/* The scratch of that call. */
size_t fused_workspace_bytes(const struct problem *p, enum fused_verb verb, const struct fused *f);

/* act(v) and dy * act'(v), in float, or in double for F64. */
double activated(batchnorm_dtype dtype, batchnorm_activation a, double v);
double gated(batchnorm_dtype dtype, batchnorm_activation a, double v, double dy);

/* Element i of an array in the order (n, c, s), in elements from its data. */
ptrdiff_t fused_index(const struct problem *p, enum array array, size_t i);
/* The first element in which two arrays differ, whatever their strides, or -1. */
ptrdiff_t fused_difference(const struct problem *a, enum array in_a, const struct problem *b, enum array in_b);

#endif
