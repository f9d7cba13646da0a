/* SPDX-License-Identifier: MIT */
/* batchnorm inspect: the batch norms of people's own models. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "folder.h"
#include "health.h"
#include "listing.h"
#include "request.h"
#include "tools/shared/clean.h"
#include "tools/shared/conventions.h"
#include "tools/shared/json.h"
#include "tools/shared/messages.h"
#include "tools/shared/model_file.h"
#include "tools/shared/terminal.h"

/* What a run has found. */
struct run {
    struct inspect_request request;
    batchnorm_model_options options;
    bool failed, unhealthy;
};

/* Tensors */

static void print_tensors(const struct run *run, const batchnorm_model *model) {
    batchnorm_model_tensor t;
    for (size_t i = 0; batchnorm_model_tensor_at(model, i, &t); i++) {
        if (!inspect_wants(&run->request, t.name)) continue;
        print_clean(stdout, t.name);
        printf("  %s [", t.type);
        for (int d = 0; d < t.rank; d++) printf(d ? ", %" PRId64 : "%" PRId64, t.shape[d]);
        printf(t.is_external ? "]  external\n" : "]\n");
    }
    for (size_t i = 0; batchnorm_model_skipped(model, i); i++) {
        const char *type = batchnorm_model_skipped_type(model, i);
        print_clean(stdout, batchnorm_model_skipped(model, i));
        printf(type ? "  skipped: a tensor that is not read, " : "  skipped: no tensor of the state");
        if (type) print_clean(stdout, type);
        putchar('\n');
    }
}

static void print_tensors_json(const struct run *run, const batchnorm_model *model) {
    batchnorm_model_tensor t;
    bool first = true;
    printf(", \"tensors\": [");
    for (size_t i = 0; batchnorm_model_tensor_at(model, i, &t); i++) {
        if (!inspect_wants(&run->request, t.name)) continue;
        printf(first ? "{\"name\": " : ", {\"name\": ");
        print_json_text(t.name);
        printf(", \"type\": \"%s\", \"shape\": [", t.type);
        for (int d = 0; d < t.rank; d++) printf(d ? ", %" PRId64 : "%" PRId64, t.shape[d]);
        printf("], \"external\": %s}", t.is_external ? "true" : "false");
        first = false;
    }
    printf("], \"skipped\": [");
    for (size_t i = 0; batchnorm_model_skipped(model, i); i++) {
        if (i) printf(", ");
        print_json_text(batchnorm_model_skipped(model, i));
    }
    printf("]");
}

/* Batch norms */

/* Counts of a file. */
struct summary {
    size_t norms, foldable, unhealthy, unread;
    size_t of[CONVENTIONS]; /* by the table of conventions */
    int64_t channels;
};

static void count(struct summary *s, const struct listed *listed, bool is_state) {
    const batchnorm_model_norm *n = &listed->norm;
    char text[HEALTH_BYTES];
    if (listed->convention) s->of[convention_find(listed->convention) - conventions]++;
    s->norms++;
    s->foldable += n->outcome != BATCHNORM_FOLD_LEFT;
    s->unhealthy += health_text(n, is_state, text) > 0;
    s->unread += n->channels < 0;
    s->channels += n->channels > 0 ? n->channels : 0;
}

static const char *outcome_text(const batchnorm_model_norm *n) {
    static const char *const texts[] = {[BATCHNORM_FOLD_LEFT] = "stays",
                                        [BATCHNORM_FOLD_BEFORE] = "folds into",
                                        [BATCHNORM_FOLD_AFTER] = "folds into",
                                        [BATCHNORM_FOLD_NORM] = "joins",
                                        [BATCHNORM_FOLD_PARTS] = "folds into what is joined by",
                                        [BATCHNORM_FOLD_MUL_ADD] = "becomes a Mul and an Add",
                                        [BATCHNORM_FOLD_ADD] = "becomes an Add, its scale folds into"};
    return texts[n->outcome];
}

static void print_norm(const struct listing *l, size_t index, int width) {
    const batchnorm_model_norm *n = &l->at[index].norm;
    char health[HEALTH_BYTES], eps[32] = "?", channels[24] = "?";
    health_text(n, l->is_state, health);
    if (isfinite(n->eps)) snprintf(eps, sizeof eps, "%.6g%s", n->eps, n->has_eps ? "" : "*");
    if (n->channels >= 0) snprintf(channels, sizeof channels, "%" PRId64, n->channels);
    terminal_print_name(n->name, width);
    printf("  %8s", channels);
    if (l->is_mixed) printf("  %-8s", l->at[index].convention);
    if (!l->is_state) {
        printf("  %-8s  ", eps);
        terminal_print_name(n->before ? n->before : "-", 13);
        printf("  ");
        terminal_print_name(n->after ? n->after : "-", 13);
    } else if (n->num_batches_tracked >= 0) {
        printf("  %10" PRId64 " batches", n->num_batches_tracked);
    }
    printf("  %s", health);
    if (!l->is_state) {
        printf("; %s", outcome_text(n));
        if (n->target) putchar(' ');
        if (n->target) print_clean(stdout, n->target);
        if (n->why) printf(": ");
        if (n->why) print_clean(stdout, n->why);
        if (n->note) printf("; %s", n->note);
    }
    putchar('\n');
}

static void print_norm_json(const struct listed *listed, bool is_state, bool first) {
    const batchnorm_model_norm *n = &listed->norm;
    char health[HEALTH_BYTES];
    printf(first ? "{\"name\": " : ", {\"name\": ");
    print_json_text(n->name);
    printf(", \"channels\": ");
    if (n->channels >= 0)
        printf("%" PRId64, n->channels);
    else
        printf("null");
    if (listed->convention) printf(", \"convention\": \"%s\"", listed->convention);
    print_json_number("eps", "%.9g", n->eps);
    printf(", \"eps_in_file\": %s, \"training\": %s", n->has_eps ? "true" : "false", n->is_training ? "true" : "false");
    if (n->num_batches_tracked >= 0) printf(", \"num_batches_tracked\": %" PRId64, n->num_batches_tracked);
    for (int i = 0; i < BATCHNORM_ILLNESSES; i++) printf(", \"%s\": %zu", health_key(i), n->ill[i]);
    printf(", \"healthy\": %s", health_text(n, is_state, health) ? "false" : "true");
    const char *const texts[] = {"before", n->before, "after", n->after, "target", n->target, "why", n->why, "note", n->note};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i += 2) {
        if (!texts[i + 1]) continue;
        printf(", \"%s\": ", texts[i]);
        print_json_text(texts[i + 1]);
    }
    printf(", \"fold\": \"%s\"}", fold_word(n->outcome));
}

/* ", of keras", or with several "(1 of pytorch, 2 of keras)"; not where the kind of the file says it. */
static void print_conventions(const struct summary *s, const char *kind) {
    int kinds = 0;
    for (int i = 0; convention_words[i]; i++) kinds += s->of[i] > 0;
    const char *before = kinds > 1 ? " (" : ", ";
    for (int i = 0; convention_words[i]; i++) {
        if (s->of[i] == 0 || strcasecmp(kind, convention_words[i]) == 0) continue;
        printf(kinds > 1 ? "%s%zu of " : "%sof ", before, s->of[i]);
        fputs(convention_words[i], stdout);
        before = ", ";
    }
    if (kinds > 1) putchar(')');
}

static void print_summary(const struct summary *s, bool is_state, const char *kind) {
    printf("%zu batch norm%s with %" PRId64 " channels", s->norms, s->norms == 1 ? "" : "s", s->channels);
    print_conventions(s, kind);
    if (!is_state) printf("; %zu can be folded", s->foldable);
    printf("; %zu unhealthy", s->unhealthy);
    if (s->unread) printf("; %zu cannot be read", s->unread);
    putchar('\n');
}

static int name_width(const struct run *run, const struct listing *l) {
    int width = 10;
    for (size_t i = 0; i < l->count; i++) {
        const char *name = l->at[i].norm.name;
        const int columns = inspect_wants(&run->request, name) ? terminal_columns(name) : 0;
        if (columns > width) width = columns;
    }
    return width < 40 ? width : 40;
}

static void print_norms(struct run *run, const char *path, const char *kind, const struct listing *l) {
    const int width = name_width(run, l);
    struct summary s = {0};
    bool default_eps = false, no_eps = false;
    for (size_t i = 0; i < l->count; i++) {
        const batchnorm_model_norm *n = &l->at[i].norm;
        if (!inspect_wants(&run->request, n->name)) continue;
        if (run->request.json)
            print_norm_json(&l->at[i], l->is_state, s.norms == 0);
        else
            print_norm(l, i, width);
        default_eps = default_eps || (!l->is_state && !n->has_eps);
        no_eps = no_eps || isnan(n->eps);
        count(&s, &l->at[i], l->is_state);
    }
    run->unhealthy = run->unhealthy || s.unhealthy || s.unread;
    if (run->request.json) {
        printf("], \"count\": %zu, \"channels\": %" PRId64 ", \"foldable\": %zu, \"unhealthy\": %zu, \"unread\": %zu", s.norms,
               s.channels, s.foldable, s.unhealthy, s.unread);
        return;
    }
    if (default_eps) printf("* eps is not in the file; the default of ONNX is taken\n");
    if (l->is_state && s.norms) printf("A state has no graph: what follows what is not in it.\n");
    if (l->is_state && no_eps) printf("It has no eps either: with --eps X the variances below X are counted, too.\n");
    print_clean(stdout, input_name(path));
    printf(" (%s): ", kind);
    print_summary(&s, l->is_state, kind);
}

static void inspect(struct run *run, const char *path) {
    struct model_file file;
    struct listing listing = {.at = NULL};
    char message[BATCHNORM_MODEL_MESSAGE];
    if (!model_file_open(&file, path, &run->options, message) ||
        (!run->request.all && !listing_open(&listing, &file, run->options.eps, message))) {
        inspect_report(path, path, message, run->request.json);
        run->failed = true;
    } else if (run->request.json) {
        printf("{\"file\": ");
        print_json_text(path);
        printf(", \"format\": \"%s\"", file.kind);
        if (run->request.all)
            print_tensors_json(run, file.model);
        else
            printf(", \"batch_norms\": [");
        if (!run->request.all) print_norms(run, path, file.kind, &listing);
        printf("}\n");
    } else if (run->request.all) {
        print_tensors(run, file.model);
    } else {
        print_norms(run, path, file.kind, &listing);
    }
    listing_free(&listing);
    model_file_close(&file);
}

static bool is_folder(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

int cmd_inspect(int argc, char **argv) {
    struct run run = {.failed = false};
    options_parse(&inspect_options, argc, argv, &run.request);
    run.options = (batchnorm_model_options){.size = sizeof run.options,
                                            .assume_constant = run.request.assume_constant,
                                            .follow_symlinks = run.request.follow_symlinks,
                                            .eps = run.request.eps,
                                            .cfg = run.request.cfg};
    for (int i = 0; i < run.request.files.count; i++) {
        const char *path = run.request.files.at[i];
        if (is_folder(path))
            run.failed = !folder_inspect(path, &run.request, &run.options, &run.unhealthy) || run.failed;
        else
            inspect(&run, path);
    }
    return run.failed || (run.request.strict && run.unhealthy) ? EXIT_FAILED : EXIT_DONE;
}
