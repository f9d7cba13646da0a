/* SPDX-License-Identifier: MIT */
/* One panel for each operation, one group of bars for each shape, one bar for each layout, type and number of threads. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "svg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shared/convert.h"
#include "tools/shared/gnuplot.h"
#include "tools/shared/messages.h"

/* Okabe and Ito's, which colour-blind readers tell apart. Further bars have patterns. */
static const char *const colours[] = {"#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"};
enum { COLOURS = sizeof colours / sizeof colours[0] };

/* Pixels. */
enum { TITLES = 64, KEY_ROW = 21, KEY_COLUMN = 225, BOTTOM = 66, LEFT = 80, RIGHT = 60, PANEL = 160, BETWEEN = 44 };
enum { WIDE_BAR = 34, NARROW_BAR = 17, MOST_WIDE_BARS = 4, LEAST_GROUP = 122, LEAST_WIDTH = 760 };

struct chart {
    const struct bench_machine *machine;
    const struct bench_result *results;
    size_t count;
    const struct bench_case **shapes, **bars; /* the first case with each shape; with each layout, type and threads */
    size_t shape_count, bar_count, panel_count;
    bool dtypes_differ, threads_differ;
    double top; /* of the vertical axis */
};

static bool same_shape(const struct bench_case *a, const struct bench_case *b) {
    return a->shape.rank == b->shape.rank &&
           memcmp(a->shape.size, b->shape.size, (size_t)a->shape.rank * sizeof a->shape.size[0]) == 0;
}

static bool same_bar(const struct bench_case *a, const struct bench_case *b) {
    return a->layout == b->layout && a->dtype == b->dtype && a->threads == b->threads;
}

static size_t add_new(const struct bench_case **list, size_t count, const struct bench_case *c,
                      bool (*same)(const struct bench_case *, const struct bench_case *)) {
    for (size_t i = 0; i < count; i++)
        if (same(list[i], c)) return count;
    list[count] = c;
    return count + 1;
}

static bool has_panel(const struct chart *chart, int operation) {
    for (size_t i = 0; i < chart->count; i++)
        if (chart->results[i].what.operation == (enum bench_operation)operation) return true;
    return false;
}

static void arrange(struct chart *chart) {
    const struct bench_case *first = &chart->results[0].what;
    chart->top = 1.15;
    for (size_t i = 0; i < chart->count; i++) {
        const struct bench_case *c = &chart->results[i].what;
        const double share = bench_share(&chart->results[i]);
        chart->shape_count = add_new(chart->shapes, chart->shape_count, c, same_shape);
        chart->bar_count = add_new(chart->bars, chart->bar_count, c, same_bar);
        chart->dtypes_differ |= c->dtype != first->dtype;
        chart->threads_differ |= c->threads != first->threads;
        if (1.15 * share > chart->top) chart->top = 1.15 * share;
    }
    for (int operation = 0; operation < BENCH_OPERATIONS; operation++) chart->panel_count += has_panel(chart, operation);
}

/* Nothing is special between single quotes. */
static void quote(FILE *script, const char *text) {
    fputc('\'', script);
    for (; *text; text++) {
        if (*text == '\'') fputc('\'', script);
        fputc(*text, script);
    }
    fputc('\'', script);
}

static int wide_bars(const struct chart *chart) { return chart->bar_count <= MOST_WIDE_BARS; }

static void write_title(const struct chart *chart, FILE *script) {
    const struct bench_machine *m = chart->machine;
    const struct bench_case *first = &chart->results[0].what;
    char text[512];
    int length = snprintf(text, sizeof text, "%s, %ld processor%s; batchnorm %s, %s, %s", m->cpu, m->processors,
                          m->processors == 1 ? "" : "s", m->version, m->isa, m->compiler);
    if (!chart->dtypes_differ) length += snprintf(text + length, sizeof text - (size_t)length, "; %s", type_name(first->dtype));
    if (!chart->threads_differ)
        snprintf(text + length, sizeof text - (size_t)length, "; %d thread%s", first->threads, first->threads == 1 ? "" : "s");
    fputs("set label 1 'Batch normalization: speed as a share of copying the same bytes' at screen 0.5, screen 1 center "
          "offset 0, -1.2 font ',18'\nset label 2 ",
          script);
    quote(script, text);
    fputs(" at screen 0.5, screen 1 center offset 0, -2.8 font ',12'\n", script);
}

static void write_settings(const struct chart *chart, FILE *script) {
    const size_t bar = wide_bars(chart) ? WIDE_BAR : NARROW_BAR;
    const size_t group = (chart->bar_count + 1) * bar < LEAST_GROUP ? LEAST_GROUP : (chart->bar_count + 1) * bar;
    const size_t bars = LEFT + RIGHT + chart->shape_count * group, width = bars < LEAST_WIDTH ? LEAST_WIDTH : bars;
    const size_t columns = (width - LEFT - RIGHT) / KEY_COLUMN, rows = (chart->bar_count + columns - 1) / columns;
    const size_t top = TITLES + rows * KEY_ROW + BETWEEN,
                 height = top + chart->panel_count * (PANEL + BETWEEN) - BETWEEN + BOTTOM;
    const double w = (double)width, h = (double)height;
    fprintf(script,
            "set terminal svg size %zu,%zu noenhanced font 'sans-serif,13' background '#ffffff'\n"
            "set multiplot layout %zu,1 margins %g,%g,%g,%g spacing 0,%g\n"
            "set style data histograms\nset style histogram clustered gap 1\nset boxwidth 0.92 relative\n"
            "set style fill solid 1 noborder\nset datafile missing '?'\n"
            "set yrange [0:%g]\nset ytics 0, %g nomirror\nset xtics nomirror scale 0\n"
            "set xrange [-0.6:%g]\nset grid ytics lt 1 lc rgb '#dddddd'\nset border 3 lc rgb '#444444'\n"
            "set ylabel 'share (copy = 1)'\n"
            "set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead dt 2 lw 1.5 lc rgb '#444444' front\n"
            "set label 3 'copy' at graph 1, first 1 offset 0.6, 0\n"
            "set key at screen 0.5, screen %g center top horizontal maxcols %zu samplen 1.5 width 1\n",
            width, height, chart->panel_count, LEFT / w, 1 - RIGHT / w, BOTTOM / h, 1 - (double)top / h, BETWEEN / h,
            chart->top, chart->top > 4 ? 1.0 : 0.25, (double)chart->shape_count - 0.4, 1 - TITLES / h, columns);
    write_title(chart, script);
}

static const struct bench_result *find(const struct chart *chart, int operation, const struct bench_case *shape,
                                       const struct bench_case *bar) {
    for (size_t i = 0; i < chart->count; i++) {
        const struct bench_case *c = &chart->results[i].what;
        if (c->operation == (enum bench_operation)operation && same_shape(c, shape) && same_bar(c, bar))
            return &chart->results[i];
    }
    return NULL;
}

/* A row for each shape: its name, then a share for each bar. */
static void write_data(const struct chart *chart, int operation, FILE *script) {
    char text[BENCH_SHAPE_TEXT_BYTES];
    fprintf(script, "$data%d << END\n", operation);
    for (size_t i = 0; i < chart->shape_count; i++) {
        fputs(bench_shape_text(&chart->shapes[i]->shape, text), script);
        for (size_t k = 0; k < chart->bar_count; k++) {
            const struct bench_result *r = find(chart, operation, chart->shapes[i], chart->bars[k]);
            if (r)
                fprintf(script, " %.4g", bench_share(r));
            else
                fputs(" ?", script);
        }
        fputc('\n', script);
    }
    fputs("END\n", script);
}

/* What tells it from the other bars. */
static void write_bar_title(const struct chart *chart, const struct bench_case *c, FILE *script) {
    fprintf(script, "'%s", bench_layout_names[c->layout]);
    if (chart->dtypes_differ) fprintf(script, " %s", type_name(c->dtype));
    if (chart->threads_differ) fprintf(script, ", %d thread%s", c->threads, c->threads == 1 ? "" : "s");
    fputc('\'', script);
}

static void write_panel(const struct chart *chart, int operation, bool first, bool last, FILE *script) {
    const struct bench_case *c = &chart->results[0].what;
    const double step = 1 / (double)(chart->bar_count + 1), middle = ((double)chart->bar_count - 1) / 2;
    for (size_t i = 0; i < chart->count && c->operation != (enum bench_operation)operation; i++) c = &chart->results[i].what;
    fprintf(script, "set title '%s", bench_operation_names[operation]);
    if (c->activation != BATCHNORM_IDENTITY) fprintf(script, ", %s", bench_activation_name(c->activation));
    fprintf(script, "%s' offset 0, -0.4 font ',14'\n%s\nset xlabel '%s'\nplot ", c->residual ? ", residual" : "",
            first ? "set key" : "unset key", last ? "shape, N x C x H x W" : "");
    for (size_t k = 0; k < chart->bar_count; k++) {
        const size_t pattern = k / COLOURS;
        fprintf(script, "$data%d using %zu:xtic(%s) lc rgb '%s' ", operation, k + 2, last ? "1" : "''", colours[k % COLOURS]);
        if (pattern) fprintf(script, "fs pattern %zu ", pattern);
        fputs("title ", script);
        write_bar_title(chart, chart->bars[k], script);
        fprintf(script, ", $data%d using ($0 + %g):%zu:(sprintf('%%.2f', column(%zu))) with labels %s font ',10' notitle%s",
                operation, ((double)k - middle) * step, k + 2, k + 2,
                wide_bars(chart) ? "offset 0, 0.5" : "rotate by 90 left offset 0, 0.2", k + 1 < chart->bar_count ? ", " : "\n");
    }
}

static char *write_script(struct chart *chart) {
    char *text = NULL;
    size_t bytes;
    FILE *script = open_memstream(&text, &bytes);
    if (!script) return NULL;
    write_settings(chart, script);
    for (int operation = 0; operation < BENCH_OPERATIONS; operation++)
        if (has_panel(chart, operation)) write_data(chart, operation, script);
    size_t panel = 0;
    for (int operation = 0; operation < BENCH_OPERATIONS; operation++) {
        if (!has_panel(chart, operation)) continue;
        panel++;
        write_panel(chart, operation, panel == 1, panel == chart->panel_count, script);
        /* the title belongs to the whole */
        if (panel == 1) fputs("unset label 1\nunset label 2\n", script);
    }
    if (fclose(script) == 0) return text;
    free(text);
    return NULL;
}

bool bench_svg_possible(void) { return gnuplot_there(); }

char *bench_svg_draw(const struct bench_machine *machine, const struct bench_result *results, size_t count) {
    struct chart chart = {.machine = machine, .results = results, .count = count};
    chart.shapes = calloc(2 * count, sizeof *chart.shapes);
    char *script = NULL, *svg = NULL;
    if (chart.shapes) {
        chart.bars = chart.shapes + count;
        arrange(&chart);
        script = write_script(&chart);
    }
    if (script)
        svg = gnuplot_run(script);
    else
        report(EXIT_FAILED, "no memory for a picture");
    if (svg && !strstr(svg, "</svg>")) {
        report(EXIT_FAILED, "gnuplot drew nothing");
        free(svg);
        svg = NULL;
    }
    free(script);
    free(chart.shapes);
    return svg;
}
