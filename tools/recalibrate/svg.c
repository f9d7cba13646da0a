/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/shared/markup.h"

/* Sizes in pixels; the scale goes by powers of ten. */
enum { LEFT = 64, TOP = 64, WIDTH = 760, HEIGHT = 320, BELOW = 56, LEAST = -7, MOST = 2 };

static double y_of(double size) {
    const double log = size > 0 ? log10(size) : LEAST;
    const double at = log < LEAST ? LEAST : log > MOST ? MOST : log;
    return TOP + HEIGHT * (MOST - at) / (MOST - LEAST);
}

static double x_of(const struct layers *ls, size_t i) { return LEFT + WIDTH * ((double)i + 0.5) / (double)ls->count; }

static const char style[] = "<style>\n"
                            "text{font:13px sans-serif;fill:#222}.h{font-size:15px;font-weight:bold}.g{stroke:#8884}\n"
                            ".b{fill:#d55e00;stroke:#d55e00}.a{fill:#0072b2;stroke:#0072b2}.p{fill:#fff}\n"
                            "@media(prefers-color-scheme:dark){text{fill:#ddd}.p{fill:#181a1b}\n"
                            ".b{fill:#ff8c42;stroke:#ff8c42}.a{fill:#4fb3ff;stroke:#4fb3ff}}\n"
                            "</style>\n";

static void put_frame(FILE *f, const char *title, const struct layers *ls) {
    const int width = LEFT + WIDTH + 24, height = TOP + HEIGHT + BELOW;
    fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n",
            width, height, width, height);
    fputs(style, f);
    fprintf(f, "<rect class=\"p\" width=\"%d\" height=\"%d\"/>\n<title>", width, height);
    markup_text(f, title);
    fputs("</title>\n<text class=\"h\" x=\"16\" y=\"26\">", f);
    markup_text(f, title);
    fputs("</text>\n", f);
    for (int power = LEAST; power <= MOST; power++) {
        const double y = y_of(pow(10, power));
        fprintf(f, "<path class=\"g\" d=\"M%d %.1fh%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT, y, WIDTH,
                LEFT - 8, y + 4);
        if (power >= -3 && power <= MOST)
            fprintf(f, "%g</text>\n", pow(10, power));
        else
            fprintf(f, "%s1e%d</text>\n", power == LEAST ? "&#8804; " : "", power);
    }
    const size_t step = ls->count > 20 ? 10 : 1;
    for (size_t i = 0; i < ls->count; i++)
        if (i == 0 || (i + 1) % step == 0)
            fprintf(f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%zu</text>\n", x_of(ls, i), TOP + HEIGHT + 20, i + 1);
    fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">batch norms, from the input on</text>\n", LEFT + WIDTH / 2,
            TOP + HEIGHT + 44);
}

static void put_drifts(FILE *f, const char *class, const char *words, const struct layers *ls, const struct drift *drifts) {
    for (size_t i = 0; i < ls->count; i++) {
        const double size = drift_size(&drifts[i]);
        const double x = x_of(ls, i), y = y_of(size);
        fprintf(f, "<g class=\"%s\"><path d=\"M%.1f %.1fV%d\" stroke-opacity=\".35\"/>", class, x, y, TOP + HEIGHT);
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/><title>", x, y);
        markup_text(f, ls->at[i].key);
        fprintf(f, " %s: mean off by %.3g sigma, deviation %.4g times</title></g>\n", words, fabs(drifts[i].shift),
                drifts[i].ratio);
    }
}

static void put_key(FILE *f, const char *class, const char *words, int x) {
    fprintf(f, "<circle class=\"%s\" cx=\"%d\" cy=\"%d\" r=\"4\"/><text x=\"%d\" y=\"%d\">%s</text>\n", class, x,
            TOP + HEIGHT + 40, x + 10, TOP + HEIGHT + 44, words);
}

char *svg_of_drifts(const char *title, const struct layers *ls, const struct drift *before, const struct drift *after) {
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return NULL;
    put_frame(f, title, ls);
    fprintf(f,
            "<text x=\"16\" y=\"48\">How far what arrives is from the statistics: the mean in sigmas, or the logarithm of the "
            "deviation's ratio, the larger of both</text>\n");
    put_drifts(f, "b", "before", ls, before);
    if (after) put_drifts(f, "a", "after", ls, after);
    put_key(f, "b", "before", LEFT + WIDTH - 140);
    if (after) put_key(f, "a", "after", LEFT + WIDTH - 60);
    fputs("</svg>\n", f);
    const bool ok = !ferror(f);
    if (fclose(f) == 0 && ok) return text;
    free(text);
    return NULL;
}
