/* SPDX-License-Identifier: MIT */
/* batchnorm apply: one layer over arrays in files. */
#include <string.h>
#include <sys/stat.h>

#include "request.h"
#include "tools/shared/clean.h"
#include "tools/shared/inputs.h"
#include "tools/shared/messages.h"
#include "tools/shared/model_file.h"

/* What a run holds. */
struct run {
    const struct request *request;
    struct array x, y, dy, dx;
    batchnorm_layer *layer;
};

static bool fail(const char *where, const char *what) {
    report(EXIT_FAILED, "%s: %s", where, what);
    return false;
}

/* Report what the layer says, or what the status means where it says nothing. */
static bool check(const struct run *run, batchnorm_status status, const char *where) {
    if (!status) return true;
    const char *message = run->layer ? batchnorm_layer_message(run->layer) : "";
    return fail(where, message[0] ? message : batchnorm_status_string(status));
}

/* The view that the layer gets: channels are dimension 1. */
static batchnorm_tensor layer_view(const struct run *run, const struct array *array) {
    return run->request->channels_last && array->view.rank > 2 ? channels_first(array->view) : array->view;
}

static bool check_types(const struct run *run) {
    const struct output *outputs = run->request->outputs;
    for (int i = OUT_Y; i <= OUT_DX; i++)
        if (outputs[i].argument && run->x.view.dtype == BATCHNORM_BF16 && !outputs[i].location.name)
            return fail(output_name(outputs[i].argument),
                        "an .npy file cannot hold bf16; write to FILE.safetensors:NAME, or give --dtype f32");
    return true;
}

static bool same_shape(const batchnorm_tensor *a, const batchnorm_tensor *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0]) == 0;
}

static bool read_inputs(struct run *run) {
    const struct request *r = run->request;
    char message[MESSAGE_BYTES], x_shape[SHAPE_TEXT_BYTES], dy_shape[SHAPE_TEXT_BYTES];
    if (!array_read(&run->x, r->x, r->convert ? &r->dtype : NULL, message)) return fail(input_name(r->x), message);
    if (!check_types(run)) return false;
    if (!r->dy) return true;
    if (!array_read(&run->dy, r->dy, &run->x.view.dtype, message)) return fail(input_name(r->dy), message);
    if (!same_shape(&run->x.view, &run->dy.view)) {
        report(EXIT_FAILED, "%s: has the shape %s, but x has %s", input_name(r->dy), shape_text(&run->dy.view, dy_shape),
               shape_text(&run->x.view, x_shape));
        return false;
    }
    return true;
}

/* A state of another number of channels, which are the last size of x: people forget the option. */
static const char *channels_hint(const struct run *run) {
    const struct request *r = run->request;
    const batchnorm_tensor *x = &run->x.view;
    if (r->channels_last || x->rank < 3 || x->shape[1] == x->shape[x->rank - 1]) return "";
    batchnorm_layer_options options = r->layer;
    options.num_features = x->shape[x->rank - 1];
    options.dtype = BATCHNORM_F32;
    batchnorm_layer *other;
    if (batchnorm_layer_create(&options, &other)) return "";
    struct stat status;
    const bool is_file = stat(r->state_file, &status) == 0 && S_ISREG(status.st_mode);
    const bool fits = is_file && !layer_load_any(other, r->state_file, r->prefix, NULL);
    batchnorm_layer_destroy(other);
    return fits ? " The last size of x would fit: if its channels are the last, give --channels-last." : "";
}

/* The file's eps and momentum count, unless the command line has others. */
static bool load_state(struct run *run) {
    const struct request *r = run->request;
    char message[MESSAGE_BYTES];
    const char *path = strcmp(r->state_file, "-") == 0 ? "/dev/stdin" : r->state_file;
    if (layer_load_any(run->layer, path, r->prefix, message)) {
        report(EXIT_FAILED, "%s: %s%s", input_name(r->state), message, channels_hint(run));
        return false;
    }
    batchnorm_options convention = batchnorm_layer_get_options(run->layer).convention;
    if (r->has_eps) convention.eps = r->layer.convention.eps;
    if (r->has_momentum) {
        convention.momentum = r->layer.convention.momentum;
        batchnorm_layer_set_cumulative(run->layer, r->layer.cumulative);
    }
    batchnorm_layer_set_convention(run->layer, &convention);
    return true;
}

static bool make_layer(struct run *run) {
    const struct request *r = run->request;
    batchnorm_tensor x = layer_view(run, &run->x);
    batchnorm_layer_options layer = r->layer;
    /* a rank below 2 is for the layer to refuse */
    layer.num_features = x.rank < 2 ? 0 : x.shape[1];
    layer.dtype = x.dtype == BATCHNORM_F64 ? BATCHNORM_F64 : BATCHNORM_F32;
    if (!check(run, batchnorm_layer_create(&layer, &run->layer), input_name(r->x))) return false;
    if (r->eval) batchnorm_layer_eval(run->layer);
    return !r->state || load_state(run);
}

static bool forward(struct run *run, const batchnorm_exec *exec) {
    const struct request *r = run->request;
    char message[MESSAGE_BYTES];
    const batchnorm_tensor *x = &run->x.view;
    if (!array_new(&run->y, x->dtype, x->rank, x->shape, message)) return fail(input_name(r->x), message);
    batchnorm_tensor from = layer_view(run, &run->x), to = layer_view(run, &run->y);
    return check(run, batchnorm_layer_forward(run->layer, from, to, NULL, 0, exec), input_name(r->x));
}

static bool backward(struct run *run, const batchnorm_exec *exec) {
    const struct request *r = run->request;
    char message[MESSAGE_BYTES];
    const batchnorm_tensor *x = &run->x.view;
    batchnorm_tensor dx = layer_view(run, &run->x);
    dx.data = NULL;
    if (r->outputs[OUT_DX].argument) {
        if (!array_new(&run->dx, x->dtype, x->rank, x->shape, message)) return fail(input_name(r->dy), message);
        dx = layer_view(run, &run->dx);
    }
    batchnorm_tensor from = layer_view(run, &run->x), dy = layer_view(run, &run->dy);
    return check(run, batchnorm_layer_backward(run->layer, NULL, from, dy, dx, 0, exec), input_name(r->dy));
}

static bool finish(struct run *run, struct output *outputs) {
    batchnorm_parameter *weight = batchnorm_layer_weight(run->layer), *bias = batchnorm_layer_bias(run->layer);
    outputs[OUT_Y].tensor = run->y.view;
    outputs[OUT_DX].tensor = run->dx.view;
    if (weight) outputs[OUT_DWEIGHT].tensor = weight->grad;
    if (bias) outputs[OUT_DBIAS].tensor = bias->grad;
    outputs[OUT_STATE].layer = run->layer;
    if (!outputs_write(outputs, OUTPUTS)) return false;
    /* before the files are put in place: a text that cannot be printed is a failure too, and main says so */
    if (run->request->print && (batchnorm_layer_print(run->layer, stdout) || fflush(stdout) != 0)) return false;
    return outputs_commit(outputs, OUTPUTS);
}

static int apply(struct request *r) {
    int code = outputs_check(r->outputs, OUTPUTS);
    if (code != EXIT_DONE) return code;
    struct run run = {.request = r};
    batchnorm_exec exec = {.size = sizeof(batchnorm_exec), .threads = r->threads};
    if (r->eval && !r->state && r->layer.track_running_stats)
        report(EXIT_DONE, "note: without --state the running statistics are 0 and 1, and y is nearly x");
    bool ok = read_inputs(&run) && make_layer(&run) && forward(&run, &exec) && (!r->dy || backward(&run, &exec)) &&
              finish(&run, r->outputs);
    batchnorm_layer_destroy(run.layer);
    array_free(&run.x);
    array_free(&run.y);
    array_free(&run.dy);
    array_free(&run.dx);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

int cmd_apply(int argc, char **argv) {
    struct request r;
    apply_options.defaults(&r);
    options_parse(&apply_options, argc, argv, &r);
    int code = apply(&r);
    outputs_free(r.outputs, OUTPUTS);
    return code;
}
