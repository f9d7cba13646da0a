/* SPDX-License-Identifier: MIT */
/* One side of train_step.py: a network that takes training steps on demand, so that its steps and PyTorch's can take turns.
 *
 *     train_step MODEL DEPTH NORM HEIGHT WIDTH CHANNELS CLASSES BATCH THREADS
 *
 * It writes the version of its convolution library, the number of parameters, and each parameter: a line "NAME OUT HEIGHT WIDTH
 * IN RANK" and then its values as floats. It reads the batch, floats [n][height][width][channels] and bytes [n]. Then for each
 * letter that it reads: s takes a step and writes its seconds, seconds of processor time and loss; p writes a line "NAME
 * FORWARD BACKWARD" for each layer, seconds since the last p, then an empty line; m writes the megabytes of memory it had at
 * most, and those it had before it made the network. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn/loss.h"
#include "nn/model.h"
#include "nn/optimizer.h"

struct side {
    nn_network *network;
    nn_optimizer optimizer;
    size_t batch, classes;
    uint8_t *labels;
    double start_megabytes;
};

static double clock_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Linux's high-water mark of this program. (getrusage() begins with that of the process that started it.) */
static double peak_megabytes(void) {
    char line[256];
    unsigned long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (!status) return 0;
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %lu", &kilobytes) == 1) break;
    fclose(status);
    return (double)kilobytes / 1024;
}

static size_t index_of(const char *text, const char *const *names) {
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(text, names[i]) == 0) return i;
    }
    fprintf(stderr, "train_step: '%s' is not among the choices\n", text);
    exit(2);
}

static nn_model_options options_from(char **argv) {
    static const char *const kinds[] = {"mlp", "cnn", "resnet", NULL}, *const norms[] = {"none", "before", "after", NULL};
    const unsigned long numbers[] = {strtoul(argv[2], NULL, 10), strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10),
                                     strtoul(argv[6], NULL, 10), strtoul(argv[7], NULL, 10), strtoul(argv[8], NULL, 10)};
    return (nn_model_options){.kind = (nn_model_kind)index_of(argv[1], kinds),
                              .depth = numbers[0],
                              .image = {numbers[1], numbers[2], numbers[3]},
                              .classes = numbers[4],
                              .norm = (nn_norm)index_of(argv[3], norms),
                              .activation = NN_RELU,
                              .batch = numbers[5],
                              .threads = atoi(argv[9]),
                              .seed = 1};
}

static void write_parameters(const nn_network *network) {
    printf("%s\n%zu\n", nn_backend_name(), nn_network_parameter_count(network));
    for (size_t i = 0; i < nn_network_parameter_count(network); i++) {
        const nn_parameter *p = nn_network_parameter(network, i);
        printf("%s %zu %zu %zu %zu %d\n", p->name, p->out, p->height, p->width, p->in, p->rank);
        fwrite(p->value, sizeof *p->value, p->count, stdout);
    }
    fflush(stdout);
}

static nn_error step(struct side *side, double *loss) {
    nn_error error = nn_network_forward(side->network, side->batch);
    if (error) return error;
    float *dlogits = nn_network_output_gradient(side->network);
    const nn_score score =
        nn_softmax_cross_entropy(side->batch, side->classes, nn_network_output(side->network), side->labels, dlogits);
    error = nn_network_backward(side->network, side->batch);
    if (!error) nn_optimizer_step(&side->optimizer, 0.01f);
    *loss = score.loss / (double)side->batch;
    return error;
}

static nn_error timed_step(struct side *side) {
    double loss = 0;
    const double wall = clock_of(CLOCK_MONOTONIC), processor = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    const nn_error error = step(side, &loss);
    printf("%.9f %.9f %.9g\n", clock_of(CLOCK_MONOTONIC) - wall, clock_of(CLOCK_PROCESS_CPUTIME_ID) - processor, loss);
    return error;
}

static void write_profile(nn_network *network) {
    for (size_t i = 0; i < network->count; i++) {
        nn_layer *layer = network->nodes[i].layer;
        printf("%s %.9f %.9f\n", layer->name, layer->forward_seconds, layer->backward_seconds);
        layer->forward_seconds = layer->backward_seconds = 0;
    }
    printf("\n");
}

static nn_error serve(struct side *side) {
    const size_t floats = side->batch * nn_shape_size(side->network->input);
    if (fread(nn_network_input(side->network), sizeof(float), floats, stdin) != floats) return "no images";
    if (fread(side->labels, 1, side->batch, stdin) != side->batch) return "no labels";
    for (int letter = getchar(); letter != EOF; letter = getchar()) {
        nn_error error = NULL;
        if (letter == 's') error = timed_step(side);
        if (letter == 'p') write_profile(side->network);
        if (letter == 'm') printf("%.1f %.1f\n", peak_megabytes(), side->start_megabytes);
        if (error) return error;
        fflush(stdout);
    }
    return NULL;
}

static nn_error run(const nn_model_options *options, nn_backend *backend) {
    struct side side = {.batch = options->batch, .classes = options->classes, .start_megabytes = peak_megabytes()};
    nn_error error = nn_model_create(backend, options, &side.network);
    if (error) return error;
    side.labels = malloc(side.batch);
    const nn_optimizer_options sgd = nn_optimizer_defaults(NN_SGD);
    error = side.labels ? nn_optimizer_init(&side.optimizer, side.network, &sgd) : NN_NO_MEMORY;
    if (!error) {
        write_parameters(side.network);
        error = serve(&side);
    }
    nn_optimizer_free(&side.optimizer);
    nn_network_destroy(side.network);
    free(side.labels);
    return error;
}

int main(int argc, char **argv) {
    if (argc != 10) {
        fprintf(stderr, "usage: train_step MODEL DEPTH NORM HEIGHT WIDTH CHANNELS CLASSES BATCH THREADS\n");
        return 2;
    }
    const nn_model_options options = options_from(argv);
    nn_backend *backend;
    nn_error error = nn_backend_create(options.threads, &backend);
    if (!error) {
        error = run(&options, backend);
        nn_backend_destroy(backend);
    }
    if (error) fprintf(stderr, "train_step: %s\n", error);
    return error != NULL;
}
