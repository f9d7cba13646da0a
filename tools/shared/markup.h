/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SHARED_MARKUP_H
#define TOOLS_SHARED_MARKUP_H

#include <stdio.h>

/* Text or an attribute of HTML or XML, as of SVG: with other words for what means something there. What they cannot have, and
 * what is no UTF-8, becomes a question mark. */
void markup_text(FILE *to, const char *text);

#endif
