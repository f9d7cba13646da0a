/* SPDX-License-Identifier: MIT */
/*! \file export.h
 * How public functions are marked. */
#ifndef BATCHNORM_EXPORT_H
#define BATCHNORM_EXPORT_H

/*! A function that is visible outside the shared library. */
#if defined(__GNUC__)
#define BATCHNORM_API __attribute__((visibility("default")))
/*! A result that must not be dropped. */
#define BATCHNORM_CHECK __attribute__((warn_unused_result))
#else
#define BATCHNORM_API
#define BATCHNORM_CHECK
#endif

#endif
