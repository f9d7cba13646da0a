/* SPDX-License-Identifier: MIT */
/* Layers with a mask give the bits of raw calls with the same one, in one to three dimensions, in either mode and layout; and
 * what does not fit is refused. */
#include <string.h>

#include "batchnorm/layer.h"
#include "tests/support/support.h"
#include "tests/support/test.h"

enum { N = 4, C = 5, MOST = 60, ALL = N * C * MOST };

/* The spatial sizes of (N, C, ...). */
static const int64_t sizes[4][6] = {{N, C, 11}, {N, C, 5, 7}, {N, C, 3, 4, 5}, {N, C}};
static const int ranks[4] = {3, 4, 5, 2};

struct arrays {
    float x[ALL], y[ALL], dy[ALL], dx[ALL];
};

/* A layer, the shape of its input, and which positions count: as bytes in row-major order. */
struct lesson {
    int rank, dims;
    size_t s;
    bool last, training;
    batchnorm_tensor x, y, dy, dx;
    uint8_t ones[N * MOST];
    struct arrays got, wanted;
    batchnorm_layer *layer;
};

static batchnorm_tensor view(const struct lesson *l, float *data, int i) {
    return l->last ? batchnorm_tensor_channels_last(data, BATCHNORM_F32, l->rank, sizes[i])
                   : batchnorm_tensor_contiguous(data, BATCHNORM_F32, l->rank, sizes[i]);
}

static void prepare(struct lesson *l, int i, bool last, bool training) {
    uint64_t seed = 5;
    memset(l, 0, sizeof *l);
    l->rank = ranks[i];
    l->dims = i < 3 ? i + 1 : 1;
    l->s = 1;
    for (int d = 2; d < l->rank; d++) l->s *= (size_t)sizes[i][d];
    l->last = last;
    l->training = training;
    for (int k = 0; k < ALL; k++) {
        l->got.x[k] = (float)random_normal(&seed) + 3;
        l->got.dy[k] = (float)random_normal(&seed);
    }
    l->wanted = l->got;
    l->x = view(l, l->got.x, i);
    l->y = view(l, l->got.y, i);
    l->dy = view(l, l->got.dy, i);
    l->dx = view(l, l->got.dx, i);
    const batchnorm_layer_options options = batchnorm_layer_defaults(l->dims, C);
    assert_int_equal(batchnorm_layer_create(&options, &l->layer), BATCHNORM_OK);
    keep(l->layer, (void (*)(void *))batchnorm_layer_destroy);
    if (!training) batchnorm_layer_eval(l->layer);
}

static void run_layer(struct lesson *l, batchnorm_tensor_mask mask) {
    const batchnorm_layer_forward_call forward = {.size = sizeof forward, .x = l->x, .y = l->y, .mask = mask};
    const batchnorm_layer_backward_call backward = {.size = sizeof backward, .x = l->x, .dy = l->dy, .dx = l->dx, .mask = mask};
    if (batchnorm_layer_forward_fused(l->layer, &forward, NULL)) fail_msg("%s", batchnorm_layer_message(l->layer));
    if (batchnorm_layer_backward_fused(l->layer, &backward, NULL)) fail_msg("%s", batchnorm_layer_message(l->layer));
}

/* The same by raw calls. Evaluation has no mask of its own: y is set to 0 by hand. */
static void run_raw(struct lesson *l, unsigned flags) {
    struct arrays *a = &l->wanted;
    const batchnorm_shape shape = {N, C, l->s, BATCHNORM_F32};
    const batchnorm_strides strides = l->last && l->rank > 2 ? batchnorm_channels_last(shape) : batchnorm_planar(shape);
    const batchnorm_mask mask = {.data = l->ones, .outer = (ptrdiff_t)l->s, .inner = 1, .flags = flags};
    float running[2][C] = {{0}, {1, 1, 1, 1, 1}}, given[2][C] = {{0}, {1, 1, 1, 1, 1}}, dweight[C], dbias[C];
    double save[2][C];
    const batchnorm_forward_call forward = {.size = sizeof forward,
                                            .shape = shape,
                                            .x = {a->x, strides},
                                            .y = {a->y, strides},
                                            .running_mean = running[0],
                                            .running_var = running[1],
                                            .save_mean = save[0],
                                            .save_rstd = save[1],
                                            .mask = mask};
    const batchnorm_infer_call infer = {.size = sizeof infer,
                                        .shape = shape,
                                        .x = {a->x, strides},
                                        .y = {a->y, strides},
                                        .mean = given[0],
                                        .var = given[1],
                                        .save_mean = save[0],
                                        .save_rstd = save[1]};
    assert_int_equal(l->training ? batchnorm_forward(&forward, NULL) : batchnorm_infer(&infer, NULL), BATCHNORM_OK);
    for (size_t i = 0; i < N * C * l->s && !l->training && flags; i++) {
        const size_t n = i / C / l->s, c = i / l->s % C, s = i % l->s;
        if (!l->ones[n * l->s + s])
            a->y[n * (size_t)strides.outer + c * (size_t)strides.channel + s * (size_t)strides.inner] = 0;
    }
    const batchnorm_backward_call backward = {.size = sizeof backward,
                                              .shape = shape,
                                              .x = {a->x, strides},
                                              .dy = {a->dy, strides},
                                              .dx = {a->dx, strides},
                                              .save_mean = save[0],
                                              .save_rstd = save[1],
                                              .dweight = dweight,
                                              .dbias = dbias,
                                              .flags = l->training ? 0 : BATCHNORM_FROZEN,
                                              .mask = mask};
    assert_int_equal(batchnorm_backward(&backward, NULL), BATCHNORM_OK);
    assert_memory_equal(&l->got, &l->wanted, sizeof l->got);
    assert_memory_equal(batchnorm_layer_running_mean(l->layer).data, running[0], sizeof running[0]);
    assert_memory_equal(batchnorm_layer_running_var(l->layer).data, running[1], sizeof running[1]);
    assert_memory_equal(batchnorm_layer_weight(l->layer)->grad.data, dweight, sizeof dweight);
    assert_memory_equal(batchnorm_layer_bias(l->layer)->grad.data, dbias, sizeof dbias);
}

/* Masks: dense; of the samples alone; of the last dimension alone; lengths of it. */
enum kind { DENSE, OF_SAMPLES, OF_THE_LAST, BY_LENGTH, KINDS };

static batchnorm_tensor_mask make_mask(struct lesson *l, enum kind kind, unsigned flags, uint8_t *bytes, size_t *lengths) {
    const size_t last = l->rank > 2 ? (size_t)l->x.shape[l->rank - 1] : 1;
    batchnorm_tensor_mask mask = batchnorm_tensor_mask_contiguous(bytes, &l->x, flags);
    uint64_t seed = 9;
    for (size_t i = 0; i < N * MOST; i++) bytes[i] = random_uniform(&seed) < .6 ? 0x80 : 0;
    bytes[0] = bytes[1] = bytes[2] = 1;
    for (size_t n = 0; n < N; n++) lengths[n] = n == 2 ? 0 : (last + n) / (n + 1);
    if (kind == OF_SAMPLES) mask = (batchnorm_tensor_mask){.data = bytes, .stride = {1}, .flags = flags};
    if (kind == OF_THE_LAST) {
        mask = (batchnorm_tensor_mask){.data = bytes, .flags = flags};
        if (l->rank > 2) mask.stride[l->rank - 2] = 1;
    }
    if (kind == BY_LENGTH) mask = (batchnorm_tensor_mask){.lengths = lengths, .flags = flags};
    for (size_t i = 0; i < N * l->s; i++) {
        const size_t n = i / l->s, at = i % last;
        const uint8_t byte = bytes[kind == OF_SAMPLES ? n : kind == OF_THE_LAST ? (l->rank > 2 ? at : 0) : i];
        l->ones[i] = kind == BY_LENGTH ? at < lengths[n] : byte != 0;
    }
    return mask;
}

TEST(bits_are_those_of_the_raw_calls) {
    static struct lesson l;
    uint8_t bytes[N * MOST];
    size_t lengths[N];
    for (int i = 0; i < 4; i++)
        for (int way = 0; way < 8 * KINDS; way++) {
            const unsigned flags = way & 1;
            prepare(&l, i, (way & 2) != 0, (way & 4) != 0);
            run_layer(&l, make_mask(&l, (enum kind)(way / 8), flags, bytes, lengths));
            run_raw(&l, flags);
            let_go(NULL);
        }
}

static void refuse_forward(struct lesson *l, batchnorm_tensor_mask mask, batchnorm_status status, const char *words) {
    const batchnorm_layer_forward_call call = {.size = sizeof call, .x = l->x, .y = l->y, .mask = mask};
    assert_int_equal(batchnorm_layer_forward_fused(l->layer, &call, NULL), status);
    assert_string_equal(batchnorm_layer_message(l->layer), words);
    assert_int_equal(*batchnorm_layer_num_batches_tracked(l->layer), 0);
}

TEST(what_does_not_fit_is_refused) {
    static struct lesson l;
    uint8_t bytes[N * MOST] = {0};
    size_t lengths[N] = {0, 0, 8, 0};
    prepare(&l, 1, false, true);
    refuse_forward(&l, (batchnorm_tensor_mask){.data = bytes}, BATCHNORM_ONE_VALUE,
                   "Expected more than 1 value per channel when training, and the mask leaves fewer");
    refuse_forward(&l, (batchnorm_tensor_mask){.lengths = lengths}, BATCHNORM_BAD_OPTION,
                   "a mask is either data or lengths, of which none is larger than the last size of the input");
    lengths[2] = 7;
    refuse_forward(&l, (batchnorm_tensor_mask){.lengths = lengths, .data = bytes}, BATCHNORM_BAD_OPTION,
                   "a mask is either data or lengths, of which none is larger than the last size of the input");
    refuse_forward(&l, (batchnorm_tensor_mask){.lengths = lengths, .flags = 6}, BATCHNORM_BAD_OPTION,
                   "unknown flag of the mask in 0x6");
    refuse_forward(&l, (batchnorm_tensor_mask){.data = (const uint8_t *)l.got.y}, BATCHNORM_OVERLAP,
                   "y overlaps the mask in a way that is not allowed");
    assert_int_equal(batchnorm_tensor_mask_contiguous(bytes, NULL, 1).flags, 0);
}

/* A backward has the mask of its forward, and what knows no mask refuses one. */
TEST(a_mask_goes_with_its_forward) {
    static struct lesson l;
    uint8_t bytes[N * MOST];
    size_t lengths[N];
    prepare(&l, 0, false, true);
    const batchnorm_tensor_mask mask = make_mask(&l, DENSE, 0, bytes, lengths);
    batchnorm_layer_backward_call backward = {.size = sizeof backward, .x = l.x, .dy = l.dy, .dx = l.dx, .mask = mask};
    const batchnorm_layer_jvp_call jvp = {.size = sizeof jvp, .x = l.x, .tx = l.dy, .ty = l.dx};
    assert_int_equal(batchnorm_layer_forward(l.layer, l.x, l.y, NULL, 0, NULL), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_backward_fused(l.layer, &backward, NULL), BATCHNORM_BAD_OPTION);
    assert_string_equal(batchnorm_layer_message(l.layer), "the forward had no mask");
    run_layer(&l, mask);
    backward.mask.flags = BATCHNORM_MASK_OUTPUTS;
    assert_int_equal(batchnorm_layer_backward_fused(l.layer, &backward, NULL), BATCHNORM_BAD_OPTION);
    assert_string_equal(batchnorm_layer_message(l.layer), "the forward's mask had the flags 0, not 0x1");
    backward.mask = (batchnorm_tensor_mask){.data = NULL};
    assert_int_equal(batchnorm_layer_backward_fused(l.layer, &backward, NULL), BATCHNORM_BAD_OPTION);
    assert_string_equal(batchnorm_layer_message(l.layer), "the forward had a mask");
    assert_int_equal(batchnorm_layer_backward(l.layer, NULL, l.x, l.dy, l.dx, 0, NULL), BATCHNORM_BAD_OPTION);
    assert_int_equal(batchnorm_layer_jvp(l.layer, &jvp, NULL), BATCHNORM_BAD_OPTION);
    assert_string_equal(batchnorm_layer_message(l.layer), "the forward had an activation, a residual or a mask");
}

/* Where a count of none is allowed, a batch is counted, and moves nothing else. */
TEST(without_a_one_running_statistics_stay) {
    static struct lesson l;
    const uint8_t none[1] = {0};
    prepare(&l, 1, true, true);
    batchnorm_options convention = batchnorm_convention(BATCHNORM_FLAX);
    batchnorm_layer_set_convention(l.layer, &convention);
    run_layer(&l, (batchnorm_tensor_mask){.data = none});
    for (int c = 0; c < C; c++) {
        assert_true(((float *)batchnorm_layer_running_mean(l.layer).data)[c] == 0);
        assert_true(((float *)batchnorm_layer_running_var(l.layer).data)[c] == 1);
    }
    assert_int_equal(*batchnorm_layer_num_batches_tracked(l.layer), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(bits_are_those_of_the_raw_calls, let_go),
                                       cmocka_unit_test_teardown(what_does_not_fit_is_refused, let_go),
                                       cmocka_unit_test_teardown(a_mask_goes_with_its_forward, let_go),
                                       cmocka_unit_test_teardown(without_a_one_running_statistics_stay, let_go)};
    return cmocka_run_group_tests_name("api.layer.masks", tests, NULL, NULL);
}
