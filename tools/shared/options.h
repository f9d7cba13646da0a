/* SPDX-License-Identifier: MIT */
/* Options once. A verb has a table of its options; parsing, messages, --help and the options in the manual page come from it.
 *
 *     #define AT(member) OPTION_AT(struct my_request, member)
 *     static const struct option_row rows[] = {
 *         {.name = "seconds", .kind = OPTION_REAL, AT(seconds), .value = "S", .range = {.most = 3600, .above = true},
 *          .help = "How long each case is timed"},
 *     };
 *
 * The request is a struct of the verb's own, filled with defaults. What is given on the command line goes where the row says;
 * the last of several wins. A value that does not fit ends the program with status 2 and "--seconds: 'x' is not a number above
 * 0, at most 3600". */
#ifndef TOOLS_SHARED_OPTIONS_H
#define TOOLS_SHARED_OPTIONS_H

#include "option_row.h"

/* Reads a command line, where argv[0] is "batchnorm VERB", into the request. Does not return if it is wrong or asks for
 * help. */
void options_parse(const struct option_table *table, int argc, char **argv, void *request);

/* For functions of a verb's own: the next word of a list; false at its end. A word that does not fit is cut, and so is none
 * that has a meaning. */
enum { OPTION_WORD_BYTES = 24 };
bool option_next_word(const char **text, const char *separators, char word[OPTION_WORD_BYTES]);

/* The index of a word, -1 if it is none. */
int option_word_index(const char *const *words, const char *word, size_t length);

#endif
