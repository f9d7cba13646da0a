/* SPDX-License-Identifier: MIT */
/* The same bits from every instruction set: the kernels of each runnable table run on fixed inputs, are compared bit for bit
 * with the scalar model of golden_model.c, and hashed. The hashes stand below, so that machines that never meet are compared,
 * too. Needs no test library: it also runs under an emulator. Its argument is a type; without one it does all. Prints a line
 * per table and type and ends with 1 on a difference. Longer than 300 lines, because the lists of what is checked stand
 * together with what checks it. */
#include "tests/kernel/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLES = 8, PATTERN = 0x45, MARGIN = 64 };

/* FNV-1a over what each table gives, by type. They change when the arithmetic is changed on purpose, or a case is. The first
 * are those of everything that is no curve. */
static const struct golden {
    const char *word;
    int curve; /* or */
    bool from_y;
    uint64_t hash[BNK_DTYPES];
} golden[] = {
    {"", 0, false, {0x66ebe708606153be, 0x08ae2a651db3a677, 0x00fe73c1a356aeac, 0x32149984497782cb}},
    {" hardswish",
     BATCHNORM_HARDSWISH,
     false,
     {0x0f4a54003aefb445, 0x12f1009c9e2a86e5, 0x96d1b681489767d9, 0x2a97f4c61cf30210}},
    {" sigmoid", BATCHNORM_SIGMOID, false, {0xe9ead5ff0d8514d2, 0x861edbf128a5bc56, 0x4ac0079c690b44d9, 0x0620efe78a9802aa}},
    {" silu", BATCHNORM_SILU, false, {0x9f9c56339c63c08c, 0xf9b37f8025d20fd3, 0x5a4568e1c8620f80, 0xef2f4e871212ebca}},
    {" from y", 0, true, {0x8ec8534545fcf613, 0xe7b8003cd1ca3b09, 0xd8380918c296b2cd, 0x96ff29b817cd746f}},
};

/* Every activation that y does not tell is a curve, and has a row; two more are everything else, and that from y. */
#define IS_CURVE(kind, word, parameter, by_y) +!(by_y)
_Static_assert(sizeof golden / sizeof *golden == 2 BATCHNORM_ACTIVATION_LIST(IS_CURVE), "a row for every curve");

/* What is checked: a verb in a layout, or in planes a pair. */
struct kernel {
    enum bnk_layout layout;
    enum bnk_verb write, reduce;
};

static const char *const layout_names[BNK_LAYOUTS] = {"planes", "rows"};
static const char *const verb_names[BNK_VERBS] = {"moments", "affine", "dots", "blend"};

/* The verb that each verb makes a pair with. */
static const enum bnk_verb other[BNK_VERBS] = {NONE, BNK_MOMENTS, NONE, BNK_DOTS};

/* Without y, v is computed again. With y and z, z is an addend. */
enum { M = 1 << BNK_MOMENTS, A = 1 << BNK_AFFINE, D = 1 << BNK_DOTS, B = 1 << BNK_BLEND };
static const struct variant variants[] = {
    {"plain", M | A | D | B, .active = false},
    {"active", A | D | B, .active = true},
    {"active, z", A | D | B, .active = true, .z = true},
    {"active, y", D | B, .active = true, .y = true},
    {"active, y, no x", D | B, .active = true, .y = true, .no_x = true, .without_x = true},
    {"active, without x", B, .active = true, .without_x = true},
    {"active, y, without x", B, .active = true, .y = true, .without_x = true},
    {"active, dz", B, .active = true, .dz = true},
    {"active, z, dz", B, .active = true, .z = true, .dz = true},
    {"active, y, dz", B, .active = true, .y = true, .dz = true},
    {"active, y, no x, dz", B, .active = true, .y = true, .no_x = true, .without_x = true, .dz = true},
    {"active, z, dz alone", B, .active = true, .z = true, .dz = true, .no_out = true},
    {"active, y, no x, dz alone", B, .active = true, .y = true, .no_x = true, .without_x = true, .dz = true, .no_out = true},
    {"active, y, addend", B, .active = true, .y = true, .z = true},
    {"active, y, no x, addend", B, .active = true, .y = true, .z = true, .no_x = true, .without_x = true},
    {"active, y, addend, dz", B, .active = true, .y = true, .z = true, .dz = true},
    {"exact", M | D, .exact = true},
    {"exact, active", D, .active = true, .exact = true},
    {"exact, active, y, no x", D, .active = true, .y = true, .no_x = true, .without_x = true, .exact = true},
    {"from y", D | B, .active = true, .from_y = true},
    {"from y, without x", B, .active = true, .from_y = true, .without_x = true},
    {"exact, from y", D, .active = true, .from_y = true, .exact = true},
};

/* The settings of every activation: ReLU, one with a ceiling, leaky ones, identity. */
static const struct bnk_act acts[] = {{0, INFINITY, true, 0},
                                      {0, 1.5, true, 0},
                                      {0.01, INFINITY, false, 0},
                                      {-1.25, INFINITY, false, 0},
                                      {1, INFINITY, false, 0}};

/* Distances. In planes, channels that follow each other without a gap have steps that go from one into the next. */
static const struct geometry {
    const char *name;
    bool joined;
    size_t gap, unit, first, dz;
    ptrdiff_t ahead;
} geometries[] = {{"joined", true, 0, 1, 0, 0, 640},
                  {"joined, not aligned", true, 3, 1, 7, 7, 0},
                  {"aligned", false, 0, 64, 0, 0, 0},
                  {"not aligned", false, 5, 1, 3, 3, 4096},
                  {"outputs not aligned alike", false, 0, 64, 1, 2, 0}};

static uint64_t state;
static union elements finite[BNK_INPUTS], any[BNK_INPUTS]; /* the same, but some are infinite or NaN */
static float numbers32[BNK_GATED_COEFFICIENTS][PITCH];
static double numbers64[BNK_GATED_COEFFICIENTS][PITCH], shifts[PITCH];
static struct side write, reduce;

static uint32_t random_bits(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

/* A number of either sign between 2^-20 and 8, or 0. */
static double random_number(void) {
    uint32_t bits = random_bits();
    return ldexp((double)(int32_t)bits, -31 + 3 - (int)(random_bits() % 20)) * (bits % 61 != 0);
}

static void fill(int dtype) {
    const double odd[] = {(double)INFINITY, -(double)INFINITY, (double)NAN, -0.0, 1.5};
    state = 1;
    for (int a = 0; a < BNK_INPUTS; a++)
        for (size_t i = 0; i < SPACE; i++) {
            put(&finite[a], dtype, i, random_number());
            put(&any[a], dtype, i, random_bits() % 16 == 0 ? odd[random_bits() % 5] : get(&finite[a], dtype, i));
        }
    for (size_t i = 0; i < PITCH; i++) shifts[i] = random_number();
    for (int k = 0; k < BNK_GATED_COEFFICIENTS; k++)
        for (size_t i = 0; i < PITCH; i++) {
            numbers64[k][i] = random_number();
            numbers32[k][i] = (float)numbers64[k][i];
        }
}

/* One case. What a run over all lengths need not combine with everything else goes around with them. */
struct item {
    struct kernel kernel;
    const struct variant *variant;
    const struct geometry *geometry;
    struct bnk_act act;
    size_t length;
    bool stream;
};

static size_t whole(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

static size_t used(const struct side *s) { return s->rows * s->row + s->first + s->first_dz + MARGIN; }

static void begin(struct side *s, int dtype, const struct item *t, enum bnk_verb verb) {
    static const size_t some_rows[] = {1, 9, 2, 18, 6};
    const struct geometry *g = t->geometry;
    const struct variant *v = t->variant;
    const bool rows = t->kernel.layout == BNK_ROWS, writes = verb == BNK_AFFINE || verb == BNK_BLEND,
               has_dy = verb == BNK_DOTS || verb == BNK_BLEND;
    const union elements *from = writes && t->length % 4 == 3 ? any : finite;
    s->dtype = dtype, s->verb = verb, s->rows_layout = rows, s->variant = v, s->act = t->act;
    s->rows = some_rows[(t->length / 3 + (size_t)(v - variants)) % 5];
    if (s->rows > BNK_RUN && t->kernel.reduce == NONE) s->rows = 4; /* writes have no runs */
    s->channels = rows || t->length % 3 == 0 ? 1 : CHANNELS;
    s->length = t->length;
    s->channel = g->joined ? t->length : whole(t->length + g->gap, g->unit);
    s->row = rows ? whole(t->length + g->gap, g->unit) : s->channels * s->channel + g->gap;
    s->first = g->first, s->first_dz = g->dz;
    s->in[BNK_X] = v->no_x ? NULL : from + BNK_X;
    s->in[BNK_DY] = has_dy ? from + BNK_DY : NULL;
    s->in[BNK_Z] = v->z ? from + BNK_Z : NULL;
    s->in[BNK_Y] = v->y ? from + BNK_Y : NULL;
    s->has_out = writes && !v->no_out, s->has_dz = writes && v->dz;
    s->numbers32 = (const float(*)[PITCH])numbers32, s->numbers64 = (const double(*)[PITCH])numbers64, s->shift = shifts;
    for (size_t i = 0; i < 4 * PITCH; i++) s->expected_sums[i] = (double)i / 4;
    memset(&s->expected_out, PATTERN, used(s) * sizeof(double));
    memset(&s->expected_dz, PATTERN, used(s) * sizeof(double));
    memcpy(s->sums, s->expected_sums, sizeof s->sums);
    model(s);
}

static struct bnk_array array(const struct side *s, const union elements *a, size_t first, ptrdiff_t ahead) {
    const size_t bytes = bnk_table()->verbs[s->dtype]->bytes;
    if (!a) return (struct bnk_array){0};
    return (struct bnk_array){(char *)a + first * bytes, (ptrdiff_t)s->row, (ptrdiff_t)s->channel, ahead};
}

static struct bnk_call call_of(struct side *s, const struct item *t) {
    const ptrdiff_t ahead = t->geometry->ahead;
    for (size_t i = 0; i < 4 * PITCH; i++) s->sums[i] = (double)i / 4;
    memset(&s->out, PATTERN, used(s) * sizeof(double));
    memset(&s->dz, PATTERN, used(s) * sizeof(double));
    return (struct bnk_call){
        .rows = s->rows,
        .channels = s->channels,
        .length = s->length,
        .array[BNK_X] = array(s, s->in[BNK_X], s->first, ahead),
        .array[BNK_DY] = array(s, s->in[BNK_DY], s->first, ahead),
        .array[BNK_Z] = array(s, s->in[BNK_Z], s->first, ahead),
        .array[BNK_Y] = array(s, s->in[BNK_Y], s->first, ahead),
        .array[BNK_OUT] = array(s, s->has_out ? &s->out : NULL, s->first, 0),
        .array[BNK_DZ] = array(s, s->has_dz ? &s->dz : NULL, s->first_dz, 0),
        .shift = s->shift,
        .sums = {s->sums, s->sums + second_sum(s), s->sums + 2 * second_sum(s), s->sums + 3 * second_sum(s)},
        .exact = t->variant->exact,
        .coefficients = {s->dtype == BATCHNORM_F64 ? (const void *)s->numbers64 : (const void *)s->numbers32, PITCH},
        .active = t->variant->active,
        .from_y = t->variant->from_y,
        .act = s->act,
        .without_x = t->variant->without_x,
        .stream = t->stream};
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    for (int i = 0; i < 8; i++) hash = (hash ^ (value >> (8 * i) & 0xff)) * 1099511628211u;
    return hash;
}

static bool same_elements(const struct side *s, const union elements *a, const union elements *expected, uint64_t *hash) {
    bool same = true;
    for (size_t i = 0; i < used(s); i++) {
        uint64_t bits = bits_of(a, s->dtype, i);
        *hash = mix(*hash, bits);
        same = same && bits == bits_of(expected, s->dtype, i);
    }
    return same;
}

/* The sums of padding lanes are nobody's: in rows only the first `length` count. */
static bool same_sums(const struct side *s, uint64_t *hash) {
    bool same = true;
    for (size_t i = 0; i < (s->rows_layout ? s->length : s->channels * lanes_of(s)); i++)
        for (size_t at = i; at < 4 * PITCH && at <= i + (s->rows_layout ? 3 * PITCH : 0); at += PITCH) {
            uint64_t bits;
            memcpy(&bits, &s->sums[at], sizeof bits);
            *hash = mix(*hash, bits);
            same = same && memcmp(&s->sums[at], &s->expected_sums[at], sizeof bits) == 0;
        }
    return same;
}

static void run_alone(const struct bnk_verbs *verbs, const struct bnk_call *call, enum bnk_verb verb, enum bnk_layout layout) {
    if (call->act.curve)
        verbs->curved(verbs, call, verb, layout);
    else
        verbs->verb[layout][verb](call);
}

static bool run(const struct bnk_verbs *verbs, const struct item *t, uint64_t *hash) {
    const struct kernel k = t->kernel;
    const struct bnk_call writes = call_of(&write, t), reduces = call_of(&reduce, t);
    bool same = true;
    if (k.reduce == NONE)
        run_alone(verbs, &writes, k.write, k.layout);
    else if (k.write == NONE)
        run_alone(verbs, &reduces, k.reduce, k.layout);
    else
        verbs->pair[k.write](&writes, &reduces);
    if (k.reduce != NONE) same = same_sums(&reduce, hash);
    if (write.has_out) same = same_elements(&write, &write.out, &write.expected_out, hash) && same;
    if (write.has_dz) same = same_elements(&write, &write.dz, &write.expected_dz, hash) && same;
    return same;
}

static const char *activation_name(const struct item *t) {
    static const char *const words[] = {"relu", "clipped", "leaky", "leaky down", "identity"};
    for (size_t i = 0; i < 5; i++)
        if (t->variant->active && memcmp(&acts[i], &t->act, sizeof t->act) == 0) return words[i];
    return t->act.curve ? "curve" : "-";
}

/* One case for every table. */
static bool check_item(int dtype, const struct item *t, uint64_t *hashes) {
    const struct bnk_table *table;
    bool good = true;
    begin(&write, dtype, t, t->kernel.write);
    begin(&reduce, dtype, t, t->kernel.reduce);
    for (size_t i = 0; (table = bnk_runnable(i)) != NULL; i++) {
        if (run(table->verbs[dtype], t, &hashes[i])) continue;
        printf("%s %s: %s %s of %s (%s, %s, %s%s) length %zu differs\n", table->name, dtype_names[dtype],
               t->kernel.write == NONE ? "" : verb_names[t->kernel.write],
               t->kernel.reduce == NONE ? "" : verb_names[t->kernel.reduce], layout_names[t->kernel.layout], t->variant->name,
               activation_name(t), t->geometry->name, t->stream ? ", stream" : "", t->length);
        good = false;
    }
    return good;
}

/* A curve is never gated by y. Neither it nor what is from y makes pairs. */
static bool has_case(const struct variant *v, enum bnk_verb verb, const struct golden *g) {
    return (v->verbs & 1u << verb) && v->from_y == g->from_y && !(g->curve && (!v->active || v->y));
}

/* From y, slopes are above 0. */
static struct bnk_act act_of(const struct golden *g, size_t i) {
    static const struct bnk_act leaky[] = {{0.01, INFINITY, false, 0}, {3, INFINITY, false, 0}};
    return g->curve ? (struct bnk_act){.curve = g->curve} : g->from_y ? leaky[i % 2] : acts[i % 5];
}

static bool check_kernel(int dtype, const struct golden *g, struct kernel kernel, size_t length, uint64_t *hashes) {
    const enum bnk_verb verb = kernel.write == NONE ? kernel.reduce : kernel.write;
    bool good = true;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        for (int stream = 0; stream <= (kernel.write != NONE); stream++) {
            struct item t = {kernel, &variants[v], &geometries[(length / 5 + v) % 5], act_of(g, length + v), length, stream};
            if (has_case(&variants[v], verb, g)) good &= check_item(dtype, &t, hashes);
        }
    return good;
}

static bool check_length(int dtype, const struct golden *g, size_t length, uint64_t *hashes) {
    bool good = true;
    for (enum bnk_verb verb = 0; verb < BNK_VERBS; verb++)
        for (enum bnk_layout layout = 0; layout < BNK_LAYOUTS; layout++) {
            const bool writes = verb == BNK_AFFINE || verb == BNK_BLEND;
            const struct kernel alone = {layout, writes ? verb : NONE, writes ? NONE : verb};
            if (writes && length > BNK_RUN * BNK_LANES) continue;
            good &= check_kernel(dtype, g, alone, length, hashes);
        }
    for (enum bnk_verb verb = 0; verb < BNK_VERBS; verb++)
        if (other[verb] != NONE && !g->curve && !g->from_y)
            good &= check_kernel(dtype, g, (struct kernel){BNK_PLANE, verb, other[verb]}, length, hashes);
    return good;
}

/* Only of all lengths the hash is known. */
static bool check(int dtype, const struct golden *g, size_t every) {
    static const size_t long_ones[] = {80, 96, 100, 131, 150, 281};
    const struct bnk_table *table;
    uint64_t hashes[TABLES];
    bool good = true;
    for (size_t i = 0; i < TABLES; i++) hashes[i] = 14695981039346656037u;
    for (size_t i = every / 2; i < 68 + 6; i += every) good &= check_length(dtype, g, i < 68 ? i : long_ones[i - 68], hashes);
    for (size_t i = 0; (table = bnk_runnable(i)) != NULL; i++) {
        if (!g->curve && !g->from_y) good &= check_copies(table, dtype, &any[BNK_X]);
        if (every > 1) continue;
        printf("%-8s %-5s %016llx%s%s\n", table->name, dtype_names[dtype], (unsigned long long)hashes[i], g->word,
               hashes[i] == g->hash[dtype] ? "" : " differs from the committed hash");
        good &= hashes[i] == g->hash[dtype];
    }
    return good;
}

int main(int argc, char **argv) {
    const char *said = getenv("BATCHNORM_TEST_EVERY"); /* for valgrind, under which all lengths take minutes */
    const size_t every = said ? (size_t)strtoul(said, NULL, 10) : 1;
    bool good = true, any_type = false;
    for (int dtype = 0; dtype < BNK_DTYPES; dtype++) {
        if (!is_asked_for(argc, argv, dtype)) continue;
        any_type = true;
        fill(dtype);
        for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) good &= check(dtype, &golden[i], every);
    }
    return good && any_type ? EXIT_SUCCESS : EXIT_FAILURE;
}
