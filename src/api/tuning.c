/* SPDX-License-Identifier: MIT */
/* The limits of plan/tuning.h as text: "zen4 item=32768 items_per_thread=4 ...". */
#include "plan/tuning.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "batchnorm/batchnorm.h"

/* Names of the parameters in their order, and whether one may be 0. */
static const struct {
    const char *name;
    size_t offset;
    bool may_be_0;
} parameters[] = {
#define P(name)                                                                                                                \
    { #name, offsetof(struct bn_limits, name), false }
#define P0(name)                                                                                                               \
    { #name, offsetof(struct bn_limits, name), true }
    P(item),           P(items_per_thread), P(threads_unknown),
    P(worth_threads),  P(fold_work),        P(gate_work),
    P(block),          P(block_l2),         P(run),
    P(run_else),       P(run_row),          P(run_llc),
    P(channel_llc),    P(sweep_run),        P(wide),
    P(plane_write),    P(rows_write),       P(wide_rows),
    P(stream_llc),     P(fetch_l2),         P(near),
    P(ahead_l2),       P(tile_row),         P(llc_most),
    P0(fetch_moments), P0(fetch_affine),    P0(fetch_dots),
    P0(fetch_blend),
#undef P
#undef P0
};
_Static_assert(sizeof parameters / sizeof *parameters == BN_PARAMETERS, "a name for each");

/* Values are at most so large, so that no product of two of them and a size overflows unseen. */
enum { MOST = 1 << 30 };

static size_t *parameter_of(struct bn_limits *limits, size_t i) {
    return (size_t *)(void *)((char *)limits + parameters[i].offset);
}

size_t batchnorm_tuning(char *text, size_t size) {
    struct bn_limits limits = *bn_machine().limits;
    int length = snprintf(text, size, "%s", limits.name);
    for (size_t i = 0; i < BN_PARAMETERS && length >= 0; i++) {
        const size_t at = (size_t)length < size ? (size_t)length : size;
        const int more = snprintf(size ? text + at : text, size - at, " %s=%zu", parameters[i].name, *parameter_of(&limits, i));
        length = more < 0 ? more : length + more;
    }
    return length < 0 ? 0 : (size_t)length;
}

/* Reads " name=value" at *text and goes on behind it. Returns whether it is one. */
static bool read_parameter(const char **text, struct bn_limits *limits) {
    const char *at = *text + strspn(*text, " ");
    const size_t length = strcspn(at, "=");
    for (size_t i = 0; i < BN_PARAMETERS; i++) {
        if (strlen(parameters[i].name) != length || strncmp(parameters[i].name, at, length) != 0) continue;
        const char *digits = at + length + (at[length] == '=');
        const size_t count = strspn(digits, "0123456789");
        uint64_t value = 0;
        for (size_t d = 0; d < count && value <= MOST; d++) value = 10 * value + (uint64_t)(digits[d] - '0');
        if (count == 0 || value > MOST || (value == 0 && !parameters[i].may_be_0)) return false;
        if (digits[count] != '\0' && digits[count] != ' ') return false;
        *parameter_of(limits, i) = (size_t)value;
        *text = digits + count;
        return true;
    }
    return false;
}

batchnorm_status batchnorm_set_tuning(const char *text) {
    static struct bn_limits own;
    static char name[32];
    const struct bn_limits *row = NULL;
    if (!text) {
        bn_limits_use(NULL);
        return BATCHNORM_OK;
    }
    size_t length = strcspn(text, " ");
    const char *rest = text + length;
    if (length > 0 && text[length - 1] == '+') length--; /* a row that was changed before */
    for (size_t i = 0; (row = bn_limits_at(i)) != NULL; i++)
        if (strlen(row->name) == length && strncmp(row->name, text, length) == 0) break;
    if (!row) return BATCHNORM_BAD_OPTION;
    struct bn_limits limits = *row;
    while (rest[strspn(rest, " ")] != '\0')
        if (!read_parameter(&rest, &limits)) return BATCHNORM_BAD_OPTION;
    bn_limits_use(row);
    if (memcmp(&limits, row, sizeof limits) == 0) return BATCHNORM_OK;
    snprintf(name, sizeof name, "%s+", row->name);
    own = limits;
    own.name = name;
    bn_limits_use(&own);
    return BATCHNORM_OK;
}
