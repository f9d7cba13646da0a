/* SPDX-License-Identifier: MIT */
/* Darknet networks, written number by number: every layer that has numbers, both programs' orders, both headers; what does not
 * fit to the last byte, and what is not understood. */
#include <stdlib.h>
#include <string.h>

#include "model/darknet.h"
#include "model_support.h"
#include "tests/support/test.h"

static char why[BN_ONNX_BYTES];
static struct bn_torch torch;
static struct bytes file;

/* The header of a version, and so many numbers: 0, 1, 2, ... */
static void put_file(uint32_t major, uint32_t minor, int seen_bytes, int numbers) {
    file.count = 0;
    put_number(&file, major, 4);
    put_number(&file, minor, 4);
    put_number(&file, 7, 4);
    put_number(&file, 1234567, seen_bytes);
    for (int i = 0; i < numbers; i++) {
        const float value = (float)i;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        put_number(&file, bits, 4);
    }
}

static batchnorm_status index_of(const char *cfg) {
    static struct bn_map weights;
    weights = (struct bn_map){.base = file.at, .bytes = file.count};
    const struct bn_map text = {.base = (const unsigned char *)cfg, .bytes = strlen(cfg)};
    bn_torch_free(&torch);
    why[0] = '\0';
    return bn_darknet_index(&torch, &weights, &text, why);
}

/* The file has so many numbers, and the layers of the text use them all. */
static void expect_read(const char *cfg, int numbers) {
    put_file(0, 2, 8, numbers);
    if (index_of(cfg) != BATCHNORM_OK) fail_msg("%s", why);
}

static void expect_refused(const char *cfg, int numbers, const char *message) {
    put_file(0, 2, 8, numbers);
    assert_int_equal(index_of(cfg), BATCHNORM_BAD_FILE);
    assert_string_equal(why, message);
}

/* The tensor at an index has this name, these sizes, and these elements: the first two and the last. */
static void expect_tensor(size_t index, const char *name, const char *sizes, double first, double second, double last) {
    char text[80] = "";
    double values[256];
    size_t count = 1;
    assert_true(index < torch.tensor_count);
    const struct bn_torch_tensor *t = &torch.tensors[index];
    for (int d = 0; d < t->rank; d++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), d ? ",%d" : "%d", (int)t->dims[d]);
        count *= (size_t)t->dims[d];
    }
    assert_string_equal(t->name, name);
    assert_string_equal(text, sizes);
    assert_true(count > 0 && count <= 256);
    assert_int_equal(bn_torch_read(&torch, t, values, count, why), BATCHNORM_OK);
    assert_true(values[0] == first && values[count - 1] == last && (count == 1 || values[1] == second));
}

#define NET "[net]\nheight=4\nwidth=6\nchannels=2\n"

TEST(a_convolution_with_batch_norm) {
    expect_read(NET "[convolutional]\nbatch_normalize=1\nfilters=3\nsize=1\nstride=1\npad=1\nactivation=leaky\n", 4 * 3 + 6);
    expect_tensor(0, "0.batchnorm.bias", "3", 0, 1, 2);
    expect_tensor(1, "0.batchnorm.weight", "3", 3, 4, 5);
    expect_tensor(2, "0.batchnorm.running_mean", "3", 6, 7, 8);
    expect_tensor(3, "0.batchnorm.running_var", "3", 9, 10, 11);
    expect_tensor(4, "0.convolutional.weight", "3,2,1,1", 12, 13, 17);
    expect_tensor(5, "version", "3", 0, 2, 7);
    expect_tensor(6, "seen", "", 1234567, 0, 1234567);
    assert_int_equal(torch.tensor_count, 7);
}

TEST(other_convolutions) {
    expect_read(NET "[conv]\nfilters=2\nsize=3\ngroups=2\n", 2 + 2 * 9);
    expect_tensor(0, "0.convolutional.bias", "2", 0, 1, 1);
    expect_tensor(1, "0.convolutional.weight", "2,1,3,3", 2, 3, 19);
    expect_read(NET "[convolutional]\n", 1 + 2); /* everything as usual */
    expect_read(NET "[convolutional]\nfilters=3\nflipped=1\n", 3 + 6);
    expect_tensor(1, "0.convolutional.weight", "3,2,1,1", 3, 6, 8); /* a column of 2 after the other */
    expect_read(NET "[deconvolutional]\nfilters=3\nsize=2\nbatch_normalize=1\n", 12 + 24);
    expect_tensor(4, "0.deconvolutional.weight", "2,3,2,2", 12, 13, 35);
    expect_read(NET "[convolutional]\nfilters=3\n[convolutional]\nfilters=3\nshare_index=0\n[convolutional]\n", 3 + 6 + 1 + 3);
}

TEST(fully_connected_layers) {
    expect_read(NET "[connected]\noutput=2\nbatch_normalize=1\n", 2 + 96 + 6);
    expect_tensor(0, "0.batchnorm.bias", "2", 0, 1, 1);
    expect_tensor(1, "0.connected.weight", "2,48", 2, 3, 97);
    expect_tensor(2, "0.batchnorm.weight", "2", 98, 99, 99);
    expect_tensor(4, "0.batchnorm.running_var", "2", 102, 103, 103);
    expect_read("[net]\ninputs=3\n[connected]\noutput=2\n[softmax]\n[connected]\noutput=1\n", 2 + 6 + 1 + 2);
    expect_tensor(2, "2.connected.bias", "1", 8, 0, 8);
    /* old files have the matrix the other way round, and seen in 32 bits or in 64 */
    for (int bytes = 4; bytes <= 8; bytes += 4) {
        put_file(1, 2000, bytes, 2 + 6);
        assert_int_equal(index_of("[net]\ninputs=3\n[connected]\noutput=2\n"), BATCHNORM_OK);
        expect_tensor(1, "0.connected.weight", "2,3", 2, 4, 7);
        expect_tensor(3, "seen", "", 1234567, 0, 1234567);
    }
}

TEST(headers) {
    put_file(0, 1, 4, 3);
    assert_int_equal(index_of(NET "[convolutional]\n"), BATCHNORM_OK);
    assert_int_equal(torch.tensors[3].type, BN_TORCH_UINT32);
    put_file(1, 0, 8, 3);
    assert_int_equal(index_of(NET "[convolutional]\n"), BATCHNORM_OK);
    assert_int_equal(torch.tensors[3].type, BN_TORCH_UINT64);
    put_file(0, 1, 8, 3);
    assert_int_equal(index_of(NET "[convolutional]\n"), BATCHNORM_BAD_FILE);
    file.count = 15;
    assert_int_equal(index_of(NET "[convolutional]\n"), BATCHNORM_BAD_FILE);
    assert_string_equal(why, "is too short for a Darknet file");
}

/* AlexeyAB's file has biases, pjreddie's has none: the size tells it. */
TEST(a_batch_norm_of_its_own) {
    expect_read(NET "[batchnorm]\n[cost]\n[batchnorm]\n", 16);
    expect_tensor(0, "0.batchnorm.bias", "2", 0, 1, 1);
    expect_tensor(7, "2.batchnorm.running_var", "2", 14, 15, 15);
    expect_read(NET "[batchnorm]\n[cost]\n[batchnorm]\n", 12);
    expect_tensor(0, "0.batchnorm.weight", "2", 0, 1, 1);
    expect_tensor(5, "2.batchnorm.running_var", "2", 10, 11, 11);
    assert_int_equal(torch.tensor_count, 8);
    expect_refused(NET "[batchnorm]\n", 7, "has 7 numbers, and its .cfg has layers of 6");
}

TEST(layers_that_change_sizes) {
    static const struct {
        const char *cfg;
        int inputs; /* of the fully connected layer behind */
    } rows[] = {
        {"[maxpool]\nsize=2\nstride=2\n", 2 * 3 * 2},
        {"[maxpool]\nsize=3\nstride=2\npadding=0\n", 1 * 2 * 2},
        {"[max]\nsize=2\nstride=2\nmaxpool_depth=1\nout_channels=5\n", 2 * 3 * 5},
        {"[local_avgpool]\nsize=2\nstride=2\n", 2 * 3 * 2},
        {"[avgpool]\n", 2},
        {"[upsample]\nstride=2\n", 8 * 12 * 2},
        {"[upsample]\nstride=-2\n", 2 * 3 * 2},
        {"[reorg]\nstride=2\n", 2 * 3 * 8},
        {"[reorg3d]\nstride=2\n[reorg]\nstride=2\nreverse=1\n", 48},
        {"[crop]\ncrop_height=3\ncrop_width=3\n", 18},
        {"[route]\nlayers=-1\n", 48},
        {"[dropout]\n[route]\nlayers=0,1\n", 96},
        {"[dropout]\n[route]\nlayers = -1, -2 # both\ngroups=2\n", 48},
        {"[shortcut]\nfrom=-1\n", 48},
        {"[avgpool]\n[scale_channels]\nfrom=0\n", 48},
        {"[sam]\nfrom=0\n", 48},
        {"[convolutional]\nfilters=2\nsize=3\nstride=2\n", -38}, /* with 38 numbers of its own, 2 x 1 x 2 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char cfg[400];
        snprintf(cfg, sizeof cfg, NET "[softmax]\n%s[connected]\noutput=1\n", rows[i].cfg);
        if (rows[i].inputs > 0) expect_read(cfg, 1 + rows[i].inputs);
        if (rows[i].inputs < 0) expect_read(cfg, 38 + 1 + 4);
    }
}

TEST(weights_of_shortcuts_and_local_layers) {
    expect_read(NET "[cost]\n[cost]\n[shortcut]\nfrom=-2,0\nweights_type=per_channel\n", 6);
    expect_tensor(0, "2.shortcut.weight", "3,2", 0, 1, 5);
    expect_read(NET "[cost]\n[shortcut]\nfrom=-1\nweights_type=per_feature\n", 2);
    expect_read(NET "[local]\nfilters=3\nsize=2\nstride=2\n", 18 + 6 * 3 * 2 * 4);
    expect_tensor(0, "0.local.bias", "3,2,3", 0, 1, 17);
    expect_tensor(1, "0.local.weight", "6,3,2,2,2", 18, 19, 161);
}

TEST(text) {
    expect_read("; comment\n# other\n\n [net] \r\n height = 4\r\nwidth=6\nchannels=2\n  [ conv ]\nfilters=2\nfilters=3\npad=1",
                6);
    expect_refused("", 3, "a .cfg without a [section]");
    expect_refused("\n\nheight=4\n", 3, "line 3 of the .cfg: neither a [section] nor key=value in one");
    expect_refused("[net]\nheight\n", 3, "line 2 of the .cfg: neither a [section] nor key=value in one");
    expect_refused("[net\n", 3, "line 1 of the .cfg: a [ without a ]");
}

TEST(what_is_refused) {
    static const struct {
        const char *cfg, *message;
    } rows[] = {
        {"[convolutional]\n", "line 1 of the .cfg, [convolutional]: a .cfg begins with [net]"},
        {NET "[lstm]\n",
         "line 5 of the .cfg, [lstm]: a layer that is not read: whether it has numbers in the file is not known"},
        {NET "[conv]\nfilters=x\n", "line 5 of the .cfg, [conv]: filters must be a whole number of at least 1"},
        {NET "[conv]\nfilters=0\n", "line 5 of the .cfg, [conv]: filters must be a whole number of at least 1"},
        {NET "[conv]\nsize=99999999999\n", "line 5 of the .cfg, [conv]: size must be a whole number of at least 1"},
        {NET "[conv]\ngroups=2\nfilters=3\n", "line 5 of the .cfg, [conv]: groups do not divide the channels, 2"},
        {NET "[conv]\nantialiasing=1\n", "line 5 of the .cfg, [conv]: antialiasing is not read"},
        {"[net]\n[conv]\n", "line 2 of the .cfg, [conv]: groups do not divide the channels, 0"},
        {"[net]\n[batchnorm]\n", "line 2 of the .cfg, [batchnorm]: no channels come into it"},
        {"[net]\n[connected]\n", "line 2 of the .cfg, [connected]: nothing comes into it: the .cfg has no sizes of the input"},
        {"[net]\nchannels=1\n[local]\n",
         "line 3 of the .cfg, [local]: nothing comes out of it: the .cfg has no sizes of the input"},
        {NET "[conv]\nfilters=2147483647\nsize=2147483647\n", "line 5 of the .cfg, [conv]: a layer of too many numbers"},
        {NET "[route]\n", "line 5 of the .cfg, [route]: layers= is missing"},
        {NET "[route]\nlayers=x\n", "line 5 of the .cfg, [route]: layers= is no list of numbers"},
        {NET "[route]\nlayers=-1\n", "line 5 of the .cfg, [route]: there is no layer -1 before it"},
        {NET "[cost]\n[route]\nlayers=1\n", "line 6 of the .cfg, [route]: there is no layer 1 before it"},
        {NET "[shortcut]\n", "line 5 of the .cfg, [shortcut]: from= is missing"},
        {NET "[cost]\n[shortcut]\nfrom=0\nweights_type=odd\n", "line 6 of the .cfg, [shortcut]: weights_type=odd is not known"},
        {NET "[upsample]\nstride=0\n", "line 5 of the .cfg, [upsample]: stride must not be 0"},
        {NET "[upsample]\nstride=2147483647\n", "line 5 of the .cfg, [upsample]: sizes that do not fit"},
        {NET "[reorg]\nextra=1\n", "line 5 of the .cfg, [reorg]: extra= is not read"},
        {NET "[reorg]\nstride=5000\n", "line 5 of the .cfg, [reorg]: stride is too large"},
        {"[net]\nheight=100000\nwidth=100000\nchannels=3\n", "line 1 of the .cfg, [net]: sizes that do not fit"},
        {NET "[conv]\n", "has 7 numbers, and its .cfg has layers of 3"},
        {NET "[conv]\nfilters=2\n[cost]\n[conv]\nfilters=2\n[conv]\nfilters=2\n[conv]\nfilters=2\n",
         "has 7 numbers, and its .cfg has layers of 24"},
        {NET "[conv]\nfilters=2\n[cost]\n[conv]\nfilters=1\n[conv]\n", "has 7 numbers, and its .cfg has layers of 11"},
        {NET "[conv]\n[conv]\nfilters=2\n[conv]\nfilters=9\n", "ends after layer 1 of 3: a .cfg of as many layers is needed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) expect_refused(rows[i].cfg, 7, rows[i].message);
    put_file(0, 2, 8, 3);
    file.count++;
    assert_int_equal(index_of(NET "[conv]\n"), BATCHNORM_BAD_FILE);
    assert_string_equal(why, "has 3 numbers and a part of one, and its .cfg has layers of 3");
}

/* A network cut at every byte: it never fits. Its text with every byte changed: it is refused, or all that is
 * listed is there. */
TEST(every_cut_and_change_is_stood) {
    static const char cfg[] =
        NET "[convolutional]\nbatch_normalize=1\nfilters=2\nsize=2\n[batchnorm]\n[maxpool]\nsize=2\n"
            "[shortcut]\nfrom=-1\nweights_type=per_channel\n[route]\nlayers=-1,0\n[connected]\noutput=2\n";
    char changed[sizeof cfg];
    int whole = 0, refused = 0;
    expect_refused(cfg, 1, "has 1 numbers, and its .cfg has layers of 156");
    expect_read(cfg, 158);
    const struct bytes all = file;
    const size_t pjreddie = all.count - 8; /* without the biases of its batch norm */
    for (file.count = 0; file.count < all.count; file.count += 1 + (file.count + 1 == pjreddie))
        assert_int_equal(index_of(cfg), BATCHNORM_BAD_FILE);
    for (size_t i = 0; i + 1 < sizeof cfg; i++)
        for (int c = 0; c < 256; c++) {
            strcpy(changed, cfg);
            changed[i] = (char)c;
            if (index_of(changed) != BATCHNORM_OK) {
                assert_true(strlen(why) > 10);
                refused++;
                continue;
            }
            whole++;
            for (size_t k = 0; k < torch.tensor_count; k++) {
                const struct bn_torch_tensor *t = &torch.tensors[k];
                int64_t last = t->offset;
                for (int d = 0; d < t->rank; d++) last += (t->dims[d] - 1) * t->strides[d];
                const int64_t bytes = (int64_t)bn_onnx_type_bytes(t->type);
                assert_true(t->storage.end <= file.count &&
                            (int64_t)t->storage.at + (last + 1) * bytes <= (int64_t)t->storage.end);
            }
        }
    assert_true(whole > 1000 && refused > 1000);
    bn_torch_free(&torch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_convolution_with_batch_norm),
        cmocka_unit_test(other_convolutions),
        cmocka_unit_test(fully_connected_layers),
        cmocka_unit_test(headers),
        cmocka_unit_test(a_batch_norm_of_its_own),
        cmocka_unit_test(layers_that_change_sizes),
        cmocka_unit_test(weights_of_shortcuts_and_local_layers),
        cmocka_unit_test(text),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(every_cut_and_change_is_stood),
    };
    return cmocka_run_group_tests_name("model.darknet", tests, NULL, NULL);
}
