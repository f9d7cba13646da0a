/* SPDX-License-Identifier: MIT */
/* Batches: against a reference that pads, cuts and flips in separate steps, and the fairness of what is drawn. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/dataset.h"
#include "nn/machine.h"
#include "tests/support/test.h"

enum { MOST_SHIFT = 4 };

/* `count` images of random bytes, none of which is 0, and statistics that are different in each channel. */
static nn_dataset make(uint32_t count, size_t height, size_t width, size_t channels) {
    nn_dataset set = {.count = count, .image = {height, width, channels}, .classes = 256};
    const size_t bytes = count * height * width * channels;
    uint32_t x = 99;
    set.pixels = malloc(bytes);
    set.labels = malloc(count);
    assert_true(set.pixels && set.labels);
    for (size_t i = 0; i < bytes; i++) set.pixels[i] = (uint8_t)(1 + ((x = x * 1664525 + 1013904223) >> 16) % 255);
    for (uint32_t i = 0; i < count; i++) set.labels[i] = (uint8_t)i;
    for (size_t c = 0; c < channels; c++) set.mean[c] = 100.5f + (float)c, set.rstd[c] = 1 / (50.25f + 3 * (float)c);
    return set;
}

/* What image i is when it is cut out `top` rows and `left` columns from the corner of its padded version. */
static void expect(const nn_dataset *set, uint32_t i, size_t shift, size_t top, size_t left, bool flip, float *x) {
    const nn_shape s = set->image;
    const size_t wide = s.width + 2 * shift;
    uint8_t *padded = calloc((s.height + 2 * shift) * wide, s.channels);
    assert_non_null(padded);
    for (size_t y = 0; y < s.height; y++) {
        for (size_t k = 0; k < s.width * s.channels; k++) {
            padded[((y + shift) * wide + shift) * s.channels + k] =
                set->pixels[((size_t)i * s.height + y) * s.width * s.channels + k];
        }
    }
    for (size_t y = 0; y < s.height; y++) {
        for (size_t k = 0; k < s.width; k++) {
            const size_t column = flip ? s.width - 1 - k : k;
            for (size_t c = 0; c < s.channels; c++) {
                *x++ = ((float)padded[((y + top) * wide + left + column) * s.channels + c] - set->mean[c]) * set->rstd[c];
            }
        }
    }
    free(padded);
}

/* Which of all views this is: (top * (2 shift + 1) + left) * 2 + flip. */
static size_t recognize(const nn_dataset *set, uint32_t i, size_t shift, const float *x) {
    const size_t size = nn_shape_size(set->image), turns = 2 * shift + 1;
    float *one = malloc(size * sizeof *one);
    for (size_t view = 0; view < turns * turns * 2; view++) {
        expect(set, i, shift, view / 2 / turns, view / 2 % turns, view % 2, one);
        if (memcmp(one, x, size * sizeof *one) == 0) return free(one), view;
    }
    fail_msg("image %u is none of the %zu that can be made of it", (unsigned)i, turns * turns * 2);
    return 0;
}

TEST(a_batch_is_normalized) {
    for (size_t channels = 1; channels <= 3; channels += 2) {
        nn_dataset set = make(7, 9, 11, channels);
        const uint32_t order[] = {6, 0, 0, 3};
        const size_t size = nn_shape_size(set.image);
        float x[4 * 9 * 11 * 3], one[9 * 11 * 3];
        uint8_t labels[4];
        nn_dataset_batch(&set, order, 4, NULL, x, labels);
        for (size_t i = 0; i < 4; i++) {
            expect(&set, order[i], 0, 0, 0, false, one);
            assert_memory_equal(x + i * size, one, size * sizeof *one);
            assert_int_equal(labels[i], order[i]);
        }
        float y[4 * 9 * 11 * 3];
        nn_dataset_batch(&set, order, 4, &(nn_augmentation){.seed = 1}, y, NULL); /* which changes nothing */
        assert_memory_equal(x, y, 4 * size * sizeof *x);
        nn_dataset_free(&set);
    }
}

/* Every view is one that the reference makes, and each comes as often as it should: a chi-squared test with a bound that fair
 * draws pass with a probability of more than 0.9999. */
static void assert_fair(size_t channels, unsigned shift, bool flip) {
    enum { IMAGES = 5, EPOCHS = 400, MOST_VIEWS = (2 * MOST_SHIFT + 1) * (2 * MOST_SHIFT + 1) * 2 };
    nn_dataset set = make(IMAGES, 6, 7, channels);
    const size_t size = nn_shape_size(set.image), turns = 2 * shift + 1, views = turns * turns * (flip ? 2 : 1);
    const uint32_t order[IMAGES] = {0, 1, 2, 3, 4};
    float x[IMAGES * 6 * 7 * 3];
    double seen[MOST_VIEWS] = {0}, chi = 0;
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        const nn_augmentation augmentation = {.shift = shift, .flip = flip, .seed = 3, .epoch = epoch};
        nn_dataset_batch(&set, order, IMAGES, &augmentation, x, NULL);
        for (uint32_t i = 0; i < IMAGES; i++) seen[recognize(&set, i, shift, x + i * size)]++;
    }
    const double each = IMAGES * EPOCHS / (double)views;
    for (size_t view = 0; view < turns * turns * 2; view++) {
        if (!flip && view % 2) {
            assert_true(seen[view] == 0);
        } else {
            chi += (seen[view] - each) * (seen[view] - each) / each;
        }
    }
    const double freedom = (double)views - 1;
    assert_true(chi < freedom + 4 * sqrt(2 * freedom) + 12);
    nn_dataset_free(&set);
}

TEST(views_are_those_of_the_reference_and_fair) {
    assert_fair(1, 0, true);
    assert_fair(1, 2, false);
    assert_fair(3, 1, true);
    assert_fair(1, MOST_SHIFT, true);
}

/* Of two draws for (seed, epoch, image) that differ a little, one says nothing of the other: the nine shifts of both come in
 * all pairs equally often. The last two of these keep a sum that a careless mixture would draw from. */
TEST(draws_are_independent) {
    enum { DRAWS = 4000, VIEWS = 9 };
    static const uint32_t steps[][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0, 1, -1u}, {1, -1u, 0}};
    nn_dataset set = make(2, 3, 3, 1);
    for (size_t what = 0; what < sizeof steps / sizeof steps[0]; what++) {
        double seen[VIEWS * VIEWS] = {0}, chi = 0;
        for (uint32_t i = 1; i <= DRAWS; i++) {
            size_t view[2];
            for (uint32_t k = 0; k < 2; k++) {
                const nn_augmentation augmentation = {
                    .shift = 1, .seed = i + k * steps[what][0], .epoch = i * 3 + k * steps[what][1]};
                const uint32_t image = (steps[what][2] == -1u) + k * steps[what][2];
                float x[9];
                nn_dataset_batch(&set, &image, 1, &augmentation, x, NULL);
                view[k] = recognize(&set, image, 1, x) / 2;
            }
            seen[view[0] * VIEWS + view[1]]++;
        }
        const double each = DRAWS / (double)(VIEWS * VIEWS), freedom = VIEWS * VIEWS - 1;
        for (size_t i = 0; i < VIEWS * VIEWS; i++) chi += (seen[i] - each) * (seen[i] - each) / each;
        assert_true(chi < freedom + 4 * sqrt(2 * freedom) + 12);
    }
    nn_dataset_free(&set);
}

/* Neither threads nor the cut into batches nor the order change what happens to an image; seed and epoch do. */
TEST(an_image_does_not_depend_on_its_company) {
    enum { N = 50 };
    nn_dataset set = make(N, 8, 8, 3);
    const size_t size = nn_shape_size(set.image);
    const nn_augmentation augmentation = {.shift = 2, .flip = true, .seed = 8, .epoch = 4};
    float *x = malloc(N * size * sizeof *x), *y = malloc(N * size * sizeof *y);
    uint32_t order[N], back[N];
    for (uint32_t i = 0; i < N; i++) order[i] = i, back[i] = N - 1 - i;
    nn_set_threads(1);
    nn_dataset_batch(&set, order, N, &augmentation, x, NULL);
    for (int threads = 1; threads <= 7; threads += 3) {
        nn_set_threads(threads);
        for (size_t batch = 1; batch <= N; batch += 6) {
            for (size_t start = 0; start < N; start += batch) {
                nn_dataset_batch(&set, back + start, N - start < batch ? N - start : batch, &augmentation, y + start * size,
                                 NULL);
            }
            for (size_t i = 0; i < N; i++) assert_memory_equal(y + i * size, x + (N - 1 - i) * size, size * sizeof *x);
        }
    }
    for (int what = 0; what < 2; what++) {
        nn_augmentation other = augmentation;
        if (what == 0) other.seed++;
        if (what == 1) other.epoch++;
        nn_dataset_batch(&set, order, N, &other, y, NULL);
        size_t same = 0;
        for (size_t i = 0; i < N; i++) same += memcmp(x + i * size, y + i * size, size * sizeof *x) == 0;
        assert_true(same < 8); /* one in 50 is expected */
    }
    free(x);
    free(y);
    nn_dataset_free(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_normalized),
        cmocka_unit_test(views_are_those_of_the_reference_and_fair),
        cmocka_unit_test(draws_are_independent),
        cmocka_unit_test(an_image_does_not_depend_on_its_company),
    };
    return cmocka_run_group_tests_name("nn.augmentation", tests, NULL, NULL);
}
