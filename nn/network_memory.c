/* SPDX-License-Identifier: MIT */
/* Values and gradients of a network share memory wherever they are not needed at the same time.
 *
 * A step is a row of moments: 0 fills the input, i + 1 is the forward of layer i, count + 1 the loss, and then come the
 * backwards, from the last layer to the first. Every array is in use from the moment that writes it first to the last that
 * reads it. Two arrays that a layer allows to be one (nn_uses) are one, if nobody needs the older one afterwards.
 */
#include "network.h"

#include <stdlib.h>

#include "memory_plan.h"

#define NOWHERE SIZE_MAX

/* Spans of a network with `count` layers. In every array of numbers of spans, NOWHERE means that there is none. */
struct places {
    nn_network *network;
    nn_span *spans;
    size_t count, end;        /* spans so far; the last moment */
    size_t most;              /* floats of a span at most, so that all together fit the address space */
    bool too_large;           /* one has more */
    size_t *value, *gradient; /* [layers + 1]: span of the value, of its gradient */
    size_t *dx, *dz;          /* [layers]: spans of what a layer writes in backward */
};

static size_t forward_moment(size_t layer) { return layer + 1; }
static size_t backward_moment(const struct places *p, size_t layer) { return 2 * p->network->count + 1 - layer; }

static size_t new_span(struct places *p, nn_value value, size_t first) {
    enum { LINE = 16 }; /* floats: every array begins on a line of the cache */
    size_t floats;
    if (__builtin_mul_overflow(p->network->capacity, nn_shape_size(nn_network_shape(p->network, value)), &floats) ||
        floats > p->most) {
        p->too_large = true;
        floats = 0;
    }
    p->spans[p->count] = (nn_span){.size = (floats + LINE - 1) / LINE * LINE, .first = first, .last = first};
    return p->count++;
}

static void use(struct places *p, size_t span, size_t moment) {
    if (p->spans[span].last < moment) p->spans[span].last = moment;
}

/* The last moment that needs a value. */
static size_t last_use(const struct places *p, nn_value value) {
    const nn_network *network = p->network;
    if (value == NN_INPUT || value == network->count) return p->end; /* the caller's */
    size_t last = forward_moment(value - 1);
    if (network->nodes[value - 1].layer->uses.reads_y) last = backward_moment(p, value - 1);
    for (size_t i = value; i < network->count; i++) {
        const nn_node *node = &network->nodes[i];
        const nn_uses uses = node->layer->uses;
        size_t moment = node->x == value || node->z == value ? forward_moment(i) : 0;
        if ((node->x == value && uses.reads_x) || (node->z == value && uses.reads_z)) moment = backward_moment(p, i);
        if (moment > last) last = moment;
    }
    return last;
}

/* The value that layer i may overwrite with its own. */
static nn_value overwritten(const struct places *p, size_t i) {
    const nn_node *node = &p->network->nodes[i];
    const size_t now = forward_moment(i);
    if (i + 1 == p->network->count || node->x == node->z) return NN_NO_VALUE; /* the output is the caller's */
    if (node->layer->uses.y_may_be_x && last_use(p, node->x) == now) return node->x;
    if (node->z != NN_NO_VALUE && node->layer->uses.y_may_be_z && last_use(p, node->z) == now) return node->z;
    return NN_NO_VALUE;
}

/* Lets layers keep y in the place of x where that takes no more memory: where x is overwritten with it. */
static void keep_y(const struct places *p) {
    for (size_t i = 0; i < p->network->count; i++) {
        const nn_node *node = &p->network->nodes[i];
        nn_uses *uses = &node->layer->uses;
        if (!uses->y_tells_x) continue;
        const nn_uses before = *uses;
        uses->reads_x = uses->dx_may_be_x = false;
        uses->reads_y = uses->y_may_be_x = true;
        if (overwritten(p, i) != node->x) *uses = before;
    }
}

static void place_values(struct places *p) {
    p->value[NN_INPUT] = new_span(p, NN_INPUT, 0);
    use(p, p->value[NN_INPUT], p->end);
    for (size_t i = 0; i < p->network->count; i++) {
        const nn_value old = overwritten(p, i);
        p->value[i + 1] = old == NN_NO_VALUE ? new_span(p, i + 1, forward_moment(i)) : p->value[old];
        use(p, p->value[i + 1], last_use(p, i + 1));
    }
}

/* Where layer i writes its share of the gradient of `to`: into the gradient itself if it is the first to do so. */
static size_t place_share(struct places *p, size_t i, nn_value to, size_t in_place, bool *adds) {
    const size_t now = backward_moment(p, i);
    *adds = false;
    if (to == NN_INPUT || to == NN_NO_VALUE) return NOWHERE; /* nobody learns the images */
    const size_t share = in_place != NOWHERE ? in_place : new_span(p, to, now);
    use(p, share, now);
    *adds = p->gradient[to] != NOWHERE;
    if (!*adds) p->gradient[to] = share;
    use(p, p->gradient[to], backward_moment(p, to - 1));
    return share;
}

static void place_gradients(struct places *p) {
    nn_network *network = p->network;
    for (nn_value v = 0; v < network->count; v++) p->gradient[v] = NOWHERE;
    p->gradient[network->count] = new_span(p, network->count, network->count + 1);
    for (size_t i = network->count; i-- > 0;) {
        nn_node *node = &network->nodes[i];
        const nn_uses uses = node->layer->uses;
        const size_t now = backward_moment(p, i), dy = p->gradient[i + 1], x = p->value[node->x];
        use(p, dy, now);
        size_t in_place = NOWHERE;
        if (uses.dx_may_be_dy && node->z == NN_NO_VALUE)
            in_place = dy;
        else if (uses.dx_may_be_x && last_use(p, node->x) == now && p->spans[x].last == now)
            in_place = x;
        p->dx[i] = place_share(p, i, node->x, in_place, &node->adds_x);
        p->dz[i] = place_share(p, i, node->z, uses.dz_may_be_dy ? dy : NOWHERE, &node->adds_z);
    }
}

/* A value that nobody reads would have no gradient. */
static nn_error check_read(const nn_network *network) {
    for (nn_value v = 0; v < network->count; v++) {
        bool read = false;
        for (size_t i = v; i < network->count; i++) read |= network->nodes[i].x == v || network->nodes[i].z == v;
        if (!read) return "a layer gives a value that no layer reads";
    }
    return NULL;
}

static float *at(const struct places *p, size_t span) {
    return span == NOWHERE ? NULL : p->network->memory + p->spans[span].offset;
}

static size_t plan(struct places *p) {
    p->count = 0;
    place_values(p);
    place_gradients(p);
    return p->too_large ? SIZE_MAX : nn_memory_plan(p->spans, p->count);
}

static nn_error assign(struct places *p) {
    nn_network *network = p->network;
    network->memory_count = network->plain = plan(p);
    if (network->keeps_y && !p->too_large) {
        keep_y(p);
        network->memory_count = plan(p);
    }
    if (network->memory_count == SIZE_MAX) return NN_NO_MEMORY;
    network->memory = nn_floats(network->memory_count);
    if (!network->memory) return NN_NO_MEMORY;
    network->x = at(p, p->value[NN_INPUT]);
    for (size_t i = 0; i < network->count; i++) {
        nn_node *node = &network->nodes[i];
        node->y = at(p, p->value[i + 1]);
        node->dy = at(p, p->gradient[i + 1]);
        node->dx = at(p, p->dx[i]);
        node->dz = at(p, p->dz[i]);
    }
    return NULL;
}

nn_error nn_network_allocate(nn_network *network) {
    const size_t count = network->count;
    const size_t spans = 3 * count + 2; /* the values, the output's gradient, dx and dz */
    struct places p = {.network = network, .end = 2 * count + 1, .most = SIZE_MAX / 2 / sizeof(float) / spans};
    nn_error error = check_read(network);
    if (error) return error;
    p.spans = calloc(spans, sizeof *p.spans);
    p.value = calloc(4 * (count + 1), sizeof *p.value);
    error = p.spans && p.value ? NULL : NN_NO_MEMORY;
    if (!error) {
        p.gradient = p.value + (count + 1);
        p.dx = p.gradient + (count + 1);
        p.dz = p.dx + (count + 1);
        error = assign(&p);
    }
    free(p.spans);
    free(p.value);
    return error;
}
