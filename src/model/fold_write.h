/* SPDX-License-Identifier: MIT */
#ifndef BN_FOLD_WRITE_H
#define BN_FOLD_WRITE_H

#include "model/fold.h"
#include "model/write.h"

/* Makes the changes of the file that a plan asks for. New numbers of external tensors go into *data, which is to become the
 * file `data_name` beside the new model; NULL: into the model itself. Returns OK or NO_MEMORY; free all in any case. */
batchnorm_status bn_fold_changes(struct bn_fold *fold, struct bn_splices *splices, struct bn_counts *counts,
                                 const char *data_name, struct bn_bytes_out *data);

#endif
