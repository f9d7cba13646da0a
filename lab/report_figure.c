/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "figure_svg.h"
#include "report_parts.h"
#include "tools/shared/markup.h"

/* Line and symbol of a series as the figure has them. */
static void write_key(FILE *page, const struct series *s) {
    static const char *const variables[COLOURS] = {"--with", "--without", "--third", "--fourth"};
    static const char *const dashes[COLOURS] = {"", "7 4", "2 3", "8 3 2 3"};
    static const char *const symbols[COLOURS] = {"<circle cx=\"17\" cy=\"6\" r=\"3.5\"/>", "<path d=\"M17 2l4 7h-8z\"/>",
                                                 "<path d=\"M14 3h6v6h-6z\"/>", "<path d=\"M17 1.5l4 4.5-4 4.5-4-4.5z\"/>"};
    const bool diagonal = s->mark == MARK_DIAGONAL;
    fputs("<li><svg viewBox=\"0 0 34 12\" aria-hidden=\"true\">", page);
    if (s->mark != MARK_POINTS)
        fprintf(page, "<path d=\"M0 6h34\" stroke=\"var(%s)\" stroke-width=\"%s\" stroke-dasharray=\"%s\"/>",
                diagonal ? "--ink" : variables[s->colour], diagonal ? "1" : "2.2", diagonal ? "4 4" : dashes[s->colour]);
    if (!diagonal) fprintf(page, "<g fill=\"var(%s)\">%s</g>", variables[s->colour], symbols[s->colour]);
    fputs("</svg>", page);
    markup_text(page, s->label);
    fputs("</li>", page);
}

/* One key for all panels: the series of each label once. */
static void write_legend(FILE *page, const struct figure *figure) {
    const struct series *known[MOST_SERIES];
    size_t count = 0;
    fputs("<ul class=\"legend\">", page);
    for (size_t i = 0; i < figure->count; i++) {
        for (size_t k = 0; k < figure->panels[i].count; k++) {
            const struct series *s = &figure->panels[i].series[k];
            size_t at = 0;
            while (at < count && (strcmp(known[at]->label, s->label) != 0 || known[at]->colour != s->colour)) at++;
            if (at < count || count == MOST_SERIES || s->count == 0) continue;
            write_key(page, known[count++] = s);
        }
    }
    fputs("</ul>\n", page);
}

static bool write_panel(FILE *page, const struct figure *figure, size_t index, bool draw) {
    const struct panel *panel = &figure->panels[index];
    char id[80];
    bool empty = false;
    snprintf(id, sizeof id, "%s-%zu", figure->id, index + 1);
    fputs("<div class=\"panel\"><h4>", page);
    markup_text(page, panel->title);
    fputs("</h4>\n", page);
    char *svg = draw ? figure_svg(panel, id, &empty) : NULL;
    if (svg)
        fputs(svg, page);
    else if (empty)
        fputs("<p class=\"quiet\">No finite value was measured.</p>", page);
    fputs("</div>\n", page);
    const bool ok = svg || empty || !draw;
    free(svg);
    return ok;
}

static void write_number(FILE *page, double value) {
    if (isfinite(value))
        fprintf(page, "<td>%.6g</td>", value);
    else
        fputs(isnan(value) ? "<td>-</td>" : "<td>diverged</td>", page);
}

static void write_row(FILE *page, const struct panel *panel, const struct series *s, const struct point *p) {
    fputs("<tr><td class=\"name\">", page);
    markup_text(page, panel->title);
    fputs("</td><td class=\"name\">", page);
    markup_text(page, s->label);
    fputs("</td>", page);
    if (p->name) {
        fputs("<td class=\"name\">", page);
        markup_text(page, p->name);
        fputs("</td>", page);
    } else {
        write_number(page, p->x);
    }
    write_number(page, p->y);
    write_number(page, p->low);
    write_number(page, p->high);
    fputs("</tr>\n", page);
}

/* The points that are drawn, as numbers. */
static void write_data(FILE *page, const struct figure *figure, bool open) {
    fprintf(page,
            "<details%s><summary>Data of this figure</summary><div class=\"scroll\"><table class=\"data\">"
            "<thead><tr><th>panel</th><th>series</th><th>x</th><th>y</th><th>low</th><th>high</th></tr></thead><tbody>\n",
            open ? " open" : "");
    for (size_t i = 0; i < figure->count; i++) {
        const struct panel *panel = &figure->panels[i];
        for (size_t k = 0; k < panel->count; k++) {
            const struct series *s = &panel->series[k];
            for (size_t j = 0; j < s->count && s->mark != MARK_DIAGONAL; j++) write_row(page, panel, s, &s->points[j]);
        }
    }
    fputs("</tbody></table></div></details>\n", page);
}

bool html_figure(FILE *page, const struct figure *figure, bool draw) {
    fprintf(page, "<figure id=\"%s\" data-figure=\"%s\"><h3>", figure->id, figure->id);
    markup_text(page, figure->title);
    fputs("</h3>\n", page);
    write_legend(page, figure);
    fprintf(page, "<div class=\"panels%s\">\n", figure->count == 4 ? " four" : ""); /* two by two */
    bool ok = true;
    for (size_t i = 0; ok && i < figure->count; i++) ok = write_panel(page, figure, i, draw);
    fputs("</div>\n<figcaption>", page);
    markup_text(page, figure->sentence);
    fputs("</figcaption>\n", page);
    write_data(page, figure, !draw);
    fputs("</figure>\n", page);
    return ok;
}
