/* SPDX-License-Identifier: MIT */
#include "data_notes.h"

#include "messages.h"

void data_notes_report(const nn_data_notes *notes) {
    const size_t other = notes->passed_over, bad = notes->skipped;
    if (other == 1)
        report(EXIT_DONE, "passed over 1 file that is no image: %s", notes->first_passed_over);
    else if (other > 1)
        report(EXIT_DONE, "passed over %zu files that are no images, for example %s", other, notes->first_passed_over);
    if (bad == 1)
        report(EXIT_DONE, "skipped 1 broken image: %s", notes->first_skipped);
    else if (bad > 1)
        report(EXIT_DONE, "skipped %zu broken images, the first of which is %s", bad, notes->first_skipped);
}
