/* SPDX-License-Identifier: MIT */
#include "optimizer.h"

#include <math.h>
#include <stdlib.h>

enum { WORTH_THREADS = 16384 }; /* elements; below, waking threads takes longer */

nn_optimizer_options nn_optimizer_defaults(nn_optimizer_kind kind) {
    return (nn_optimizer_options){.kind = kind, .momentum = 0.9f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f};
}

static int states_of(const nn_optimizer_options *o) {
    if (o->kind != NN_SGD) return 2;
    return o->momentum != 0 ? 1 : 0;
}

nn_error nn_optimizer_init(nn_optimizer *optimizer, nn_network *network, const nn_optimizer_options *options) {
    *optimizer = (nn_optimizer){.network = network, .options = *options};
    for (int i = 0; i < states_of(options); i++) {
        optimizer->state[i] = nn_floats(nn_network_parameters(network));
        if (optimizer->state[i]) continue;
        nn_optimizer_free(optimizer);
        return NN_NO_MEMORY;
    }
    return NULL;
}

void nn_optimizer_free(nn_optimizer *optimizer) {
    for (int i = 0; i < NN_OPTIMIZER_STATES; i++) free(optimizer->state[i]);
    *optimizer = (nn_optimizer){0};
}

const char *nn_optimizer_state_name(const nn_optimizer *optimizer, int i) {
    static const char *const of_adam[] = {"exp_avg", "exp_avg_sq"};
    if (i >= states_of(&optimizer->options)) return NULL;
    return optimizer->options.kind == NN_SGD ? "momentum_buffer" : of_adam[i];
}

/* The numbers of one step that hold for all elements of a parameter. */
struct step {
    float rate, decay, momentum;
    bool nesterov;
    float weight1, beta2, weight2, root2, eps; /* of Adam: 1 - beta1, beta2, 1 - beta2, sqrt(1 - beta2^t) */
};

static void descend(const struct step *s, size_t count, float *restrict p, const float *restrict grad) {
    const float rate = s->rate, decay = s->decay;
#pragma omp parallel for simd if (count >= WORTH_THREADS)
    for (size_t i = 0; i < count; i++) p[i] -= rate * (grad[i] + decay * p[i]);
}

static void descend_with_momentum(const struct step *s, size_t count, float *restrict p, const float *restrict grad,
                                  float *restrict v) {
    const float rate = s->rate, decay = s->decay, momentum = s->momentum;
    const float of_g = s->nesterov ? 1 : 0, of_v = s->nesterov ? momentum : 1;
#pragma omp parallel for simd if (count >= WORTH_THREADS)
    for (size_t i = 0; i < count; i++) {
        const float g = grad[i] + decay * p[i];
        v[i] = momentum * v[i] + g;
        p[i] -= rate * (of_g * g + of_v * v[i]);
    }
}

static void adam(const struct step *s, size_t count, float *restrict p, const float *restrict grad, float *restrict m,
                 float *restrict squares) {
    const float rate = s->rate, decay = s->decay, eps = s->eps, weight1 = s->weight1, weight2 = s->weight2;
    const float beta2 = s->beta2, root2 = s->root2;
#pragma omp parallel for simd if (count >= WORTH_THREADS)
    for (size_t i = 0; i < count; i++) {
        const float g = grad[i] + decay * p[i];
        m[i] += weight1 * (g - m[i]);
        squares[i] = beta2 * squares[i] + weight2 * g * g;
        p[i] -= rate * m[i] / (sqrtf(squares[i]) / root2 + eps);
    }
}

static void shrink(float factor, size_t count, float *p) {
    for (size_t i = 0; i < count; i++) p[i] *= factor;
}

static void change(const nn_optimizer *o, const nn_parameter *parameter, size_t first, float rate) {
    const nn_optimizer_options *options = &o->options;
    const float decay = parameter->norm && !options->decay_norm ? 0 : options->weight_decay;
    const size_t count = parameter->count;
    struct step s = {.rate = rate, .decay = decay, .momentum = options->momentum, .nesterov = options->nesterov};
    if (options->kind == NN_SGD) {
        if (o->state[0])
            descend_with_momentum(&s, count, parameter->value, parameter->grad, o->state[0] + first);
        else
            descend(&s, count, parameter->value, parameter->grad);
        return;
    }
    if (options->kind == NN_ADAMW) {
        if (decay != 0) shrink((float)(1 - (double)rate * decay), count, parameter->value);
        s.decay = 0;
    }
    const double t = (double)o->steps;
    s.rate = (float)(rate / (1 - pow(options->beta1, t)));
    s.root2 = (float)sqrt(1 - pow(options->beta2, t));
    s.weight1 = (float)(1 - (double)options->beta1);
    s.weight2 = (float)(1 - (double)options->beta2);
    s.beta2 = options->beta2;
    s.eps = options->eps;
    adam(&s, count, parameter->value, parameter->grad, o->state[0] + first, o->state[1] + first);
}

void nn_optimizer_step(nn_optimizer *optimizer, float rate) {
    size_t first = 0;
    optimizer->steps++;
    for (size_t i = 0; i < nn_network_parameter_count(optimizer->network); i++) {
        const nn_parameter *parameter = nn_network_parameter(optimizer->network, i);
        if (!parameter->frozen) change(optimizer, parameter, first, rate);
        first += parameter->count;
    }
}

static double cosine(const nn_schedule *s, uint64_t step) {
    if (step < s->warmup) return s->rate;
    if (step >= s->steps) return 0;
    const double pi = 3.14159265358979323846;
    return s->rate * (1 + cos(pi * (double)(step - s->warmup) / (double)(s->steps - s->warmup))) / 2;
}

float nn_schedule_rate(const nn_schedule *s, uint64_t step) {
    double rate = s->rate;
    if (s->kind == NN_STEP && s->every > 0) rate *= pow(s->factor, (double)(step / s->every));
    if (s->kind == NN_COSINE) rate = cosine(s, step);
    if (step < s->warmup) rate *= (double)(step + 1) / (double)s->warmup;
    return (float)rate;
}
