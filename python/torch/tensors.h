/* SPDX-License-Identifier: MIT */
/* PyTorch's tensors as Python objects: what is in them, new ones, and whether anything watches that must see the operations on
 * them. */
#ifndef BN_TORCH_TENSORS_H
#define BN_TORCH_TENSORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "batchnorm/tensor.h"
#include "shim.h"

/* Takes what the functions need from PyTorch: (torch.Tensor, torch.nn.Parameter, torch.empty_strided, dtypes of F32, F64, BF16
 * and F16, functions that return something true while a mode, a transform or a trace is active, the dictionary of
 * torch.autograd.forward_ad). False with an exception. */
bool tensors_begin(PyObject *arguments);

/* Whether operations on plain tensors need not be told to anybody: no mode, no transform, no trace, no forward derivative. -1
 * with an exception. */
int tensors_unwatched(void);

/* 1 and a view of a plain tensor of the CPU, or one without data for None; 0 for anything else. */
int tensors_read(PyObject *object, batchnorm_tensor *tensor);

/* The same for an input, whose elements may be stored with the other sign. */
int tensors_read_input(PyObject *object, batchnorm_tensor *tensor);

/* A new tensor of the sizes, strides and type of `tensor`, whose data is set; NULL with an exception. */
PyObject *tensors_new(batchnorm_tensor *tensor);

/* The number by which PyTorch's interface knows a type, and back; false for a type that is none of ours. */
int32_t tensors_shim_dtype(batchnorm_dtype dtype);
bool tensors_dtype(int32_t number, batchnorm_dtype *dtype);

/* Whether gradients are asked for; false for None. */
bool tensors_requires_grad(PyObject *object);

/* Whether it was made in torch.inference_mode(); false for None. */
bool tensors_is_inference(PyObject *object);

/* Whether that mode is on. */
bool tensors_inference_mode(void);

#endif
