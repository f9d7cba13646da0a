/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "report.h"

#include <stdio.h>
#include <unistd.h>

#include "nn/machine.h"
#include "table.h"
#include "tools/shared/convert.h"

struct bench_line bench_line_begin(size_t count, double seconds) {
    return (struct bench_line){.shown = isatty(STDERR_FILENO), .count = count, .seconds = seconds, .start = nn_seconds()};
}

void bench_line_case(struct bench_line *line, const struct bench_case *c) {
    line->number++;
    line->what = c;
    line->last = 0;
    bench_line_show(line, 0, 0);
}

void bench_line_show(void *user, double share, double rate) {
    struct bench_line *line = user;
    const double now = nn_seconds();
    if (!line->shown || now - line->last < 0.2) return;
    line->last = now;
    /* The time left comes from the run so far, once that says anything; it includes filling arrays. */
    const double done = (double)(line->number - 1) + share, left = (double)line->count - done;
    const long seconds = (long)(left * (done < 1 ? line->seconds : (now - line->start) / done));
    char text[BENCH_CASE_TEXT_BYTES], speed[32] = "";
    if (rate > 0) snprintf(speed, sizeof speed, "  %.1f GB/s", rate);
    fprintf(stderr, "\r%zu of %zu  %s%s  %ld:%02ld left\033[K", line->number, line->count, bench_case_text(line->what, text),
            speed, seconds / 60, seconds % 60);
    fflush(stderr);
}

void bench_line_hide(const struct bench_line *line) {
    if (line->shown) fputs("\r\033[K", stderr);
}

/* Texts of ours have no control characters. */
static void print_quoted(const char *text, char escape) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || (escape == '\\' && *text == '\\')) putchar(escape);
        putchar(*text);
    }
    putchar('"');
}

static void print_fact(const char *name, const char *text) {
    printf("\"%s\": ", name);
    print_quoted(text, '\\');
    printf(", ");
}

static void print_json_head(const struct bench_machine *m) {
    printf("{");
    print_fact("version", m->version);
    print_fact("isa", m->isa);
    print_fact("compiler", m->compiler);
    print_fact("cpu", m->cpu);
    printf("\"processors\": %ld, \"openmp\": %s, \"copy_vector_bytes\": %d, \"caches\": [", m->processors,
           m->openmp ? "true" : "false", m->copy_vector_bytes);
    for (size_t i = 0; i < m->cache_count; i++) {
        printf("%s{\"level\": %d, \"bytes\": %zu, \"processors\": ", i ? ", " : "", m->caches[i].level, m->caches[i].bytes);
        print_quoted(m->caches[i].processors, '\\');
        printf("}");
    }
    printf("]}\n");
}

static void print_json(const struct bench_result *r) {
    const struct bench_case *c = &r->what;
    printf("{\"shape\": [");
    for (int i = 0; i < c->shape.rank; i++) printf(i ? ", %ld" : "%ld", c->shape.size[i]);
    printf("], \"layout\": \"%s\", \"dtype\": \"%s\", \"op\": \"%s\", \"act\": \"%s\", \"residual\": %s, \"threads\": %d, ",
           bench_layout_name(c), type_name(c->dtype), bench_operation_names[c->operation], bench_activation_name(c->activation),
           c->residual ? "true" : "false", c->threads);
    printf("\"bytes\": %zu, \"ms\": %.6g, \"gb_per_s\": %.4g, \"share\": %.4g, ", bench_bytes(c), 1e3 * r->seconds,
           bench_rate(r), bench_share(r));
    printf("\"copy\": \"%s\", \"copy_threads\": %d, \"copy_ms\": %.6g, \"copy_gb_per_s\": %.4g, \"rounds\": %zu}\n",
           bench_copy_kind_names[r->copy], r->copy_threads, 1e3 * r->copy_seconds, bench_copy_rate(r), r->rounds);
}

static void print_csv(const struct bench_machine *m, const struct bench_result *r) {
    const struct bench_case *c = &r->what;
    char shape[BENCH_SHAPE_TEXT_BYTES], caches[BENCH_CACHES_TEXT_BYTES];
    printf("%s,%s,%s,%s,%s,%d,%d,", bench_shape_text(&c->shape, shape), bench_layout_name(c), type_name(c->dtype),
           bench_operation_names[c->operation], bench_activation_name(c->activation), c->residual, c->threads);
    printf("%zu,%.6g,%.4g,%.4g,%s,%d,%.6g,%.4g,%zu,", bench_bytes(c), 1e3 * r->seconds, bench_rate(r), bench_share(r),
           bench_copy_kind_names[r->copy], r->copy_threads, 1e3 * r->copy_seconds, bench_copy_rate(r), r->rounds);
    printf("%s,%s,", m->version, m->isa);
    print_quoted(m->compiler, '"');
    printf(",");
    print_quoted(m->cpu, '"');
    printf(",%ld,%d,%d,", m->processors, m->openmp, m->copy_vector_bytes);
    print_quoted(bench_caches_text(m, caches), '"');
    printf("\n");
}

void bench_print_head(const struct bench_request *request, const struct bench_machine *machine) {
    if (bench_request_format(request) == BENCH_JSON)
        print_json_head(machine);
    else if (bench_request_format(request) == BENCH_TABLE)
        bench_table_head(request, machine);
    else
        printf("shape,layout,dtype,op,act,residual,threads,bytes,ms,gb_per_s,share,copy,copy_threads,copy_ms,copy_gb_per_s,"
               "rounds,version,isa,compiler,cpu,processors,openmp,copy_vector_bytes,caches\n");
    fflush(stdout);
}

void bench_print_result(const struct bench_request *request, const struct bench_machine *machine,
                        const struct bench_result *result) {
    if (bench_request_format(request) == BENCH_JSON)
        print_json(result);
    else if (bench_request_format(request) == BENCH_TABLE)
        bench_table_row(result);
    else
        print_csv(machine, result);
    fflush(stdout); /* a reader in a pipe wants each row when it is there */
}

void bench_print_foot(const struct bench_request *request, const struct bench_result *results, size_t count) {
    if (bench_request_format(request) == BENCH_TABLE && count > 0) bench_table_foot(results, count);
}
