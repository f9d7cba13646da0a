/* SPDX-License-Identifier: MIT */
/* A step of several ranks that do not synchronize their statistics, one rank after the other in one network. */
#include <stdlib.h>
#include <string.h>

#include "lab.h"

/* sums += gradients */
static void add_gradients(struct trainee *t) {
    float *sum = t->sums;
    for (size_t i = 0; i < nn_network_parameter_count(t->network); i++) {
        const nn_parameter *p = nn_network_parameter(t->network, i);
        for (size_t j = 0; j < p->count; j++) sum[j] += p->grad[j];
        sum += p->count;
    }
}

/* gradients = sums, which are 0 again */
static void take_gradients(struct trainee *t) {
    float *sum = t->sums;
    for (size_t i = 0; i < nn_network_parameter_count(t->network); i++) {
        const nn_parameter *p = nn_network_parameter(t->network, i);
        memcpy(p->grad, sum, p->count * sizeof *sum);
        memset(sum, 0, p->count * sizeof *sum);
        sum += p->count;
    }
}

static nn_error add_rank(struct trainee *t, nn_range part, double *loss) {
    if (lab_stop) return LAB_STOPPED;
    nn_dataset_batch(&t->lab->train, t->order + t->next + part.first, part.count, NULL, nn_network_input(t->network),
                     t->labels);
    nn_error error = nn_network_forward(t->network, part.count);
    if (error) return error;
    const nn_score score = nn_softmax_cross_entropy_part(part.count, t->n, t->lab->train.classes, nn_network_output(t->network),
                                                         t->labels, nn_network_output_gradient(t->network));
    *loss += score.loss / (double)t->n;
    error = nn_network_backward(t->network, part.count);
    if (!error) add_gradients(t);
    progress_add(&t->lab->progress, (double)part.count);
    return error;
}

/* The first rank comes last, so that its running statistics are what is left. */
nn_error trainee_gradient_of_ranks(struct trainee *t, double *loss) {
    const int ranks = (int)(t->n / t->options.local);
    struct trainee_copy before;
    double sum = 0;
    nn_error error = NULL;
    if (!t->sums) t->sums = calloc(nn_network_parameters(t->network), sizeof *t->sums);
    if (!t->sums || !trainee_save(t, &before)) return NN_NO_MEMORY;
    for (int rank = ranks; !error && rank-- > 0;) {
        trainee_restore_running(t, &before);
        error = add_rank(t, nn_part_of(t->n, 1, rank, ranks), &sum);
    }
    take_gradients(t);
    trainee_copy_free(&before);
    if (loss) *loss = sum;
    return error;
}
