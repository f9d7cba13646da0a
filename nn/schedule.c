/* SPDX-License-Identifier: MIT */
#include "schedule.h"

#include <math.h>

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
