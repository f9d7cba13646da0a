/* SPDX-License-Identifier: MIT */
/* What one process of several does: ranks CASE. Each case ends with MPI_Abort() and a sentence where something is not as it
 * should be. run.sh starts it. Longer than 300 lines, because MPI allows a process one beginning and one end. */
#define _POSIX_C_SOURCE 200809L
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "batchnorm/mpi.h"

static int rank, ranks;

#define EXPECT(condition, ...) ((condition) ? (void)0 : give_up(__FILE__, __LINE__, __VA_ARGS__))

__attribute__((format(printf, 3, 4), noreturn)) static void give_up(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: rank %d of %d: ", file, line, rank, ranks);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    MPI_Abort(MPI_COMM_WORLD, 3);
    abort();
}

static batchnorm_mpi *make(MPI_Comm communicator, double limit) {
    char message[BATCHNORM_MPI_MESSAGE] = "";
    batchnorm_mpi *mpi = NULL;
    EXPECT(batchnorm_mpi_create(communicator, limit, &mpi, message) == BATCHNORM_OK, "%s", message);
    return mpi;
}

/* Allocations of the library, of which one may fail: this one, counted down; below 0 none. */
static int fails = -1;
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

static bool this_one_fails(void) { return fails >= 0 && fails-- == 0; }

void *__wrap_malloc(size_t bytes) { return this_one_fails() ? NULL : __real_malloc(bytes); }
void *__wrap_calloc(size_t count, size_t bytes) { return this_one_fails() ? NULL : __real_calloc(count, bytes); }
void *__wrap_realloc(void *memory, size_t bytes) { return this_one_fails() ? NULL : __real_realloc(memory, bytes); }

/* A batch, the same on all ranks, and what becomes of it. */
struct batch {
    batchnorm_shape shape;
    size_t grain, elements;
    float *x, *dy, *y, *dx, *numbers; /* numbers: weight, bias, running_mean, running_var, dweight, dbias */
    double *saved;
};

static uint32_t random_state;

static float next(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / 0x1p24f;
}

static void *room(size_t count, size_t bytes) {
    void *memory = calloc(count + 1, bytes);
    EXPECT(memory, "no memory");
    return memory;
}

static struct batch make_batch(batchnorm_shape shape, size_t grain, uint32_t seed) {
    struct batch b = {.shape = shape, .grain = grain, .elements = shape.outer * shape.channels * shape.inner};
    b.x = room(b.elements, sizeof *b.x);
    b.dy = room(b.elements, sizeof *b.dy);
    b.y = room(b.elements, sizeof *b.y);
    b.dx = room(b.elements, sizeof *b.dx);
    b.numbers = room(6 * shape.channels, sizeof *b.numbers);
    b.saved = room(2 * shape.channels, sizeof *b.saved);
    random_state = seed;
    for (size_t i = 0; i < b.elements; i++) {
        b.x[i] = 100 + next();
        b.dy[i] = next() - 0.5f;
    }
    for (size_t c = 0; c < 4 * shape.channels; c++) b.numbers[c] = 1 + next();
    return b;
}

static void free_batch(struct batch *b) {
    free(b->x);
    free(b->dy);
    free(b->y);
    free(b->dx);
    free(b->numbers);
    free(b->saved);
}

/* Runs the samples [first, end) forward and backward. */
static batchnorm_status run(struct batch *b, size_t first, size_t end, batchnorm_group *group, char message[200]) {
    const size_t c = b->shape.channels, at = first * c * b->shape.inner;
    batchnorm_shape shape = b->shape;
    shape.outer = end - first;
    const batchnorm_strides s = batchnorm_planar(shape);
    const batchnorm_exec exec = {.size = sizeof exec, .threads = 1, .message = message, .message_bytes = 200};
    const batchnorm_forward_call forward = {.size = sizeof forward,
                                            .shape = shape,
                                            .x = {b->x + at, s},
                                            .y = {b->y + at, s},
                                            .weight = b->numbers,
                                            .bias = b->numbers + c,
                                            .running_mean = b->numbers + 2 * c,
                                            .running_var = b->numbers + 3 * c,
                                            .save_mean = b->saved,
                                            .save_rstd = b->saved + c,
                                            .grain = b->grain,
                                            .first_sample = first,
                                            .group = group};
    const batchnorm_status status = batchnorm_forward(&forward, &exec);
    if (status) return status;
    const batchnorm_backward_call backward = {.size = sizeof backward,
                                              .shape = shape,
                                              .x = forward.x,
                                              .dy = {b->dy + at, s},
                                              .dx = {b->dx + at, s},
                                              .weight = b->numbers,
                                              .save_mean = b->saved,
                                              .save_rstd = b->saved + c,
                                              .dweight = b->numbers + 4 * c,
                                              .dbias = b->numbers + 5 * c,
                                              .grain = b->grain,
                                              .first_sample = first,
                                              .group = group};
    return batchnorm_backward(&backward, &exec);
}

/* Where the part of a rank begins: evenly, or by chance so that ranks may have nothing. The same on all ranks. */
static size_t cut(const struct batch *b, int of, int parts, uint32_t seed) {
    const size_t chunks = (b->shape.outer + b->grain - 1) / b->grain;
    size_t chunk = chunks * (size_t)of / (size_t)parts;
    if (seed && of > 0 && of < parts) {
        size_t below = 0; /* how many of the cuts are below the one that is looked for: they are sorted by counting */
        size_t cuts[64];
        random_state = seed;
        for (int i = 0; i < parts - 1; i++) cuts[i] = (size_t)(next() * (float)(chunks + 1));
        for (size_t value = 0; value <= chunks; value++)
            for (int i = 0; i < parts - 1; i++)
                if (cuts[i] == value && below++ == (size_t)of - 1) chunk = value;
    }
    return of == parts || chunk * b->grain > b->shape.outer ? b->shape.outer : chunk * b->grain;
}

/* A part in a group gives the bits of the whole in one process. */
static void same_bits(batchnorm_shape shape, size_t grain, batchnorm_group *group, uint32_t seed) {
    char message[200] = "";
    struct batch whole = make_batch(shape, grain, seed + 7), part = make_batch(shape, grain, seed + 7);
    const size_t first = cut(&whole, group->rank, group->ranks, seed), end = cut(&whole, group->rank + 1, group->ranks, seed);
    const size_t each = shape.channels * shape.inner, at = first * each, bytes = (end - first) * each * sizeof(float);
    for (int step = 0; step < 2; step++) {
        EXPECT(run(&whole, 0, shape.outer, NULL, message) == BATCHNORM_OK, "the whole: %s", message);
        const batchnorm_status status = run(&part, first, end, group, message);
        EXPECT(status == BATCHNORM_OK, "%s: %s", batchnorm_status_string(status), message);
    }
    EXPECT(memcmp(part.y + at, whole.y + at, bytes) == 0, "y differs, samples %zu to %zu", first, end);
    EXPECT(memcmp(part.dx + at, whole.dx + at, bytes) == 0, "dx differs, samples %zu to %zu", first, end);
    EXPECT(memcmp(part.numbers, whole.numbers, 6 * shape.channels * sizeof(float)) == 0,
           "running statistics, dweight or dbias differ, samples %zu to %zu", first, end);
    EXPECT(memcmp(part.saved, whole.saved, 2 * shape.channels * sizeof(double)) == 0, "saved statistics differ");
    free_batch(&whole);
    free_batch(&part);
}

static void all_bits(batchnorm_group *group) {
    /* messages that fit a slot, and others, of which some ranks' do */
    static const struct {
        size_t n, c, s, grain;
    } shapes[] = {{13, 3, 5, 2}, {12, 160, 2, 4}, {21, 150, 1, 1}, {16, 900, 3, 4}, {40, 1, 30, 8}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (uint32_t seed = 0; seed < 4; seed++)
            same_bits((batchnorm_shape){shapes[i].n, shapes[i].c, shapes[i].s, BATCHNORM_F32}, shapes[i].grain, group, seed);
}

static void bits(void) {
    batchnorm_mpi *mpi = make(MPI_COMM_WORLD, 0);
    batchnorm_group group = batchnorm_mpi_group(mpi, NULL);
    EXPECT(group.rank == rank && group.ranks == ranks, "the group says that this is rank %d of %d", group.rank, group.ranks);
    all_bits(&group);
    batchnorm_mpi_destroy(mpi);
}

/* Halves that do other things at the same time, and the world between them. */
static void parts(void) {
    MPI_Comm half;
    const bool odd = rank % 2 != 0;
    batchnorm_mpi *world = make(MPI_COMM_WORLD, 0);
    MPI_Comm_split(MPI_COMM_WORLD, odd, -rank, &half);
    batchnorm_mpi *mpi = make(half, 0);
    MPI_Comm_free(&half); /* the transport has its own */
    batchnorm_group group = batchnorm_mpi_group(mpi, "half"), all = batchnorm_mpi_group(world, "world");
    EXPECT(group.ranks == (ranks + !odd) / 2 && group.rank == (ranks - 1 - rank) / 2, "rank %d of %d", group.rank, group.ranks);
    for (uint32_t i = 0; i < 3; i++) {
        same_bits((batchnorm_shape){odd ? 8 : 21, odd ? 600 : 3, 2, BATCHNORM_F32}, odd ? 2 : 1, &group, i + odd);
        same_bits((batchnorm_shape){20, 5, 7, BATCHNORM_F32}, 4, &all, i);
    }
    batchnorm_mpi_destroy(mpi);
    batchnorm_mpi_destroy(world);
}

static void expect_words(const char *message, const char *words) {
    EXPECT(strstr(message, words), "\"%s\" instead of \"%s\"", message, words);
}

/* The last rank has other channels, then no x; and after each all go on. */
static void disagree(void) {
    char message[200] = "", words[100];
    batchnorm_mpi *mpi = make(MPI_COMM_WORLD, 0);
    batchnorm_group group = batchnorm_mpi_group(mpi, "bn3");
    const bool is_last = rank == ranks - 1;
    struct batch b = make_batch((batchnorm_shape){(size_t)ranks, is_last ? 3 : 4, 2, BATCHNORM_F32}, 1, 1);
    batchnorm_status status = run(&b, (size_t)rank, (size_t)rank + 1, &group, message);
    EXPECT(status == BATCHNORM_MISMATCH, "%s: %s", batchnorm_status_string(status), message);
    snprintf(words, sizeof words, "bn3: the number of channels is 3 on rank %d and 4 on rank ", ranks - 1);
    if (!is_last) expect_words(message, words);
    b.shape.channels = 3;
    float *const x = b.x;
    if (is_last) b.x = NULL;
    status = run(&b, is_last ? 0 : (size_t)rank, is_last ? 1 : (size_t)rank + 1, &group, message);
    EXPECT(status == (is_last ? BATCHNORM_NULL_POINTER : BATCHNORM_RANK_FAILED), "%s: %s", batchnorm_status_string(status),
           message);
    snprintf(words, sizeof words, "bn3: rank %d failed: a required pointer is NULL", ranks - 1);
    if (!is_last) expect_words(message, words);
    b.x = x;
    free_batch(&b);
    same_bits((batchnorm_shape){8, 3, 2, BATCHNORM_F32}, 1, &group, 1);
    batchnorm_mpi_destroy(mpi);
}

/* More bytes than MPI counts are refused before one of them is read, and the next call works. */
static void large(void) {
    const void *all;
    const size_t *counts;
    batchnorm_mpi *mpi = make(MPI_COMM_WORLD, 0);
    batchnorm_group group = batchnorm_mpi_group(mpi, NULL);
    EXPECT(group.gather(group.user, "", INT_MAX / 2 + 1, &all, &counts) != 0, "it went");
    expect_words(group.message(group.user), "the messages of ranks 0 to 1 together are longer than 2147483647 bytes");
    EXPECT(group.gather(group.user, "", SIZE_MAX, &all, &counts) != 0, "it went");
    same_bits((batchnorm_shape){8, 3, 2, BATCHNORM_F32}, 1, &group, 1);
    batchnorm_mpi_destroy(mpi);
}

/* A rank without memory for the messages of all tells the others, who do not wait. */
static void memory(void) {
    const void *all;
    const size_t *counts;
    batchnorm_mpi *mpi = make(MPI_COMM_WORLD, 0);
    batchnorm_group group = batchnorm_mpi_group(mpi, NULL);
    char *own = room(100000, 1);
    if (rank == 1) fails = 0;
    EXPECT(group.gather(group.user, own, 100000, &all, &counts) != 0, "it went");
    fprintf(stderr, "told by rank %d: %s\n", rank, group.message(group.user));
    nanosleep(&(struct timespec){1, 0}, NULL);
    MPI_Abort(MPI_COMM_WORLD, 5);
}

/* Bytes of any number, as they come. */
static void bytes(void) {
    const void *all;
    const size_t *counts;
    static const size_t sizes[] = {0, 1, 8, 4087, 4088, 4089, 4096, 100000};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    batchnorm_mpi *mpi = make(MPI_COMM_WORLD, 0);
    batchnorm_group group = batchnorm_mpi_group(mpi, NULL);
    char *own = room(100000, 1);
    memset(own, 'a' + rank, 100000);
    for (size_t i = 0; i < SIZES * SIZES; i++) {
        EXPECT(group.gather(group.user, own, sizes[rank % 2 ? i / SIZES : i % SIZES], &all, &counts) == 0, "it failed");
        EXPECT((uintptr_t)all % sizeof(double) == 0, "what was gathered is not aligned");
        const char *at = all;
        for (int r = 0; r < ranks; r++) {
            EXPECT(counts[r] == sizes[r % 2 ? i / SIZES : i % SIZES], "rank %d gave %zu bytes", r, counts[r]);
            for (size_t k = 0; k < counts[r]; k++) EXPECT(*at++ == 'a' + r, "byte %zu of rank %d is another", k, r);
        }
    }
    free(own);
    batchnorm_mpi_destroy(mpi);
}

/* Before MPI_Init(), and with what is no communicator of ranks. */
/* Rank a has (a + 1) (b + 2) k bytes for rank b, for several k, among them nothing. Between them there are gathers. */
static void scatter(void) {
    static const size_t units[] = {1, 0, 7, 1000, 50000, 3};
    enum { MOST = 8 };
    size_t send[MOST], receive[MOST];
    batchnorm_mpi *mpi = make(MPI_COMM_WORLD, 0);
    batchnorm_group group = batchnorm_mpi_group(mpi, NULL);
    char *own = room(50000 * MOST * (MOST + 2) * MOST, 1);
    const void *all;
    const size_t *counts;
    EXPECT(batchnorm_mpi_scatter(NULL, own, send, receive, &all) == BATCHNORM_NULL_POINTER, "it went");
    EXPECT(batchnorm_mpi_scatter(mpi, own, NULL, receive, &all) == BATCHNORM_NULL_POINTER, "it went");
    EXPECT(batchnorm_mpi_scatter(mpi, own, send, NULL, &all) == BATCHNORM_NULL_POINTER, "it went");
    EXPECT(batchnorm_mpi_scatter(mpi, own, send, receive, NULL) == BATCHNORM_NULL_POINTER, "it went");
    for (size_t k = 0; k < sizeof units / sizeof *units; k++) {
        char *at = own;
        for (int r = 0; r < ranks; at += send[r++]) {
            send[r] = (size_t)(rank + 1) * (size_t)(r + 2) * units[k];
            receive[r] = (size_t)(r + 1) * (size_t)(rank + 2) * units[k];
            memset(at, 16 * rank + r, send[r]);
        }
        EXPECT(batchnorm_mpi_scatter(mpi, own, send, receive, &all) == BATCHNORM_OK, "it failed");
        const char *from = all;
        for (int r = 0; r < ranks; r++)
            for (size_t i = 0; i < receive[r]; i++) EXPECT(*from++ == 16 * r + rank, "byte %zu of rank %d is another", i, r);
        EXPECT(group.gather(group.user, own, units[k], &all, &counts) == 0 && counts[0] == units[k], "no gather");
    }
    batchnorm_mpi_destroy(mpi);
    free(own);
}

/* More than MPI counts to. */
static void scatter_long(void) {
    size_t both[8] = {(size_t)INT_MAX + 1};
    const void *all;
    batchnorm_mpi *mpi = make(MPI_COMM_WORLD, 0);
    batchnorm_group group = batchnorm_mpi_group(mpi, NULL);
    EXPECT(batchnorm_mpi_scatter(mpi, both, both, both, &all) == BATCHNORM_TRANSPORT, "it went");
    fprintf(stderr, "told by rank %d: %s\n", rank, group.message(group.user));
    EXPECT(batchnorm_mpi_scatter(mpi, both, both, both, &all) == BATCHNORM_TRANSPORT, "it went on");
    nanosleep(&(struct timespec){1, 0}, NULL);
    MPI_Abort(MPI_COMM_WORLD, 5);
}

/* One has no room for what it gets. */
static void scatter_memory(void) {
    size_t both[8];
    const void *all;
    batchnorm_mpi *mpi = make(MPI_COMM_WORLD, 0);
    batchnorm_group group = batchnorm_mpi_group(mpi, NULL);
    char *own = room(800000, 1);
    for (int i = 0; i < 8; i++) both[i] = 100000;
    if (rank == 1) fails = 1;
    EXPECT(batchnorm_mpi_scatter(mpi, own, both, both, &all) == BATCHNORM_TRANSPORT, "it went");
    fprintf(stderr, "told by rank %d: %s\n", rank, group.message(group.user));
    nanosleep(&(struct timespec){1, 0}, NULL);
    MPI_Abort(MPI_COMM_WORLD, 5);
}

static void refuse_before(void) {
    char message[BATCHNORM_MPI_MESSAGE] = "";
    batchnorm_mpi *mpi = (batchnorm_mpi *)message;
    EXPECT(batchnorm_mpi_create(MPI_COMM_WORLD, 0, &mpi, message) == BATCHNORM_TRANSPORT && !mpi, "it was made");
    expect_words(message, "MPI_Init() was not called yet");
    EXPECT(batchnorm_mpi_check_start(message) == BATCHNORM_TRANSPORT, "it was not seen");
    EXPECT(batchnorm_mpi_check_start(NULL) == BATCHNORM_TRANSPORT, "it was not seen");
}

static void *refuse_on_thread(void *group) {
    char message[200] = "";
    struct batch b = make_batch((batchnorm_shape){4, 3, 2, BATCHNORM_F32}, 1, 1);
    EXPECT(run(&b, 0, 4, group, message) == BATCHNORM_TRANSPORT, "it went");
    expect_words(message, "bn1: call 0, forward: this is not the thread that initialized MPI");
    free_batch(&b);
    return NULL;
}

static void refuse(void) {
    char message[BATCHNORM_MPI_MESSAGE] = "";
    batchnorm_mpi *mpi;
    EXPECT(batchnorm_mpi_create(MPI_COMM_WORLD, 0, NULL, message) == BATCHNORM_NULL_POINTER, "it was made");
    EXPECT(batchnorm_mpi_create(MPI_COMM_NULL, 0, &mpi, message) == BATCHNORM_BAD_OPTION, "it was made");
    expect_words(message, "MPI_COMM_NULL");
    EXPECT(batchnorm_mpi_create(MPI_COMM_WORLD, -1, &mpi, message) == BATCHNORM_BAD_OPTION, "it was made");
    EXPECT(batchnorm_mpi_create(MPI_COMM_WORLD, NAN, &mpi, NULL) == BATCHNORM_BAD_OPTION && !mpi, "it was made");
    EXPECT(batchnorm_mpi_group(NULL, NULL).ranks == 0, "there is a group of nothing");
    batchnorm_mpi_destroy(NULL);
    batchnorm_status status = BATCHNORM_NO_MEMORY;
    int allocations = 0;
    for (; ranks == 1 && status == BATCHNORM_NO_MEMORY; allocations++) {
        fails = allocations;
        status = batchnorm_mpi_create(MPI_COMM_SELF, 0, &mpi, message);
        EXPECT(status == (mpi ? BATCHNORM_OK : BATCHNORM_NO_MEMORY), "%s", batchnorm_status_string(status));
        batchnorm_mpi_destroy(mpi);
    }
    EXPECT(ranks > 1 || allocations > 5, "only %d allocations", allocations);
    fails = -1;
    mpi = make(MPI_COMM_WORLD, 0);
    batchnorm_group group = batchnorm_mpi_group(mpi, "bn1");
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, refuse_on_thread, &group) == 0, "no thread");
    pthread_join(thread, NULL);
    if (ranks > 1) {
        MPI_Comm half, between;
        batchnorm_mpi *none;
        MPI_Comm_split(MPI_COMM_WORLD, rank > 0, 0, &half);
        MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, rank > 0 ? 0 : 1, 5, &between);
        EXPECT(batchnorm_mpi_create(between, 0, &none, message) == BATCHNORM_BAD_OPTION, "it was made");
        expect_words(message, "between two groups");
        MPI_Comm_free(&between);
        MPI_Comm_free(&half);
    }
    MPI_Finalize();
    EXPECT(batchnorm_mpi_create(MPI_COMM_WORLD, 0, &mpi, message) == BATCHNORM_TRANSPORT, "it was made");
    expect_words(message, "MPI_Finalize() was called already");
    struct batch b = make_batch((batchnorm_shape){4, 3, 2, BATCHNORM_F32}, 1, 1);
    EXPECT(run(&b, 0, 4, &group, message) == BATCHNORM_TRANSPORT, "it went");
    expect_words(message, "MPI_Finalize() was called already");
    free_batch(&b);
    batchnorm_mpi_destroy(group.user);
}

/* Runs calls until one fails, and does as a command does: tells the message and ends all. */
static void run_until_it_fails(batchnorm_mpi *mpi, void (*happens)(void)) {
    char message[200] = "", again[200];
    batchnorm_group group = batchnorm_mpi_group(mpi, "layer1.0.bn2");
    struct batch b = make_batch((batchnorm_shape){2 * (size_t)ranks, 3, 2, BATCHNORM_F32}, 1, 1);
    for (int step = 0; step < 100; step++) {
        if (rank == 1 && step == 3) happens();
        const batchnorm_status status = run(&b, 2 * (size_t)rank, 2 * (size_t)rank + 2, &group, message);
        if (!status) continue;
        EXPECT(status == BATCHNORM_TRANSPORT && step == 3, "%s, step %d", batchnorm_status_string(status), step);
        EXPECT(run(&b, 2 * (size_t)rank, 2 * (size_t)rank + 2, &group, again) == BATCHNORM_TRANSPORT, "it went on");
        fprintf(stderr, "told by rank %d: %s\n", rank, message);
        batchnorm_mpi_destroy(mpi);                        /* harmless */
        nanosleep(&(struct timespec){1, 500000000}, NULL); /* so that all can tell */
        MPI_Abort(MPI_COMM_WORLD, 5);
    }
    give_up(__FILE__, __LINE__, "nothing happened");
}

/* For good: whoever stops and continues all programs of a machine does not start this one again. */
static void stop(void) {
    for (;;) raise(SIGSTOP);
}
static void be_killed(void) { raise(SIGKILL); }
static void be_late(void) { nanosleep(&(struct timespec){2, 500000000}, NULL); }

static void stopped(void) { run_until_it_fails(make(MPI_COMM_WORLD, 3), stop); }
static void killed(void) { run_until_it_fails(make(MPI_COMM_WORLD, 0), be_killed); }
static void late(void) { run_until_it_fails(make(MPI_COMM_WORLD, 2), be_late); }

/* Not all processes make a transport. */
static void absent(void) {
    char message[BATCHNORM_MPI_MESSAGE] = "";
    batchnorm_mpi *mpi;
    if (rank == 1) stop();
    EXPECT(batchnorm_mpi_create(MPI_COMM_WORLD, 0.5, &mpi, message) == BATCHNORM_TRANSPORT && !mpi, "it was made");
    fprintf(stderr, "told by rank %d: %s\n", rank, message);
    MPI_Abort(MPI_COMM_WORLD, 5);
}

static void start(void) {
    char message[BATCHNORM_MPI_MESSAGE] = "this was started by its own mpirun";
    const batchnorm_status status = batchnorm_mpi_check_start(message);
    printf("%d ranks: %s\n", ranks, message);
    EXPECT(status == (ranks > 1 || !getenv("EXPECT_ALONE") ? BATCHNORM_OK : BATCHNORM_TRANSPORT), "%d", (int)status);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"bits", bits},
                 {"parts", parts},
                 {"disagree", disagree},
                 {"large", large},
                 {"bytes", bytes},
                 {"scatter", scatter},
                 {"scatter_long", scatter_long},
                 {"scatter_memory", scatter_memory},
                 {"memory", memory},
                 {"refuse", refuse},
                 {"stopped", stopped},
                 {"killed", killed},
                 {"late", late},
                 {"absent", absent},
                 {"start", start}};
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "refuse") == 0) refuse_before();
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(name, cases[i].name) != 0) continue;
        int over;
        cases[i].run();
        MPI_Finalized(&over);
        if (!over) MPI_Finalize();
        return 0;
    }
    give_up(__FILE__, __LINE__, "there is no case \"%s\"", name);
}
