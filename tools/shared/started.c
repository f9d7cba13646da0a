/* SPDX-License-Identifier: MIT */
#include "started.h"

#include <stddef.h>
#include <stdlib.h>

static bool number_in(const char *name, int *number) {
    const char *text = getenv(name);
    char *end;
    const long value = text ? strtol(text, &end, 10) : -1;
    if (!text || end == text || *end || value < 0 || value > 1 << 20) return false;
    *number = (int)value;
    return true;
}

bool started_with_others(int *rank, int *ranks) {
    static const char *const names[][2] = {
        {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"}, {"PMI_SIZE", "PMI_RANK"}, {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (number_in(names[i][0], ranks) && number_in(names[i][1], rank)) return true;
    return false;
}
