/* SPDX-License-Identifier: MIT */
#include "loss.h"

#include <math.h>

size_t nn_largest(size_t classes, const float *logits) {
    size_t best = 0;
    for (size_t c = 1; c < classes; c++) {
        if (logits[c] > logits[best]) best = c;
    }
    return best;
}

/* Subtracting the largest logit changes nothing but keeps exp() from overflowing. */
static double sum_of_exponentials(size_t classes, const float *logits, float most) {
    double sum = 0;
    for (size_t c = 0; c < classes; c++) sum += exp((double)logits[c] - most);
    return sum;
}

nn_score nn_softmax_cross_entropy_part(size_t n, size_t batch, size_t classes, const float *logits, const uint8_t *labels,
                                       float *dlogits) {
    nn_score score = {0};
    for (size_t i = 0; i < n; i++, logits += classes) {
        const size_t best = nn_largest(classes, logits);
        const float most = logits[best];
        const double sum = sum_of_exponentials(classes, logits, most);
        score.loss += log(sum) - ((double)logits[labels[i]] - most);
        score.correct += best == labels[i];
        for (size_t c = 0; dlogits && c < classes; c++) {
            const double probability = exp((double)logits[c] - most) / sum;
            *dlogits++ = (float)((probability - (c == labels[i])) / (double)batch);
        }
    }
    return score;
}

nn_score nn_softmax_cross_entropy(size_t n, size_t classes, const float *logits, const uint8_t *labels, float *dlogits) {
    return nn_softmax_cross_entropy_part(n, n, classes, logits, labels, dlogits);
}
