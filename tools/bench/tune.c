/* SPDX-License-Identifier: MIT */
/* Numbers are tried one after the other, from the row that is in use. A candidate is timed in turns with the best row so far,
 * in the cases that it changes, which is where the library explains them in another way, and taken where it gains: one pass. */
#include "tune.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "measure.h"
#include "nn/machine.h"
#include "tools/shared/messages.h"
#include "tools/shared/progress.h"

enum { TEXT_BYTES = 2048, EXPLAIN_BYTES = 4096, CANDIDATES = 4, LEAST_ROUNDS = 5, MOST_ROUNDS = 200 };
/* A candidate has to gain so much in the mean of the cases, and may lose so much in none. */
#define GAIN 0.98
#define LOSS 1.05

static const struct {
    const char *name;
    size_t values[CANDIDATES]; /* up to a 0 that is not the first */
} candidates[] = {
    {"item", {16384, 65536}},
    {"items_per_thread", {2, 8}},
    {"worth_threads", {32768, 131072}},
    {"block", {8, 16}},
    {"block_l2", {1, 3, 4}},
    {"run", {1536, 6144}},
    {"run_else", {3584, 14336}},
    {"run_row", {256, 1024}},
    {"channel_llc", {2, 8}},
    {"sweep_run", {8192, 32768}},
    {"wide", {1024, 4096}},
    {"plane_write", {1 << 16, 1 << 18}},
    {"rows_write", {1 << 15, 1 << 17}},
    {"wide_rows", {16, 64}},
    {"llc_most", {16 << 20, 32 << 20, 128 << 20, 1 << 30}},
    {"stream_llc", {3, 12, 1 << 20}},
    {"fetch_l2", {1, 8, 1 << 20}},
    {"near", {8192, 32768}},
    {"ahead_l2", {2, 6}},
    {"fetch_moments", {0, 2, 4}},
    {"fetch_affine", {0, 2, 4}},
    {"fetch_dots", {0, 2, 4}},
    {"fetch_blend", {0, 2, 4}},
};
enum { PARAMETERS = sizeof candidates / sizeof *candidates };

/* What two rows take in a case: medians of a call. */
struct ratio {
    double before, after;
};

struct tune {
    const struct bench_case *cases;
    size_t count;
    void *memory;
    double seconds;
    const volatile sig_atomic_t *stopped;
    struct progress progress;
    char best[TEXT_BYTES];
};

static void use(const char *row) { (void)batchnorm_set_tuning(row); }

/* Writes a row with one number changed. Returns false if it has that number already. */
static bool change(const char *row, const char *name, size_t value, char *changed) {
    char here[TEXT_BYTES];
    snprintf(changed, TEXT_BYTES, "%s %s=%zu", row, name, value);
    use(changed);
    batchnorm_tuning(changed, TEXT_BYTES);
    use(row);
    batchnorm_tuning(here, sizeof here);
    const char *numbers = strchr(changed, ' '), *others = strchr(here, ' ');
    return strcmp(numbers ? numbers : "", others ? others : "") != 0;
}

/* Whether a case goes in another way by another row: what is explained differs after the lines on the row and the caches. */
static bool differs(const struct bench_case *c, const char *row, const char *other) {
    char text[2][EXPLAIN_BYTES];
    const char *rest[2];
    for (int i = 0; i < 2; i++) {
        use(i == 0 ? row : other);
        bench_job_explain(c, text[i], EXPLAIN_BYTES);
        rest[i] = strstr(text[i], "\nthreads: ");
    }
    return rest[0] && rest[1] && strcmp(rest[0], rest[1]) != 0;
}

static double time_calls(struct bench_job *job, const char *row, size_t calls) {
    use(row);
    bench_job_run(job); /* what the other row left in the caches is not charged to this one */
    const double start = nn_seconds();
    for (size_t i = 0; i < calls; i++) bench_job_run(job);
    return (nn_seconds() - start) / (double)calls;
}

/* Times a case by two rows, in turns. */
static batchnorm_status time_both(const struct tune *t, const struct bench_case *c, const char *before, const char *after,
                                  struct ratio *ratio) {
    double samples[2][MOST_ROUNDS];
    struct bench_job job;
    const batchnorm_status status = bench_job_prepare(&job, c, t->memory);
    if (status) return status;
    const double once = time_calls(&job, before, 1), start = nn_seconds();
    const size_t calls = once > 0.0005 ? 1 : (size_t)(0.0005 / once) + 1;
    size_t round = 0;
    for (; round < LEAST_ROUNDS || (round < MOST_ROUNDS && nn_seconds() - start < t->seconds); round++) {
        samples[0][round] = time_calls(&job, before, calls);
        samples[1][round] = time_calls(&job, after, calls);
        if (*t->stopped && round >= LEAST_ROUNDS) break;
    }
    *ratio = (struct ratio){bench_median(samples[0], round), bench_median(samples[1], round)};
    return job.status;
}

static bool failed(const struct bench_case *c, batchnorm_status status) {
    char text[BENCH_CASE_TEXT_BYTES];
    report(EXIT_FAILED, "%s: %s", bench_case_text(c, text), batchnorm_status_string(status));
    return false;
}

/* Tries one number. */
static bool try_value(struct tune *t, const char *name, size_t value) {
    char changed[TEXT_BYTES];
    size_t cases = 0;
    double logs = 0, least = INFINITY, most = 0;
    const bool is_new = change(t->best, name, value, changed);
    progress_about(&t->progress, "%s=%zu", name, value);
    for (size_t i = 0; i < t->count && is_new && !*t->stopped; i++) {
        struct ratio ratio;
        if (!differs(&t->cases[i], t->best, changed)) continue;
        const batchnorm_status status = time_both(t, &t->cases[i], t->best, changed, &ratio);
        if (status) return failed(&t->cases[i], status);
        const double share = ratio.after / ratio.before;
        logs += log(share);
        least = fmin(least, share);
        most = fmax(most, share);
        cases++;
    }
    progress_hide(&t->progress);
    progress_add(&t->progress, 1);
    if (cases == 0 || *t->stopped) return true;
    const double mean = exp(logs / (double)cases);
    const bool is_taken = mean < GAIN && most < LOSS;
    printf("%-17s %8zu  %3zu cases  %.2f of the time (%.2f to %.2f)%s\n", name, value, cases, mean, least, most,
           is_taken ? ", taken" : "");
    fflush(stdout);
    if (is_taken) memcpy(t->best, changed, sizeof changed);
    return true;
}

static bool try_all(struct tune *t) {
    for (size_t p = 0; p < PARAMETERS; p++)
        for (size_t i = 0; i < CANDIDATES && (i == 0 || candidates[p].values[i] != 0); i++)
            if (*t->stopped || !try_value(t, candidates[p].name, candidates[p].values[i])) return *t->stopped;
    return true;
}

/* Prints how far the row that was in use is from the best, in the cases where they differ. */
static bool print_cases(const struct tune *t, const char *before) {
    char text[BENCH_CASE_TEXT_BYTES];
    for (size_t i = 0; i < t->count && !*t->stopped; i++) {
        struct ratio ratio;
        if (!differs(&t->cases[i], before, t->best)) continue;
        const batchnorm_status status = time_both(t, &t->cases[i], before, t->best, &ratio);
        if (status) return failed(&t->cases[i], status);
        printf("%-48s %9.3f ms  %.2f of it with the best row\n", bench_case_text(&t->cases[i], text), 1e3 * ratio.before,
               ratio.after / ratio.before);
        fflush(stdout);
    }
    return true;
}

bool bench_tune(const struct bench_request *request, const struct bench_case *cases, size_t count, void *memory,
                const volatile sig_atomic_t *stopped) {
    struct tune t = {.cases = cases, .count = count, .memory = memory, .seconds = request->seconds, .stopped = stopped};
    char before[TEXT_BYTES];
    double values = 0;
    for (size_t p = 0; p < PARAMETERS; p++)
        for (size_t i = 0; i < CANDIDATES && (i == 0 || candidates[p].values[i] != 0); i++) values++;
    batchnorm_tuning(before, sizeof before);
    memcpy(t.best, before, sizeof before);
    printf("in use: %s\n\n", before);
    t.progress = progress_begin(values);
    bool ok = try_all(&t);
    progress_hide(&t.progress);
    const bool found = strcmp(before, t.best) != 0;
    printf("\n%s: %s\n", found ? "best" : "nothing that was tried is better than", t.best);
    ok = ok && (!found || print_cases(&t, before));
    use(NULL);
    return ok;
}
