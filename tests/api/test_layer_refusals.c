/* SPDX-License-Identifier: MIT */
/* Every status of the calls that follow a forward, with nothing written; and the k-th allocation that fails, for all k.
 * Long because each call has a table of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer_support.h"
#include "tests/support/layer_calls.h"
#include "tests/support/test.h"

enum { N = 2, C = 3 };

static const int64_t images[] = {N, C, 2, 2};

enum call { BACKWARD, JVP, DOUBLE_BACKWARD, CALLS };

/* Arguments by the names they have in double backward; the outputs are gx (dx, ty) and gdy. */
struct fixture {
    enum call call;
    batchnorm_layer *layer;
    batchnorm_saved *saved;
    batchnorm_tensor x, dy, vx, gx, gdy;
    unsigned flags;
    double *vweight, *vbias, *gweight;
    batchnorm_tensor home[5];
    double numbers[3][C];
};

static struct fixture start(enum call call) {
    struct fixture f = {.call = call, .layer = make_layer(2, C, BATCHNORM_F64)};
    for (int i = 0; i < 5; i++) f.home[i] = box(BATCHNORM_F64, 4, images, 61 + (uint64_t)i);
    f.x = f.home[0];
    f.dy = f.home[1];
    f.vx = f.home[2];
    f.gx = f.home[3];
    f.gdy = f.home[4];
    scramble(f.layer);
    f.saved = make_saved(f.layer);
    assert_int_equal(batchnorm_layer_forward(f.layer, f.x, f.gx, f.saved, 0, NULL), BATCHNORM_OK);
    return f;
}

static batchnorm_status run(struct fixture *f) {
    switch (f->call) {
    case BACKWARD:
        return batchnorm_layer_backward(f->layer, f->saved, f->x, f->dy, f->gx, f->flags, NULL);
    case JVP:
        return layer_jvp(f->layer, f->saved, f->x, f->dy, f->vweight, f->vbias, f->gx, NULL);
    default:
        return layer_double_backward(f->layer, f->saved, f->x, f->dy, f->vx, f->vweight, f->vbias, f->gx, f->gdy, f->gweight,
                                     NULL);
    }
}

/* For an array that may meet several others, as memory lies: one of them is named. */
static const char any_overlap[] = "...";

/* The call fails like this and changes no byte anywhere. */
static void refuses(struct fixture *f, batchnorm_status status, const char *message) {
    const char *before = picture(f->layer, f->saved);
    double kept[5][64], numbers[3][C];
    for (int i = 0; i < 5; i++) memcpy(kept[i], f->home[i].data, box_bytes(f->home[i]));
    memcpy(numbers, f->numbers, sizeof numbers);
    assert_int_equal(run(f), status);
    if (message == any_overlap) message = batchnorm_layer_message(f->layer);
    assert_string_equal(batchnorm_layer_message(f->layer), message == NULL ? batchnorm_status_string(status) : message);
    for (int i = 0; i < 5; i++) assert_memory_equal(kept[i], f->home[i].data, box_bytes(f->home[i]));
    assert_memory_equal(numbers, f->numbers, sizeof numbers);
    expect_same_picture(before, f->layer, f->saved);
}

static void overlaps(struct fixture *f, const char *what, const char *with) {
    char says[100];
    snprintf(says, sizeof says, "%s overlaps %s in a way that is not allowed", what, with);
    refuses(f, BATCHNORM_OVERLAP, says);
}

TEST(a_forward_must_have_been) {
    for (int call = 0; call < CALLS; call++) {
        struct fixture f = start((enum call)call), other = start((enum call)call);
        batchnorm_saved *own = f.saved, *unused = make_saved(f.layer);
        assert_int_equal(run(&f), BATCHNORM_OK);
        assert_int_equal(batchnorm_saved_create(f.layer, NULL), BATCHNORM_NULL_POINTER);
        f.saved = unused;
        refuses(&f, BATCHNORM_NO_FORWARD, NULL);
        f.saved = other.saved;
        refuses(&f, BATCHNORM_NO_FORWARD, "the saved statistics are of another layer");
        f.saved = NULL; /* the layer's own place was not used, either */
        assert_int_equal(run(&f), BATCHNORM_NO_FORWARD);
        f.saved = own;
        assert_int_equal(run(&f), BATCHNORM_OK);
    }
}

TEST(sizes_and_types_must_be_the_forwards) {
    static const char *const names[CALLS][5] = {
        {"x", "dy", NULL, "dx", NULL}, {"x", "tx", NULL, "ty", NULL}, {"x", "dy", "vx", "gx", "gdy"}};
    for (int call = 0; call < CALLS; call++) {
        struct fixture f = start((enum call)call);
        batchnorm_tensor *const all[] = {&f.x, &f.dy, &f.vx, &f.gx, &f.gdy};
        for (int i = 0; i < 5; i++) {
            const char *name = names[call][i];
            const batchnorm_tensor good = *all[i];
            char message[128];
            if (name == NULL) continue;
            all[i]->shape[3] = 1;
            snprintf(message, sizeof message, "%s has the size [2, 3, 2, 1], the forward's input had [2, 3, 2, 2]", name);
            refuses(&f, BATCHNORM_BAD_SHAPE, message);
            *all[i] = good;
            all[i]->rank = -1;
            refuses(&f, BATCHNORM_BAD_SHAPE, NULL);
            *all[i] = good;
            all[i]->dtype = BATCHNORM_F32;
            snprintf(message, sizeof message, "%s is float32, the forward's input was float64", name);
            refuses(&f, BATCHNORM_BAD_DTYPE, message);
            *all[i] = good;
            all[i]->stride[0] = INT64_MAX / 2;
            refuses(&f, BATCHNORM_TOO_LARGE, NULL);
            *all[i] = good;
        }
        assert_int_equal(run(&f), BATCHNORM_OK);
    }
}

TEST(needed_tensors_must_be_there) {
    static const char *const names[CALLS][2] = {{"x", "dy"}, {"x", "tx"}, {"x", "dy"}};
    for (int call = 0; call < CALLS; call++) {
        struct fixture f = start((enum call)call);
        batchnorm_tensor *const all[] = {&f.x, &f.dy};
        for (int i = 0; i < 2; i++) {
            char message[64];
            const batchnorm_tensor good = *all[i];
            *all[i] = (batchnorm_tensor){0};
            snprintf(message, sizeof message, "%s is needed and its data is NULL", names[call][i]);
            refuses(&f, BATCHNORM_NULL_POINTER, message);
            *all[i] = good;
        }
    }
    struct fixture f = start(JVP);
    f.gx.data = NULL;
    refuses(&f, BATCHNORM_NULL_POINTER, "ty is needed and its data is NULL");
}

/* After a forward with running statistics, x is needed for the weight's gradient only. */
TEST(x_may_be_absent_where_it_plays_no_part) {
    struct fixture f = start(BACKWARD);
    batchnorm_layer_eval(f.layer);
    assert_int_equal(batchnorm_layer_forward(f.layer, f.x, f.vx, f.saved, 0, NULL), BATCHNORM_OK);
    const batchnorm_tensor x = f.x;
    assert_int_equal(run(&f), BATCHNORM_OK);
    double with[24];
    memcpy(with, f.gx.data, sizeof with);
    f.x = (batchnorm_tensor){0};
    refuses(&f, BATCHNORM_NULL_POINTER, "x is needed and its data is NULL");
    batchnorm_layer_weight(f.layer)->requires_grad = false;
    memset(f.gx.data, 0, sizeof with);
    assert_int_equal(run(&f), BATCHNORM_OK);
    assert_memory_equal(f.gx.data, with, sizeof with);
    f.x = x;
    f.x.data = (char *)f.gx.data + 8; /* where it is not read it may be anywhere */
    assert_int_equal(run(&f), BATCHNORM_OK);
    assert_memory_equal(f.gx.data, with, sizeof with);
    f.x = (batchnorm_tensor){0};
    batchnorm_layer_bias(f.layer)->requires_grad = false;
    f.gx.data = NULL; /* nothing is wanted */
    assert_int_equal(run(&f), BATCHNORM_OK);
    f.gx = f.home[3];
    f.x = x;
    batchnorm_layer_train(f.layer);
    assert_int_equal(batchnorm_layer_forward(f.layer, f.x, f.vx, f.saved, 0, NULL), BATCHNORM_OK);
    f.x.data = NULL;
    refuses(&f, BATCHNORM_NULL_POINTER, "x is needed and its data is NULL");
}

/* A forward in place has taken its x away; the calls that need it know that address. */
TEST(an_overwritten_x_is_refused) {
    const char *sentence = "x is the array that the forward overwrote with y; what is needed is what the forward got";
    for (int call = 0; call < CALLS; call++) {
        struct fixture f = start((enum call)call);
        const batchnorm_tensor y = f.x;
        f.x = box(BATCHNORM_F64, 4, images, 70);
        memcpy(f.x.data, y.data, box_bytes(y));
        assert_int_equal(batchnorm_layer_forward(f.layer, y, y, f.saved, 0, NULL), BATCHNORM_OK);
        assert_int_equal(run(&f), BATCHNORM_OK); /* a copy */
        const batchnorm_tensor copy = f.x;
        f.x = y;
        refuses(&f, BATCHNORM_OVERLAP, sentence);
        assert_int_equal(batchnorm_layer_forward(f.layer, copy, f.gx, f.saved, 0, NULL), BATCHNORM_OK);
        f.x = copy;
        assert_int_equal(run(&f), BATCHNORM_OK); /* the next forward was out of place */
        if (call != BACKWARD) continue;
        batchnorm_layer_eval(f.layer);
        batchnorm_layer_weight(f.layer)->requires_grad = false;
        assert_int_equal(batchnorm_layer_forward(f.layer, y, y, f.saved, 0, NULL), BATCHNORM_OK);
        f.x = y;
        assert_int_equal(run(&f), BATCHNORM_OK); /* it needs no x */
    }
}

TEST(outputs_must_be_apart) {
    for (int call = 0; call < CALLS; call++) {
        struct fixture f = start((enum call)call);
        batchnorm_tensor *const outputs[] = {&f.gx, &f.gdy};
        batchnorm_tensor mean;
        assert_int_equal(batchnorm_layer_forward(f.layer, f.x, f.vx, NULL, BATCHNORM_HOLD_UPDATE, NULL), BATCHNORM_OK);
        assert_int_equal(batchnorm_layer_held_update(f.layer, &mean, NULL, NULL), BATCHNORM_OK);
        void *const own[] = {batchnorm_layer_weight(f.layer)->value.data, batchnorm_layer_bias(f.layer)->grad.data,
                             batchnorm_layer_running_var(f.layer).data, mean.data};
        for (int i = 0; i < (call == DOUBLE_BACKWARD ? 2 : 1); i++) {
            const batchnorm_tensor good = *outputs[i];
            const char *names[] = {call == BACKWARD ? "dx" : call == JVP ? "ty" : "gx", "gdy"};
            const char *const dy = call == JVP ? "tx" : "dy";
            char says[100];
            outputs[i]->stride[1] = 0;
            snprintf(says, sizeof says, "%s has strides that make two of its elements share memory", names[i]);
            refuses(&f, BATCHNORM_BAD_STRIDE, says);
            *outputs[i] = good;
            outputs[i]->data = (char *)f.dy.data + 8;
            overlaps(&f, names[i], dy);
            for (int j = 0; j < 4; j++) {
                outputs[i]->data = own[j];
                refuses(&f, BATCHNORM_OVERLAP, any_overlap);
                assert_non_null(strstr(batchnorm_layer_message(f.layer), " overlaps "));
            }
            outputs[i]->data = f.x.data; /* the very same array */
            if (call == DOUBLE_BACKWARD) overlaps(&f, names[i], "x");
            *outputs[i] = good;
        }
    }
}

/* The gradients are outputs, and so is gweight; tangents and cotangents are inputs. */
TEST(numbers_must_be_apart) {
    struct fixture f = start(BACKWARD);
    batchnorm_parameter *const parameters[] = {batchnorm_layer_weight(f.layer), batchnorm_layer_bias(f.layer)};
    for (int i = 0; i < 2; i++) {
        f.dy.data = parameters[i]->grad.data;
        memset(f.dy.stride, 0, sizeof f.dy.stride);
        overlaps(&f, "dy", i == 0 ? "the weight's gradient" : "the bias's gradient");
        parameters[i]->requires_grad = false; /* then it is memory like any other */
        assert_int_equal(run(&f), BATCHNORM_OK);
        parameters[i]->requires_grad = true;
    }

    f = start(JVP);
    f.vweight = f.gx.data;
    overlaps(&f, "ty", "tweight");
    f.vweight = NULL;
    f.vbias = (double *)f.gx.data + 23;
    overlaps(&f, "ty", "tbias");
    f.vbias = f.x.data; /* inputs may overlap */
    assert_int_equal(run(&f), BATCHNORM_OK);

    f = start(DOUBLE_BACKWARD);
    double *const outputs[] = {f.gx.data, f.gdy.data};
    for (int i = 0; i < 2; i++) {
        f.vweight = outputs[i];
        overlaps(&f, i == 0 ? "gx" : "gdy", "vweight");
        f.vweight = NULL;
        f.vbias = outputs[i];
        overlaps(&f, i == 0 ? "gx" : "gdy", "vbias");
        f.vbias = NULL;
    }
    void *const tensors[] = {f.x.data, f.dy.data, f.vx.data, f.gx.data, f.gdy.data};
    const char *const names[] = {"x", "dy", "vx", "gx", "gdy"};
    for (int i = 0; i < 5; i++) {
        f.gweight = tensors[i];
        overlaps(&f, names[i], "gweight");
    }
    f.gweight = f.vweight = f.numbers[0];
    overlaps(&f, "gweight", "vweight");
    f.vweight = NULL;
    f.vbias = f.numbers[0] + C - 1;
    overlaps(&f, "gweight", "vbias");
    f.vbias = f.numbers[1];
    f.vweight = f.numbers[2];
    f.gweight = f.numbers[0];
    assert_int_equal(run(&f), BATCHNORM_OK);
    f.gweight = batchnorm_layer_weight(f.layer)->grad.data; /* a usual place for it */
    assert_int_equal(run(&f), BATCHNORM_OK);
}

TEST(unknown_flags_and_parameters) {
    struct fixture f = start(BACKWARD);
    f.flags = BATCHNORM_FROZEN;
    refuses(&f, BATCHNORM_BAD_OPTION, "unknown flag in 0x1");
    f.flags = BATCHNORM_ACCUMULATE | BATCHNORM_HOLD_UPDATE;
    refuses(&f, BATCHNORM_BAD_OPTION, "unknown flag in 0x22");
    for (int call = JVP; call <= DOUBLE_BACKWARD; call++) {
        f = start((enum call)call);
        assert_int_equal(batchnorm_layer_remove(f.layer, "bias"), BATCHNORM_OK);
        f.vbias = f.numbers[0];
        refuses(&f, BATCHNORM_BAD_OPTION,
                call == JVP ? "tbias was given, but the layer has no bias" : "vbias was given, but the layer has no bias");
        f.vbias = NULL;
        f.vweight = f.numbers[0];
        assert_int_equal(batchnorm_layer_remove(f.layer, "weight"), BATCHNORM_OK);
        assert_int_equal(run(&f), BATCHNORM_OK); /* its forward had a weight */
        assert_int_equal(batchnorm_layer_forward(f.layer, f.x, f.gx, f.saved, 0, NULL), BATCHNORM_OK);
        refuses(&f, BATCHNORM_BAD_OPTION,
                call == JVP ? "tweight was given, but the layer has no weight"
                            : "vweight was given, but the layer has no weight");
        f.vweight = NULL;
        f.gweight = f.numbers[1];
        if (call == DOUBLE_BACKWARD) refuses(&f, BATCHNORM_BAD_OPTION, "gweight was given, but the layer has no weight");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_forward_must_have_been, let_go),
        cmocka_unit_test_teardown(sizes_and_types_must_be_the_forwards, let_go),
        cmocka_unit_test_teardown(needed_tensors_must_be_there, let_go),
        cmocka_unit_test_teardown(x_may_be_absent_where_it_plays_no_part, let_go),
        cmocka_unit_test_teardown(an_overwritten_x_is_refused, let_go),
        cmocka_unit_test_teardown(outputs_must_be_apart, let_go),
        cmocka_unit_test_teardown(numbers_must_be_apart, let_go),
        cmocka_unit_test_teardown(unknown_flags_and_parameters, let_go),
    };
    return cmocka_run_group_tests_name("api.layer.refusals", tests, NULL, NULL);
}
