/* SPDX-License-Identifier: MIT */
/* Zip files: entries that are stored are found, others are told from them, and what is not whole is refused. */
#include <string.h>

#include "model/zip.h"
#include "model_support.h"
#include "tests/support/test.h"

static void two_entries(struct zip_writer *z) {
    *z = (struct zip_writer){.count = 0};
    zip_add(z, "a/one", "1", 1);
    zip_add(z, "a/two", "22", 2);
    zip_end(z);
}

static size_t entries_of(const struct bytes *b, size_t count, size_t *whole, const char **wrong) {
    struct bn_zip zip;
    struct bn_zip_entry e;
    struct bn_slice data;
    size_t entries = 0;
    *whole = 0;
    if (bn_zip_begin(&zip, b->at, count))
        for (; bn_zip_next(&zip, &e); entries++) {
            assert_true(e.name.at <= e.name.end && e.name.end <= count);
            if (!bn_zip_data(&zip, &e, &data)) continue;
            assert_true(data.at <= data.end && data.end <= count);
            ++*whole;
        }
    *wrong = zip.wrong;
    return entries;
}

TEST(entries_are_found) {
    static struct zip_writer z;
    struct bn_zip zip;
    struct bn_zip_entry e;
    struct bn_slice data;
    two_entries(&z);
    assert_true(bn_zip_begin(&zip, z.file.at, z.file.count));
    assert_true(bn_zip_next(&zip, &e) && bn_zip_data(&zip, &e, &data));
    assert_memory_equal(z.file.at + e.name.at, "a/one", 5);
    assert_true(data.end - data.at == 1 && z.file.at[data.at] == '1');
    assert_true(bn_zip_next(&zip, &e) && bn_zip_data(&zip, &e, &data));
    assert_true(data.end - data.at == 2 && z.file.at[data.at] == '2');
    assert_false(bn_zip_next(&zip, &e));
    assert_null(zip.wrong);
}

TEST(a_comment_at_the_end_is_passed_over) {
    static struct zip_writer z;
    size_t whole;
    const char *wrong;
    two_entries(&z);
    put_text(&z.file, "a comment, and a PK in it");
    assert_int_equal(entries_of(&z.file, z.file.count, &whole, &wrong), 2);
    assert_true(whole == 2 && !wrong);
}

TEST(sizes_of_64_bits) {
    static struct zip_writer z;
    static struct bytes b;
    size_t whole;
    const char *wrong;
    two_entries(&z);
    const size_t directory = z.file.count - 22 - z.directory.count, bytes = z.directory.count;
    b = (struct bytes){.count = 0};
    put(&b, z.file.at, directory);
    /* the first entry once more, all of whose numbers stand in the extra field */
    put(&b, z.directory.at, 20);
    put_number(&b, UINT32_MAX, 4);
    put_number(&b, UINT32_MAX, 4);
    put_number(&b, 5, 2);
    put_number(&b, 28, 2);
    put_number(&b, 0, 10);
    put_number(&b, UINT32_MAX, 4);
    put_text(&b, "a/one");
    put_number(&b, 1, 2);
    put_number(&b, 24, 2);
    put_number(&b, 1, 8);
    put_number(&b, 1, 8);
    put_number(&b, 0, 8);
    const size_t size = b.count - directory;
    assert_true(size > bytes / 2);
    const size_t end64 = b.count;
    put_text(&b, "PK\6\6");
    put_number(&b, 44, 8);
    put_number(&b, 0, 12);
    put_number(&b, 1, 8);
    put_number(&b, 1, 8);
    put_number(&b, size, 8);
    put_number(&b, directory, 8);
    put_text(&b, "PK\6\7");
    put_number(&b, 0, 4);
    put_number(&b, end64, 8);
    put_number(&b, 1, 4);
    put_text(&b, "PK\5\6");
    put_number(&b, 0, 4);
    put_number(&b, UINT16_MAX, 2);
    put_number(&b, UINT16_MAX, 2);
    put_number(&b, UINT32_MAX, 4);
    put_number(&b, UINT32_MAX, 4);
    put_number(&b, 0, 2);
    assert_int_equal(entries_of(&b, b.count, &whole, &wrong), 1);
    assert_true(whole == 1 && !wrong);
    b.at[end64] = 'X';
    assert_int_equal(entries_of(&b, b.count, &whole, &wrong), 0);
    assert_non_null(wrong);
}

TEST(what_is_compressed_or_elsewhere_has_no_data) {
    static struct zip_writer z;
    size_t whole;
    const char *wrong;
    two_entries(&z);
    const size_t first = z.file.count - 22 - z.directory.count;
    const struct {
        size_t at;
        unsigned char value;
    } cases[] = {{10, 8}, {8, 1}, {20, 9}, {42, 1}, {45, 0xff}, {24, 0xff}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        two_entries(&z);
        z.file.at[first + cases[i].at] = cases[i].value;
        assert_int_equal(entries_of(&z.file, z.file.count, &whole, &wrong), 2);
        if (whole != 1 || wrong) fail_msg("case %zu: %zu are whole", i, whole);
    }
    two_entries(&z);
    z.file.at[first + 21] = z.file.at[first + 25] = 0xff; /* stored, and longer than the file */
    assert_int_equal(entries_of(&z.file, z.file.count, &whole, &wrong), 2);
    assert_int_equal(whole, 1);
}

TEST(directories_that_are_not_there_are_refused) {
    static struct zip_writer z;
    size_t whole;
    const char *wrong;
    two_entries(&z);
    for (size_t count = 0; count < z.file.count; count++) {
        entries_of(&z.file, count, &whole, &wrong);
        assert_non_null(wrong);
    }
    const size_t end = z.file.count - 22;
    for (size_t at = 12; at < 20; at += 4) { /* its size, its place */
        two_entries(&z);
        z.file.at[end + at + 3] = 0x7f;
        assert_int_equal(entries_of(&z.file, z.file.count, &whole, &wrong), 0);
        assert_non_null(wrong);
    }
    two_entries(&z);
    z.file.at[end - z.directory.count + 28] = 0xff; /* a name that is longer than the directory */
    z.file.at[end - z.directory.count + 29] = 0xff;
    assert_int_equal(entries_of(&z.file, z.file.count, &whole, &wrong), 0);
    assert_non_null(wrong);
}

TEST(every_changed_byte_is_stood) {
    static struct zip_writer z;
    size_t whole;
    const char *wrong;
    two_entries(&z);
    for (size_t i = 0; i < z.file.count; i++)
        for (int value = 0; value < 256; value += value < 8 ? 1 : 31) {
            const unsigned char old = z.file.at[i];
            z.file.at[i] = (unsigned char)value;
            entries_of(&z.file, z.file.count, &whole, &wrong);
            z.file.at[i] = old;
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found),
        cmocka_unit_test(a_comment_at_the_end_is_passed_over),
        cmocka_unit_test(sizes_of_64_bits),
        cmocka_unit_test(what_is_compressed_or_elsewhere_has_no_data),
        cmocka_unit_test(directories_that_are_not_there_are_refused),
        cmocka_unit_test(every_changed_byte_is_stood),
    };
    return cmocka_run_group_tests_name("model.zip", tests, NULL, NULL);
}
