/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figure_svg.h"

/* Colours that nothing else has, which figure_adapt() finds again. */
#define INK "#010101"
#define GRID "#030303"
static const char *const colours[COLOURS] = {"#100001", "#100002", "#100003", "#100004"};
static const int symbols[COLOURS] = {7, 9, 5, 13}; /* circle, triangle, square, diamond: filled but for the second */
static const char *const dashes[COLOURS] = {"1", "(8,4)", "(2,3)", "(8,3,2,3)"};

enum { WIDTH = 400, HEIGHT = 280, MANY_POINTS = 14, MANY_NAMES = 4 };
static const double right_margin = 1.8; /* in widths of a character */

/* What is drawn of all series, as the axes show it. */
struct extent {
    double x_low, x_high, y_low, y_high;
    size_t points, names, longest_name;
    bool powers_of_two; /* all x */
};

static double shown(const struct panel *panel, double y) { return panel->percent ? 100 * y : y; }

static bool drawable(const struct panel *panel, double x, double y) {
    return isfinite(x) && isfinite(y) && !(panel->log_x && x <= 0) && !(panel->log_y && y <= 0);
}

static bool is_power_of_two(double x) {
    int exponent;
    return frexp(x, &exponent) == 0.5;
}

/* "conv1" of "conv1.weight". */
static int name_length(const char *name) {
    const char *end = strstr(name, ".weight");
    return end ? (int)(end - name) : (int)strlen(name);
}

static struct extent extent_of(const struct panel *panel) {
    struct extent e = {INFINITY, -INFINITY, INFINITY, -INFINITY, 0, 0, 0, true};
    for (size_t k = 0; k < panel->count; k++) {
        const struct series *s = &panel->series[k];
        for (size_t i = 0; i < s->count; i++) {
            const struct point *p = &s->points[i];
            if (!drawable(panel, p->x, p->y)) continue;
            const double low = drawable(panel, p->x, p->low) ? p->low : p->y;
            const double high = drawable(panel, p->x, p->high) ? p->high : p->y;
            e.points++;
            e.x_low = fmin(e.x_low, p->x);
            e.x_high = fmax(e.x_high, p->x);
            e.y_low = fmin(e.y_low, shown(panel, low));
            e.y_high = fmax(e.y_high, shown(panel, high));
            e.powers_of_two &= is_power_of_two(p->x);
            if (!p->name) continue;
            if (i + 1 > e.names) e.names = i + 1;
            if ((size_t)name_length(p->name) > e.longest_name) e.longest_name = (size_t)name_length(p->name);
        }
    }
    return e;
}

/* Nothing is special between single quotes. */
static void quote(FILE *script, const char *text, int length) {
    fputc('\'', script);
    for (int i = 0; i < length && text[i]; i++) {
        if (text[i] == '\'') fputc('\'', script);
        fputc(text[i], script);
    }
    fputc('\'', script);
}

/* gnuplot labels powers of ten only, which on a short axis is one number or none. */
static void write_log_axis(FILE *script, char axis, double low, double high, bool two) {
    static const double ten[] = {1, 2, 5}, one[] = {1}, binary[] = {1};
    const double decades = log10(high / low);
    const double *digits = two ? binary : decades < 2.2 ? ten : one;
    const size_t count = !two && decades < 2.2 ? 3 : 1;
    const double base = two ? 2 : 10;
    const int stride = two || decades < 7 ? 1 : (int)ceil(decades / 6);
    const char *separator = "";
    fprintf(script, "set logscale %c %g\nset m%ctics default\nset %ctics (", axis, base, axis, axis);
    for (int k = (int)floor(log(low) / log(base)) - 1; k <= (int)ceil(log(high) / log(base)) + 1; k++) {
        for (size_t i = 0; i < count && k % stride == 0; i++) {
            const double tic = digits[i] * pow(base, k);
            if (tic < low * 0.999 || tic > high * 1.001) continue;
            fprintf(script, "%s'%g' %.9g", separator, tic, tic);
            separator = ", ";
        }
    }
    fprintf(script, ")\n");
}

static void write_names(FILE *script, const struct panel *panel, const struct extent *e) {
    const char *names[64] = {NULL};
    for (size_t k = 0; k < panel->count; k++)
        for (size_t i = 0; i < panel->series[k].count && i < 64; i++) names[i] = panel->series[k].points[i].name;
    fputs(e->names > MANY_NAMES ? "set xtics rotate by 35 right noenhanced (" : "set xtics (", script);
    for (size_t i = 0; i < e->names && i < 64 && names[i]; i++) {
        if (i > 0) fputs(", ", script);
        quote(script, names[i], name_length(names[i]));
        fprintf(script, " %zu", i);
    }
    fprintf(script, ")\nset xrange [-0.5:%g]\n", (double)e->names - 0.5);
}

/* The last number stands half to the right of its tic: there must be room for it. */
static void write_linear_x(FILE *script, double low, double high) {
    const double most = (high - low) / 6, power = pow(10, floor(log10(most))); /* 3 to 6 steps */
    const double step = power * (most <= power ? 1 : most <= 2 * power ? 2 : most <= 5 * power ? 5 : 10);
    char last[32];
    const double width = 0.6 * snprintf(last, sizeof last, "%g", step * floor(high / step));
    fprintf(script, "set xrange [%.9g:%.9g]\nset xtics %.9g\nset rmargin %g\n", low, high, step, fmax(right_margin, width));
}

static void write_ranges(FILE *script, const struct panel *panel, const struct extent *e) {
    if (panel->named)
        write_names(script, panel, e);
    else if (panel->log_x) {
        write_log_axis(script, 'x', e->x_low, e->x_high, e->powers_of_two);
        fprintf(script, "set xrange [%.9g:%.9g]\n", e->x_low / 1.2, e->x_high * 1.2);
    } else {
        const double margin = e->x_high > e->x_low ? 0.02 * (e->x_high - e->x_low) : 1;
        write_linear_x(script, e->x_low - margin, e->x_high + margin);
    }
    const double width = e->y_high - e->y_low, some = width > 0             ? 0.06 * width
                                                      : fabs(e->y_high) > 0 ? 0.1 * fabs(e->y_high)
                                                                            : 1;
    if (panel->log_y) {
        const double low = e->y_low / 1.25, high = e->y_high * 1.25;
        write_log_axis(script, 'y', low, high, false);
        fprintf(script, "set yrange [%.9g:%.9g]\n", low, high);
    } else {
        fprintf(script, "set yrange [%.9g:%.9g]\n", panel->from_zero ? fmin(0, e->y_low) : e->y_low - some, e->y_high + some);
    }
}

/* gnuplot takes letters, digits and '_' only. */
static void write_id(FILE *script, const char *id) {
    for (; *id; id++) fputc(*id == '-' ? '_' : *id, script);
}

static void write_settings(FILE *script, const struct panel *panel, const char *id, const struct extent *e) {
    const double bottom = panel->named && e->names > MANY_NAMES ? 3.4 + 0.35 * (double)e->longest_name : 3.4;
    fputs("set terminal svg name '", script);
    write_id(script, id);
    fprintf(script,
            "' size %d,%d noenhanced font 'sans-serif,15'\n"
            "set datafile missing '?'\nunset key\n"
            "set border 3 lc rgb '" INK "'\nset tics nomirror out scale 0.6, 0.3 textcolor rgb '" INK "'\n"
            "set grid ytics lt 1 lw 1 lc rgb '" GRID "'\nset format y '%%g'\n"
            "set lmargin 7.5\nset rmargin %g\nset tmargin 2\nset bmargin %g\n"
            "set xlabel ",
            WIDTH, HEIGHT, right_margin, bottom);
    quote(script, panel->x_label, sizeof panel->x_label);
    fputs(" offset 0, 0.3 textcolor rgb '" INK "'\nset label 1 ", script);
    quote(script, panel->y_label, sizeof panel->y_label); /* above the axis, where it can be read without turning the head */
    fputs(" at screen 0.012, screen 0.955 left textcolor rgb '" INK "'\n", script);
    write_ranges(script, panel, e);
    for (size_t i = 0; i < panel->guide_count; i++)
        if (isfinite(panel->guides[i]))
            fprintf(script,
                    "set arrow from graph 0, first %.9g to graph 1, first %.9g nohead dt (4,4) lw 1.4 lc rgb '" INK "'\n",
                    shown(panel, panel->guides[i]), shown(panel, panel->guides[i]));
}

/* Columns: x, y, low, high. What cannot be drawn interrupts a line. */
static void write_data(FILE *script, const struct panel *panel, size_t index) {
    const struct series *s = &panel->series[index];
    const double shift = panel->named ? 0.14 * ((double)index - ((double)panel->count - 1) / 2) : 0;
    fprintf(script, "$d%zu << END\n", index);
    for (size_t i = 0; i < s->count; i++) {
        const struct point *p = &s->points[i];
        if (!drawable(panel, p->x, p->y)) {
            fputc('\n', script);
            continue;
        }
        const double low = drawable(panel, p->x, p->low) ? p->low : p->y;
        const double high = drawable(panel, p->x, p->high) ? p->high : p->y;
        fprintf(script, "%.9g %.9g %.9g %.9g\n", p->x + shift, shown(panel, p->y), shown(panel, low), shown(panel, high));
    }
    fputs("END\n", script);
}

static void write_plot(FILE *script, const struct series *s, size_t index, size_t points) {
    const char *colour = colours[s->colour];
    switch (s->mark) {
    case MARK_LINE:
        fprintf(script,
                "$d%zu using 1:3:4 with filledcurves lc rgb '%s' fs transparent solid 0.18 noborder, "
                "$d%zu using 1:2 with %s lc rgb '%s' lw 2.2 dt %s",
                index, colour, index, s->count <= MANY_POINTS ? "linespoints" : "lines", colour, dashes[s->colour]);
        if (s->count <= MANY_POINTS) fprintf(script, " pt %d ps 0.6", symbols[s->colour]);
        break;
    case MARK_POINTS: /* error bars of gnuplot would have a white halo */
        fprintf(script,
                "$d%zu using 1:3:(0):($4-$3) with vectors nohead lc rgb '%s' lw 2, $d%zu using 1:2 with points lc rgb '%s' "
                "pt %d ps %g",
                index, colour, index, colour, symbols[s->colour], points > 60 ? 0.35 : 0.9);
        break;
    case MARK_BARS:
        fprintf(script,
                "$d%zu using 1:3:(0):($4-$3) with vectors nohead lc rgb '%s' lw %g, $d%zu using 1:2 with points lc rgb '" INK
                "' pt 7 ps 0.15",
                index, colour, points > 150 ? 1.2 : 2.0, index);
        break;
    case MARK_DIAGONAL:
        fprintf(script, "$d%zu using 1:2 with lines lc rgb '" INK "' lw 1 dt (4,4)", index);
        break;
    }
}

char *figure_script(const struct panel *panel, const char *id, bool *empty) {
    const struct extent e = extent_of(panel);
    char *text = NULL;
    size_t bytes;
    *empty = e.points == 0;
    FILE *script = *empty ? NULL : open_memstream(&text, &bytes);
    if (!script) return NULL;
    write_settings(script, panel, id, &e);
    for (size_t i = 0; i < panel->count; i++) write_data(script, panel, i);
    const char *separator = "plot ";
    for (size_t i = 0; i < panel->count; i++) {
        bool some = false;
        for (size_t j = 0; j < panel->series[i].count; j++)
            some |= drawable(panel, panel->series[i].points[j].x, panel->series[i].points[j].y);
        if (!some) continue; /* gnuplot stops at a plot without points */
        fputs(separator, script);
        write_plot(script, &panel->series[i], i, e.points);
        separator = ", ";
    }
    fputc('\n', script);
    if (fclose(script) == 0) return text;
    free(text);
    return NULL;
}
