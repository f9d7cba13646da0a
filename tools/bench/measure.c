/* SPDX-License-Identifier: MIT */
/* How it is timed: the call and the copies take turns, so that a machine that slows down slows them all. With less than 16 MB
 * every turn is a batch of calls of one kind, after one that does not count: what non-temporal stores drive out of the caches
 * must not be charged to the next. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>

#include "nn/machine.h"

enum { BATCHED_BELOW_BYTES = 16 << 20, ONE_THREAD_BELOW_BYTES = 4 << 20 };
enum { LEAST_ROUNDS = 3, MOST_ROUNDS = 10000, WANTED_ROUNDS = 25 };
/* Long enough for the clock, and short, so that another program on the same processor disturbs few batches. */
#define BATCH_SECONDS 0.0005

const char *const bench_copy_kind_names[BENCH_COPY_KINDS] = {"normal", "non-temporal", "reading"};

/* One of those that take turns: the call, or a copy. */
struct contender {
    struct bench_job *job;
    bool copies;
    enum bench_copy_kind kind;
    int threads;
    size_t calls; /* in a batch */
    double *samples;
};

enum { CONTENDERS = 4 };

static size_t list_contenders(struct contender *list, struct bench_job *job) {
    const bool reading = job->streams.writes == 0;
    const enum bench_copy_kind kind = reading ? BENCH_READING : BENCH_NORMAL;
    const int threads = job->what.threads;
    size_t count = 0;
    list[count++] = (struct contender){.job = job};
    list[count++] = (struct contender){.job = job, .copies = true, .kind = kind, .threads = threads};
    if (!reading && bench_copy_has_non_temporal())
        list[count++] = (struct contender){.job = job, .copies = true, .kind = BENCH_NON_TEMPORAL, .threads = threads};
    if (threads > 1 && bench_bytes(&job->what) < ONE_THREAD_BELOW_BYTES)
        list[count++] = (struct contender){.job = job, .copies = true, .kind = kind, .threads = 1};
    return count;
}

static void run_once(const struct contender *c) {
    if (c->copies)
        bench_copy(&c->job->streams, c->threads, c->kind == BENCH_NON_TEMPORAL);
    else
        bench_job_run(c->job);
}

/* Seconds of one call, as the mean of so many. */
static double time_calls(const struct contender *c, size_t calls) {
    const double start = nn_seconds();
    for (size_t i = 0; i < calls; i++) run_once(c);
    return (nn_seconds() - start) / (double)calls;
}

/* Run it until its time is known, and say how many calls a batch has. */
static void warm_up(struct contender *c, bool batched, double batch_seconds) {
    run_once(c);
    c->calls = 1;
    if (!batched) return;
    for (size_t calls = 1; calls <= (size_t)1 << 30; calls *= 2) {
        const double seconds = time_calls(c, calls);
        if (seconds * (double)calls < batch_seconds / 4) continue;
        const double fitting = batch_seconds / seconds;
        c->calls = fitting < 1 ? 1 : (size_t)fitting;
        return;
    }
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *samples, size_t count) {
    qsort(samples, count, sizeof *samples, compare);
    return count % 2 ? samples[count / 2] : (samples[count / 2 - 1] + samples[count / 2]) / 2;
}

static void conclude(const struct contender *list, size_t count, size_t rounds, struct bench_result *result) {
    *result = (struct bench_result){.what = list[0].job->what, .rounds = rounds, .copy_seconds = INFINITY};
    result->seconds = bench_median(list[0].samples, rounds);
    for (size_t i = 1; i < count; i++) {
        const double seconds = bench_median(list[i].samples, rounds);
        if (seconds >= result->copy_seconds) continue;
        result->copy_seconds = seconds;
        result->copy = list[i].kind;
        result->copy_threads = list[i].threads;
    }
}

batchnorm_status bench_measure(struct bench_job *job, double seconds, bench_progress *progress, void *user,
                               struct bench_result *result) {
    struct contender list[CONTENDERS];
    const size_t count = list_contenders(list, job), bytes = bench_bytes(&job->what);
    const bool batched = bytes < BATCHED_BELOW_BYTES;
    const double wanted = seconds / (double)(WANTED_ROUNDS * count);
    double *samples = malloc(count * MOST_ROUNDS * sizeof *samples);
    if (!samples) return BATCHNORM_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        list[i].samples = samples + i * MOST_ROUNDS;
        warm_up(&list[i], batched, wanted < BATCH_SECONDS ? wanted : BATCH_SECONDS);
    }
    const double start = nn_seconds();
    size_t round = 0;
    bool goes_on = true;
    for (double gone = 0; goes_on && (round < LEAST_ROUNDS || (gone < seconds && round < MOST_ROUNDS)); round++) {
        for (size_t i = 0; i < count; i++) {
            if (batched) run_once(&list[i]);
            list[i].samples[round] = time_calls(&list[i], list[i].calls);
        }
        gone = nn_seconds() - start;
        goes_on = progress(user, gone < seconds ? gone / seconds : 1, (double)bytes / list[0].samples[round] / 1e9);
    }
    *result = (struct bench_result){0};
    if (goes_on) conclude(list, count, round, result);
    free(samples);
    return job->status;
}

double bench_share(const struct bench_result *result) { return result->copy_seconds / result->seconds; }

double bench_rate(const struct bench_result *result) { return (double)bench_bytes(&result->what) / result->seconds / 1e9; }

double bench_copy_rate(const struct bench_result *result) {
    return (double)bench_bytes(&result->what) / result->copy_seconds / 1e9;
}
