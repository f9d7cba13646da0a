/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "tools/shared/clean.h"
#include "tools/shared/json.h"

static const char nothing[] = "nothing of it was given";

size_t report_left(const struct outcome *o) {
    size_t left = o->layers->left_count;
    for (size_t i = 0; i < o->layers->count; i++) left += !o->layers->at[i].is_taken;
    return left;
}

/* The layer that is furthest off; SIZE_MAX: there is none. */
static size_t worst_of(const struct outcome *o) {
    size_t worst = SIZE_MAX;
    for (size_t i = 0; i < o->layers->count; i++)
        if (o->layers->at[i].is_taken && (worst == SIZE_MAX || drift_size(&o->drift[i]) > drift_size(&o->drift[worst])))
            worst = i;
    return worst;
}

static void print_drift(const struct drift *d) {
    printf("mean off by %.3g sigma (channel %zu), deviation %.4g times (channel %zu)", fabs(d->shift), d->shift_at, d->ratio,
           d->ratio_at);
}

static void print_layers(const struct outcome *o) {
    const struct layers *ls = o->layers;
    for (size_t i = 0; i < ls->count; i++) {
        const struct layer *l = &ls->at[i];
        print_clean(stdout, l->key);
        if (l->is_taken) {
            printf(": depth %" PRId64 ", ", l->depth);
            print_drift(&o->drift[i]);
        } else {
            printf(": left: %s", nothing);
        }
        putchar('\n');
    }
    for (size_t i = 0; i < ls->left_count; i++) {
        print_clean(stdout, ls->left[i].key);
        printf(": left: ");
        print_clean(stdout, ls->left[i].why);
        putchar('\n');
    }
}

static void print_numbers_of(const char *name, const struct channel_numbers *numbers, enum scale_source from) {
    static const char *const words[] = {"which is usual", "of the option", "of the model's metadata"};
    printf(" %s ", name);
    for (int i = 0; i < numbers->count; i++) printf(i ? ",%.9g" : "%.9g", numbers->at[i]);
    printf(" (%s)", words[from]);
}

static void print_scale(const struct scale *s) {
    printf("images:");
    print_numbers_of("mean", &s->mean, s->mean_from);
    putchar(',');
    print_numbers_of("std", &s->std, s->std_from);
    putchar('\n');
}

static void print_text(const struct outcome *o) {
    const struct recalibrate_request *r = o->request;
    const size_t left = report_left(o), all = o->layers->norms;
    const size_t worst = worst_of(o);
    if (r->explain || r->check) print_layers(o);
    if (o->scale) print_scale(o->scale);
    print_clean(stdout, r->output ? r->output : r->files.at[0]);
    printf(": %zu of %zu batch norms %s", all - left, all, r->check ? "were looked at" : "have new statistics");
    if (o->samples) printf(", %s %zu samples", r->check ? "with" : "of", o->samples);
    if (o->left_out) printf(" (%zu are no whole batch, and were left out)", o->left_out);
    if (worst != SIZE_MAX) {
        printf("; furthest off %s \"", r->check ? "is" : "was");
        print_clean(stdout, o->layers->at[worst].key);
        printf("\": ");
        print_drift(&o->drift[worst]);
    }
    putchar('\n');
}

static void print_numbers(const struct drift *d, const char *shift, const char *ratio) {
    print_json_number(shift, "%.9g", d->shift);
    print_json_number(ratio, "%.9g", d->ratio);
}

static void print_scale_json(const char *name, const struct channel_numbers *numbers, enum scale_source from) {
    static const char *const words[] = {"default", "option", "metadata"};
    printf(", \"%s\": [", name);
    for (int i = 0; i < numbers->count; i++) printf(i ? ", %.17g" : "%.17g", numbers->at[i]);
    printf("], \"%s_from\": \"%s\"", name, words[from]);
}

static void print_layers_json(const struct outcome *o) {
    const struct layers *ls = o->layers;
    printf(", \"batch_norms\": [");
    for (size_t i = 0; i < ls->count; i++) {
        const struct layer *l = &ls->at[i];
        printf(i ? ", {\"name\": " : "{\"name\": ");
        print_json_text(l->key);
        printf(", \"depth\": %" PRId64 ", \"channels\": %zu", l->depth, l->channels);
        if (l->is_taken) {
            print_json_number("values", "%.17g", l->stats[0].count);
            print_numbers(&o->drift[i], "shift", "ratio");
        } else {
            printf(", \"why\": \"%s\"", nothing);
        }
        if (o->before) print_numbers(&o->before[i], "shift_before", "ratio_before");
        if (o->after) print_numbers(&o->after[i], "shift_after", "ratio_after");
        putchar('}');
    }
    for (size_t i = 0; i < ls->left_count; i++) {
        printf(ls->count + i ? ", {\"name\": " : "{\"name\": ");
        print_json_text(ls->left[i].key);
        printf(", \"why\": ");
        print_json_text(ls->left[i].why);
        putchar('}');
    }
    putchar(']');
}

static void print_json(const struct outcome *o) {
    const struct recalibrate_request *r = o->request;
    printf("{\"model\": ");
    print_json_text(r->files.at[0]);
    printf(", \"output\": ");
    if (r->output)
        print_json_text(r->output);
    else
        printf("null");
    printf(", \"method\": \"%s\"", r->check ? "check" : r->merge ? "merge" : r->method == METHOD_BATCH ? "batch" : "exact");
    if (o->runtime) printf(", \"runtime\": ");
    if (o->runtime) print_json_text(o->runtime);
    if (o->samples)
        printf(", \"samples\": %zu, \"batches\": %zu, \"left_out\": %zu, \"bytes_in_files\": %" PRIu64, o->samples, o->batches,
               o->left_out, o->in_files);
    if (o->scale) print_scale_json("mean", &o->scale->mean, o->scale->mean_from);
    if (o->scale) print_scale_json("std", &o->scale->std, o->scale->std_from);
    printf(", \"count\": %zu, \"left\": %zu", o->layers->norms, report_left(o));
    if (r->output)
        printf(", \"tensors\": %zu, \"flushed\": %zu, \"bytes\": %" PRIu64, o->counts.tensors, o->counts.flushed,
               o->counts.bytes);
    print_layers_json(o);
    printf("}\n");
}

void report_print(const struct outcome *o) {
    if (o->request->json)
        print_json(o);
    else
        print_text(o);
}
