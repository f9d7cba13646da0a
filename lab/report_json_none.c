/* SPDX-License-Identifier: MIT */
/* Without jansson. */
#include "report.h"

bool report_has_json(void) { return false; }

char *report_json(const struct report *report) {
    (void)report;
    return NULL;
}

void report_print_json(const struct report *report) { (void)report; }
