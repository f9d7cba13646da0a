/* SPDX-License-Identifier: MIT */
/* The outputs of two models beside each other. */
#ifndef TOOLS_FOLD_VERIFY_COMPARE_H
#define TOOLS_FOLD_VERIFY_COMPARE_H

#include "tools/shared/runtime.h"

enum verdict_kind {
    VERDICT_NONE, /* nobody asked */
    VERDICT_UNKNOWN,
    VERDICT_SAME,
    VERDICT_OTHER
};

struct verdict {
    enum verdict_kind kind;
    bool failed;               /* the command fails by it */
    double absolute, relative; /* the largest difference by what is allowed; the same by the largest number of that output */
    double allowed;            /* the absolute difference from which on that output would be another one */
    char output[64], runtime[32];
    char why[400]; /* it is unknown, or other without numbers */
};

/* Judges all outputs. is_half: the models compute with 16 bits. */
void outputs_compare(const struct runtime_array *before, size_t before_count, const struct runtime_array *after,
                     size_t after_count, bool is_half, struct verdict *verdict);

#endif
