/* SPDX-License-Identifier: MIT */
#include "scale.h"

#include "tools/shared/messages.h"

/* Reads what the metadata have; false if they do not have it, or not for so many channels of pixels from 0 to 1. */
static bool read(const char *text, bool positive, size_t channels, struct channel_numbers *numbers) {
    if (!text || !channel_numbers_parse(text, ' ', positive, numbers) || (size_t)numbers->count != channels) return false;
    for (int i = 0; i < numbers->count; i++)
        if (numbers->at[i] < 0 || numbers->at[i] > 1) return false;
    return true;
}

static void choose(const struct channel_numbers *option, const struct channel_numbers *metadata, bool is_told,
                   struct channel_numbers *numbers, enum scale_source *from) {
    if (option->count > 0) {
        *numbers = *option;
        *from = SCALE_OPTION;
    } else if (is_told) {
        *numbers = *metadata;
        *from = SCALE_METADATA;
    }
}

struct scale scale_find(const struct recalibrate_request *r, const batchnorm_model *model, size_t channels) {
    const char *mean = batchnorm_model_metadata(model, "mean"), *std = batchnorm_model_metadata(model, "std");
    struct scale told, s = {.mean = {{0, 0, 0}, 1}, .std = {{1, 1, 1}, 1}};
    const bool is_told = read(mean, false, channels, &told.mean) && read(std, true, channels, &told.std);
    const bool is_asked = !r->mean.count || !r->std.count;
    if (!is_told && is_asked && (mean || std))
        report(EXIT_DONE,
               "%s: what its metadata call mean and std, \"%.80s\" and \"%.80s\", is not that of the %zu channels of pixels "
               "from 0 to 1, and is not used; --mean and --std say it",
               r->files.at[0], mean ? mean : "", std ? std : "", channels);
    choose(&r->mean, &told.mean, is_told, &s.mean, &s.mean_from);
    choose(&r->std, &told.std, is_told, &s.std, &s.std_from);
    return s;
}
