/* SPDX-License-Identifier: MIT */
/* The same bits from every instruction set: each runnable table's kernels run on fixed inputs, are compared bit for bit with a
 * plain scalar model written here, and hashed. The hashes stand below, so that machines that never meet are compared, too.
 * Needs no test library: it also runs under an emulator. Prints a line per table and type and ends with 1 on a difference. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/batchnorm.h"
#include "kernel/kernel.h"

enum { LENGTHS = 68, ROWS = 3, PITCH = 80, SPACE = ROWS * PITCH + 96 };

/* FNV-1a over what each table gives, by type. They change only when the arithmetic is changed on purpose. */
static const uint64_t golden[BNK_DTYPES] = {0x49fa5f123076b159, 0xc3d5a26d54e6b777, 0xb015db59f126ab2e, 0xd55e062c29077fd9};

static const char *const names[BNK_DTYPES] = {"f32", "f64", "bf16", "f16"};

union element {
    float f32[SPACE];
    double f64[SPACE];
    uint16_t half[SPACE];
};

static uint64_t state;

static uint32_t random_bits(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

/* A number of either sign between 2^-20 and 8, or 0. */
static double random_number(void) {
    uint32_t bits = random_bits();
    return ldexp((double)(int32_t)bits, -31 + 3 - (int)(random_bits() % 20)) * (bits % 61 != 0);
}

/* 16-bit floats, written with ldexp and nearbyint instead of bit tricks. mantissa: stored bits; low: exponent of the smallest
 * normal. */
static double half_value(uint16_t h, int mantissa, int low) {
    int exponent = (h & 0x7fff) >> mantissa, fraction = h & ((1 << mantissa) - 1);
    double v = exponent ? ldexp(fraction + (1 << mantissa), exponent - 1 + low - mantissa) : ldexp(fraction, low - mantissa);
    return h & 0x8000 ? -v : v;
}

static uint16_t half_bits(double v, int mantissa, int low, int top) {
    uint16_t sign = signbit(v) ? 0x8000 : 0;
    double size = fabs(v);
    int exponent = size > 0 ? ilogb(size) : low;
    if (exponent < low) exponent = low;
    double steps = nearbyint(ldexp(size, mantissa - exponent));
    if (steps >= ldexp(2, mantissa)) {
        steps /= 2;
        exponent++;
    }
    int infinity = ((top - low + 2) << mantissa);
    if (exponent > top) return (uint16_t)(sign | infinity);
    if (steps < ldexp(1, mantissa)) return (uint16_t)(sign | (int)steps);
    return (uint16_t)(sign | (((exponent - low) << mantissa) + (int)steps));
}

static double get(const union element *a, int dtype, size_t i) {
    switch (dtype) {
    case BATCHNORM_F32:
        return (double)a->f32[i];
    case BATCHNORM_F64:
        return a->f64[i];
    case BATCHNORM_BF16:
        return half_value(a->half[i], 7, -126);
    default:
        return half_value(a->half[i], 10, -14);
    }
}

static void put(union element *a, int dtype, size_t i, double v) {
    switch (dtype) {
    case BATCHNORM_F32:
        a->f32[i] = (float)v;
        break;
    case BATCHNORM_F64:
        a->f64[i] = v;
        break;
    case BATCHNORM_BF16:
        a->half[i] = half_bits(v, 7, -126, 127);
        break;
    default:
        a->half[i] = half_bits(v, 10, -14, 15);
        break;
    }
}

static uint64_t bits_of(const union element *a, int dtype, size_t i) {
    uint32_t f;
    uint64_t d;
    if (dtype >= BATCHNORM_BF16) return a->half[i];
    memcpy(&f, &a->f32[i], sizeof f);
    memcpy(&d, &a->f64[i], sizeof d);
    return dtype == BATCHNORM_F64 ? d : f;
}

/* Everything one case works on. */
struct problem {
    int dtype;
    size_t length;
    union element x, dy, out, expected;
    double shift[PITCH], sums[2 * PITCH], expected_sums[2 * PITCH];
    float numbers32[BNK_BLEND_NUMBERS * PITCH];
    double numbers64[BNK_BLEND_NUMBERS * PITCH];
};

static void fill(struct problem *p, int dtype, size_t length) {
    memset(p, 0, sizeof *p);
    p->dtype = dtype;
    p->length = length;
    for (size_t i = 0; i < SPACE; i++) {
        put(&p->x, dtype, i, random_number());
        put(&p->dy, dtype, i, random_number());
        put(&p->out, dtype, i, 77);
        put(&p->expected, dtype, i, 77);
    }
    for (size_t i = 0; i < PITCH; i++) p->shift[i] = i < length ? random_number() : 0;
    for (size_t i = 0; i < BNK_BLEND_NUMBERS * PITCH; i++) {
        p->numbers64[i] = random_number();
        p->numbers32[i] = (float)p->numbers64[i];
    }
}

static double number(const struct problem *p, int which, size_t channel) {
    size_t i = (size_t)which * PITCH + channel;
    return p->dtype == BATCHNORM_F64 ? p->numbers64[i] : (double)p->numbers32[i];
}

static struct bnk_numbers numbers(const struct problem *p) {
    return (struct bnk_numbers){p->dtype == BATCHNORM_F64 ? (const void *)p->numbers64 : (const void *)p->numbers32, PITCH};
}

/* One operation, rounded to the type that outputs are computed in. A double operation on floats, rounded to float, is the float
 * operation. */
static double round_to(const struct problem *p, double v) { return p->dtype == BATCHNORM_F64 ? v : (double)(float)v; }

static double model_affine(const struct problem *p, double x, size_t c) {
    double d = round_to(p, round_to(p, x - number(p, BNK_M1, c)) - number(p, BNK_M2, c));
    return round_to(p, round_to(p, d * number(p, BNK_K, c)) + number(p, BNK_B, c));
}

static double model_blend(const struct problem *p, double dy, double x, size_t c) {
    double d = round_to(p, round_to(p, x - number(p, BNK_M1, c)) - number(p, BNK_M2, c));
    double both = round_to(p, round_to(p, number(p, BNK_P, c) * dy) + round_to(p, number(p, BNK_Q, c) * d));
    return round_to(p, both + number(p, BNK_S, c));
}

/* What is checked. `at` is where struct bnk_verbs has the kernel. The hashes are over all of them in this order. */
enum verb { MOMENTS, AFFINE, DOTS, BLEND };
enum layout { PLANE, ROWS_OF_CHANNELS };
#define KERNEL(name) #name, offsetof(struct bnk_verbs, name)
static const struct kernel {
    enum verb verb;
    enum layout layout;
    const char *name;
    size_t at;
} kernels[] = {
    {MOMENTS, PLANE, KERNEL(moments_plane)}, {MOMENTS, ROWS_OF_CHANNELS, KERNEL(moments_rows)},
    {AFFINE, PLANE, KERNEL(affine_plane)},   {AFFINE, ROWS_OF_CHANNELS, KERNEL(affine_rows)},
    {DOTS, PLANE, KERNEL(dots_plane)},       {DOTS, ROWS_OF_CHANNELS, KERNEL(dots_rows)},
    {BLEND, PLANE, KERNEL(blend_plane)},     {BLEND, ROWS_OF_CHANNELS, KERNEL(blend_rows)},
};

static void model(struct problem *p, const struct kernel *k) {
    enum verb verb = k->verb;
    bool rows = k->layout == ROWS_OF_CHANNELS;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < p->length; i++) {
            size_t at = r * PITCH + i, channel = rows ? i : 0, lane = rows ? i : i % BNK_LANES;
            double x = get(&p->x, p->dtype, at), dy = get(&p->dy, p->dtype, at), d = x - p->shift[channel];
            double *sum = p->expected_sums + lane, *dot = sum + (rows ? PITCH : BNK_LANES);
            if (verb == MOMENTS) *sum += d, *dot += d * d;
            if (verb == DOTS) *sum += dy, *dot += dy * d;
            if (verb == AFFINE) put(&p->expected, p->dtype, at, model_affine(p, x, channel));
            if (verb == BLEND) put(&p->expected, p->dtype, at, model_blend(p, dy, x, channel));
        }
}

static void run(struct problem *p, const struct bnk_verbs *verbs, const struct kernel *k) {
    struct bnk_call call = {.rows = ROWS, .channels = 1, .length = p->length, .k = numbers(p)};
    call.x = (struct bnk_array){.at = (char *)&p->x, .row = PITCH};
    call.dy = (struct bnk_array){.at = (char *)&p->dy, .row = PITCH};
    call.out = (struct bnk_array){.at = (char *)&p->out, .row = PITCH};
    call.shift = p->shift;
    call.sums = call.sum = p->sums;
    call.dot = p->sums + PITCH;
    bnk_verb *kernel;
    memcpy(&kernel, (const char *)verbs + k->at, sizeof kernel);
    kernel(&call);
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    for (int i = 0; i < 8; i++) hash = (hash ^ (value >> (8 * i) & 0xff)) * 1099511628211u;
    return hash;
}

/* The sums of padding lanes are nobody's: in rows only the first `length` count. */
static bool compare_sums(const struct problem *p, bool rows, uint64_t *hash) {
    bool same = true;
    for (size_t i = 0; i < (rows ? p->length : BNK_LANES); i++)
        for (int part = 0; part < 2; part++) {
            size_t at = i + (size_t)part * (rows ? PITCH : BNK_LANES);
            uint64_t bits;
            memcpy(&bits, &p->sums[at], sizeof bits);
            *hash = mix(*hash, bits);
            same = same && memcmp(&p->sums[at], &p->expected_sums[at], sizeof bits) == 0;
        }
    return same;
}

static bool compare_elements(const struct problem *p, uint64_t *hash) {
    bool same = true;
    for (size_t i = 0; i < SPACE; i++) {
        uint64_t bits = bits_of(&p->out, p->dtype, i);
        *hash = mix(*hash, bits);
        same = same && bits == bits_of(&p->expected, p->dtype, i);
    }
    return same;
}

static bool check_dtype(const struct bnk_table *table, int dtype) {
    static struct problem p;
    uint64_t hash = 14695981039346656037u;
    bool good = true;
    state = 1;
    for (size_t length = 0; length < LENGTHS; length++)
        for (const struct kernel *k = kernels; k < kernels + sizeof kernels / sizeof *kernels; k++) {
            fill(&p, dtype, length);
            model(&p, k);
            run(&p, table->verbs[dtype], k);
            bool sums = k->verb == MOMENTS || k->verb == DOTS;
            bool same = !sums || compare_sums(&p, k->layout == ROWS_OF_CHANNELS, &hash);
            if (!compare_elements(&p, &hash)) same = false;
            if (!same) printf("%s: %s %s length %zu differs\n", table->name, k->name, names[dtype], length);
            good = good && same;
        }
    printf("%-8s %-5s %016llx%s\n", table->name, names[dtype], (unsigned long long)hash,
           hash == golden[dtype] ? "" : " differs from the committed hash");
    return good && hash == golden[dtype];
}

int main(void) {
    bool good = true;
    const struct bnk_table *table;
    for (size_t i = 0; (table = bnk_runnable(i)) != NULL; i++)
        for (int dtype = 0; dtype < BNK_DTYPES; dtype++) good &= check_dtype(table, dtype);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
