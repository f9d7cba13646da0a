/* SPDX-License-Identifier: MIT */
/* The activations of which the kernels make no settings, element by element. For tests with and without cmocka. */
#ifndef TESTS_SUPPORT_ACTIVATIONS_H
#define TESTS_SUPPORT_ACTIVATIONS_H

#include "batchnorm/batchnorm.h"

/* act(v) and act'(v) with the bits of the kernels, before they are rounded to float where elements are not doubles. */
double curve_value(batchnorm_activation_kind kind, double v);
double curve_slope(batchnorm_activation_kind kind, double v);

/* The same of any activation, as good as long double is. */
long double exact_value(batchnorm_activation a, long double v);
long double exact_slope(batchnorm_activation a, long double v);

/* Whether act' jumps at v, or not a little beside it. */
bool has_kink(batchnorm_activation a, double v);

#endif
