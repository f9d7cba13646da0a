/* SPDX-License-Identifier: MIT */
#include "api/raw.h"

#include <stdio.h>

static batchnorm_status say(const batchnorm_exec *exec, batchnorm_status status, const char *before, const char *sentence) {
    if (exec && exec->message) snprintf(exec->message, exec->message_bytes, "%s%s", before, sentence);
    return status;
}

const void *bn_raw_begin(struct bn_raw *r, const batchnorm_exec *exec, const void *call, void *place, size_t known,
                         batchnorm_status *status) {
    r->exec = exec ? bn_sized(exec, &r->place, sizeof r->place, sizeof r->place) : NULL;
    r->run = (struct bn_exec){.caller = r->exec};
    *status = BATCHNORM_BAD_OPTION;
    if (exec && !r->exec) return NULL; /* also of its message one cannot tell whether it is there */
    if (!call) {
        *status = say(r->exec, BATCHNORM_NULL_POINTER, "the call is NULL", "");
        return NULL;
    }
    const void *taken = bn_sized(call, place, known, known);
    if (!taken) say(r->exec, *status, "the call's size must be the sizeof of its struct", "");
    return taken;
}

batchnorm_status bn_raw_options(struct bn_raw *r, const batchnorm_options *options) {
    r->options = options ? *options : batchnorm_convention(BATCHNORM_PYTORCH);
    return r->options.size == sizeof r->options ? BATCHNORM_OK : BATCHNORM_BAD_OPTION;
}

batchnorm_status bn_call_start(struct bn_call *k, const batchnorm_shape *shape, unsigned outputs, unsigned alias) {
    k->outputs = outputs;
    k->alias = alias;
    k->count = 0;
    return bn_geometry_from_shape(shape, &k->g);
}

void bn_call_pretend(struct bn_call *k, unsigned needed) {
    static char nowhere;
    for (int i = 0; i < BN_ARRAYS; i++)
        if ((needed >> i & 1) && !bn_is_there(&k->g, i)) k->g.array[i].data = &nowhere;
}

batchnorm_status bn_raw_missing(const struct bn_raw *r, const char *needed) {
    return say(r->exec, BATCHNORM_NULL_POINTER, "what is NULL is needed; needed are ", needed);
}

batchnorm_status bn_raw_end(const struct bn_raw *r, batchnorm_status status) {
    static const char *const names[BN_ARRAYS] = {"x", "z", "y", "dy", "dx", "dz", "tx", "ty", "vx", "gx", "gdy"};
    char text[BN_FAULT_TEXT];
    if (!status) return status;
    if (status != BATCHNORM_OVERLAP && status != BATCHNORM_BAD_STRIDE)
        return say(r->exec, status, "", batchnorm_status_string(status));
    return say(r->exec, status, "", bn_fault_text(status, &r->k.fault, names, r->k.numbers, text));
}
