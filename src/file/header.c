/* SPDX-License-Identifier: MIT */
/* The header of a safetensors file, member by member. jansson reads one member at a time, because its tree of a whole header
 * takes up to 150 times the bytes of the text; here are only strings and brackets told apart, to see where a member ends. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "file/header.h"

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static void skip_spaces(struct bn_members *m) {
    while (m->at < m->end && is_space(*m->at)) m->at++;
}

static bool take(struct bn_members *m, char c) {
    skip_spaces(m);
    if (m->at == m->end || *m->at != c) return false;
    m->at++;
    return true;
}

/* Past the closing quote, or to the end. */
static void skip_string(struct bn_members *m) {
    for (m->at++; m->at < m->end && *m->at != '"'; m->at++)
        if (*m->at == '\\' && m->at + 1 < m->end) m->at++;
    if (m->at < m->end) m->at++;
}

/* Deeper than any description; jansson takes stack for each level. */
enum { DEPTH_MAX = 8 };

/* Past a value: to the comma or bracket that ends it, or to a bracket that is too deep. */
static bool skip_value(struct bn_members *m) {
    size_t depth = 0;
    while (m->at < m->end) {
        const char c = *m->at;
        if (depth == 0 && (c == ',' || c == '}' || c == ']')) return true;
        if (c == '"') {
            skip_string(m);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        if (depth > DEPTH_MAX) return false;
        m->at++;
    }
    return true;
}

static batchnorm_status bad(struct bn_members *m, const char *what) {
    return bn_fail(BATCHNORM_BAD_FILE, m->message, "the header is not valid JSON: %s (byte %zu of it)", what,
                   (size_t)(m->at - m->text) + 1);
}

batchnorm_status bn_members_begin(struct bn_members *m, struct bn_text object, const struct bn_members *in, char *message) {
    const char *text = in ? in->text : object.at;
    *m = (struct bn_members){.text = text, .at = object.at, .end = object.at + object.bytes, .message = message};
    return take(m, '{') ? BATCHNORM_OK : bad(m, "no '{'");
}

batchnorm_status bn_members_next(struct bn_members *m, struct bn_text *name, struct bn_text *value) {
    *name = *value = (struct bn_text){NULL, 0};
    if (take(m, '}')) {
        skip_spaces(m);
        return m->at == m->end ? BATCHNORM_OK : bad(m, "something follows its end");
    }
    if (m->count > 0 && !take(m, ',')) return bad(m, "',' or '}' is missing");
    skip_spaces(m);
    if (m->at == m->end || *m->at != '"') return bad(m, "a name is missing");
    name->at = m->at;
    skip_string(m);
    name->bytes = (size_t)(m->at - name->at);
    if (!take(m, ':')) return bad(m, "':' is missing");
    skip_spaces(m);
    value->at = m->at;
    if (!skip_value(m)) return bad(m, "brackets are nested too deep");
    value->bytes = (size_t)(m->at - value->at);
    while (value->bytes > 0 && is_space(value->at[value->bytes - 1])) value->bytes--;
    if (value->bytes == 0) return bad(m, "a value is missing");
    m->count++;
    return BATCHNORM_OK;
}

/* Parsed twice, because jansson leaves a character out of a token, and says nothing, when it has no memory for it: then the two
 * differ. */
batchnorm_status bn_text_parse(const struct bn_members *m, struct bn_text text, json_t **json) {
    json_error_t error = {0};
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    *json = json_loadb(text.at, text.bytes, flags, &error);
    if (!*json && error.text[0] == '\0') return bn_fail(BATCHNORM_NO_MEMORY, m->message, "no memory to read it");
    if (!*json)
        return bn_fail(BATCHNORM_BAD_FILE, m->message, "the header is not valid JSON: %s (byte %zu of it)", error.text,
                       (size_t)(text.at - m->text) + (size_t)error.position);
    json_t *again = json_loadb(text.at, text.bytes, flags, NULL);
    const bool same = json_equal(*json, again);
    json_decref(again);
    if (same) return BATCHNORM_OK;
    json_decref(*json);
    *json = NULL;
    return bn_fail(BATCHNORM_NO_MEMORY, m->message, "no memory to read it");
}

/* What a string means is never longer than what it is written as with its quotes. */
batchnorm_status bn_text_decode(const struct bn_members *m, struct bn_text text, const char **string) {
    json_t *json;
    *string = NULL;
    batchnorm_status status = bn_text_parse(m, text, &json);
    if (status) return status;
    memcpy(text.at, json_string_value(json), json_string_length(json) + 1);
    json_decref(json);
    *string = text.at;
    return BATCHNORM_OK;
}

/* A number of the header: an integer, not negative. */
static bool count_of(const json_t *value, uint64_t *count) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *count = (uint64_t)json_integer_value(value);
    return true;
}

/* Sizes into the entry's view, and their product into *elements. A tensor of more dimensions than a view has is not an error,
 * but its view has rank -1. */
static const char *parse_shape(const json_t *shape, batchnorm_tensor *tensor, uint64_t *elements) {
    if (!json_is_array(shape)) return "it has no shape, which must be an array";
    size_t rank = json_array_size(shape);
    int64_t sizes[BATCHNORM_MAX_RANK];
    *elements = 1;
    for (size_t i = 0; i < rank; i++) {
        uint64_t size;
        if (!count_of(json_array_get(shape, i), &size)) return "its shape has a size that is not an integer from 0 on";
        if (__builtin_mul_overflow(*elements, size, elements)) return "its shape has more elements than 64 bits can count";
        if (i < BATCHNORM_MAX_RANK) sizes[i] = (int64_t)size;
    }
    *tensor = batchnorm_tensor_contiguous(NULL, tensor->dtype, (int)rank, sizes);
    return NULL;
}

static const char *parse_range(const json_t *offsets, struct bn_range *range) {
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !count_of(json_array_get(offsets, 0), &range->begin) ||
        !count_of(json_array_get(offsets, 1), &range->end) || range->begin > range->end)
        return "data_offsets must be two integers, the first not above the second";
    return NULL;
}

const char *bn_description_read(const json_t *value, batchnorm_safetensors_entry *entry, struct bn_range *range) {
    if (!json_is_object(value)) return "its description is not an object";
    const char *name = json_string_value(json_object_get(value, "dtype"));
    if (!name) return "it has no dtype, which must be a string";
    const struct bn_type *type = bn_type_find(name);
    if (!type) return "its dtype is unknown";
    entry->dtype = type->name;
    entry->tensor.dtype = type->dtype;
    uint64_t elements, bits;
    const char *wrong = parse_shape(json_object_get(value, "shape"), &entry->tensor, &elements);
    if (!wrong) wrong = parse_range(json_object_get(value, "data_offsets"), range);
    if (wrong) return wrong;
    if (__builtin_mul_overflow(elements, (uint64_t)type->bits, &bits)) return "its size in bytes does not fit 64 bits";
    if (bits % 8 != 0) return "it does not end at a whole byte";
    if (bits / 8 != range->end - range->begin) return "its shape and dtype do not fit its data_offsets";
    entry->bytes = (size_t)(bits / 8);
    return NULL;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

batchnorm_status bn_check_unique(const struct bn_members *m, const char **names, size_t count) {
    if (count > 1) qsort(names, count, sizeof *names, by_name);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return bn_fail(BATCHNORM_BAD_FILE, m->message, "the header is not valid JSON: duplicate name '%.100s'", names[i]);
    return BATCHNORM_OK;
}
