/* SPDX-License-Identifier: MIT */
/* Parts of the page. */
#ifndef LAB_REPORT_PARTS_H
#define LAB_REPORT_PARTS_H

#include "report.h"

/* The style sheet: light and dark, phone, desk and paper. */
extern const char report_style[];

/* false: reported. */
bool html_figure(FILE *page, const struct figure *figure, bool draw);
void html_settings(FILE *page, const struct report *report);
void html_claims(FILE *page, const struct report *report);
bool html_foot(FILE *page, const struct report *report);
bool html_samples(FILE *page, const struct report *report);

#endif
