/* SPDX-License-Identifier: MIT */
/* The wire format: what is there is found, and what is broken is told with its place. */
#include <string.h>

#include "model/wire.h"
#include "model_support.h"
#include "tests/support/test.h"

TEST(every_wire_type_is_read) {
    struct bytes b = {.count = 0};
    struct bn_field f;
    put_int(&b, 1, UINT64_MAX);
    put_varint(&b, 2 << 3 | 1);
    put_number(&b, 0x0102030405060708, 8);
    put_string(&b, 3, "text");
    put_varint(&b, 536870911u << 3 | 5); /* the largest number of a field */
    put_number(&b, 0xdeadbeef, 4);
    struct bn_wire w = bn_wire_begin(b.at, (struct bn_slice){0, b.count});
    assert_true(bn_wire_next(&w, &f));
    assert_true(f.number == 1 && f.type == BN_VARINT && f.bits == UINT64_MAX && f.tag == 0);
    assert_true(bn_wire_next(&w, &f));
    assert_true(f.number == 2 && f.type == BN_FIXED64 && f.bits == 0x0102030405060708);
    assert_true(bn_wire_next(&w, &f));
    assert_true(f.number == 3 && f.type == BN_BYTES && f.value.end - f.value.at == 4);
    assert_memory_equal(b.at + f.value.at, "text", 4);
    assert_true(bn_wire_next(&w, &f));
    assert_true(f.number == 536870911 && f.type == BN_FIXED32 && f.bits == 0xdeadbeef && f.value.end == b.count);
    assert_false(bn_wire_next(&w, &f));
    assert_null(w.wrong);
}

TEST(an_empty_message_has_no_field) {
    struct bn_field f;
    struct bn_wire w = bn_wire_begin(NULL, (struct bn_slice){0, 0});
    assert_false(bn_wire_next(&w, &f));
    assert_null(w.wrong);
}

TEST(every_broken_message_is_told) {
    static const struct {
        const char *bytes;
        size_t count, at;
        const char *wrong;
    } cases[] = {
        {"\x08", 1, 0, "a number that is cut off"},
        {"\x08\x80", 2, 0, "a number that is cut off"},
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, 0, "more than 64 bits"},
        {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, 0, "more than 64 bits"},
        {"\x09\1\2\3\4\5\6\7", 8, 0, "8 bytes that is cut off"},
        {"\x0d\1\2\3", 4, 0, "4 bytes that is cut off"},
        {"\x0a", 1, 0, "a length that is cut off"},
        {"\x0a\2\1", 3, 0, "longer than what it is in"},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, 0, "longer than what it is in"},
        {"\x0b", 1, 0, "a group"},
        {"\x0c", 1, 0, "a group"},
        {"\x0e", 1, 0, "a wire type that there is not"},
        {"\x0f", 1, 0, "a wire type that there is not"},
        {"\x00\x00", 2, 0, "a field without a number"},
        {"\x80", 1, 0, "a field without a number"},
        {"\x80\x80\x80\x80\x10\x00", 6, 0, "a field without a number"}, /* a number of 30 bits */
        {"\x08\x01\x08", 3, 2, "a number that is cut off"},             /* the place of the second */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bn_field f;
        unsigned char bytes[16];
        memcpy(bytes, cases[i].bytes, cases[i].count);
        struct bn_wire w = bn_wire_begin(bytes, (struct bn_slice){0, cases[i].count});
        while (bn_wire_next(&w, &f)) assert_true(f.value.end <= cases[i].count);
        if (!w.wrong || !strstr(w.wrong, cases[i].wrong)) fail_msg("case %zu: %s", i, w.wrong ? w.wrong : "is read");
        assert_int_equal(w.rest.at, cases[i].at);
        assert_false(bn_wire_next(&w, &f)); /* and it stays so */
    }
}

static size_t numbers_of(const struct bytes *b, enum bn_wire_type type, uint64_t *numbers, const char **wrong) {
    struct bn_field f;
    size_t count = 0;
    struct bn_wire w = bn_wire_begin(b->at, (struct bn_slice){0, b->count});
    *wrong = NULL;
    while (bn_wire_next(&w, &f))
        for (struct bn_slice rest = f.value; bn_wire_number(b->at, &f, type, &rest, &numbers[count], wrong); count++) {
        }
    return count;
}

TEST(numbers_come_packed_or_one_by_one) {
    struct bytes one = {.count = 0}, packed = {.count = 0}, inner = {.count = 0};
    uint64_t numbers[8];
    const char *wrong;
    for (uint64_t i = 0; i < 3; i++) put_int(&one, 1, 1000 * i);
    for (uint64_t i = 0; i < 3; i++) put_varint(&inner, 1000 * i);
    put_message(&packed, 1, &inner);
    const struct bytes *const both[] = {&one, &packed};
    for (int k = 0; k < 2; k++) {
        assert_int_equal(numbers_of(both[k], BN_VARINT, numbers, &wrong), 3);
        assert_true(numbers[0] == 0 && numbers[1] == 1000 && numbers[2] == 2000 && !wrong);
    }
    struct bytes floats = {.count = 0}, doubles = {.count = 0};
    inner.count = 0;
    for (uint64_t i = 1; i <= 2; i++) put_number(&inner, i, 4);
    put_message(&floats, 1, &inner);
    assert_int_equal(numbers_of(&floats, BN_FIXED32, numbers, &wrong), 2);
    assert_true(numbers[1] == 2 && !wrong);
    assert_int_equal(numbers_of(&floats, BN_FIXED64, numbers, &wrong), 1);
    inner.count = 0;
    put_number(&inner, 7, 8);
    put_message(&doubles, 1, &inner);
    assert_int_equal(numbers_of(&doubles, BN_FIXED64, numbers, &wrong), 1);
    assert_true(numbers[0] == 7 && !wrong);
}

TEST(packed_numbers_that_are_cut_off_are_told) {
    struct bytes b = {.count = 0};
    uint64_t numbers[8];
    const char *wrong;
    put_string(&b, 1, "\1\x80");
    assert_int_equal(numbers_of(&b, BN_VARINT, numbers, &wrong), 1);
    assert_non_null(wrong);
    b.count = 0;
    put_string(&b, 1, "123");
    assert_int_equal(numbers_of(&b, BN_FIXED32, numbers, &wrong), 0);
    assert_non_null(wrong);
    b.count = 0;
    put_int(&b, 1, 5);
    assert_int_equal(numbers_of(&b, BN_FIXED32, numbers, &wrong), 0);
    assert_non_null(wrong);
}

TEST(varints_are_as_long_as_they_must_be) {
    static const uint64_t values[] = {0, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        unsigned char bytes[BN_VARINT_BYTES + 1] = {0};
        struct bn_field f;
        bytes[0] = 1 << 3;
        const size_t count = bn_varint_write(values[i], bytes + 1);
        assert_int_equal(count, bn_varint_bytes(values[i]));
        struct bn_wire w = bn_wire_begin(bytes, (struct bn_slice){0, count + 1});
        assert_true(bn_wire_next(&w, &f) && f.bits == values[i]);
        assert_true(count == 1 || bytes[count] != 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wire_type_is_read),
        cmocka_unit_test(an_empty_message_has_no_field),
        cmocka_unit_test(every_broken_message_is_told),
        cmocka_unit_test(numbers_come_packed_or_one_by_one),
        cmocka_unit_test(packed_numbers_that_are_cut_off_are_told),
        cmocka_unit_test(varints_are_as_long_as_they_must_be),
    };
    return cmocka_run_group_tests_name("model.wire", tests, NULL, NULL);
}
