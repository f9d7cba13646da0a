/* SPDX-License-Identifier: MIT */
/* Sizes that do not fit the address space, through every public call that takes sizes. Most are made from SIZE_MAX, so that
 * they do not fit on any machine; some have 33 bits and are too large on 32-bit machines alone. Plain C, so that it also runs
 * under an emulator. Long because it is a list of calls. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "batchnorm/stats.h"
#include "tests/support/layer_calls.h"
#include "tests/support/raw_calls.h"

static int failures;

static void expect(const char *what, batchnorm_status got, batchnorm_status wanted) {
    if (got == wanted) return;
    printf("%s: \"%s\", not \"%s\"\n", what, batchnorm_status_string(got), batchnorm_status_string(wanted));
    failures++;
}

static void expect_true(const char *what, bool good) {
    if (!good) printf("%s\n", what);
    failures += !good;
}

/* What calls get: room for a few elements of any type, marked, so that a write is seen. */
enum { ARRAYS = 14, ROOM = 16, MARK = 0xa5 };
static double memory[ARRAYS][ROOM];

static void mark(void) { memset(memory, MARK, sizeof memory); }

static void expect_untouched(const char *what) {
    const unsigned char *byte = (const unsigned char *)memory;
    size_t at = 0;
    while (at < sizeof memory && byte[at] == MARK) at++;
    if (at < sizeof memory) printf("%s: array %zu was written\n", what, at / sizeof memory[0]);
    failures += at < sizeof memory;
}

/* Raw buffers */

static const batchnorm_activation relu = {BATCHNORM_RELU, 0};

typedef batchnorm_status verb(const struct strided *s, const batchnorm_exec *e);
#define M memory

static batchnorm_status infer(const struct strided *s, const batchnorm_exec *e) {
    return raw_infer(s, M[0], M[1], M[2], M[3], M[4], M[5], M[6], M[7], NULL, e);
}
static batchnorm_status infer_fused(const struct strided *s, const batchnorm_exec *e) {
    return raw_infer_fused(s, M[0], M[8], M[1], M[2], M[3], M[4], M[5], M[6], M[7], relu, NULL, e);
}
static batchnorm_status normalize(const struct strided *s, const batchnorm_exec *e) {
    return raw_normalize(s, M[0], M[1], M[2], M[3], M[4], M[5], e);
}
static batchnorm_status normalize_fused(const struct strided *s, const batchnorm_exec *e) {
    return raw_normalize_fused(s, M[0], M[8], M[1], M[2], M[3], M[4], M[5], relu, e);
}
static batchnorm_status forward(const struct strided *s, const batchnorm_exec *e) {
    return raw_forward(s, M[0], M[1], M[2], M[5], M[3], M[4], M[6], M[7], NULL, e);
}
static batchnorm_status forward_fused(const struct strided *s, const batchnorm_exec *e) {
    return raw_forward_fused(s, M[0], M[8], M[1], M[2], M[5], M[3], M[4], M[6], M[7], relu, NULL, e);
}
static batchnorm_status backward(const struct strided *s, const batchnorm_exec *e) {
    return raw_backward(s, M[0], M[5], M[1], M[6], M[7], M[9], M[10], M[11], 0, e);
}
static batchnorm_status backward_again(const struct strided *s, const batchnorm_exec *e) {
    return raw_backward_fused(s, M[0], M[8], NULL, M[5], M[1], M[2], M[6], M[7], M[9], M[12], M[10], M[11], relu, 0, e);
}
static batchnorm_status backward_fused(const struct strided *s, const batchnorm_exec *e) {
    return raw_backward_fused(s, M[0], NULL, M[8], M[5], M[1], M[2], M[6], M[7], M[9], M[12], M[10], M[11], relu, 0, e);
}
static batchnorm_status jvp(const struct strided *s, const batchnorm_exec *e) {
    return raw_jvp(s, M[0], M[5], M[1], M[2], M[3], M[6], M[7], M[9], 0, e);
}
static batchnorm_status double_backward(const struct strided *s, const batchnorm_exec *e) {
    return raw_double_backward(s, M[0], M[5], M[1], M[6], M[7], M[8], M[2], M[3], M[9], M[10], M[11], 0, e);
}
static batchnorm_status accumulate(const struct strided *s, const batchnorm_exec *e) {
    return raw_stats(s, M[0], (batchnorm_stat *)(void *)M[1], e);
}
#undef M

/* Which of the strides of a shape a call has. */
enum { X = 1, Y = 2, DY = 4, DX = 8, Z = 16, DZ = 32, STRIDES = 6 };
static const struct {
    const char *name;
    verb *run;
    unsigned strides;
} verbs[] = {
    {"infer", infer, X | Y},
    {"infer_fused", infer_fused, X | Y | Z},
    {"normalize", normalize, X | Y},
    {"normalize_fused", normalize_fused, X | Y | Z},
    {"forward", forward, X | Y},
    {"forward_fused", forward_fused, X | Y | Z},
    {"backward", backward, X | DY | DX},
    {"backward_fused without y", backward_again, X | DY | DX | Z | DZ},
    {"backward_fused", backward_fused, X | Y | DY | DX | DZ},
    {"jvp", jvp, X | DY | DX},
    {"double_backward", double_backward, X | Y | DY | DX},
    {"stats_accumulate", accumulate, X},
};
enum { VERBS = sizeof verbs / sizeof verbs[0], OPERATIONS = RAW_OPERATIONS };

static void every_call_refuses(const struct strided *shape, unsigned strides, const char *what) {
    char text[256];
    for (size_t i = 0; i < VERBS; i++) {
        if (!(verbs[i].strides & strides)) continue;
        snprintf(text, sizeof text, "%s of %s", verbs[i].name, what);
        mark();
        expect(text, verbs[i].run(shape, NULL), BATCHNORM_TOO_LARGE);
        expect_untouched(text);
    }
}

#define HALF ((size_t)1 << sizeof(size_t) * CHAR_BIT / 2)

static void counts_that_do_not_fit(void) {
    static const size_t sizes[][3] = {
        {HALF, HALF, 1},          {HALF, 1, HALF},          {1, HALF, HALF}, /* wrap to 0 */
        {SIZE_MAX / 2 + 2, 2, 1}, {2, SIZE_MAX / 2 + 2, 1},                  /* wrap to 2 */
        {1, 3, SIZE_MAX / 3 + 1}, {HALF, HALF, HALF},                        /* wraps to 2; twice */
        {SIZE_MAX, 1, 1},         {1, SIZE_MAX, 1},         {2, 1, PTRDIFF_MAX},
        {HALF, HALF / 2, 1}, /* more than PTRDIFF_MAX */
    };
    char what[128];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int last = 0; last < 2; last++) {
            const size_t n = sizes[i][0], c = sizes[i][1], s = sizes[i][2];
            const struct strided shape = last ? channels_last(BATCHNORM_F16, n, c, s) : planar(BATCHNORM_F16, n, c, s);
            snprintf(what, sizeof what, "%zu x %zu x %zu", n, c, s);
            every_call_refuses(&shape, X, what);
            for (int o = 0; o < OPERATIONS; o++) expect_true(what, raw_workspace_bytes(&shape, (enum raw_operation)o) == 0);
        }
}

static void bytes_that_do_not_fit(void) {
    static const batchnorm_dtype dtypes[] = {BATCHNORM_F32, BATCHNORM_F64, BATCHNORM_BF16, BATCHNORM_F16};
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        for (int d = 0; d < 3; d++) {
            const size_t most = PTRDIFF_MAX / batchnorm_dtype_bytes(dtypes[i]) + 1;
            const struct strided shape = planar(dtypes[i], d == 0 ? most : 1, d == 1 ? most : 1, d == 2 ? most : 1);
            every_call_refuses(&shape, X, "an array of PTRDIFF_MAX bytes and one more element");
        }
}

/* Of two elements; along one dimension, or along all three. */
static void strides_that_do_not_fit(void) {
    static const ptrdiff_t far[] = {PTRDIFF_MAX, PTRDIFF_MIN, PTRDIFF_MAX / 4 + 1, PTRDIFF_MIN / 4 - 1};
    char what[64];
    for (int array = 0; array < STRIDES; array++)
        for (int d = 0; d < 4; d++)
            for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
                struct strided s = planar(BATCHNORM_F32, 2, 2, 2);
                batchnorm_strides *const of[STRIDES] = {&s.x, &s.y, &s.dy, &s.dx, &s.z, &s.dz};
                ptrdiff_t *const along[] = {&of[array]->outer, &of[array]->channel, &of[array]->inner};
                for (int k = 0; k < 3; k++)
                    if (d == k || d == 3) *along[k] = far[i];
                snprintf(what, sizeof what, "stride %d of array %d: %td", d, array, far[i]);
                every_call_refuses(&s, 1u << array, what);
                for (int o = 0; o < OPERATIONS; o++) (void)raw_workspace_bytes(&s, (enum raw_operation)o);
            }
}

/* Without elements there is nothing that could be too large. */
static void no_elements_always_fit(void) {
    static const size_t sizes[][3] = {{0, 2, SIZE_MAX}, {SIZE_MAX, 2, 0}, {HALF, 0, HALF}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct strided shape = planar(BATCHNORM_F32, sizes[i][0], sizes[i][1], sizes[i][2]);
        for (size_t v = 0; v < VERBS; v++) expect(verbs[v].name, verbs[v].run(&shape, NULL), BATCHNORM_OK);
    }
}

/* The scratch memory of one double for each channel is about a quarter of the address space: it does not fit with all the
 * others. What is told must be nothing, or enough. */
static void workspaces_are_none_or_enough(void) {
    for (size_t less = 0; less < 1024; less++)
        for (int o = 0; o < OPERATIONS; o++) {
            const size_t channels = SIZE_MAX / 32 - less;
            const struct strided shape = planar(BATCHNORM_F16, 1, channels, 2);
            const size_t bytes = raw_workspace_bytes(&shape, (enum raw_operation)o);
            if (bytes == 0 || bytes >= channels * sizeof(double)) continue;
            printf("operation %d of SIZE_MAX / 32 - %zu channels: a workspace of %zu bytes\n", o, less, bytes);
            failures++;
            return;
        }
}

/* An array that fits, though nobody has it, and a workspace that does not. Nothing is at these addresses. */
static void workspaces_that_do_not_fit(void) {
    const uintptr_t quarter = UINTPTR_MAX / 4;
    const struct strided shape = planar(BATCHNORM_F16, 1, SIZE_MAX / 32 - 64, 2);
    void *x = (void *)(2 * quarter), *low = (void *)(quarter / 2), *high = (void *)(3 * quarter);
    const batchnorm_exec given = {.size = sizeof(batchnorm_exec),
                                  .workspace = (void *)(quarter / 4),
                                  .workspace_bytes = sizeof memory}; /* apart from them */
    const batchnorm_options *none = NULL;
    mark();
    for (int o = 0; o < OPERATIONS; o++)
        expect_true("a workspace that cannot be", raw_workspace_bytes(&shape, (enum raw_operation)o) == 0);
    for (int i = 0; i < 2; i++) {
        const batchnorm_exec *e = i ? &given : NULL;
        const batchnorm_status wanted = i ? BATCHNORM_WORKSPACE_TOO_SMALL : BATCHNORM_NO_MEMORY;
        expect("forward", raw_forward(&shape, x, NULL, NULL, x, NULL, NULL, NULL, NULL, none, e), wanted);
        expect("infer", raw_infer(&shape, x, NULL, NULL, low, low, x, NULL, NULL, none, e), wanted);
        expect("stats_accumulate", raw_stats(&shape, x, high, e), wanted);
        expect("backward", raw_backward(&shape, x, x, NULL, high, high, NULL, low, NULL, 0, e), wanted);
    }
    expect_untouched("workspaces");
}

/* Layers */

static batchnorm_layer *make_layer(int64_t channels, bool lazy) {
    batchnorm_layer *layer = NULL;
    batchnorm_layer_options options = batchnorm_layer_defaults(1, channels);
    options.lazy = lazy;
    expect("a layer", batchnorm_layer_create(&options, &layer), BATCHNORM_OK);
    if (!layer) exit(EXIT_FAILURE);
    return layer;
}

static batchnorm_tensor two_by_three(void *data) {
    return batchnorm_tensor_contiguous(data, BATCHNORM_F32, 2, (const int64_t[]){2, 3});
}

/* Sizes that 32 bits cut off to what is there: 3 channels, 2 samples. */
static const int64_t wide = INT64_C(1) << 32;
static bool is_32_bit(void) { return SIZE_MAX < UINT64_MAX; }

static void layers_that_do_not_fit(void) {
    static const batchnorm_dtype dtypes[] = {BATCHNORM_F32, BATCHNORM_F64};
    const int64_t channels[] = {INT64_MAX, PTRDIFF_MAX / 8, PTRDIFF_MAX / 24 + 1, wide + 3, INT64_C(1) << 31};
    const size_t count = is_32_bit() ? 5 : 3;
    for (size_t i = 0; i < count; i++)
        for (int t = 0; t < 2; t++) {
            batchnorm_layer *layer = (batchnorm_layer *)memory;
            batchnorm_layer_options options = batchnorm_layer_defaults(1, channels[i]);
            options.dtype = dtypes[t];
            expect("a layer of too many channels", batchnorm_layer_create(&options, &layer), BATCHNORM_TOO_LARGE);
            expect_true("the layer is not NULL", layer == NULL);
        }
}

static void layer_refuses(batchnorm_layer *layer, batchnorm_tensor x, batchnorm_tensor y, const char *what) {
    mark();
    expect(what, batchnorm_layer_forward(layer, x, y, NULL, 0, NULL), BATCHNORM_TOO_LARGE);
    expect_untouched(what);
}

static void inputs_of_layers_that_do_not_fit(void) {
    const int64_t sizes[][3] = {{INT64_MAX / 4, 3, 1}, {2, 3, INT64_MAX / 8}, {PTRDIFF_MAX / 12 + 1, 3, 1}, {PTRDIFF_MAX, 3, 2},
                                {wide + 2, 3, 1},      {2, 3, wide + 1},      {wide, 3, wide / 8}};
    const size_t count = is_32_bit() ? 7 : 4;
    batchnorm_layer *layer = make_layer(3, false);
    for (size_t i = 0; i < count; i++)
        layer_refuses(layer, batchnorm_tensor_contiguous(memory[0], BATCHNORM_F32, 3, sizes[i]),
                      batchnorm_tensor_contiguous(memory[5], BATCHNORM_F32, 3, sizes[i]), "an input of a layer");
    const int64_t strides[] = {INT64_MAX, INT64_MIN, PTRDIFF_MAX / 4 + 1, wide, wide + 3, -wide};
    for (size_t i = 0; i < (is_32_bit() ? 6 : 3); i++)
        for (int d = 0; d < 2; d++) {
            batchnorm_tensor x = two_by_three(memory[0]), y = two_by_three(memory[5]), good = y;
            x.stride[d] = y.stride[d] = strides[i];
            layer_refuses(layer, x, good, "an input with a stride");
            layer_refuses(layer, two_by_three(memory[0]), y, "an output with a stride");
        }
    batchnorm_layer_destroy(layer);
}

/* A lazy layer takes its channels from its input, which has room for all of them when it has no samples. */
static void lazy_layers_that_would_not_fit(void) {
    const int64_t channels[] = {PTRDIFF_MAX, PTRDIFF_MAX / 16 + 1, PTRDIFF_MAX / 24 + 1, wide + 3};
    for (size_t i = 0; i < (is_32_bit() ? 4 : 3); i++)
        for (unsigned flags = 0; flags <= BATCHNORM_HOLD_UPDATE; flags += BATCHNORM_HOLD_UPDATE) {
            batchnorm_layer *layer = make_layer(0, true);
            const batchnorm_tensor x = batchnorm_tensor_contiguous(NULL, BATCHNORM_F32, 2, (int64_t[]){0, channels[i]});
            expect("no samples of too many channels", batchnorm_layer_forward(layer, x, x, NULL, flags, NULL),
                   BATCHNORM_TOO_LARGE);
            expect_true("the layer is lazy no more", batchnorm_layer_get_options(layer).lazy);
            batchnorm_layer_destroy(layer);
        }
}

/* The others have their sizes from the forward, and strides of their own. */
static void gradients_of_layers_that_do_not_fit(void) {
    const int64_t strides[] = {INT64_MAX, INT64_MIN, PTRDIFF_MAX / 4 + 1, wide, wide + 3, -wide};
    batchnorm_layer *layer = make_layer(3, false);
    memset(memory, 0, sizeof memory);
    expect("forward", batchnorm_layer_forward(layer, two_by_three(memory[0]), two_by_three(memory[5]), NULL, 0, NULL),
           BATCHNORM_OK);
    for (size_t i = 0; i < (is_32_bit() ? 6 : 3); i++)
        for (int which = 0; which < 5; which++) {
            batchnorm_tensor t[5];
            for (int k = 0; k < 5; k++) t[k] = two_by_three(memory[k]);
            t[which].stride[0] = strides[i];
            mark();
            if (which < 3) {
                expect("backward", batchnorm_layer_backward(layer, NULL, t[0], t[1], t[2], 0, NULL), BATCHNORM_TOO_LARGE);
                expect("jvp", layer_jvp(layer, NULL, t[0], t[1], NULL, NULL, t[2], NULL), BATCHNORM_TOO_LARGE);
            }
            expect("double_backward", layer_double_backward(layer, NULL, t[0], t[1], t[2], NULL, NULL, t[3], t[4], NULL, NULL),
                   BATCHNORM_TOO_LARGE);
            expect_untouched("gradients");
        }
    batchnorm_layer_destroy(layer);
}

static void states_that_do_not_fit(void) {
    const int64_t strides[] = {INT64_MAX, INT64_MIN, PTRDIFF_MAX / 4, PTRDIFF_MIN / 4, wide, -wide};
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    batchnorm_layer *layer = make_layer(3, false);
    memset(memory, 0, sizeof memory);
    for (size_t i = 0; i < (is_32_bit() ? 6 : 4); i++)
        for (int k = 0; k < 4; k++) {
            batchnorm_named_tensor entry = {names[k],
                                            batchnorm_tensor_contiguous(memory[0], BATCHNORM_F32, 1, (const int64_t[]){3})};
            entry.tensor.stride[0] = strides[i];
            expect("a state", batchnorm_layer_load_state(layer, &entry, 1, 2, false), BATCHNORM_TOO_LARGE);
        }
    expect_true("the state was written", ((const float *)batchnorm_layer_running_var(layer).data)[2] == 1);
    batchnorm_named_tensor entry = {"weight", batchnorm_tensor_contiguous(memory, BATCHNORM_F32, 1, &wide)};
    entry.tensor.stride[0] = 0;
    batchnorm_layer *lazy = make_layer(0, true);
    if (is_32_bit()) expect("a lazy state", batchnorm_layer_load_state(lazy, &entry, 1, 2, false), BATCHNORM_TOO_LARGE);
    batchnorm_layer_destroy(lazy);
    batchnorm_layer_destroy(layer);
}

/* Tensors */

/* A DLTensor as dlpack.h lays it out. */
struct dl_tensor {
    void *data;
    int32_t device_type, device_id, ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
};

static void offsets_that_do_not_fit(void) {
    int64_t shape[] = {wide, wide};
    const batchnorm_tensor before = two_by_three(memory[0]);
    struct dl_tensor dl = {.data = memory[0], .device_type = 1, .ndim = 2, .code = 2, .bits = 32, .lanes = 1, .shape = shape};
    batchnorm_tensor t = before;
    dl.byte_offset = UINT64_MAX;
    expect("from_dlpack", batchnorm_tensor_from_dlpack(&dl, &t), BATCHNORM_TOO_LARGE);
    dl.byte_offset = (uint64_t)wide;
    if (is_32_bit()) expect("from_dlpack", batchnorm_tensor_from_dlpack(&dl, &t), BATCHNORM_TOO_LARGE);
    expect_true("the tensor was written", memcmp(&t, &before, sizeof t) == 0);
    dl.byte_offset = 8;
    expect("from_dlpack", batchnorm_tensor_from_dlpack(&dl, &t), BATCHNORM_OK);
    expect_true("the data is elsewhere", t.data == (void *)((char *)memory[0] + 8));
    /* sizes are 64-bit numbers on every machine */
    expect_true("the sizes were cut off", t.shape[1] == wide && t.stride[0] == wide);
    expect_true("2^64 elements were counted", batchnorm_tensor_elements(&t) == -1);
    t.shape[0] = 3;
    expect_true("3 * 2^32 elements were not counted", batchnorm_tensor_elements(&t) == 3 * wide);
}

int main(void) {
    counts_that_do_not_fit();
    bytes_that_do_not_fit();
    strides_that_do_not_fit();
    no_elements_always_fit();
    workspaces_are_none_or_enough();
    workspaces_that_do_not_fit();
    layers_that_do_not_fit();
    inputs_of_layers_that_do_not_fit();
    lazy_layers_that_would_not_fit();
    gradients_of_layers_that_do_not_fit();
    states_that_do_not_fit();
    offsets_that_do_not_fit();
    if (failures) printf("%d failures\n", failures);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
