/* SPDX-License-Identifier: MIT */
/* The shares as a bar chart, drawn by gnuplot. */
#ifndef TOOLS_BENCH_SVG_H
#define TOOLS_BENCH_SVG_H

#include "machine.h"
#include "measure.h"

/* Whether gnuplot is there and runs; false: reported. */
bool bench_svg_possible(void);

/* The picture as SVG text, to be freed; NULL: reported. */
char *bench_svg_draw(const struct bench_machine *machine, const struct bench_result *results, size_t count);

#endif
