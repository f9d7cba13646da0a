/* SPDX-License-Identifier: MIT */
/* What was measured: what stands at the top of the page, and how to measure it again at its end. */
#include <stdlib.h>

#include "batchnorm/batchnorm.h"
#include "nn/choices.h"
#include "report_parts.h"
#include "tools/shared/markup.h"
#include "tools/shared/messages.h"

static void write_images(FILE *page, const struct report *report) {
    fputs("<dt>data</dt><dd><code>", page);
    markup_text(page, report->request->data);
    fputs("</code></dd>", page);
    if (!report->train) return;
    const nn_shape image = report->train->image;
    fprintf(page, "<dt>images</dt><dd>%u for training, %u for testing, %zu x %zu pixels%s, %zu classes</dd>",
            (unsigned)report->train->count, (unsigned)report->test->count, image.height, image.width,
            image.channels == 1 ? "" : " in colour", report->train->classes);
}

static void write_steps(FILE *page, const struct report *report) {
    const struct compare_request *r = report->request;
    const char *separator = "";
    if (!report->train) return;
    fputs("<dt>steps of a training</dt><dd>", page);
    for (int i = 0; i < EXPERIMENTS; i++) {
        if (!plan_has(r, (enum experiment)i)) continue;
        fprintf(page, "%s%s %ld", separator, experiment_names[i], plan_steps(r, (enum experiment)i, report->train->count));
        separator = ", ";
    }
    fputs("</dd>", page);
}

void html_settings(FILE *page, const struct report *report) {
    const struct compare_request *r = report->request;
    const char *activation = nn_activation_words[r->activation];
    fputs("<dl class=\"settings\">", page);
    write_images(page, report);
    fprintf(page, "<dt>network</dt><dd>%s, %s%s; batch norm before the activation</dd>", plan_model_name(r), activation,
            r->activation == NN_SIGMOID ? "" : " (sigmoid in the sigmoid experiment)");
    fprintf(page,
            "<dt>training</dt><dd>sgd, learning rate %g, momentum %g, batches of %zu, where an experiment does not vary "
            "them</dd>",
            r->rate, r->momentum, r->batch);
    write_steps(page, report);
    fprintf(page, "<dt>seeds</dt><dd>%d</dd>", r->seeds);
    fputs("<dt>run</dt><dd><code>", page);
    markup_text(page, report->run);
    fputs("</code></dd></dl>\n", page);
}

bool html_foot(FILE *page, const struct report *r) {
    const int threads = r->request->threads;
    char *command = plan_command(r->request);
    if (!command) report(EXIT_FAILED, "no memory for the report");
    if (!command) return false;
    fputs("<section id=\"how\"><h2>How it was measured</h2>\n<dl>", page);
    fprintf(page, "<dt>it took</dt><dd>%.0f s with %d thread%s</dd><dt>on</dt><dd>", r->seconds, threads,
            threads == 1 ? "" : "s");
    markup_text(page, r->machine);
    fputs("</dd><dt>to repeat it</dt><dd><code class=\"command\">", page);
    markup_text(page, command);
    free(command);
    fputs("</code></dd></dl></section>\n</main><footer>", page);
    fprintf(page,
            "batchnorm %s. All numbers are in metrics.csv and metrics.json beside this page, if these are of the same run: it "
            "is the last column of the one and <code>\"run\"</code> in the other, and here <code>",
            batchnorm_version());
    markup_text(page, r->run);
    fputs("</code>.</footer></body></html>\n", page);
    return true;
}
