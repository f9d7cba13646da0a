/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const batchnorm_dtype all_dtypes[4] = {BATCHNORM_F32, BATCHNORM_F64, BATCHNORM_BF16, BATCHNORM_F16};

uint64_t random_bits(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double random_uniform(uint64_t *state) { return (double)(random_bits(state) >> 11) * 0x1p-53; }

double random_normal(uint64_t *state) { /* a sum of 12 uniforms: the same bits with every libm, and never beyond 6 */
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += random_uniform(state);
    return sum;
}

/* The layout of the types: bits of the significand with its hidden one, the exponent of the smallest normal number, and that of
 * the largest number. */
static void type_format(batchnorm_dtype dtype, int *digits, int *min_exponent, int *max_exponent) {
    static const int formats[][3] = {[BATCHNORM_F32] = {24, -126, 127},
                                     [BATCHNORM_F64] = {53, -1022, 1023},
                                     [BATCHNORM_BF16] = {8, -126, 127},
                                     [BATCHNORM_F16] = {11, -14, 15}};
    *digits = formats[dtype][0];
    *min_exponent = formats[dtype][1];
    *max_exponent = formats[dtype][2];
}

long double ulp_of(batchnorm_dtype dtype, long double value) {
    int digits, min_exponent, max_exponent, exponent;
    type_format(dtype, &digits, &min_exponent, &max_exponent);
    frexp((double)value, &exponent);
    if (value == 0 || exponent - 1 < min_exponent) exponent = min_exponent + 1;
    return ldexp(1, exponent - digits);
}

double unit_roundoff(batchnorm_dtype dtype) { return (double)ulp_of(dtype, 1) / 2; }

/* Rounds to the nearest, ties to even: a carry out of the significand is a correct exponent, and out of that an infinity. */
static uint16_t half_bits(batchnorm_dtype dtype, double value) {
    int digits, min_exponent, max_exponent;
    type_format(dtype, &digits, &min_exponent, &max_exponent);
    uint64_t bits, sign = signbit(value) ? 0x8000 : 0, infinity = (uint64_t)(2 * max_exponent + 1) << (digits - 1);
    if (isnan(value)) return (uint16_t)(sign | infinity | 1u << (digits - 2));
    double size = fabs(value);
    memcpy(&bits, &size, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023, drop = 53 - digits;
    if (exponent < min_exponent) return (uint16_t)(sign | (uint64_t)rint(ldexp(size, digits - 1 - min_exponent)));
    uint64_t significand = (bits & 0xfffffffffffffu) | 1ull << 52;
    significand = (significand + (1ull << (drop - 1)) - 1 + (significand >> drop & 1)) >> drop;
    uint64_t rounded = ((uint64_t)(exponent + max_exponent - 1) << (digits - 1)) + significand;
    return (uint16_t)(sign | (exponent > max_exponent || rounded > infinity ? infinity : rounded));
}

static double half_value(batchnorm_dtype dtype, uint16_t bits) {
    int digits, min_exponent, max_exponent;
    type_format(dtype, &digits, &min_exponent, &max_exponent);
    int fraction_bits = digits - 1, exponent = (bits & 0x7fff) >> fraction_bits, fraction = bits & ((1 << fraction_bits) - 1);
    double value = exponent == 0 ? ldexp(fraction, min_exponent - fraction_bits)
                   : exponent == 2 * max_exponent + 1
                       ? (fraction ? NAN : INFINITY)
                       : ldexp((1 << fraction_bits) + fraction, exponent - max_exponent - fraction_bits);
    return bits & 0x8000 ? -value : value;
}

double element_round(batchnorm_dtype dtype, double value) {
    if (dtype == BATCHNORM_F64) return value;
    return dtype == BATCHNORM_F32 ? (float)value : half_value(dtype, half_bits(dtype, value));
}

double element_get(batchnorm_dtype dtype, const void *data, ptrdiff_t index) {
    if (dtype == BATCHNORM_F32) return ((const float *)data)[index];
    if (dtype == BATCHNORM_F64) return ((const double *)data)[index];
    return half_value(dtype, ((const uint16_t *)data)[index]);
}

void element_set(batchnorm_dtype dtype, void *data, ptrdiff_t index, double value) {
    if (dtype == BATCHNORM_F32) {
        ((float *)data)[index] = (float)value;
    } else if (dtype == BATCHNORM_F64) {
        ((double *)data)[index] = value;
    } else {
        ((uint16_t *)data)[index] = half_bits(dtype, value);
    }
}

const char *dtype_name(batchnorm_dtype dtype) {
    static const char *const names[] = {"f32", "f64", "bf16", "f16", "i64"};
    return names[dtype];
}

batchnorm_dtype parameter_dtype(batchnorm_dtype dtype) { return dtype == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32; }

/* The oracle. Sums are compensated (Neumaier), so that they are good to a few 2^-64 of the sum of magnitudes. */
long double oracle_dot(size_t m, const long double *v, const long double *w) {
    long double sum = 0, lost = 0;
    for (size_t i = 0; i < m; i++) {
        long double term = w ? v[i] * w[i] : v[i], next = sum + term;
        lost += fabsl(sum) >= fabsl(term) ? (sum - next) + term : (term - next) + sum;
        sum = next;
    }
    return isfinite(lost) ? sum + lost : sum;
}

long double oracle_sum(size_t m, const long double *v) { return oracle_dot(m, v, NULL); }

struct oracle oracle_given(size_t m, const long double *x, long double mean, long double rstd) {
    return (struct oracle){.m = m, .x = x, .mean = mean, .rstd = rstd};
}

struct oracle oracle_batch(size_t m, const long double *x, double eps) {
    long double n = (long double)m, mean = oracle_sum(m, x) / n, *d = calloc(m + 1, sizeof *d);
    for (size_t i = 0; i < m; i++) d[i] = x[i] - mean;
    long double rest = oracle_sum(m, d) / n; /* what rounding left in the mean */
    for (size_t i = 0; i < m; i++) d[i] -= rest;
    long double var = oracle_dot(m, d, d) / n;
    free(d);
    return (struct oracle){.m = m, .x = x, .mean = mean + rest, .var = var, .rstd = 1 / sqrtl(var + (long double)eps)};
}

long double oracle_xhat(const struct oracle *o, size_t i) { return (o->x[i] - o->mean) * o->rstd; }

long double oracle_sum_xhat(const struct oracle *o, const long double *v) {
    long double *d = malloc(o->m * sizeof *d + 1);
    for (size_t i = 0; i < o->m; i++) d[i] = o->x[i] - o->mean;
    long double dot = oracle_dot(o->m, v, d) * o->rstd;
    free(d);
    return dot;
}

long double oracle_dx(const struct oracle *o, const long double *dy, size_t i, long double sum, long double dot,
                      long double weight, bool frozen) {
    if (frozen) return weight * o->rstd * dy[i];
    long double n = (long double)o->m;
    return weight * o->rstd * (dy[i] - sum / n - oracle_xhat(o, i) * dot / n);
}

long double oracle_dx_scale(const struct oracle *o, const long double *dy, size_t i, long double sum, long double dot,
                            long double weight, bool frozen) {
    long double n = (long double)o->m,
                rest = frozen ? 0 : fabsl(sum / n) + (fabsl(oracle_xhat(o, i)) + o->blur) * fabsl(dot / n);
    return fabsl(weight * o->rstd) * (fabsl(dy[i]) + rest);
}

struct guarded guarded_alloc(size_t bytes, bool at_end) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (bytes + page - 1) / page * page;
    struct guarded g = {.map_bytes = inside + 2 * page};
    g.map = mmap(NULL, g.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED) abort();
    char *first = (char *)g.map + page;
    if (inside && mprotect(first, inside, PROT_READ | PROT_WRITE)) abort();
    g.data = at_end ? first + inside - bytes : first;
    return g;
}

void guarded_free(struct guarded *memory) {
    if (memory->map) munmap(memory->map, memory->map_bytes);
    *memory = (struct guarded){0};
}

ptrdiff_t first_difference(batchnorm_dtype dtype, const void *a, const void *b, size_t count) {
    size_t bytes = batchnorm_dtype_bytes(dtype);
    if (memcmp(a, b, count * bytes) == 0) return -1;
    for (size_t i = 0; i < count; i++) {
        bool same = memcmp((const char *)a + i * bytes, (const char *)b + i * bytes, bytes) == 0;
        if (!same && !(isnan(element_get(dtype, a, (ptrdiff_t)i)) && isnan(element_get(dtype, b, (ptrdiff_t)i))))
            return (ptrdiff_t)i;
    }
    return -1;
}

void shuffled_for(void *user, size_t items, batchnorm_task *task, void *arg) {
    uint64_t seed = *(const uint64_t *)user;
    size_t *order = calloc(items + 1, sizeof *order);
    for (size_t i = 0; i < items; i++) {
        size_t j = (size_t)(random_bits(&seed) % (i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    for (size_t i = 0; i < items; i++) task(arg, order[i]);
    free(order);
}

void reversed_for(void *user, size_t items, batchnorm_task *task, void *arg) {
    (void)user;
    for (size_t i = items; i-- > 0;) task(arg, i);
}
