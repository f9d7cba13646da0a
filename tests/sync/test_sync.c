/* SPDX-License-Identifier: MIT */
/* A batch that is cut between ranks in any way gives what it gives whole: the same bits, in y, dx, dweight, dbias and the
 * running statistics of every rank. Longer than 300 lines, because raw calls, layers and values are all cut. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "batchnorm/stats.h"
#include "ranks.h"
#include "tests/support/test.h"

enum { SAMPLES_MAX = 40, CHANNELS_MAX = 40, ELEMENTS_MAX = 1 << 19 };

/* A batch: elements of any type, in memory for 8 bytes each. */
struct batch {
    batchnorm_shape shape; /* of the whole */
    bool rows;
    size_t grain;
    batchnorm_activation activation;
    bool has_z, from_y; /* from y: backward gets no x */
    bool has_mask;
    unsigned mask_flags;
    uint8_t mask[ELEMENTS_MAX]; /* (n, s) */
    double x[ELEMENTS_MAX], z[ELEMENTS_MAX], dy[ELEMENTS_MAX];
};

/* What comes out. */
struct result {
    batchnorm_status forward, backward;
    double running[2][CHANNELS_MAX], save[2][CHANNELS_MAX], gradient[2][CHANNELS_MAX];
};

struct outputs {
    double y[ELEMENTS_MAX], dx[ELEMENTS_MAX], dz[ELEMENTS_MAX];
};

static struct batch batch;
static struct outputs whole, parts;

static uint64_t random_state;

/* From -1 to 1. */
static double next(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(int64_t)(random_state >> 11) * 0x1p-52 - 1;
}

static uint16_t half_of(float v, bool is_bf16) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (is_bf16) return (uint16_t)(bits >> 16);
    const int exponent = (int)(bits >> 23 & 255) - 112;
    if (exponent <= 0) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits >> 16 & 0x8000) | ((uint32_t)exponent << 10) | (bits >> 13 & 0x3ff));
}

static void put(void *array, batchnorm_dtype dtype, size_t i, double v) {
    if (dtype == BATCHNORM_F64)
        ((double *)array)[i] = v;
    else if (dtype == BATCHNORM_F32)
        ((float *)array)[i] = (float)v;
    else
        ((uint16_t *)array)[i] = half_of((float)v, dtype == BATCHNORM_BF16);
}

static void make_batch(batchnorm_shape shape, bool rows, size_t grain) {
    const size_t elements = shape.outer * shape.channels * shape.inner;
    assert_true(elements <= ELEMENTS_MAX && shape.channels <= CHANNELS_MAX);
    batch.shape = shape;
    batch.rows = rows;
    batch.grain = grain;
    for (size_t i = 0; i < elements; i++) {
        put(batch.x, shape.dtype, i, 100 + 3 * next());
        put(batch.z, shape.dtype, i, next());
        put(batch.dy, shape.dtype, i, next());
    }
}

/* The samples [first, first + count) of an array. */
static void *part_of(void *array, size_t first) {
    const size_t each = batch.shape.channels * batch.shape.inner;
    return (char *)array + first * each * batchnorm_dtype_bytes(batch.shape.dtype);
}

static batchnorm_strides strides(void) {
    return batch.rows ? batchnorm_channels_last(batch.shape) : batchnorm_planar(batch.shape);
}

/* The mask of a part, which has none where all of it counts. */
static batchnorm_mask mask_of(size_t first, size_t count) {
    const size_t s = batch.shape.inner;
    if (!batch.has_mask || (count && !memchr(batch.mask + first * s, 0, count * s))) return (batchnorm_mask){.data = NULL};
    return (batchnorm_mask){.data = batch.mask + first * s, .outer = (ptrdiff_t)s, .inner = 1, .flags = batch.mask_flags};
}

/* Some samples count, some in part, some not at all. */
static void make_mask(unsigned flags) {
    batch.has_mask = true;
    batch.mask_flags = flags;
    for (size_t n = 0; n < batch.shape.outer; n++) {
        const double kind = next();
        for (size_t i = 0; i < batch.shape.inner; i++)
            batch.mask[n * batch.shape.inner + i] = kind < -.4 ? 0 : kind < .2 ? 1 : next() < kind;
    }
    batch.mask[0] = batch.mask[batch.shape.outer * batch.shape.inner - 1] = 1;
}

static double weight[CHANNELS_MAX], bias[CHANNELS_MAX];

/* The ranks are threads enough. */
static const batchnorm_exec exec = {.size = sizeof exec, .threads = 1};

static void set_parameters(void) {
    for (size_t c = 0; c < batch.shape.channels; c++) {
        put(weight, batch.shape.dtype == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32, c, 1 + 0.25 * (double)c);
        put(bias, batch.shape.dtype == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32, c, 0.5 - 0.125 * (double)c);
    }
}

/* Runs a part through forward and backward. */
static void run_part(batchnorm_group *group, size_t first, size_t count, struct outputs *o, struct result *r) {
    batchnorm_shape shape = batch.shape;
    shape.outer = count;
    const batchnorm_strides s = strides();
    const bool acts = batch.activation.kind != BATCHNORM_IDENTITY;
    const batchnorm_input nothing = {.data = NULL};
    memset(r, 0, sizeof *r);
    const batchnorm_forward_call forward = {.size = sizeof forward,
                                            .shape = shape,
                                            .x = {part_of(batch.x, first), s},
                                            .z = {batch.has_z ? part_of(batch.z, first) : NULL, s},
                                            .y = {part_of(o->y, first), s},
                                            .weight = weight,
                                            .bias = bias,
                                            .running_mean = r->running[0],
                                            .running_var = r->running[1],
                                            .save_mean = r->save[0],
                                            .save_rstd = r->save[1],
                                            .activation = batch.activation,
                                            .grain = batch.grain,
                                            .first_sample = first,
                                            .group = group,
                                            .mask = mask_of(first, count)};
    r->forward = batchnorm_forward(&forward, &exec);
    if (r->forward) return;
    const batchnorm_backward_call backward = {.size = sizeof backward,
                                              .shape = shape,
                                              .x = batch.from_y ? nothing : forward.x,
                                              .z = forward.z,
                                              .y = {acts || batch.from_y ? forward.y.data : NULL, s},
                                              .dy = {part_of(batch.dy, first), s},
                                              .dx = {part_of(o->dx, first), s},
                                              .dz = {batch.has_z ? part_of(o->dz, first) : NULL, s},
                                              .weight = weight,
                                              .bias = bias,
                                              .save_mean = r->save[0],
                                              .save_rstd = r->save[1],
                                              .dweight = r->gradient[0],
                                              .dbias = r->gradient[1],
                                              .activation = batch.activation,
                                              .grain = batch.grain,
                                              .first_sample = first,
                                              .group = group,
                                              .mask = forward.mask};
    r->backward = batchnorm_backward(&backward, &exec);
}

/* A cut of the batch. */
struct cut {
    int ranks;
    size_t at[RANKS_MAX + 1];
    struct result result[RANKS_MAX];
};

static void run_rank(batchnorm_group *group, void *arg) {
    struct cut *cut = arg;
    const size_t first = cut->at[group->rank];
    run_part(group, first, cut->at[group->rank + 1] - first, &parts, &cut->result[group->rank]);
}

static void same(const char *what, const void *a, const void *b, size_t bytes, const struct cut *cut) {
    if (memcmp(a, b, bytes) == 0) return;
    print_message("%s: n %zu, c %zu, s %zu, dtype %d, %s, grain %zu, cut", what, batch.shape.outer, batch.shape.channels,
                  batch.shape.inner, (int)batch.shape.dtype, batch.rows ? "rows" : "planes", batch.grain);
    for (int i = 0; i <= cut->ranks; i++) print_message(" %zu", cut->at[i]);
    fail_msg(": %s differs", what);
}

static void compare(struct cut *cut, const struct result *wanted) {
    const size_t bytes =
        batch.shape.outer * batch.shape.channels * batch.shape.inner * batchnorm_dtype_bytes(batch.shape.dtype);
    memset(&parts, 0xaa, sizeof parts);
    run_ranks(cut->ranks, run_rank, cut);
    for (int i = 0; i < cut->ranks; i++) {
        const struct result *got = &cut->result[i];
        assert_int_equal(got->forward, BATCHNORM_OK);
        assert_int_equal(got->backward, BATCHNORM_OK);
        same("running statistics", got->running, wanted->running, sizeof got->running, cut);
        same("saved statistics", got->save, wanted->save, sizeof got->save, cut);
        same("gradients of parameters", got->gradient, wanted->gradient, sizeof got->gradient, cut);
    }
    same("y", parts.y, whole.y, bytes, cut);
    same("dx", parts.dx, whole.dx, bytes, cut);
    if (batch.has_z) same("dz", parts.dz, whole.dz, bytes, cut);
}

/* Cuts the batch between chunks, evenly, or anywhere, so that some ranks may have nothing. */
static void make_cut(struct cut *cut, int ranks, bool even) {
    const size_t grain = batch.grain, n = batch.shape.outer, chunks = (n + grain - 1) / grain;
    cut->ranks = ranks;
    for (int i = 0; i <= ranks; i++) {
        const size_t chunk = even ? chunks * (size_t)i / (size_t)ranks : (size_t)((next() + 1) / 2 * (double)(chunks + 1));
        cut->at[i] = i == 0 ? 0 : chunk * grain > n || i == ranks ? n : chunk * grain;
    }
    for (int i = 1; i <= ranks; i++)
        for (int k = i; k > 1 && cut->at[k] < cut->at[k - 1]; k--) {
            const size_t swap = cut->at[k];
            cut->at[k] = cut->at[k - 1];
            cut->at[k - 1] = swap;
        }
}

static void try_cuts(void) {
    static const int ranks[] = {1, 2, 3, 4, 5, 7};
    struct result wanted;
    struct cut cut;
    set_parameters();
    memset(&whole, 0xaa, sizeof whole);
    run_part(NULL, 0, batch.shape.outer, &whole, &wanted);
    assert_int_equal(wanted.forward, BATCHNORM_OK);
    assert_int_equal(wanted.backward, BATCHNORM_OK);
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
        for (int even = 0; even < 2; even++) {
            make_cut(&cut, ranks[i], even != 0);
            compare(&cut, &wanted);
        }
}

static void try_all(batchnorm_activation activation, bool has_z, bool from_y, bool masked) {
    static const struct {
        size_t n, c, s, grain;
    } shapes[] = {{8, 3, 50, 1},   {8, 3, 50, 2},    {7, 5, 49, 2},   {13, 17, 9, 3}, {32, 40, 1, 4}, {33, 16, 1, 1},
                  {12, 2, 700, 4}, {5, 1, 40000, 1}, {9, 4, 6000, 2}, {40, 1, 3, 8},  {6, 40, 100, 8}};
    batch.activation = activation;
    batch.has_z = has_z;
    batch.from_y = from_y;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int dtype = BATCHNORM_F32; dtype <= BATCHNORM_F16; dtype++)
            for (int rows = 0; rows < 2; rows++) {
                if (is_left_out()) continue;
                const batchnorm_shape shape = {shapes[i].n, shapes[i].c, shapes[i].s, (batchnorm_dtype)dtype};
                make_batch(shape, rows != 0, shapes[i].grain);
                if (masked) make_mask((unsigned)(dtype + rows) % 2);
                try_cuts();
                batch.has_mask = false;
            }
}

TEST(any_cut_gives_the_bits_of_the_whole) { try_all((batchnorm_activation){BATCHNORM_IDENTITY, 0}, false, false, false); }
TEST(any_cut_gives_the_bits_of_the_whole_with_relu_and_residual) { try_all(batchnorm_relu(), true, false, false); }
TEST(any_cut_gives_the_bits_of_the_whole_with_silu) { try_all(batchnorm_silu(), false, false, false); }
TEST(any_cut_gives_the_bits_of_the_whole_from_y) { try_all((batchnorm_activation){BATCHNORM_IDENTITY, 0}, false, true, false); }
TEST(any_cut_gives_the_bits_of_the_whole_from_y_of_leaky_relu) { try_all(batchnorm_leaky_relu(0.125), false, true, false); }
TEST(any_cut_gives_the_bits_of_the_whole_with_a_mask) {
    try_all((batchnorm_activation){BATCHNORM_IDENTITY, 0}, false, false, true);
}
TEST(any_cut_gives_the_bits_of_the_whole_with_a_mask_and_relu) { try_all(batchnorm_relu(), true, false, true); }

static size_t index_of(size_t n, size_t c, size_t i) {
    const batchnorm_strides s = strides();
    return n * (size_t)s.outer + c * (size_t)s.channel + i * (size_t)s.inner;
}

static double get(const void *array, size_t i) {
    return batch.shape.dtype == BATCHNORM_F64 ? ((const double *)array)[i] : (double)((const float *)array)[i];
}

/* Compares the statistics and y of a channel with their definition in long double. */
static void check_channel(const struct result *r, size_t c) {
    const size_t m = batch.shape.outer * batch.shape.inner;
    const double unit = batch.shape.dtype == BATCHNORM_F64 ? 0x1p-53 : 0x1p-24;
    long double mean = 0, var = 0;
    for (size_t n = 0; n < batch.shape.outer; n++)
        for (size_t i = 0; i < batch.shape.inner; i++) mean += (long double)get(batch.x, index_of(n, c, i)) / (long double)m;
    for (size_t n = 0; n < batch.shape.outer; n++)
        for (size_t i = 0; i < batch.shape.inner; i++) {
            const long double d = (long double)get(batch.x, index_of(n, c, i)) - mean;
            var += d * d / (long double)m;
        }
    const long double rstd = 1 / sqrtl(var + 1e-5L), w = (long double)get(weight, c), b = (long double)get(bias, c);
    assert_true(fabsl((long double)r->save[0][c] - mean) <= 8 * 0x1p-53L * fabsl(mean));
    assert_true(fabsl((long double)r->save[1][c] - rstd) <= 64 * 0x1p-53L * rstd);
    for (size_t n = 0; n < batch.shape.outer; n++)
        for (size_t i = 0; i < batch.shape.inner; i++) {
            const long double y = ((long double)get(batch.x, index_of(n, c, i)) - mean) * rstd * w + b;
            const long double error = fabsl((long double)get(whole.y, index_of(n, c, i)) - y);
            /* in F64 the mean itself has an error of 100 units */
            const long double bound = batch.shape.dtype == BATCHNORM_F64 ? 1000 : 4 * fmaxl(1, fabsl(y));
            if (!(error <= bound * (long double)unit)) fail_msg("y is off by %Lg units", error / (long double)unit);
        }
}

TEST(chunks_give_the_statistics_of_all) {
    static const size_t grains[] = {0, 1, 3, 8, 100};
    batch.activation = (batchnorm_activation){BATCHNORM_IDENTITY, 0};
    batch.has_z = batch.from_y = false;
    for (size_t i = 0; i < sizeof grains / sizeof *grains; i++)
        for (int dtype = BATCHNORM_F32; dtype <= BATCHNORM_F64; dtype++)
            for (int rows = 0; rows < 2; rows++) {
                struct result r;
                make_batch((batchnorm_shape){21, 5, 700, (batchnorm_dtype)dtype}, rows != 0, grains[i]);
                set_parameters();
                run_part(NULL, 0, batch.shape.outer, &whole, &r);
                assert_int_equal(r.forward, BATCHNORM_OK);
                for (size_t c = 0; c < batch.shape.channels; c++) check_channel(&r, c);
            }
}

/* Micro-batches in one process: statistics of all of them, the sums of all of them, then dx of each. */
TEST(micro_batches_have_the_statistics_and_gradients_of_all) {
    static batchnorm_stat stats[CHANNELS_MAX];
    static batchnorm_sum sums[CHANNELS_MAX];
    static double mean[CHANNELS_MAX], rstd[CHANNELS_MAX];
    struct result r;
    make_batch((batchnorm_shape){12, 4, 30, BATCHNORM_F64}, false, 4);
    set_parameters();
    run_part(NULL, 0, 12, &whole, &r);
    const batchnorm_strides s = strides();
    const batchnorm_shape shape = {4, 4, 30, BATCHNORM_F64};
    for (size_t first = 0; first < 12; first += 4) {
        const batchnorm_stats_call call = {
            .size = sizeof call, .shape = shape, .x = {part_of(batch.x, first), s}, .stats = stats};
        assert_int_equal(batchnorm_stats_accumulate(&call, &exec), BATCHNORM_OK);
    }
    batchnorm_stats_finish(stats, 4, 0, 1e-5, mean, NULL, rstd);
    for (size_t first = 0; first < 12; first += 4) {
        const batchnorm_sums_call call = {.size = sizeof call,
                                          .shape = shape,
                                          .x = {part_of(batch.x, first), s},
                                          .dy = {part_of(batch.dy, first), s},
                                          .save_mean = mean,
                                          .save_rstd = rstd,
                                          .sums = sums};
        assert_int_equal(batchnorm_sums_accumulate(&call, &exec), BATCHNORM_OK);
    }
    for (size_t first = 0; first < 12; first += 4) {
        double dweight[CHANNELS_MAX], dbias[CHANNELS_MAX];
        const batchnorm_backward_call call = {.size = sizeof call,
                                              .shape = shape,
                                              .x = {part_of(batch.x, first), s},
                                              .dy = {part_of(batch.dy, first), s},
                                              .dx = {part_of(parts.dx, first), s},
                                              .weight = weight,
                                              .save_mean = mean,
                                              .save_rstd = rstd,
                                              .dweight = dweight,
                                              .dbias = dbias,
                                              .sums = sums};
        assert_int_equal(batchnorm_backward(&call, &exec), BATCHNORM_OK);
        for (size_t c = 0; c < 4; c++) {
            assert_true(sums[c].count == 360);
            assert_true(fabs(dweight[c] - r.gradient[0][c]) < 1e-11);
            assert_true(fabs(dbias[c] - r.gradient[1][c]) < 1e-11);
        }
    }
    for (size_t i = 0; i < (size_t)12 * 4 * 30; i++) assert_true(fabs(parts.dx[i] - whole.dx[i]) < 1e-12);
}

/* What each of two ranks does otherwise than it should. */
struct strange {
    int rank; /* that does it */
    size_t channels, grain, first, count;
    batchnorm_dtype dtype;
    bool no_x, backward;
    unsigned flags;
    bool no_dweight, small_workspace, bad_exec;
    const char *name;
    batchnorm_transport_message *says_why;
    int says; /* that it is one rank more, or that there are so many more */
    uint64_t calls;
    batchnorm_status status[2];
    char message[2][200];
    bool wrote[2];
};

enum { STRANGE_CHANNELS = 4, STRANGE_VALUES = 6 };

static void be_strange(batchnorm_group *group, void *arg) {
    struct strange *strange = arg;
    const int rank = group->rank;
    const struct strange *s =
        rank == strange->rank
            ? strange
            : &(struct strange){.count = 2, .channels = STRANGE_CHANNELS, .first = 2 * (size_t)rank, .grain = 2};
    char memory[8];
    float x[200] = {1, 2, 3}, y[200], running[2][8] = {{0}}, gradient[2][8];
    double saved[2][8] = {{0}};
    memset(y, 0x55, sizeof y);
    memset(gradient, 0x55, sizeof gradient);
    const batchnorm_shape shape = {s->count, s->channels, STRANGE_VALUES, s->dtype};
    const batchnorm_strides strides = batchnorm_planar(shape);
    batchnorm_exec how = {.size = sizeof how, .threads = 1, .message = strange->message[rank], .message_bytes = 200};
    if (s->small_workspace) {
        how.workspace = memory;
        how.workspace_bytes = sizeof memory;
    }
    if (s->bad_exec) how.size = 1;
    batchnorm_group self = *group; /* what the call hears of; the transport knows better */
    if (s->says == 1) self.rank = 1 - rank;
    if (s->says > 1) self.ranks = s->says;
    self.calls = s->calls;
    self.name = strange->name;
    self.message = strange->says_why;
    if (strange->backward) {
        const batchnorm_backward_call call = {.size = sizeof call,
                                              .shape = shape,
                                              .x = {s->no_x ? NULL : x, strides},
                                              .dy = {x, strides},
                                              .dx = {y, strides},
                                              .save_mean = saved[0],
                                              .save_rstd = saved[1],
                                              .dweight = s->no_dweight ? NULL : gradient[0],
                                              .dbias = gradient[1],
                                              .flags = s->flags,
                                              .grain = s->grain,
                                              .first_sample = s->first,
                                              .group = &self};
        strange->status[rank] = batchnorm_backward(&call, &how);
    } else {
        const batchnorm_forward_call call = {.size = sizeof call,
                                             .shape = shape,
                                             .x = {s->no_x ? NULL : x, strides},
                                             .y = {y, strides},
                                             .running_mean = running[0],
                                             .running_var = running[1],
                                             .save_mean = saved[0],
                                             .save_rstd = saved[1],
                                             .grain = s->grain,
                                             .first_sample = s->first,
                                             .group = &self};
        strange->status[rank] = batchnorm_forward(&call, &how);
    }
    for (size_t i = 0; i < sizeof y; i++) strange->wrote[rank] = strange->wrote[rank] || ((char *)y)[i] != 0x55;
    for (size_t i = 0; i < sizeof gradient; i++) strange->wrote[rank] = strange->wrote[rank] || ((char *)gradient)[i] != 0x55;
    for (size_t i = 0; i < 8; i++)
        strange->wrote[rank] = strange->wrote[rank] || running[0][i] != 0 || running[1][i] != 0 || saved[0][i] != 0;
}

/* Expects both ranks to refuse, with these words on the one that is fine. */
static void refuse(struct strange s, batchnorm_status strange, batchnorm_status other, const char *words) {
    run_ranks(2, be_strange, &s);
    if (s.status[s.rank] != strange || s.status[1 - s.rank] != other)
        fail_msg("%s: %d and %d (%s, %s)", words, (int)s.status[s.rank], (int)s.status[1 - s.rank], s.message[s.rank],
                 s.message[1 - s.rank]);
    if (!strstr(s.message[1 - s.rank], words)) fail_msg("\"%s\" instead of \"%s\"", s.message[1 - s.rank], words);
    assert_false(s.wrote[0] || s.wrote[1]);
}

static struct strange usual(void) {
    return (struct strange){.rank = 1, .count = 2, .channels = STRANGE_CHANNELS, .first = 2, .grain = 2};
}

TEST(a_wrong_exec_of_one_rank_is_told_to_all) {
    struct strange s = usual();
    s.bad_exec = true;
    for (int backward = 0; backward < 2; backward++) {
        s.backward = backward != 0;
        refuse(s, BATCHNORM_BAD_OPTION, BATCHNORM_RANK_FAILED, "rank 1 failed: an option or flag is outside its range");
    }
}

TEST(ranks_that_say_that_they_are_others_are_refused) {
    struct strange s = usual();
    s.says = 1;
    refuse(s, BATCHNORM_MISMATCH, BATCHNORM_MISMATCH, "rank 1 of 2 says that it is rank 0 of 2");
    s.says = 3;
    refuse(s, BATCHNORM_MISMATCH, BATCHNORM_MISMATCH, "rank 1 of 2 says that it is rank 1 of 3");
}

TEST(what_is_wrong_is_said_in_a_group_too) {
    struct strange s = usual();
    s.no_x = true;
    refuse(s, BATCHNORM_NULL_POINTER, BATCHNORM_RANK_FAILED, "rank 1 failed: a required pointer is NULL");
    run_ranks(2, be_strange, &s);
    assert_string_equal(s.message[1], "what is NULL is needed; needed are x and y");
    s = usual();
    s.first = 3;
    run_ranks(2, be_strange, &s);
    assert_string_equal(s.message[1], "the first sample has the number 3, which is no multiple of the grain, 2");
}

TEST(ranks_that_do_not_agree_are_told_who_and_what) {
    for (int rank = 0; rank < 2; rank++) {
        struct strange s = usual();
        char words[100];
        s.rank = rank;
        s.first = 2 * (size_t)rank;
        s.channels = 3;
        snprintf(words, sizeof words, "the number of channels is 3 on rank %d and 4 on rank %d", rank, 1 - rank);
        refuse(s, BATCHNORM_MISMATCH, BATCHNORM_MISMATCH, words);
    }
    struct strange s = usual();
    s.dtype = BATCHNORM_BF16;
    refuse(s, BATCHNORM_MISMATCH, BATCHNORM_MISMATCH, "the element type is 2 on rank 1 and 0 on rank 0");
    s = usual();
    s.grain = 1;
    refuse(s, BATCHNORM_MISMATCH, BATCHNORM_MISMATCH, "the grain is 1 on rank 1 and 2 on rank 0");
    s = usual();
    s.calls = 7;
    refuse(s, BATCHNORM_MISMATCH, BATCHNORM_MISMATCH, "the number of the call is 7 on rank 1 and 0 on rank 0");
    s = usual();
    s.first = 4;
    refuse(s, BATCHNORM_MISMATCH, BATCHNORM_MISMATCH, "the samples of rank 1 begin with number 4, those before it end with 1");
    s = usual();
    s.backward = true;
    s.no_dweight = true;
    refuse(s, BATCHNORM_MISMATCH, BATCHNORM_MISMATCH, "the set of flags is");
}

TEST(a_failure_of_one_rank_is_one_of_all) {
    for (int backward = 0; backward < 2; backward++) {
        struct strange s = usual();
        s.backward = backward != 0;
        s.no_x = true;
        refuse(s, BATCHNORM_NULL_POINTER, BATCHNORM_RANK_FAILED, "rank 1 failed: a required pointer is NULL");
        s = usual();
        s.backward = backward != 0;
        s.small_workspace = true;
        refuse(s, BATCHNORM_WORKSPACE_TOO_SMALL, BATCHNORM_RANK_FAILED, "rank 1 failed: the given workspace is smaller");
        s = usual();
        s.backward = backward != 0;
        s.first = 3;
        refuse(s, BATCHNORM_BAD_OPTION, BATCHNORM_RANK_FAILED, "rank 1 failed: an option");
        s = usual();
        s.backward = backward != 0;
        s.first = 2;
        transport_fails_at(0);
        refuse(s, BATCHNORM_TRANSPORT, BATCHNORM_TRANSPORT, "the transport failed, with 7");
        transport_fails_at(-1);
    }
}

static const char *say_why(void *user UNUSED) { return "a cable is missing"; }

TEST(messages_tell_whose_call_it_was_and_what_the_transport_says) {
    struct strange s = usual();
    s.name = "bn3";
    s.channels = 3;
    refuse(s, BATCHNORM_MISMATCH, BATCHNORM_MISMATCH, "bn3: the number of channels is 3");
    s = usual();
    s.says_why = say_why;
    transport_fails_at(0);
    refuse(s, BATCHNORM_TRANSPORT, BATCHNORM_TRANSPORT, "call 0, forward: a cable is missing");
    s.name = "bn3";
    s.backward = true;
    s.first = 2;
    refuse(s, BATCHNORM_TRANSPORT, BATCHNORM_TRANSPORT, "bn3: call 0, backward: a cable is missing");
    transport_fails_at(-1);
}

/* A layer on a part of a batch of (N, 3, 5), and what it has learned after some steps. */
enum { LAYER_SAMPLES = 11, LAYER_CHANNELS = 3, LAYER_LENGTH = 5, LAYER_EACH = LAYER_CHANNELS * LAYER_LENGTH, LAYER_STEPS = 3 };

struct lesson {
    int ranks;
    size_t at[RANKS_MAX + 1];
    float x[LAYER_SAMPLES * LAYER_EACH], dy[LAYER_SAMPLES * LAYER_EACH];
    float y[LAYER_SAMPLES * LAYER_EACH], dx[LAYER_SAMPLES * LAYER_EACH];
    float numbers[RANKS_MAX][4][LAYER_CHANNELS]; /* gradients, running statistics */
    int64_t batches[RANKS_MAX];
    batchnorm_status status[RANKS_MAX];
    char message[RANKS_MAX][200];
    bool is_wrong; /* the last rank's x has another number of channels */
};

static batchnorm_tensor part(float *data, size_t first, size_t count, int64_t channels) {
    return batchnorm_tensor_contiguous(data + first * LAYER_EACH, BATCHNORM_F32, 3,
                                       (const int64_t[]){(int64_t)count, channels, LAYER_LENGTH});
}

static batchnorm_status step(batchnorm_layer *layer, struct lesson *l, int rank) {
    const size_t first = l->at[rank], count = l->at[rank + 1] - first;
    const int64_t channels = l->is_wrong && rank == l->ranks - 1 ? LAYER_CHANNELS - 1 : LAYER_CHANNELS;
    const batchnorm_tensor x = part(l->x, first, count, channels), y = part(l->y, first, count, channels);
    batchnorm_status status = batchnorm_layer_forward(layer, x, y, NULL, 0, &exec);
    if (status) return status;
    return batchnorm_layer_backward(layer, NULL, x, part(l->dy, first, count, channels), part(l->dx, first, count, channels), 0,
                                    &exec);
}

static void learn(batchnorm_group *group, void *arg) {
    struct lesson *l = arg;
    const int rank = group ? group->rank : 0;
    const batchnorm_layer_options options = batchnorm_layer_defaults(1, LAYER_CHANNELS);
    batchnorm_layer *layer = NULL;
    l->status[rank] = batchnorm_layer_create(&options, &layer);
    if (!l->status[rank]) l->status[rank] = batchnorm_layer_set_group(layer, group, 2, l->at[rank]);
    for (int i = 0; i < LAYER_STEPS && !l->status[rank]; i++) l->status[rank] = step(layer, l, rank);
    const batchnorm_parameter *parameters[] = {batchnorm_layer_weight(layer), batchnorm_layer_bias(layer)};
    for (int i = 0; i < 2; i++) memcpy(l->numbers[rank][i], parameters[i]->grad.data, sizeof l->numbers[rank][i]);
    memcpy(l->numbers[rank][2], batchnorm_layer_running_mean(layer).data, sizeof l->numbers[rank][2]);
    memcpy(l->numbers[rank][3], batchnorm_layer_running_var(layer).data, sizeof l->numbers[rank][3]);
    l->batches[rank] = *batchnorm_layer_num_batches_tracked(layer);
    snprintf(l->message[rank], sizeof l->message[rank], "%s", batchnorm_layer_message(layer));
    batchnorm_layer_destroy(layer);
}

static void prepare_lesson(struct lesson *l, int ranks) {
    *l = (struct lesson){.ranks = ranks};
    random_state = 3;
    for (size_t i = 0; i < LAYER_SAMPLES * LAYER_EACH; i++) {
        l->x[i] = (float)(5 + next());
        l->dy[i] = (float)next();
    }
    l->at[ranks] = LAYER_SAMPLES;
}

TEST(layers_of_a_group_learn_as_one) {
    struct lesson one, three;
    prepare_lesson(&one, 1);
    learn(NULL, &one);
    assert_int_equal(one.status[0], BATCHNORM_OK);
    prepare_lesson(&three, 3);
    three.at[1] = three.at[2] = 4; /* the second has no samples */
    run_ranks(3, learn, &three);
    for (int i = 0; i < 3; i++) {
        if (three.status[i]) fail_msg("rank %d: %s", i, three.message[i]);
        assert_memory_equal(three.numbers[i], one.numbers[0], sizeof one.numbers[0]);
        assert_int_equal(three.batches[i], LAYER_STEPS);
    }
    assert_memory_equal(three.y, one.y, sizeof one.y);
    assert_memory_equal(three.dx, one.dx, sizeof one.dx);
}

TEST(a_layer_that_fails_fails_in_all_ranks) {
    struct lesson three;
    prepare_lesson(&three, 3);
    three.at[1] = 4;
    three.at[2] = 8;
    three.is_wrong = true;
    run_ranks(3, learn, &three);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(three.status[i], BATCHNORM_RANK_FAILED);
        assert_string_equal(three.message[i], "rank 2 failed: sizes that must agree do not");
        assert_int_equal(three.batches[i], 0);
    }
    assert_int_equal(three.status[2], BATCHNORM_BAD_SHAPE);
    assert_non_null(strstr(three.message[2], "running_mean should contain 2 elements not 3"));
}

/* A batch of `samples` samples of one value each, all of them on rank 1; or of so many that count among more. */
struct few {
    size_t samples;
    bool masked;
    batchnorm_status status[2];
    float running[2][2];
    double save[2][2];
};

static void have_few(batchnorm_group *group, void *arg) {
    struct few *few = arg;
    const int rank = group->rank;
    float x[8] = {3, 5, 4, 9}, y[8];
    const uint8_t mask[4] = {few->samples > 0, few->samples > 1, 0, 0};
    const batchnorm_shape shape = {rank == 0 ? 0 : few->masked ? 4 : few->samples, 2, 1, BATCHNORM_F32};
    const batchnorm_strides s = batchnorm_planar(shape);
    const batchnorm_forward_call call = {.size = sizeof call,
                                         .shape = shape,
                                         .x = {x, s},
                                         .y = {y, s},
                                         .running_mean = few->running[rank],
                                         .save_mean = few->save[rank],
                                         .group = group,
                                         .mask = {.data = few->masked ? mask : NULL, .outer = 1}};
    few->status[rank] = batchnorm_forward(&call, &exec);
}

TEST(a_count_of_one_or_none_is_the_count_of_all) {
    static const batchnorm_status wanted[] = {BATCHNORM_OK, BATCHNORM_ONE_VALUE, BATCHNORM_OK};
    for (size_t k = 0; k < 6; k++) {
        const size_t samples = k / 2;
        struct few few = {.samples = samples, .masked = k % 2 != 0};
        run_ranks(2, have_few, &few);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(few.status[i], few.masked && samples == 0 ? BATCHNORM_ONE_VALUE : wanted[samples]);
            assert_true(few.save[i][0] == (samples == 2 ? 3.5 : 0));
            assert_true(few.running[i][1] == (samples == 2 ? 0.7f : 0));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_bits_of_the_whole),
        cmocka_unit_test(any_cut_gives_the_bits_of_the_whole_with_relu_and_residual),
        cmocka_unit_test(any_cut_gives_the_bits_of_the_whole_with_silu),
        cmocka_unit_test(any_cut_gives_the_bits_of_the_whole_from_y),
        cmocka_unit_test(any_cut_gives_the_bits_of_the_whole_from_y_of_leaky_relu),
        cmocka_unit_test(any_cut_gives_the_bits_of_the_whole_with_a_mask),
        cmocka_unit_test(any_cut_gives_the_bits_of_the_whole_with_a_mask_and_relu),
        cmocka_unit_test(chunks_give_the_statistics_of_all),
        cmocka_unit_test(micro_batches_have_the_statistics_and_gradients_of_all),
        cmocka_unit_test(a_wrong_exec_of_one_rank_is_told_to_all),
        cmocka_unit_test(ranks_that_say_that_they_are_others_are_refused),
        cmocka_unit_test(what_is_wrong_is_said_in_a_group_too),
        cmocka_unit_test(ranks_that_do_not_agree_are_told_who_and_what),
        cmocka_unit_test(a_failure_of_one_rank_is_one_of_all),
        cmocka_unit_test(messages_tell_whose_call_it_was_and_what_the_transport_says),
        cmocka_unit_test(layers_of_a_group_learn_as_one),
        cmocka_unit_test(a_layer_that_fails_fails_in_all_ranks),
        cmocka_unit_test(a_count_of_one_or_none_is_the_count_of_all),
    };
    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
