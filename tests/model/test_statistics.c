/* SPDX-License-Identifier: MIT */
/* What model.h promises of other statistics and of parts: arguments, statuses in their order, and what is in the file then. */
#include <math.h>
#include <string.h>

#include "model_support.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

static char message[BATCHNORM_MODEL_MESSAGE];

static void close_model(void *model) { batchnorm_model_close(model); }

static batchnorm_model *open_model(const char *name) {
    char path[100];
    batchnorm_model *model;
    snprintf(path, sizeof path, "model/models/%s.onnx", name);
    assert_int_equal(batchnorm_model_open(path, NULL, &model, message), BATCHNORM_OK);
    return keep(model, close_model);
}

/* Statistics of so many channels: means 0, 1, 2..., variances 0.5, 1, 1.5... */
static batchnorm_stat *statistics(size_t channels) {
    static batchnorm_stat all[16];
    for (size_t c = 0; c < channels; c++) all[c] = (batchnorm_stat){10, (double)c, 5 * (double)(c + 1)};
    return all;
}

TEST(sites_tell_depths_and_reasons) {
    const batchnorm_norm_site *sites;
    assert_int_equal(batchnorm_model_sites(NULL, &sites, message), BATCHNORM_NULL_POINTER);
    batchnorm_model *model = open_model("conv");
    assert_int_equal(batchnorm_model_sites(model, NULL, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_sites(model, &sites, NULL), BATCHNORM_OK);
    assert_int_equal(sites[0].depth, 1);
    assert_int_equal(sites[0].twin, 0);
    assert_null(sites[0].why);
    assert_true(sites[0].key[0] && sites[0].input[0]);
    const batchnorm_norm_site *again;
    assert_int_equal(batchnorm_model_sites(model, &again, NULL), BATCHNORM_OK);
    assert_ptr_equal(again, sites);

    model = open_model("inside_if");
    assert_int_equal(batchnorm_model_sites(model, &sites, NULL), BATCHNORM_OK);
    for (size_t i = 0; i < batchnorm_model_norm_count(model); i++) {
        assert_int_equal(sites[i].depth, 0);
        assert_non_null(strstr(sites[i].why, "inside an operator"));
    }
    assert_int_equal(batchnorm_model_sites(open_model("training_mode"), &sites, NULL), BATCHNORM_OK);
    assert_non_null(strstr(sites[0].why, "statistics of each batch"));
}

TEST(a_state_has_no_sites) {
    const batchnorm_norm_site *sites;
    batchnorm_model *model;
    assert_int_equal(batchnorm_model_from_state(NULL, 0, NULL, &model), BATCHNORM_OK);
    keep(model, close_model);
    assert_int_equal(batchnorm_model_sites(model, &sites, message), BATCHNORM_BAD_OPTION);
    assert_int_equal(batchnorm_model_instrument(model, 0, file_path("x"), message), BATCHNORM_BAD_OPTION);
    assert_int_equal(
        batchnorm_model_set_statistics(model, (const batchnorm_stat *const[]){NULL}, false, file_path("x"), NULL, message),
        BATCHNORM_BAD_OPTION);
}

TEST(statistics_are_read) {
    double mean[4], var[4];
    batchnorm_model *model = open_model("conv");
    assert_int_equal(batchnorm_model_norm_statistics(NULL, 0, mean, var, 4, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_norm_statistics(model, 1, mean, var, 4, message), BATCHNORM_BAD_OPTION);
    assert_int_equal(batchnorm_model_norm_statistics(model, 0, mean, var, 3, message), BATCHNORM_BAD_SHAPE);
    assert_int_equal(batchnorm_model_norm_statistics(model, 0, NULL, NULL, 4, message), BATCHNORM_OK);
    assert_int_equal(batchnorm_model_norm_statistics(model, 0, mean, var, 4, message), BATCHNORM_OK);
    for (int c = 0; c < 4; c++) assert_true(var[c] > 0);
    assert_int_equal(batchnorm_model_norm_statistics(open_model("training_mode"), 0, mean, var, 4, message),
                     BATCHNORM_BAD_OPTION);
}

TEST(statistics_are_written_and_nothing_else) {
    static struct bytes before, after;
    double mean[4], var[4];
    batchnorm_fold_counts counts = {.size = sizeof counts};
    batchnorm_model *model = open_model("conv"), *other;
    const batchnorm_stat *stats[] = {statistics(4)};
    const char *path = file_path("renewed");
    assert_int_equal(batchnorm_model_set_statistics(model, stats, false, path, &counts, message), BATCHNORM_OK);
    assert_int_equal(counts.tensors, 2);
    assert_int_equal(batchnorm_model_open(path, NULL, &other, message), BATCHNORM_OK);
    keep(other, close_model);
    assert_int_equal(batchnorm_model_norm_statistics(other, 0, mean, var, 4, message), BATCHNORM_OK);
    for (int c = 0; c < 4; c++) assert_true(mean[c] == c && var[c] == 0.5 * (c + 1));
    before.count = file_get("model/models/conv.onnx", before.at, sizeof before.at);
    after.count = file_get(path, after.at, sizeof after.at);
    assert_int_equal(before.count, after.count);
    assert_int_equal(counts.bytes, after.count);
    size_t changed = 0;
    for (size_t i = 0; i < before.count; i++) changed += before.at[i] != after.at[i];
    assert_true(changed > 0 && changed <= 2 * (16 + 12)); /* numbers, and the name beside them */

    stats[0] = NULL;
    assert_int_equal(batchnorm_model_set_statistics(model, stats, false, path, &counts, message), BATCHNORM_OK);
    after.count = file_get(path, after.at, sizeof after.at);
    assert_int_equal(counts.tensors, 0);
    assert_int_equal(after.count, before.count);
    assert_memory_equal(after.at, before.at, before.count);
}

TEST(statistics_are_checked) {
    batchnorm_fold_counts wrong = {.size = 1};
    batchnorm_model *model = open_model("conv");
    batchnorm_stat *all = statistics(4);
    const batchnorm_stat *stats[] = {all};
    const char *path = file_path("refused");
    assert_int_equal(batchnorm_model_set_statistics(NULL, stats, false, path, NULL, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_set_statistics(model, NULL, false, path, NULL, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_set_statistics(model, stats, false, NULL, NULL, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_set_statistics(model, stats, false, path, &wrong, message), BATCHNORM_BAD_OPTION);
    const batchnorm_stat odd[] = {{0, 1, 1}, {4, (double)NAN, 1}, {4, 1, HUGE_VAL}, {4, 1e39, 1}, {1, 0, 1e39}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        const batchnorm_stat good = all[2];
        all[2] = odd[i];
        assert_int_equal(batchnorm_model_set_statistics(model, stats, false, path, NULL, message), BATCHNORM_BAD_OPTION);
        assert_non_null(strstr(message, "channel 2"));
        all[2] = good;
    }
    assert_int_equal(batchnorm_model_set_statistics(open_model("training_mode"), stats, false, path, NULL, message),
                     BATCHNORM_BAD_OPTION);
    assert_int_equal(batchnorm_model_set_statistics(model, stats, false, "model/models/conv.onnx", NULL, message),
                     BATCHNORM_IO);
    assert_int_equal(batchnorm_model_look_at_output(model, "model/models/conv.onnx", message), BATCHNORM_IO);
    assert_int_equal(batchnorm_model_look_at_output(model, NULL, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_look_at_output(model, path, message), BATCHNORM_OK);
    assert_false(file_exists(path));
}

TEST(instrumented_models_are_checked) {
    batchnorm_model *model = open_model("conv"), *other;
    const char *path = file_path("probe");
    assert_int_equal(batchnorm_model_instrument(NULL, 0, path, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_instrument(model, 0, NULL, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_instrument(model, -1, path, message), BATCHNORM_BAD_OPTION);
    assert_int_equal(batchnorm_model_instrument(model, 2, path, message), BATCHNORM_BAD_OPTION);
    assert_int_equal(batchnorm_model_instrument(open_model("inside_if"), 0, path, message), BATCHNORM_BAD_OPTION);
    assert_int_equal(batchnorm_model_instrument(model, 1, path, message), BATCHNORM_OK);
    assert_int_equal(batchnorm_model_open(path, NULL, &other, message), BATCHNORM_OK);
    keep(other, close_model);
    assert_int_equal(batchnorm_model_norm_count(other), 0);
}

TEST(parts_are_checked) {
    batchnorm_model *model = open_model("conv");
    batchnorm_part_options options = {.size = sizeof options, .first = 0, .last = 1};
    batchnorm_part *part;
    batchnorm_part_value value;
    const void *bytes;
    size_t count;
    assert_int_equal(batchnorm_part_new(NULL, &options, &part, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_part_new(model, NULL, &part, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_part_new(model, &options, NULL, message), BATCHNORM_NULL_POINTER);
    const int64_t wrong[][2] = {{-1, 1}, {0, 0}, {1, 1}, {0, 2}, {1, 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        options.first = wrong[i][0];
        options.last = wrong[i][1];
        assert_int_equal(batchnorm_part_new(model, &options, &part, message), BATCHNORM_BAD_OPTION);
        assert_null(part);
    }
    options = (batchnorm_part_options){.size = 1, .last = 1};
    assert_int_equal(batchnorm_part_new(model, &options, &part, message), BATCHNORM_BAD_OPTION);
    options.size = sizeof options;
    assert_int_equal(batchnorm_part_new(model, &options, &part, message), BATCHNORM_OK);
    assert_true(batchnorm_part_input_at(part, 0, &value) && value.is_given);
    assert_false(batchnorm_part_input_at(part, 1, &value));
    assert_true(batchnorm_part_output_at(part, 0, &value) && !value.is_given && value.last_use == -1);
    assert_false(batchnorm_part_output_at(part, 1, &value));
    assert_false(batchnorm_part_output_at(NULL, 0, &value));
    assert_int_equal(batchnorm_part_build(NULL, NULL, &bytes, &count, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_part_build(part, NULL, NULL, &count, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_part_build(part, NULL, &bytes, &count, message), BATCHNORM_OK);
    assert_int_equal(batchnorm_part_build(part, NULL, &bytes, &count, message), BATCHNORM_OK); /* once more */
    file_put(file_path("part"), bytes, count);
    batchnorm_part_free(part);
    batchnorm_part_free(NULL);
    assert_int_equal(batchnorm_model_open(file_path("part"), NULL, &model, message), BATCHNORM_OK);
    keep(model, close_model);
    assert_int_equal(batchnorm_model_norm_count(model), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sites_tell_depths_and_reasons),
        cmocka_unit_test(a_state_has_no_sites),
        cmocka_unit_test(statistics_are_read),
        cmocka_unit_test(statistics_are_written_and_nothing_else),
        cmocka_unit_test(statistics_are_checked),
        cmocka_unit_test(instrumented_models_are_checked),
        cmocka_unit_test(parts_are_checked),
    };
    return cmocka_run_group_tests_name("model.statistics", tests, files_setup, files_teardown);
}
