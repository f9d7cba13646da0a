/* SPDX-License-Identifier: MIT */
/* Every layer of nn/ against finite differences in double. One program for each backend. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn_support.h"
#include "tests/support/test.h"

/* A layer with random inputs and a random gradient of its output: the loss is sum(dy * y). z is NULL for layers with one
 * input. */
struct bench {
    nn_layer *layer;
    size_t n, in, out;
    float *x, *z, *y, *dy, *dx, *dz;
    double *reference_x, *reference_z, *reference_y;
};

static float *nans(size_t count) {
    float *floats = nn_floats(count);
    for (size_t i = 0; i < count; i++) floats[i] = NAN; /* every element must be written */
    return floats;
}

static float *filled(size_t count, nn_rng *rng, double **reference) {
    float *floats = nn_floats(count);
    fill(floats, count, rng);
    *reference = calloc(count, sizeof **reference);
    for (size_t i = 0; i < count; i++) (*reference)[i] = (double)floats[i];
    return floats;
}

static struct bench bench_begin(nn_layer *layer, size_t n, bool two, nn_rng *rng) {
    const size_t in = n * nn_shape_size(layer->in), out = n * nn_shape_size(layer->out);
    struct bench b = {.layer = layer, .n = n, .in = in, .out = out, .y = nans(out), .dy = nn_floats(out), .dx = nans(in)};
    b.x = filled(in, rng, &b.reference_x);
    if (two) b.z = filled(out, rng, &b.reference_z), b.dz = nans(out);
    b.reference_y = calloc(out, sizeof(double));
    fill(b.dy, out, rng);
    return b;
}

static void bench_end(struct bench *b) {
    b->layer->kind->destroy(b->layer);
    float *const floats[] = {b->x, b->z, b->y, b->dy, b->dx, b->dz};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) free(floats[i]);
    free(b->reference_x);
    free(b->reference_z);
    free(b->reference_y);
}

static void bench_run(struct bench *b, const nn_arrays *a) {
    assert_null(b->layer->kind->forward(b->layer, b->n, a));
    assert_null(b->layer->kind->backward(b->layer, b->n, a));
}

static nn_arrays arrays_of(const struct bench *b) {
    return (nn_arrays){.x = b->x, .z = b->z, .y = b->y, .dy = b->dy, .dx = b->dx, .dz = b->dz};
}

static double bench_loss(struct bench *b, struct nudge nudge) {
    double loss = 0;
    reference_forward(b->layer, b->n, b->reference_x, b->reference_z, b->reference_y, nudge);
    for (size_t i = 0; i < b->out; i++) loss += (double)b->dy[i] * b->reference_y[i];
    return loss;
}

static double slope_of_value(struct bench *b, double *value, double step) {
    const double old = *value;
    *value = old + step;
    const double up = bench_loss(b, no_nudge);
    *value = old - step;
    const double down = bench_loss(b, no_nudge);
    *value = old;
    return (up - down) / (2 * step);
}

static double slope_of_parameter(struct bench *b, int which, size_t index, double step) {
    const double up = bench_loss(b, (struct nudge){which, index, step});
    const double down = bench_loss(b, (struct nudge){which, index, -step});
    return (up - down) / (2 * step);
}

static void check_gradients(struct bench *b) {
    const double step = 1e-5;
    for (size_t i = 0; i < b->in; i += sample_stride(b->in)) {
        assert_near((double)b->dx[i], slope_of_value(b, &b->reference_x[i], step));
    }
    for (size_t i = 0; b->z && i < b->out; i += sample_stride(b->out)) {
        assert_near((double)b->dz[i], slope_of_value(b, &b->reference_z[i], step));
    }
    for (size_t p = 0; p < b->layer->parameter_count; p++) {
        const nn_parameter *parameter = &b->layer->parameters[p];
        for (size_t i = 0; i < parameter->count; i += sample_stride(parameter->count)) {
            const double slope = parameter->frozen ? 0 : slope_of_parameter(b, (int)p, i, step);
            assert_near((double)parameter->grad[i], slope);
        }
    }
}

/* The same with every array that the layer allows to be shared, and what it does not read spoilt between the two passes. */
static void check_shared(struct bench *b) {
    const nn_uses uses = b->layer->uses;
    const size_t in = b->in * sizeof(float), out = b->out * sizeof(float);
    float *x = nn_floats(b->in), *z = b->z ? nn_floats(b->out) : NULL, *y = nn_floats(b->out), *dy = nn_floats(b->out);
    nn_arrays a = {.x = x, .z = z, .y = uses.y_may_be_x ? x : z && uses.y_may_be_z ? z : y, .dy = dy, .dx = nans(b->in)};
    float *const dx = a.dx;
    memcpy(x, b->x, in);
    if (z) memcpy(z, b->z, out);
    memcpy(dy, b->dy, out);
    assert_null(b->layer->kind->forward(b->layer, b->n, &a));
    assert_memory_equal(a.y, b->y, out);
    if (!uses.reads_x && a.y != x) memset(x, 0xff, in);
    if (z && !uses.reads_z && a.y != z) memset(z, 0xff, out);
    if (!uses.reads_y) memset(a.y, 0xff, out);
    if (uses.dx_may_be_x) a.dx = x;
    if (uses.dx_may_be_dy) a.dx = dy;
    a.dz = !z ? NULL : uses.dz_may_be_dy ? dy : nans(b->out);
    assert_null(b->layer->kind->backward(b->layer, b->n, &a));
    assert_memory_equal(a.dx, b->dx, in);
    if (z) assert_memory_equal(a.dz, b->dz, out);
    if (a.dz != dy) free(a.dz);
    float *const floats[] = {x, z, y, dy, dx};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) free(floats[i]);
}

/* Takes the layer. Runs it twice: what the first left behind must not matter. */
static void check_layer_of(nn_layer *layer, nn_error error, size_t n, bool two) {
    nn_rng rng = nn_rng_create(7, n);
    assert_null(error);
    struct bench b = bench_begin(layer, n, two, &rng);
    const nn_arrays a = arrays_of(&b);
    for (size_t i = 0; layer->parameter_count > 0 && layer->parameters[0].norm && i < layer->in.channels; i++) {
        layer->parameters[0].value[i] = 0.5f + (float)i / 4; /* batch norm begins with 1 and 0 */
        layer->parameters[1].value[i] = 0.25f - (float)i / 8;
    }
    bench_run(&b, &a);
    bench_run(&b, &a);
    reference_forward(layer, n, b.reference_x, b.reference_z, b.reference_y, no_nudge);
    for (size_t i = 0; i < b.out; i++) assert_near((double)b.y[i], b.reference_y[i]);
    check_gradients(&b);
    check_shared(&b);
    bench_end(&b);
}

static void check_layer(nn_layer *layer, nn_error error, size_t n) { check_layer_of(layer, error, n, false); }

static void check_conv(size_t n, nn_shape in, size_t channels, size_t kernel, size_t stride, bool bias) {
    nn_rng rng = nn_rng_create(1, 1);
    nn_layer *layer = NULL;
    const nn_conv_options options = {channels, kernel, stride, bias};
    const nn_error error = nn_layer_conv(backend, &rng, in, &options, &layer);
    check_layer(layer, error, n);
}

TEST(conv_gradients_equal_finite_differences) {
    for (size_t kernel = 1; kernel <= 3; kernel += 2) {
        for (size_t stride = 1; stride <= 2; stride++) {
            check_conv(3, (nn_shape){5, 6, 3}, 4, kernel, stride, true);
            check_conv(2, (nn_shape){6, 5, 16}, 16, kernel, stride, false);
            check_conv(1, (nn_shape){1, 1, 1}, 1, kernel, stride, true);
            check_conv(17, (nn_shape){2, 3, 2}, 3, kernel, stride, false);
        }
    }
}

/* A prepared convolution is for one batch size; five sizes in turn are more than a layer keeps. */
TEST(conv_serves_any_batch_size) {
    static const size_t sizes[] = {5, 2, 1, 4, 3, 5, 2};
    const nn_shape in = {4, 4, 2};
    nn_rng rng = nn_rng_create(1, 3);
    nn_layer *layer = NULL;
    const nn_conv_options options = {.channels = 3, .kernel = 3, .stride = 1, .bias = true};
    assert_null(nn_layer_conv(backend, &rng, in, &options, &layer));
    struct bench all = bench_begin(layer, 5, false, &rng);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct bench some = all;
        const nn_arrays a = arrays_of(&all);
        some.n = sizes[i];
        some.in = some.n * nn_shape_size(in);
        some.out = some.n * nn_shape_size(layer->out);
        bench_run(&some, &a);
        check_gradients(&some);
    }
    bench_end(&all);
}

TEST(conv_at_the_trainers_sizes) {
    check_conv(2, (nn_shape){28, 28, 1}, 32, 3, 1, true);
    check_conv(2, (nn_shape){14, 14, 32}, 64, 3, 1, false);
    check_conv(2, (nn_shape){16, 16, 16}, 32, 3, 2, false);
    check_conv(2, (nn_shape){16, 16, 32}, 64, 1, 2, false);
    check_conv(2, (nn_shape){32, 32, 3}, 16, 3, 1, false);
}

TEST(linear_gradients_equal_finite_differences) {
    nn_rng rng = nn_rng_create(1, 2);
    nn_layer *layer = NULL;
    nn_error error = nn_layer_linear(backend, &rng, (nn_shape){2, 1, 4}, 5, true, &layer);
    check_layer(layer, error, 3);
    error = nn_layer_linear(backend, &rng, (nn_shape){1, 1, 130}, 70, false, &layer);
    check_layer(layer, error, 37);
}

TEST(pool_gradients_equal_finite_differences) {
    nn_layer *layer = NULL;
    nn_error error = nn_layer_max_pool((nn_shape){4, 6, 19}, 2, &layer);
    check_layer(layer, error, 2);
    error = nn_layer_max_pool((nn_shape){5, 7, 3}, 3, &layer); /* an odd last row and column get gradient 0 */
    check_layer(layer, error, 3);
    error = nn_layer_global_average_pool((nn_shape){3, 5, 7}, &layer);
    check_layer(layer, error, 3);
}

TEST(activation_gradients_equal_finite_differences) {
    for (int activation = NN_IDENTITY; activation <= NN_TANH; activation++) {
        nn_layer *layer = NULL;
        const nn_error error = nn_layer_activation((nn_shape){3, 3, 5}, (nn_activation)activation, &layer);
        check_layer(layer, error, 4);
    }
}

TEST(add_gradients_equal_finite_differences) {
    nn_layer *layer = NULL;
    const nn_error error = nn_layer_add((nn_shape){3, 3, 5}, &layer);
    check_layer_of(layer, error, 4, true);
}

TEST(batch_norm_gradients_equal_finite_differences) {
    for (int which = 0; which < 4 * NN_TANH; which++) {
        const nn_batch_norm_options options = {
            .activation = (nn_activation)(which / 4), .residual = which & 1, .frozen = which & 2, .threads = NN_TEST_THREADS};
        nn_layer *layer = NULL;
        nn_error error = nn_layer_batch_norm((nn_shape){4, 3, 5}, &options, &layer);
        check_layer_of(layer, error, 3, options.residual);
        error = nn_layer_batch_norm((nn_shape){1, 1, 6}, &options, &layer);
        check_layer_of(layer, error, 8, options.residual);
    }
}

/* A diverged network must show it, and not turn NaN into 0 on the way. */
TEST(nan_passes) {
    const nn_shape shape = {2, 2, 1};
    const float x[] = {1, NAN, 2, 3};
    float y[4];
    const nn_arrays a = {.x = x, .y = y};
    nn_layer *relu = NULL, *pool = NULL;
    assert_null(nn_layer_activation(shape, NN_RELU, &relu));
    assert_null(nn_layer_max_pool(shape, 1, &pool));
    assert_null(relu->kind->forward(relu, 1, &a));
    assert_true(isnan(y[1]) && y[0] == 1);
    assert_null(pool->kind->forward(pool, 1, &a));
    assert_true(isnan(y[0]));
    relu->kind->destroy(relu);
    pool->kind->destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_gradients_equal_finite_differences),
        cmocka_unit_test(conv_serves_any_batch_size),
        cmocka_unit_test(conv_at_the_trainers_sizes),
        cmocka_unit_test(linear_gradients_equal_finite_differences),
        cmocka_unit_test(pool_gradients_equal_finite_differences),
        cmocka_unit_test(activation_gradients_equal_finite_differences),
        cmocka_unit_test(add_gradients_equal_finite_differences),
        cmocka_unit_test(batch_norm_gradients_equal_finite_differences),
        cmocka_unit_test(nan_passes),
    };
    return cmocka_run_group_tests_name("nn.layers", tests, open_backend, close_backend);
}
