/* SPDX-License-Identifier: MIT */
/* Random numbers, loss, IDX files and data sets as they are and as they should not be, and training on a small one. Over 300
 * lines, because all of it works on files of one temporary directory. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "nn/idx.h"
#include "nn/train.h"

static char directory[] = "/tmp/test_nn_data.XXXXXX";
static char message[NN_MESSAGE_BYTES];

static int make_directory(void **state) {
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                    "t10k-labels-idx1-ubyte", "t10k-labels-idx1-ubyte.gz"};

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int remove_directory(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) unlink(path_of(names[i]));
    unlink(path_of("file"));
    return rmdir(directory);
}

static void write_file(const char *name, const void *bytes, size_t count) {
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void write_gz(const char *name, const void *bytes, size_t count) {
    gzFile file = gzopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)count), count);
    assert_int_equal(gzclose(file), Z_OK);
}

static size_t read_file(const char *name, uint8_t *bytes, size_t most) {
    FILE *file = fopen(path_of(name), "rb");
    assert_non_null(file);
    const size_t count = fread(bytes, 1, most, file);
    fclose(file);
    return count;
}

/* Random numbers. */

static void pcg32_gives_its_authors_numbers(void **state) {
    (void)state;
    static const uint32_t expected[] = {0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e};
    nn_rng rng = nn_rng_create(42, 54);
    for (size_t i = 0; i < 6; i++) assert_int_equal(nn_rng_next(&rng), expected[i]);
}

/* Of 2^32 values, three quarters can be spread evenly over three quarters; the last one must be drawn again. */
static void below_is_unbiased(void **state) {
    (void)state;
    nn_rng rng = nn_rng_create(1, 0);
    int low = 0;
    for (int i = 0; i < 9000; i++) low += nn_rng_below(&rng, 3u << 30) < 1u << 30;
    assert_in_range(low, 2850, 3150); /* a third, within 3.4 standard deviations */
    for (int i = 0; i < 100; i++) assert_true(nn_rng_below(&rng, 7) < 7);
}

static void shuffle_is_a_fair_permutation(void **state) {
    (void)state;
    nn_rng rng = nn_rng_create(1, 0);
    int first[5] = {0};
    for (int turn = 0; turn < 5000; turn++) {
        uint32_t items[] = {0, 1, 2, 3, 4}, seen = 0;
        nn_rng_shuffle(&rng, items, 5);
        for (int i = 0; i < 5; i++) seen |= 1u << items[i];
        assert_int_equal(seen, 31);
        first[items[0]]++;
    }
    for (int i = 0; i < 5; i++) assert_in_range(first[i], 900, 1100); /* 3.5 standard deviations around 1000 */
}

/* Loss. */

static void loss_gradient_equals_finite_differences(void **state) {
    (void)state;
    static const uint8_t labels[] = {2, 0};
    float logits[] = {0.5f, -1.0f, 0.25f, 2.0f, 0.0f, -0.75f}, gradient[6];
    const float step = 0x1p-6f;
    const nn_score score = nn_softmax_cross_entropy(2, 3, logits, labels, gradient);
    assert_int_equal(score.correct, 1);
    for (size_t i = 0; i < 6; i++) {
        const float logit = logits[i];
        logits[i] = logit + step;
        const double up = nn_softmax_cross_entropy(2, 3, logits, labels, NULL).loss;
        logits[i] = logit - step;
        const double down = nn_softmax_cross_entropy(2, 3, logits, labels, NULL).loss;
        logits[i] = logit;
        assert_true(fabs((up - down) / 2 / (2 * (double)step) - (double)gradient[i]) < 1e-4);
    }
}

static void loss_of_large_logits_is_finite(void **state) {
    (void)state;
    static const uint8_t labels[] = {1};
    const float logits[] = {1000.0f, -1000.0f};
    float gradient[2];
    assert_true(nn_softmax_cross_entropy(1, 2, logits, labels, gradient).loss == 2000.0);
    assert_true(gradient[0] == 1.0f && gradient[1] == -1.0f);
    const float broken[] = {NAN, 0.0f};
    assert_true(isnan(nn_softmax_cross_entropy(1, 2, broken, labels, NULL).loss));
}

/* IDX files. */

static const uint8_t good[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60};

static void assert_good(const char *name) {
    nn_idx idx;
    assert_true(nn_idx_read(path_of(name), &idx, message));
    assert_int_equal(idx.rank, 2);
    assert_true(idx.shape[0] == 2 && idx.shape[1] == 3);
    assert_memory_equal(idx.bytes, good + 12, 6);
    free(idx.bytes);
}

/* The message names the file and says what is wrong. */
static void assert_bad(const char *name, const char *what) {
    nn_idx idx;
    message[0] = '\0';
    assert_false(nn_idx_read(path_of(name), &idx, message));
    assert_null(idx.bytes);
    if (!strstr(message, path_of(name)) || !strstr(message, what)) fail_msg("\"%s\" lacks \"%s\"", message, what);
}

static void idx_reads_plain_and_compressed(void **state) {
    (void)state;
    write_file("file", good, sizeof good);
    assert_good("file");
    write_gz("file", good, sizeof good);
    assert_good("file");
}

static void idx_truncated_anywhere_is_refused(void **state) {
    (void)state;
    uint8_t compressed[256];
    for (size_t count = 0; count < sizeof good; count++) {
        write_file("file", good, count);
        assert_bad("file", "the file ends before the data its header announces");
    }
    write_gz("file", good, sizeof good);
    const size_t whole = read_file("file", compressed, sizeof compressed);
    for (size_t count = 0; count < whole; count++) {
        write_file("file", compressed, count);
        assert_bad("file", "");
    }
    compressed[whole - 6] ^= 1; /* the checksum */
    write_file("file", compressed, whole);
    assert_bad("file", "the compressed data is damaged");
}

static void assert_bad_change(size_t offset, uint8_t value, const char *what) {
    uint8_t bytes[sizeof good];
    memcpy(bytes, good, sizeof good);
    bytes[offset] = value;
    write_file("file", bytes, sizeof bytes);
    assert_bad("file", what);
}

static void idx_malformed_is_refused(void **state) {
    (void)state;
    assert_bad_change(0, 1, "not an IDX file");
    assert_bad_change(2, 13, "must be unsigned bytes");
    assert_bad_change(3, 0, "1 to 4 dimensions");
    assert_bad_change(3, 200, "1 to 4 dimensions");
    assert_bad_change(11, 2, "more data than the header announces");
    assert_bad_change(11, 4, "ends before");
    assert_bad_change(4, 255, "ends before"); /* promises 12 gigabytes */
    static const uint8_t huge[] = {0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1};
    write_file("file", huge, sizeof huge);
    assert_bad("file", "the sizes are too large");
    assert_bad("missing", "No such file");
    assert_false(nn_idx_read(directory, &(nn_idx){0}, message));
}

/* Data sets. Image i is one bright row; its label says which. */

enum { IMAGE = 28 * 28, TRAIN = 41, TEST = 21, HEAD_IMAGES = 16, HEAD_LABELS = 8 };

static void write_images(const char *name, uint8_t count, uint8_t side) {
    const size_t bytes = HEAD_IMAGES + (size_t)count * side * side;
    uint8_t *file = calloc(bytes, 1);
    const uint8_t head[HEAD_IMAGES] = {0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, side, 0, 0, 0, side};
    memcpy(file, head, HEAD_IMAGES);
    for (size_t i = 0; i < count; i++) memset(file + HEAD_IMAGES + i * side * side + i % 10 * 2 * side, 200, 2 * (size_t)side);
    write_file(name, file, bytes);
    free(file);
}

static void write_labels(const char *name, uint8_t count, uint8_t first) {
    uint8_t file[HEAD_LABELS + 255] = {0, 0, 8, 1, 0, 0, 0, count};
    for (size_t i = 0; i < count; i++) file[HEAD_LABELS + i] = (uint8_t)(i % 10);
    file[HEAD_LABELS] = first;
    write_file(name, file, HEAD_LABELS + (size_t)count);
}

static void write_dataset(void) {
    write_images(names[0], TRAIN, 28);
    write_labels(names[1], TRAIN, 0);
    write_images(names[2], TEST, 28);
    write_labels(names[3], TEST, 0);
}

static void dataset_is_read_and_scaled(void **state) {
    (void)state;
    nn_dataset train, test;
    float *x = nn_floats(10 * IMAGE);
    uint8_t labels[10];
    uint32_t order[10];
    double sum = 0, squares = 0;
    write_dataset();
    assert_true(nn_dataset_load(directory, 10, &train, &test, message));
    assert_true(train.count == 10 && test.count == TEST && train.mean[0] == test.mean[0] && train.rstd[0] == test.rstd[0]);
    for (uint32_t i = 0; i < 10; i++) order[i] = 9 - i;
    nn_dataset_batch(&train, order, 10, NULL, x, labels);
    for (size_t i = 0; i < 10 * IMAGE; i++) sum += (double)x[i], squares += (double)x[i] * (double)x[i];
    assert_true(fabs(sum / (10 * IMAGE)) < 1e-5 && fabs(squares / (10 * IMAGE) - 1) < 1e-5);
    for (size_t i = 0; i < 10; i++) assert_true(labels[i] == 9 - i && x[(i * 28 + (9 - i) * 2) * 28] > 1);
    free(x);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
}

static void dataset_may_be_compressed(void **state) {
    (void)state;
    nn_dataset train, test;
    uint8_t labels[HEAD_LABELS + TEST];
    write_dataset();
    write_gz(names[4], labels, read_file(names[3], labels, sizeof labels));
    unlink(path_of(names[3]));
    assert_true(nn_dataset_load(directory, 0, &train, &test, message));
    assert_true(train.count == TRAIN && test.count == TEST && test.labels[TEST - 1] == (TEST - 1) % 10);
    unlink(path_of(names[4]));
    nn_dataset_free(&train);
    nn_dataset_free(&test);
}

static void assert_bad_dataset(const char *name, const char *what) {
    nn_dataset train, test;
    message[0] = '\0';
    assert_false(nn_dataset_load(directory, 0, &train, &test, message));
    assert_true(!train.pixels && !train.labels && !test.pixels && !test.labels);
    if (!strstr(message, name) || !strstr(message, what)) fail_msg("\"%s\" lacks \"%s\" or \"%s\"", message, name, what);
    write_dataset();
}

static void dataset_that_does_not_fit_is_refused(void **state) {
    (void)state;
    write_dataset();
    write_labels(names[3], TEST, 10);
    assert_bad_dataset(names[3], "the label of image 0 is 10; the training labels are 0 to 9");
    write_labels(names[1], TRAIN - 1, 0);
    assert_bad_dataset(names[1], "40 labels for 41 images");
    write_images(names[2], TEST, 27);
    assert_bad_dataset(names[2], "test images are 27 x 27 x 1 (height, width, channels); the training images are 28 x 28 x 1");
    write_images(names[0], 0, 28);
    assert_bad_dataset(names[0], "no images");
    write_labels(names[0], 9, 0);
    assert_bad_dataset(names[0], "images must have 3 dimensions");
    write_images(names[3], 1, 28);
    assert_bad_dataset(names[3], "labels must have 1 dimension");
    unlink(path_of(names[3]));
    assert_bad_dataset(names[3], "there is no");
    uint8_t compressed[] = {31, 139, 8, 0};
    unlink(path_of(names[3]));
    write_file(names[4], compressed, sizeof compressed);
    assert_bad_dataset(names[4], "");
    unlink(path_of(names[4]));
}

/* Training. */

static nn_model_options small_cnn(bool batch_norm, size_t batch, int threads) {
    return (nn_model_options){.kind = NN_CNN,
                              .image = {28, 28, 1},
                              .classes = 10,
                              .norm = batch_norm ? NN_NORM_BEFORE : NN_NORM_NONE,
                              .activation = NN_RELU,
                              .batch = batch,
                              .threads = threads,
                              .seed = 5};
}

static nn_epoch train_epochs(const nn_dataset *train, const nn_dataset *test, const nn_model_options *options, int epochs) {
    nn_backend *backend;
    nn_network *network;
    nn_trainer trainer;
    nn_epoch epoch;
    assert_null(nn_backend_create(options->threads, &backend));
    assert_null(nn_model_create(backend, options, &network));
    assert_null(nn_trainer_init(&trainer, network, train, test, options, 0.02f, 0.9f));
    for (int i = 0; i < epochs; i++) assert_null(nn_trainer_epoch(&trainer, NULL, NULL, &epoch));
    nn_trainer_free(&trainer);
    nn_network_destroy(network);
    nn_backend_destroy(backend);
    return epoch;
}

/* 41 and 21 images in batches of 10: one sample is left over, in training (skipped) and in testing (used). */
static void training_learns_and_repeats_itself(void **state) {
    (void)state;
    nn_dataset train, test;
    write_dataset();
    assert_true(nn_dataset_load(directory, 0, &train, &test, message));
    for (int batch_norm = 0; batch_norm < 2; batch_norm++) {
        const nn_model_options options = small_cnn(batch_norm, 10, 2);
        const nn_epoch one = train_epochs(&train, &test, &options, 8), two = train_epochs(&train, &test, &options, 8);
        assert_true(one.accuracy > 0.9 && one.loss < 0.5);
        assert_true(one.accuracy == two.accuracy && one.loss == two.loss);
    }
    nn_dataset_free(&train);
    nn_dataset_free(&test);
}

struct watch {
    const nn_trainer *trainer;
    size_t done;
    uint32_t first; /* the first image of the epoch */
};

/* Each image has its place in the order, and the place is not its number. */
static void watch_progress(void *user, size_t done, size_t total) {
    struct watch *watch = user;
    uint64_t seen = 0;
    size_t at_home = 0;
    assert_int_equal(total, TRAIN - 1);
    for (uint32_t i = 0; i < TRAIN; i++) {
        seen |= UINT64_C(1) << watch->trainer->order[i];
        at_home += watch->trainer->order[i] == i;
    }
    assert_true(seen == (UINT64_C(1) << TRAIN) - 1 && at_home < 10);
    watch->done = done;
    watch->first = watch->trainer->order[0];
}

static void epochs_are_shuffled_and_skip_a_single_leftover(void **state) {
    (void)state;
    nn_dataset train, test;
    nn_backend *backend;
    nn_network *network;
    nn_trainer trainer;
    nn_epoch epoch;
    const nn_model_options options = small_cnn(true, 20, 1);
    write_dataset();
    assert_true(nn_dataset_load(directory, 0, &train, &test, message));
    assert_null(nn_backend_create(1, &backend));
    assert_null(nn_model_create(backend, &options, &network));
    assert_null(nn_trainer_init(&trainer, network, &train, &test, &options, 0.02f, 0.9f));
    struct watch one = {.trainer = &trainer}, two = one;
    assert_null(nn_trainer_epoch(&trainer, watch_progress, &one, &epoch));
    assert_null(nn_trainer_epoch(&trainer, watch_progress, &two, &epoch));
    assert_true(one.done == TRAIN - 1 && two.done == TRAIN - 1 && one.first != two.first);
    nn_trainer_free(&trainer);
    nn_network_destroy(network);
    nn_backend_destroy(backend);
    nn_dataset_free(&train);
    nn_dataset_free(&test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pcg32_gives_its_authors_numbers),
        cmocka_unit_test(below_is_unbiased),
        cmocka_unit_test(shuffle_is_a_fair_permutation),
        cmocka_unit_test(loss_gradient_equals_finite_differences),
        cmocka_unit_test(loss_of_large_logits_is_finite),
        cmocka_unit_test(idx_reads_plain_and_compressed),
        cmocka_unit_test(idx_truncated_anywhere_is_refused),
        cmocka_unit_test(idx_malformed_is_refused),
        cmocka_unit_test(dataset_is_read_and_scaled),
        cmocka_unit_test(dataset_may_be_compressed),
        cmocka_unit_test(dataset_that_does_not_fit_is_refused),
        cmocka_unit_test(training_learns_and_repeats_itself),
        cmocka_unit_test(epochs_are_shuffled_and_skip_a_single_leftover),
    };
    return cmocka_run_group_tests_name("nn.data", tests, make_directory, remove_directory);
}
