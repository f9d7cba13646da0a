/* SPDX-License-Identifier: MIT */
#ifndef BN_FOLD_WRITE_H
#define BN_FOLD_WRITE_H

#include "model/fold.h"
#include "model/splice.h"

struct bn_fold_counts {
    size_t tensors; /* that got other numbers */
    size_t flushed; /* numbers that became 0, because they were subnormal */
};

/* Makes the changes of the file that a plan asks for. Returns OK or NO_MEMORY; free them in any case. */
batchnorm_status bn_fold_changes(struct bn_fold *fold, struct bn_splices *splices, struct bn_fold_counts *counts);

#endif
