/* SPDX-License-Identifier: MIT */
/* Raw calls from a list of arguments: tests go over many calls, shapes and strides, and hand all of them round. */
#ifndef TESTS_SUPPORT_RAW_CALLS_H
#define TESTS_SUPPORT_RAW_CALLS_H

#include "batchnorm/stats.h"

/* A shape with the strides of every array that any call has. jvp takes tx by dx and ty by dy; double backward takes vx by dx,
 * gx by y and gdy by dy. */
struct strided {
    size_t outer, channels, inner;
    batchnorm_dtype dtype;
    batchnorm_strides x, y, dy, dx, z, dz;
};

struct strided planar(batchnorm_dtype dtype, size_t n, size_t c, size_t s);
struct strided channels_last(batchnorm_dtype dtype, size_t n, size_t c, size_t s);

/* The calls as structs. */
batchnorm_stats_call stats_call(const struct strided *shape, const void *x, batchnorm_stat *stats);
batchnorm_infer_call infer_call(const struct strided *shape, const void *x, const void *z, const void *weight, const void *bias,
                                const void *mean, const void *var, void *y, double *save_mean, double *save_rstd,
                                batchnorm_activation activation, const batchnorm_options *options);
batchnorm_normalize_call normalize_call(const struct strided *shape, const void *x, const void *z, const void *weight,
                                        const void *bias, const double *mean, const double *rstd, void *y,
                                        batchnorm_activation activation);
batchnorm_forward_call forward_call(const struct strided *shape, const void *x, const void *z, const void *weight,
                                    const void *bias, void *y, void *running_mean, void *running_var, double *save_mean,
                                    double *save_rstd, batchnorm_activation activation, const batchnorm_options *options);
batchnorm_backward_call backward_call(const struct strided *shape, const void *x, const void *z, const void *y, const void *dy,
                                      const void *weight, const void *bias, const double *save_mean, const double *save_rstd,
                                      void *dx, void *dz, void *dweight, void *dbias, batchnorm_activation activation,
                                      unsigned flags);
batchnorm_jvp_call jvp_call(const struct strided *shape, const void *x, const void *tx, const void *weight, const void *tweight,
                            const void *tbias, const double *save_mean, const double *save_rstd, void *ty, unsigned flags);
batchnorm_double_backward_call double_backward_call(const struct strided *shape, const void *x, const void *dy,
                                                    const void *weight, const double *save_mean, const double *save_rstd,
                                                    const void *vx, const void *vweight, const void *vbias, void *gx, void *gdy,
                                                    void *gweight, unsigned flags);

/* The scratch of a call that has everything, backward without y; of a call that is NULL where the shape is. */
enum raw_operation {
    RAW_STATS,
    RAW_INFER,
    RAW_NORMALIZE,
    RAW_FORWARD,
    RAW_BACKWARD,
    RAW_JVP,
    RAW_DOUBLE_BACKWARD,
    RAW_OPERATIONS
};
size_t raw_workspace_bytes(const struct strided *shape, enum raw_operation operation);

/* The calls, run. A shape that is NULL is a call that is NULL. */
batchnorm_status raw_stats(const struct strided *shape, const void *x, batchnorm_stat *stats, const batchnorm_exec *exec);
batchnorm_status raw_infer(const struct strided *shape, const void *x, const void *weight, const void *bias, const void *mean,
                           const void *var, void *y, double *save_mean, double *save_rstd, const batchnorm_options *options,
                           const batchnorm_exec *exec);
batchnorm_status raw_infer_fused(const struct strided *shape, const void *x, const void *z, const void *weight,
                                 const void *bias, const void *mean, const void *var, void *y, double *save_mean,
                                 double *save_rstd, batchnorm_activation activation, const batchnorm_options *options,
                                 const batchnorm_exec *exec);
batchnorm_status raw_normalize(const struct strided *shape, const void *x, const void *weight, const void *bias,
                               const double *mean, const double *rstd, void *y, const batchnorm_exec *exec);
batchnorm_status raw_normalize_fused(const struct strided *shape, const void *x, const void *z, const void *weight,
                                     const void *bias, const double *mean, const double *rstd, void *y,
                                     batchnorm_activation activation, const batchnorm_exec *exec);
batchnorm_status raw_forward(const struct strided *shape, const void *x, const void *weight, const void *bias, void *y,
                             void *running_mean, void *running_var, double *save_mean, double *save_rstd,
                             const batchnorm_options *options, const batchnorm_exec *exec);
batchnorm_status raw_forward_fused(const struct strided *shape, const void *x, const void *z, const void *weight,
                                   const void *bias, void *y, void *running_mean, void *running_var, double *save_mean,
                                   double *save_rstd, batchnorm_activation activation, const batchnorm_options *options,
                                   const batchnorm_exec *exec);
batchnorm_status raw_backward(const struct strided *shape, const void *x, const void *dy, const void *weight,
                              const double *save_mean, const double *save_rstd, void *dx, void *dweight, void *dbias,
                              unsigned flags, const batchnorm_exec *exec);
batchnorm_status raw_backward_fused(const struct strided *shape, const void *x, const void *z, const void *y, const void *dy,
                                    const void *weight, const void *bias, const double *save_mean, const double *save_rstd,
                                    void *dx, void *dz, void *dweight, void *dbias, batchnorm_activation activation,
                                    unsigned flags, const batchnorm_exec *exec);
batchnorm_status raw_jvp(const struct strided *shape, const void *x, const void *tx, const void *weight, const void *tweight,
                         const void *tbias, const double *save_mean, const double *save_rstd, void *ty, unsigned flags,
                         const batchnorm_exec *exec);
batchnorm_status raw_double_backward(const struct strided *shape, const void *x, const void *dy, const void *weight,
                                     const double *save_mean, const double *save_rstd, const void *vx, const void *vweight,
                                     const void *vbias, void *gx, void *gdy, void *gweight, unsigned flags,
                                     const batchnorm_exec *exec);

#endif
