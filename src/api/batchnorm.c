/* SPDX-License-Identifier: MIT */
/* Raw buffers: check the arguments and hand one job to plan. Longer than 300 lines, because every call lists its arrays. */
#include "batchnorm/batchnorm.h"

#include "api/check.h"
#include "api/raw.h"
#include "api/shape.h"

size_t batchnorm_workspace_bytes(const batchnorm_shape *shape, batchnorm_operation operation) {
    struct bn_geometry g;
    if (!shape || bn_geometry_from_shape(shape, &g) || bn_geometry_is_empty(&g)) return 0;
    bn_geometry_add_array(&g, BN_X, NULL, shape->x);
    if (operation <= BATCHNORM_OP_FORWARD) {
        bn_geometry_add_array(&g, BN_Y, NULL, shape->y);
    } else if (operation == BATCHNORM_OP_BACKWARD) {
        bn_geometry_add_array(&g, BN_DY, NULL, shape->dy);
        bn_geometry_add_array(&g, BN_DX, NULL, shape->dx);
        bn_geometry_add_array(&g, BN_Z, NULL, shape->z);
        bn_geometry_add_array(&g, BN_Y, NULL, shape->y);
        bn_geometry_add_array(&g, BN_DZ, NULL, shape->dz);
    } else {
        bn_geometry_add_array(&g, BN_DY, NULL, shape->dy);
        bn_geometry_add_array(&g, BN_TX, NULL, shape->dx);
        bn_geometry_add_array(&g, BN_TY, NULL, shape->dy);
        bn_geometry_add_array(&g, BN_VX, NULL, shape->dx);
        bn_geometry_add_array(&g, BN_GX, NULL, shape->y);
        bn_geometry_add_array(&g, BN_GDY, NULL, shape->dy);
    }
    size_t bytes = bn_workspace_bytes(&g, operation);
    return bytes == SIZE_MAX ? 0 : bytes;
}

static const batchnorm_options *options_or_default(const batchnorm_options *options, batchnorm_options *place) {
    *place = batchnorm_convention(BATCHNORM_PYTORCH);
    return options ? options : place;
}

#define COUNT_OF(array) (int)(sizeof(array) / sizeof *(array))

/* Arrays of [channels] as the check of overlap takes them. */
static struct bn_numbers read_only(const struct bn_geometry *g, const char *name, const void *parameter) {
    return (struct bn_numbers){name, parameter, bn_element_bytes(bn_parameter_dtype(g->dtype)), false};
}

static struct bn_numbers written(const struct bn_geometry *g, const char *name, const void *parameter) {
    return (struct bn_numbers){name, parameter, bn_element_bytes(bn_parameter_dtype(g->dtype)), true};
}

static struct bn_numbers read_only_double(const char *name, const double *statistic) {
    return (struct bn_numbers){name, statistic, sizeof *statistic, false};
}

static struct bn_numbers written_double(const char *name, const double *statistic) {
    return (struct bn_numbers){name, statistic, sizeof *statistic, true};
}

/* The documented order: options, eps, strides, overlap. Sizes and types are known to be right by then. */
static batchnorm_status check_forward(const struct bn_geometry *g, batchnorm_activation activation,
                                      const batchnorm_options *options, bool batch_statistics, struct bn_fault *fault) {
    batchnorm_status status = bn_check_activation(activation);
    if (!status) status = bn_check_options(options);
    if (!status) status = bn_check_eps(options->eps, batch_statistics);
    if (!status && !bn_geometry_is_empty(g)) status = bn_check_outputs(g, 1u << BN_Y, 1u << BN_X | 1u << BN_Z, fault);
    return status;
}

static bool has_elements(const batchnorm_shape *shape) { return shape->outer && shape->channels && shape->inner; }

static struct bn_vector parameter(const struct bn_geometry *g, const void *data) {
    return (struct bn_vector){data, bn_parameter_dtype(g->dtype)};
}

static struct bn_output gradient(const struct bn_geometry *g, void *data) {
    return (struct bn_output){data, bn_parameter_dtype(g->dtype)};
}

static const char *const names[BN_ARRAYS] = {"x", "z", "y", "dy", "dx", "dz", "tx", "ty", "vx", "gx", "gdy"};

static const batchnorm_activation identity = {BATCHNORM_IDENTITY, 0};

static batchnorm_status xyz_geometry(const batchnorm_shape *shape, const void *x, const void *z, void *y,
                                     struct bn_geometry *g) {
    batchnorm_status status = bn_geometry_from_shape(shape, g);
    bn_geometry_add_array(g, BN_X, x, shape->x);
    bn_geometry_add_array(g, BN_Y, y, shape->y);
    if (z) bn_geometry_add_array(g, BN_Z, z, shape->z);
    return status || bn_geometry_is_empty(g) ? status : bn_check_sizes(g);
}

batchnorm_status batchnorm_infer_fused(const batchnorm_shape *shape, const void *x, const void *z, const void *weight,
                                       const void *bias, const void *mean, const void *var, void *y, double *save_mean,
                                       double *save_rstd, batchnorm_activation activation, const batchnorm_options *options,
                                       const batchnorm_exec *exec) {
    if (!shape || (has_elements(shape) && !(x && y && mean && var))) return bn_raw_missing(exec, "shape, x, y, mean and var");
    batchnorm_options place;
    struct bn_geometry g;
    struct bn_fault fault;
    options = options_or_default(options, &place);
    batchnorm_status status = xyz_geometry(shape, x, z, y, &g);
    if (!status) status = check_forward(&g, activation, options, false, &fault);
    const struct bn_numbers numbers[] = {read_only(&g, "weight", weight),
                                         read_only(&g, "bias", bias),
                                         read_only(&g, "mean", mean),
                                         read_only(&g, "var", var),
                                         written_double("save_mean", save_mean),
                                         written_double("save_rstd", save_rstd)};
    if (!status) status = bn_check_numbers(&g, 1u << BN_Y, numbers, COUNT_OF(numbers), &fault);
    if (!status) status = bn_check_workspace(&g, numbers, COUNT_OF(numbers), exec, &fault);
    if (status) return bn_raw_refuse(exec, status, &fault, names, numbers);
    if (bn_geometry_is_empty(&g)) return BATCHNORM_OK;
    struct bn_infer job = {.weight = parameter(&g, weight),
                           .bias = parameter(&g, bias),
                           .mean = parameter(&g, mean),
                           .var = parameter(&g, var),
                           .eps = options->eps,
                           .save_mean = save_mean,
                           .save_rstd = save_rstd,
                           .activation = activation};
    return bn_raw_end(exec, bn_run_infer(&g, &job, &(struct bn_exec){.caller = exec}));
}

batchnorm_status batchnorm_infer(const batchnorm_shape *shape, const void *x, const void *weight, const void *bias,
                                 const void *mean, const void *var, void *y, double *save_mean, double *save_rstd,
                                 const batchnorm_options *options, const batchnorm_exec *exec) {
    return batchnorm_infer_fused(shape, x, NULL, weight, bias, mean, var, y, save_mean, save_rstd, identity, options, exec);
}

batchnorm_status batchnorm_normalize_fused(const batchnorm_shape *shape, const void *x, const void *z, const void *weight,
                                           const void *bias, const double *mean, const double *rstd, void *y,
                                           batchnorm_activation activation, const batchnorm_exec *exec) {
    if (!shape || (has_elements(shape) && !(x && y && mean && rstd))) return bn_raw_missing(exec, "shape, x, y, mean and rstd");
    struct bn_geometry g;
    struct bn_fault fault;
    batchnorm_status status = xyz_geometry(shape, x, z, y, &g);
    if (!status) status = bn_check_activation(activation);
    if (!status && !bn_geometry_is_empty(&g)) status = bn_check_outputs(&g, 1u << BN_Y, 1u << BN_X | 1u << BN_Z, &fault);
    const struct bn_numbers numbers[] = {read_only(&g, "weight", weight), read_only(&g, "bias", bias),
                                         read_only_double("mean", mean), read_only_double("rstd", rstd)};
    if (!status) status = bn_check_numbers(&g, 1u << BN_Y, numbers, COUNT_OF(numbers), &fault);
    if (!status) status = bn_check_workspace(&g, numbers, COUNT_OF(numbers), exec, &fault);
    if (status) return bn_raw_refuse(exec, status, &fault, names, numbers);
    if (bn_geometry_is_empty(&g)) return BATCHNORM_OK;
    struct bn_normalize job = {
        .weight = parameter(&g, weight), .bias = parameter(&g, bias), .mean = mean, .rstd = rstd, .activation = activation};
    return bn_raw_end(exec, bn_run_normalize(&g, &job, &(struct bn_exec){.caller = exec}));
}

batchnorm_status batchnorm_normalize(const batchnorm_shape *shape, const void *x, const void *weight, const void *bias,
                                     const double *mean, const double *rstd, void *y, const batchnorm_exec *exec) {
    return batchnorm_normalize_fused(shape, x, NULL, weight, bias, mean, rstd, y, identity, exec);
}

struct running {
    const batchnorm_options *options;
    size_t channels;
    struct bn_output mean, var;
    bool committed;
};

static void update_running(void *arg, const batchnorm_stat *stats) {
    struct running *r = arg;
    struct bn_vector mean = {r->mean.data, r->mean.dtype}, var = {r->var.data, r->var.dtype};
    r->committed =
        bn_update_running(stats, r->channels, r->options, bn_momentum_of_new(r->options), mean, var, r->mean, r->var);
}

batchnorm_status batchnorm_forward_fused(const batchnorm_shape *shape, const void *x, const void *z, const void *weight,
                                         const void *bias, void *y, void *running_mean, void *running_var, double *save_mean,
                                         double *save_rstd, batchnorm_activation activation, const batchnorm_options *options,
                                         const batchnorm_exec *exec) {
    if (!shape || (has_elements(shape) && !(x && y))) return bn_raw_missing(exec, "shape, x and y");
    batchnorm_options place;
    struct bn_geometry g;
    struct bn_fault fault;
    options = options_or_default(options, &place);
    batchnorm_status status = xyz_geometry(shape, x, z, y, &g);
    if (!status && g.count == 1 && !options->allow_one_value) status = BATCHNORM_ONE_VALUE;
    if (!status) status = check_forward(&g, activation, options, true, &fault);
    const struct bn_numbers numbers[] = {read_only(&g, "weight", weight),           read_only(&g, "bias", bias),
                                         written(&g, "running_mean", running_mean), written(&g, "running_var", running_var),
                                         written_double("save_mean", save_mean),    written_double("save_rstd", save_rstd)};
    if (!status) status = bn_check_numbers(&g, 1u << BN_Y, numbers, COUNT_OF(numbers), &fault);
    if (!status) status = bn_check_workspace(&g, numbers, COUNT_OF(numbers), exec, &fault);
    if (status) return bn_raw_refuse(exec, status, &fault, names, numbers);
    if (bn_geometry_is_empty(&g)) return BATCHNORM_OK;
    struct running r = {options, g.channels, gradient(&g, running_mean), gradient(&g, running_var), true};
    struct bn_forward job = {.weight = parameter(&g, weight),
                             .bias = parameter(&g, bias),
                             .eps = options->eps,
                             .activation = activation,
                             .save_mean = save_mean,
                             .save_rstd = save_rstd,
                             .done = update_running,
                             .arg = &r};
    status = bn_run_forward(&g, &job, &(struct bn_exec){.caller = exec});
    return bn_raw_end(exec, !status && !r.committed ? BATCHNORM_NOT_COMMITTED : status);
}

batchnorm_status batchnorm_forward(const batchnorm_shape *shape, const void *x, const void *weight, const void *bias, void *y,
                                   void *running_mean, void *running_var, double *save_mean, double *save_rstd,
                                   const batchnorm_options *options, const batchnorm_exec *exec) {
    return batchnorm_forward_fused(shape, x, NULL, weight, bias, y, running_mean, running_var, save_mean, save_rstd, identity,
                                   options, exec);
}

/* Common to the backward family: sizes, flags, strides, overlap. */
static batchnorm_status check_backward(struct bn_geometry *g, batchnorm_status status, unsigned flags, unsigned allowed,
                                       unsigned outputs, unsigned alias, struct bn_fault *fault) {
    if (!status && !bn_geometry_is_empty(g)) status = bn_check_sizes(g);
    if (!status && (flags & ~allowed)) status = BATCHNORM_BAD_OPTION;
    if (!status && !bn_geometry_is_empty(g)) status = bn_check_outputs(g, outputs, alias, fault);
    return status;
}

/* Without elements the sums are 0. */
static void empty_gradient(struct bn_output v, size_t channels, unsigned flags) {
    for (size_t c = 0; c < channels && !(flags & BATCHNORM_ACCUMULATE); c++) bn_output_set(v, c, 0);
}

batchnorm_status batchnorm_backward_fused(const batchnorm_shape *shape, const void *x, const void *z, const void *y,
                                          const void *dy, const void *weight, const void *bias, const double *save_mean,
                                          const double *save_rstd, void *dx, void *dz, void *dweight, void *dbias,
                                          batchnorm_activation activation, unsigned flags, const batchnorm_exec *exec) {
    bool frozen = (flags & BATCHNORM_FROZEN) != 0, something = dx || dz || dweight || dbias;
    bool acts = activation.kind != BATCHNORM_IDENTITY, again = acts && !y;
    bool needs_x = dweight || (!frozen && dx) || again;
    if (!shape || (has_elements(shape) && something && (!dy || !save_rstd || (needs_x && !(x && save_mean)))))
        return bn_raw_missing(exec, needs_x ? "shape, x, dy, save_mean and save_rstd" : "shape, dy and save_rstd");
    struct bn_geometry g;
    struct bn_fault fault;
    batchnorm_status status = bn_geometry_from_shape(shape, &g);
    bn_geometry_add_array(&g, BN_X, needs_x ? x : NULL, shape->x);
    bn_geometry_add_array(&g, BN_DY, dy, shape->dy);
    bn_geometry_add_array(&g, BN_DX, dx, shape->dx);
    if (again && z) bn_geometry_add_array(&g, BN_Z, z, shape->z);
    if (acts && y) bn_geometry_add_array(&g, BN_Y, y, shape->y);
    if (dz) bn_geometry_add_array(&g, BN_DZ, dz, shape->dz);
    if (!status) status = bn_check_activation(activation);
    status = check_backward(&g, status, flags, BATCHNORM_FROZEN | BATCHNORM_ACCUMULATE, 1u << BN_DX | 1u << BN_DZ,
                            1u << BN_X | 1u << BN_DY | 1u << BN_Z | 1u << BN_Y, &fault);
    const struct bn_numbers numbers[] = {read_only(&g, "weight", weight),          read_only(&g, "bias", bias),
                                         read_only_double("save_mean", save_mean), read_only_double("save_rstd", save_rstd),
                                         written(&g, "dweight", dweight),          written(&g, "dbias", dbias)};
    if (!status) status = bn_check_numbers(&g, 1u << BN_DX | 1u << BN_DZ, numbers, COUNT_OF(numbers), &fault);
    if (!status) status = bn_check_workspace(&g, numbers, COUNT_OF(numbers), exec, &fault);
    if (status) return bn_raw_refuse(exec, status, &fault, names, numbers);
    if (!something) return BATCHNORM_OK;
    struct bn_backward job = {.weight = parameter(&g, weight),
                              .bias = parameter(&g, bias),
                              .mean = needs_x ? save_mean : NULL,
                              .rstd = save_rstd,
                              .dweight = gradient(&g, dweight),
                              .dbias = gradient(&g, dbias),
                              .activation = activation,
                              .gated = acts || dz,
                              .flags = flags};
    if (!bn_geometry_is_empty(&g)) return bn_raw_end(exec, bn_run_backward(&g, &job, &(struct bn_exec){.caller = exec}));
    empty_gradient(job.dweight, g.channels, flags);
    empty_gradient(job.dbias, g.channels, flags);
    return BATCHNORM_OK;
}

batchnorm_status batchnorm_backward(const batchnorm_shape *shape, const void *x, const void *dy, const void *weight,
                                    const double *save_mean, const double *save_rstd, void *dx, void *dweight, void *dbias,
                                    unsigned flags, const batchnorm_exec *exec) {
    return batchnorm_backward_fused(shape, x, NULL, NULL, dy, weight, NULL, save_mean, save_rstd, dx, NULL, dweight, dbias,
                                    identity, flags, exec);
}

batchnorm_status batchnorm_jvp(const batchnorm_shape *shape, const void *x, const void *tx, const void *weight,
                               const void *tweight, const void *tbias, const double *save_mean, const double *save_rstd,
                               void *ty, unsigned flags, const batchnorm_exec *exec) {
    if (!shape || (has_elements(shape) && !(x && tx && ty && save_mean && save_rstd)))
        return bn_raw_missing(exec, "shape, x, tx, ty, save_mean and save_rstd");
    struct bn_geometry g;
    struct bn_fault fault;
    batchnorm_status status = bn_geometry_from_shape(shape, &g);
    bn_geometry_add_array(&g, BN_X, x, shape->x);
    bn_geometry_add_array(&g, BN_TX, tx, shape->dx);
    bn_geometry_add_array(&g, BN_TY, ty, shape->dy);
    status = check_backward(&g, status, flags, BATCHNORM_FROZEN, 1u << BN_TY, 1u << BN_X | 1u << BN_TX, &fault);
    const struct bn_numbers numbers[] = {read_only(&g, "weight", weight), read_only(&g, "tweight", tweight),
                                         read_only(&g, "tbias", tbias), read_only_double("save_mean", save_mean),
                                         read_only_double("save_rstd", save_rstd)};
    if (!status) status = bn_check_numbers(&g, 1u << BN_TY, numbers, COUNT_OF(numbers), &fault);
    if (!status) status = bn_check_workspace(&g, numbers, COUNT_OF(numbers), exec, &fault);
    if (status) return bn_raw_refuse(exec, status, &fault, names, numbers);
    if (bn_geometry_is_empty(&g)) return BATCHNORM_OK;
    struct bn_jvp job = {parameter(&g, weight), parameter(&g, tweight), parameter(&g, tbias), save_mean, save_rstd, flags};
    return bn_raw_end(exec, bn_run_jvp(&g, &job, &(struct bn_exec){.caller = exec}));
}

batchnorm_status batchnorm_double_backward(const batchnorm_shape *shape, const void *x, const void *dy, const void *weight,
                                           const double *save_mean, const double *save_rstd, const void *vx,
                                           const void *vweight, const void *vbias, void *gx, void *gdy, void *gweight,
                                           unsigned flags, const batchnorm_exec *exec) {
    if (!shape || (has_elements(shape) && !(x && dy && save_mean && save_rstd)))
        return bn_raw_missing(exec, "shape, x, dy, save_mean and save_rstd");
    struct bn_geometry g;
    struct bn_fault fault;
    batchnorm_status status = bn_geometry_from_shape(shape, &g);
    bn_geometry_add_array(&g, BN_X, x, shape->x);
    bn_geometry_add_array(&g, BN_DY, dy, shape->dy);
    bn_geometry_add_array(&g, BN_VX, vx, shape->dx);
    bn_geometry_add_array(&g, BN_GX, gx, shape->y);
    bn_geometry_add_array(&g, BN_GDY, gdy, shape->dy);
    status = check_backward(&g, status, flags, BATCHNORM_FROZEN, 1u << BN_GX | 1u << BN_GDY, 0, &fault);
    const struct bn_numbers numbers[] = {
        read_only(&g, "weight", weight),          read_only(&g, "vweight", vweight),        read_only(&g, "vbias", vbias),
        read_only_double("save_mean", save_mean), read_only_double("save_rstd", save_rstd), written(&g, "gweight", gweight)};
    if (!status) status = bn_check_numbers(&g, 1u << BN_GX | 1u << BN_GDY, numbers, COUNT_OF(numbers), &fault);
    if (!status) status = bn_check_workspace(&g, numbers, COUNT_OF(numbers), exec, &fault);
    if (status) return bn_raw_refuse(exec, status, &fault, names, numbers);
    struct bn_double_backward job = {.weight = parameter(&g, weight),
                                     .vweight = parameter(&g, vweight),
                                     .vbias = parameter(&g, vbias),
                                     .mean = save_mean,
                                     .rstd = save_rstd,
                                     .gweight = gradient(&g, gweight),
                                     .flags = flags};
    if (!bn_geometry_is_empty(&g)) return bn_raw_end(exec, bn_run_double_backward(&g, &job, &(struct bn_exec){.caller = exec}));
    empty_gradient(job.gweight, g.channels, 0);
    return BATCHNORM_OK;
}
