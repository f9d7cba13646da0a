/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <math.h>
#include <stdlib.h>

#include "layout.h"
#include "shim.h"
#include "widen.h"

/* The items of a call, as PyTorch's parallel loop hands them out. */
struct items {
    batchnorm_task *task;
    void *arg;
};

static void run_items(int64_t begin, int64_t end, void *arg) {
    const struct items *const items = arg;
    for (int64_t i = begin; i < end; i++) items->task(items->arg, (size_t)i);
}

static void on_torch(void *user, size_t count, batchnorm_task *task, void *arg) {
    (void)user;
    struct items items = {task, arg};
    (void)shim.torch_parallel_for(0, (int64_t)count, 1, run_items, &items);
}

static batchnorm_exec torch_exec(void) {
    uint32_t threads = 1;
    (void)shim.torch_get_num_threads(&threads);
    return (batchnorm_exec){.size = sizeof(batchnorm_exec), .parallel_for = on_torch, .threads = (int)threads};
}

static bool check_vector(struct run_layer *layer, const batchnorm_tensor *tensor, bool *first) {
    if (!tensor->data) return true;
    if (*first) layer->parameters = tensor->dtype;
    *first = false;
    return tensor->dtype == layer->parameters && layout_is_vector(tensor, layer->shape.channels);
}

bool run_check(struct run_layer *layer) {
    const batchnorm_tensor *const x = &layer->x;
    batchnorm_strides strides;
    if (x->dtype == BATCHNORM_I64 || x->rank < 2 || !layout_merge(x, &layer->shape, &strides)) return false;
    const bool is_double = x->dtype == BATCHNORM_F64;
    layer->parameters = is_double ? BATCHNORM_F64 : BATCHNORM_F32;
    bool first = true;
    if (!check_vector(layer, &layer->weight, &first) || !check_vector(layer, &layer->bias, &first) ||
        !check_vector(layer, &layer->running_mean, &first) || !check_vector(layer, &layer->running_var, &first))
        return false;
    if (layer->parameters != x->dtype && (is_double || x->dtype == BATCHNORM_F32 || layer->parameters != BATCHNORM_F32))
        return false;
    if (layer->z.data && !run_fits(layer, &layer->z)) return false;
    if (!layer->running_mean.data != !layer->running_var.data) return false;
    if (layer->frozen && !layer->backward && !layer->running_mean.data) return false;
    if (!(layer->eps > 0) || !isfinite(layer->eps) || !isfinite(layer->momentum)) return false;
    if (layer->group) return true; /* a rank may be without samples, and then takes part */
    const size_t values = layer->shape.outer * layer->shape.inner;
    return layer->shape.channels > 0 && values > 0 && x->data && (layer->frozen || values > 1);
}

bool run_fits(const struct run_layer *layer, const batchnorm_tensor *tensor) {
    batchnorm_shape shape;
    batchnorm_strides strides;
    if (tensor->rank != layer->x.rank || tensor->dtype != layer->x.dtype) return false;
    for (int d = 0; d < tensor->rank; d++)
        if (tensor->shape[d] != layer->x.shape[d]) return false;
    return layout_merge(tensor, &shape, &strides);
}

static batchnorm_input input(const batchnorm_tensor *tensor) {
    batchnorm_shape shape;
    batchnorm_input in = {.data = tensor->data};
    if (in.data) (void)layout_merge(tensor, &shape, &in.strides);
    return in;
}

static batchnorm_output output(const batchnorm_tensor *tensor) {
    const batchnorm_input in = input(tensor);
    return (batchnorm_output){tensor->data, in.strides};
}

/* Numbers of channels as a call gets them: where they are, or in scratch memory if they have 16 bits. */
struct numbers {
    float *scratch, *free;
    batchnorm_dtype dtype;
    size_t channels;
};

static bool numbers_begin(struct numbers *numbers, const struct run_layer *layer, size_t arrays) {
    *numbers = (struct numbers){.dtype = layer->parameters, .channels = layer->shape.channels};
    if (numbers->dtype != BATCHNORM_BF16 && numbers->dtype != BATCHNORM_F16) return true;
    numbers->scratch = numbers->free = malloc(arrays * numbers->channels * sizeof(float));
    return numbers->scratch;
}

static void *numbers_room(struct numbers *numbers, const batchnorm_tensor *tensor) {
    if (!numbers->scratch || !tensor->data) return tensor->data;
    float *const room = numbers->free;
    numbers->free += numbers->channels;
    return room;
}

static void *numbers_in(struct numbers *numbers, const batchnorm_tensor *tensor) {
    void *const room = numbers_room(numbers, tensor);
    if (room != tensor->data) widen(numbers->dtype, tensor->data, room, numbers->channels);
    return room;
}

static void numbers_out(const struct numbers *numbers, const void *room, const batchnorm_tensor *tensor) {
    if (room != tensor->data) narrow(numbers->dtype, room, tensor->data, numbers->channels);
}

batchnorm_status run_forward(const struct run_layer *layer, const batchnorm_tensor *y, double *saved) {
    struct numbers numbers;
    if (!numbers_begin(&numbers, layer, 4)) return BATCHNORM_NO_MEMORY;
    const batchnorm_exec exec = torch_exec();
    batchnorm_options options = batchnorm_convention(BATCHNORM_PYTORCH);
    options.eps = layer->eps;
    options.momentum = layer->momentum;
    void *const weight = numbers_in(&numbers, &layer->weight), *const bias = numbers_in(&numbers, &layer->bias);
    void *const mean = numbers_in(&numbers, &layer->running_mean), *const var = numbers_in(&numbers, &layer->running_var);
    double *const rstd = saved ? saved + layer->shape.channels : NULL;
    const batchnorm_infer_call infer = {.size = sizeof infer,
                                        .shape = layer->shape,
                                        .x = input(&layer->x),
                                        .z = input(&layer->z),
                                        .y = output(y),
                                        .weight = weight,
                                        .bias = bias,
                                        .mean = mean,
                                        .var = var,
                                        .save_mean = saved,
                                        .save_rstd = rstd,
                                        .activation = layer->activation,
                                        .options = &options};
    const batchnorm_forward_call forward = {.size = sizeof forward,
                                            .shape = infer.shape,
                                            .x = infer.x,
                                            .z = infer.z,
                                            .y = infer.y,
                                            .weight = weight,
                                            .bias = bias,
                                            .running_mean = mean,
                                            .running_var = var,
                                            .save_mean = saved,
                                            .save_rstd = rstd,
                                            .activation = layer->activation,
                                            .options = &options,
                                            .grain = layer->grain,
                                            .first_sample = layer->first_sample,
                                            .group = layer->group};
    const batchnorm_status status = layer->frozen ? batchnorm_infer(&infer, &exec) : batchnorm_forward(&forward, &exec);
    if (status == BATCHNORM_OK && !layer->frozen) {
        numbers_out(&numbers, mean, &layer->running_mean);
        numbers_out(&numbers, var, &layer->running_var);
    }
    free(numbers.scratch);
    return status;
}

batchnorm_status run_backward(const struct run_layer *layer, const double *saved, const struct run_gradients *gradients) {
    struct numbers numbers;
    if (!numbers_begin(&numbers, layer, 4)) return BATCHNORM_NO_MEMORY;
    const batchnorm_exec exec = torch_exec();
    const batchnorm_backward_call call = {.size = sizeof call,
                                          .shape = layer->shape,
                                          .x = input(&layer->x),
                                          .z = input(&layer->z),
                                          .y = input(&gradients->y),
                                          .dy = input(&gradients->dy),
                                          .dx = output(&gradients->dx),
                                          .dz = output(&gradients->dz),
                                          .weight = numbers_in(&numbers, &layer->weight),
                                          .bias = numbers_in(&numbers, &layer->bias),
                                          .save_mean = saved,
                                          .save_rstd = saved + layer->shape.channels,
                                          .dweight = numbers_room(&numbers, &gradients->dweight),
                                          .dbias = numbers_room(&numbers, &gradients->dbias),
                                          .activation = layer->activation,
                                          .flags = layer->frozen ? BATCHNORM_FROZEN : 0,
                                          .grain = layer->grain,
                                          .first_sample = layer->first_sample,
                                          .group = layer->group};
    const batchnorm_status status = batchnorm_backward(&call, &exec);
    if (status == BATCHNORM_OK) {
        numbers_out(&numbers, call.dweight, &gradients->dweight);
        numbers_out(&numbers, call.dbias, &gradients->dbias);
    }
    free(numbers.scratch);
    return status;
}

batchnorm_status run_double_backward(const struct run_layer *layer, const double *saved, const struct run_second *second) {
    struct numbers numbers;
    if (!numbers_begin(&numbers, layer, 4)) return BATCHNORM_NO_MEMORY;
    const batchnorm_exec exec = torch_exec();
    const batchnorm_double_backward_call call = {.size = sizeof call,
                                                 .shape = layer->shape,
                                                 .x = input(&layer->x),
                                                 .dy = input(&second->dy),
                                                 .vx = input(&second->vx),
                                                 .gx = output(&second->gx),
                                                 .gdy = output(&second->gdy),
                                                 .weight = numbers_in(&numbers, &layer->weight),
                                                 .vweight = numbers_in(&numbers, &second->vweight),
                                                 .vbias = numbers_in(&numbers, &second->vbias),
                                                 .save_mean = saved,
                                                 .save_rstd = saved + layer->shape.channels,
                                                 .gweight = numbers_room(&numbers, &second->gweight),
                                                 .flags = layer->frozen ? BATCHNORM_FROZEN : 0};
    const batchnorm_status status = batchnorm_double_backward(&call, &exec);
    if (status == BATCHNORM_OK) numbers_out(&numbers, call.gweight, &second->gweight);
    free(numbers.scratch);
    return status;
}
