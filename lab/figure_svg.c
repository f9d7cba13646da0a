/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "figure_svg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shared/gnuplot.h"
#include "tools/shared/markup.h"
#include "tools/shared/messages.h"

/* The colours of figure_script.c, and what the page calls them. */
static const struct {
    int red, green, blue;
    const char *variable;
} palette[] = {{1, 1, 1, "--ink"},      {3, 3, 3, "--grid"},   {16, 0, 1, "--with"},
               {16, 0, 2, "--without"}, {16, 0, 3, "--third"}, {16, 0, 4, "--fourth"}};

static bool begins(const char *text, const char *word) { return strncmp(text, word, strlen(word)) == 0; }

/* At "rgb(...)": writes the variable, and returns what follows; NULL if it is no colour of the palette. */
static const char *write_colour(const char *text, FILE *out) {
    int red, green, blue, length = 0;
    if (sscanf(text, "rgb(%3d,%3d,%3d)%n", &red, &green, &blue, &length) != 3 || length == 0) return NULL;
    for (size_t i = 0; i < sizeof palette / sizeof palette[0]; i++) {
        if (palette[i].red != red || palette[i].green != green || palette[i].blue != blue) continue;
        fprintf(out, "var(%s)", palette[i].variable);
        return text + length;
    }
    return NULL;
}

/* One line: colours, ids of symbols, the font. Tooltips ("figure_plot_1") are left out. */
static void write_line(const char *line, const char *end, const char *id, FILE *out) {
    static const char font[] = " font-family=\"sans-serif\"", title[] = "<title>";
    while (line < end) {
        const char *next = NULL;
        if (begins(line, "rgb("))
            next = write_colour(line, out);
        else if (begins(line, "\"black\"")) {
            fputs("\"var(--ink)\"", out);
            next = line + 7;
        } else if (begins(line, "gpPt") || begins(line, "gpDot"))
            fprintf(out, "%s-", id);
        else if (begins(line, font))
            next = line + sizeof font - 1;
        else if (begins(line, title) && (next = strstr(line, "</title>")))
            next += 8;
        if (next)
            line = next;
        else
            fputc(*line++, out);
    }
    fputc('\n', out);
}

/* A quarter of gnuplot's groups has nothing in it. */
static bool is_empty_group(const char *line, const char *end) {
    return begins(line, "<g fill=\"none\"") && *end == '\n' && begins(end + 1, "</g>\n");
}

static void write_body(const char *svg, const char *id, FILE *out) {
    bool in_filter = false;
    for (const char *line = svg; *line;) {
        const char *end = line + strcspn(line, "\n");
        const char *text = line + strspn(line, " \t");
        const bool canvas = begins(text, "<g id=\"gnuplot_canvas\"");
        in_filter |= begins(text, "<filter");
        if (is_empty_group(line, end))
            end += 5;
        else if (canvas)
            fputs("<g>\n", out);
        else if (!in_filter && text < end && !begins(text, "<desc>") && !(begins(text, "<title>")))
            write_line(text, end, id, out);
        if (begins(text, "</filter>")) in_filter = false;
        line = *end ? end + 1 : end;
    }
}

char *figure_adapt(const char *svg, const char *id, const char *label) {
    const char *root = strstr(svg, "<svg"), *box = root ? strstr(root, "viewBox=\"") : NULL;
    const char *body = root ? strchr(root, '>') : NULL, *box_end = box ? strchr(box + 9, '"') : NULL;
    char *text = NULL;
    size_t bytes;
    FILE *out = body && box_end ? open_memstream(&text, &bytes) : NULL;
    if (!out) return NULL;
    fprintf(out, "<svg %.*s role=\"img\" aria-label=\"", (int)(box_end + 1 - box), box);
    markup_text(out, label);
    fputs("\">\n", out);
    write_body(body + 1, id, out);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

char *figure_svg(const struct panel *panel, const char *id, bool *empty) {
    char *script = figure_script(panel, id, empty), *drawn = NULL, *adapted = NULL;
    char label[sizeof panel->title + sizeof panel->y_label + 4];
    if (*empty) return NULL;
    if (script) drawn = gnuplot_run(script);
    snprintf(label, sizeof label, "%s: %s", panel->title, panel->y_label);
    if (drawn) adapted = figure_adapt(drawn, id, label);
    if (!script || (drawn && !adapted)) report(EXIT_FAILED, "gnuplot drew nothing for %s", id);
    free(script);
    free(drawn);
    return adapted;
}
