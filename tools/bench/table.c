/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/shared/convert.h"
#include "tools/shared/wrap.h"

enum { CELL_BYTES = BENCH_SHAPE_TEXT_BYTES, GAP = 2 };

enum column { SHAPE, LAYOUT, TYPE, OPERATION, THREADS, MILLISECONDS, RATE, COPY_RATE, SHARE, COPY, COLUMNS };

static struct {
    const char *name;
    size_t width; /* that of the shapes is the longest one's */
    bool right;
    int place; /* in which columns give way where there is no room, from 1; 0: never */
    bool hidden;
} columns[COLUMNS] = {[SHAPE] = {"shape", 5, false, 0, false},    [LAYOUT] = {"layout", 6, false, 6, false},
                      [TYPE] = {"type", 4, false, 4, false},      [OPERATION] = {"op", 8, false, 0, false},
                      [THREADS] = {"threads", 7, true, 5, false}, [MILLISECONDS] = {"ms", 9, true, 0, false},
                      [RATE] = {"GB/s", 6, true, 3, false},       [COPY_RATE] = {"copy GB/s", 9, true, 2, false},
                      [SHARE] = {"share", 5, true, 0, false},     [COPY] = {"copy", 13, false, 1, false}};

static size_t width_of_all(void) {
    size_t width = 0;
    for (int i = 0; i < COLUMNS; i++)
        if (!columns[i].hidden) width += columns[i].width + (i > 0 ? GAP : 0);
    return width;
}

static void arrange(const struct bench_request *request) {
    char text[BENCH_SHAPE_TEXT_BYTES];
    for (size_t i = 0; i < request->shape_count; i++) {
        const size_t length = strlen(bench_shape_text(&request->shapes[i], text));
        if (length > columns[SHAPE].width) columns[SHAPE].width = length;
    }
    for (int place = 1; width_of_all() > wrap_columns() && place < COLUMNS; place++)
        for (int i = 0; i < COLUMNS; i++) columns[i].hidden |= columns[i].place == place;
}

static void print_line(char cells[COLUMNS][CELL_BYTES]) {
    size_t missing = 0;
    for (int i = 0; i < COLUMNS; i++) {
        const size_t length = strlen(cells[i]), width = columns[i].width, rest = width > length ? width - length : 0;
        if (columns[i].hidden) continue;
        if (columns[i].right) missing += rest;
        printf("%*s%s", (int)missing, "", cells[i]);
        missing = GAP + (columns[i].right ? 0 : rest);
    }
    printf("\n");
}

static void print_text(const char *text) {
    wrap_print(text, 0, 0, wrap_columns());
    printf("\n");
}

static void print_hidden(void) {
    char text[128] = "without room here:";
    size_t length = strlen(text);
    const size_t before = length;
    for (int i = 0; i < COLUMNS; i++)
        if (columns[i].hidden)
            length +=
                (size_t)snprintf(text + length, sizeof text - length, "%s %s", length > before ? "," : "", columns[i].name);
    if (length > before) print_text(text);
}

void bench_table_head(const struct bench_request *request, const struct bench_machine *m) {
    char text[512], caches[BENCH_CACHES_TEXT_BYTES], names[COLUMNS][CELL_BYTES];
    arrange(request);
    snprintf(text, sizeof text, "batchnorm %s, %s; %s; %s", m->version, m->isa, m->compiler,
             m->openmp ? "OpenMP" : "one thread, without OpenMP");
    print_text(text);
    snprintf(text, sizeof text, "%s, %ld processor%s; %s", m->cpu, m->processors, m->processors == 1 ? "" : "s",
             bench_caches_text(m, caches));
    print_text(text);
    snprintf(text, sizeof text, "copies with vectors of %d bytes%s", m->copy_vector_bytes,
             bench_copy_has_non_temporal() ? "" : "; this build has no non-temporal stores");
    print_text(text);
    snprintf(text, sizeof text, "train, eval and backward with activation %s%s", bench_activation_name(request->activation),
             request->residual ? " and a residual" : "");
    if (request->activation != BATCHNORM_IDENTITY || request->residual) print_text(text);
    print_hidden();
    printf("\n");
    for (int i = 0; i < COLUMNS; i++) snprintf(names[i], CELL_BYTES, "%s", columns[i].name);
    print_line(names);
}

void bench_table_row(const struct bench_result *r) {
    const struct bench_case *c = &r->what;
    char cells[COLUMNS][CELL_BYTES];
    bench_shape_text(&c->shape, cells[SHAPE]);
    snprintf(cells[LAYOUT], CELL_BYTES, "%s", bench_layout_name(c));
    snprintf(cells[TYPE], CELL_BYTES, "%s", type_name(c->dtype));
    snprintf(cells[OPERATION], CELL_BYTES, "%s", bench_operation_names[c->operation]);
    snprintf(cells[THREADS], CELL_BYTES, "%d", c->threads);
    /* four digits, as far as there are any: "5.460", "0.01060", "1234" */
    snprintf(cells[MILLISECONDS], CELL_BYTES, 1e3 * r->seconds < 999.95 ? "%#.4g" : "%.0f", 1e3 * r->seconds);
    snprintf(cells[RATE], CELL_BYTES, "%.1f", bench_rate(r));
    snprintf(cells[COPY_RATE], CELL_BYTES, "%.1f", bench_copy_rate(r));
    snprintf(cells[SHARE], CELL_BYTES, "%.2f", bench_share(r));
    /* the usual is to have as many threads as the call */
    snprintf(cells[COPY], CELL_BYTES, "%s%s", bench_copy_kind_names[r->copy], r->copy_threads != c->threads ? "*" : "");
    print_line(cells);
}

static void print_legend(void) {
    print_text("share: the time of the copy by that of the call; 1 is the speed of copying memory.");
    if (!columns[COPY].hidden)
        print_text("copy: the fastest one: by normal stores, by non-temporal ones, which go past the caches, or for stats by "
                   "reading alone; *: by one thread.");
    printf("\n");
}

void bench_table_foot(const struct bench_result *results, size_t count) {
    char text[256] = "geometric mean of the shares:";
    size_t length = strlen(text);
    const char *separator = "";
    printf("\n");
    print_legend();
    for (int operation = 0; operation < BENCH_OPERATIONS; operation++) {
        double sum = 0;
        size_t terms = 0;
        for (size_t i = 0; i < count; i++) {
            if (results[i].what.operation != (enum bench_operation)operation) continue;
            sum += log(bench_share(&results[i]));
            terms++;
        }
        if (terms == 0) continue;
        length += (size_t)snprintf(text + length, sizeof text - length, "%s %s %.2f", separator,
                                   bench_operation_names[operation], exp(sum / (double)terms));
        separator = ",";
    }
    print_text(text);
}
