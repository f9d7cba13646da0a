/* SPDX-License-Identifier: MIT */
/* manual <docs/batchnorm.1.scd.in >batchnorm.1.scd: the manual page in scdoc's format. A line "@options VERB" becomes the
 * options of that verb, from the same table as its --help; each verb must have one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shared/messages.h"
#include "verbs.h"

/* Plain text in scdoc's format: options are bold, the option's own value underlined, and what would be markup is not. */
static void write_marked(const struct option_row *row, const char *text, FILE *page) {
    while (*text) {
        const size_t before = strspn(text, " (");
        fprintf(page, "%.*s", (int)before, text);
        text += before;
        size_t length = strcspn(text, " "), end = length;
        while (end > 0 && strchr(",.;:)", text[end - 1])) end--;
        const bool option = end > 2 && strncmp(text, "--", 2) == 0;
        const bool value = row->value && end == strlen(row->value) && strncmp(text, row->value, end) == 0;
        const char *mark = option ? "*" : value ? "_" : "";
        fputs(mark, page);
        for (size_t i = 0; i < end; i++) fprintf(page, strchr("_*\\", text[i]) ? "\\%c" : "%c", text[i]);
        fputs(mark, page);
        fprintf(page, "%.*s", (int)(length - end), text + end);
        text += length;
    }
}

static void write_entry(const struct option_row *row, const void *defaults, FILE *page) {
    char *value = option_value(row), *limits = option_limits(row), *usual = option_default(row, defaults);
    if (row->letter) fprintf(page, "*-%c*, ", row->letter);
    fprintf(page, "*--%s*", row->name);
    if (value) fprintf(page, " _%s_", value);
    fputs("\n\t", page);
    write_marked(row, row->help, page);
    fputs(".", page);
    if (row->more) fprintf(page, " %s", row->more);
    if (limits && *limits) fprintf(page, " _%s_ is %s.", value, limits);
    if (usual && *usual) {
        fputs(" Default: ", page);
        write_marked(row, usual, page);
        fputs(".", page);
    }
    fputs("\n\n", page);
    free(value);
    free(limits);
    free(usual);
}

/* Every row. false: no memory. */
static bool write_options(const struct option_table *table, FILE *page) {
    void *defaults = calloc(1, table->request_bytes);
    if (!defaults) return false;
    table->defaults(defaults);
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        if (row->name)
            write_entry(row, defaults, page);
        else if (*row->help) /* "The network:" */
            fprintf(page, "## %.*s\n\n", (int)strlen(row->help) - 1, row->help);
    }
    free(defaults);
    return true;
}

static const struct verb *find_verb(const char *name) {
    for (size_t i = 0; i < verb_count; i++)
        if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
    return NULL;
}

int main(void) {
    static const char command[] = "@options ";
    char line[4096];
    unsigned seen = 0; /* bit i: verb i */
    messages_from("manual");
    while (fgets(line, sizeof line, stdin)) {
        if (strncmp(line, command, strlen(command)) != 0) {
            fputs(line, stdout);
            continue;
        }
        char *name = line + strlen(command);
        name[strcspn(name, "\n")] = '\0';
        const struct verb *verb = find_verb(name);
        if (!verb) return report(EXIT_FAILED, "the page wants the options of '%s', which is no verb", name);
        if (!write_options(verb->options, stdout)) return report(EXIT_FAILED, "no memory");
        seen |= 1u << (verb - verbs);
    }
    for (size_t i = 0; i < verb_count; i++)
        if (!(seen >> i & 1)) return report(EXIT_FAILED, "the page has no line \"@options %s\"", verbs[i].name);
    return fflush(stdout) == 0 ? EXIT_DONE : report(EXIT_FAILED, "the page cannot be written");
}
