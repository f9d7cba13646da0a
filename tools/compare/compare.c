/* SPDX-License-Identifier: MIT */
/* batchnorm compare: what is claimed of batch norm, measured. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lab/saving.h"
#include "nn/machine.h"
#include "request.h"
#include "tools/bench/machine.h"
#include "tools/shared/clean.h"
#include "tools/shared/data_notes.h"
#include "tools/shared/gnuplot.h"
#include "tools/shared/messages.h"
#include "tools/shared/started.h"
#include "tools/shared/stop.h"

/* What a run holds. */
struct comparison {
    struct lab lab;
    struct report report;
    struct claim claims[MOST_CLAIMS];
    char machine[512], run[RUN_NAME_BYTES];
    double start;
    bool draw;
};

#define EXPERIMENT(constant, name) {run_##name, work_##name},
static const struct {
    nn_error (*run)(struct lab *lab, int seed);
    double (*work)(const struct lab *lab); /* of one seed */
} experiments[EXPERIMENTS] = {LAB_EXPERIMENTS(EXPERIMENT)};

static void stop(int signal) {
    (void)signal;
    lab_stop = 1;
}

static void describe_machine(struct comparison *c) {
    struct bench_machine m;
    bench_machine_read(&m);
    snprintf(c->machine, sizeof c->machine, "%s, %ld processor%s; batchnorm %s, %s, %s; %s", m.cpu, m.processors,
             m.processors == 1 ? "" : "s", m.version, m.isa, m.compiler, nn_backend_name());
}

static void begin(struct comparison *c) {
    const struct compare_request *r = c->lab.request;
    double work = 0;
    for (int i = 0; i < EXPERIMENTS; i++)
        if (plan_has(r, (enum experiment)i)) work += experiments[i].work(&c->lab);
    describe_machine(c);
    plan_name_run(r, c->lab.train.count, c->lab.test.count, (long long)time(NULL), (long)getpid(), c->run);
    c->start = nn_seconds();
    c->lab.progress = progress_begin(work * r->seeds);
    c->report = (struct report){.request = r,
                                .metrics = &c->lab.metrics,
                                .claims = c->claims,
                                .train = &c->lab.train,
                                .test = &c->lab.test,
                                .machine = c->machine,
                                .run = c->run,
                                .stopped = true}; /* as long as it is not complete: it may be killed at any time */
}

/* What there is by now. Claims are about complete pairs of runs. Figures are, too, as far as there is one. */
static bool save(struct comparison *c, bool draw) {
    struct report *r = &c->report;
    int shown[EXPERIMENTS];
    for (int i = 0; i < EXPERIMENTS; i++) shown[i] = r->seeds_done[i] > 0 ? r->seeds_done[i] : MOST_SEEDS;
    struct metrics complete = metrics_of_seeds(&c->lab.metrics, r->seeds_done), some = metrics_of_seeds(&c->lab.metrics, shown);
    bool ok = !complete.failed && !some.failed;
    if (ok) {
        r->claim_count = claims_make(&complete, r->request->experiments, c->claims);
        r->shown = &some;
        r->samples = c->lab.samples;
        r->sample_count = r->seeds_done[CONVERGENCE] > 0 ? c->lab.sample_count : 0; /* predictions of both sides */
        r->seconds = nn_seconds() - c->start;
        draw = draw && c->draw;
        const bool wanted = draw;
        ok = saving_write(r, &draw);
        if (wanted && !draw) c->draw = false; /* nor will it the next time */
    } else {
        report(EXIT_FAILED, "no memory for a report");
    }
    r->shown = NULL;
    metrics_free(&complete);
    metrics_free(&some);
    return ok;
}

static nn_error run_all(struct comparison *c) {
    const struct compare_request *r = c->lab.request;
    for (int i = 0; i < EXPERIMENTS; i++) {
        for (int seed = 1; plan_has(r, (enum experiment)i) && seed <= r->seeds; seed++) {
            const nn_error error = experiments[i].run(&c->lab, seed);
            if (error) return error;
            c->report.seeds_done[i]++;
        }
        /* a long run keeps what it has, whatever may happen to it */
        if (plan_has(r, (enum experiment)i) && i + 1 < EXPERIMENTS && !save(c, r->full))
            return "what was measured cannot be saved";
    }
    return NULL;
}

static void print_end(const struct comparison *c) {
    const struct compare_request *r = c->lab.request;
    if (r->json) {
        report_print_json(&c->report);
        return;
    }
    report_print_table(&c->report);
    if (c->report.stopped) printf("Stopped before the end: the report says what is missing.\n");
    printf("%.0f s. Report: ", c->report.seconds);
    print_clean(stdout, r->out);
    printf("/report.html\nNumbers: ");
    print_clean(stdout, r->out);
    printf("/metrics.csv%s\n", report_has_json() ? ", metrics.json" : "");
}

static int compare(struct comparison *c) {
    begin(c);
    stop_on_signals(stop);
    nn_error error = run_all(c);
    progress_hide(&c->lab.progress);
    if (!error && c->lab.metrics.failed) error = NN_NO_MEMORY;
    c->report.stopped = error != NULL;
    const bool saved = save(c, true);
    if (error && error != LAB_STOPPED) return report(EXIT_FAILED, "%s", error);
    if (!saved) return EXIT_FAILED;
    print_end(c);
    return EXIT_DONE;
}

/* The first images, as many as the plan has. */
static bool load(struct comparison *c, const struct compare_request *r) {
    static char message[NN_MESSAGE_BYTES];
    static nn_data_notes notes;
    const uint32_t tests = r->plan.test_images;
    const nn_data_options options = {.limit = r->plan.train_images, .notes = &notes};
    if (!nn_dataset_load_with(r->data, &options, &c->lab.train, &c->lab.test, message)) {
        report(EXIT_FAILED, "%s", message);
        return false;
    }
    data_notes_report(&notes);
    if (tests > 0 && tests < c->lab.test.count) c->lab.test.count = tests;
    return true;
}

static int compare_with_data(struct comparison *c, const struct compare_request *r) {
    const nn_error error = nn_backend_create(r->threads, &c->lab.backend);
    if (error) return report(EXIT_FAILED, "%s", error);
    c->draw = gnuplot_there(); /* which says what is missing */
    if (!c->draw) report(EXIT_DONE, "the report will have the numbers of its figures only");
    if (!report_has_json()) report(EXIT_DONE, "built without jansson: there will be no metrics.json");
    const int code = compare(c);
    nn_backend_destroy(c->lab.backend);
    return code;
}

/* Of several processes that would all write the same report, the first alone works. */
static bool is_for_another(void) {
    int rank, ranks;
    if (!started_with_others(&rank, &ranks) || ranks == 1) return false;
    if (rank == 0)
        report(EXIT_DONE, "started as %d processes, of which the first does it all: the ranks that it compares are simulated",
               ranks);
    return rank > 0;
}

int cmd_compare(int argc, char **argv) {
    static struct compare_request request;
    static struct comparison c;
    compare_options.defaults(&request);
    options_parse(&compare_options, argc, argv, &request);
    if (!nn_backend_name()) {
        return report(EXIT_FAILED, "built without a convolution library; install oneDNN (Debian: libdnnl-dev) or a CBLAS "
                                   "(libopenblas-dev) and build again");
    }
    if (request.json && !report_has_json())
        return report(EXIT_FAILED, "--json: built without jansson; install it (Debian: libjansson-dev) and build again");
    if (is_for_another()) return EXIT_DONE;
    c.lab.request = &request;
    if (!load(&c, &request)) return EXIT_FAILED;
    int code = saving_prepare(request.out);
    if (code == EXIT_DONE) code = compare_with_data(&c, &request);
    metrics_free(&c.lab.metrics);
    free(c.lab.samples);
    nn_dataset_free(&c.lab.train);
    nn_dataset_free(&c.lab.test);
    stop_end_by_signal();
    return code;
}
