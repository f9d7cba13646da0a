/* SPDX-License-Identifier: MIT */
/* Views: strides, sizes, DLPack. */
#include <string.h>

#include "batchnorm/tensor.h"
#include "tests/support/test.h"

static float numbers[64];

static void expect_strides(batchnorm_tensor t, int rank, const int64_t *strides) {
    assert_int_equal(t.rank, rank);
    for (int d = 0; d < rank; d++) assert_int_equal(t.stride[d], strides[d]);
}

TEST(contiguous_is_row_major) {
    const int64_t shape[] = {2, 3, 4, 5};
    const batchnorm_tensor t = batchnorm_tensor_contiguous(numbers, BATCHNORM_F16, 4, shape);
    assert_ptr_equal(t.data, numbers);
    assert_int_equal(t.dtype, BATCHNORM_F16);
    assert_memory_equal(t.shape, shape, sizeof shape);
    expect_strides(t, 4, (int64_t[]){60, 20, 5, 1});
    expect_strides(batchnorm_tensor_contiguous(numbers, BATCHNORM_F32, 3, (int64_t[]){2, 0, 5}), 3, (int64_t[]){5, 5, 1});
    expect_strides(batchnorm_tensor_contiguous(numbers, BATCHNORM_F32, 0, NULL), 0, NULL);
}

TEST(channels_last_puts_channels_innermost) {
    const int64_t shape[] = {2, 3, 4, 5, 6};
    const batchnorm_tensor t = batchnorm_tensor_channels_last(numbers, BATCHNORM_F32, 4, shape);
    assert_memory_equal(t.shape, shape, 4 * sizeof shape[0]);
    expect_strides(t, 4, (int64_t[]){60, 1, 15, 3});
    expect_strides(batchnorm_tensor_channels_last(numbers, BATCHNORM_F32, 5, shape), 5, (int64_t[]){360, 1, 90, 18, 3});
    expect_strides(batchnorm_tensor_channels_last(numbers, BATCHNORM_F32, 3, shape), 3, (int64_t[]){12, 1, 3});
    expect_strides(batchnorm_tensor_channels_last(numbers, BATCHNORM_F32, 2, shape), 2, (int64_t[]){3, 1});
    expect_strides(batchnorm_tensor_channels_last(numbers, BATCHNORM_F32, 1, shape), 1, (int64_t[]){1});
}

TEST(a_bad_rank_gives_rank_minus_1) {
    const int64_t shape[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    assert_int_equal(batchnorm_tensor_contiguous(numbers, BATCHNORM_F32, 8, shape).rank, 8);
    assert_int_equal(batchnorm_tensor_contiguous(numbers, BATCHNORM_F32, 9, shape).rank, -1);
    assert_int_equal(batchnorm_tensor_contiguous(numbers, BATCHNORM_F32, -1, shape).rank, -1);
    assert_int_equal(batchnorm_tensor_contiguous(numbers, BATCHNORM_F32, 1, NULL).rank, -1);
    assert_int_equal(batchnorm_tensor_channels_last(numbers, BATCHNORM_F32, 9, shape).rank, -1);
    assert_int_equal(batchnorm_tensor_channels_last(numbers, BATCHNORM_F32, -1, shape).rank, -1);
}

static int64_t elements(int rank, const int64_t *shape) {
    batchnorm_tensor t = {.rank = rank};
    for (int d = 0; d < rank && d < BATCHNORM_MAX_RANK; d++) t.shape[d] = shape[d];
    return batchnorm_tensor_elements(&t);
}

TEST(elements_are_the_product) {
    assert_int_equal(elements(0, NULL), 1);
    assert_int_equal(elements(3, (int64_t[]){2, 3, 4}), 24);
    assert_int_equal(elements(3, (int64_t[]){INT64_MAX, INT64_MAX, 0}), 0);
    assert_int_equal(elements(2, (int64_t[]){INT64_MAX, 1}), INT64_MAX);
    assert_int_equal(elements(2, (int64_t[]){INT64_MAX / 2 + 1, 2}), -1);
    assert_int_equal(elements(2, (int64_t[]){3, -1}), -1);
    assert_int_equal(elements(2, (int64_t[]){0, -1}), -1);
    assert_int_equal(elements(8, (int64_t[]){1, 2, 1, 2, 1, 2, 1, 2}), 16);
    assert_int_equal(elements(-1, NULL), -1);
    assert_int_equal(elements(9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1}), -1);
    assert_int_equal(batchnorm_tensor_elements(NULL), -1);
}

static bool contiguous(int rank, const int64_t *shape, const int64_t *strides) {
    batchnorm_tensor t = batchnorm_tensor_contiguous(numbers, BATCHNORM_F32, rank, shape);
    for (int d = 0; d < rank; d++) t.stride[d] = strides[d];
    return batchnorm_tensor_is_contiguous(&t);
}

TEST(contiguity_ignores_sizes_of_1) {
    assert_true(contiguous(3, (int64_t[]){2, 3, 4}, (int64_t[]){12, 4, 1}));
    assert_true(contiguous(3, (int64_t[]){1, 3, 4}, (int64_t[]){-7, 4, 1}));
    assert_true(contiguous(3, (int64_t[]){2, 3, 1}, (int64_t[]){3, 1, 99}));
    assert_true(contiguous(3, (int64_t[]){2, 0, 4}, (int64_t[]){9, 9, 9}));
    assert_true(contiguous(0, NULL, NULL));
    assert_false(contiguous(3, (int64_t[]){2, 3, 4}, (int64_t[]){13, 4, 1}));
    assert_false(contiguous(3, (int64_t[]){2, 3, 4}, (int64_t[]){12, 1, 3}));
    assert_false(contiguous(2, (int64_t[]){2, 3}, (int64_t[]){0, 1}));
    assert_false(contiguous(1, (int64_t[]){3}, (int64_t[]){-1}));
    assert_false(contiguous(1, (int64_t[]){-3}, (int64_t[]){1}));
    assert_false(batchnorm_tensor_is_contiguous(NULL));
}

/* As dlpack.h has it. */
typedef struct {
    void *data;
    struct {
        int32_t device_type, device_id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} DLTensor;

static int64_t dl_shape[] = {2, 3, 4, 1, 1, 1, 1, 1, 1}, dl_strides[] = {1, -8, 2};

static DLTensor dl_tensor(void) {
    DLTensor t = {.data = numbers, .ndim = 3, .shape = dl_shape, .strides = dl_strides, .byte_offset = 16};
    t.device.device_type = 1;
    t.dtype.code = 2;
    t.dtype.bits = 32;
    t.dtype.lanes = 1;
    return t;
}

TEST(dlpack_becomes_a_view) {
    DLTensor dl = dl_tensor();
    batchnorm_tensor t;
    assert_int_equal(batchnorm_tensor_from_dlpack(&dl, &t), BATCHNORM_OK);
    assert_ptr_equal(t.data, numbers + 4);
    assert_int_equal(t.dtype, BATCHNORM_F32);
    assert_memory_equal(t.shape, dl_shape, 3 * sizeof(int64_t));
    expect_strides(t, 3, dl_strides);
    dl.strides = NULL;
    assert_int_equal(batchnorm_tensor_from_dlpack(&dl, &t), BATCHNORM_OK);
    expect_strides(t, 3, (int64_t[]){12, 4, 1});
    dl.ndim = 0;
    dl.shape = NULL;
    assert_int_equal(batchnorm_tensor_from_dlpack(&dl, &t), BATCHNORM_OK);
    assert_int_equal(t.rank, 0);
    dl.data = NULL; /* an empty tensor may have an offset all the same */
    assert_int_equal(batchnorm_tensor_from_dlpack(&dl, &t), BATCHNORM_OK);
    assert_null(t.data);
}

TEST(dlpack_dtypes_go_both_ways) {
    static const struct {
        batchnorm_dtype dtype;
        uint8_t code, bits;
    } table[] = {{BATCHNORM_F32, 2, 32},
                 {BATCHNORM_F64, 2, 64},
                 {BATCHNORM_F16, 2, 16},
                 {BATCHNORM_BF16, 4, 16},
                 {BATCHNORM_I64, 0, 64}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        batchnorm_tensor t = batchnorm_tensor_channels_last(numbers, table[i].dtype, 3, dl_shape), back;
        DLTensor dl;
        memset(&dl, 0xa5, sizeof dl);
        assert_int_equal(batchnorm_tensor_to_dlpack(&t, &dl), BATCHNORM_OK);
        assert_ptr_equal(dl.data, numbers);
        assert_int_equal(dl.device.device_type, 1);
        assert_int_equal(dl.device.device_id, 0);
        assert_int_equal(dl.ndim, 3);
        assert_int_equal(dl.dtype.code, table[i].code);
        assert_int_equal(dl.dtype.bits, table[i].bits);
        assert_int_equal(dl.dtype.lanes, 1);
        assert_ptr_equal(dl.shape, t.shape);
        assert_ptr_equal(dl.strides, t.stride);
        assert_int_equal(dl.byte_offset, 0);
        assert_int_equal(batchnorm_tensor_from_dlpack(&dl, &back), BATCHNORM_OK);
        assert_memory_equal(&back, &t, sizeof t);
    }
}

TEST(dlpack_takes_any_rank) {
    for (int rank = 0; rank <= BATCHNORM_MAX_RANK; rank++) {
        batchnorm_tensor t = batchnorm_tensor_contiguous(numbers, BATCHNORM_F32, rank, dl_shape), back;
        DLTensor dl;
        assert_int_equal(batchnorm_tensor_to_dlpack(&t, &dl), BATCHNORM_OK);
        assert_int_equal(dl.ndim, rank);
        assert_int_equal(batchnorm_tensor_from_dlpack(&dl, &back), BATCHNORM_OK);
        assert_memory_equal(&back, &t, sizeof t);
    }
}

static void refuses(const DLTensor *dl, batchnorm_status status) {
    batchnorm_tensor t, before;
    memset(&t, 0x5a, sizeof t);
    before = t;
    assert_int_equal(batchnorm_tensor_from_dlpack(dl, &t), status);
    assert_memory_equal(&t, &before, sizeof t);
}

TEST(dlpack_refuses_what_it_cannot_view) {
    DLTensor dl = dl_tensor();
    refuses(NULL, BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_tensor_from_dlpack(&dl, NULL), BATCHNORM_NULL_POINTER);
    static const struct {
        int32_t device;
        batchnorm_status status;
    } devices[] = {{1, BATCHNORM_OK},          {3, BATCHNORM_OK},         {11, BATCHNORM_OK},        {13, BATCHNORM_OK},
                   {2, BATCHNORM_BAD_OPTION},  {0, BATCHNORM_BAD_OPTION}, {8, BATCHNORM_BAD_OPTION}, {10, BATCHNORM_BAD_OPTION},
                   {14, BATCHNORM_BAD_OPTION}, {-1, BATCHNORM_BAD_OPTION}};
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        batchnorm_tensor t;
        dl.device.device_type = devices[i].device;
        assert_int_equal(batchnorm_tensor_from_dlpack(&dl, &t), devices[i].status);
    }
    static const struct {
        uint8_t code, bits;
        uint16_t lanes;
    } types[] = {{2, 8, 1}, {2, 32, 2}, {2, 32, 0}, {0, 32, 1}, {1, 64, 1}, {4, 32, 1}, {5, 64, 1}, {6, 8, 1}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        dl = dl_tensor();
        dl.dtype.code = types[i].code;
        dl.dtype.bits = types[i].bits;
        dl.dtype.lanes = types[i].lanes;
        refuses(&dl, BATCHNORM_BAD_DTYPE);
    }
    dl = dl_tensor();
    dl.ndim = 9;
    refuses(&dl, BATCHNORM_BAD_RANK);
    dl.ndim = -1;
    refuses(&dl, BATCHNORM_BAD_RANK);
    dl.ndim = 3;
    dl.shape = NULL;
    refuses(&dl, BATCHNORM_NULL_POINTER);
}

TEST(to_dlpack_refuses_and_leaves_alone) {
    batchnorm_tensor t = batchnorm_tensor_contiguous(numbers, BATCHNORM_F32, 3, dl_shape);
    DLTensor dl, before;
    memset(&dl, 0x5a, sizeof dl);
    before = dl;
    assert_int_equal(batchnorm_tensor_to_dlpack(NULL, &dl), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_tensor_to_dlpack(&t, NULL), BATCHNORM_NULL_POINTER);
    t.rank = 9;
    assert_int_equal(batchnorm_tensor_to_dlpack(&t, &dl), BATCHNORM_BAD_RANK);
    t.rank = -1;
    assert_int_equal(batchnorm_tensor_to_dlpack(&t, &dl), BATCHNORM_BAD_RANK);
    t.rank = 3;
    t.dtype = (batchnorm_dtype)99;
    assert_int_equal(batchnorm_tensor_to_dlpack(&t, &dl), BATCHNORM_BAD_DTYPE);
    assert_memory_equal(&dl, &before, sizeof dl);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contiguous_is_row_major),
        cmocka_unit_test(channels_last_puts_channels_innermost),
        cmocka_unit_test(a_bad_rank_gives_rank_minus_1),
        cmocka_unit_test(elements_are_the_product),
        cmocka_unit_test(contiguity_ignores_sizes_of_1),
        cmocka_unit_test(dlpack_becomes_a_view),
        cmocka_unit_test(dlpack_dtypes_go_both_ways),
        cmocka_unit_test(dlpack_takes_any_rank),
        cmocka_unit_test(dlpack_refuses_what_it_cannot_view),
        cmocka_unit_test(to_dlpack_refuses_and_leaves_alone),
    };
    return cmocka_run_group_tests_name("api.tensor", tests, NULL, NULL);
}
