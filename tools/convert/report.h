/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CONVERT_REPORT_H
#define TOOLS_CONVERT_REPORT_H

#include "conversion.h"

/* Tells what was done, and what the user has to know, in lines or as one JSON object. channels: of all batch norms. */
void conversion_print(const struct conversion *c, size_t channels);

#endif
