/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "report.h"

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

void report_print_table(const struct report *report) {
    const struct claim *previous = NULL;
    char summary[160], with[WORD_BYTES], without[WORD_BYTES];
    printf("\n%-54s  %-30s  %-30s  %s\n", "claim", "with batch norm", "without", "verdict");
    for (size_t i = 0; i < report->claim_count; i++) {
        const struct claim *c = &report->claims[i];
        if (!previous || previous->experiment != c->experiment) printf("%s\n", experiment_names[c->experiment]);
        previous = c;
        printf("  %-52s  %-30s  %-30s  %s", c->text, word_spread(&c->sides[SIDE_WITH], c->unit, with),
               word_spread(&c->sides[SIDE_WITHOUT], c->unit, without), verdict_names[c->verdict]);
        if (c->verdict == MIXED) printf(" (%zu of %zu)", c->held, c->pairs);
        printf("\n");
    }
    report_summary(report, summary, sizeof summary);
    printf("\n%s. Medians over the seeds, with the range.\n", summary);
}
