/* SPDX-License-Identifier: MIT */
/* The limits as text, from the environment and from the caller. That none of them changes a bit is in test_decisions.c. */
#define _POSIX_C_SOURCE 200809L /* setenv() */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/batchnorm.h"
#include "plan/tuning.h"
#include "tests/support/test.h"

static char text[2048];

static const char *tuning(void) {
    assert_true(batchnorm_tuning(text, sizeof text) < sizeof text);
    return text;
}

TEST(every_row_can_be_had_by_its_name) {
    const struct bn_limits *row;
    for (size_t i = 0; (row = bn_limits_at(i)) != NULL; i++) {
        char again[sizeof text];
        assert_int_equal(batchnorm_set_tuning(row->name), BATCHNORM_OK);
        assert_ptr_equal(bn_machine().limits, row);
        strcpy(again, tuning());
        assert_memory_equal(again, row->name, strlen(row->name));
        assert_int_equal(again[strlen(row->name)], ' ');
        assert_int_equal(batchnorm_set_tuning(again), BATCHNORM_OK);
        assert_ptr_equal(bn_machine().limits, row);
        assert_int_equal(setenv("BATCHNORM_TUNING", row->name, 1), 0);
        assert_int_equal(batchnorm_set_tuning(NULL), BATCHNORM_OK);
        assert_ptr_equal(bn_machine().limits, row);
    }
    assert_int_equal(setenv("BATCHNORM_TUNING", "nothing", 1), 0);
    assert_int_equal(batchnorm_set_tuning(NULL), BATCHNORM_OK);
    assert_non_null(bn_machine().limits);
    assert_int_equal(unsetenv("BATCHNORM_TUNING"), 0);
}

TEST(numbers_can_be_changed) {
    char again[sizeof text];
    assert_int_equal(batchnorm_set_tuning("zen5  near=8192 fetch_blend=0 item=1073741824 "), BATCHNORM_OK);
    assert_int_equal(bn_machine().limits->near, 8192);
    assert_int_equal(bn_machine().limits->fetch_blend, 0);
    assert_int_equal(bn_machine().limits->item, 1 << 30);
    strcpy(again, tuning());
    assert_memory_equal(again, "zen5+ item=1073741824 ", 22);
    assert_int_equal(batchnorm_set_tuning("default"), BATCHNORM_OK);
    assert_int_equal(batchnorm_set_tuning(again), BATCHNORM_OK);
    assert_string_equal(again, tuning());
    assert_int_equal(batchnorm_tuning(NULL, 0), strlen(again));
    char little[6] = "......";
    assert_int_equal(batchnorm_tuning(little, sizeof little), strlen(again));
    assert_string_equal(little, "zen5+");
}

TEST(what_is_none_is_refused) {
    static const char *const wrong[] = {"",
                                        " ",
                                        "zen",
                                        "zen55",
                                        "+",
                                        "zen4 item",
                                        "zen4 item=",
                                        "zen4 item=0",
                                        "zen4 item=-1",
                                        "zen4 item=1x",
                                        "zen4 =1",
                                        "zen4 items=1",
                                        "zen4 item =1",
                                        "zen4 near=1 nea=1",
                                        "zen4 item=1073741825",
                                        "item=1",
                                        "zen4 item=99999999999999999999999"};
    char before[sizeof text];
    assert_int_equal(batchnorm_set_tuning("zen4 near=4096"), BATCHNORM_OK);
    strcpy(before, tuning());
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(batchnorm_set_tuning(wrong[i]), BATCHNORM_BAD_OPTION);
        assert_string_equal(tuning(), before);
    }
    assert_int_equal(batchnorm_set_tuning(NULL), BATCHNORM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_can_be_had_by_its_name),
        cmocka_unit_test(numbers_can_be_changed),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests_name("plan.tuning", tests, NULL, NULL);
}
