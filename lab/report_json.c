/* SPDX-License-Identifier: MIT */
/* By jansson, which may be missing. */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "batchnorm/batchnorm.h"
#include "nn/choices.h"
#include "report.h"
#include "tools/shared/json.h"

#ifdef LAB_HAVE_JSON
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool report_has_json(void) { return true; }

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *spread(const struct spread *s) {
    if (s->count == 0) return json_null();
    return json_pack("{s:I, s:o, s:o, s:o}", "seeds", (json_int_t)s->count, "median", number(s->median), "low", number(s->low),
                     "high", number(s->high));
}

static json_t *claim(const struct claim *c) {
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "experiment", experiment_names[c->experiment], "claim",
                     c->text, "note", c->note, "verdict", verdict_names[c->verdict], "held", (json_int_t)c->held, "of",
                     (json_int_t)c->pairs, "with", spread(&c->sides[SIDE_WITH]), "without", spread(&c->sides[SIDE_WITHOUT]));
}

static json_t *row(const struct metric *r) {
    return json_pack("{s:s, s:s, s:o, s:i, s:I, s:s, s:s, s:o}", "experiment", experiment_names[r->experiment], "norm",
                     side_names[r->side], "at", number(r->at), "seed", r->seed, "step", (json_int_t)r->step, "layer", r->layer,
                     "name", r->name, "value", number(r->value));
}

/* Names of files may be anything, JSON is UTF-8: other bytes become question marks. */
static json_t *text_of(const char *text) {
    char *copy = strdup(text);
    for (char *at = copy; copy && *at;) {
        const size_t length = utf8_length(at);
        if (length == 0) *at = '?';
        at += length ? length : 1;
    }
    json_t *string = copy ? json_string(copy) : NULL;
    free(copy);
    return string;
}

static json_t *steps_of(const struct report *report) {
    json_t *steps = json_object();
    for (int i = 0; i < EXPERIMENTS && report->train; i++)
        if (plan_has(report->request, (enum experiment)i))
            json_object_set_new(steps, experiment_names[i],
                                json_integer(plan_steps(report->request, (enum experiment)i, report->train->count)));
    return steps;
}

static json_t *settings(const struct report *report) {
    const struct compare_request *r = report->request;
    return json_pack("{s:o, s:I, s:I, s:s, s:s, s:s, s:f, s:f, s:I, s:o, s:i, s:i, s:b}", "data", text_of(r->data),
                     "train_images", (json_int_t)(report->train ? report->train->count : 0), "test_images",
                     (json_int_t)(report->test ? report->test->count : 0), "model", plan_model_name(r), "activation",
                     nn_activation_words[r->activation], "optimizer", "sgd", "lr", r->rate, "momentum", r->momentum, "batch",
                     (json_int_t)r->batch, "steps", steps_of(report), "seeds", r->seeds, "threads", r->threads, "full",
                     r->full);
}

char *report_json(const struct report *report) {
    json_t *claims = json_array(), *rows = json_array(), *done = json_object();
    for (size_t i = 0; i < report->claim_count; i++) json_array_append_new(claims, claim(&report->claims[i]));
    for (size_t i = 0; i < report->metrics->count; i++) json_array_append_new(rows, row(&report->metrics->rows[i]));
    for (int i = 0; i < EXPERIMENTS; i++)
        if (plan_has(report->request, (enum experiment)i))
            json_object_set_new(done, experiment_names[i], json_integer(report->seeds_done[i]));
    json_t *all = json_pack("{s:s, s:s, s:s, s:b, s:f, s:o, s:o, s:o, s:o}", "run", report->run, "version", batchnorm_version(),
                            "machine", report->machine, "complete", !report->stopped, "seconds", report->seconds, "settings",
                            settings(report), "seeds_done", done, "claims", claims, "rows", rows);
    char *text = all ? json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(all);
    return text;
}

void report_print_json(const struct report *report) {
    for (size_t i = 0; i < report->claim_count; i++) {
        json_t *object = claim(&report->claims[i]);
        char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
        if (text) puts(text);
        free(text);
        json_decref(object);
    }
}

#else

bool report_has_json(void) { return false; }

char *report_json(const struct report *report) {
    (void)report;
    return NULL;
}

void report_print_json(const struct report *report) { (void)report; }

#endif
