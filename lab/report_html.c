/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <stdlib.h>
#include <string.h>

#include "batchnorm/batchnorm.h"
#include "report_parts.h"
#include "tools/shared/markup.h"
#include "tools/shared/messages.h"
#include "tools/shared/picture.h"

/* What each experiment asks, and how it is measured. */
static const struct {
    const char *title, *method;
} chapters[EXPERIMENTS] = {
    [CONVERGENCE] = {"Faster convergence",
                     "Both networks train at the same learning rate, and are tested now and then, in evaluation mode; the one "
                     "with batch norm also with the statistics of each test batch in place of the running ones. Seconds are "
                     "those of training alone, without tests."},
    [GRADIENTS] = {"More stable gradients",
                   "The L2 norm of the gradient of each layer's weights at every step; and at some steps, how much the loss "
                   "and the gradient change along the direction in which the step goes (the measure of Santurkar et al., "
                   "2018)."},
    [SWEEP] = {"Larger learning rates",
               "Both networks train at eight learning rates from 0.003 to 10 and are tested at the end."},
    [BEST] =
        {"A better minimum",
         "Each network trains longer than in the other experiments, at the learning rate that did best for it in the sweep. "
         "Where the best test of the last third of the steps is better than all before it by more than 2 % (of its loss, or of "
         "the share of images that are wrong) in at least half of the runs of either network, the minimum has not been "
         "reached, and the verdict is \"too short to tell\"."},
    [SIGMOID] =
        {"Sigmoid and vanishing gradients",
         "The same network with sigmoids as its activation. A sigmoid that is saturated has nearly no slope, and passes nearly "
         "no gradient on."},
    [LAYER] = {"What the layer does",
               "Channels before and after batch norm in one batch at the end of training; running statistics beside those of "
               "many training images, with the weights of that moment; and training mode beside evaluation mode on the test "
               "images, for batches of 1 to 256."},
    [RANKS] = {
        "Many ranks",
        "Every batch is spread over ranks of 2, 4 or 8 images. Each takes the mean and variance of its own images, gradients "
        "are added, and the running statistics are those of the first rank: data-parallel training as it is without "
        "synchronized batch norm. Ranks are simulated, one after the other. Synchronized, all ranks normalize with the "
        "statistics of the whole batch, and the result does not depend on how it is spread."}};

/* The median in full, the range smaller. */
static void write_side(FILE *page, const struct claim *claim, enum side side) {
    const struct spread *s = &claim->sides[side];
    char text[WORD_BYTES];
    word_spread(s, claim->unit, text);
    char *range = strchr(text, '(');
    fprintf(page, "<td class=\"%s%s\" data-label=\"%s\"><span>", side_names[side], s->count == 0 ? " none" : "",
            side_names[side]);
    if (range) {
        range[-1] = '\0';
        markup_text(page, text);
        fputs(" <span class=\"range\">", page);
        markup_text(page, range);
        fputs("</span>", page);
    } else {
        markup_text(page, text);
    }
    fputs("</span></td>", page);
}

static void write_verdict(FILE *page, const struct claim *claim) {
    static const char *const classes[VERDICTS] = {"unknown", "holds", "mixed", "fails", "mixed"};
    static const char *const signs[VERDICTS] = {"", "&#10003; ", "&#8776; ", "&#10007; ", "&#8230; "};
    fprintf(page, "<td data-label=\"verdict\"><span class=\"verdict %s\">%s%s", classes[claim->verdict], signs[claim->verdict],
            verdict_names[claim->verdict]);
    if (claim->verdict != NOT_MEASURED)
        fprintf(page, " <span class=\"range\">%zu of %zu seeds</span>", claim->held, claim->pairs);
    fputs("</span></td>", page);
}

void html_claims(FILE *page, const struct report *report) {
    const struct claim *previous = NULL;
    fputs("<table class=\"claims\"><thead><tr><th>claim</th><th class=\"with\">with batch norm</th><th "
          "class=\"without\">without</th>"
          "<th>verdict</th></tr></thead><tbody>\n",
          page);
    for (size_t i = 0; i < report->claim_count; i++) {
        const struct claim *c = &report->claims[i];
        if (!previous || previous->experiment != c->experiment)
            fprintf(page, "<tr class=\"group\"><th colspan=\"4\"><a href=\"#%s\">%s</a></th></tr>\n",
                    experiment_names[c->experiment], chapters[c->experiment].title);
        previous = c;
        fputs("<tr><th scope=\"row\">", page);
        markup_text(page, c->text);
        if (*c->note) fputs("<br><span class=\"note\">", page);
        markup_text(page, c->note);
        fputs(*c->note ? "</span></th>" : "</th>", page);
        write_side(page, c, SIDE_WITH);
        write_side(page, c, SIDE_WITHOUT);
        write_verdict(page, c);
        fputs("</tr>\n", page);
    }
    fputs("</tbody></table>\n", page);
}

static void write_head(FILE *page, const struct report *report) {
    const struct compare_request *r = report->request;
    char summary[160];
    report_summary(report, summary, sizeof summary);
    fputs(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
        /* nothing can be loaded, and nothing can run */
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        "<title>What batch norm buys</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n",
        page);
    fputs(report_style, page);
    fprintf(page, "</style></head>\n<body><header><h1>What batch norm buys</h1>\n<p class=\"lead\">%s.</p>\n", summary);
    fprintf(
        page,
        "<p>The same network (%s) is trained with and without batch normalization, from the same initial weights, on the same "
        "images in the same order, once for each of %d seed%s. Numbers are medians over the seeds, with the range. A claim "
        "holds if it does so for every seed, does not hold if for none, and is mixed otherwise.</p>\n",
        plan_model_name(r), r->seeds, r->seeds == 1 ? "" : "s");
    if (report->stopped)
        fputs("<p class=\"notice\"><strong>This run was stopped before its end, or is not there yet.</strong> What was "
              "measured until then is shown; the parts that are missing or incomplete say so.</p>\n",
              page);
    html_settings(page, report);
    html_claims(page, report);
    fputs("</header>\n<main>\n", page);
}

/* What there is of an experiment that was not finished. */
static void write_missing(FILE *page, const struct report *report, enum experiment experiment, size_t figures) {
    const int done = report->seeds_done[experiment], seeds = report->request->seeds;
    if (done == seeds) return;
    if (figures == 0)
        fputs("<p class=\"notice\">Not measured: the run was stopped before.</p>\n", page);
    else if (done == 0)
        fputs("<p class=\"notice\">Incomplete: no seed was finished; this is what there is of the first.</p>\n", page);
    else
        fprintf(page, "<p class=\"notice\">Incomplete: this is about the %d of %d seeds that were finished.</p>\n", done,
                seeds);
}

static bool write_chapter(FILE *page, const struct report *report, enum experiment experiment, const struct figure *figures,
                          size_t count, bool draw) {
    size_t own = 0;
    bool ok = true;
    for (size_t i = 0; i < count; i++) own += figures[i].experiment == experiment;
    fprintf(page, "<section id=\"%s\"><h2>%s</h2>\n<p>%s</p>\n", experiment_names[experiment], chapters[experiment].title,
            chapters[experiment].method);
    write_missing(page, report, experiment, own);
    for (size_t i = 0; ok && i < count; i++)
        if (figures[i].experiment == experiment) ok = html_figure(page, &figures[i], draw);
    fputs("</section>\n", page);
    return ok;
}

static bool write_page(FILE *page, const struct report *report, const struct figure *figures, size_t count, bool draw) {
    bool ok = true;
    write_head(page, report);
    if (!draw)
        fputs("<p class=\"notice\">The figures have their data only: gnuplot was not found or did not draw, or the run ended "
              "before they were drawn.</p>\n",
              page);
    for (int i = 0; ok && i < EXPERIMENTS; i++)
        if (plan_has(report->request, (enum experiment)i))
            ok = write_chapter(page, report, (enum experiment)i, figures, count, draw);
    ok = ok && html_samples(page, report);
    ok = ok && html_foot(page, report);
    return ok && !ferror(page);
}

char *report_html(const struct report *r, bool draw) {
    struct figure *figures = calloc(MOST_FIGURES, sizeof *figures);
    const size_t count = figures ? figures_make(r->shown, r->request->experiments, figures) : 0;
    char *text = NULL;
    size_t bytes;
    bool ok = figures;
    for (size_t i = 0; i < count; i++) ok &= !figures[i].failed;
    FILE *page = ok ? open_memstream(&text, &bytes) : NULL;
    if (!page) report(EXIT_FAILED, "no memory for the report");
    if (page) ok = write_page(page, r, figures, count, draw);
    if (page && fclose(page) != 0) ok = false;
    if (figures) figures_free(figures, count);
    free(figures);
    if (page && ok) return text;
    free(text);
    return NULL;
}
