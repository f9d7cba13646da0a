/* SPDX-License-Identifier: MIT */
/* A layer's memory: the k-th allocation fails, for every k, and nothing has changed; calls that were made before allocate
 * nothing; everything goes through the allocator and comes back. Long because each call needs its own failing allocations. */
#include <stdlib.h>
#include <string.h>

#include "layer_support.h"
#include "tests/support/layer_calls.h"
#include "tests/support/test.h"

/* The linker sends the library's calls of malloc here (--wrap). */
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
static long malloc_calls;

void *__wrap_malloc(size_t bytes) {
    malloc_calls++;
    return __real_malloc(bytes);
}

enum { C = 3 };

/* Calls that need memory, in the order in which a program might make them. */
struct run {
    struct ledger *ledger;
    batchnorm_layer *layer, *lazy;
    batchnorm_saved *saved;
    batchnorm_tensor small, large, y, dx, gdy;
    double weight[C], gweight[C];
};

static batchnorm_status create(batchnorm_layer **layer, struct run *r, bool lazy) {
    batchnorm_layer_options o = batchnorm_layer_defaults(2, C);
    o.lazy = lazy;
    o.dtype = BATCHNORM_F64;
    o.allocator = &r->ledger->allocator;
    const batchnorm_status status = batchnorm_layer_create(&o, layer);
    if (status == BATCHNORM_OK) keep_layer(*layer);
    return status;
}

static batchnorm_status create_saved(struct run *r) {
    const batchnorm_status status = batchnorm_saved_create(r->layer, &r->saved);
    if (status == BATCHNORM_OK) keep_saved(r->saved);
    return status;
}

static batchnorm_status forward(batchnorm_layer *layer, batchnorm_tensor x, const struct run *r, batchnorm_saved *saved,
                                unsigned flags) {
    const batchnorm_tensor y = batchnorm_tensor_contiguous(r->y.data, x.dtype, x.rank, x.shape);
    return batchnorm_layer_forward(layer, x, y, saved, flags, NULL);
}

static batchnorm_status load(batchnorm_layer *layer, struct run *r) {
    const int64_t size = C;
    const batchnorm_named_tensor state = {"weight", batchnorm_tensor_contiguous(r->weight, BATCHNORM_F64, 1, &size)};
    return batchnorm_layer_load_state(layer, &state, 1, 2, false);
}

enum { STEPS = 13 };

static batchnorm_status step(struct run *r, int i) {
    switch (i) {
    case 0:
        return create(&r->layer, r, false);
    case 1:
        return forward(r->layer, r->small, r, NULL, 0);
    case 2:
        return forward(r->layer, r->small, r, NULL, BATCHNORM_HOLD_UPDATE);
    case 3:
        return batchnorm_layer_commit_update(r->layer);
    case 4:
        return create_saved(r);
    case 5:
        return forward(r->layer, r->large, r, r->saved, 0);
    case 6:
        return batchnorm_layer_backward(r->layer, r->saved, r->large, r->large, r->dx, 0, NULL);
    case 7:
        return layer_jvp(r->layer, r->saved, r->large, r->large, r->weight, r->weight, r->dx, NULL);
    case 8:
        return layer_double_backward(r->layer, r->saved, r->large, r->large, r->large, r->weight, r->weight, r->dx, r->gdy,
                                     r->gweight, NULL);
    case 9:
        return load(r->layer, r);
    case 10:
        return create(&r->lazy, r, true);
    case 11:
        return load(r->lazy, r);
    default:
        return forward(r->lazy, r->small, r, NULL, BATCHNORM_HOLD_UPDATE);
    }
}

static struct run *start(void) {
    struct run *r = keep(calloc(1, sizeof *r), free);
    r->ledger = make_ledger();
    r->small = box(BATCHNORM_F64, 4, (int64_t[]){2, C, 2, 2}, 3);
    r->large = box(BATCHNORM_F64, 4, (int64_t[]){9, C, 50, 51}, 4);
    r->y = box_like(r->large);
    r->dx = box_like(r->large);
    r->gdy = box_like(r->large);
    for (int c = 0; c < C; c++) r->weight[c] = 2 + c;
    return r;
}

/* Both layers and every output. */
static const char *whole(const struct run *r) {
    const char *a = r->layer == NULL ? "" : picture(r->layer, r->saved), *b = r->lazy == NULL ? "" : picture(r->lazy, NULL);
    const size_t bytes = box_bytes(r->y);
    unsigned long sum = 5381;
    const batchnorm_tensor outputs[] = {r->y, r->dx, r->gdy};
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < bytes; k++) sum = sum * 33 + ((unsigned char *)outputs[i].data)[k];
    for (size_t k = 0; k < sizeof r->gweight; k++) sum = sum * 33 + ((const unsigned char *)r->gweight)[k];
    const size_t size = strlen(a) + strlen(b) + 64;
    char *text = keep(malloc(size), free);
    snprintf(text, size, "%s%s%lx", a, b, sum);
    return text;
}

/* All steps; one that fails for want of memory must have changed nothing, and is then repeated. Returns the failures. */
static int run_all(struct run *r, long fail_at) {
    int failures = 0;
    r->ledger->fail_at = fail_at;
    for (int i = 0; i < STEPS; i++) {
        const char *before = whole(r);
        batchnorm_status status = step(r, i);
        if (status == BATCHNORM_NO_MEMORY) {
            assert_string_equal(before, whole(r));
            failures++;
            if (i != 0 && i != 10)
                assert_string_equal(batchnorm_layer_message(i > 10 ? r->lazy : r->layer), "memory could not be allocated");
            status = step(r, i);
        }
        assert_int_equal(status, BATCHNORM_OK);
    }
    return failures;
}

TEST(any_allocation_may_fail) {
    struct run *good = start();
    assert_int_equal(run_all(good, 0), 0);
    const char *wanted = whole(good);
    const long calls = good->ledger->calls;
    assert_true(calls > 14);
    for (long k = 1; k <= calls; k++) {
        struct run *r = start();
        assert_int_equal(run_all(r, k), 1);
        assert_string_equal(wanted, whole(r));
    }
}

/* The place has grown before the next allocation fails: what it holds must have come along. */
TEST(a_place_that_has_grown_keeps_what_it_holds) {
    struct ledger *ledger = make_ledger();
    batchnorm_layer_options o = batchnorm_layer_defaults(1, 0);
    o.affine = o.track_running_stats = false;
    o.allocator = &ledger->allocator;
    batchnorm_layer *layer = make_layer_of(o);
    const batchnorm_tensor x = box(BATCHNORM_F32, 2, (int64_t[]){4, 2}, 3), wide = box(BATCHNORM_F32, 2, (int64_t[]){4, 20}, 4);
    const batchnorm_tensor y = box_like(wide), dx = box_like(x);
    assert_int_equal(batchnorm_layer_forward(layer, x, dx, NULL, 0, NULL), BATCHNORM_OK);
    const char *before = picture(layer, NULL);
    const long calls = ledger->calls;
    ledger->fail_at = calls + 2;
    assert_int_equal(batchnorm_layer_forward(layer, wide, y, NULL, 0, NULL), BATCHNORM_NO_MEMORY);
    assert_int_equal(ledger->calls, calls + 2);
    expect_same_picture(before, layer, NULL);
    assert_int_equal(batchnorm_layer_backward(layer, NULL, x, x, dx, 0, NULL), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_forward(layer, wide, y, NULL, 0, NULL), BATCHNORM_OK);
}

TEST(a_layer_without_channels_has_memory) {
    struct ledger *ledger = make_ledger();
    batchnorm_layer_options o = batchnorm_layer_defaults(1, 0);
    o.allocator = &ledger->allocator;
    batchnorm_layer *layer = make_layer_of(o);
    const batchnorm_tensor empty = batchnorm_tensor_contiguous(NULL, BATCHNORM_F32, 2, (int64_t[]){4, 0});
    assert_non_null(batchnorm_layer_weight(layer));
    assert_int_equal(batchnorm_layer_forward(layer, empty, empty, NULL, BATCHNORM_HOLD_UPDATE, NULL), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_commit_update(layer), BATCHNORM_OK);
}

TEST(a_second_time_nothing_is_allocated) {
    struct run *r = start();
    assert_int_equal(run_all(r, 0), 0);
    const long calls = r->ledger->calls;
    malloc_calls = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(forward(r->layer, r->large, r, r->saved, 0), BATCHNORM_OK);
        for (int s = 6; s <= 8; s++) assert_int_equal(step(r, s), BATCHNORM_OK);
        assert_int_equal(forward(r->layer, r->small, r, NULL, BATCHNORM_HOLD_UPDATE), BATCHNORM_OK);
        assert_int_equal(batchnorm_layer_commit_update(r->layer), BATCHNORM_OK);
        batchnorm_layer_eval(r->layer);
        assert_int_equal(forward(r->layer, r->small, r, NULL, 0), BATCHNORM_OK);
        batchnorm_layer_train(r->layer);
    }
    assert_int_equal(r->ledger->calls, calls);
    assert_int_equal(malloc_calls, 0);
}

/* A workspace of the caller that is large enough replaces the layer's, with the same bits; a smaller one is not used. */
TEST(a_workspace_can_be_given) {
    struct run *own = start(), *given = start();
    static char workspace[1 << 16];
    batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .workspace = workspace, .workspace_bytes = sizeof workspace};
    assert_int_equal(step(own, 0), BATCHNORM_OK);
    assert_int_equal(step(given, 0), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_forward(own->layer, own->large, own->y, NULL, 0, NULL), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_forward(given->layer, given->large, given->y, NULL, 0, &exec), BATCHNORM_OK);
    assert_int_equal(given->ledger->calls, own->ledger->calls - 1);
    assert_memory_equal(own->y.data, given->y.data, box_bytes(own->y));
    memset(workspace, 0x11, sizeof workspace);
    exec.workspace_bytes = 8;
    assert_int_equal(batchnorm_layer_forward(given->layer, given->large, given->y, NULL, 0, &exec), BATCHNORM_OK);
    assert_int_equal(given->ledger->calls, own->ledger->calls);
    for (size_t i = 0; i < sizeof workspace; i++) assert_int_equal(workspace[i], 0x11);
    /* nor one that lies in what the call, or the layer, works on */
    void *const taken[] = {own->large.data, own->y.data, batchnorm_layer_bias(own->layer)->value.data};
    for (size_t i = 0; i < 3; i++) {
        exec = (batchnorm_exec){.size = sizeof(batchnorm_exec), .workspace = taken[i], .workspace_bytes = 8};
        assert_int_equal(batchnorm_layer_forward(own->layer, own->large, own->y, NULL, 0, &exec), BATCHNORM_OVERLAP);
        assert_non_null(strstr(batchnorm_layer_message(own->layer), "the workspace"));
        assert_int_equal(batchnorm_layer_backward(own->layer, NULL, own->large, own->y, own->y, 0, &exec), BATCHNORM_OVERLAP);
    }
}

/* In reverse, and counted. */
static void counting_for(void *user, size_t items, batchnorm_task *task, void *arg) {
    reversed_for(NULL, items, task, arg);
    *(size_t *)user += items;
}

/* The caller's parallel_for does the work of every call. */
TEST(exec_is_passed_on) {
    struct run *a = start(), *b = start();
    size_t items = 0, before = 0;
    const batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .parallel_for = counting_for, .user = &items};
    const batchnorm_tensor x = b->large;
    assert_int_equal(step(a, 0), BATCHNORM_OK);
    assert_int_equal(step(b, 0), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_forward(a->layer, a->large, a->y, NULL, 0, NULL), BATCHNORM_OK);
    for (int i = 0; i < 4; i++) {
        if (i == 0) assert_int_equal(batchnorm_layer_forward(b->layer, x, b->y, NULL, 0, &exec), BATCHNORM_OK);
        if (i == 1) assert_int_equal(batchnorm_layer_backward(b->layer, NULL, x, x, b->dx, 0, &exec), BATCHNORM_OK);
        if (i == 2) assert_int_equal(layer_jvp(b->layer, NULL, x, x, NULL, NULL, b->dx, &exec), BATCHNORM_OK);
        if (i == 3)
            assert_int_equal(layer_double_backward(b->layer, NULL, x, x, x, NULL, NULL, b->dx, b->gdy, NULL, &exec),
                             BATCHNORM_OK);
        assert_true(items > before);
        before = items;
    }
    assert_memory_equal(a->y.data, b->y.data, box_bytes(a->y));
}

TEST(the_allocator_is_shown) {
    struct run *r = start();
    assert_int_equal(step(r, 0), BATCHNORM_OK);
    const batchnorm_allocator *shown = batchnorm_layer_get_options(r->layer).allocator;
    assert_non_null(shown);
    assert_ptr_not_equal(shown, &r->ledger->allocator); /* it was copied */
    assert_ptr_equal(shown->user, r->ledger);
    batchnorm_layer *layer = make_layer(2, 3, BATCHNORM_F32);
    assert_null(batchnorm_layer_get_options(layer).allocator);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(any_allocation_may_fail, let_go),
        cmocka_unit_test_teardown(a_place_that_has_grown_keeps_what_it_holds, let_go),
        cmocka_unit_test_teardown(a_layer_without_channels_has_memory, let_go),
        cmocka_unit_test_teardown(a_second_time_nothing_is_allocated, let_go),
        cmocka_unit_test_teardown(a_workspace_can_be_given, let_go),
        cmocka_unit_test_teardown(exec_is_passed_on, let_go),
        cmocka_unit_test_teardown(the_allocator_is_shown, let_go),
    };
    return cmocka_run_group_tests_name("api.layer.memory", tests, NULL, NULL);
}
