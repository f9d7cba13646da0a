/* SPDX-License-Identifier: MIT */
/* The state of a layer: what it lists, what it takes, what it refuses. Sentences are PyTorch 2.15's.
 * Longer than 300 lines, most of them tables of what a state may hold. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer_support.h"
#include "tests/support/test.h"

enum { C = 3 };

static const char *const keys[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};

static batchnorm_named_tensor entry(const char *name, void *data, batchnorm_dtype dtype, int rank, int64_t size) {
    return (batchnorm_named_tensor){name, batchnorm_tensor_contiguous(data, dtype, rank, &size)};
}

/* A whole state of C channels, type F64, in static memory. */
static double numbers[4][C] = {{10, 20, 30}, {-1, -2, -3}, {0.5, 0.25, 0.125}, {7, 8, 9}};
static int64_t count = 99;

static size_t whole(batchnorm_named_tensor entries[BATCHNORM_STATE_MAX]) {
    for (int i = 0; i < 4; i++) entries[i] = entry(keys[i], numbers[i], BATCHNORM_F64, 1, C);
    entries[4] = entry(keys[4], &count, BATCHNORM_I64, 0, 0);
    return BATCHNORM_STATE_MAX;
}

static batchnorm_tensor array_of(batchnorm_layer *layer, int i) {
    const batchnorm_tensor none = {0};
    const batchnorm_parameter *parameter = i == 0 ? batchnorm_layer_weight(layer) : batchnorm_layer_bias(layer);
    if (i < 2) return parameter == NULL ? none : parameter->value;
    return i == 2 ? batchnorm_layer_running_mean(layer) : batchnorm_layer_running_var(layer);
}

TEST(state_lists_what_there_is) {
    for (int mask = 0; mask < 32; mask++) {
        batchnorm_layer *layer = make_layer(2, C, BATCHNORM_F64);
        batchnorm_named_tensor entries[BATCHNORM_STATE_MAX];
        for (int i = 0; i < 5; i++)
            if (!(mask >> i & 1)) assert_int_equal(batchnorm_layer_remove(layer, keys[i]), BATCHNORM_OK);
        const size_t n = batchnorm_layer_state(layer, entries);
        size_t at = 0;
        for (int i = 0; i < 5; i++) {
            if (!(mask >> i & 1)) continue;
            const batchnorm_tensor *t = &entries[at].tensor;
            assert_string_equal(entries[at++].name, keys[i]);
            if (i < 4) assert_ptr_equal(t->data, array_of(layer, i).data); /* the layer's own memory */
            if (i == 4) assert_ptr_equal(t->data, batchnorm_layer_num_batches_tracked(layer));
            assert_int_equal(t->dtype, i == 4 ? BATCHNORM_I64 : BATCHNORM_F64);
            assert_int_equal(t->rank, i == 4 ? 0 : 1);
            assert_int_equal(batchnorm_tensor_elements(t), i == 4 ? 1 : C);
        }
        assert_int_equal(n, at);
    }
    batchnorm_named_tensor entries[BATCHNORM_STATE_MAX];
    batchnorm_layer *layer = make_layer(2, 0, BATCHNORM_F32);
    assert_int_equal(batchnorm_layer_state(layer, entries), 5); /* without channels there are arrays all the same */
    assert_int_equal(batchnorm_layer_state(layer, NULL), 0);
    assert_int_equal(batchnorm_layer_state(NULL, entries), 0);
    batchnorm_layer_options o = batchnorm_layer_defaults(2, 0);
    o.lazy = true;
    layer = make_layer_of(o);
    assert_int_equal(batchnorm_layer_state(layer, entries), 0);
}

TEST(remove_takes_known_names) {
    batchnorm_layer *layer = make_layer(2, C, BATCHNORM_F32);
    assert_int_equal(batchnorm_layer_remove(NULL, "weight"), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_remove(layer, NULL), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_remove(layer, "Weight"), BATCHNORM_BAD_OPTION);
    assert_string_equal(batchnorm_layer_message(layer), "a layer has no \"Weight\"");
    for (int twice = 0; twice < 2; twice++)
        for (int i = 0; i < 5; i++) assert_int_equal(batchnorm_layer_remove(layer, keys[i]), BATCHNORM_OK);
    assert_string_equal(batchnorm_layer_message(layer), "");
    assert_null(batchnorm_layer_num_batches_tracked(layer));
    for (int i = 0; i < 4; i++) assert_null(array_of(layer, i).data);
    batchnorm_layer_reset_parameters(layer);
    batchnorm_layer_zero_grad(layer);
}

/* Sixteen bits and eight, from double: exact for the numbers used here. */
TEST(any_type_is_converted) {
    static const batchnorm_dtype types[] = {BATCHNORM_F32, BATCHNORM_F64, BATCHNORM_BF16, BATCHNORM_F16};
    static const double values[] = {0,        -0.0,        1,       -2.5,     65504,    -65504,    0x1p-14, 0x1p-24,
                                    -0x3p-24, 0x1.ffcp-15, 0x1p127, 0x1p-133, INFINITY, -INFINITY, NAN,     0.333251953125};
    enum { VALUES = sizeof values / sizeof values[0] };
    for (int i = 0; i < 4; i++)
        for (int own = BATCHNORM_F32; own <= BATCHNORM_F64; own++) {
            batchnorm_layer *layer = make_layer(1, VALUES, (batchnorm_dtype)own);
            char data[2 * 8 * VALUES + 1];
            batchnorm_named_tensor e = entry("running_mean", data + 1, types[i], 1, VALUES); /* not aligned, */
            e.tensor.stride[0] = -2;                                                         /* backwards, with gaps */
            e.tensor.data = data + 1 + 2 * (VALUES - 1) * batchnorm_dtype_bytes(types[i]);
            for (int c = 0; c < VALUES; c++) {
                double element;
                element_set(types[i], &element, 0, values[c]);
                memcpy((char *)e.tensor.data - 2 * c * (ptrdiff_t)batchnorm_dtype_bytes(types[i]), &element,
                       batchnorm_dtype_bytes(types[i]));
            }
            assert_int_equal(batchnorm_layer_load_state(layer, &e, 1, 2, false), BATCHNORM_OK);
            for (int c = 0; c < VALUES; c++) {
                const double wanted = element_round((batchnorm_dtype)own, element_round(types[i], values[c]));
                const double got = value_of(batchnorm_layer_running_mean(layer), c, 0);
                if (isnan(wanted) ? !isnan(got) : got != wanted || signbit(got) != signbit(wanted))
                    fail_msg("%a became %a, not %a", values[c], got, wanted);
            }
        }
}

TEST(integers_are_converted) {
    batchnorm_layer *layer = make_layer(1, C, BATCHNORM_F32);
    int64_t integers[C] = {1, -7, (1LL << 53) + 1};
    batchnorm_named_tensor e = entry("weight", integers, BATCHNORM_I64, 1, C);
    assert_int_equal(batchnorm_layer_load_state(layer, &e, 1, 2, false), BATCHNORM_OK);
    for (int c = 0; c < C; c++) assert_true(value_of(array_of(layer, 0), c, 0) == (double)(float)integers[c]);
    e.tensor.stride[0] = 0; /* broadcast */
    assert_int_equal(batchnorm_layer_load_state(layer, &e, 1, 2, false), BATCHNORM_OK);
    for (int c = 0; c < C; c++) assert_true(value_of(array_of(layer, 0), c, 0) == 1);
}

TEST(the_counter_is_exact) {
    static const int64_t counts[] = {0, 1, -1, INT64_MAX, INT64_MIN, (1LL << 53) + 1};
    static const double floats[] = {2.7, -2.7, 0, -0x1p63, 0x1.fffffep62};
    static const double bad[] = {NAN, INFINITY, -INFINITY, 0x1p63, -0x1.000002p63};
    batchnorm_layer *layer = make_layer(1, C, BATCHNORM_F32);
    int64_t *own = batchnorm_layer_num_batches_tracked(layer);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        int64_t value = counts[i];
        for (int rank = 0; rank < 2; rank++) { /* one element in an array is taken, too */
            batchnorm_named_tensor e = entry(keys[4], &value, BATCHNORM_I64, rank, 1);
            *own = 5;
            assert_int_equal(batchnorm_layer_load_state(layer, &e, 1, 2, false), BATCHNORM_OK);
            assert_true(*own == counts[i]);
        }
    }
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        double value = floats[i];
        batchnorm_named_tensor e = entry(keys[4], &value, BATCHNORM_F64, 0, 0);
        assert_int_equal(batchnorm_layer_load_state(layer, &e, 1, 2, false), BATCHNORM_OK);
        assert_true(*own == (int64_t)floats[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        float value = (float)bad[i];
        batchnorm_named_tensor e[] = {entry(keys[0], numbers[0], BATCHNORM_F64, 1, C),
                                      entry(keys[4], &value, BATCHNORM_F32, 0, 0)};
        const char *before = picture(layer, NULL);
        assert_int_equal(batchnorm_layer_load_state(layer, e, 2, 2, false), BATCHNORM_BAD_DTYPE);
        if (i == 0) assert_string_equal(batchnorm_layer_message(layer), "num_batches_tracked: nan is no int64");
        expect_same_picture(before, layer, NULL);
    }
}

TEST(states_go_from_layer_to_layer) {
    batchnorm_named_tensor entries[BATCHNORM_STATE_MAX];
    for (int from = BATCHNORM_F32; from <= BATCHNORM_F64; from++)
        for (int to = BATCHNORM_F32; to <= BATCHNORM_F64; to++) {
            batchnorm_layer *a = make_layer(1, C, (batchnorm_dtype)from), *b = make_layer(3, C, (batchnorm_dtype)to);
            scramble(a);
            const size_t n = batchnorm_layer_state(a, entries);
            assert_int_equal(batchnorm_layer_load_state(b, entries, n, 2, true), BATCHNORM_OK);
            for (int i = 0; i < 4; i++)
                for (int c = 0; c < C; c++) assert_true(value_of(array_of(a, i), c, 0) == value_of(array_of(b, i), c, 1));
            assert_int_equal(*batchnorm_layer_num_batches_tracked(b), 41);
            assert_true(value_of(batchnorm_layer_weight(b)->grad, 0, 1) == 0); /* gradients are no state */
            const char *before = picture(a, NULL);
            assert_int_equal(batchnorm_layer_load_state(a, entries, n, 2, true), BATCHNORM_OK); /* into itself */
            expect_same_picture(before, a, NULL);
        }
    /* exchanged within one layer: everything is read before anything is written */
    batchnorm_layer *layer = make_layer(1, C, BATCHNORM_F64);
    scramble(layer);
    batchnorm_layer_state(layer, entries);
    entries[0].name = "bias";
    entries[1].name = "weight";
    assert_int_equal(batchnorm_layer_load_state(layer, entries, 2, 2, false), BATCHNORM_OK);
    assert_true(value_of(array_of(layer, 0), 0, 0) == -0.75 && value_of(array_of(layer, 1), 0, 0) == 1.25);
}

static void refuses(batchnorm_layer *layer, const batchnorm_named_tensor *entries, size_t n, int version, bool strict,
                    batchnorm_status status, const char *message) {
    const char *before = picture(layer, NULL);
    assert_int_equal(batchnorm_layer_load_state(layer, entries, n, version, strict), status);
    assert_string_equal(batchnorm_layer_message(layer), message);
    expect_same_picture(before, layer, NULL);
}

TEST(keys_are_checked_when_strict) {
    batchnorm_layer *layer = make_layer(1, C, BATCHNORM_F64);
    batchnorm_named_tensor e[BATCHNORM_STATE_MAX + 1];
    const size_t n = whole(e);
    scramble(layer);
    refuses(layer, e, 4, 2, true, BATCHNORM_MISSING_KEY, "Missing key(s) in state_dict: \"num_batches_tracked\".");
    refuses(layer, e + 1, 1, 2, true, BATCHNORM_MISSING_KEY,
            "Missing key(s) in state_dict: \"weight\", \"running_mean\", \"running_var\", \"num_batches_tracked\".");
    refuses(layer, NULL, 0, 1, true, BATCHNORM_MISSING_KEY,
            "Missing key(s) in state_dict: \"weight\", \"bias\", \"running_mean\", \"running_var\".");
    e[n] = entry("foo", numbers[0], BATCHNORM_F64, 1, 1);
    refuses(layer, e, n + 1, 2, true, BATCHNORM_UNEXPECTED_KEY, "Unexpected key(s) in state_dict: \"foo\".");
    refuses(layer, e + 1, n, 2, true, BATCHNORM_MISSING_KEY,
            "Missing key(s) in state_dict: \"weight\". Unexpected key(s) in state_dict: \"foo\".");
    e[n] = e[2];
    for (int strict = 0; strict < 2; strict++)
        refuses(layer, e, n + 1, 2, strict, BATCHNORM_UNEXPECTED_KEY, "\"running_mean\" is given twice");
    assert_int_equal(batchnorm_layer_load_state(layer, e, n, 2, true), BATCHNORM_OK);
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < C; c++) assert_true(value_of(array_of(layer, i), c, 0) == numbers[i][c]);
    assert_int_equal(*batchnorm_layer_num_batches_tracked(layer), 99);
    assert_string_equal(batchnorm_layer_message(layer), "");
    assert_int_equal(batchnorm_layer_remove(layer, "bias"), BATCHNORM_OK); /* what a layer lost is unknown to it */
    refuses(layer, e, n, 2, true, BATCHNORM_UNEXPECTED_KEY, "Unexpected key(s) in state_dict: \"bias\".");
}

TEST(keys_are_left_out_when_not_strict) {
    batchnorm_layer *layer = make_layer(1, C, BATCHNORM_F64);
    const batchnorm_named_tensor e[] = {entry("foo", NULL, BATCHNORM_F64, 1, 7), entry("bias", numbers[3], BATCHNORM_F64, 1, C),
                                        entry("foo", NULL, BATCHNORM_F64, 1, 7)};
    scramble(layer);
    assert_int_equal(batchnorm_layer_load_state(layer, e, 3, 2, false), BATCHNORM_OK);
    assert_true(value_of(array_of(layer, 1), 2, 0) == 9);
    assert_true(value_of(array_of(layer, 0), 2, 0) == 1.75);
    assert_int_equal(*batchnorm_layer_num_batches_tracked(layer), 41);
    assert_int_equal(batchnorm_layer_load_state(layer, NULL, 0, 2, false), BATCHNORM_OK);
}

/* Before version 2 there was no num_batches_tracked: the layer keeps its own, if it tracks. */
TEST(old_states_lack_the_counter) {
    batchnorm_named_tensor e[BATCHNORM_STATE_MAX];
    whole(e);
    for (int version = -1; version <= 3; version++) {
        batchnorm_layer *layer = make_layer(1, C, BATCHNORM_F64);
        scramble(layer);
        assert_int_equal(batchnorm_layer_load_state(layer, e, 4, version, true),
                         version < 2 ? BATCHNORM_OK : BATCHNORM_MISSING_KEY);
        assert_int_equal(*batchnorm_layer_num_batches_tracked(layer), 41);
        assert_true(value_of(array_of(layer, 0), 0, 0) == (version < 2 ? 10 : 1.25));
        batchnorm_layer_set_track_running_stats(layer, false);
        refuses(layer, e, 4, version, true, BATCHNORM_MISSING_KEY, "Missing key(s) in state_dict: \"num_batches_tracked\".");
        assert_int_equal(batchnorm_layer_load_state(layer, e, 5, version, true), BATCHNORM_OK);
        assert_int_equal(*batchnorm_layer_num_batches_tracked(layer), 99);
        assert_int_equal(batchnorm_layer_remove(layer, "num_batches_tracked"), BATCHNORM_OK);
        batchnorm_layer_set_track_running_stats(layer, true);
        assert_int_equal(batchnorm_layer_load_state(layer, e, 4, version, true), BATCHNORM_OK);
    }
}

TEST(sizes_and_types_are_checked) {
    batchnorm_layer *layer = make_layer(1, C, BATCHNORM_F64);
    scramble(layer);
    for (int strict = 0; strict < 2; strict++)
        for (int i = 0; i < 5; i++) {
            batchnorm_named_tensor e[BATCHNORM_STATE_MAX];
            const int64_t square[] = {1, C};
            char message[256];
            const size_t n = whole(e);
            e[i] = entry(keys[i], numbers[0], BATCHNORM_F64, 1, i == 4 ? 2 : C + 1);
            snprintf(message, sizeof message,
                     "size mismatch for %s: copying a param with shape [%d] from checkpoint, the shape in current model is %s.",
                     keys[i], i == 4 ? 2 : C + 1, i == 4 ? "[]" : "[3]");
            refuses(layer, e, n, 2, strict, BATCHNORM_BAD_SHAPE, message);
            e[i].tensor = batchnorm_tensor_contiguous(numbers, BATCHNORM_F64, 2, square);
            snprintf(
                message, sizeof message,
                "size mismatch for %s: copying a param with shape [1, 3] from checkpoint, the shape in current model is %s.",
                keys[i], i == 4 ? "[]" : "[3]");
            refuses(layer, e, n, 2, strict, BATCHNORM_BAD_SHAPE, message);
            e[i].tensor.rank = 77;
            snprintf(message, sizeof message, "size mismatch for %s", keys[i]);
            refuses(layer, e, n, 2, strict, BATCHNORM_BAD_SHAPE, message);
            whole(e);
            e[i].tensor.dtype = (batchnorm_dtype)12;
            snprintf(message, sizeof message, "%s: unknown element type", keys[i]);
            refuses(layer, e, n, 2, strict, BATCHNORM_BAD_DTYPE, message);
            whole(e);
            e[i].tensor.data = NULL;
            snprintf(message, sizeof message, "%s: its data is NULL", keys[i]);
            refuses(layer, e, n, 2, strict, BATCHNORM_NULL_POINTER, message);
            whole(e);
            e[i].name = NULL;
            refuses(layer, e, n, 2, strict, BATCHNORM_NULL_POINTER, "a required pointer is NULL");
        }
    batchnorm_named_tensor scalar = entry("weight", numbers, BATCHNORM_F64, 0, 0);
    refuses(layer, &scalar, 1, 2, false, BATCHNORM_BAD_SHAPE,
            "size mismatch for weight: copying a param with shape [] from checkpoint, the shape in current model is [3].");
    refuses(layer, NULL, 1, 2, false, BATCHNORM_NULL_POINTER, "a required pointer is NULL");
    assert_int_equal(batchnorm_layer_load_state(NULL, NULL, 0, 2, false), BATCHNORM_NULL_POINTER);
}

/* Everything that is wrong in one message, as far as it fits. */
TEST(all_keys_that_are_wrong_are_named) {
    static char names[100][24];
    batchnorm_named_tensor e[100];
    batchnorm_layer *layer = make_layer(1, C, BATCHNORM_F64);
    whole(e);
    e[0].name = "gamma";
    e[1].name = "be\033ta";
    refuses(layer, e, 5, 2, true, BATCHNORM_MISSING_KEY,
            "Missing key(s) in state_dict: \"weight\", \"bias\". Unexpected key(s) in state_dict: \"gamma\", \"be?ta\".");
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "layer.%d.weight", i);
        e[i] = entry(names[i], numbers, BATCHNORM_F64, 1, C);
    }
    assert_int_equal(batchnorm_layer_load_state(layer, e, 100, 2, true), BATCHNORM_MISSING_KEY);
    assert_non_null(strstr(batchnorm_layer_message(layer), "\"running_var\", \"num_batches_tracked\". Unexpected"));
    assert_non_null(strstr(batchnorm_layer_message(layer), "\"layer.0.weight\", \"layer.1.weight\", "));
    assert_non_null(strstr(batchnorm_layer_message(layer), " more."));
}

TEST(long_names_fit_the_message) {
    char name[1000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    batchnorm_layer *layer = make_layer(1, 0, BATCHNORM_F64);
    batchnorm_named_tensor e[BATCHNORM_STATE_MAX + 1];
    whole(e);
    for (int i = 0; i < 4; i++) e[i].tensor.shape[0] = 0, e[i].tensor.data = NULL; /* without elements that is fine */
    e[5] = entry(name, numbers, BATCHNORM_F64, 1, 1);
    assert_int_equal(batchnorm_layer_load_state(layer, e, 6, 2, true), BATCHNORM_UNEXPECTED_KEY);
    char says[200];
    snprintf(says, sizeof says, "Unexpected key(s) in state_dict: \"%.80s...\".", name);
    assert_string_equal(batchnorm_layer_message(layer), says);
    assert_int_equal(batchnorm_layer_load_state(layer, e, 5, 2, true), BATCHNORM_OK);
}

static batchnorm_layer *make_lazy(bool affine, bool track) {
    batchnorm_layer_options o = batchnorm_layer_defaults(1, 0);
    o.lazy = true;
    o.affine = affine;
    o.track_running_stats = track;
    return make_layer_of(o);
}

TEST(lazy_layers_take_their_channels_from_a_state) {
    batchnorm_named_tensor e[BATCHNORM_STATE_MAX];
    whole(e);
    batchnorm_layer *layer = make_lazy(true, true);
    refuses(layer, e + 1, 4, 2, true, BATCHNORM_MISSING_KEY, "Missing key(s) in state_dict: \"weight\".");
    e[2].tensor.shape[0] = 2; /* they contradict each other */
    refuses(
        layer, e, 5, 2, true, BATCHNORM_BAD_SHAPE,
        "size mismatch for running_mean: copying a param with shape [2] from checkpoint, the shape in current model is [3].");
    e[0].tensor.shape[0] = -1;
    refuses(layer, e, 1, 2, false, BATCHNORM_BAD_SHAPE, "size mismatch for weight");
    whole(e);
    assert_int_equal(batchnorm_layer_load_state(layer, e, 5, 2, true), BATCHNORM_OK);
    const batchnorm_layer_options o = batchnorm_layer_get_options(layer);
    assert_true(!o.lazy && o.num_features == C);
    for (int i = 0; i < 4; i++) assert_true(value_of(array_of(layer, i), 2, 0) == numbers[i][2]);
    assert_int_equal(*batchnorm_layer_num_batches_tracked(layer), 99);

    layer = make_lazy(true, true); /* one array is enough; the others begin as in a new layer */
    assert_int_equal(batchnorm_layer_load_state(layer, e + 2, 1, 2, false), BATCHNORM_OK);
    assert_true(value_of(array_of(layer, 0), 1, 0) == 1 && value_of(array_of(layer, 2), 1, 0) == 0.25);

    layer = make_lazy(true, true); /* no channels are channels, too */
    const batchnorm_named_tensor no_channels = entry("weight", NULL, BATCHNORM_F64, 1, 0);
    assert_int_equal(batchnorm_layer_load_state(layer, &no_channels, 1, 2, false), BATCHNORM_OK);
    assert_false(batchnorm_layer_get_options(layer).lazy);
    assert_non_null(batchnorm_layer_weight(layer));

    layer = make_lazy(true, true); /* the counter alone does not tell the channels */
    assert_int_equal(batchnorm_layer_load_state(layer, e + 4, 1, 2, false), BATCHNORM_OK);
    assert_true(batchnorm_layer_get_options(layer).lazy);
    assert_int_equal(*batchnorm_layer_num_batches_tracked(layer), 99);

    layer = make_lazy(false, false);
    assert_int_equal(batchnorm_layer_load_state(layer, NULL, 0, 2, true), BATCHNORM_OK);
    assert_true(batchnorm_layer_get_options(layer).lazy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(state_lists_what_there_is, let_go),
        cmocka_unit_test_teardown(remove_takes_known_names, let_go),
        cmocka_unit_test_teardown(any_type_is_converted, let_go),
        cmocka_unit_test_teardown(integers_are_converted, let_go),
        cmocka_unit_test_teardown(the_counter_is_exact, let_go),
        cmocka_unit_test_teardown(states_go_from_layer_to_layer, let_go),
        cmocka_unit_test_teardown(keys_are_checked_when_strict, let_go),
        cmocka_unit_test_teardown(keys_are_left_out_when_not_strict, let_go),
        cmocka_unit_test_teardown(old_states_lack_the_counter, let_go),
        cmocka_unit_test_teardown(sizes_and_types_are_checked, let_go),
        cmocka_unit_test_teardown(all_keys_that_are_wrong_are_named, let_go),
        cmocka_unit_test_teardown(long_names_fit_the_message, let_go),
        cmocka_unit_test_teardown(lazy_layers_take_their_channels_from_a_state, let_go),
    };
    return cmocka_run_group_tests_name("api.state", tests, NULL, NULL);
}
