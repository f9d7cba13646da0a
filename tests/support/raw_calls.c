/* SPDX-License-Identifier: MIT */
#include "raw_calls.h"

static batchnorm_shape sizes(const struct strided *s) { return (batchnorm_shape){s->outer, s->channels, s->inner, s->dtype}; }

static struct strided everywhere(batchnorm_shape s, batchnorm_strides t) {
    return (struct strided){s.outer, s.channels, s.inner, s.dtype, t, t, t, t, t, t};
}

struct strided planar(batchnorm_dtype dtype, size_t n, size_t c, size_t s) {
    const batchnorm_shape shape = {n, c, s, dtype};
    return everywhere(shape, batchnorm_planar(shape));
}

struct strided channels_last(batchnorm_dtype dtype, size_t n, size_t c, size_t s) {
    const batchnorm_shape shape = {n, c, s, dtype};
    return everywhere(shape, batchnorm_channels_last(shape));
}

batchnorm_stats_call stats_call(const struct strided *shape, const void *x, batchnorm_stat *stats) {
    return (batchnorm_stats_call){
        .size = sizeof(batchnorm_stats_call), .shape = sizes(shape), .x = {x, shape->x}, .stats = stats};
}

batchnorm_infer_call infer_call(const struct strided *shape, const void *x, const void *z, const void *weight, const void *bias,
                                const void *mean, const void *var, void *y, double *save_mean, double *save_rstd,
                                batchnorm_activation activation, const batchnorm_options *options) {
    return (batchnorm_infer_call){.size = sizeof(batchnorm_infer_call),
                                  .shape = sizes(shape),
                                  .x = {x, shape->x},
                                  .z = {z, shape->z},
                                  .weight = weight,
                                  .bias = bias,
                                  .mean = mean,
                                  .var = var,
                                  .y = {y, shape->y},
                                  .save_mean = save_mean,
                                  .save_rstd = save_rstd,
                                  .activation = activation,
                                  .options = options};
}

batchnorm_normalize_call normalize_call(const struct strided *shape, const void *x, const void *z, const void *weight,
                                        const void *bias, const double *mean, const double *rstd, void *y,
                                        batchnorm_activation activation) {
    return (batchnorm_normalize_call){.size = sizeof(batchnorm_normalize_call),
                                      .shape = sizes(shape),
                                      .x = {x, shape->x},
                                      .z = {z, shape->z},
                                      .weight = weight,
                                      .bias = bias,
                                      .mean = mean,
                                      .rstd = rstd,
                                      .y = {y, shape->y},
                                      .activation = activation};
}

batchnorm_forward_call forward_call(const struct strided *shape, const void *x, const void *z, const void *weight,
                                    const void *bias, void *y, void *running_mean, void *running_var, double *save_mean,
                                    double *save_rstd, batchnorm_activation activation, const batchnorm_options *options) {
    return (batchnorm_forward_call){.size = sizeof(batchnorm_forward_call),
                                    .shape = sizes(shape),
                                    .x = {x, shape->x},
                                    .z = {z, shape->z},
                                    .weight = weight,
                                    .bias = bias,
                                    .y = {y, shape->y},
                                    .running_mean = running_mean,
                                    .running_var = running_var,
                                    .save_mean = save_mean,
                                    .save_rstd = save_rstd,
                                    .activation = activation,
                                    .options = options};
}

batchnorm_backward_call backward_call(const struct strided *shape, const void *x, const void *z, const void *y, const void *dy,
                                      const void *weight, const void *bias, const double *save_mean, const double *save_rstd,
                                      void *dx, void *dz, void *dweight, void *dbias, batchnorm_activation activation,
                                      unsigned flags) {
    return (batchnorm_backward_call){.size = sizeof(batchnorm_backward_call),
                                     .shape = sizes(shape),
                                     .x = {x, shape->x},
                                     .z = {z, shape->z},
                                     .y = {y, shape->y},
                                     .dy = {dy, shape->dy},
                                     .weight = weight,
                                     .bias = bias,
                                     .save_mean = save_mean,
                                     .save_rstd = save_rstd,
                                     .dx = {dx, shape->dx},
                                     .dz = {dz, shape->dz},
                                     .dweight = dweight,
                                     .dbias = dbias,
                                     .activation = activation,
                                     .flags = flags};
}

batchnorm_jvp_call jvp_call(const struct strided *shape, const void *x, const void *tx, const void *weight, const void *tweight,
                            const void *tbias, const double *save_mean, const double *save_rstd, void *ty, unsigned flags) {
    return (batchnorm_jvp_call){.size = sizeof(batchnorm_jvp_call),
                                .shape = sizes(shape),
                                .x = {x, shape->x},
                                .tx = {tx, shape->dx},
                                .weight = weight,
                                .tweight = tweight,
                                .tbias = tbias,
                                .save_mean = save_mean,
                                .save_rstd = save_rstd,
                                .ty = {ty, shape->dy},
                                .flags = flags};
}

batchnorm_double_backward_call double_backward_call(const struct strided *shape, const void *x, const void *dy,
                                                    const void *weight, const double *save_mean, const double *save_rstd,
                                                    const void *vx, const void *vweight, const void *vbias, void *gx, void *gdy,
                                                    void *gweight, unsigned flags) {
    return (batchnorm_double_backward_call){.size = sizeof(batchnorm_double_backward_call),
                                            .shape = sizes(shape),
                                            .x = {x, shape->x},
                                            .dy = {dy, shape->dy},
                                            .weight = weight,
                                            .save_mean = save_mean,
                                            .save_rstd = save_rstd,
                                            .vx = {vx, shape->dx},
                                            .vweight = vweight,
                                            .vbias = vbias,
                                            .gx = {gx, shape->y},
                                            .gdy = {gdy, shape->dy},
                                            .gweight = gweight,
                                            .flags = flags};
}

batchnorm_status raw_stats(const struct strided *shape, const void *x, batchnorm_stat *stats, const batchnorm_exec *exec) {
    if (!shape) return batchnorm_stats_accumulate(NULL, exec);
    const batchnorm_stats_call call = stats_call(shape, x, stats);
    return batchnorm_stats_accumulate(&call, exec);
}

batchnorm_status raw_infer(const struct strided *shape, const void *x, const void *weight, const void *bias, const void *mean,
                           const void *var, void *y, double *save_mean, double *save_rstd, const batchnorm_options *options,
                           const batchnorm_exec *exec) {
    if (!shape) return batchnorm_infer(NULL, exec);
    const batchnorm_infer_call call = infer_call(shape, x, NULL, weight, bias, mean, var, y, save_mean, save_rstd,
                                                 (batchnorm_activation){BATCHNORM_IDENTITY, 0}, options);
    return batchnorm_infer(&call, exec);
}

batchnorm_status raw_infer_fused(const struct strided *shape, const void *x, const void *z, const void *weight,
                                 const void *bias, const void *mean, const void *var, void *y, double *save_mean,
                                 double *save_rstd, batchnorm_activation activation, const batchnorm_options *options,
                                 const batchnorm_exec *exec) {
    if (!shape) return batchnorm_infer(NULL, exec);
    const batchnorm_infer_call call =
        infer_call(shape, x, z, weight, bias, mean, var, y, save_mean, save_rstd, activation, options);
    return batchnorm_infer(&call, exec);
}

batchnorm_status raw_normalize(const struct strided *shape, const void *x, const void *weight, const void *bias,
                               const double *mean, const double *rstd, void *y, const batchnorm_exec *exec) {
    if (!shape) return batchnorm_normalize(NULL, exec);
    const batchnorm_normalize_call call =
        normalize_call(shape, x, NULL, weight, bias, mean, rstd, y, (batchnorm_activation){BATCHNORM_IDENTITY, 0});
    return batchnorm_normalize(&call, exec);
}

batchnorm_status raw_normalize_fused(const struct strided *shape, const void *x, const void *z, const void *weight,
                                     const void *bias, const double *mean, const double *rstd, void *y,
                                     batchnorm_activation activation, const batchnorm_exec *exec) {
    if (!shape) return batchnorm_normalize(NULL, exec);
    const batchnorm_normalize_call call = normalize_call(shape, x, z, weight, bias, mean, rstd, y, activation);
    return batchnorm_normalize(&call, exec);
}

batchnorm_status raw_forward(const struct strided *shape, const void *x, const void *weight, const void *bias, void *y,
                             void *running_mean, void *running_var, double *save_mean, double *save_rstd,
                             const batchnorm_options *options, const batchnorm_exec *exec) {
    if (!shape) return batchnorm_forward(NULL, exec);
    const batchnorm_forward_call call = forward_call(shape, x, NULL, weight, bias, y, running_mean, running_var, save_mean,
                                                     save_rstd, (batchnorm_activation){BATCHNORM_IDENTITY, 0}, options);
    return batchnorm_forward(&call, exec);
}

batchnorm_status raw_forward_fused(const struct strided *shape, const void *x, const void *z, const void *weight,
                                   const void *bias, void *y, void *running_mean, void *running_var, double *save_mean,
                                   double *save_rstd, batchnorm_activation activation, const batchnorm_options *options,
                                   const batchnorm_exec *exec) {
    if (!shape) return batchnorm_forward(NULL, exec);
    const batchnorm_forward_call call =
        forward_call(shape, x, z, weight, bias, y, running_mean, running_var, save_mean, save_rstd, activation, options);
    return batchnorm_forward(&call, exec);
}

batchnorm_status raw_backward(const struct strided *shape, const void *x, const void *dy, const void *weight,
                              const double *save_mean, const double *save_rstd, void *dx, void *dweight, void *dbias,
                              unsigned flags, const batchnorm_exec *exec) {
    if (!shape) return batchnorm_backward(NULL, exec);
    const batchnorm_backward_call call = backward_call(shape, x, NULL, NULL, dy, weight, NULL, save_mean, save_rstd, dx, NULL,
                                                       dweight, dbias, (batchnorm_activation){BATCHNORM_IDENTITY, 0}, flags);
    return batchnorm_backward(&call, exec);
}

batchnorm_status raw_backward_fused(const struct strided *shape, const void *x, const void *z, const void *y, const void *dy,
                                    const void *weight, const void *bias, const double *save_mean, const double *save_rstd,
                                    void *dx, void *dz, void *dweight, void *dbias, batchnorm_activation activation,
                                    unsigned flags, const batchnorm_exec *exec) {
    if (!shape) return batchnorm_backward(NULL, exec);
    const batchnorm_backward_call call =
        backward_call(shape, x, z, y, dy, weight, bias, save_mean, save_rstd, dx, dz, dweight, dbias, activation, flags);
    return batchnorm_backward(&call, exec);
}

batchnorm_status raw_jvp(const struct strided *shape, const void *x, const void *tx, const void *weight, const void *tweight,
                         const void *tbias, const double *save_mean, const double *save_rstd, void *ty, unsigned flags,
                         const batchnorm_exec *exec) {
    if (!shape) return batchnorm_jvp(NULL, exec);
    const batchnorm_jvp_call call = jvp_call(shape, x, tx, weight, tweight, tbias, save_mean, save_rstd, ty, flags);
    return batchnorm_jvp(&call, exec);
}

batchnorm_status raw_double_backward(const struct strided *shape, const void *x, const void *dy, const void *weight,
                                     const double *save_mean, const double *save_rstd, const void *vx, const void *vweight,
                                     const void *vbias, void *gx, void *gdy, void *gweight, unsigned flags,
                                     const batchnorm_exec *exec) {
    if (!shape) return batchnorm_double_backward(NULL, exec);
    const batchnorm_double_backward_call call =
        double_backward_call(shape, x, dy, weight, save_mean, save_rstd, vx, vweight, vbias, gx, gdy, gweight, flags);
    return batchnorm_double_backward(&call, exec);
}

size_t raw_workspace_bytes(const struct strided *shape, enum raw_operation operation) {
    static const struct strided none;
    static double m[16];
    const batchnorm_activation relu = {BATCHNORM_RELU, 0};
    const struct strided *s = shape ? shape : &none;
    const batchnorm_stats_call stats = stats_call(s, m, (batchnorm_stat *)(void *)m);
    const batchnorm_infer_call infer = infer_call(s, m, m, m, m, m, m, m, m, m, relu, NULL);
    const batchnorm_normalize_call normalize = normalize_call(s, m, m, m, m, m, m, m, relu);
    const batchnorm_forward_call forward = forward_call(s, m, m, m, m, m, m, m, m, m, relu, NULL);
    const batchnorm_backward_call backward = backward_call(s, m, m, NULL, m, m, m, m, m, m, m, m, m, relu, 0);
    const batchnorm_jvp_call jvp = jvp_call(s, m, m, m, m, m, m, m, m, 0);
    const batchnorm_double_backward_call twice = double_backward_call(s, m, m, m, m, m, m, m, m, m, m, m, 0);
    switch (operation) {
    case RAW_STATS:
        return batchnorm_stats_workspace_bytes(shape ? &stats : NULL);
    case RAW_INFER:
        return batchnorm_infer_workspace_bytes(shape ? &infer : NULL);
    case RAW_NORMALIZE:
        return batchnorm_normalize_workspace_bytes(shape ? &normalize : NULL);
    case RAW_FORWARD:
        return batchnorm_forward_workspace_bytes(shape ? &forward : NULL);
    case RAW_BACKWARD:
        return batchnorm_backward_workspace_bytes(shape ? &backward : NULL);
    case RAW_JVP:
        return batchnorm_jvp_workspace_bytes(shape ? &jvp : NULL);
    default:
        return batchnorm_double_backward_workspace_bytes(shape ? &twice : NULL);
    }
}
