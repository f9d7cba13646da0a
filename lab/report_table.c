/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "report.h"
#include "tools/shared/wrap.h"

size_t report_count(const struct report *report, enum verdict verdict) {
    size_t count = 0;
    for (size_t i = 0; i < report->claim_count; i++) count += report->claims[i].verdict == verdict;
    return count;
}

void report_summary(const struct report *report, char *text, size_t bytes) {
    const size_t holds = report_count(report, HOLDS), mixed = report_count(report, MIXED), fails = report_count(report, FAILS),
                 unknown = report_count(report, NOT_MEASURED), early = report_count(report, TOO_SHORT);
    int length = snprintf(text, bytes, "%zu of %zu claims hold", holds, report->claim_count);
    if (mixed > 0)
        length += snprintf(text + length, bytes - (size_t)length, ", %zu %s mixed", mixed, mixed == 1 ? "is" : "are");
    if (fails > 0)
        length += snprintf(text + length, bytes - (size_t)length, ", %zu %s not hold", fails, fails == 1 ? "does" : "do");
    if (early > 0)
        length +=
            snprintf(text + length, bytes - (size_t)length, ", %zu %s too short to tell", early, early == 1 ? "is" : "are");
    if (unknown > 0)
        snprintf(text + length, bytes - (size_t)length, ", %zu %s not measured", unknown, unknown == 1 ? "was" : "were");
}

enum { GAP = 2, INDENT = 2, VERDICT = 17, SIDE = 22, LEAST_CLAIM = 33 };

/* One row of cells, each broken between words to its width. */
static void print_cells(const char *const cells[4], const size_t widths[4]) {
    const char *rest[4] = {cells[0], cells[1], cells[2], cells[3]};
    for (bool more = true; more;) {
        size_t missing = 0; /* columns before the next text */
        more = false;
        for (size_t i = 0; i < 4; i++) {
            const char *text = rest[i];
            const size_t length = wrap_line(text, widths[i], &rest[i]);
            if (length > 0) printf("%*s%.*s", (int)missing, "", (int)length, text);
            if (length > 0) missing = 0;
            missing += (length < widths[i] ? widths[i] - length : 0) + GAP;
            more |= *rest[i] != '\0';
        }
        printf("\n");
        if (more) printf("%*s", INDENT, "");
    }
}

static void print_note(const struct claim *claim, size_t columns) {
    if (!*claim->note) return;
    printf("%*s", 2 * INDENT, "");
    wrap_print(claim->note, 2 * INDENT, 2 * INDENT, columns);
    printf("\n");
}

/* For a narrow terminal: the claim, and under it the numbers. */
static void print_under(const struct claim *claim, const char *with, const char *without, const char *verdict, size_t columns) {
    char text[4 * WORD_BYTES];
    printf("%*s", INDENT, "");
    wrap_print(claim->text, INDENT, INDENT, columns);
    printf("\n%*s", 2 * INDENT, "");
    if (claim->sides[SIDE_WITHOUT].count > 0)
        snprintf(text, sizeof text, "with %s, without %s: %s", with, without, verdict);
    else
        snprintf(text, sizeof text, "%s: %s", with, verdict);
    wrap_print(text, 2 * INDENT, 2 * INDENT, columns);
    printf("\n");
}

/* Of the claims; 0 where it would be too narrow for a table. */
static size_t claim_width(size_t columns) {
    const size_t others = INDENT + 2 * SIDE + VERDICT + 3 * GAP;
    return columns >= others + LEAST_CLAIM - INDENT ? columns - others : 0;
}

static void print_in_table(const char *const cells[4], size_t claim) {
    print_cells(cells, (const size_t[]){claim, SIDE, SIDE, VERDICT});
}

static void print_claim(const struct claim *c, size_t columns) {
    char with[WORD_BYTES], without[WORD_BYTES], verdict[WORD_BYTES];
    word_spread(&c->sides[SIDE_WITH], c->unit, with);
    word_spread(&c->sides[SIDE_WITHOUT], c->unit, without);
    const int length = snprintf(verdict, sizeof verdict, "%s", verdict_names[c->verdict]);
    if (c->verdict == MIXED) snprintf(verdict + length, sizeof verdict - (size_t)length, " (%zu of %zu)", c->held, c->pairs);
    const size_t claim = claim_width(columns);
    if (claim == 0) {
        print_under(c, with, without, verdict, columns);
    } else {
        printf("%*s", INDENT, "");
        print_in_table((const char *const[]){c->text, with, without, verdict}, claim);
    }
    print_note(c, columns);
}

void report_print_table(const struct report *report) {
    enum { WIDEST = 2 * INDENT + 64 + 2 * SIDE + VERDICT + 3 * GAP };
    const struct claim *previous = NULL;
    char summary[240];
    const size_t there = wrap_columns(), columns = there < WIDEST ? there : WIDEST;
    printf("\n");
    if (claim_width(columns) > 0)
        print_in_table((const char *const[]){"claim", "with batch norm", "without", "verdict"}, claim_width(columns) + INDENT);
    for (size_t i = 0; i < report->claim_count; i++) {
        const struct claim *c = &report->claims[i];
        if (!previous || previous->experiment != c->experiment) printf("%s\n", experiment_names[c->experiment]);
        previous = c;
        print_claim(c, columns);
    }
    report_summary(report, summary, 160);
    strcat(summary, ". Medians over the seeds, with the range.");
    printf("\n");
    wrap_print(summary, 0, 0, columns);
    printf("\n");
}
