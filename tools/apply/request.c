/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <argp.h>
#include <errno.h>
#include <string.h>

#include "tools/shared/convert.h"
#include "tools/shared/numbers.h"

enum {
    KEY_DIMS = 256,
    KEY_EVAL,
    KEY_EPS,
    KEY_MOMENTUM,
    KEY_NO_AFFINE,
    KEY_NO_BIAS,
    KEY_NO_TRACK,
    KEY_CHANNELS_LAST,
    KEY_DTYPE
};
enum { KEY_STATE = 300, KEY_SAVE_STATE, KEY_GRAD, KEY_DX, KEY_DWEIGHT, KEY_DBIAS, KEY_THREADS, KEY_PRINT };

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "Where y goes (required)", 1},
    {"dims", KEY_DIMS, "1|2|3", 0, "BatchNorm1d, BatchNorm2d or BatchNorm3d (required)", 2},
    {"eval", KEY_EVAL, NULL, 0, "Evaluation mode; without it, training mode", 2},
    {"eps", KEY_EPS, "E", 0, "Added to the variance (1e-5)", 2},
    {"momentum", KEY_MOMENTUM, "M|none", 0, "Weight of the new value in running statistics; none: cumulative average (0.1)", 2},
    {"no-affine", KEY_NO_AFFINE, NULL, 0, "No weight and no bias", 2},
    {"no-bias", KEY_NO_BIAS, NULL, 0, "No bias", 2},
    {"no-track", KEY_NO_TRACK, NULL, 0, "No running statistics", 2},
    {"channels-last", KEY_CHANNELS_LAST, NULL, 0, "Arrays are (N, ..., C) instead of (N, C, ...)", 3},
    {"dtype", KEY_DTYPE, "TYPE", 0, "Convert x on reading to f32, f64, bf16 or f16; y and dx then have that type", 3},
    {"state", KEY_STATE, "FILE", 0, "Load parameters and statistics from a safetensors file", 4},
    {"save-state", KEY_SAVE_STATE, "FILE", 0, "Save parameters and statistics as they are after the run, under PyTorch's keys",
     4},
    {"grad", KEY_GRAD, "FILE", 0, "Gradient dy of y: run backward too", 5},
    {"dx", KEY_DX, "FILE", 0, "Where the gradient of x goes", 5},
    {"dweight", KEY_DWEIGHT, "FILE", 0, "Where the gradient of the weight goes", 5},
    {"dbias", KEY_DBIAS, "FILE", 0, "Where the gradient of the bias goes", 5},
    {"threads", KEY_THREADS, "N", 0, "Threads at most; 0: as many as there are cores (0)", 6},
    {"print", KEY_PRINT, NULL, 0, "Print the layer as it is after the run", 6},
    {0}};

static const char doc[] =
    "Run one batch normalization layer over the array X, and write y."
    "\vAn array is a NumPy file (X.npy: f2, f4 or f8, C or Fortran order, little- or big-endian) or a tensor "
    "in a safetensors file (FILE.safetensors:NAME), which alone can hold bf16. All outputs are written, or "
    "none is touched.\n\nExit status: 0 success, 1 failure, 2 wrong usage.";

/* Say what is wrong with an option's value, and leave. */
static error_t wrong(struct argp_state *state, const char *option, const char *value, const char *right) {
    argp_error(state, "%s: '%s' is not %s", option, value, right);
    return EINVAL;
}

static error_t parse_numbers(int key, char *text, struct argp_state *state, struct request *r) {
    long number;
    switch (key) {
    case KEY_DIMS:
        if (!parse_integer(text, 1, 3, &number)) return wrong(state, "--dims", text, "1, 2 or 3");
        r->layer.dims = (int)number;
        return 0;
    case KEY_EPS:
        if (!parse_real(text, &r->layer.convention.eps) || r->layer.convention.eps < 0)
            return wrong(state, "--eps", text, "a number from 0 on");
        r->has_eps = true;
        return 0;
    case KEY_MOMENTUM:
        r->layer.cumulative = strcmp(text, "none") == 0;
        if (!r->layer.cumulative && !parse_real(text, &r->layer.convention.momentum))
            return wrong(state, "--momentum", text, "a number or none");
        r->has_momentum = true;
        return 0;
    case KEY_DTYPE:
        if (!parse_dtype(text, &r->dtype)) return wrong(state, "--dtype", text, "f32, f64, bf16 or f16");
        r->convert = true;
        return 0;
    default:
        if (!parse_integer(text, 0, 1024, &number)) return wrong(state, "--threads", text, "a number from 0 to 1024");
        r->threads = (int)number;
        return 0;
    }
}

/* What must hold between options, and cannot be told from one alone. */
static error_t check_request(struct argp_state *state, const struct request *r) {
    const struct output *o = r->outputs;
    if (!r->x) argp_error(state, "the array X is missing");
    if (!o[OUT_Y].argument) argp_error(state, "-o is missing: where does y go?");
    if (r->layer.dims == 0) argp_error(state, "--dims is missing; it must be 1, 2 or 3");
    for (int i = OUT_DX; i <= OUT_DBIAS; i++)
        if (o[i].argument && !r->dy) argp_error(state, "%s needs --grad", o[i].option);
    if (o[OUT_DWEIGHT].argument && !r->layer.affine) argp_error(state, "--dweight: with --no-affine there is no weight");
    if (o[OUT_DBIAS].argument && !(r->layer.affine && r->layer.bias))
        argp_error(state, "--dbias: with %s there is no bias", r->layer.affine ? "--no-bias" : "--no-affine");
    return 0;
}

static error_t parse(int key, char *text, struct argp_state *state) {
    struct request *r = state->input;
    switch (key) {
    case 'o':
        r->outputs[OUT_Y].argument = text;
        return 0;
    case KEY_EVAL:
        r->eval = true;
        return 0;
    case KEY_NO_AFFINE:
        r->layer.affine = false;
        return 0;
    case KEY_NO_BIAS:
        r->layer.bias = false;
        return 0;
    case KEY_NO_TRACK:
        r->layer.track_running_stats = false;
        return 0;
    case KEY_CHANNELS_LAST:
        r->channels_last = true;
        return 0;
    case KEY_STATE:
        r->state = text;
        return 0;
    case KEY_SAVE_STATE:
        r->outputs[OUT_STATE].argument = text;
        return 0;
    case KEY_GRAD:
        r->dy = text;
        return 0;
    case KEY_DX:
        r->outputs[OUT_DX].argument = text;
        return 0;
    case KEY_DWEIGHT:
        r->outputs[OUT_DWEIGHT].argument = text;
        return 0;
    case KEY_DBIAS:
        r->outputs[OUT_DBIAS].argument = text;
        return 0;
    case KEY_PRINT:
        r->print = true;
        return 0;
    case KEY_DIMS:
    case KEY_EPS:
    case KEY_MOMENTUM:
    case KEY_DTYPE:
    case KEY_THREADS:
        return parse_numbers(key, text, state, r);
    case ARGP_KEY_ARG:
        if (r->x) argp_error(state, "there is one array X, but both '%s' and '%s' were given", r->x, text);
        r->x = text;
        return 0;
    case ARGP_KEY_END:
        return check_request(state, r);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void request_parse(struct request *request, int argc, char **argv) {
    *request = (struct request){.layer = batchnorm_layer_defaults(2, 0),
                                .outputs = {[OUT_Y] = {.option = "-o"},
                                            [OUT_DX] = {.option = "--dx"},
                                            [OUT_DWEIGHT] = {.option = "--dweight"},
                                            [OUT_DBIAS] = {.option = "--dbias"},
                                            [OUT_STATE] = {.option = "--save-state", .whole_file = true}}};
    request->layer.dims = 0; /* no default: it must be said */
    const struct argp argp = {options, parse, "X", doc, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, request);
}
