/* SPDX-License-Identifier: MIT */
/* Data sets that are folders of PNG and JPEG files. Long because there are many ways to lay them out. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image_files.h"
#include "loaded.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

enum { WIDTH = 5, HEIGHT = 3, SIZE = WIDTH * HEIGHT };

static void assert_bad(const char *name, const char *what) { assert_bad_dataset("set", name, what); }

FIXTURE(clear) {
    files_remove(file_path("set"));
    return unload(state);
}

/* `count` grey images in a folder, the pixels of the i-th of which are `base` + i. */
static void put_class(const char *folder, int count, int base) {
    char name[128];
    for (int i = 0; i < count; i++) {
        const uint8_t grey = (uint8_t)(base + i);
        snprintf(name, sizeof name, "set/%s/%02d.png", folder, i);
        put_plain_png(name, WIDTH, HEIGHT, grey, grey, grey);
    }
}

/* Image i of a set is of this class, and all its pixels have this value. */
static void assert_image(const nn_dataset *set, size_t i, uint8_t label, uint8_t grey) {
    const size_t bytes = SIZE * set->image.channels;
    assert_int_equal(set->labels[i], label);
    for (size_t k = 0; k < bytes; k++) assert_int_equal(set->pixels[i * bytes + k], grey);
}

/* Every sixth file is for testing; classes take turns; what is hidden or no folder does not count. */
TEST(one_folder_is_split) {
    static const uint8_t trains[][2] = {{0, 10}, {1, 100}, {0, 11}, {1, 101}, {0, 12}, {0, 13}, {0, 14}, {0, 16}};
    put_class("b cat", 7, 10);
    put_class("dog", 2, 100);
    put_class(".hidden", 1, 0);
    file_put(file_path("set/README"), "text", 4);
    file_put(file_path("set/dog/.DS_Store"), "text", 4);
    load("set", 0);
    assert_true(train.count == 8 && test.count == 1 && train.classes == 2 && test.classes == 2);
    assert_true(train.image.height == HEIGHT && train.image.width == WIDTH && train.image.channels == 1);
    for (size_t i = 0; i < 8; i++) assert_image(&train, i, trains[i][0], trains[i][1]);
    assert_image(&test, 0, 0, 15);
    assert_string_equal(train.class_names[0], "b cat");
    assert_string_equal(test.class_names[1], "dog");
    load("set", 3);
    assert_int_equal(train.count, 3);
    assert_true(train.mean[0] == (10 + 100 + 11) / 3.0f);
}

TEST(parts_have_folders_of_their_own) {
    static const char *const parts[] = {"val", "test"}; /* test, if both are there */
    put_class("train/a", 8, 10);
    put_class("train/b", 1, 60);
    for (int i = 0; i < 2; i++) {
        char folder[16];
        snprintf(folder, sizeof folder, "%s/a", parts[i]);
        put_class(folder, 1, 20 + i);
        snprintf(folder, sizeof folder, "%s/b", parts[i]);
        put_class(folder, 2, 30 + i);
        load("set", 0);
        assert_true(train.count == 9 && test.count == 3);
        assert_image(&train, 8, 0, 17);
        assert_image(&test, 0, 0, (uint8_t)(20 + i));
        assert_image(&test, 2, 1, (uint8_t)(31 + i));
    }
}

static void put_part(const char *part, const char *class, int count, int base) {
    char folder[64];
    snprintf(folder, sizeof folder, "%s/%s", part, class);
    put_class(folder, count, base);
}

TEST(parts_have_many_names) {
    static const char *const names[][2] = {{"train", "test"},       {"Train", "Test"},     {"TRAIN", "Valid"},
                                           {"train", "validation"}, {"Training", "VALID"}, {"training", "Testing"},
                                           {"train", "Val"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        clear(NULL);
        put_part(names[i][0], "a", 2, 10);
        put_part(names[i][0], "b", 1, 60);
        put_part(names[i][1], "a", 1, 20);
        put_part(names[i][1], "b", 2, 30);
        put_class("__MACOSX/a", 1, 0);
        put_part(names[i][0], "__MACOSX", 1, 0);
        put_class("backup/a", 1, 0); /* neither part */
        load("set", 0);
        assert_true(train.count == 3 && test.count == 3 && train.classes == 2);
        assert_image(&train, 1, 1, 60);
        assert_image(&test, 1, 1, 30);
    }
}

TEST(trains_can_be_a_class) {
    put_class("bus", 7, 10);
    put_class("train", 7, 40);
    load("set", 0);
    assert_true(train.count == 12 && test.count == 2 && train.classes == 2);
    assert_string_equal(train.class_names[1], "train");
    assert_image(&train, 1, 1, 40);
    put_class("test", 1, 70); /* a class, too */
    load("set", 0);
    assert_true(train.count == 13 && test.count == 2 && train.classes == 3);
    clear(NULL);
    put_class("Train/bus", 1, 10); /* a class in a part */
    put_class("Train/train", 1, 40);
    put_class("Test/bus", 1, 20);
    put_class("Test/train", 1, 50);
    load("set", 0);
    assert_true(train.count == 2 && test.count == 2 && train.classes == 2);
    assert_image(&test, 1, 1, 50);
}

/* What is no image is counted, and the first of it is named; the split is that of the images alone. */
TEST(other_files_are_passed_over) {
    static const char *const others[] = {"Thumbs.db", "desktop.ini", "00.txt", "03.csv", "no ending"};
    char from[700];
    nn_data_notes notes = {0};
    const nn_data_options options = {.notes = &notes};
    put_class("a", 7, 10);
    put_class("b", 2, 60);
    file_put(file_path("set/b/.DS_Store"), "text", 4);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "set/a/%s", others[i]);
        file_put(file_path(name), "text", i == 4 ? 0 : 4);
    }
    file_make_pipe(file_path("set/b/01a.png")); /* it would not end */
    file_make_pipe(file_path("set/b/other"));
    snprintf(from, sizeof from, "%s", file_path("set/b/01.png"));
    assert_true(rename(from, file_path("set/b/an image by its bytes")) == 0);
    assert_true(nn_dataset_load_with(file_path("set"), &options, &train, &test, message));
    assert_true(train.count == 8 && test.count == 1);
    assert_image(&test, 0, 0, 15);
    assert_image(&train, 3, 1, 61);
    assert_int_equal(notes.passed_over, 7);
    assert_string_equal(notes.first_passed_over, "a/00.txt");
    assert_int_equal(notes.skipped, 0);
}

/* The next ones take the places of those that are broken. */
TEST(broken_images_are_skipped_if_that_is_wanted) {
    nn_data_notes notes = {0};
    nn_data_options options = {.limit = 4, .skip_bad = true, .notes = &notes};
    put_class("a", 7, 10);
    put_class("b", 7, 60);
    file_put(file_path("set/a/00.png"), "\x89PNG\r\n\x1a\n", 8);
    file_put(file_path("set/b/00.png"), "", 0);
    file_put(file_path("set/b/05.png"), "text", 4);
    assert_int_equal(symlink("nowhere", file_path("set/b/00a.jpg")), 0);
    assert_true(nn_dataset_load_with(file_path("set"), &options, &train, &test, message));
    assert_true(train.count == 4 && test.count == 2);
    assert_image(&train, 0, 0, 11);
    assert_image(&train, 1, 0, 12);
    assert_image(&train, 2, 1, 61);
    assert_image(&train, 3, 0, 13);
    assert_int_equal(notes.skipped, 3);
    assert_non_null(strstr(notes.first_skipped, "a/00.png: broken PNG"));
    options.skip_bad = false;
    unload(NULL);
    assert_false(nn_dataset_load_with(file_path("set"), &options, &train, &test, message));
    options.skip_bad = true;
    file_put(file_path("set/a/05.png"), "text", 4);
    file_put(file_path("set/b/04.png"), "text", 4);
    assert_false(nn_dataset_load_with(file_path("set"), &options, &train, &test, message));
    assert_says("set/a/05.png", "neither it nor any other test image can be read");
    for (int i = 0; i < 2; i++) {
        char name[32];
        for (int k = 0; k < 7; k++) {
            snprintf(name, sizeof name, "set/%s/%02d.png", i ? "b" : "a", k);
            file_put(file_path(name), "text", 4);
        }
    }
    assert_false(nn_dataset_load_with(file_path("set"), &options, &train, &test, message));
    assert_says("set/a/00.png", "neither it nor any other training image can be read");
}

/* One image with colours, wherever it is, and all have three channels. */
TEST(grey_and_colour_mix) {
    static const char *const where[] = {"set/train/a/00.png", "set/train/b/01.png", "set/test/a/00.png", "set/test/b/70.jpg"};
    for (size_t i = 0; i < 4; i++) {
        clear(NULL);
        put_class("train/a", 2, 10);
        put_class("train/b", 100, 60);
        put_class("test/a", 1, 20);
        put_class("test/b", 70, 60);
        if (strstr(where[i], "jpg")) {
            uint8_t pixels[SIZE * 3];
            for (size_t k = 0; k < SIZE * 3; k++) pixels[k] = (uint8_t)(k % 3 * 100);
            put_jpeg(where[i], WIDTH, HEIGHT, 3, pixels, false);
        } else {
            put_plain_png(where[i], WIDTH, HEIGHT, 0, 100, 200);
        }
        load("set", 0);
        assert_true(train.image.channels == 3 && test.image.channels == 3 && train.count == 102);
        if (i > 0) assert_image(&train, 0, 0, 10);
        assert_image(&train, 2, 0, 11);
        assert_image(&train, 101, 1, 159);
        const uint8_t *p = i < 2 ? train.pixels + (i == 0 ? 0 : 3) * SIZE * 3 : test.pixels + (i == 2 ? 0 : 71) * SIZE * 3;
        for (size_t k = 0; k < SIZE * 3; k++) assert_in_range(p[k] + 2, k % 3 * 100, k % 3 * 100 + 4);
    }
}

TEST(folders_that_do_not_fit_are_refused) {
    put_class("a", 6, 0);
    assert_bad("set", "all images are of one class; there must be at least 2");
    file_make_directories(file_path("set/b/x"));
    assert_bad("set/b", "the folder of this class has no images; it must have PNG or JPEG files");
    file_put(file_path("set/b/notes.txt"), "text", 4);
    assert_bad("set/b", "the folder of this class has no images; it must have PNG or JPEG files");
    file_put(file_path("set/b/a.webp"), "text", 4); /* an image that is not read is no note */
    assert_bad("set/b/a.webp", "neither PNG nor JPEG");
    files_remove(file_path("set/b/a.webp"));
    file_make_directories(file_path("set/b/deep/x"));
    assert_bad("set/b/deep", "a folder in the folder of a class");
    files_remove(file_path("set/b/deep"));
    put_plain_png("set/b/wrong.png", WIDTH + 1, HEIGHT, 1, 1, 1);
    assert_bad("set/b/wrong.png", "the image is 6 wide and 3 high, but ");
    assert_non_null(strstr(message, "set/a/00.png is 5 wide and 3 high; all must have one size"));
    files_remove(file_path("set/a/05.png"));
    assert_bad("set", "every 6th image of a class is for testing, and no class has so many");
}

TEST(parts_that_do_not_fit_are_refused) {
    file_make_directories(file_path("set/train/x"));
    assert_bad("set", "there is a folder train, but neither test nor val");
    file_make_directories(file_path("set/val/x"));
    assert_bad("set/train", "there must be a folder for each class in it");
    put_class("train", 6, 0); /* photos without classes are no classes */
    put_class("val", 6, 0);
    assert_bad("set/train", "there must be a folder for each class in it");
    files_remove(file_path("set/train"));
    put_class("train/a", 1, 0);
    assert_bad("set/val", "there must be a folder for each class in it");
    files_remove(file_path("set/val"));
    put_class("bus", 6, 0);
    assert_bad("set", "there is a folder train, but neither test nor val");
    put_class("train/a", 1, 0);
    put_class("train/b", 1, 0);
    put_class("val/b", 1, 0);
    assert_bad("set/train", "it has a class a, which ");
    put_class("val/a", 1, 0);
    put_class("val/c", 1, 0);
    assert_bad("set/val", "it has a class c, which ");
    files_remove(file_path("set/val/c"));
    put_plain_png("set/val/b/00.png", WIDTH, HEIGHT + 1, 1, 1, 1);
    assert_bad("set/val/b/00.png", "the image is 5 wide and 4 high, but ");
}

/* The first broken file is told, whichever thread met one first; a few hundred, so that there are several blocks. */
TEST(the_first_broken_file_is_named) {
    put_class("a", 90, 0);
    put_class("b", 90, 90);
    file_put(file_path("set/b/73.png"), "", 0);
    file_put(file_path("set/a/74.png"), "\x89PNG\r\n\x1a\n", 8);
    file_put(file_path("set/b/88.png"), "\xff\xd8\xff", 3);
    assert_bad("set/b/73.png", "the file is empty; it must be PNG or JPEG");
    put_class("b", 90, 90);
    assert_bad("set/a/74.png", "broken PNG");
    put_class("a", 90, 0);
    file_put(file_path("set/b/88.png"), "\xff\xd8\xff", 3);
    assert_bad("set/b/88.png", "broken JPEG");
}

TEST(too_many_classes_are_refused) {
    char folder[16];
    for (int i = 0; i < 257; i++) {
        snprintf(folder, sizeof folder, "%03d", i);
        put_class(folder, i == 255 ? 6 : 1, 1);
    }
    assert_bad("set", "257 folders, one for each class; at most 256 classes are supported");
    files_remove(file_path("set/256"));
    load("set", 0);
    assert_true(train.classes == 256 && train.labels[255] == 255 && test.labels[0] == 255);
    assert_string_equal(train.class_names[255], "255");
}

TEST(single_files_become_what_a_network_takes) {
    char colour[700], grey[700];
    put_plain_png("set/colour.png", WIDTH, HEIGHT, 10, 100, 250);
    put_plain_png("set/grey.png", WIDTH, HEIGHT, 7, 7, 7);
    snprintf(colour, sizeof colour, "%s", file_path("set/colour.png"));
    snprintf(grey, sizeof grey, "%s", file_path("set/grey.png"));
    const nn_shape one = {HEIGHT, WIDTH, 1}, three = {HEIGHT, WIDTH, 3}, other = {HEIGHT + 1, WIDTH, 3};
    const nn_size as_it_is = {0}, larger = {HEIGHT + 1, WIDTH, NN_STRETCH};
    uint8_t pixels[(HEIGHT + 1) * WIDTH * 3];
    assert_true(nn_dataset_read_image(colour, one, &as_it_is, pixels, message));
    for (size_t i = 0; i < SIZE; i++) assert_int_equal(pixels[i], 90);
    assert_true(nn_dataset_read_image(grey, three, &as_it_is, pixels, message));
    for (size_t i = 0; i < SIZE * 3; i++) assert_int_equal(pixels[i], 7);
    assert_true(nn_dataset_read_image(colour, three, &as_it_is, pixels, message));
    assert_true(pixels[0] == 10 && pixels[1] == 100 && pixels[2] == 250);
    assert_false(nn_dataset_read_image(colour, other, &as_it_is, pixels, message));
    assert_non_null(strstr(message, "colour.png: the image is 5 wide and 3 high; it must be 5 wide and 4 high"));
    assert_true(nn_dataset_read_image(colour, other, &larger, pixels, message));
    for (size_t i = 0; i < (HEIGHT + 1) * WIDTH; i++) assert_memory_equal(pixels + 3 * i, "\x0a\x64\xfa", 3);
}

/* Photos of different sizes, and IDX images, which are one size, but another. */
TEST(images_become_one_size) {
    nn_data_options options = {.size = {4, 6, NN_CROP}, .may_have_size = true};
    put_class("a", 6, 10);
    put_plain_png("set/b/0.png", 100, 30, 60, 60, 60);
    put_plain_png("set/b/1.png", 2, 2, 61, 61, 61);
    assert_true(nn_dataset_load_with(file_path("set"), &options, &train, &test, message));
    assert_true(train.count == 7 && train.image.height == 4 && train.image.width == 6 && test.image.height == 4);
    for (size_t i = 0; i < (size_t)4 * 6; i++) assert_int_equal(train.pixels[4 * 6 + i], 60);
    options.size.height = 0;
    unload(NULL);
    assert_false(nn_dataset_load_with(file_path("set"), &options, &train, &test, message));
    assert_says("set/b/0.png", "all must have one size, or be made so by --size N");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(one_folder_is_split, clear),
        cmocka_unit_test_teardown(parts_have_folders_of_their_own, clear),
        cmocka_unit_test_teardown(parts_have_many_names, clear),
        cmocka_unit_test_teardown(trains_can_be_a_class, clear),
        cmocka_unit_test_teardown(other_files_are_passed_over, clear),
        cmocka_unit_test_teardown(broken_images_are_skipped_if_that_is_wanted, clear),
        cmocka_unit_test_teardown(grey_and_colour_mix, clear),
        cmocka_unit_test_teardown(folders_that_do_not_fit_are_refused, clear),
        cmocka_unit_test_teardown(parts_that_do_not_fit_are_refused, clear),
        cmocka_unit_test_teardown(the_first_broken_file_is_named, clear),
        cmocka_unit_test_teardown(too_many_classes_are_refused, clear),
        cmocka_unit_test_teardown(single_files_become_what_a_network_takes, clear),
        cmocka_unit_test_teardown(images_become_one_size, clear),
    };
    return cmocka_run_group_tests_name("nn.folder", tests, files_setup, files_teardown);
}
