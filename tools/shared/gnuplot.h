/* SPDX-License-Identifier: MIT */
/* Running gnuplot. */
#ifndef TOOLS_SHARED_GNUPLOT_H
#define TOOLS_SHARED_GNUPLOT_H

/* Give a script to gnuplot's standard input; what it writes to standard output, to be freed. NULL: reported. The script must
 * plot in its last command, so that all of it is read before anything is written. No name and no shell is involved, and
 * nothing of the user's settings. */
char *gnuplot_run(const char *script);

#endif
