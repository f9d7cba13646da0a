/* SPDX-License-Identifier: MIT */
/* The fused calls do what the separate steps do. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/fused.h"
#include "tests/support/test.h"

/* Two problems of the same data: one for the fused call, one for the separate steps. */
struct pair {
    struct problem *fused, *steps;
    enum layout layout;
};

typedef void property(struct pair *pair, const struct fused *f);

#define CHECK(pair, f, condition, ...)                                                                                         \
    do {                                                                                                                       \
        if (!(condition)) fail_at(pair, f, __VA_ARGS__);                                                                       \
    } while (0)

static void fail_at(const struct pair *pair, const struct fused *f, const char *call, const char *what) {
    const struct strided *g = &pair->fused->shape;
    fail_msg("%s: %s, %s %s (%zu, %zu, %zu), activation %d (%g), residual %d, from y %d", call, what, layout_name(pair->layout),
             dtype_name(g->dtype), g->outer, g->channels, g->inner, (int)f->activation.kind, f->activation.parameter,
             f->residual, f->from_y);
}

/* A property for every activation, with and without a residual, gated by y and by v, over layouts, sizes and types. */
static void for_all(property *holds, size_t types) {
    static const enum layout layouts[] = {PLANAR, CHANNELS_LAST, SPACED, S_CHANNEL_N, MIXED};
    static const size_t sizes[][3] = {{3, 5, 7}, {2, 33, 49}, {4, 16, 64}, {2, 3, 300}, {9, 70, 1}, {20, 67, 7}};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            for (size_t d = 0; d < types; d++) {
                struct strided shape = fused_shape(layouts[i], all_dtypes[d], sizes[j][0], sizes[j][1], sizes[j][2]);
                struct pair pair = {problem_create(&shape, 5, true), problem_create(&shape, 5, true), layouts[i]};
                for (int k = 0; k < fused_activation_count * 4; k++) {
                    if (is_left_out()) continue;
                    struct fused f = {fused_activations[k / 4], k & 1, k & 2};
                    holds(&pair, &f);
                }
                problem_destroy(pair.fused);
                problem_destroy(pair.steps);
            }
}

/* y + z, then the activation, in the element type. */
static void add_and_activate(struct problem *p, const struct fused *f) {
    batchnorm_dtype dtype = p->shape.dtype;
    for (size_t i = 0; i < p->shape.outer * p->shape.channels * p->shape.inner; i++) {
        double v = element_get(dtype, p->array[Y].home, fused_index(p, Y, i));
        double z = f->residual ? element_get(dtype, p->array[Z].home, fused_index(p, Z, i)) : 0;
        if (f->residual) v = element_round(dtype, v + z);
        element_set(dtype, p->array[Y].home, fused_index(p, Y, i), activated(dtype, f->activation, v));
    }
}

static void forward_steps(struct pair *pair, const struct fused *f) {
    if (f->from_y) return;
    static const enum verb verbs[] = {INFER, NORMALIZE, FORWARD};
    for (enum fused_verb verb = INFER_FUSED; verb <= FORWARD_FUSED; verb++) {
        problem_restore(pair->fused);
        problem_restore(pair->steps);
        assert_int_equal(fused_run(pair->fused, verb, f, NULL), BATCHNORM_OK);
        assert_int_equal(problem_run(pair->steps, verbs[verb], NULL), BATCHNORM_OK);
        add_and_activate(pair->steps, f);
        const char *array = problem_same(pair->fused, pair->steps);
        CHECK(pair, f, !array, fused_verb_name(verb), array);
    }
}

TEST(forward_has_the_bits_of_the_separate_steps) { for_all(forward_steps, 2); /* F32 and F64 */ }

/* y in the fused problem is that of a forward with the saved statistics. In the other one dy becomes dy gated by y, or where y
 * does not tell by v, which is y for a moment. */
static void prepare_backward(struct pair *pair, const struct fused *f) {
    struct problem *p = pair->fused, *q = pair->steps;
    batchnorm_dtype dtype = p->shape.dtype;
    struct fused gating = *f;
    if (!fused_told_by_y(f->activation)) gating.activation = (batchnorm_activation){BATCHNORM_IDENTITY, 0};
    problem_restore(p);
    problem_restore(q);
    assert_int_equal(fused_run(p, NORMALIZE_FUSED, &gating, NULL), BATCHNORM_OK);
    for (size_t i = 0; i < p->shape.outer * p->shape.channels * p->shape.inner; i++) {
        double y = element_get(dtype, p->array[Y].home, fused_index(p, Y, i));
        double dy = element_get(dtype, p->array[DY].home, fused_index(p, DY, i));
        element_set(dtype, q->array[DY].home, fused_index(q, DY, i), gated(dtype, f->activation, y, dy));
    }
    assert_int_equal(fused_run(p, NORMALIZE_FUSED, f, NULL), BATCHNORM_OK);
}

static void expect_gradients(struct pair *pair, const struct fused *f, const char *call) {
    const struct problem *p = pair->fused, *q = pair->steps;
    for (enum array i = DX; i <= DBIAS; i++)
        if (i == DX || i >= DWEIGHT) CHECK(pair, f, fused_difference(p, i, q, i) < 0, call, array_name(i));
    CHECK(pair, f, fused_difference(p, DZ, q, DY) < 0, call, "dz");
}

static void backward_steps(struct pair *pair, const struct fused *f) {
    struct problem *p = pair->fused;
    bool half = p->shape.dtype != BATCHNORM_F32 && p->shape.dtype != BATCHNORM_F64;
    if (half && !(f->from_y && fused_told_by_y(f->activation))) return; /* v is not rounded, and y is */
    for (enum fused_verb verb = BACKWARD_FUSED; verb < FUSED_VERBS; verb++) {
        enum verb plain = verb == BACKWARD_FUSED ? BACKWARD : BACKWARD_FROZEN;
        prepare_backward(pair, f);
        memcpy(pair->steps->array[DY].before, pair->steps->array[DY].lowest,
               pair->steps->array[DY].count * batchnorm_dtype_bytes(p->shape.dtype));
        assert_int_equal(problem_run(pair->steps, plain, NULL), BATCHNORM_OK);
        const char *what = problem_check(pair->steps, plain);
        CHECK(pair, f, !what, verb_name(plain), what);
        assert_int_equal(fused_run(p, verb, f, NULL), BATCHNORM_OK);
        expect_gradients(pair, f, fused_verb_name(verb));
        memcpy(pair->steps->array[DY].before, p->array[DY].before, p->array[DY].count * batchnorm_dtype_bytes(p->shape.dtype));
    }
}

TEST(backward_has_the_bits_of_the_gated_gradient) { for_all(backward_steps, 4); }

static void copy_array(const struct problem *from, struct problem *to, enum array array) {
    memcpy(to->array[array].lowest, from->array[array].lowest,
           to->array[array].count * batchnorm_dtype_bytes(to->array[array].dtype));
}

/* Every subset of the four outputs. */
static void backward_subsets(struct pair *pair, const struct fused *f) {
    static const enum array outputs[] = {DX, DZ, DWEIGHT, DBIAS};
    struct problem *p = pair->fused, *q = pair->steps;
    if (p->shape.inner == 49) return; /* for time */
    for (enum fused_verb verb = BACKWARD_FUSED; verb < FUSED_VERBS; verb++) {
        problem_restore(q);
        assert_int_equal(fused_run(q, NORMALIZE_FUSED, f, NULL), BATCHNORM_OK);
        assert_int_equal(fused_run(q, verb, f, NULL), BATCHNORM_OK);
        for (unsigned mask = 0; mask < 15; mask++) {
            problem_restore(p);
            copy_array(q, p, Y);
            for (int i = 0; i < 4; i++)
                if (!(mask >> i & 1)) p->array[outputs[i]].data = NULL;
            assert_int_equal(fused_run(p, verb, f, NULL), BATCHNORM_OK);
            for (int i = 0; i < 4; i++) {
                if (!(mask >> i & 1)) copy_array(q, p, outputs[i]);
                p->array[outputs[i]].data = p->array[outputs[i]].home;
            }
            const char *array = problem_same(p, q);
            CHECK(pair, f, !array, fused_verb_name(verb), array);
        }
    }
}

TEST(unwanted_gradients_change_no_bit) { for_all(backward_subsets, 4); }

/* y over x or z. */
static void forward_over_inputs(struct pair *pair, const struct fused *f) {
    struct problem *p = pair->fused;
    if (pair->layout == MIXED || f->from_y) return;
    for (enum fused_verb verb = INFER_FUSED; verb <= FORWARD_FUSED; verb++) {
        problem_restore(pair->steps);
        assert_int_equal(fused_run(pair->steps, verb, f, NULL), BATCHNORM_OK);
        static const enum array targets[] = {X, Z};
        for (int i = 0; i < 2; i++) {
            problem_restore(p);
            p->array[Y].data = p->array[targets[i]].home;
            assert_int_equal(fused_run(p, verb, f, NULL), BATCHNORM_OK);
            p->array[Y].data = p->array[Y].home;
            CHECK(pair, f, fused_difference(p, targets[i], pair->steps, Y) < 0, fused_verb_name(verb), array_name(targets[i]));
        }
    }
}

TEST(forward_in_place_gives_the_same_bits) { for_all(forward_over_inputs, 4); }

/* dx and dz over any two inputs. */
static void backward_over_inputs(struct pair *pair, const struct fused *f) {
    static const enum array targets[] = {X, Y, Z, DY};
    struct problem *p = pair->fused, *q = pair->steps;
    if (pair->layout == MIXED || p->shape.inner == 49) return;
    for (enum fused_verb verb = BACKWARD_FUSED; verb < FUSED_VERBS; verb++) {
        problem_restore(q);
        assert_int_equal(fused_run(q, NORMALIZE_FUSED, f, NULL), BATCHNORM_OK);
        assert_int_equal(fused_run(q, verb, f, NULL), BATCHNORM_OK);
        for (int i = 0; i < 25; i++) {
            enum array dx = i / 5 < 4 ? targets[i / 5] : DX, dz = i % 5 < 4 ? targets[i % 5] : DZ;
            if (dx == dz) continue;
            problem_restore(p);
            assert_int_equal(fused_run(p, NORMALIZE_FUSED, f, NULL), BATCHNORM_OK);
            p->array[DX].data = p->array[dx].home;
            p->array[DZ].data = p->array[dz].home;
            assert_int_equal(fused_run(p, verb, f, NULL), BATCHNORM_OK);
            p->array[DX].data = p->array[DX].home;
            p->array[DZ].data = p->array[DZ].home;
            CHECK(pair, f, fused_difference(p, dx, q, DX) < 0, "dx over", array_name(dx));
            CHECK(pair, f, fused_difference(p, dz, q, DZ) < 0, "dz over", array_name(dz));
            for (enum array k = DWEIGHT; k <= DBIAS; k++)
                CHECK(pair, f, fused_difference(p, k, q, k) < 0, fused_verb_name(verb), array_name(k));
        }
    }
}

TEST(backward_in_place_gives_the_same_bits) { for_all(backward_over_inputs, 4); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_has_the_bits_of_the_separate_steps),
        cmocka_unit_test(backward_has_the_bits_of_the_gated_gradient),
        cmocka_unit_test(unwanted_gradients_change_no_bit),
        cmocka_unit_test(forward_in_place_gives_the_same_bits),
        cmocka_unit_test(backward_in_place_gives_the_same_bits),
    };
    return cmocka_run_group_tests_name("api.fused", tests, NULL, NULL);
}
