/* SPDX-License-Identifier: MIT */
/* Running gnuplot. */
#ifndef TOOLS_SHARED_GNUPLOT_H
#define TOOLS_SHARED_GNUPLOT_H

#include <stdbool.h>

/* Give a script to gnuplot's standard input; what it writes to standard output, to be freed. NULL: reported. The script must
 * plot in its last command, so that all of it is read before anything is written. No name and no shell is involved, and
 * nothing of the user's settings. It, and what it has started, is ended when it takes too long, and by SIGINT, SIGTERM and
 * SIGHUP, which after that have the effect that they would have had. */
char *gnuplot_run(const char *script);

/* Whether it starts and ends, within ten seconds; what is wrong is reported. */
bool gnuplot_there(void);

extern double gnuplot_seconds; /* that one script may take; 60, and less for tests */

#endif
