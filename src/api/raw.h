/* SPDX-License-Identifier: MIT */
/* How raw calls end: with a status, and where the caller wants one, a sentence. */
#ifndef BN_RAW_H
#define BN_RAW_H

#include "api/check.h"

/* Ends with NULL_POINTER; `needed` names the pointers that must not be NULL. */
batchnorm_status bn_raw_missing(const batchnorm_exec *exec, const char *needed);

/* Ends with what a check or plan returned. For OVERLAP and BAD_STRIDE see bn_raw_refuse(). */
batchnorm_status bn_raw_end(const batchnorm_exec *exec, batchnorm_status status);

/* Ends with what a check returned. The names of arrays and numbers are for OVERLAP and BAD_STRIDE. */
batchnorm_status bn_raw_refuse(const batchnorm_exec *exec, batchnorm_status status, const struct bn_fault *fault,
                               const char *const *arrays, const struct bn_numbers *numbers);

#endif
