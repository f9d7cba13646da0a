/* SPDX-License-Identifier: MIT */
/* The files of a comparison. */
#ifndef LAB_SAVING_H
#define LAB_SAVING_H

#include "report.h"

/* Make the directory, if it is not there, and see that the files can go there. Returns an exit status, after a report if it is
 * not EXIT_DONE. */
int saving_prepare(const char *directory);

/* metrics.csv, metrics.json and report.html: all of them, or none is touched. false: reported. *draw: with figures; set to
 * false where they could not be drawn, which was reported and costs nothing but them. */
bool saving_write(const struct report *report, bool *draw);

#endif
