/* SPDX-License-Identifier: MIT */
/* batchnorm bench: how close the library comes to the speed of copying memory, here. */
#include <signal.h>
#include <stdlib.h>

#include "explain.h"
#include "report.h"
#include "request.h"
#include "svg.h"
#include "tools/shared/messages.h"
#include "tools/shared/outputs.h"
#include "tools/shared/stop.h"
#include "tune.h"

/* What a run holds. */
struct run {
    const struct bench_request *request;
    struct bench_machine machine;
    struct bench_case *cases;
    struct bench_result *results;
    size_t count;
    void *memory; /* for the arrays of the largest case */
};

/* Look for the memory before anything is timed. */
static bool reserve(struct run *run) {
    char text[BENCH_CASE_TEXT_BYTES];
    const struct bench_case *largest = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < run->count; i++) {
        const size_t needed = bench_job_bytes(&run->cases[i]);
        if (largest && needed != 0 && needed <= bytes) continue;
        largest = &run->cases[i];
        bytes = needed;
        if (needed == 0) break;
    }
    const size_t there = bench_machine_free_bytes();
    bench_case_text(largest, text);
    if (bytes == 0)
        report(EXIT_FAILED, "%s: the arrays do not fit the address space", text);
    else if (bytes > there)
        report(EXIT_FAILED, "%s: needs %.1f GB of memory, and %.1f GB are free; give smaller sizes with --shape", text,
               (double)bytes / 1e9, (double)there / 1e9);
    else if (!(run->memory = malloc(bytes)))
        report(EXIT_FAILED, "%s: there are no %.1f GB of memory; give smaller sizes with --shape", text, (double)bytes / 1e9);
    return run->memory != NULL;
}

/* A signal came: what is done by then is shown. */
static volatile sig_atomic_t stopped;

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

static bool show(void *line, double share, double rate) {
    bench_line_show(line, share, rate);
    return !stopped;
}

static bool time_case(struct run *run, size_t index, struct bench_line *line) {
    char text[BENCH_CASE_TEXT_BYTES];
    const struct bench_case *c = &run->cases[index];
    struct bench_job job;
    bench_line_case(line, c);
    batchnorm_status status = bench_job_prepare(&job, c, run->memory);
    if (!status) status = bench_measure(&job, run->request->seconds, show, line, &run->results[index]);
    bench_line_hide(line);
    if (!status) return true;
    report(EXIT_FAILED, "%s: %s", bench_case_text(c, text), batchnorm_status_string(status));
    return false;
}

static bool tune(struct run *run) { return bench_tune(run->request, run->cases, run->count, run->memory, &stopped); }

static bool time_all(struct run *run) {
    struct bench_line line = bench_line_begin(run->count, run->request->seconds);
    bench_machine_read(&run->machine);
    bench_print_head(run->request, &run->machine);
    for (size_t i = 0; i < run->count; i++) {
        if (!time_case(run, i, &line)) return false;
        if (run->results[i].rounds == 0) {
            report(EXIT_DONE, "stopped; %zu of %zu cases are done", i, run->count);
            run->count = i;
            break;
        }
        bench_print_result(run->request, &run->machine, &run->results[i]);
        if (ferror(stdout)) return false; /* main says so */
    }
    bench_print_foot(run->request, run->results, run->count);
    return true;
}

static bool draw(const struct run *run, struct output *svg) {
    char *text = bench_svg_draw(&run->machine, run->results, run->count);
    svg->text = text;
    const bool ok = text && outputs_write(svg, 1) && outputs_commit(svg, 1);
    free(text);
    return ok;
}

static bool bench(const struct bench_request *request, struct output *svg) {
    struct run run = {.request = request};
    run.cases = bench_request_cases(request, &run.count);
    run.results = calloc(run.count, sizeof *run.results);
    bool ok = run.cases && run.results;
    if (!ok) report(EXIT_FAILED, "no memory for %zu cases", run.count);
    ok = ok && reserve(&run) && (request->tune ? tune(&run) : time_all(&run)) &&
         (!request->svg || run.count == 0 || draw(&run, svg));
    free(run.memory);
    free(run.results);
    free(run.cases);
    return ok;
}

int cmd_bench(int argc, char **argv) {
    static struct bench_request request; /* too large for a stack */
    bench_options.defaults(&request);
    options_parse(&bench_options, argc, argv, &request);
    if (request.explain) return bench_explain(&request) ? EXIT_DONE : EXIT_FAILED;
    struct output svg = {.option = "--svg", .argument = request.svg, .whole_file = true};
    int code = outputs_check(&svg, 1);
    stop_on_signals(stop);
    if (code == EXIT_DONE) code = (!request.svg || bench_svg_possible()) && bench(&request, &svg) ? EXIT_DONE : EXIT_FAILED;
    outputs_free(&svg, 1);
    stop_end_by_signal();
    return code;
}
