/* SPDX-License-Identifier: MIT */
/* What differs between oneDNN 2.x and 3.x for a convolution, and nothing else.
 *
 * 2.x: a memory descriptor is a struct of the caller, and a primitive descriptor is made from an operation descriptor.
 * 3.x: a memory descriptor is a handle that must be destroyed, and a primitive descriptor is made in one call.
 * Every call that only reads a memory descriptor looks the same in both once its type has one name: onednn_view.
 */
#ifndef NN_ONEDNN_COMPAT_H
#define NN_ONEDNN_COMPAT_H

#include <oneapi/dnnl/dnnl.h>

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t onednn_view;
#else
typedef const dnnl_memory_desc_t *onednn_view;
#endif

typedef struct onednn_desc {
    dnnl_memory_desc_t md;
} onednn_desc;

/* The memory descriptors of one convolution; bias is NULL where there is none. */
typedef struct onednn_conv_views {
    onednn_view x, weight, bias, y;
} onednn_conv_views;

enum onednn_pass { ONEDNN_FORWARD, ONEDNN_BACKWARD_DATA, ONEDNN_BACKWARD_WEIGHTS };

#if DNNL_VERSION_MAJOR >= 3

static inline onednn_view onednn_desc_view(const onednn_desc *desc) { return desc->md; }

static inline dnnl_status_t onednn_desc_create(onednn_desc *desc, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag) {
    return dnnl_memory_desc_create_with_tag(&desc->md, rank, dims, dnnl_f32, tag);
}

static inline void onednn_desc_destroy(onednn_desc *desc) {
    if (desc->md) dnnl_memory_desc_destroy(desc->md);
    desc->md = NULL;
}

static inline dnnl_status_t onednn_conv_desc(enum onednn_pass pass, const onednn_conv_views *v, const dnnl_dims_t stride,
                                             const dnnl_dims_t pad, dnnl_engine_t engine, const_dnnl_primitive_desc_t hint,
                                             dnnl_primitive_desc_t *result) {
    const dnnl_dims_t dense = {0, 0};
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
    switch (pass) {
    case ONEDNN_FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(result, engine, dnnl_forward_training, direct, v->x, v->weight,
                                                              v->bias, v->y, stride, dense, pad, pad, NULL);
    case ONEDNN_BACKWARD_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(result, engine, direct, v->x, v->weight, v->y, stride,
                                                                    dense, pad, pad, hint, NULL);
    default:
        return dnnl_convolution_backward_weights_primitive_desc_create(result, engine, direct, v->x, v->weight, v->bias, v->y,
                                                                       stride, dense, pad, pad, hint, NULL);
    }
}

#else

static inline onednn_view onednn_desc_view(const onednn_desc *desc) { return &desc->md; }

static inline dnnl_status_t onednn_desc_create(onednn_desc *desc, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag) {
    return dnnl_memory_desc_init_by_tag(&desc->md, rank, dims, dnnl_f32, tag);
}

static inline void onednn_desc_destroy(onednn_desc *desc) { (void)desc; }

static inline dnnl_status_t onednn_conv_desc(enum onednn_pass pass, const onednn_conv_views *v, const dnnl_dims_t stride,
                                             const dnnl_dims_t pad, dnnl_engine_t engine, const_dnnl_primitive_desc_t hint,
                                             dnnl_primitive_desc_t *result) {
    dnnl_convolution_desc_t op;
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
    dnnl_status_t status;
    if (pass == ONEDNN_FORWARD) {
        status = dnnl_convolution_forward_desc_init(&op, dnnl_forward_training, direct, v->x, v->weight, v->bias, v->y, stride,
                                                    pad, pad);
    } else if (pass == ONEDNN_BACKWARD_DATA) {
        status = dnnl_convolution_backward_data_desc_init(&op, direct, v->x, v->weight, v->y, stride, pad, pad);
    } else {
        status = dnnl_convolution_backward_weights_desc_init(&op, direct, v->x, v->weight, v->bias, v->y, stride, pad, pad);
    }
    return status == dnnl_success ? dnnl_primitive_desc_create(result, &op, NULL, engine, hint) : status;
}

#endif
#endif
