/* SPDX-License-Identifier: MIT */
#include "api/raw.h"

#include <stdio.h>

static batchnorm_status say(const batchnorm_exec *exec, batchnorm_status status, const char *before, const char *sentence) {
    if (exec != NULL && exec->message != NULL) snprintf(exec->message, exec->message_bytes, "%s%s", before, sentence);
    return status;
}

batchnorm_status bn_raw_missing(const batchnorm_exec *exec, const char *needed) {
    return say(exec, BATCHNORM_NULL_POINTER, "what is NULL is needed; needed are ", needed);
}

batchnorm_status bn_raw_end(const batchnorm_exec *exec, batchnorm_status status) {
    return status == BATCHNORM_OK ? status : say(exec, status, "", batchnorm_status_string(status));
}

batchnorm_status bn_raw_refuse(const batchnorm_exec *exec, batchnorm_status status, const struct bn_fault *fault,
                               const char *const *arrays, const struct bn_numbers *numbers) {
    char text[BN_FAULT_TEXT];
    if (status != BATCHNORM_OVERLAP && status != BATCHNORM_BAD_STRIDE) return bn_raw_end(exec, status);
    return say(exec, status, "", bn_fault_text(status, fault, arrays, numbers, text));
}
