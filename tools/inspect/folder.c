/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* versionsort: model_9 before model_10 */
#include "folder.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "health.h"
#include "listing.h"
#include "tools/shared/clean.h"
#include "tools/shared/json.h"
#include "tools/shared/messages.h"
#include "tools/shared/terminal.h"

/* Counts over all batch norms of a file. */
struct line {
    size_t norms, unhealthy, ill[BATCHNORM_ILLNESSES];
    int64_t channels, batches; /* -1: none is tracked */
};

static bool ends_in(const char *name, const char *end) {
    const size_t bytes = strlen(name), tail = strlen(end);
    return bytes > tail && strcmp(name + bytes - tail, end) == 0;
}

static int is_model(const struct dirent *entry) {
    static const char *const ends[] = {".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".onnx", ".weights", ".h5", ".keras"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_in(entry->d_name, ends[i])) return 1;
    return 0;
}

static struct line count(const struct listing *listing, const struct inspect_request *request) {
    struct line line = {.batches = -1};
    char text[HEALTH_BYTES];
    for (size_t i = 0; i < listing->count; i++) {
        const batchnorm_model_norm *n = &listing->at[i].norm;
        if (!inspect_wants(request, n->name)) continue;
        line.norms++;
        line.unhealthy += health_text(n, listing->is_state, text) > 0;
        line.channels += n->channels > 0 ? n->channels : 0;
        if (n->num_batches_tracked > line.batches) line.batches = n->num_batches_tracked;
        for (int k = 0; k < BATCHNORM_ILLNESSES; k++) line.ill[k] += n->ill[k];
    }
    return line;
}

static void print_line(const char *name, const struct line *line, bool json) {
    if (json) {
        printf("{\"file\": ");
        print_json_text(name);
        printf(", \"count\": %zu, \"channels\": %" PRId64, line->norms, line->channels);
        if (line->batches >= 0) printf(", \"num_batches_tracked\": %" PRId64, line->batches);
        printf(", \"unhealthy\": %zu", line->unhealthy);
        for (int i = 0; i < BATCHNORM_ILLNESSES; i++) printf(", \"%s\": %zu", health_key(i), line->ill[i]);
        printf("}\n");
        return;
    }
    terminal_print_name(name, 32);
    char batches[24] = "-";
    if (line->batches >= 0) snprintf(batches, sizeof batches, "%" PRId64, line->batches);
    printf(" %7zu %8" PRId64 " %10s", line->norms, line->channels, batches);
    printf(" %7zu %9zu %7zu %8zu %10zu %9zu\n", line->ill[BATCHNORM_VAR_ZERO], line->ill[BATCHNORM_VAR_SUBNORMAL],
           line->ill[BATCHNORM_VAR_BELOW_EPS], line->ill[BATCHNORM_WEIGHT_SMALL], line->ill[BATCHNORM_NOT_FINITE],
           line->unhealthy);
}

void inspect_report(const char *path, const char *name, const char *message, bool json) {
    report(EXIT_FAILED, "%s: %s", input_name(path), message);
    if (!json) return;
    printf("{\"file\": ");
    print_json_text(name);
    printf(", \"error\": ");
    print_json_text(message);
    printf("}\n");
}

static bool inspect(const char *path, const char *name, const struct inspect_request *request,
                    const batchnorm_model_options *options, bool *unhealthy) {
    struct model_file file;
    struct listing listing = {.at = NULL};
    char message[BATCHNORM_MODEL_MESSAGE];
    const bool ok = model_file_open(&file, path, options, message) && listing_open(&listing, &file, options->eps, message);
    if (ok) {
        const struct line line = count(&listing, request);
        print_line(name, &line, request->json);
        *unhealthy = *unhealthy || line.unhealthy > 0;
    } else {
        inspect_report(path, name, message, request->json);
    }
    listing_free(&listing);
    model_file_close(&file);
    return ok;
}

bool folder_inspect(const char *path, const struct inspect_request *request, const batchnorm_model_options *options,
                    bool *unhealthy) {
    struct dirent **entries;
    if (request->all) return report(EXIT_FAILED, "%s: --all lists the tensors of a file, and this is a folder", path), false;
    const int found = scandir(path, &entries, is_model, versionsort);
    bool ok = found > 0;
    if (found < 0) return report(EXIT_FAILED, "%s: the folder cannot be read", path), false;
    if (found == 0)
        report(EXIT_FAILED, "%s: no file whose name is a model's (.pth, .safetensors, .onnx and so on) is in it", path);
    if (found > 0 && !request->json) {
        terminal_print_name("file", 32);
        printf(" %7s %8s %10s %7s %9s %7s %8s %10s %9s\n", "norms", "channels", "batches", "var = 0", "subnormal", "< eps",
               "weight~0", "not finite", "unhealthy");
    }
    for (int i = 0; i < found; i++) {
        const size_t bytes = strlen(path) + strlen(entries[i]->d_name) + 2;
        char *full = malloc(bytes);
        if (full) snprintf(full, bytes, "%s/%s", path, entries[i]->d_name);
        ok = full && inspect(full, entries[i]->d_name, request, options, unhealthy) && ok;
        free(full);
        free(entries[i]);
    }
    free(entries);
    return ok;
}
