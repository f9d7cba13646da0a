/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "report_parts.h"
#include "tools/shared/markup.h"
#include "tools/shared/picture.h"

static void write_guess(FILE *page, const struct report *report, const struct sample *s, enum side side) {
    const bool right = s->guess[side] == s->label;
    fprintf(page, "<span class=\"%s\">%s:</span> ", side_names[side], side_names[side]);
    markup_text(page, report->test->class_names[s->guess[side]]);
    fprintf(page, " %s<br><span class=\"quiet\">%.0f %%</span><br>", right ? "&#10003;" : "&#10007;",
            100 * (double)s->probability[side]);
}

static bool write_sample(FILE *page, const struct report *report, const struct sample *s) {
    const nn_dataset *test = report->test;
    const nn_shape shape = test->image;
    fputs("<li>", page);
    if (picture_possible()) {
        char *uri =
            picture_uri(test->pixels + (size_t)s->image * nn_shape_size(shape), shape.height, shape.width, shape.channels);
        if (!uri) return false;
        fprintf(page, "<img alt=\"test image %u\" src=\"%s\">", (unsigned)s->image + 1, uri);
        free(uri);
    }
    fputs("<strong>", page);
    markup_text(page, test->class_names[s->label]);
    fputs("</strong><br>", page);
    write_guess(page, report, s, SIDE_WITH);
    write_guess(page, report, s, SIDE_WITHOUT);
    fputs("</li>\n", page);
    return true;
}

bool html_samples(FILE *page, const struct report *report) {
    bool ok = true;
    if (report->sample_count == 0 || !report->test) return true;
    fputs("<section id=\"samples\"><h2>Some test images</h2>\n<p>What they are, and what the two networks of seed 1 take them "
          "for at the end of the first experiment, with the probability that each gives its answer.</p>\n",
          page);
    if (!picture_possible())
        fputs("<p class=\"notice\">Built without libpng, so that the images themselves are not shown.</p>\n", page);
    fputs("<ul class=\"samples\">\n", page);
    for (size_t i = 0; ok && i < report->sample_count; i++) ok = write_sample(page, report, &report->samples[i]);
    fputs("</ul></section>\n", page);
    return ok;
}
