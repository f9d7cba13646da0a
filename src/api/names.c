/* SPDX-License-Identifier: MIT */
/* Names, texts and conventions: what is the same in every call. */
#include "batchnorm/batchnorm.h"
#include "kernel/kernel.h"

#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)

const char *batchnorm_version(void) {
    return TEXT_OF(BATCHNORM_VERSION_MAJOR) "." TEXT_OF(BATCHNORM_VERSION_MINOR) "." TEXT_OF(BATCHNORM_VERSION_PATCH);
}

const char *batchnorm_isa(void) { return bnk_table()->name; }

const char *batchnorm_status_string(batchnorm_status status) {
    switch (status) {
#define STATUS_TEXT(name, text)                                                                                                \
    case BATCHNORM_##name:                                                                                                     \
        return text;
        BATCHNORM_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

batchnorm_options batchnorm_convention(batchnorm_framework framework) {
    static const batchnorm_options conventions[] = {
        [BATCHNORM_PYTORCH] =
            {sizeof(batchnorm_options), 1e-5, 0.1, BATCHNORM_MOMENTUM_OF_NEW, BATCHNORM_VARIANCE_UNBIASED, false, false, {0}},
        [BATCHNORM_ONNX] =
            {sizeof(batchnorm_options), 1e-5, 0.9, BATCHNORM_MOMENTUM_OF_OLD, BATCHNORM_VARIANCE_BIASED, true, false, {0}},
        [BATCHNORM_KERAS] =
            {sizeof(batchnorm_options), 1e-3, 0.99, BATCHNORM_MOMENTUM_OF_OLD, BATCHNORM_VARIANCE_BIASED, true, false, {0}},
        [BATCHNORM_FLAX] =
            {sizeof(batchnorm_options), 1e-5, 0.99, BATCHNORM_MOMENTUM_OF_OLD, BATCHNORM_VARIANCE_BIASED, true, false, {0}},
        [BATCHNORM_TF_FUSED] =
            {sizeof(batchnorm_options), 1e-3, 0.99, BATCHNORM_MOMENTUM_OF_OLD, BATCHNORM_VARIANCE_UNBIASED, true, false, {0}},
    };
    bool known = (unsigned)framework < sizeof conventions / sizeof conventions[0];
    return conventions[known ? framework : BATCHNORM_PYTORCH];
}
