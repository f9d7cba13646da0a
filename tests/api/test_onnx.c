/* SPDX-License-Identifier: MIT */
/* The nine batch normalization vectors that ONNX ships with its own tests, as Debian's libonnx-testdata installs them. Written
 * by neither us nor for us. Skipped where the package is not installed (exit status 77).
 *
 * A .pb file is one TensorProto. Of the wire format two things are needed: a varint, and (key, length, bytes). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/raw_calls.h"
#include "tests/support/support.h"
#include "tests/support/test.h"

#define DATA "/usr/share/libonnx-testdata/data"

/* Bytes that are read from the front. */
struct reader {
    const unsigned char *at, *end;
};

static struct reader read_file(const char *path) {
    static unsigned char room[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s cannot be opened", path);
    size_t size = fread(room, 1, sizeof room, file);
    fclose(file);
    assert_in_range(size, 1, sizeof room - 1);
    return (struct reader){room, room + size};
}

static uint64_t varint(struct reader *r) {
    uint64_t value = 0;
    for (int shift = 0; r->at < r->end && shift < 64; shift += 7) {
        value |= (uint64_t)(*r->at & 0x7f) << shift;
        if (!(*r->at++ & 0x80)) return value;
    }
    fail_msg("a varint is cut off");
    return 0;
}

/* The next field: its number, and its bytes where it has any. A fixed32 counts as 4 bytes. */
static unsigned next(struct reader *r, struct reader *bytes, uint64_t *value) {
    uint64_t key = varint(r), length = 0;
    *bytes = (struct reader){NULL, NULL};
    *value = 0;
    if ((key & 7) == 0) *value = varint(r);
    if ((key & 7) == 1) length = 8;
    if ((key & 7) == 2) length = varint(r);
    if ((key & 7) == 5) length = 4;
    if (length > (uint64_t)(r->end - r->at)) fail_msg("a field is longer than the file");
    *bytes = (struct reader){r->at, r->at + length};
    r->at += length;
    return (unsigned)(key >> 3);
}

struct tensor {
    char name[32];
    size_t rank, size[8], count;
    float value[1024];
};

/* Little-endian floats, whatever the machine is. */
static float float_at(const unsigned char *p) {
    uint32_t bits = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* TensorProto: dims 1, data_type 2, float_data 4, name 8, raw_data 9. dims may be packed or not. */
static void read_tensor(struct reader r, struct tensor *t) {
    enum { DIMS = 1, DATA_TYPE = 2, FLOAT_DATA = 4, NAME = 8, RAW_DATA = 9, FLOAT = 1 };
    *t = (struct tensor){.rank = 0};
    while (r.at < r.end) {
        struct reader bytes;
        uint64_t value;
        unsigned field = next(&r, &bytes, &value);
        if (field == DIMS && bytes.at == bytes.end) t->size[t->rank++ % 8] = (size_t)value;
        while (field == DIMS && bytes.at < bytes.end) t->size[t->rank++ % 8] = (size_t)varint(&bytes);
        if (field == DATA_TYPE) assert_int_equal(value, FLOAT);
        if (field == NAME) memcpy(t->name, bytes.at, bytes.end - bytes.at < 31 ? (size_t)(bytes.end - bytes.at) : 31);
        for (; (field == FLOAT_DATA || field == RAW_DATA) && bytes.at < bytes.end && t->count < 1024; bytes.at += 4)
            t->value[t->count++] = float_at(bytes.at);
    }
    size_t count = 1;
    for (size_t i = 0; i < t->rank; i++) count *= t->size[i];
    assert_int_equal(count, t->count);
}

/* ModelProto: graph 7. GraphProto: initializer 5. The parameters of the converted models, by their names "1" to "4". */
static void read_initializer(const char *path, char name, struct tensor *t) {
    struct reader model = read_file(path), graph, bytes;
    uint64_t value;
    while (model.at < model.end) {
        if (next(&model, &graph, &value) != 7) continue;
        while (graph.at < graph.end) {
            if (next(&graph, &bytes, &value) != 5) continue;
            read_tensor(bytes, t);
            if (t->name[0] == name && t->name[1] == '\0') return;
        }
    }
    fail_msg("%s has no initializer %c", path, name);
}

/* A case: its directory, and what its model's attributes say. */
struct vector {
    const char *directory;
    double eps;
    bool training, converted;
    double tolerance;
};

static const struct vector vectors[] = {
    {"node/test_batchnorm_example", 1e-5, false, false, 1e-6},
    {"node/test_batchnorm_epsilon", 1e-2, false, false, 2e-6},
    {"node/test_batchnorm_example_training_mode", 1e-5, true, false, 4e-7},
    {"node/test_batchnorm_epsilon_training_mode", 1e-2, true, false, 4e-7},
    {"pytorch-converted/test_BatchNorm1d_3d_input_eval", 1e-5, false, true, 4e-7},
    {"pytorch-converted/test_BatchNorm2d_eval", 1e-5, false, true, 4e-7},
    {"pytorch-converted/test_BatchNorm2d_momentum_eval", 1e-3, false, true, 4e-7},
    {"pytorch-converted/test_BatchNorm3d_eval", 1e-5, false, true, 4e-7},
    {"pytorch-converted/test_BatchNorm3d_momentum_eval", 1e-3, false, true, 4e-7},
};

enum { IN_X, IN_WEIGHT, IN_BIAS, IN_MEAN, IN_VAR, INPUTS };

static void load(const struct vector *v, struct tensor *in, struct tensor *out) {
    char path[300];
    for (int i = 0; i < INPUTS; i++) {
        if (v->converted && i > IN_X) {
            snprintf(path, sizeof path, DATA "/%s/model.onnx", v->directory);
            read_initializer(path, (char)('0' + i), &in[i]);
        } else {
            snprintf(path, sizeof path, DATA "/%s/test_data_set_0/input_%d.pb", v->directory, i);
            read_tensor(read_file(path), &in[i]);
        }
    }
    for (int i = 0; i < (v->training ? 3 : 1); i++) {
        snprintf(path, sizeof path, DATA "/%s/test_data_set_0/output_%d.pb", v->directory, i);
        read_tensor(read_file(path), &out[i]);
    }
}

static void compare(const char *what, const struct tensor *want, const float *got, double tolerance) {
    for (size_t i = 0; i < want->count; i++)
        if (!(fabs((double)got[i] - want->value[i]) <= tolerance * fmax(1, fabs(want->value[i]))))
            fail_msg("%s[%zu] is %.9g, expected %.9g", what, i, got[i], want->value[i]);
}

TEST(run_vector) {
    const struct vector *v = *state;
    static struct tensor in[INPUTS], out[3];
    static float y[1024];
    load(v, in, out);
    assert_true(in[IN_X].rank >= 3 && in[IN_X].count > 0 && in[IN_X].count == out[0].count);
    size_t inner = in[IN_X].count / in[IN_X].size[0] / in[IN_X].size[1];
    struct strided shape = planar(BATCHNORM_F32, in[IN_X].size[0], in[IN_X].size[1], inner);
    for (int i = IN_WEIGHT; i < INPUTS; i++) assert_int_equal(in[i].count, shape.channels);
    batchnorm_options options = batchnorm_convention(BATCHNORM_ONNX);
    options.eps = v->eps;
    float *mean = in[IN_MEAN].value, *var = in[IN_VAR].value;
    const float *x = in[IN_X].value, *weight = in[IN_WEIGHT].value, *bias = in[IN_BIAS].value;
    batchnorm_status status = v->training ? raw_forward(&shape, x, weight, bias, y, mean, var, NULL, NULL, &options, NULL)
                                          : raw_infer(&shape, x, weight, bias, mean, var, y, NULL, NULL, &options, NULL);
    assert_int_equal(status, BATCHNORM_OK);
    compare("y", &out[0], y, v->tolerance);
    if (!v->training) return;
    compare("running_mean", &out[1], mean, v->tolerance);
    compare("running_var", &out[2], var, v->tolerance); /* biased: the unbiased one is off by 3e-3 */
}

int main(void) {
    enum { COUNT = sizeof vectors / sizeof *vectors };
    FILE *file = fopen(DATA "/node/test_batchnorm_example/model.onnx", "rb");
    if (!file) {
        printf("skipped: %s is not there (Debian: libonnx-testdata)\n", DATA);
        return 77;
    }
    fclose(file);
    struct CMUnitTest tests[COUNT];
    for (int i = 0; i < COUNT; i++) {
        const char *slash = strchr(vectors[i].directory, '/');
        tests[i] = (struct CMUnitTest){.name = slash + 1, .test_func = run_vector, .initial_state = (void *)&vectors[i]};
    }
    return _cmocka_run_group_tests("api.onnx", tests, COUNT, NULL, NULL);
}
