/* SPDX-License-Identifier: MIT */
/* An operator gets its arguments in a stack, owns them, and leaves its results there. A weight, a bias or statistics that are
 * not there are tensors without elements. Errors leave through aoti_torch_check(), which throws: this file is compiled with
 * -fexceptions, and what is held is let go of before. */
#include "operators.h"

#include <string.h>

#include "layout.h"
#include "run.h"
#include "tensors.h"

static bool read_tensor(shim_value value, batchnorm_tensor *tensor) {
    shim_tensor handle = (shim_tensor)(uintptr_t)value;
    int64_t rank, *sizes, *strides;
    int32_t dtype;
    *tensor = (batchnorm_tensor){0};
    if (shim.aoti_torch_get_dim(handle, &rank) != 0 || rank > BATCHNORM_MAX_RANK ||
        shim.aoti_torch_get_dtype(handle, &dtype) != 0 || !tensors_dtype(dtype, &tensor->dtype) ||
        shim.aoti_torch_get_sizes(handle, &sizes) != 0 || shim.aoti_torch_get_strides(handle, &strides) != 0)
        return false;
    tensor->rank = (int)rank;
    memcpy(tensor->shape, sizes, (size_t)rank * sizeof *sizes);
    memcpy(tensor->stride, strides, (size_t)rank * sizeof *strides);
    if (batchnorm_tensor_elements(tensor) == 0) return true;
    return shim.torch_get_mutable_data_ptr(handle, &tensor->data) == 0;
}

static double read_double(shim_value value) {
    double number;
    memcpy(&number, &value, sizeof number);
    return number;
}

static shim_tensor new_tensor(batchnorm_tensor *tensor) {
    shim_tensor made;
    const int32_t failed =
        shim.aoti_torch_empty_strided(tensor->rank, tensor->shape, tensor->stride, tensors_shim_dtype(tensor->dtype),
                                      shim.aoti_torch_device_type_cpu(), 0, &made);
    if (failed) return NULL;
    if (shim.torch_get_mutable_data_ptr(made, &tensor->data) == 0) return made;
    (void)shim.aoti_torch_delete_tensor_object(made);
    return NULL;
}

/* Ends an operator: lets go of the tensors it was given, and leaves results or throws. */
static void leave(shim_value *stack, int tensors, const char *error, shim_tensor *results, int count) {
    for (int i = 0; i < tensors; i++) (void)shim.aoti_torch_delete_tensor_object((shim_tensor)(uintptr_t)stack[i]);
    for (int i = 0; i < count; i++) {
        if (error && results[i]) (void)shim.aoti_torch_delete_tensor_object(results[i]);
        if (!error) stack[i] = (shim_value)(uintptr_t)results[i];
    }
    if (error) shim.aoti_torch_check(false, "batchnorm", __FILE__, __LINE__, error);
}

static const char *const unfit = "batchnorm: sizes, types or strides that the operator does not take";

static const char *status_text(batchnorm_status status) {
    return status == BATCHNORM_OK ? NULL : batchnorm_status_string(status);
}

/* The numbers that a backward needs: the mean and 1 / sqrt(var + eps) of each channel. */
static batchnorm_tensor saved_like(const struct run_layer *layer) {
    const int64_t shape[2] = {2, (int64_t)layer->shape.channels};
    return batchnorm_tensor_contiguous(NULL, BATCHNORM_F64, 2, shape);
}

/* forward and infer: x, weight, bias, running_mean, running_var, then numbers. */
static void run_op(shim_value *stack, bool frozen, double momentum, double eps) {
    struct run_layer layer = {.momentum = momentum, .eps = eps, .frozen = frozen};
    shim_tensor results[2] = {0};
    const char *error = unfit;
    if (read_tensor(stack[0], &layer.x) && read_tensor(stack[1], &layer.weight) && read_tensor(stack[2], &layer.bias) &&
        read_tensor(stack[3], &layer.running_mean) && read_tensor(stack[4], &layer.running_var) && run_check(&layer)) {
        batchnorm_tensor y = layout_like(&layer.x), saved = saved_like(&layer);
        results[0] = new_tensor(&y);
        results[1] = new_tensor(&saved);
        error = results[0] && results[1] ? status_text(run_forward(&layer, &y, saved.data)) : "batchnorm: no memory";
    }
    leave(stack, 5, error, results, 2);
}

static void forward_op(shim_value *stack, uint64_t inputs, uint64_t outputs) {
    (void)inputs, (void)outputs;
    run_op(stack, false, read_double(stack[5]), read_double(stack[6]));
}

static void infer_op(shim_value *stack, uint64_t inputs, uint64_t outputs) {
    (void)inputs, (void)outputs;
    run_op(stack, true, 0, read_double(stack[5]));
}

/* dy, x, weight, bias, saved, frozen. */
static void backward_op(shim_value *stack, uint64_t inputs, uint64_t outputs) {
    (void)inputs, (void)outputs;
    struct run_layer layer = {.eps = 1, .backward = true, .frozen = (stack[5] & 1) != 0};
    struct run_gradients gradients = {0};
    batchnorm_tensor saved;
    shim_tensor results[3] = {0};
    const char *error = unfit;
    if (read_tensor(stack[0], &gradients.dy) && read_tensor(stack[1], &layer.x) && read_tensor(stack[2], &layer.weight) &&
        read_tensor(stack[3], &layer.bias) && read_tensor(stack[4], &saved) && run_check(&layer) &&
        run_fits(&layer, &gradients.dy) && saved.dtype == BATCHNORM_F64 && batchnorm_tensor_is_contiguous(&saved) &&
        (size_t)batchnorm_tensor_elements(&saved) == 2 * layer.shape.channels) {
        const int64_t channels = (int64_t)layer.shape.channels;
        gradients.dx = layout_like(&layer.x);
        gradients.dweight = gradients.dbias = batchnorm_tensor_contiguous(NULL, layer.parameters, 1, &channels);
        results[0] = new_tensor(&gradients.dx);
        results[1] = new_tensor(&gradients.dweight);
        results[2] = new_tensor(&gradients.dbias);
        error = results[0] && results[1] && results[2] ? status_text(run_backward(&layer, saved.data, &gradients))
                                                       : "batchnorm: no memory";
    }
    leave(stack, 5, error, results, 3);
}

static const struct {
    const char *name, *schema;
    shim_operator *op;
} operators[] = {
    {"forward",
     "forward(Tensor x, Tensor weight, Tensor bias, Tensor(a!) running_mean, Tensor(b!) running_var, float momentum, float "
     "eps) -> (Tensor, Tensor)",
     forward_op},
    {"infer",
     "infer(Tensor x, Tensor weight, Tensor bias, Tensor running_mean, Tensor running_var, float eps) -> (Tensor, Tensor)",
     infer_op},
    {"backward",
     "backward(Tensor dy, Tensor x, Tensor weight, Tensor bias, Tensor saved, bool frozen) -> (Tensor, Tensor, Tensor)",
     backward_op},
};

const char *operators_register(void) {
    static shim_library definitions, implementations; /* for as long as the process lives */
    if (shim.aoti_torch_library_init_def("batchnorm", __FILE__, __LINE__, &definitions) != 0 ||
        shim.aoti_torch_library_init_impl("batchnorm", "CPU", __FILE__, __LINE__, &implementations) != 0)
        return "the namespace batchnorm";
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (shim.aoti_torch_library_def(definitions, operators[i].schema) != 0 ||
            shim.torch_library_impl(implementations, operators[i].name, operators[i].op, SHIM_VERSION) != 0)
            return operators[i].name;
    return NULL;
}
