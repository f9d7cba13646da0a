/* SPDX-License-Identifier: MIT */
#include "plan/view.h"

/* Elements of a piece. A piece in a plane keeps a channel's sums in registers; in rows it must pay for its own set of sums. */
enum { PLANE_PIECE = 16384, ROWS_PIECE = 65536, ROWS_PIECES_MAX = 256, ROWS_BLOCK = 512 };

static size_t distance(ptrdiff_t stride) { return stride < 0 ? 0 - (size_t)stride : (size_t)stride; }

/* Returns whether the dimension with the first stride goes around the other one. A dimension along which an array does not move
 * counts as the largest: it repeats everything else. */
static bool goes_outside(ptrdiff_t stride, ptrdiff_t other) {
    if (stride == 0 || other == 0) return stride == 0 && other != 0;
    return distance(stride) > distance(other);
}

/* With a grain the samples are the outermost dimension, whatever their strides, so that a chunk is one stretch of rows. */
int bn_view_order(const struct bn_geometry *g, int array, int order[BN_MAX_DIMS]) {
    const int outermost = g->grain && g->extent[0] > 1 ? 1 : 0;
    const ptrdiff_t *stride = g->array[array].stride;
    int dims = 0;
    for (int d = 0; d < g->dims; d++) {
        if (g->extent[d] == 1) continue;
        int at = dims++;
        for (; at > outermost && goes_outside(stride[d], stride[order[at - 1]]); at--) order[at] = order[at - 1];
        order[at] = d;
    }
    return dims;
}

static void take_dims(struct bn_view *v, const struct bn_geometry *g, const struct bn_use *use) {
    int order[BN_MAX_DIMS];
    v->dims = bn_view_order(g, use[0].array, order);
    for (int d = 0; d < v->dims; d++) {
        v->extent[d] = g->extent[order[d]];
        for (int i = 0; i < v->arrays; i++) v->array[i].stride[d] = g->array[use[i].array].stride[order[d]];
    }
}

/* Returns whether a dimension and the next one merge, in all arrays. The product fits in every array that exists; the
 * strides of one that only asks for a workspace may be anything. */
static bool merges(const struct bn_view *v, int outer) {
    for (int i = 0; i < v->arrays; i++)
        if ((size_t)v->array[i].stride[outer] != (size_t)v->array[i].stride[outer + 1] * v->extent[outer + 1]) return false;
    return true;
}

static void merge_dims(struct bn_view *v) {
    for (int d = v->dims - 2; d >= 0; d--) {
        if (!merges(v, d)) continue;
        v->extent[d] *= v->extent[d + 1];
        for (int i = 0; i < v->arrays; i++) v->array[i].stride[d] = v->array[i].stride[d + 1];
        v->dims--;
        for (int e = d + 1; e < v->dims; e++) {
            v->extent[e] = v->extent[e + 1];
            for (int i = 0; i < v->arrays; i++) v->array[i].stride[e] = v->array[i].stride[e + 1];
        }
    }
}

/* Returns whether a view is in rows: if all of its arrays have their channels side by side, or where only outputs count and no
 * mask does, if those have. */
static bool is_in_rows(const struct bn_view *v, const struct bn_geometry *g, const struct bn_use *use) {
    const bool writes = use[0].role >= BNK_INPUTS && !g->mask.is_there;
    for (int i = 0; i < v->arrays; i++)
        if (v->array[i].channel != 1 && !(writes && use[i].role < BNK_INPUTS)) return false;
    return v->channels > 1;
}

static void choose_layout(struct bn_view *v, const struct bn_geometry *g, const struct bn_use *use) {
    const bool rows = is_in_rows(v, g, use);
    v->layout = rows ? BNK_ROWS : BNK_PLANE;
    v->length = v->channels;
    for (int i = 0; i < v->arrays; i++) v->spacing[i] = rows ? v->array[i].channel : 1;
    v->samples_in_row = false;
    if (!rows) {
        v->samples_in_row = v->dims == 1;
        v->length = v->dims ? v->extent[v->dims - 1] : 1;
        for (int i = 0; i < v->arrays && v->dims; i++) v->spacing[i] = v->array[i].stride[v->dims - 1];
        if (v->dims) v->dims--;
    }
    v->rows = 1;
    for (int d = 0; d < v->dims; d++) v->rows *= v->extent[d];
    for (int i = 0; i < v->arrays; i++) v->staged = v->staged || (v->spacing[i] != 1 && v->length != 1);
}

static size_t divide_up(size_t a, size_t b) { return a / b + (a % b != 0); }

/* Cuts a chunk of a plane for reductions. Most planes are one part, and most small ones one piece: nothing is divided then,
 * because that takes long. */
static void cut_plane(struct bn_cut *c) {
    c->parts = 1;
    c->part = bn_padded(c->length);
    if (c->length > PLANE_PIECE) {
        c->part = bn_padded(divide_up(c->length, divide_up(c->length, PLANE_PIECE)));
        c->parts = divide_up(c->length, c->part);
    }
    const bool whole = c->rows * c->length <= PLANE_PIECE;
    c->group = c->parts > 1 ? 1 : whole ? c->rows : PLANE_PIECE / c->length;
    if (c->group > c->rows) c->group = c->rows;
    c->pieces = whole ? 1 : divide_up(c->rows, c->group) * c->parts;
}

static void cut_rows(struct bn_cut *c, size_t block) {
    c->group = ROWS_PIECE / block;
    if (c->group < divide_up(c->rows, ROWS_PIECES_MAX)) c->group = divide_up(c->rows, ROWS_PIECES_MAX);
    if (c->group > ROWS_PIECE) c->group = ROWS_PIECE; /* no longer chain of additions, however many rows */
    if (c->group > c->rows) c->group = c->rows;
    c->pieces = divide_up(c->rows, c->group);
    c->parts = 1;
    c->part = c->length;
}

static void cut_chunk(const struct bn_view *v, struct bn_cut *c) {
    if (v->layout == BNK_PLANE)
        cut_plane(c);
    else
        cut_rows(c, v->block);
}

/* Makes the whole view one chunk. */
static void cut_whole(struct bn_view *v) {
    v->chunks = 1;
    v->last.rows = v->rows;
    v->last.length = v->length;
    cut_chunk(v, &v->last);
    v->pieces = v->last.pieces;
}

/* Cuts some more samples than one chunk has. A chunk is cut as if there were no others, so that a batch may be anywhere cut
 * between two chunks without changing their sums. */
static void cut_chunks(struct bn_view *v, const struct bn_geometry *g) {
    const size_t samples = g->extent[0], rest = (samples - 1) % g->grain + 1;
    v->chunks = divide_up(samples, g->grain);
    v->cut.rows = v->last.rows = v->rows;
    v->cut.length = v->last.length = v->length;
    if (v->samples_in_row) {
        v->cut.length = v->length / samples * g->grain;
        v->last.length = v->length / samples * rest;
    } else {
        v->cut.rows = v->rows / samples * g->grain;
        v->last.rows = v->rows / samples * rest;
    }
    cut_chunk(v, &v->cut);
    cut_chunk(v, &v->last);
    v->pieces = (v->chunks - 1) * v->cut.pieces + v->last.pieces;
}

static void cut(struct bn_view *v, const struct bn_geometry *g) {
    v->block = v->layout == BNK_PLANE ? 1 : v->channels < ROWS_BLOCK ? v->channels : ROWS_BLOCK;
    v->blocks = v->block == 1 ? v->channels : divide_up(v->channels, v->block);
    v->first_chunk = g->grain ? g->first / g->grain : 0;
    if (g->grain && g->extent[0] > g->grain)
        cut_chunks(v, g);
    else
        cut_whole(v);
}

void bn_view_make(struct bn_view *v, const struct bn_geometry *g, int arrays, const struct bn_use *use) {
    /* member by member: clearing all of it would take longer than the rest of this function */
    v->channels = g->channels;
    v->count = g->count;
    v->arrays = arrays;
    v->first = use[0].array;
    v->dims = 0;
    v->staged = false;
    v->spread = 1;
    for (int i = 0; i < arrays; i++) {
        v->array[i].data = g->array[use[i].array].data;
        v->array[i].channel = g->array[use[i].array].channel;
    }
    take_dims(v, g, use);
    merge_dims(v);
    choose_layout(v, g, use);
    cut(v, g);
}

/* Returns whether all arrays of a view have the same strides. */
static bool is_uniform(const struct bn_view *v) {
    for (int i = 1; i < v->arrays; i++) {
        if (v->array[i].channel != v->array[0].channel || v->spacing[i] != v->spacing[0]) return false;
        for (int d = 0; d < v->dims; d++)
            if (v->array[i].stride[d] != v->array[0].stride[d]) return false;
    }
    return true;
}

static bool has_strides_of(const struct bn_geometry *g, const struct bn_array *a, const struct bn_array *b) {
    if (a->channel != b->channel) return false;
    for (int d = 0; d < g->dims; d++)
        if (a->stride[d] != b->stride[d]) return false;
    return true;
}

bool bn_view_like(struct bn_view *v, const struct bn_view *like, const struct bn_geometry *g, int arrays,
                  const struct bn_use *use) {
    for (int i = 0; i < arrays; i++)
        if (use[i].array != like->first && !has_strides_of(g, &g->array[use[i].array], &g->array[like->first])) return false;
    if (!is_uniform(like)) return false;
    if (like->spread > 1 && use[0].role < BNK_INPUTS) return false;
    v->layout = like->layout;
    v->channels = like->channels;
    v->count = like->count;
    v->rows = like->rows;
    v->length = like->length;
    v->dims = like->dims;
    for (int d = 0; d < v->dims; d++) v->extent[d] = like->extent[d];
    v->arrays = arrays;
    v->first = use[0].array;
    v->staged = like->staged;
    v->spread = like->spread;
    v->samples_in_row = like->samples_in_row;
    v->chunks = like->chunks;
    if (v->chunks > 1) v->cut = like->cut;
    v->last = like->last;
    v->first_chunk = like->first_chunk;
    v->pieces = like->pieces;
    v->block = like->block;
    v->blocks = like->blocks;
    for (int i = 0; i < arrays; i++) {
        v->array[i].data = g->array[use[i].array].data;
        v->array[i].channel = like->array[0].channel;
        for (int d = 0; d < v->dims; d++) v->array[i].stride[d] = like->array[0].stride[d];
        v->spacing[i] = like->spacing[0];
    }
    return true;
}

/* Elements of all channels at least, and of everything, because coefficients are repeated first: if a channel has a whole step,
 * which goes well in planes, too, that pays only for so many rows. */
enum { SPREAD_ROW = 64, SPREAD_LEAST = 8192, SPREAD_ROWS = 16 };

void bn_view_spread(struct bn_view *v, size_t most) {
    if (v->layout != BNK_PLANE || v->length < 2 || v->length > most || v->channels > SIZE_MAX / most) return;
    if (v->length >= BNK_LANES && v->rows < SPREAD_ROWS) return;
    const size_t row = v->channels * v->length;
    if (row < SPREAD_ROW || v->rows < SPREAD_LEAST / row) return;
    for (int i = 0; i < v->arrays; i++)
        if (v->spacing[i] != 1 || v->array[i].channel != (ptrdiff_t)v->length) return;
    for (int i = 0; i < v->arrays; i++) v->array[i].channel = 1;
    v->layout = BNK_ROWS;
    v->spread = v->length;
    v->channels = v->length = row;
    v->samples_in_row = false;
    v->block = row < ROWS_BLOCK ? row : ROWS_BLOCK;
    v->blocks = divide_up(row, v->block);
    cut_whole(v);
}

void bn_view_set_block(struct bn_view *v, size_t channels) {
    v->block = channels < v->channels ? channels : v->channels;
    v->blocks = v->block == v->channels ? 1 : divide_up(v->channels, v->block);
}

/* Cuts a plane for writing. Long rows stay cut in parts. Otherwise a piece gets as many channels as give the elements, side by
 * side as they lie in memory, and then rows. */
void bn_view_recut(struct bn_view *v, size_t elements) {
    const size_t length = v->layout == BNK_PLANE ? v->length : 1;
    struct bn_cut *c = &v->last;
    if (v->chunks > 1) cut_whole(v);
    if (c->parts > 1) return;
    size_t channels = elements / length ? elements / length : 1;
    if (v->spread > 1 && channels > ROWS_BLOCK) channels = ROWS_BLOCK; /* coefficients are repeated for each piece */
    bn_view_set_block(v, v->layout == BNK_ROWS && channels < v->channels ? bn_padded(channels) : channels);
    c->group = elements / length / v->block;
    if (c->group == 0) c->group = 1;
    if (c->group > c->rows) c->group = c->rows;
    v->pieces = c->pieces = divide_up(c->rows, c->group);
}

struct bn_close bn_view_close(const struct bn_view *v) {
    struct bn_close close = {false, false};
    for (int i = 0; i < v->arrays; i++) {
        const size_t spacing = distance(v->spacing[i]), channel = v->channels == 1 ? 0 : distance(v->array[i].channel),
                     row = distance(bn_view_pitch(v, i));
        if (v->spacing[i] == 1) continue;
        const bool rows = row != 0 && row < spacing && (channel == 0 || row < channel);
        close.rows = close.rows || rows;
        close.channels = close.channels || (!rows && channel != 0 && channel < spacing);
    }
    return close;
}

bool bn_view_matches(const struct bn_view *a, const struct bn_view *b) {
    if (a->layout != b->layout || a->rows != b->rows || a->length != b->length || a->dims != b->dims) return false;
    if (a->chunks != b->chunks || a->pieces != b->pieces || a->samples_in_row != b->samples_in_row) return false;
    if (a->last.group != b->last.group || a->last.parts != b->last.parts || a->last.part != b->last.part) return false;
    for (int d = 0; d < a->dims; d++)
        if (a->extent[d] != b->extent[d]) return false;
    return true;
}
