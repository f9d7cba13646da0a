/* SPDX-License-Identifier: MIT */
/* PyTorch's stable interface for C, as far as it is used here. It is declared here and looked up when the module is loaded, so
 * that the package is built without PyTorch, and one build serves every version of it from 2.10 on. */
#ifndef BN_TORCH_SHIM_H
#define BN_TORCH_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version whose operators are called by those who are registered here: 2.10.0, as their headers encode it. */
#define SHIM_VERSION ((UINT64_C(2) << 56) | (UINT64_C(10) << 48))

/* A tensor, a library of operators; owned by who holds the handle. */
typedef struct shim_tensor_object *shim_tensor;
typedef struct shim_library_object *shim_library;

/* An argument or a result of an operator: a number or a handle. */
typedef uint64_t shim_value;

typedef void shim_operator(shim_value *stack, uint64_t inputs, uint64_t outputs);
typedef void shim_range(int64_t begin, int64_t end, void *arg);

/* X(result, name, arguments). Those that return int32_t return 0, or an error; but a dtype returns itself. */
#define SHIM_LIST(X)                                                                                                           \
    X(int32_t, aoti_torch_dtype_float32, (void))                                                                               \
    X(int32_t, aoti_torch_dtype_float64, (void))                                                                               \
    X(int32_t, aoti_torch_dtype_bfloat16, (void))                                                                              \
    X(int32_t, aoti_torch_dtype_float16, (void))                                                                               \
    X(int32_t, aoti_torch_device_type_cpu, (void))                                                                             \
    X(bool, aoti_torch_grad_mode_is_enabled, (void))                                                                           \
    X(int32_t, aoti_torch_get_dim, (shim_tensor tensor, int64_t * rank))                                                       \
    X(int32_t, aoti_torch_get_dtype, (shim_tensor tensor, int32_t * dtype))                                                    \
    X(int32_t, aoti_torch_get_sizes, (shim_tensor tensor, int64_t * *sizes))                                                   \
    X(int32_t, aoti_torch_get_strides, (shim_tensor tensor, int64_t * *strides))                                               \
    X(int32_t, aoti_torch_delete_tensor_object, (shim_tensor tensor))                                                          \
    X(int32_t, aoti_torch_empty_strided,                                                                                       \
      (int64_t rank, const int64_t *sizes, const int64_t *strides, int32_t dtype, int32_t device, int32_t index,               \
       shim_tensor *tensor))                                                                                                   \
    X(int32_t, torch_get_mutable_data_ptr, (shim_tensor tensor, void **data))                                                  \
    X(int32_t, torch_parallel_for, (int64_t begin, int64_t end, int64_t grain, shim_range * range, void *arg))                 \
    X(int32_t, torch_get_num_threads, (uint32_t * threads))                                                                    \
    X(int32_t, aoti_torch_library_init_def, (const char *space, const char *file, uint32_t line, shim_library *library))       \
    X(int32_t, aoti_torch_library_init_impl,                                                                                   \
      (const char *space, const char *key, const char *file, uint32_t line, shim_library *library))                            \
    X(int32_t, aoti_torch_library_def, (shim_library library, const char *schema))                                             \
    X(int32_t, torch_library_impl, (shim_library library, const char *name, shim_operator *op, uint64_t version))              \
    X(void, aoti_torch_check, (bool holds, const char *function, const char *file, uint32_t line, const char *message))

/* Those that later versions have; NULL otherwise. */
#define SHIM_OPTIONAL_LIST(X) X(int32_t, torch_tensor_to_pyobject, (shim_tensor tensor, void *type, void **object))

extern struct shim {
#define SHIM_MEMBER(result, name, arguments) result(*name) arguments;
    SHIM_LIST(SHIM_MEMBER)
    SHIM_OPTIONAL_LIST(SHIM_MEMBER)
#undef SHIM_MEMBER
} shim;

/* Finds them in the PyTorch that is loaded. Returns NULL, or what was not found. */
const char *shim_load(void);

#endif
