/* SPDX-License-Identifier: MIT */
/* A panel of a figure, drawn by gnuplot, as an SVG element to stand in a page: its colours are the page's (CSS variables, so
 * that they follow light and dark), its size is that of the place it gets, and its ids are its own. */
#ifndef LAB_FIGURE_SVG_H
#define LAB_FIGURE_SVG_H

#include "figures.h"

/* The CSS variables that a page must define: --ink (axes and text), --grid, --with, --without, --third, --fourth. */

/* id: letters, digits and '-', unique in the page. To be freed; NULL: gnuplot failed, which was reported, or there is nothing
 * to draw, which is then not an error: *empty says which. */
char *figure_svg(const struct panel *panel, const char *id, bool *empty);

/* gnuplot's script; NULL without memory. *empty: no point of the panel can be drawn. For figure_svg() and its tests. */
char *figure_script(const struct panel *panel, const char *id, bool *empty);
/* What gnuplot wrote, as described above; NULL without memory. */
char *figure_adapt(const char *svg, const char *id, const char *label);

#endif
