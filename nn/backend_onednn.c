/* SPDX-License-Identifier: MIT */
/* Convolution by oneDNN's primitives, matrix product by its sgemm.
 *
 * x and y stay channels last. For the weights oneDNN chooses a layout of its own in each of the three passes ("any"); they are
 * small, so a reorder on the way in or out costs far less than the faster convolution saves.
 */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>

#include "machine.h"
#include "onednn_compat.h"

struct nn_backend {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

/* One of the three passes, made at its first use. */
struct pass {
    dnnl_primitive_t conv;
    dnnl_primitive_t reorder; /* between our weights and oneDNN's; NULL when both lie the same way */
    dnnl_memory_t x, y, bias; /* handles without memory: each call lends the caller's */
    dnnl_memory_t weight;     /* our layout, likewise */
    dnnl_memory_t packed;     /* oneDNN's layout, its own memory; NULL without reorder */
};

struct nn_conv {
    nn_backend *backend;
    nn_conv_shape shape;
    onednn_desc x, y, weight, bias, any; /* any: the weights, layout left to oneDNN */
    dnnl_primitive_desc_t hint;          /* the forward's; the backward passes ask for it */
    struct pass passes[3];
};

static nn_error check(dnnl_status_t status) {
    switch (status) {
    case dnnl_success:
        return NULL;
    case dnnl_out_of_memory:
        return "oneDNN ran out of memory";
    case dnnl_unimplemented:
        return "oneDNN has no such convolution for this processor";
    case dnnl_invalid_arguments:
        return "oneDNN refused the sizes of a convolution or matrix product";
    default:
        return "oneDNN failed";
    }
}

const char *nn_backend_name(void) {
    static char name[32];
    const dnnl_version_t *version = dnnl_version();
    snprintf(name, sizeof name, "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
    return name;
}

nn_error nn_backend_create(int threads, nn_backend **backend) {
    nn_set_threads(threads); /* oneDNN runs on the same OpenMP threads as we do */
    *backend = calloc(1, sizeof **backend);
    if (!*backend) return NN_NO_MEMORY;
    dnnl_status_t status = dnnl_engine_create(&(*backend)->engine, dnnl_cpu, 0);
    if (status == dnnl_success) {
        status = dnnl_stream_create(&(*backend)->stream, (*backend)->engine, dnnl_stream_default_flags);
    }
    if (status != dnnl_success) {
        nn_backend_destroy(*backend);
        *backend = NULL;
    }
    return check(status);
}

void nn_backend_destroy(nn_backend *backend) {
    if (!backend) return;
    dnnl_stream_destroy(backend->stream);
    dnnl_engine_destroy(backend->engine);
    free(backend);
}

static dnnl_status_t describe(nn_conv *conv, const nn_conv_shape *s) {
    const dnnl_dim_t n = (dnnl_dim_t)s->batch, h = (dnnl_dim_t)s->height, w = (dnnl_dim_t)s->width;
    const dnnl_dim_t in = (dnnl_dim_t)s->in, out = (dnnl_dim_t)s->out;
    const dnnl_dim_t out_h = (dnnl_dim_t)nn_conv_out_height(s), out_w = (dnnl_dim_t)nn_conv_out_width(s);
    const dnnl_dim_t kernel = (dnnl_dim_t)s->kernel;
    const dnnl_dims_t x = {n, in, h, w}, y = {n, out, out_h, out_w}, weight = {out, in, kernel, kernel}, bias = {out};
    dnnl_status_t status = onednn_desc_create(&conv->x, 4, x, dnnl_nhwc);
    if (status == dnnl_success) status = onednn_desc_create(&conv->y, 4, y, dnnl_nhwc);
    if (status == dnnl_success) status = onednn_desc_create(&conv->weight, 4, weight, dnnl_ohwi);
    if (status == dnnl_success) status = onednn_desc_create(&conv->any, 4, weight, dnnl_format_tag_any);
    if (status == dnnl_success) status = onednn_desc_create(&conv->bias, 1, bias, dnnl_x);
    return status;
}

static dnnl_status_t make_desc(const nn_conv *conv, enum onednn_pass which, dnnl_primitive_desc_t *desc) {
    const nn_conv_shape *s = &conv->shape;
    const dnnl_dim_t step = (dnnl_dim_t)s->stride, around = (dnnl_dim_t)s->kernel / 2;
    const dnnl_dims_t stride = {step, step}, padding = {around, around};
    const onednn_conv_views views = {
        .x = onednn_desc_view(&conv->x),
        .weight = onednn_desc_view(&conv->any),
        .bias = conv->shape.bias ? onednn_desc_view(&conv->bias) : NULL,
        .y = onednn_desc_view(&conv->y),
    };
    return onednn_conv_desc(which, &views, stride, padding, conv->backend->engine, conv->hint, desc);
}

nn_error nn_conv_create(nn_backend *backend, const nn_conv_shape *shape, nn_conv **conv) {
    *conv = calloc(1, sizeof **conv);
    if (!*conv) return NN_NO_MEMORY;
    (*conv)->backend = backend;
    (*conv)->shape = *shape;
    dnnl_status_t status = describe(*conv, shape);
    if (status == dnnl_success) status = make_desc(*conv, ONEDNN_FORWARD, &(*conv)->hint);
    if (status != dnnl_success) {
        nn_conv_destroy(*conv);
        *conv = NULL;
    }
    return check(status);
}

static void destroy_memory(dnnl_memory_t memory) {
    if (memory) dnnl_memory_destroy(memory);
}

static void destroy_pass(struct pass *pass) {
    if (pass->conv) dnnl_primitive_destroy(pass->conv);
    if (pass->reorder) dnnl_primitive_destroy(pass->reorder);
    destroy_memory(pass->x);
    destroy_memory(pass->y);
    destroy_memory(pass->bias);
    destroy_memory(pass->weight);
    destroy_memory(pass->packed);
    *pass = (struct pass){0};
}

void nn_conv_destroy(nn_conv *conv) {
    if (!conv) return;
    for (int i = 0; i < 3; i++) destroy_pass(&conv->passes[i]);
    if (conv->hint) dnnl_primitive_desc_destroy(conv->hint);
    onednn_desc_destroy(&conv->x);
    onednn_desc_destroy(&conv->y);
    onednn_desc_destroy(&conv->weight);
    onednn_desc_destroy(&conv->any);
    onednn_desc_destroy(&conv->bias);
    free(conv);
}

static dnnl_status_t make_lent(const nn_conv *conv, const onednn_desc *desc, dnnl_memory_t *memory) {
    return dnnl_memory_create(memory, onednn_desc_view(desc), conv->backend->engine, DNNL_MEMORY_NONE);
}

/* The memory for the weights as `wanted` lays them out, and the reorder: in before a pass that reads them, out after the one
 * that writes them. */
static dnnl_status_t make_packed(const nn_conv *conv, onednn_view wanted, bool out, struct pass *pass) {
    const onednn_view ours = onednn_desc_view(&conv->weight);
    const dnnl_engine_t engine = conv->backend->engine;
    if (dnnl_memory_desc_equal(wanted, ours)) return dnnl_success;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t status = dnnl_memory_create(&pass->packed, wanted, engine, DNNL_MEMORY_ALLOCATE);
    if (status == dnnl_success) {
        status = dnnl_reorder_primitive_desc_create(&desc, out ? wanted : ours, engine, out ? ours : wanted, engine, NULL);
    }
    if (status == dnnl_success) status = dnnl_primitive_create(&pass->reorder, desc);
    if (desc) dnnl_primitive_desc_destroy(desc);
    return status;
}

static dnnl_status_t fill_pass(const nn_conv *conv, enum onednn_pass which, const_dnnl_primitive_desc_t desc,
                               struct pass *pass) {
    const bool out = which == ONEDNN_BACKWARD_WEIGHTS;
    const dnnl_query_t query = out ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
    dnnl_status_t status = dnnl_primitive_create(&pass->conv, desc);
    if (status == dnnl_success) status = make_lent(conv, &conv->x, &pass->x);
    if (status == dnnl_success) status = make_lent(conv, &conv->y, &pass->y);
    if (status == dnnl_success) status = make_lent(conv, &conv->weight, &pass->weight);
    if (status == dnnl_success && conv->shape.bias) status = make_lent(conv, &conv->bias, &pass->bias);
    if (status == dnnl_success) status = make_packed(conv, dnnl_primitive_desc_query_md(desc, query, 0), out, pass);
    return status;
}

static nn_error get_pass(nn_conv *conv, enum onednn_pass which, struct pass **pass) {
    *pass = &conv->passes[which];
    if ((*pass)->conv) return NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t status = make_desc(conv, which, &desc);
    if (status == dnnl_success) status = fill_pass(conv, which, desc, *pass);
    if (desc) dnnl_primitive_desc_destroy(desc);
    if (status != dnnl_success) destroy_pass(*pass);
    return check(status);
}

/* oneDNN's handles are not const, also where it only reads. */
static dnnl_status_t lend(dnnl_memory_t memory, const float *data) {
    return memory ? dnnl_memory_set_data_handle(memory, (void *)data) : dnnl_success;
}

static dnnl_status_t lend_all(struct pass *pass, const float *x, const float *weight, const float *bias, const float *y) {
    dnnl_status_t status = lend(pass->x, x);
    if (status == dnnl_success) status = lend(pass->weight, weight);
    if (status == dnnl_success) status = lend(pass->bias, bias);
    return status == dnnl_success ? lend(pass->y, y) : status;
}

static dnnl_status_t reorder(const nn_conv *conv, const struct pass *pass, bool out) {
    if (!pass->reorder) return dnnl_success;
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_FROM, out ? pass->packed : pass->weight},
        {DNNL_ARG_TO, out ? pass->weight : pass->packed},
    };
    return dnnl_primitive_execute(pass->reorder, conv->backend->stream, 2, args);
}

/* args: the numbers under which this pass knows x, weight, y and bias; bias comes last because not every pass has one. */
static nn_error run(const nn_conv *conv, const struct pass *pass, const int args[4], bool writes_weight, bool with_bias) {
    const dnnl_stream_t stream = conv->backend->stream;
    const dnnl_exec_arg_t list[] = {
        {args[0], pass->x},
        {args[1], pass->packed ? pass->packed : pass->weight},
        {args[2], pass->y},
        {args[3], pass->bias},
    };
    dnnl_status_t status = writes_weight ? dnnl_success : reorder(conv, pass, false);
    if (status == dnnl_success) status = dnnl_primitive_execute(pass->conv, stream, with_bias ? 4 : 3, list);
    if (status == dnnl_success && writes_weight) status = reorder(conv, pass, true);
    if (status == dnnl_success) status = dnnl_stream_wait(stream);
    return check(status);
}

nn_error nn_conv_forward(nn_conv *conv, const float *x, const float *weight, const float *bias, float *y) {
    static const int args[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS};
    struct pass *pass;
    nn_error error = get_pass(conv, ONEDNN_FORWARD, &pass);
    if (!error) error = check(lend_all(pass, x, weight, bias, y));
    return error ? error : run(conv, pass, args, false, conv->shape.bias);
}

nn_error nn_conv_backward_data(nn_conv *conv, const float *dy, const float *weight, float *dx) {
    static const int args[] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0};
    struct pass *pass;
    nn_error error = get_pass(conv, ONEDNN_BACKWARD_DATA, &pass);
    if (!error) error = check(lend_all(pass, dx, weight, NULL, dy));
    return error ? error : run(conv, pass, args, false, false);
}

nn_error nn_conv_backward_weights(nn_conv *conv, const float *x, const float *dy, float *dweight, float *dbias) {
    static const int args[] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_BIAS};
    struct pass *pass;
    nn_error error = get_pass(conv, ONEDNN_BACKWARD_WEIGHTS, &pass);
    if (!error) error = check(lend_all(pass, x, dweight, dbias, dy));
    return error ? error : run(conv, pass, args, true, conv->shape.bias);
}

nn_error nn_gemm(nn_backend *backend, bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const float *a,
                 const float *b, float beta, float *c) {
    (void)backend;
    return check(dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k, 1.0f,
                            a, (dnnl_dim_t)(transpose_a ? m : k), b, (dnnl_dim_t)(transpose_b ? k : n), beta, c,
                            (dnnl_dim_t)n));
}
