/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "tools/shared/clean.h"
#include "tools/shared/json.h"

enum { MOST_REMARKS = 8, REMARK_BYTES = 400 };

struct remarks {
    char at[MOST_REMARKS][REMARK_BYTES];
    int count;
};

__attribute__((format(printf, 2, 3))) static void add(struct remarks *remarks, const char *format, ...) {
    va_list arguments;
    if (remarks->count == MOST_REMARKS) return;
    va_start(arguments, format);
    vsnprintf(remarks->at[remarks->count++], REMARK_BYTES, format, arguments);
    va_end(arguments);
}

static const char *layers(size_t count) { return count == 1 ? "layer" : "layers"; }

static const char *kind(bool is_unbiased) { return is_unbiased ? "unbiased" : "biased"; }

static void add_remarks(const struct conversion *c, struct remarks *r) {
    char usual[METADATA_NUMBER_BYTES], before[METADATA_NUMBER_BYTES];
    metadata_number(c->to->eps, usual);
    metadata_number(c->from->eps, before);
    const bool has_eps = c->eps[0] || c->has_own_eps, is_usual = c->from->eps == c->to->eps;
    if (!has_eps && is_usual)
        add(r, "eps is not in the file: %s in %s unless networks say otherwise. --eps X writes it.", before, c->from->name);
    if (!has_eps && !is_usual)
        add(r, "eps is not in the file: %s in %s and %s in %s unless networks say otherwise. --eps X writes it.", before,
            c->from->name, usual, c->to->name);
    if (c->is_unbiased != c->to->is_unbiased)
        add(r, "Running variances are %s, and those of %s are %s: they stay, and so do outputs. --count N converts them.",
            kind(c->is_unbiased), c->to->name, kind(c->to->is_unbiased));
    if (c->was_unbiased != c->is_unbiased)
        add(r, "Running variances were %s and are %s.", kind(c->was_unbiased), kind(c->is_unbiased));
    if (c->divided)
        add(r, "Mean and variance of %zu %s were divided by a factor, which is 1 now.", c->divided, layers(c->divided));
    if (c->fixed) add(r, "gamma of %zu %s was not 1, is read as 1 and is 1 now.", c->fixed, layers(c->fixed));
    if (c->filled)
        add(r, "%zu %s of ones or zeros %s added, because %s has no layer without.", c->filled,
            c->filled == 1 ? "array" : "arrays", c->filled == 1 ? "was" : "were", c->to->name);
    if (c->moved)
        add(r, "num_batches_tracked of %zu %s went into the metadata, from which it comes back.", c->moved, layers(c->moved));
}

static void print_told(const char *name, const char *text) {
    double value = (double)NAN;
    if (!metadata_read(text, &value)) value = (double)NAN;
    print_json_number(name, "%.17g", value);
}

static void print_json(const struct conversion *c, const struct remarks *r, size_t channels) {
    printf("{\"file\": ");
    print_json_text(c->request->files.at[0]);
    printf(", \"output\": ");
    print_json_text(c->request->output);
    printf(", \"format\": \"%s\", \"count\": %zu, \"channels\": %zu, \"tensors\": %zu", c->state.file->kind, c->norms.count,
           channels, c->state.count);
    if (c->from) {
        printf(", \"from\": \"%s\", \"to\": \"%s\", \"recognized\": %s", c->from->name, c->to->name,
               c->request->has_from || c->has_format ? "false" : "true");
        print_told("eps", c->eps);
        print_told("momentum", c->momentum);
        printf(", \"variance\": \"%s\"", kind(c->is_unbiased));
    }
    printf(", \"remarks\": [");
    for (int i = 0; i < r->count; i++) {
        if (i) printf(", ");
        print_json_text(r->at[i]);
    }
    printf("]}\n");
}

void conversion_print(const struct conversion *c, size_t channels) {
    struct remarks remarks = {.count = 0};
    if (c->from) add_remarks(c, &remarks);
    if (c->request->json) {
        print_json(c, &remarks, channels);
        return;
    }
    print_clean(stdout, c->request->output);
    printf(": %zu tensor%s", c->state.count, c->state.count == 1 ? "" : "s");
    if (!c->from) {
        printf(", no batch norm among them\n");
        return;
    }
    printf("; %zu batch norm%s with %zu channel%s, of %s%s", c->norms.count, c->norms.count == 1 ? "" : "s", channels,
           channels == 1 ? "" : "s", c->from->name, c->request->has_from || c->has_format ? "" : " (recognized by names)");
    if (c->from != c->to) printf(", %s now %s's", c->norms.count == 1 ? "is" : "are", c->to->name);
    putchar('\n');
    for (int i = 0; i < remarks.count; i++) printf("%s\n", remarks.at[i]);
}
