/* SPDX-License-Identifier: MIT */
/* The command line that gives a request again. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/choices.h"
#include "plan.h"
#include "tools/shared/json.h"

/* As few digits as give the number back. */
static void write_number(FILE *to, const char *option, double value) {
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fprintf(to, " --%s %s", option, text);
}

/* What a page would not show as it is: control characters but for the end of a line, and bytes that are no UTF-8. */
static bool needs_printf(const char *text, size_t *length) {
    const unsigned char byte = (unsigned char)*text;
    *length = utf8_length(text);
    if (*length > 0) return (byte < ' ' && byte != '\n') || byte == 0x7f;
    *length = 1;
    return true;
}

/* One word for any POSIX shell. Between single quotes everything is itself but the single quote. */
static void write_word(FILE *to, const char *option, const char *text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:@_";
    fprintf(to, " --%s ", option);
    if (*text && text[strspn(text, plain)] == '\0') {
        fputs(text, to);
        return;
    }
    fputc('\'', to);
    for (size_t length; *text; text += length) {
        if (needs_printf(text, &length))
            fprintf(to, "'\"$(printf '\\%03o')\"'", (unsigned char)*text);
        else if (*text == '\'')
            fputs("'\\''", to);
        else
            fprintf(to, "%.*s", (int)length, text);
    }
    fputc('\'', to);
}

static void write_options(FILE *to, const struct compare_request *r) {
    fprintf(to, "batchnorm compare --%s", r->full ? "full" : "quick");
    const char *separator = " --only ";
    for (int i = 0; i < EXPERIMENTS && r->experiments != (1u << EXPERIMENTS) - 1; i++) {
        if (!plan_has(r, (enum experiment)i)) continue;
        fprintf(to, "%s%s", separator, experiment_names[i]);
        separator = ",";
    }
    fprintf(to, " --model %s", nn_model_words[r->model]);
    if (r->model == NN_RESNET) fprintf(to, " --depth %d", r->depth);
    fprintf(to, " --activation %s", nn_activation_words[r->activation]);
    write_number(to, "lr", r->rate);
    write_number(to, "momentum", r->momentum);
    fprintf(to, " --batch %zu --seeds %d --threads %d", r->batch, r->seeds, r->threads);
    if (r->limit) fprintf(to, " --limit %ld", r->limit);
    write_word(to, "data", r->data);
    write_word(to, "out", r->out);
}

char *plan_command(const struct compare_request *request) {
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    if (!to) return NULL;
    write_options(to, request);
    const bool written = !ferror(to);
    if (fclose(to) == 0 && written) return text;
    free(text);
    return NULL;
}
