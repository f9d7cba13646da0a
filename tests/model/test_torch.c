/* SPDX-License-Identifier: MIT */
/* Checkpoints of PyTorch, written byte by byte in both forms: tensors of every type are found by their names, views and nested
 * dicts too; what is a program is refused, and nothing that is declared is believed. Longer than 300 lines, because it brings a
 * writer of both forms. */
#include <string.h>

#include "model_support.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

static char message[BATCHNORM_MODEL_MESSAGE];

/* A state under construction: a pickle, and storages. */
struct state {
    struct bytes pickle;
    struct {
        const char *key;
        struct bytes data;
    } storages[12];
    int count;
    bool is_legacy, is_big_endian;
};
static struct state s;

static void begin(bool legacy) {
    memset(&s, 0, sizeof s);
    s.is_legacy = legacy;
    put_text(&s.pickle, "\x80\2}(");
}

static struct bytes *storage(const char *key) {
    for (int i = 0; i < s.count; i++)
        if (strcmp(s.storages[i].key, key) == 0) return &s.storages[i].data;
    s.storages[s.count].key = key;
    return &s.storages[s.count++].data;
}

static void put_element(struct bytes *b, uint64_t bits, int bytes) {
    for (int i = 0; i < bytes; i++) put_number(b, bits >> 8 * (s.is_big_endian ? bytes - 1 - i : i), 1);
}

static void put_float(struct bytes *b, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_element(b, bits, 4);
}

/* A vector of floats under a name, in a storage of its own. */
static void add_floats(const char *name, const char *key, const float *values, int count) {
    for (int i = 0; i < count; i++) put_float(storage(key), values[i]);
    pickle_text(&s.pickle, name);
    pickle_tensor(&s.pickle, &(struct stored){"FloatStorage", key, count, 0, 1, {count}, {1}, s.is_legacy});
}

static void add_tensor(const char *name, struct stored stored) {
    stored.is_legacy = s.is_legacy;
    pickle_text(&s.pickle, name);
    pickle_tensor(&s.pickle, &stored);
}

static void finish_zip(struct bytes *file) {
    static struct zip_writer z;
    char name[40];
    z = (struct zip_writer){.count = 0};
    zip_add(&z, "net/data.pkl", s.pickle.at, s.pickle.count);
    if (s.is_big_endian) zip_add(&z, "net/byteorder", "big", 3);
    for (int i = 0; i < s.count; i++) {
        snprintf(name, sizeof name, "net/data/%s", s.storages[i].key);
        zip_add(&z, name, s.storages[i].data.at, s.storages[i].data.count);
    }
    zip_add(&z, "net/version", "3\n", 2);
    zip_end(&z);
    *file = z.file;
}

static const char magic[] = "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

static void finish_legacy(struct bytes *file, int bytes_of_elements) {
    file->count = 0;
    put(file, magic, sizeof magic - 1);
    put_text(file, "\x80\2M\xe9\3.");
    put_text(file, "\x80\2}(");
    pickle_text(file, "little_endian");
    put_text(file, "\x88u.");
    put(file, s.pickle.at, s.pickle.count);
    put_text(file, "\x80\2](");
    for (int i = 0; i < s.count; i++) pickle_text(file, s.storages[i].key);
    put_text(file, "e.");
    for (int i = 0; i < s.count; i++) {
        put_number(file, s.storages[i].data.count / (size_t)bytes_of_elements, 8);
        put(file, s.storages[i].data.at, s.storages[i].data.count);
    }
}

/* Ends the state, and opens it; all storages of a legacy one have elements of 4 bytes. */
static batchnorm_model *open_state(void) {
    static struct bytes file;
    put_text(&s.pickle, "u.");
    if (s.is_legacy)
        finish_legacy(&file, 4);
    else
        finish_zip(&file);
    batchnorm_model *model = open_bytes(&file, message);
    return model;
}

static size_t index_of(const batchnorm_model *model, const char *name) {
    batchnorm_model_tensor t;
    for (size_t i = 0; batchnorm_model_tensor_at(model, i, &t); i++)
        if (strcmp(t.name, name) == 0) return i;
    fail_msg("there is no tensor %s", name);
    return 0;
}

static void expect_values(const batchnorm_model *model, const char *name, const double *wanted, size_t count) {
    double values[16];
    assert_int_equal(batchnorm_model_tensor_read(model, index_of(model, name), values, count, message), BATCHNORM_OK);
    for (size_t i = 0; i < count; i++)
        if (values[i] != wanted[i]) fail_msg("%s[%zu] = %g, not %g", name, i, values[i], wanted[i]);
}

static void a_batch_norm(void) {
    add_floats("bn.weight", "0", (const float[]){1, 2}, 2);
    add_floats("bn.bias", "1", (const float[]){3, 4}, 2);
    add_floats("bn.running_mean", "2", (const float[]){0, 1}, 2);
    add_floats("bn.running_var", "3", (const float[]){0, 1}, 2);
}

TEST(both_forms_give_the_same) {
    for (int legacy = 0; legacy < 2; legacy++) {
        begin(legacy);
        a_batch_norm();
        batchnorm_model *model = open_state();
        if (!model) fail_msg("%s", message);
        assert_int_equal(batchnorm_model_get_format(model), BATCHNORM_MODEL_TORCH);
        assert_int_equal(batchnorm_model_tensor_count(model), 4);
        expect_values(model, "bn.bias", (const double[]){3, 4}, 2);
        assert_int_equal(batchnorm_model_norm_count(model), 1);
        const batchnorm_model_norm *n = batchnorm_model_norm_at(model, 0);
        assert_string_equal(n->name, "bn");
        assert_int_equal(n->channels, 2);
        assert_int_equal(n->ill[BATCHNORM_VAR_ZERO], 1);
        assert_int_equal(n->num_batches_tracked, -1);
        assert_true(n->eps != n->eps);
    }
}

/* torch.save(..., pickle_protocol=4): what begins a pickle is another, and frames are in between. */
TEST(a_legacy_file_may_be_of_any_protocol) {
    static struct bytes file, other;
    begin(true);
    a_batch_norm();
    put_text(&s.pickle, "u.");
    finish_legacy(&file, 4);
    for (int protocol = 3; protocol <= 6; protocol++) {
        other.count = 0;
        put_number(&other, 0x80, 1);
        put_number(&other, (uint64_t)protocol, 1);
        if (protocol >= 4) put_number(&other, 0x95, 1);
        if (protocol >= 4) put_number(&other, sizeof magic - 3, 8);
        put(&other, file.at + 2, file.count - 2);
        batchnorm_model *model = open_bytes(&other, message);
        assert_true((model != NULL) == (protocol < 6));
        if (model) assert_int_equal(batchnorm_model_tensor_count(model), 4);
    }
}

TEST(every_type_is_read) {
    static const struct {
        const char *storage, *type;
        int bytes;
        uint64_t bits;
        double value;
    } types[] = {
        {"FloatStorage", "FLOAT", 4, 0x3fc00000, 1.5},   {"DoubleStorage", "DOUBLE", 8, 0xc000000000000000, -2},
        {"HalfStorage", "FLOAT16", 2, 0x3e00, 1.5},      {"BFloat16Storage", "BFLOAT16", 2, 0xbfc0, -1.5},
        {"LongStorage", "INT64", 8, UINT64_MAX - 6, -7}, {"IntStorage", "INT32", 4, 0xfffffffe, -2},
        {"ShortStorage", "INT16", 2, 0xfffd, -3},        {"CharStorage", "INT8", 1, 0xfc, -4},
        {"ByteStorage", "UINT8", 1, 0xfc, 252},          {"BoolStorage", "BOOL", 1, 1, 1},
    };
    for (int big = 0; big < 2; big++)
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            batchnorm_model_tensor t;
            begin(false);
            s.is_big_endian = big;
            put_element(storage("k"), types[i].bits, types[i].bytes);
            add_tensor("x", (struct stored){types[i].storage, "k", 1, 0, 0, {0}, {0}, false});
            batchnorm_model *model = open_state();
            if (!model) fail_msg("%s: %s", types[i].storage, message);
            assert_true(batchnorm_model_tensor_at(model, 0, &t));
            assert_string_equal(t.type, types[i].type);
            assert_int_equal(t.rank, 0);
            expect_values(model, "x", &types[i].value, 1);
        }
}

/* Types that are not read as numbers come out as bytes, least significant first in every part of an element. */
TEST(bytes_of_every_type_are_read) {
    static const struct {
        const char *storage, *type, *named;
        int bytes, parts;
        uint64_t bits[2];
        double value;
        batchnorm_status status;
    } types[] = {
        {"ComplexFloatStorage", NULL, "COMPLEX64", 4, 2, {0x3fc00000, 0x40000000}, 0, BATCHNORM_BAD_DTYPE},
        {"ComplexDoubleStorage", NULL, "COMPLEX128", 8, 2, {0x3ff8000000000000, 1}, 0, BATCHNORM_BAD_DTYPE},
        {"UntypedStorage", "float8_e4m3fn", "FLOAT8E4M3FN", 1, 1, {0x38}, 0, BATCHNORM_BAD_DTYPE},
        {"UntypedStorage", "float8_e4m3fnuz", "FLOAT8E4M3FNUZ", 1, 1, {0x38}, 0, BATCHNORM_BAD_DTYPE},
        {"UntypedStorage", "float8_e5m2", "FLOAT8E5M2", 1, 1, {0x38}, 0, BATCHNORM_BAD_DTYPE},
        {"UntypedStorage", "float8_e5m2fnuz", "FLOAT8E5M2FNUZ", 1, 1, {0x38}, 0, BATCHNORM_BAD_DTYPE},
        {"UntypedStorage", "uint16", "UINT16", 2, 1, {0xfffe}, 65534, BATCHNORM_OK},
        {"UntypedStorage", "uint32", "UINT32", 4, 1, {0xfffffffe}, 4294967294, BATCHNORM_OK},
        {"UntypedStorage", "uint64", "UINT64", 8, 1, {0xfffffffffffff800}, 0x1.fffffffffffffp63, BATCHNORM_OK},
        {"LongStorage", NULL, "INT64", 8, 1, {0x0020000000000001}, 0x1p53, BATCHNORM_OK},
    };
    for (int big = 0; big < 2; big++)
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            unsigned char bytes[16];
            double value = 0;
            batchnorm_model_tensor t;
            const size_t each = (size_t)(types[i].bytes * types[i].parts);
            begin(false);
            s.is_big_endian = big;
            for (int k = 0; k < types[i].parts; k++) put_element(storage("k"), types[i].bits[k], types[i].bytes);
            pickle_text(&s.pickle, "x");
            const struct stored stored = {types[i].storage, "k", 1, 0, 1, {1}, {1}, false};
            pickle_odd_tensor(&s.pickle, &stored, types[i].type, NULL);
            batchnorm_model *model = open_state();
            if (!model) fail_msg("%s: %s", types[i].named, message);
            assert_true(batchnorm_model_tensor_at(model, 0, &t));
            assert_string_equal(t.type, types[i].named);
            assert_int_equal(batchnorm_model_tensor_read(model, 0, &value, 1, message), types[i].status);
            assert_true(value == types[i].value);
            assert_int_equal(batchnorm_model_tensor_bytes(model, 0, bytes, each - 1, message), BATCHNORM_BAD_SHAPE);
            assert_int_equal(batchnorm_model_tensor_bytes(model, 1, bytes, each, message), BATCHNORM_BAD_OPTION);
            assert_int_equal(batchnorm_model_tensor_bytes(model, 0, bytes, each, message), BATCHNORM_OK);
            for (size_t k = 0; k < each; k++)
                assert_int_equal(bytes[k],
                                 types[i].bits[k / (size_t)types[i].bytes] >> 8 * (k % (size_t)types[i].bytes) & 0xff);
        }
}

TEST(a_batch_norm_of_an_odd_type_is_not_readable) {
    begin(false);
    put_element(storage("8"), 0x3838, 2);
    pickle_text(&s.pickle, "bn.running_mean");
    pickle_odd_tensor(&s.pickle, &(struct stored){"UntypedStorage", "8", 2, 0, 1, {2}, {1}, false}, "float8_e5m2", NULL);
    add_floats("bn.running_var", "3", (const float[]){1, 1}, 2);
    batchnorm_model *model = open_state();
    if (!model) fail_msg("%s", message);
    assert_int_equal(batchnorm_model_norm_at(model, 0)->channels, -1);
}

TEST(a_view_of_negatives_has_their_sign) {
    unsigned char bytes[8];
    begin(false);
    add_floats("plain", "0", (const float[]){1, -2}, 2);
    const struct stored stored = {"FloatStorage", "0", 2, 0, 1, {2}, {1}, false};
    pickle_text(&s.pickle, "negative");
    pickle_odd_tensor(&s.pickle, &stored, NULL, "neg");
    pickle_text(&s.pickle, "conjugate");
    pickle_odd_tensor(&s.pickle, &stored, NULL, "conj");
    batchnorm_model *model = open_state();
    if (!model) fail_msg("%s", message);
    expect_values(model, "negative", (const double[]){-1, 2}, 2);
    assert_int_equal(batchnorm_model_tensor_bytes(model, index_of(model, "negative"), bytes, 8, message), BATCHNORM_OK);
    assert_memory_equal(bytes, "\0\0\x80\xbf\0\0\0\x40", 8);
    assert_string_equal(batchnorm_model_skipped(model, 0), "conjugate");
    assert_string_equal(batchnorm_model_skipped_type(model, 0), "conj");
}

/* What cannot be read is told from what is no tensor. */
TEST(tensors_that_are_lost_are_told) {
    static const struct {
        const char *name, *type;
    } lost[] = {
        {"number", NULL}, {"quantized", "qtensor"}, {"storage", "QInt8Storage"}, {"list", "in a list"}, {"texts", NULL}};
    begin(false);
    add_floats("good", "0", (const float[]){1}, 1);
    pickle_text(&s.pickle, "number");
    pickle_int(&s.pickle, 7);
    pickle_text(&s.pickle, "quantized");
    pickle_global(&s.pickle, "torch._utils", "_rebuild_qtensor");
    put_text(&s.pickle, "(K\1tR");
    add_tensor("storage", (struct stored){"QInt8Storage", "0", 4, 0, 1, {1}, {1}, false});
    pickle_text(&s.pickle, "list");
    put_text(&s.pickle, "](K\1");
    pickle_tensor(&s.pickle, &(struct stored){"FloatStorage", "0", 1, 0, 1, {1}, {1}, false});
    put_text(&s.pickle, "e");
    pickle_text(&s.pickle, "texts");
    put_text(&s.pickle, "](K\1K\2e");
    batchnorm_model *model = open_state();
    if (!model) fail_msg("%s", message);
    assert_int_equal(batchnorm_model_tensor_count(model), 1);
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++) {
        const char *type = batchnorm_model_skipped_type(model, i);
        assert_string_equal(batchnorm_model_skipped(model, i), lost[i].name);
        assert_string_equal(type ? type : "none", lost[i].type ? lost[i].type : "none");
    }
    assert_null(batchnorm_model_skipped(model, sizeof lost / sizeof *lost));
}

TEST(views_have_strides_and_offsets) {
    begin(false);
    for (int i = 0; i < 6; i++) put_float(storage("0"), (float)i);
    add_tensor("transposed", (struct stored){"FloatStorage", "0", 6, 0, 2, {3, 2}, {1, 3}, false});
    add_tensor("part", (struct stored){"FloatStorage", "0", 6, 4, 1, {2}, {1}, false});
    add_tensor("expanded", (struct stored){"FloatStorage", "0", 6, 5, 1, {3}, {0}, false});
    add_tensor("nothing", (struct stored){"FloatStorage", "0", 6, 0, 2, {0, 5}, {5, 1}, false});
    batchnorm_model *model = open_state();
    if (!model) fail_msg("%s", message);
    expect_values(model, "transposed", (const double[]){0, 3, 1, 4, 2, 5}, 6);
    expect_values(model, "part", (const double[]){4, 5}, 2);
    expect_values(model, "expanded", (const double[]){5, 5, 5}, 3);
    expect_values(model, "nothing", NULL, 0);
}

TEST(what_does_not_fit_its_storage_is_skipped) {
    static const struct stored wrong[] = {
        {"FloatStorage", "0", 6, 0, 1, {7}, {1}, false},
        {"FloatStorage", "0", 6, 1, 1, {6}, {1}, false},
        {"FloatStorage", "0", 6, -1, 1, {1}, {1}, false},
        {"FloatStorage", "0", 6, 0, 1, {-1}, {1}, false},
        {"FloatStorage", "0", 6, 0, 1, {2}, {-1}, false},
        {"FloatStorage", "0", 6, 0, 1, {2}, {INT64_MAX}, false},
        {"FloatStorage", "0", 6, 0, 2, {INT64_MAX, INT64_MAX}, {0, 0}, false},
        {"FloatStorage", "0", 6, 0, 1, {(int64_t)1 << 61}, {0}, false}, /* its bytes would overflow */
        {"FloatStorage", "0", 6, 0, 1, {(int64_t)1 << 40}, {0}, false},
        {"DoubleStorage", "0", 6, 0, 1, {4}, {1}, false}, /* of 24 bytes */
        {"FloatStorage", "9", 6, 0, 1, {1}, {1}, false},
        {"OddStorage", "0", 6, 0, 1, {1}, {1}, false},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        begin(false);
        add_floats("good", "0", (const float[]){1, 2, 3, 4, 5, 6}, 6);
        add_tensor("bn.running_mean", wrong[i]);
        add_tensor("bn.running_var", wrong[i]);
        batchnorm_model *model = open_state();
        if (!model) fail_msg("case %zu: %s", i, message);
        assert_int_equal(batchnorm_model_tensor_count(model), 1);
        assert_string_equal(batchnorm_model_skipped(model, 0), "bn.running_mean");
        assert_non_null(batchnorm_model_skipped_type(model, 0));
        assert_int_equal(batchnorm_model_norm_count(model), 0);
    }
}

TEST(the_state_in_a_checkpoint_of_a_training_is_found) {
    begin(false);
    pickle_text(&s.pickle, "epoch");
    put_text(&s.pickle, "K\7");
    pickle_text(&s.pickle, "model");
    pickle_global(&s.pickle, "collections", "OrderedDict");
    put_text(&s.pickle, ")R(");
    a_batch_norm();
    put_text(&s.pickle, "u");
    batchnorm_model *model = open_state();
    if (!model) fail_msg("%s", message);
    assert_int_equal(batchnorm_model_tensor_count(model), 4);
    assert_string_equal(batchnorm_model_norm_at(model, 0)->name, "bn");
    assert_string_equal(batchnorm_model_skipped(model, 0), "epoch");
    assert_null(batchnorm_model_skipped(model, 1));
}

static void begin_state(const char *key) {
    pickle_text(&s.pickle, key);
    pickle_global(&s.pickle, "collections", "OrderedDict");
    put_text(&s.pickle, ")R(");
}

static void expect_names(const char *const *names) {
    batchnorm_model_tensor t;
    batchnorm_model *model = open_state();
    if (!model) fail_msg("%s", message);
    size_t i = 0;
    for (; names[i]; i++) {
        if (!batchnorm_model_tensor_at(model, i, &t)) fail_msg("%s is not there", names[i]);
        assert_string_equal(t.name, names[i]);
    }
    if (batchnorm_model_tensor_at(model, i, &t)) fail_msg("%s is there", t.name);
}

/* Single tensors, and dicts that are no states, do not change the names of a state. */
TEST(names_do_not_depend_on_what_stands_beside) {
    for (int beside = 0; beside < 8; beside++) {
        begin(false);
        if (beside & 1) add_floats("best", "8", (const float[]){1}, 1);
        begin_state("net");
        a_batch_norm();
        put_text(&s.pickle, "u");
        if (beside & 2) add_floats("loss", "9", (const float[]){1}, 1);
        if (beside & 4) {
            pickle_text(&s.pickle, "optimizer");
            put_text(&s.pickle, "}(");
            pickle_text(&s.pickle, "state");
            put_text(&s.pickle, "}(K\1}(");
            add_floats("momentum_buffer", "7", (const float[]){1}, 1);
            put_text(&s.pickle, "uuu");
        }
        expect_names((const char *const[]){"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", NULL});
    }
}

TEST(several_states_have_their_keys_in_front) {
    begin(false);
    pickle_text(&s.pickle, "epoch");
    pickle_int(&s.pickle, 7);
    begin_state("G");
    add_floats("bn.running_mean", "0", (const float[]){0, 1}, 2);
    add_floats("bn.running_var", "1", (const float[]){1, 1}, 2);
    put_text(&s.pickle, "u");
    begin_state("D");
    add_floats("bn.running_mean", "2", (const float[]){0, 1}, 2);
    add_floats("bn.running_var", "3", (const float[]){0, 1}, 2);
    add_floats("w", "4", (const float[]){0, 1}, 2);
    put_text(&s.pickle, "u");
    add_floats("best", "8", (const float[]){1}, 1);
    expect_names((const char *const[]){"G.bn.running_mean", "G.bn.running_var", "D.bn.running_mean", "D.bn.running_var", "D.w",
                                       "best", NULL});
}

/* A dict in a state is no other state. */
TEST(a_small_dict_in_a_state_is_a_part_of_it) {
    begin(false);
    a_batch_norm();
    begin_state("extra");
    add_floats("scale", "9", (const float[]){1}, 1);
    put_text(&s.pickle, "u");
    expect_names((const char *const[]){"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "extra.scale", NULL});
}

TEST(nested_dicts_give_names_with_dots) {
    begin(false);
    add_floats("top", "0", (const float[]){1}, 1);
    pickle_text(&s.pickle, "a");
    put_text(&s.pickle, "}(K\3}(");
    add_floats("b", "1", (const float[]){2}, 1);
    put_text(&s.pickle, "uu");
    batchnorm_model *model = open_state();
    if (!model) fail_msg("%s", message);
    expect_values(model, "a.3.b", (const double[]){2}, 1);
}

/* Sixteen dicts, each of which has the next one ten times: 10^15 tensors in a few hundred bytes. */
TEST(dicts_that_are_shared_do_not_take_for_ever) {
    begin(false);
    for (int depth = 0; depth < 16; depth++) {
        pickle_text(&s.pickle, "0");
        put_text(&s.pickle, "}(");
    }
    add_floats("x", "0", (const float[]){1}, 1);
    for (int depth = 0; depth < 16; depth++) {
        put_text(&s.pickle, "uq\1");
        for (int i = 0; i < 9; i++) {
            const char name[] = {(char)('1' + i), '\0'};
            pickle_text(&s.pickle, name);
            put_text(&s.pickle, "h\1");
        }
    }
    assert_null(open_state());
    assert_non_null(strstr(message, "too often"));
}

TEST(a_dict_in_itself_ends) {
    memset(&s, 0, sizeof s);
    put_text(&s.pickle, "\x80\2}q\1(");
    add_floats("x", "0", (const float[]){1}, 1);
    pickle_text(&s.pickle, "self");
    put_text(&s.pickle, "h\1");
    batchnorm_model *model = open_state();
    if (!model) fail_msg("%s", message);
    assert_true(batchnorm_model_tensor_count(model) > 1);
}

static void refuses(const struct bytes *file, const char *words) {
    if (open_bytes(file, message)) fail_msg("it is read, instead of: %s", words);
    if (!strstr(message, words)) fail_msg("%s", message);
}

TEST(programs_are_refused) {
    static struct zip_writer z;
    static struct bytes file;
    begin(false);
    a_batch_norm();
    put_text(&s.pickle, "u.");
    z = (struct zip_writer){.count = 0};
    zip_add(&z, "net/data.pkl", s.pickle.at, s.pickle.count);
    zip_add(&z, "net/code/__torch__.py", "x", 1);
    zip_end(&z);
    refuses(&z.file, "TorchScript");
    assert_non_null(strstr(message, "save model.state_dict()"));

    for (int legacy = 0; legacy < 2; legacy++) {
        begin(legacy);
        s.pickle.count = 2;
        pickle_global(&s.pickle, "torchvision.models.resnet", "ResNet");
        put_text(&s.pickle, ")\x81}(");
        pickle_text(&s.pickle, "training");
        put_text(&s.pickle, "\x88ub.");
        if (legacy)
            finish_legacy(&file, 4);
        else
            finish_zip(&file);
        refuses(&file, "a pickled module");
    }
    begin(false);
    s.pickle.count = 2;
    pickle_global(&s.pickle, "os", "system");
    pickle_text(&s.pickle, "touch run");
    put_text(&s.pickle, "\x85R.");
    finish_zip(&file);
    refuses(&file, "a pickled module");
    assert_false(file_exists(file_path("run")));
}

/* {'epoch': 7, 'model': a module}, with a state beside it or not. */
TEST(a_module_in_a_dict_is_refused_unless_a_state_is_beside_it) {
    for (int with_state = 0; with_state < 2; with_state++) {
        begin(false);
        pickle_text(&s.pickle, "epoch");
        pickle_int(&s.pickle, 7);
        pickle_text(&s.pickle, "model");
        pickle_global(&s.pickle, "nets", "Net");
        put_text(&s.pickle, ")\x81}(");
        pickle_text(&s.pickle, "training");
        put_text(&s.pickle, "\x88");
        pickle_text(&s.pickle, "_modules");
        put_text(&s.pickle, "}ub");
        pickle_text(&s.pickle, "arguments"); /* an object that is no module */
        pickle_global(&s.pickle, "argparse", "Namespace");
        put_text(&s.pickle, ")\x81}b");
        if (with_state) {
            begin_state("state");
            a_batch_norm();
            put_text(&s.pickle, "u");
        }
        batchnorm_model *model = open_state();
        assert_true((model != NULL) == (with_state == 1));
        if (!model) assert_non_null(strstr(message, "a pickled module, not a state: save model.state_dict()"));
    }
}

TEST(a_tensor_without_a_name_is_refused) {
    static struct bytes file;
    begin(false);
    put_float(storage("0"), 1);
    s.pickle.count = 2;
    pickle_tensor(&s.pickle, &(struct stored){"FloatStorage", "0", 1, 0, 1, {1}, {1}, false});
    put_text(&s.pickle, ".");
    finish_zip(&file);
    refuses(&file, "holds one tensor without a name");
}

TEST(files_that_are_no_checkpoints_are_refused) {
    static struct zip_writer z;
    static struct bytes file;
    z = (struct zip_writer){.count = 0};
    zip_add(&z, "word/document.xml", "<x/>", 4);
    zip_end(&z);
    refuses(&z.file, "without data.pkl");

    begin(false);
    s.pickle.count = 2;
    put_text(&s.pickle, "K\1.");
    finish_zip(&file);
    refuses(&file, "no dict of tensors");
}

TEST(a_compressed_storage_is_refused) {
    static struct bytes file;
    begin(false);
    a_batch_norm();
    put_text(&s.pickle, "u.");
    finish_zip(&file);
    for (size_t i = 0; i + 46 < file.count; i++)
        if (memcmp(file.at + i, "PK\1\2", 4) == 0) file.at[i + 10] = 8;
    refuses(&file, "compressed");
}

TEST(every_cut_is_stood) {
    static struct bytes file;
    for (int legacy = 0; legacy < 2; legacy++) {
        begin(legacy);
        a_batch_norm();
        put_text(&s.pickle, "u.");
        if (legacy)
            finish_legacy(&file, 4);
        else
            finish_zip(&file);
        assert_true(look_at(file.at, file.count, false));
        for (size_t count = 0; count < file.count; count++)
            if (look_at(file.at, count, false)) fail_msg("it is read with %zu of %zu bytes", count, file.count);
    }
}

TEST(every_changed_byte_is_stood) {
    static struct bytes file;
    for (int legacy = 0; legacy < 2; legacy++) {
        int read = 0, refused = 0;
        begin(legacy);
        a_batch_norm();
        put_text(&s.pickle, "u.");
        if (legacy)
            finish_legacy(&file, 4);
        else
            finish_zip(&file);
        for (size_t i = 0; i < file.count; i++) {
            const unsigned char old = file.at[i], others[] = {0, 0xff, old ^ 1, old ^ 0x80, '.', '(', '}', 'R', 'h'};
            for (size_t k = 0; k < sizeof others; k++) {
                file.at[i] = others[k];
                if (look_at(file.at, file.count, false))
                    read++;
                else
                    refused++;
            }
            file.at[i] = old;
        }
        assert_true(read > 100 && refused > 100);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(both_forms_give_the_same, let_go),
        cmocka_unit_test_teardown(a_legacy_file_may_be_of_any_protocol, let_go),
        cmocka_unit_test_teardown(every_type_is_read, let_go),
        cmocka_unit_test_teardown(bytes_of_every_type_are_read, let_go),
        cmocka_unit_test_teardown(a_batch_norm_of_an_odd_type_is_not_readable, let_go),
        cmocka_unit_test_teardown(a_view_of_negatives_has_their_sign, let_go),
        cmocka_unit_test_teardown(tensors_that_are_lost_are_told, let_go),
        cmocka_unit_test_teardown(views_have_strides_and_offsets, let_go),
        cmocka_unit_test_teardown(what_does_not_fit_its_storage_is_skipped, let_go),
        cmocka_unit_test_teardown(the_state_in_a_checkpoint_of_a_training_is_found, let_go),
        cmocka_unit_test_teardown(names_do_not_depend_on_what_stands_beside, let_go),
        cmocka_unit_test_teardown(several_states_have_their_keys_in_front, let_go),
        cmocka_unit_test_teardown(a_small_dict_in_a_state_is_a_part_of_it, let_go),
        cmocka_unit_test_teardown(nested_dicts_give_names_with_dots, let_go),
        cmocka_unit_test_teardown(dicts_that_are_shared_do_not_take_for_ever, let_go),
        cmocka_unit_test_teardown(a_dict_in_itself_ends, let_go),
        cmocka_unit_test_teardown(programs_are_refused, let_go),
        cmocka_unit_test_teardown(a_module_in_a_dict_is_refused_unless_a_state_is_beside_it, let_go),
        cmocka_unit_test_teardown(a_tensor_without_a_name_is_refused, let_go),
        cmocka_unit_test_teardown(files_that_are_no_checkpoints_are_refused, let_go),
        cmocka_unit_test_teardown(a_compressed_storage_is_refused, let_go),
        cmocka_unit_test_teardown(every_cut_is_stood, let_go),
        cmocka_unit_test_teardown(every_changed_byte_is_stood, let_go),
    };
    return cmocka_run_group_tests_name("model.torch", tests, files_setup, files_teardown);
}
