/* SPDX-License-Identifier: MIT */
/* A layer in words: repr against the texts of PyTorch 2.15, numbers against Python's, print against its exact text.
 * Longer than 300 lines, most of them texts. */
#define _POSIX_C_SOURCE 200809L /* open_memstream, mkdtemp */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/float_text.h"
#include "layer_support.h"
#include "tests/support/test.h"

/* No momentum: it stands for None. */
#define NONE 1e300

static const struct {
    int dims;
    int64_t num_features;
    double eps, momentum;
    bool lazy, affine, bias, track;
    const char *repr; /* what print(layer) writes in PyTorch */
} layers[] = {
    {1, 16, 1e-05, 0.1, 0, 1, 1, 1,
     "BatchNorm1d(16, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"},
    {2, 3, 0.001, NONE, 0, 1, 0, 1,
     "BatchNorm2d(3, eps=0.001, momentum=None, affine=True, bias=False, track_running_stats=True)"},
    {3, 1, 0.1, 0.01, 0, 1, 1, 0, "BatchNorm3d(1, eps=0.1, momentum=0.01, affine=True, bias=True, track_running_stats=False)"},
    {1, 0, 1.0, 0.0, 0, 0, 1, 1, "BatchNorm1d(0, eps=1.0, momentum=0.0, affine=False, bias=False, track_running_stats=True)"},
    {2, 512, 0.0, 1.0, 1, 1, 1, 1,
     "LazyBatchNorm2d(0, eps=0.0, momentum=1.0, affine=True, bias=True, track_running_stats=True)"},
    {3, 1000000, 1e-12, 2.0, 0, 1, 0, 1,
     "BatchNorm3d(1000000, eps=1e-12, momentum=2.0, affine=True, bias=False, track_running_stats=True)"},
    {1, 16, 1e+16, -0.5, 0, 1, 1, 1,
     "BatchNorm1d(16, eps=1e+16, momentum=-0.5, affine=True, bias=True, track_running_stats=True)"},
    {2, 3, 1000000000000000.0, -1.2, 0, 1, 1, 1,
     "BatchNorm2d(3, eps=1000000000000000.0, momentum=-1.2, affine=True, bias=True, track_running_stats=True)"},
    {3, 1, 123456789.0, 0.9, 0, 1, 1, 0,
     "BatchNorm3d(1, eps=123456789.0, momentum=0.9, affine=True, bias=True, track_running_stats=False)"},
    {1, 0, 0.0001, 0.99, 1, 1, 0, 1,
     "LazyBatchNorm1d(0, eps=0.0001, momentum=0.99, affine=True, bias=False, track_running_stats=True)"},
    {2, 512, 0.00012345, 1e-05, 0, 0, 1, 1,
     "BatchNorm2d(512, eps=0.00012345, momentum=1e-05, affine=False, bias=False, track_running_stats=True)"},
    {3, 1000000, 3.3333333333333335e-05, INFINITY, 0, 1, 1, 1,
     "BatchNorm3d(1000000, eps=3.3333333333333335e-05, momentum=inf, affine=True, bias=True, track_running_stats=True)"},
    {1, 16, INFINITY, 0.0003, 0, 1, 1, 1,
     "BatchNorm1d(16, eps=inf, momentum=0.0003, affine=True, bias=True, track_running_stats=True)"},
    {2, 3, NAN, 0.1, 0, 1, 0, 1, "BatchNorm2d(3, eps=nan, momentum=0.1, affine=True, bias=False, track_running_stats=True)"},
    {3, 1, -1e-05, NONE, 1, 1, 1, 0,
     "LazyBatchNorm3d(0, eps=-1e-05, momentum=None, affine=True, bias=True, track_running_stats=False)"},
    {1, 0, 5e-324, 0.01, 0, 1, 1, 1,
     "BatchNorm1d(0, eps=5e-324, momentum=0.01, affine=True, bias=True, track_running_stats=True)"},
    {2, 512, 1.7976931348623157e+308, 0.0, 0, 1, 1, 1,
     "BatchNorm2d(512, eps=1.7976931348623157e+308, momentum=0.0, affine=True, bias=True, track_running_stats=True)"},
    {3, 1000000, 5.684341886080802e-14, 1.0, 0, 0, 0, 1,
     "BatchNorm3d(1000000, eps=5.684341886080802e-14, momentum=1.0, affine=False, bias=False, track_running_stats=True)"},
    {1, 16, 1e+22, 2.0, 0, 1, 1, 1,
     "BatchNorm1d(16, eps=1e+22, momentum=2.0, affine=True, bias=True, track_running_stats=True)"},
    {2, 3, 9007199254740992.0, -0.5, 1, 1, 1, 1,
     "LazyBatchNorm2d(0, eps=9007199254740992.0, momentum=-0.5, affine=True, bias=True, track_running_stats=True)"},
    {3, 1, 0.30000000000000004, -1.2, 0, 1, 1, 0,
     "BatchNorm3d(1, eps=0.30000000000000004, momentum=-1.2, affine=True, bias=True, track_running_stats=False)"},
    {1, 0, 1e+100, 0.9, 0, 1, 0, 1,
     "BatchNorm1d(0, eps=1e+100, momentum=0.9, affine=True, bias=False, track_running_stats=True)"},
    {2, 512, 1e-05, 0.99, 0, 1, 1, 1,
     "BatchNorm2d(512, eps=1e-05, momentum=0.99, affine=True, bias=True, track_running_stats=True)"},
    {3, 1000000, 0.001, 1e-05, 0, 1, 1, 1,
     "BatchNorm3d(1000000, eps=0.001, momentum=1e-05, affine=True, bias=True, track_running_stats=True)"},
    {1, 16, 0.1, INFINITY, 1, 0, 1, 1,
     "LazyBatchNorm1d(0, eps=0.1, momentum=inf, affine=False, bias=False, track_running_stats=True)"},
    {2, 3, 1.0, 0.0003, 0, 1, 0, 1,
     "BatchNorm2d(3, eps=1.0, momentum=0.0003, affine=True, bias=False, track_running_stats=True)"},
};

static batchnorm_layer *layer_at(size_t i) {
    batchnorm_layer_options o = batchnorm_layer_defaults(layers[i].dims, layers[i].num_features);
    o.convention.eps = layers[i].eps;
    o.convention.momentum = layers[i].momentum;
    o.cumulative = layers[i].momentum == NONE;
    o.lazy = layers[i].lazy;
    o.affine = layers[i].affine;
    o.bias = layers[i].bias;
    o.track_running_stats = layers[i].track;
    return make_layer_of(o);
}

static void expect_reprs(void) {
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        batchnorm_layer *layer = layer_at(i);
        char text[256];
        assert_int_equal(batchnorm_layer_repr(layer, text, sizeof text), strlen(layers[i].repr));
        assert_string_equal(text, layers[i].repr);
    }
}

TEST(repr_is_pytorchs) { expect_reprs(); }

static bool use_comma(const char *const *names) {
    char half[8];
    for (int i = 0; names[i] != NULL; i++) {
        if (setlocale(LC_NUMERIC, names[i]) == NULL) continue;
        snprintf(half, sizeof half, "%.1f", 0.5);
        if (strcmp(half, "0,5") == 0) return true;
    }
    return false;
}

/* A locale with a decimal comma: one that is installed, or one that is made in `directory`. */
static bool find_comma(char *directory) {
    static const char *const installed[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "ru_RU.UTF-8", NULL};
    static const char *const made[] = {"comma", NULL};
    char command[256];
    if (use_comma(installed)) return true;
    if (mkdtemp(directory) == NULL) return false;
    snprintf(command, sizeof command, "localedef -c -i - -f ANSI_X3.4-1968 %s/comma >/dev/null 2>&1", directory);
    FILE *localedef = popen(command, "w");
    if (localedef == NULL) return false;
    fputs("LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \"\"\ngrouping -1\nEND LC_NUMERIC\n", localedef);
    pclose(localedef); /* it complains of all that is missing; whether it was enough shows below */
    setenv("LOCPATH", directory, 1);
    const bool found = use_comma(made);
    unsetenv("LOCPATH");
    return found;
}

TEST(repr_does_not_depend_on_the_locale) {
    char directory[] = "/tmp/batchnorm-locale-XXXXXX", command[64];
    const bool found = find_comma(directory);
    snprintf(command, sizeof command, "rm -rf %s", directory); /* what was loaded stays */
    if (access(directory, F_OK) == 0) assert_int_equal(system(command), 0);
    if (found) expect_reprs();
    setlocale(LC_NUMERIC, "C");
    if (found) return;
    print_message("no locale with a decimal comma is installed\n");
    skip();
}

TEST(repr_cuts_like_snprintf) {
    batchnorm_layer *layer = make_layer(1, 2, BATCHNORM_F32);
    const char *whole = "BatchNorm1d(2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)";
    const size_t length = strlen(whole);
    assert_int_equal(batchnorm_layer_repr(layer, NULL, 0), length);
    for (size_t size = 0; size < length + 3; size++) {
        char text[128];
        memset(text, '#', sizeof text);
        assert_int_equal(batchnorm_layer_repr(layer, text, size), length);
        const size_t kept = size == 0 ? 0 : size - 1 < length ? size - 1 : length;
        assert_memory_equal(text, whole, kept);
        if (size > 0) assert_int_equal(text[kept], '\0');
        assert_int_equal(text[size == 0 ? 0 : kept + 1], '#');
    }
    char text[4] = "abc";
    assert_int_equal(batchnorm_layer_repr(NULL, text, sizeof text), 0);
    assert_string_equal(text, "");
}

/* The bias is told by what the layer has now. */
TEST(repr_follows_the_layer) {
    batchnorm_layer *layer = make_layer(1, 2, BATCHNORM_F32);
    char text[256];
    assert_int_equal(batchnorm_layer_remove(layer, "bias"), BATCHNORM_OK);
    assert_int_equal(batchnorm_layer_remove(layer, "weight"), BATCHNORM_OK);
    batchnorm_layer_set_track_running_stats(layer, false);
    batchnorm_layer_set_cumulative(layer, true);
    batchnorm_layer_repr(layer, text, sizeof text);
    assert_string_equal(text, "BatchNorm1d(2, eps=1e-05, momentum=None, affine=True, bias=False, track_running_stats=False)");
}

TEST(numbers_are_pythons) {
    static const struct {
        double value;
        const char *text;
    } doubles[] = {{0, "0.0"},
                   {-0.0, "-0.0"},
                   {1, "1.0"},
                   {-1.5, "-1.5"},
                   {100, "100.0"},
                   {0.1, "0.1"},
                   {1e-4, "0.0001"},
                   {1e-5, "1e-05"},
                   {1.5e-7, "1.5e-07"},
                   {1e15, "1000000000000000.0"},
                   {1e16, "1e+16"},
                   {1.25e17, "1.25e+17"},
                   {123456789012345680.0, "1.2345678901234568e+17"},
                   {0x1p-44, "5.684341886080802e-14"},
                   {0x1p-1074, "5e-324"},
                   {0x1.fffffffffffffp1023, "1.7976931348623157e+308"},
                   {0x1p-1022, "2.2250738585072014e-308"},
                   {0.1 + 0.2, "0.30000000000000004"},
                   {1.0 / 3, "0.3333333333333333"},
                   {9999999999999998.0, "9999999999999998.0"},
                   {INFINITY, "inf"},
                   {-INFINITY, "-inf"},
                   {NAN, "nan"},
                   {-NAN, "nan"}};
    static const struct {
        float value;
        const char *text;
    } floats[] = {{0.1f, "0.1"},        {1.0f / 3, "0.33333334"}, {16777216, "16777216.0"},    {3.4028235e38f, "3.4028235e+38"},
                  {0x1p-149f, "1e-45"}, {1e10f, "10000000000.0"}, {0.99999994f, "0.99999994"}, {-2.5f, "-2.5"}};
    char text[BN_FLOAT_TEXT];
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        assert_int_equal(bn_float_text(doubles[i].value, false, text), strlen(doubles[i].text));
        assert_string_equal(text, doubles[i].text);
    }
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        assert_int_equal(bn_float_text((double)floats[i].value, true, text), strlen(floats[i].text));
        assert_string_equal(text, floats[i].text);
    }
}

/* Whatever the bits: the text gives them back, and no shorter text does. */
TEST(numbers_round_trip) {
    uint64_t seed = 77;
    char text[BN_FLOAT_TEXT], shorter[BN_FLOAT_TEXT];
    for (int i = 0; i < 20000; i++) {
        const uint64_t bits = random_bits(&seed);
        const uint32_t low = (uint32_t)bits;
        double value;
        float narrow;
        memcpy(&value, &bits, sizeof value);
        memcpy(&narrow, &low, sizeof narrow);
        if (!isfinite(value) || !isfinite(narrow)) continue;
        bn_float_text(value, false, text);
        assert_true(strtod(text, NULL) == value);
        size_t digits = strspn(text + (text[0] == '-'), "0123456789.") - 1;
        if (digits > 1) snprintf(shorter, sizeof shorter, "%.*e", (int)digits - 2, value);
        if (digits > 1 && strchr(text, 'e') != NULL) assert_true(strtod(shorter, NULL) != value);
        bn_float_text((double)narrow, true, text);
        assert_true(strtof(text, NULL) == narrow);
    }
}

static void expect_print(const batchnorm_layer *layer, const char *wanted) {
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    assert_int_equal(batchnorm_layer_print(layer, file), BATCHNORM_OK);
    fclose(file);
    assert_string_equal(text, wanted);
    free(text);
}

TEST(print_shows_everything) {
    batchnorm_layer *layer = make_layer(2, 9, BATCHNORM_F32); /* more than a line of numbers */
    scramble(layer);
    set_value(batchnorm_layer_weight(layer)->value, 8, 1.0 / 3);
    batchnorm_layer_bias(layer)->requires_grad = false;
    batchnorm_layer_eval(layer);
    expect_print(layer, "BatchNorm2d(9, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)\n"
                        "training: False\n"
                        "_parameters:\n"
                        "  weight: float32 [9]\n"
                        "      1.25 1.5 1.75 2.0 2.25 2.5 2.75 3.0\n"
                        "      0.33333334\n"
                        "  weight.requires_grad: True\n"
                        "  weight.grad: float32 [9]\n"
                        "      5.25 5.5 5.75 6.0 6.25 6.5 6.75 7.0\n"
                        "      7.25\n"
                        "  bias: float32 [9]\n"
                        "      -0.75 -0.5 -0.25 0.0 0.25 0.5 0.75 1.0\n"
                        "      1.25\n"
                        "  bias.requires_grad: False\n"
                        "  bias.grad: float32 [9]\n"
                        "      6.25 6.5 6.75 7.0 7.25 7.5 7.75 8.0\n"
                        "      8.25\n"
                        "_buffers:\n"
                        "  running_mean: float32 [9]\n"
                        "      2.25 2.5 2.75 3.0 3.25 3.5 3.75 4.0\n"
                        "      4.25\n"
                        "  running_var: float32 [9]\n"
                        "      3.25 3.5 3.75 4.0 4.25 4.5 4.75 5.0\n"
                        "      5.25\n"
                        "  num_batches_tracked: 41\n"
                        "_non_persistent_buffers_set: set()\n"
                        "_modules: {}\n"
                        "num_features: 9\n"
                        "eps: 1e-05\n"
                        "momentum: 0.1\n"
                        "affine: True\n"
                        "track_running_stats: True\n");
}

TEST(print_shows_what_is_not_there) {
    batchnorm_layer_options o = batchnorm_layer_defaults(1, 0);
    o.bias = false;
    o.cumulative = true;
    o.dtype = BATCHNORM_F64;
    batchnorm_layer *layer = make_layer_of(o);
    assert_int_equal(batchnorm_layer_remove(layer, "num_batches_tracked"), BATCHNORM_OK);
    expect_print(layer, "BatchNorm1d(0, eps=1e-05, momentum=None, affine=True, bias=False, track_running_stats=True)\n"
                        "training: True\n"
                        "_parameters:\n"
                        "  weight: float64 [0]\n"
                        "  weight.requires_grad: True\n"
                        "  weight.grad: float64 [0]\n"
                        "  bias: None\n"
                        "_buffers:\n"
                        "  running_mean: float64 [0]\n"
                        "  running_var: float64 [0]\n"
                        "  num_batches_tracked: None\n"
                        "_non_persistent_buffers_set: set()\n"
                        "_modules: {}\n"
                        "num_features: 0\n"
                        "eps: 1e-05\n"
                        "momentum: None\n"
                        "affine: True\n"
                        "track_running_stats: True\n");
    o.lazy = true;
    layer = make_layer_of(o);
    assert_int_equal(batchnorm_layer_remove(layer, "running_var"), BATCHNORM_OK);
    expect_print(layer, "LazyBatchNorm1d(0, eps=1e-05, momentum=None, affine=True, bias=False, track_running_stats=True)\n"
                        "training: True\n"
                        "_parameters:\n"
                        "  weight: uninitialized\n"
                        "  bias: None\n"
                        "_buffers:\n"
                        "  running_mean: uninitialized\n"
                        "  running_var: None\n"
                        "  num_batches_tracked: 0\n"
                        "_non_persistent_buffers_set: set()\n"
                        "_modules: {}\n"
                        "num_features: 0\n"
                        "eps: 1e-05\n"
                        "momentum: None\n"
                        "affine: True\n"
                        "track_running_stats: True\n");
}

TEST(print_tells_that_a_file_is_full) {
    batchnorm_layer *layer = make_layer(1, 2, BATCHNORM_F32);
    assert_int_equal(batchnorm_layer_print(NULL, stdout), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_layer_print(layer, NULL), BATCHNORM_NULL_POINTER);
    FILE *full = fopen("/dev/full", "w");
    if (full != NULL) {
        assert_int_equal(batchnorm_layer_print(layer, full), BATCHNORM_IO);
        fclose(full);
    }
    FILE *unwritable = fopen("/dev/null", "r");
    assert_non_null(unwritable);
    assert_int_equal(batchnorm_layer_print(layer, unwritable), BATCHNORM_IO);
    fclose(unwritable);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(repr_is_pytorchs, let_go),
        cmocka_unit_test_teardown(repr_does_not_depend_on_the_locale, let_go),
        cmocka_unit_test_teardown(repr_cuts_like_snprintf, let_go),
        cmocka_unit_test_teardown(repr_follows_the_layer, let_go),
        cmocka_unit_test_teardown(numbers_are_pythons, let_go),
        cmocka_unit_test_teardown(numbers_round_trip, let_go),
        cmocka_unit_test_teardown(print_shows_everything, let_go),
        cmocka_unit_test_teardown(print_shows_what_is_not_there, let_go),
        cmocka_unit_test_teardown(print_tells_that_a_file_is_full, let_go),
    };
    return cmocka_run_group_tests_name("api.print", tests, NULL, NULL);
}
