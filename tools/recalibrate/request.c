/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <stdio.h>
#include <string.h>

#include "tools/shared/numbers.h"
#include "tools/train/checkpoint.h"

#define AT(member) OPTION_AT(struct recalibrate_request, member)

static const char *const methods[] = {"exact", "batch", NULL};

bool channel_numbers_parse(const char *text, char between, bool positive, struct channel_numbers *numbers) {
    char word[40];
    numbers->count = 0;
    for (;;) {
        const size_t bytes = strcspn(text, (char[]){between, '\0'});
        if (numbers->count == 3 || bytes >= sizeof word) return false;
        memcpy(word, text, bytes);
        word[bytes] = '\0';
        double *to = &numbers->at[numbers->count++];
        if (!parse_real(word, to) || (positive && *to <= 0)) return false;
        text += bytes;
        if (*text == '\0') break;
        text++;
    }
    for (int i = 1; i < 3 && numbers->count == 1; i++) numbers->at[i] = numbers->at[0];
    return numbers->count != 2;
}

static const char *set_mean(const char *text, void *request) {
    struct recalibrate_request *r = request;
    return channel_numbers_parse(text, ',', false, &r->mean) ? NULL : "is not a number, or three with commas between";
}

static const char *set_std(const char *text, void *request) {
    struct recalibrate_request *r = request;
    return channel_numbers_parse(text, ',', true, &r->std) ? NULL : "is not a number above 0, or three with commas between";
}

static const char *set_size(const char *text, void *request) {
    struct recalibrate_request *r = request;
    r->has_size = true;
    return train_parse_size(text, &r->size) ? NULL : "is not N or HEIGHTxWIDTH, each from 1 to 4096";
}

static const struct option_row rows[] = {
    {.name = "output", .letter = 'o', .kind = OPTION_TEXT, AT(output), .value = "FILE", .help = "The model that is written"},
    {.name = "data",
     .kind = OPTION_TEXT,
     AT(data),
     .value = "PATH",
     .help = "An .npy file, a folder of them, a folder of PNG or JPEG files, or IDX or CIFAR files as for train",
     .more = "The first dimension of an .npy file is that of samples. Folders in a folder of images are looked into. Of a data "
             "set the training images are taken."},
    {.name = "method",
     .kind = OPTION_WORD,
     AT(method),
     .given = offsetof(struct recalibrate_request, has_method),
     .words = methods,
     .help = "What batch norms before a layer do while its statistics are taken",
     .more =
         "_exact_: they have their new statistics, one depth after the other, in one pass over the model in all. The result "
         "does not depend on the batch size. _batch_: they use those of the batch, as PyTorch does in training (PreciseBN); "
         "small batches change the result."},
    {.name = "check",
     .kind = OPTION_ON,
     AT(check),
     .help = "Only report how far what arrives at each batch norm is from the statistics that it has"},
    {.help = "Images:"},
    {.name = "mean",
     .kind = OPTION_OWN,
     .parse = set_mean,
     .value = "M|R,G,B",
     .usual = "of the model's metadata, or 0",
     .help = "What is taken off pixels, which are 0 to 1"},
    {.name = "std",
     .kind = OPTION_OWN,
     .parse = set_std,
     .value = "S|R,G,B",
     .usual = "of the model's metadata, or 1",
     .help = "By what they are divided then"},
    {.name = "size",
     .kind = OPTION_OWN,
     .parse = set_size,
     .value = "N|HxW",
     .usual = "that of the model's input",
     .help = "Make every image N pixels high and wide, or H high and W wide: resized, and the middle taken"},
    {.help = "How it runs:"},
    {.name = "batch",
     .kind = OPTION_WHOLE,
     AT(batch),
     .value = "N",
     .limits = {1, 1 << 20},
     .usual = "that of the model, or 32",
     .help = "Samples at a time"},
    {.name = "limit",
     .kind = OPTION_WHOLE,
     AT(limit),
     .value = "N",
     .limits = {1, INT64_MAX},
     .usual = "all",
     .help = "Take the first N samples only"},
    {.name = "memory",
     .kind = OPTION_WHOLE,
     AT(memory),
     .value = "MIB",
     .limits = {0, 1 << 24},
     .help = "What may be kept between two depths in memory; the rest goes into files without a name in TMPDIR"},
    {OPTION_THREADS, AT(threads)},
    {OPTION_RUNTIME, AT(runtime)},
    {.name = "follow-symlinks",
     .kind = OPTION_ON,
     AT(follow_symlinks),
     .help = "Read external data through symbolic and hard links, as caches of downloads have them"},
    {.help = "What is written and told:"},
    {.name = "separate",
     .kind = OPTION_ON,
     AT(separate),
     .help = "Give batch norms that share their statistics each its own",
     .more = "Otherwise they get those of all that arrives at any of them, which _exact_ can do only at equal depths."},
    {.name = "require-all", .kind = OPTION_ON, AT(require_all), .help = "Exit with status 1 if a batch norm is left as it is"},
    {.name = "explain", .kind = OPTION_ON, AT(explain), .help = "Print a line for each batch norm: how far it was off"},
    {.name = "json", .kind = OPTION_ON, AT(json), .help = "Print the same as one JSON object"},
    {.name = "svg",
     .kind = OPTION_TEXT,
     AT(svg),
     .value = "FILE",
     .help = "Draw by layers how far what arrives is from the statistics, before and after",
     .more = "That takes two more passes."},
    {.help = "Without ONNX Runtime:"},
    {.name = "instrument",
     .kind = OPTION_ON,
     AT(instrument),
     .help = "Write a model with outputs for count, mean and M2 at every batch norm, to be run elsewhere",
     .more =
         "The outputs are _batchnorm/NAME/count_, _/mean_ and _/m2_. Batch norms use the statistics of their batch, as with "
         "*--method* _batch_, which is exact if all data are one batch."},
    {.name = "depth",
     .kind = OPTION_WHOLE,
     AT(depth),
     .value = "N",
     .limits = {1, INT32_MAX},
     .usual = "all",
     .help = "With --instrument: only for batch norms with N - 1 others before them, which have the file's statistics",
     .more = "1, 2 and so on, each merged before the next is written, is what *--method* _exact_ does."},
    {.name = "merge",
     .kind = OPTION_ON,
     AT(merge),
     .help = "Take the statistics from .npz files that have such outputs, one for each batch"},
};

static void set_defaults(void *request) {
    *(struct recalibrate_request *)request = (struct recalibrate_request){.memory = 1024};
}

static const char *check_without_data(const struct recalibrate_request *r) {
    if (r->data) return "--data goes neither with --instrument nor with --merge: the model is run elsewhere";
    if (r->instrument && r->merge) return "--instrument and --merge are two steps";
    if (r->instrument && (r->check || r->svg || r->explain)) return "--instrument has no statistics yet";
    if (r->merge && r->svg) return "--svg runs the model, which --merge does not";
    if (r->instrument && !r->output) return "-o FILE is missing: where does the model go?";
    if (r->merge && r->files.count < 2) return "--merge needs the .npz files with the statistics, after the model";
    if (r->instrument && r->has_method && r->method == METHOD_EXACT && !r->depth)
        return "with --instrument, exact goes depth by depth: --depth 1, then 2 on what was merged, and so on";
    return NULL;
}

static const char *check(void *request, char *message) {
    const struct recalibrate_request *r = request;
    (void)message;
    if (r->files.count == 0) return "MODEL is missing";
    if (r->files.count > 1 && !r->merge) return "one MODEL at a time";
    if (r->depth && !r->instrument) return "--depth is for --instrument";
    if (r->check && r->output) return "--check writes no model: -o is not needed";
    if (!r->check && !r->output) return "-o FILE is missing: where does the model go?";
    if (r->instrument || r->merge) return check_without_data(r);
    if (!r->data) return "--data PATH is missing: on what are the statistics taken?";
    if (strcmp(r->data, "-") == 0)
        return "--data -: samples are looked at before they are read, so they need a file or a folder";
    if (r->check && r->has_method) return "--check looks at the model as it is, by no method";
    return NULL;
}

const struct option_table recalibrate_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .request_bytes = sizeof(struct recalibrate_request),
    .defaults = set_defaults,
    .arguments = "MODEL.onnx --data PATH -o FILE.onnx\n"
                 "CHECKPOINT --data PATH -o FILE.safetensors\n"
                 "MODEL --data PATH --check\n"
                 "MODEL.onnx --instrument -o FILE.onnx\n"
                 "MODEL.onnx --merge FILE.npz... -o FILE.onnx",
    .arguments_at = offsetof(struct recalibrate_request, files),
    .does = "Give the batch norms of a model the statistics of new data",
    .more =
        "After pruning, quantizing, or on other data, what arrives at batch norms is no longer what their statistics say. The "
        "model is run by ONNX Runtime, where it is found; a checkpoint of train needs none. Only means and variances change, "
        "everything else in the file stays byte for byte what it was.",
    .check = check};
