/* SPDX-License-Identifier: MIT */
/* IDX files, and data sets of IDX and CIFAR files, as they are and as they should not be. Over 300 lines, because each rule of
 * two formats is broken once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset_files.h"
#include "loaded.h"
#include "nn/idx.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

/* IDX files. */

static const uint8_t good[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60};

static void assert_good(const char *name) {
    nn_idx idx;
    assert_true(nn_idx_read(file_path(name), &idx, message));
    assert_int_equal(idx.rank, 2);
    assert_true(idx.shape[0] == 2 && idx.shape[1] == 3);
    assert_memory_equal(idx.bytes, good + 12, 6);
    free(idx.bytes);
}

/* The message names the file and says what is wrong. */
static void assert_bad(const char *name, const char *what) {
    nn_idx idx;
    message[0] = '\0';
    assert_false(nn_idx_read(file_path(name), &idx, message));
    assert_null(idx.bytes);
    assert_says(file_path(name), what);
}

TEST(idx_reads_plain_and_compressed) {
    file_put(file_path("file"), good, sizeof good);
    assert_good("file");
    file_put(file_path("file"), good, sizeof good);
    compress_file("file");
    assert_good("file.gz");
}

TEST(idx_truncated_anywhere_is_refused) {
    uint8_t compressed[256];
    for (size_t count = 0; count < sizeof good; count++) {
        file_put(file_path("file"), good, count);
        assert_bad("file", "the file ends before the data its header announces");
    }
    file_put(file_path("file"), good, sizeof good);
    compress_file("file");
    const size_t whole = file_get(file_path("file.gz"), compressed, sizeof compressed);
    for (size_t count = 0; count < whole; count++) {
        file_put(file_path("file.gz"), compressed, count);
        assert_bad("file.gz", "");
    }
    compressed[whole - 6] ^= 1; /* the checksum */
    file_put(file_path("file.gz"), compressed, whole);
    assert_bad("file.gz", "the compressed data is damaged");
}

static void assert_bad_change(size_t offset, uint8_t value, const char *what) {
    uint8_t bytes[sizeof good];
    memcpy(bytes, good, sizeof good);
    bytes[offset] = value;
    file_put(file_path("file"), bytes, sizeof bytes);
    assert_bad("file", what);
}

TEST(idx_malformed_is_refused) {
    assert_bad_change(0, 1, "not an IDX file");
    assert_bad_change(2, 13, "must be unsigned bytes");
    assert_bad_change(3, 0, "1 to 4 dimensions");
    assert_bad_change(3, 200, "1 to 4 dimensions");
    assert_bad_change(11, 2, "more data than the header announces");
    assert_bad_change(11, 4, "ends before");
    assert_bad_change(4, 255, "ends before"); /* promises 12 gigabytes */
    static const uint8_t huge[] = {0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1};
    file_put(file_path("file"), huge, sizeof huge);
    assert_bad("file", "the sizes are too large");
    assert_bad("missing", "No such file");
    assert_false(nn_idx_read(file_path(""), &(nn_idx){0}, message)); /* a directory */
    files_remove(file_path("file"));
    files_remove(file_path("file.gz"));
}

/* Data sets. */

enum { IMAGE = 28 * 28, TRAIN = 41, TEST = 21 };

static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                    "t10k-labels-idx1-ubyte"};

FIXTURE(remove_stripes) {
    char compressed[64];
    for (size_t i = 0; i < 4; i++) {
        files_remove(file_path(names[i]));
        snprintf(compressed, sizeof compressed, "%s.gz", names[i]);
        files_remove(file_path(compressed));
    }
    files_remove(file_path("set"));
    return unload(state);
}

TEST(idx_is_read_and_scaled) {
    static float x[10 * IMAGE];
    uint8_t labels[10];
    uint32_t order[10];
    double sum = 0, squares = 0;
    put_stripes(TRAIN, TEST);
    load("", 10);
    assert_true(train.count == 10 && test.count == TEST && train.classes == 10 && test.classes == 10);
    assert_true(train.image.height == 28 && train.image.width == 28 && train.image.channels == 1);
    assert_true(train.mean[0] == test.mean[0] && train.rstd[0] == test.rstd[0]);
    assert_string_equal(train.class_names[9], "9");
    assert_string_equal(test.class_names[0], "0");
    for (uint32_t i = 0; i < 10; i++) order[i] = 9 - i;
    nn_dataset_batch(&train, order, 10, NULL, x, labels);
    for (size_t i = 0; i < 10 * IMAGE; i++) sum += (double)x[i], squares += (double)x[i] * (double)x[i];
    assert_true(fabs(sum / (10 * IMAGE)) < 1e-5 && fabs(squares / (10 * IMAGE) - 1) < 1e-5);
    for (size_t i = 0; i < 10; i++) assert_true(labels[i] == 9 - i && x[(i * 28 + (9 - i) * 2) * 28] > 1);
}

/* Any of the files, compressed; and the path of a file instead of its directory. */
TEST(idx_may_be_compressed_and_named_by_a_file) {
    put_stripes(TRAIN, TEST);
    compress_file(names[3]);
    compress_file(names[0]);
    load("", 0);
    assert_true(train.count == TRAIN && test.count == TEST && test.labels[TEST - 1] == (TEST - 1) % 10);
    load("train-images-idx3-ubyte.gz", 0);
    assert_true(train.count == TRAIN);
    assert_bad_dataset(names[2], names[2], "not a name of training images");
}

/* Other beginnings, sizes, channels and classes; "test" for "t10k"; two sets in one directory. */
TEST(idx_has_relatives) {
    file_make_directories(file_path("set/x"));
    put_images("set/a-train-images.idx4-ubyte", 30, 5, 9, 3);
    put_labels("set/a-train-labels.idx1-ubyte", 30, 46);
    put_images("set/a-test-images.idx4-ubyte", 3, 5, 9, 3);
    put_labels("set/a-test-labels.idx1-ubyte", 3, 0);
    load("set", 0);
    assert_true(train.image.height == 5 && train.image.width == 9 && train.image.channels == 3 && train.classes == 47);
    for (size_t c = 0; c < 3; c++) { /* two rows of five are 200, the others 0 */
        assert_true(fabsf(train.mean[c] - 80) < 1e-4f && fabs(1 / (double)train.rstd[c] - 200 * sqrt(0.24)) < 1e-4);
    }
    assert_string_equal(test.class_names[46], "46");
    put_images("set/b-train-images-idx3-ubyte", 20, 5, 9, 1);
    assert_bad_dataset("set", "set", "a-train-images.idx4-ubyte or b-train-images-idx3-ubyte");
    load("set/a-train-images.idx4-ubyte", 0);
    assert_bad_dataset("set/b-train-images-idx3-ubyte", "set", "there is no b-train-labels-idx1-ubyte");
}

/* The classes of the one set that has names, where it is installed. */
TEST(fashion_mnist_is_known) {
    if (!file_exists(NN_DATASET_DEFAULT)) skip();
    if (!nn_dataset_load(NN_DATASET_DEFAULT, 0, &train, &test, message)) fail_msg("%s", message);
    assert_true(train.count == 60000 && test.count == 10000 && train.classes == 10);
    assert_string_equal(train.class_names[9], "Ankle boot");
    assert_string_equal(test.class_names[0], "T-shirt/top");
    assert_true(fabsf(train.mean[0] / 255 - 0.2860f) < 1e-4f &&
                fabsf(1 / train.rstd[0] / 255 - 0.3530f) < 1e-4f); /* published */
}

TEST(idx_that_does_not_fit_is_refused) {
#define PUT(CALL, NAME, WHAT)                                                                                                  \
    remove_stripes(NULL);                                                                                                      \
    put_stripes(TRAIN, TEST);                                                                                                  \
    CALL;                                                                                                                      \
    assert_bad_dataset("", NAME, WHAT)
    PUT(put_labels(names[3], TEST, 10), names[3], "the label of image 0 is 10; the training labels are 0 to 9");
    PUT(put_labels(names[1], TRAIN - 1, 0), names[1], "40 labels for 41 images");
    PUT(put_images(names[2], TEST, 27, 28, 1), names[2],
        "test images are 27 x 28 x 1 (height, width, channels); the training images are 28 x 28 x 1");
    PUT(put_images(names[2], TEST, 28, 28, 3), names[2], "test images are 28 x 28 x 3");
    PUT(put_images(names[0], TRAIN, 2, 2, 2), names[0], "images must have 3 dimensions (count, height, width), or 4");
    PUT(put_images(names[0], 0, 28, 28, 1), names[0], "no images");
    PUT(put_images(names[0], TRAIN, 0, 28, 1), names[0], "images are 28 wide and 0 high; each must be 1 to 4096");
    PUT(put_images(names[0], 1, 1, 4097, 1), names[0], "images are 4097 wide and 1 high; each must be 1 to 4096");
    PUT(put_labels(names[0], 9, 0), names[0], "images must have 3 dimensions");
    PUT(put_images(names[3], 1, 28, 28, 1), names[3], "labels must have 1 dimension");
    PUT(files_remove(file_path(names[3])), "", "there is no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz here");
    PUT((files_remove(file_path(names[0])), files_remove(file_path(names[1]))), names[2], "not a name of training images");
    PUT((put_images(names[0], 1, 28, 28, 1), put_labels(names[1], 1, 0), put_images(names[2], 1, 28, 28, 1),
         put_labels(names[3], 1, 0)),
        "", "all images are of one class; there must be at least 2");
    PUT((files_remove(file_path(names[3])), file_put(file_path("t10k-labels-idx1-ubyte.gz"), "\x1f\x8b\x08", 3)), names[3],
        "too early");
#undef PUT
}

TEST(what_is_no_data_set_is_refused) {
    assert_bad_dataset("missing", "missing", "No such file or directory; it must be a data set");
    assert_bad_dataset("", "", "no data set is recognized here; looked for IDX files");
    file_put(file_path("file"), "text", 4);
    assert_bad_dataset("file", "file", "no data set is recognized here; looked for IDX files");
}

/* CIFAR. Pixel p of image i has in channel c the byte hash(i, p, c). */

enum { PLANE = 32 * 32 };

static uint8_t hash(size_t i, size_t p, size_t c) { return (uint8_t)(i * 7 + p * 31 + p / 100 + c * 50); }

/* Images from number `first` on; the label is the number modulo `classes`, behind a first one if there are two. */
static void put_cifar(const char *name, size_t first, size_t count, size_t labels, size_t classes) {
    uint8_t *file = malloc(count * (labels + 3 * PLANE) + 1), *p = file;
    assert_non_null(file);
    for (size_t i = first; i < first + count; i++) {
        for (size_t k = 0; k < labels; k++) *p++ = (uint8_t)(k + 1 == labels ? i % classes : 255);
        for (size_t c = 0; c < 3; c++) {
            for (size_t k = 0; k < PLANE; k++) *p++ = hash(i, k, c);
        }
    }
    file_put(file_path(name), file, (size_t)(p - file));
    free(file);
}

static void put_cifar10(void) {
    char name[32];
    files_remove(file_path("set"));
    file_make_directories(file_path("set/x"));
    for (size_t i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "set/data_batch_%zu.bin", i + 1);
        put_cifar(name, 3 * i, 3, 1, 10);
    }
    put_cifar("set/test_batch.bin", 100, 3, 1, 10);
}

static void assert_cifar(const nn_dataset *set, size_t count, size_t first, size_t classes) {
    assert_true(set->count == count && set->classes == classes);
    assert_true(set->image.height == 32 && set->image.width == 32 && set->image.channels == 3);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(set->labels[i], (first + i) % classes);
        for (size_t p = 0; p < PLANE; p++) {
            for (size_t c = 0; c < 3; c++) assert_int_equal(set->pixels[(i * PLANE + p) * 3 + c], hash(first + i, p, c));
        }
    }
}

/* Against sums in double. */
static void assert_statistics(const nn_dataset *set) {
    const size_t pixels = set->count * set->image.height * set->image.width, channels = set->image.channels;
    for (size_t c = 0; c < channels; c++) {
        double mean = 0, m2 = 0;
        for (size_t i = 0; i < pixels; i++) mean += set->pixels[i * channels + c] / (double)pixels;
        for (size_t i = 0; i < pixels; i++) m2 += pow(set->pixels[i * channels + c] - mean, 2);
        assert_true(fabs((double)set->mean[c] - mean) < 1e-4);
        assert_true(fabs((double)set->rstd[c] * sqrt(m2 / (double)pixels) - 1) < 1e-6);
    }
}

TEST(cifar10_is_read) {
    static const char meta[] = "aa\r\nb b\nc\nd\ne\nf\ng\nh\ni\nj\n\n";
    put_cifar10();
    compress_file("set/data_batch_4.bin");
    load("set", 0);
    assert_cifar(&train, 15, 0, 10);
    assert_cifar(&test, 3, 100, 10);
    assert_statistics(&train);
    assert_true(train.mean[0] != train.mean[1] && memcmp(train.mean, test.mean, sizeof train.mean) == 0);
    assert_string_equal(train.class_names[9], "9");
    file_put(file_path("set/batches.meta.txt"), meta, sizeof meta - 1);
    load("set/data_batch_2.bin", 7);
    assert_true(train.count == 7);
    assert_statistics(&train);
    assert_string_equal(train.class_names[0], "aa");
    assert_string_equal(test.class_names[1], "b b");
    assert_string_equal(test.class_names[9], "j");
    file_put(file_path("set/batches.meta.txt"), meta, 4);
    assert_bad_dataset("set", "set/batches.meta.txt", "1 names; it must be 10, one in each line");
}

TEST(cifar100_is_read) {
    files_remove(file_path("set"));
    file_make_directories(file_path("set/x"));
    put_cifar("set/train.bin", 0, 110, 2, 100);
    put_cifar("set/test.bin", 50, 22, 2, 100);
    compress_file("set/test.bin");
    load("set", 0);
    assert_cifar(&train, 110, 0, 100);
    assert_cifar(&test, 22, 50, 100);
    put_cifar("set/train.bin", 0, 109, 2, 100);
    assert_bad_dataset("set", "set/train.bin", "109 images; it must be 110, since test.bin has 22");
    put_cifar("set/train.bin", 90, 110, 2, 101);
    assert_bad_dataset("set", "set/train.bin", "the label of image 10 is 100; it must be 0 to 99");
    files_remove(file_path("set/train.bin"));
    assert_bad_dataset("set", "set",
                       "there is no train.bin or train.bin.gz here, which belongs to the other files of CIFAR-100");
}

TEST(cifar_that_is_broken_is_refused) {
    static uint8_t file[2 * (1 + 3 * PLANE)];
    put_cifar10();
    files_remove(file_path("set/data_batch_5.bin"));
    assert_bad_dataset("set", "set", "there is no data_batch_5.bin");
    put_cifar10();
    put_cifar("set/data_batch_3.bin", 0, 2, 1, 10);
    assert_bad_dataset("set", "set/data_batch_3.bin", "2 images; it must be 3, since test_batch.bin has 3");
    put_cifar10();
    put_cifar("set/test_batch.bin", 0, 0, 1, 10);
    assert_bad_dataset("set", "set/test_batch.bin", "there are no images");
    put_cifar("set/test_batch.bin", 9, 3, 1, 11);
    assert_bad_dataset("set", "set/test_batch.bin", "the label of image 1 is 10; it must be 0 to 9");
    for (size_t count = 1; count < sizeof file; count += count < 8 ? 1 : 611) {
        if (count % (1 + 3 * PLANE) == 0) continue;
        file_put(file_path("set/test_batch.bin"), file, count);
        assert_bad_dataset("set", "set/test_batch.bin", "so the last one is cut off");
    }
    put_cifar10();
    compress_file("set/data_batch_1.bin");
    const size_t whole = file_get(file_path("set/data_batch_1.bin.gz"), file, sizeof file);
    assert_in_range(whole, 100, sizeof file);
    for (size_t cut = 1; cut < whole; cut = cut < 8 ? cut + 1 : 2 * cut) {
        file_put(file_path("set/data_batch_1.bin.gz"), file, whole - cut);
        assert_bad_dataset("set", "set/data_batch_1.bin.gz", "");
    }
}

TEST(idx_may_get_another_size) {
    const nn_data_options options = {.limit = 5, .size = {14, 14, NN_STRETCH}};
    put_stripes(24, 12);
    unload(NULL);
    assert_true(nn_dataset_load_with(file_path(""), &options, &train, &test, message));
    assert_true(train.count == 5 && train.image.height == 14 && test.image.width == 14 && train.image.channels == 1);
    for (size_t i = 0; i < 5; i++) /* two rows of 28 are one of 14, but for what the neighbours give */
        assert_int_equal(train.pixels[(i * 14 + i) * 14 + 7], i == 0 ? 171 : 150);
    remove_stripes(NULL);
}

/* A pipe would be waited for without end, and so would be what it has as its name. */
TEST(what_is_no_regular_file_is_refused) {
    put_stripes(24, 12);
    files_remove(file_path("t10k-labels-idx1-ubyte"));
    file_make_pipe(file_path("t10k-labels-idx1-ubyte"));
    assert_bad_dataset("", "t10k-labels-idx1-ubyte", "a pipe; it must be a regular file");
    remove_stripes(NULL);
    put_cifar10();
    files_remove(file_path("set/data_batch_2.bin"));
    file_make_pipe(file_path("set/data_batch_2.bin"));
    assert_bad_dataset("set", "set/data_batch_2.bin", "a pipe; it must be a regular file");
    files_remove(file_path("set/data_batch_2.bin"));
    file_make_directories(file_path("set/data_batch_2.bin/x"));
    assert_bad_dataset("set", "set/data_batch_2.bin", "a directory; it must be a regular file");
    files_remove(file_path("set"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idx_reads_plain_and_compressed),
        cmocka_unit_test(idx_truncated_anywhere_is_refused),
        cmocka_unit_test(idx_malformed_is_refused),
        cmocka_unit_test_teardown(idx_is_read_and_scaled, remove_stripes),
        cmocka_unit_test_teardown(idx_may_be_compressed_and_named_by_a_file, remove_stripes),
        cmocka_unit_test_teardown(idx_has_relatives, remove_stripes),
        cmocka_unit_test_teardown(fashion_mnist_is_known, unload),
        cmocka_unit_test_teardown(idx_that_does_not_fit_is_refused, remove_stripes),
        cmocka_unit_test(what_is_no_data_set_is_refused),
        cmocka_unit_test_teardown(cifar10_is_read, unload),
        cmocka_unit_test_teardown(cifar100_is_read, unload),
        cmocka_unit_test(cifar_that_is_broken_is_refused),
        cmocka_unit_test_teardown(idx_may_get_another_size, unload),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
    };
    return cmocka_run_group_tests_name("nn.dataset", tests, files_setup, files_teardown);
}
