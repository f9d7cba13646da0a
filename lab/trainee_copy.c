/* SPDX-License-Identifier: MIT */
/* Copies of a network's parameters, gradients and running statistics, and steps along a gradient. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batchnorm/layer.h"
#include "lab.h"

static size_t channels_of(batchnorm_layer *norm) { return (size_t)batchnorm_layer_running_mean(norm).shape[0]; }

/* Between the layers and the copy, in either direction: running mean, running variance, count. */
static void move_buffers(const nn_network *network, double *buffers, bool save) {
    for (size_t i = 0; i < nn_network_batch_norms(network); i++) {
        const char *name;
        batchnorm_layer *norm = nn_network_batch_norm_at(network, i, &name);
        float *const both[] = {batchnorm_layer_running_mean(norm).data, batchnorm_layer_running_var(norm).data};
        const size_t channels = channels_of(norm);
        for (size_t j = 0; j < 2 * channels; j++, buffers++) {
            float *value = &both[j / channels][j % channels];
            if (save)
                *buffers = *value;
            else
                *value = (float)*buffers;
        }
        int64_t *tracked = batchnorm_layer_num_batches_tracked(norm);
        if (save)
            *buffers = (double)*tracked;
        else
            *tracked = (int64_t)*buffers;
        buffers++;
    }
}

static size_t count_buffers(const nn_network *network) {
    size_t count = 0;
    for (size_t i = 0; i < nn_network_batch_norms(network); i++) {
        const char *name;
        count += 2 * channels_of(nn_network_batch_norm_at(network, i, &name)) + 1;
    }
    return count;
}

bool trainee_save(const struct trainee *t, struct trainee_copy *copy) {
    const size_t count = nn_network_parameters(t->network), buffers = count_buffers(t->network);
    *copy = (struct trainee_copy){.count = count, .buffers = buffers};
    copy->values = malloc(count * sizeof *copy->values);
    copy->grads = malloc(count * sizeof *copy->grads);
    copy->running = malloc((buffers ? buffers : 1) * sizeof *copy->running);
    if (!copy->values || !copy->grads || !copy->running) {
        trainee_copy_free(copy);
        return false;
    }
    size_t at = 0;
    for (size_t i = 0; i < nn_network_parameter_count(t->network); i++) {
        const nn_parameter *p = nn_network_parameter(t->network, i);
        memcpy(copy->values + at, p->value, p->count * sizeof *p->value);
        memcpy(copy->grads + at, p->grad, p->count * sizeof *p->grad);
        at += p->count;
    }
    move_buffers(t->network, copy->running, true);
    return true;
}

void trainee_restore_running(struct trainee *t, const struct trainee_copy *copy) {
    move_buffers(t->network, copy->running, false);
}

void trainee_restore(struct trainee *t, const struct trainee_copy *copy) {
    size_t at = 0;
    for (size_t i = 0; i < nn_network_parameter_count(t->network); i++) {
        const nn_parameter *p = nn_network_parameter(t->network, i);
        memcpy(p->value, copy->values + at, p->count * sizeof *p->value);
        memcpy(p->grad, copy->grads + at, p->count * sizeof *p->grad);
        at += p->count;
    }
    trainee_restore_running(t, copy);
}

void trainee_copy_free(struct trainee_copy *copy) {
    free(copy->values);
    free(copy->grads);
    free(copy->running);
    *copy = (struct trainee_copy){0};
}

void trainee_move(struct trainee *t, const struct trainee_copy *copy, double length) {
    size_t at = 0;
    for (size_t i = 0; i < nn_network_parameter_count(t->network); i++) {
        const nn_parameter *p = nn_network_parameter(t->network, i);
        for (size_t j = 0; j < p->count; j++, at++) p->value[j] = (float)(copy->values[at] - length * copy->grads[at]);
    }
}

double trainee_gradient_distance(const struct trainee *t, const struct trainee_copy *copy) {
    double sum = 0;
    size_t at = 0;
    for (size_t i = 0; i < nn_network_parameter_count(t->network); i++) {
        const nn_parameter *p = nn_network_parameter(t->network, i);
        for (size_t j = 0; j < p->count; j++, at++) {
            const double difference = (double)p->grad[j] - copy->grads[at];
            sum += difference * difference;
        }
    }
    return sqrt(sum);
}

double trainee_gradient_length(const struct trainee_copy *copy) {
    double sum = 0;
    for (size_t i = 0; i < copy->count; i++) sum += (double)copy->grads[i] * copy->grads[i];
    return sqrt(sum);
}
