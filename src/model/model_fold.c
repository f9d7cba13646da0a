/* SPDX-License-Identifier: MIT */
/* Folding from outside. */
#include "model/fold_write.h"
#include "model/new_file.h"

batchnorm_status batchnorm_model_fold(batchnorm_model *model, const char *path, batchnorm_fold_counts *counts, char *message) {
    struct bn_new_file file;
    struct bn_counts changed = {0};
    if (!model || !path) return bn_model_fail(message, BATCHNORM_NULL_POINTER, "the model or the path is NULL");
    if (counts && counts->size != sizeof *counts)
        return bn_model_fail(message, BATCHNORM_BAD_OPTION, "the size of a struct must be its sizeof");
    if (model->format != BATCHNORM_MODEL_ONNX)
        return bn_model_fail(message, BATCHNORM_BAD_OPTION,
                             "a state has no graph, so that it cannot be told what follows what");
    batchnorm_status status = bn_new_file_begin(&file, model, path, message);
    if (!status && bn_fold_changes(&model->plan, &file.splices, &changed, file.data_name, &file.data))
        status = bn_model_fail(message, BATCHNORM_NO_MEMORY, "no memory for the folded weights");
    if (!status) status = bn_new_file_write(&file);
    if (!status && counts) {
        counts->tensors = changed.tensors;
        counts->flushed = changed.flushed;
        counts->bytes = file.bytes;
    }
    bn_new_file_end(&file);
    return status;
}
