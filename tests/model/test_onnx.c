/* SPDX-License-Identifier: MIT */
/* ONNX files, put together field by field: tensor data in all their places, what is defined twice, graphs in graphs, what
 * protocol buffers allow and no writer does; and what folding makes of the numbers. Longer than 300 lines, because it brings a
 * writer of its own. */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model_support.h"
#include "tests/support/files.h"
#include "tests/support/test.h"

static char message[BATCHNORM_MODEL_MESSAGE];

enum place { RAW, TYPED, TYPED_ONE_BY_ONE, EXTERNAL };

/* A file beside the model, to which external tensors are added. */
static struct {
    const char *name;
    struct bytes bytes;
} outside;

static void put_entry(struct bytes *tensor, const char *key, const char *value) {
    struct bytes entry = {.count = 0};
    put_string(&entry, 1, key);
    put_string(&entry, 2, value);
    put_message(tensor, 13, &entry);
}

static void put_outside(struct bytes *tensor, const struct bytes *data) {
    char offset[24];
    char length[24];
    snprintf(offset, sizeof offset, "%zu", outside.bytes.count);
    snprintf(length, sizeof length, "%zu", data->count);
    put_entry(tensor, "location", outside.name);
    put_entry(tensor, "offset", offset);
    put_entry(tensor, "length", length);
    put_int(tensor, 14, 1);
    put(&outside.bytes, data->at, data->count);
}

/* TensorProto of floats. */
static void put_tensor(struct bytes *graph, const char *name, const int64_t *dims, int rank, const float *values, size_t count,
                       enum place place) {
    struct bytes t = {.count = 0}, data = {.count = 0};
    for (int d = 0; d < rank; d++) put_int(&t, 1, (uint64_t)dims[d]);
    put_int(&t, 2, 1);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        if (place == TYPED_ONE_BY_ONE) put_varint(&t, 4 << 3 | 5);
        put_number(place == TYPED_ONE_BY_ONE ? &t : &data, bits, 4);
    }
    if (place == EXTERNAL) put_outside(&t, &data);
    if (place == RAW || place == TYPED) put_message(&t, place == RAW ? 9 : 4, &data);
    put_string(&t, 8, name);
    put_message(graph, 5, &t);
}

static void put_vector(struct bytes *graph, const char *name, const float *values, int64_t count, enum place place) {
    put_tensor(graph, name, &count, 1, values, (size_t)count, place);
}

/* NodeProto; inputs and outputs are words with spaces between. */
static void put_words(struct bytes *node, uint32_t field, const char *words) {
    char text[200];
    snprintf(text, sizeof text, "%s", words);
    for (char *rest, *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) put_string(node, field, word);
}

static void put_node(struct bytes *graph, const char *op, const char *inputs, const char *outputs) {
    struct bytes n = {.count = 0};
    put_words(&n, 1, inputs);
    put_words(&n, 2, outputs);
    put_string(&n, 4, op);
    put_message(graph, 1, &n);
}

static void put_info(struct bytes *graph, uint32_t field, const char *name) {
    struct bytes info = {.count = 0};
    put_string(&info, 1, name);
    put_message(graph, field, &info);
}

/* A graph of a Conv of 1 x 1 with 2 channels, and a batch norm, without its nodes: x, w, c (bias), s, b, m, v. */
static void put_tensors(struct bytes *graph, enum place place) {
    put_tensor(graph, "w", (const int64_t[]){2, 1, 1, 1}, 4, (const float[]){1, 2}, 2, place);
    put_vector(graph, "c", (const float[]){1, 1}, 2, place);
    put_vector(graph, "s", (const float[]){3, 4}, 2, place);
    put_vector(graph, "b", (const float[]){5, 6}, 2, place);
    put_vector(graph, "m", (const float[]){0, 1}, 2, place);
    put_vector(graph, "v", (const float[]){1, 4}, 2, place);
}

static void put_ends(struct bytes *graph) {
    put_info(graph, 11, "x");
    put_info(graph, 12, "y");
}

/* The whole model around a graph. */
static void put_model(struct bytes *model, const struct bytes *graph) {
    struct bytes opset = {.count = 0};
    put_int(model, 1, 8);
    put_message(model, 7, graph);
    put_int(&opset, 2, 17);
    put_message(model, 8, &opset);
}

static void simple(struct bytes *model, enum place place) {
    struct bytes graph = {.count = 0};
    model->count = 0;
    put_node(&graph, "Conv", "x w c", "h");
    put_node(&graph, "BatchNormalization", "h s b m v", "y");
    put_tensors(&graph, place);
    put_ends(&graph);
    put_model(model, &graph);
}

static batchnorm_model *open_good(const struct bytes *b) {
    batchnorm_model *model = open_bytes(b, message);
    if (!model) fail_msg("%s", message);
    return model;
}

static void refuses(const struct bytes *b, const char *words) {
    if (open_bytes(b, message)) fail_msg("it is read, instead of: %s", words);
    if (!strstr(message, words)) fail_msg("%s", message);
    assert_non_null(strstr(message, "byte "));
}

static void expect_tensor(const batchnorm_model *model, const char *name, const double *wanted, size_t count) {
    batchnorm_model_tensor t;
    double values[16];
    size_t i = 0;
    while (batchnorm_model_tensor_at(model, i, &t) && strcmp(t.name, name) != 0) i++;
    const batchnorm_status status = batchnorm_model_tensor_read(model, i, values, count, message);
    if (status) fail_msg("%s: %s", name, message);
    for (size_t k = 0; k < count; k++)
        if (fabs(values[k] - wanted[k]) > 1e-6) fail_msg("%s[%zu] = %g, not %g", name, k, values[k], wanted[k]);
}

/* Folds it and opens the result. */
static batchnorm_model *fold(batchnorm_model *model) {
    static struct bytes folded;
    batchnorm_fold_counts counts = {.size = sizeof counts};
    const char *path = file_path("folded");
    if (batchnorm_model_fold(model, path, &counts, message)) fail_msg("%s", message);
    folded.count = file_get(path, folded.at, sizeof folded.at);
    assert_int_equal(folded.count, counts.bytes);
    batchnorm_model *again = open_good(&folded);
    return again;
}

TEST(tensors_are_read_from_every_place_and_folded_there) {
    static struct bytes b;
    const double k[] = {3 / sqrt(1 + 1e-5), 4 / sqrt(4 + 1e-5)};
    for (enum place place = RAW; place <= EXTERNAL; place++) {
        outside.name = "outside";
        outside.bytes.count = 0;
        simple(&b, place);
        file_put(file_path(outside.name), outside.bytes.at, outside.bytes.count);
        batchnorm_model *model = open_good(&b);
        assert_int_equal(batchnorm_model_norm_count(model), 1);
        assert_int_equal(batchnorm_model_norm_at(model, 0)->outcome, BATCHNORM_FOLD_BEFORE);
        expect_tensor(model, "v", (const double[]){1, 4}, 2);
        model = fold(model);
        assert_int_equal(batchnorm_model_norm_count(model), 0);
        assert_int_equal(batchnorm_model_tensor_count(model), 2);
        expect_tensor(model, "w", (const double[]){k[0], 2 * k[1]}, 2);
        expect_tensor(model, "c", (const double[]){k[0] + 5, 6}, 2);
        let_go(NULL);
    }
}

/* Of a model whose numbers are all in a file of that name. */
static batchnorm_model *open_outside(const char *name) {
    struct bytes b;
    outside.name = name;
    outside.bytes.count = 0;
    simple(&b, EXTERNAL);
    file_put(file_path(name), outside.bytes.at, outside.bytes.count);
    return open_good(&b);
}

static void outside_is_as_it_was(void) {
    static struct bytes now;
    now.count = file_get(file_path(outside.name), now.at, sizeof now.at);
    assert_int_equal(now.count, outside.bytes.count);
    assert_memory_equal(now.at, outside.bytes.at, now.count);
}

TEST(no_file_of_data_is_written) {
    static const char somebodys[] = "somebody's";
    char kept[sizeof somebodys];
    /* data that are there under the name that the new ones would have */
    batchnorm_model *model = open_outside("folded.data");
    file_put(file_path("folded.1.data"), somebodys, sizeof somebodys);
    assert_int_equal(batchnorm_model_fold(model, file_path("folded"), NULL, message), BATCHNORM_OK);
    outside_is_as_it_was();
    assert_int_equal(file_get(file_path("folded.1.data"), kept, sizeof kept), sizeof somebodys);
    assert_string_equal(kept, somebodys);
    assert_true(file_get(file_path("folded.2.data"), kept, sizeof kept) > 0);
    /* an output that is the data */
    model = open_outside("weights");
    assert_int_equal(batchnorm_model_fold(model, file_path("weights"), NULL, message), BATCHNORM_IO);
    assert_non_null(strstr(message, "has data of the model"));
    outside_is_as_it_was();
}

TEST(every_type_of_typed_data_is_read) {
    static const struct {
        int type;
        uint32_t field;
        int bytes; /* of one that has a fixed size; 0: a varint */
        uint64_t bits;
        double value;
    } cases[] = {
        {10, 5, 0, 0x3e00, 1.5},     {16, 5, 0, 0xbfc0, -1.5}, {6, 5, 0, (uint64_t)-2, -2}, {3, 5, 0, (uint64_t)-3, -3},
        {2, 5, 0, 252, 252},         {9, 5, 0, 1, 1},          {7, 7, 0, (uint64_t)-7, -7}, {11, 10, 8, 0xc000000000000000, -2},
        {5, 5, 0, (uint64_t)-5, -5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int packed = 0; packed < 2; packed++) {
            struct bytes graph = {.count = 0}, t = {.count = 0}, data = {.count = 0}, b = {.count = 0};
            put_int(&t, 2, (uint64_t)cases[i].type);
            put_string(&t, 8, "t");
            struct bytes *to = packed ? &data : &t;
            if (!packed) put_varint(&t, cases[i].field << 3 | (cases[i].bytes ? 1 : 0));
            if (cases[i].bytes)
                put_number(to, cases[i].bits, cases[i].bytes);
            else
                put_varint(to, cases[i].bits);
            if (packed) put_message(&t, cases[i].field, &data);
            put_message(&graph, 5, &t);
            put_model(&b, &graph);
            expect_tensor(open_good(&b), "t", &cases[i].value, 1);
            let_go(NULL);
        }
}

TEST(data_that_do_not_fit_their_sizes_are_told) {
    static const struct {
        int64_t size;
        enum place place;
    } cases[] = {{3, RAW},        {1, RAW},  {3, TYPED},       {1, TYPED},         {3, TYPED_ONE_BY_ONE},
                 {1, TYPED},      {-1, RAW}, {INT64_MAX, RAW}, {INT64_MAX, TYPED}, {(int64_t)1 << 61, RAW},
                 {1 << 30, TYPED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes graph = {.count = 0}, b = {.count = 0};
        batchnorm_model_tensor t;
        double values[4];
        put_tensor(&graph, "t", &cases[i].size, 1, (const float[]){1, 2}, 2, cases[i].place);
        put_model(&b, &graph);
        batchnorm_model *model = open_good(&b);
        assert_true(batchnorm_model_tensor_at(model, 0, &t));
        assert_int_equal(t.shape[0], cases[i].size);
        const size_t count = cases[i].size > 0 && cases[i].size < 4 ? (size_t)cases[i].size : 2;
        message[0] = '\0';
        assert_int_not_equal(batchnorm_model_tensor_read(model, 0, values, count, message), BATCHNORM_OK);
        let_go(NULL);
    }
}

TEST(a_batch_norm_whose_tensors_are_too_large_is_left) {
    struct bytes graph = {.count = 0}, b = {.count = 0};
    put_node(&graph, "BatchNormalization", "x s s s s", "y");
    put_tensor(&graph, "s", (const int64_t[]){INT64_MAX}, 1, (const float[]){1}, 1, RAW);
    put_ends(&graph);
    put_model(&b, &graph);
    batchnorm_model *model = open_bytes(&b, message);
    if (model) {
        assert_int_equal(batchnorm_model_norm_at(model, 0)->outcome, BATCHNORM_FOLD_LEFT);
        assert_non_null(batchnorm_model_norm_at(model, 0)->why);
    } else {
        assert_true(message[0] != '\0');
    }
}

TEST(what_is_defined_twice_is_not_folded) {
    static const char *const twice[] = {"h", "w", "s"};
    for (size_t i = 0; i < sizeof twice / sizeof *twice; i++) {
        struct bytes graph = {.count = 0}, b = {.count = 0};
        put_node(&graph, "Conv", "x w c", "h");
        put_node(&graph, "BatchNormalization", "h s b m v", "y");
        put_tensors(&graph, RAW);
        if (i == 0)
            put_node(&graph, "Relu", "x", "h");
        else
            put_vector(&graph, twice[i], (const float[]){9, 9}, 2, RAW);
        put_ends(&graph);
        put_model(&b, &graph);
        batchnorm_model *model = open_good(&b);
        assert_int_equal(batchnorm_model_norm_count(model), 1);
        if (batchnorm_model_norm_at(model, 0)->outcome != BATCHNORM_FOLD_LEFT) fail_msg("%s is defined twice", twice[i]);
        assert_non_null(batchnorm_model_norm_at(model, 0)->why);
        let_go(NULL);
    }
}

/* A graph in an attribute of a node, so many deep. */
static void nest(struct bytes *graph, int depth) {
    static struct bytes node, attribute, inner;
    put_info(graph, 11, "x");
    for (; depth > 1; depth--) {
        inner = *graph;
        attribute.count = node.count = graph->count = 0;
        put_string(&attribute, 1, "body");
        put_message(&attribute, 6, &inner);
        put_string(&node, 4, "Loop");
        put_message(&node, 5, &attribute);
        put_message(graph, 1, &node);
    }
}

TEST(graphs_are_64_deep_at_most) {
    static struct bytes graph, b;
    graph.count = b.count = 0;
    nest(&graph, 64);
    put_model(&b, &graph);
    open_good(&b);
    graph.count = b.count = 0;
    nest(&graph, 65);
    put_model(&b, &graph);
    refuses(&b, "more than 64 graphs in each other");
}

TEST(what_no_writer_makes_is_refused) {
    struct bytes b = {.count = 0}, graph = {.count = 0};
    put_ends(&graph);
    put_model(&b, &graph);
    put_message(&b, 7, &graph);
    refuses(&b, "a second graph");

    b.count = 0;
    put_model(&b, &graph);
    put_number(&b, 99 << 3 | 3, 2); /* a group */
    refuses(&b, "a group");

    b.count = 0;
    put_int(&b, 1, 8);
    refuses(&b, "without a graph");

    b.count = 0;
    put_int(&b, 7, 8);
    refuses(&b, "another wire type");

    static const uint32_t fields[] = {1, 5, 11, 12};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) { /* of a graph */
        graph.count = b.count = 0;
        put_int(&graph, fields[i], 1);
        put_model(&b, &graph);
        refuses(&b, "another wire type");
    }
    static const uint32_t of_node[] = {1, 2, 3, 4, 5, 7};
    for (size_t i = 0; i < sizeof of_node / sizeof *of_node; i++) {
        struct bytes node = {.count = 0};
        graph.count = b.count = 0;
        put_int(&node, of_node[i], 1);
        put_message(&graph, 1, &node);
        put_model(&b, &graph);
        refuses(&b, "another wire type");
    }
}

TEST(fields_that_nobody_knows_stay_where_they_are) {
    static struct bytes b, folded;
    struct bytes graph = {.count = 0};
    static const char odd[] = "\xfa\x3f\3odd"; /* field 1023 */
    b.count = 0;
    put_text(&b, odd);
    put(&graph, odd, sizeof odd - 1);
    put_node(&graph, "Conv", "x w c", "h");
    put_node(&graph, "BatchNormalization", "h s b m v", "y");
    put_tensors(&graph, RAW);
    put_ends(&graph);
    put(&graph, odd, sizeof odd - 1);
    put_model(&b, &graph);
    put_text(&b, odd);
    batchnorm_model *model = open_good(&b);
    assert_int_equal(batchnorm_model_fold(model, file_path("folded"), NULL, message), BATCHNORM_OK);
    folded.count = file_get(file_path("folded"), folded.at, sizeof folded.at);
    int found = 0;
    for (size_t i = 0; i + sizeof odd - 1 <= folded.count; i++) found += memcmp(folded.at + i, odd, sizeof odd - 1) == 0;
    assert_int_equal(found, 4);
    assert_memory_equal(folded.at, odd, sizeof odd - 1);
    assert_memory_equal(folded.at + folded.count - sizeof odd + 1, odd, sizeof odd - 1);
}

TEST(numbers_that_would_be_subnormal_become_0_and_are_counted) {
    struct bytes graph = {.count = 0}, b = {.count = 0};
    batchnorm_fold_counts counts = {.size = sizeof counts};
    put_node(&graph, "Conv", "x w", "h");
    put_node(&graph, "BatchNormalization", "h s b m v", "y");
    put_tensor(&graph, "w", (const int64_t[]){2, 1, 1, 1}, 4, (const float[]){1e-30f, 2}, 2, RAW);
    put_vector(&graph, "s", (const float[]){1e-12f, 4}, 2, RAW);
    put_vector(&graph, "b", (const float[]){5, 6}, 2, RAW);
    put_vector(&graph, "m", (const float[]){0, 1}, 2, RAW);
    put_vector(&graph, "v", (const float[]){1, 4}, 2, RAW);
    put_ends(&graph);
    put_model(&b, &graph);
    batchnorm_model *model = open_good(&b);
    assert_int_equal(batchnorm_model_fold(model, file_path("folded"), &counts, message), BATCHNORM_OK);
    assert_int_equal(counts.flushed, 1);
    assert_int_equal(counts.tensors, 2);
    counts.size = 1;
    assert_int_equal(batchnorm_model_fold(model, file_path("folded"), &counts, message), BATCHNORM_BAD_OPTION);
}

static void put_pair(struct bytes *model, const char *key, const char *value) {
    struct bytes pair = {.count = 0};
    put_string(&pair, 1, key);
    if (value) put_string(&pair, 2, value);
    put_message(model, 14, &pair);
}

TEST(metadata_are_texts_by_their_keys) {
    const unsigned char cut[] = {14 << 3 | 2, 2, 1 << 3 | 2, 9};
    static struct bytes b;
    simple(&b, RAW);
    assert_null(batchnorm_model_metadata(open_good(&b), "mean"));
    put_pair(&b, "mean", "0.5 0.25");
    put(&b, cut, sizeof cut); /* a pair that ends in the middle is none */
    put_pair(&b, "", "no name");
    put_pair(&b, "mean", "another");
    put_pair(&b, "nothing", NULL);
    for (int i = 0; i < 40; i++) put_pair(&b, "many", "of them");
    put_pair(&b, "last", "\xc3\xa4");
    batchnorm_model *model = open_good(&b);
    assert_string_equal(batchnorm_model_metadata(model, "mean"), "0.5 0.25");
    assert_string_equal(batchnorm_model_metadata(model, ""), "no name");
    assert_string_equal(batchnorm_model_metadata(model, "nothing"), "");
    assert_string_equal(batchnorm_model_metadata(model, "last"), "\xc3\xa4");
    assert_null(batchnorm_model_metadata(model, "mea"));
    assert_null(batchnorm_model_metadata(model, NULL));
    assert_null(batchnorm_model_metadata(NULL, "mean"));
}

TEST(arguments_are_checked) {
    batchnorm_model *model = (batchnorm_model *)message;
    const batchnorm_model_options wrong = {.size = 1};
    static struct bytes b;
    double value;
    simple(&b, RAW);
    file_put(file_path("good"), b.at, b.count);
    assert_int_equal(batchnorm_model_open(NULL, NULL, &model, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_open(file_path("good"), NULL, NULL, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_open(file_path("good"), &wrong, &model, message), BATCHNORM_BAD_OPTION);
    assert_null(model);
    assert_int_equal(batchnorm_model_open(file_path("missing"), NULL, &model, NULL), BATCHNORM_IO);
    assert_null(model);
    batchnorm_model *good = open_good(&b);
    assert_int_equal(batchnorm_model_tensor_read(good, 99, &value, 1, message), BATCHNORM_BAD_OPTION);
    assert_int_equal(batchnorm_model_tensor_read(good, 1, &value, 1, message), BATCHNORM_BAD_SHAPE);
    assert_int_equal(batchnorm_model_tensor_read(NULL, 1, &value, 1, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_fold(good, NULL, NULL, message), BATCHNORM_NULL_POINTER);
    assert_int_equal(batchnorm_model_fold(good, file_path("model"), NULL, message), BATCHNORM_IO);
    assert_null(batchnorm_model_norm_at(good, 1));
    assert_int_equal(batchnorm_model_norm_count(NULL), 0);
    batchnorm_model_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(tensors_are_read_from_every_place_and_folded_there, let_go),
        cmocka_unit_test_teardown(no_file_of_data_is_written, let_go),
        cmocka_unit_test_teardown(every_type_of_typed_data_is_read, let_go),
        cmocka_unit_test_teardown(data_that_do_not_fit_their_sizes_are_told, let_go),
        cmocka_unit_test_teardown(a_batch_norm_whose_tensors_are_too_large_is_left, let_go),
        cmocka_unit_test_teardown(what_is_defined_twice_is_not_folded, let_go),
        cmocka_unit_test_teardown(graphs_are_64_deep_at_most, let_go),
        cmocka_unit_test_teardown(what_no_writer_makes_is_refused, let_go),
        cmocka_unit_test_teardown(fields_that_nobody_knows_stay_where_they_are, let_go),
        cmocka_unit_test_teardown(numbers_that_would_be_subnormal_become_0_and_are_counted, let_go),
        cmocka_unit_test_teardown(metadata_are_texts_by_their_keys, let_go),
        cmocka_unit_test_teardown(arguments_are_checked, let_go),
    };
    return cmocka_run_group_tests_name("model.onnx", tests, files_setup, files_teardown);
}
