/* SPDX-License-Identifier: MIT */
#include "health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *key, *words;
} illnesses[BATCHNORM_ILLNESSES] = {
    [BATCHNORM_VAR_NEGATIVE] = {"var_negative", "with running_var < 0"},
    [BATCHNORM_VAR_ZERO] = {"var_zero", "with running_var = 0"},
    [BATCHNORM_VAR_SUBNORMAL] = {"var_subnormal", "with a subnormal running_var"},
    [BATCHNORM_VAR_BELOW_EPS] = {"var_below_eps", "with running_var < eps"},
    [BATCHNORM_WEIGHT_SMALL] = {"weight_small", "with |weight| < 1e-3"},
    [BATCHNORM_NOT_FINITE] = {"not_finite", "with a NaN or an infinity"},
    [BATCHNORM_NEVER_MOVED] = {"never_moved", "with mean 0 and variance 1"},
};

const char *health_key(int illness) { return illnesses[illness].key; }

const char *fold_word(batchnorm_fold_outcome outcome) {
    static const char *const words[] = {
        [BATCHNORM_FOLD_LEFT] = "left",     [BATCHNORM_FOLD_BEFORE] = "before", [BATCHNORM_FOLD_AFTER] = "after",
        [BATCHNORM_FOLD_NORM] = "norm",     [BATCHNORM_FOLD_PARTS] = "parts",   [BATCHNORM_FOLD_MUL_ADD] = "mul_add",
        [BATCHNORM_FOLD_ADD] = "scale_only"};
    return words[outcome];
}

__attribute__((format(printf, 3, 4))) static void add(char *text, int *count, const char *format, ...) {
    const size_t at = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    snprintf(text + at, HEALTH_BYTES - at, "%s", *count ? ", " : "");
    vsnprintf(text + strlen(text), HEALTH_BYTES - strlen(text), format, arguments);
    va_end(arguments);
    ++*count;
}

int health_text(const batchnorm_model_norm *n, bool is_state, char text[HEALTH_BYTES]) {
    int count = 0;
    text[0] = '\0';
    if (n->is_training) add(text, &count, "training mode");
    if (n->num_batches_tracked == 0) add(text, &count, "no batch was tracked");
    for (int i = 0; i < BATCHNORM_ILLNESSES; i++) {
        const bool is_all = n->ill[i] == (size_t)n->channels;
        if (n->ill[i] == 0 || (i == BATCHNORM_NEVER_MOVED && !is_all)) continue; /* one channel may well be there */
        if (i == BATCHNORM_NEVER_MOVED)
            add(text, &count, "statistics never moved");
        else
            add(text, &count, "%zu %s", n->ill[i], illnesses[i].words);
    }
    if (!is_state && n->has_eps && !(n->eps > 0)) add(text, &count, "eps is %g", n->eps);
    const int unhealthy = count;
    if (count == 0) add(text, &count, n->channels < 0 ? "not readable" : "ok");
    if (!is_state && !n->has_eps) add(text, &count, "eps not in the file"); /* the standard has a default: only a remark */
    return unhealthy;
}
