/* SPDX-License-Identifier: MIT */
/* Reading a safetensors file: 8 bytes with the header's size, the header (a JSON object), then the tensors' bytes. A file is
 * taken for hostile: every number is checked before it is used, and no more is allocated than the file has bytes for. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "file/header.h"

/* The format's own limit. */
#define HEADER_MAX_BYTES 100000000u

/* No description of a tensor is longer or, with its name, shorter. */
#define DESCRIPTION_MAX_BYTES 65536u
#define DESCRIPTION_MIN_BYTES 50u

/* What an entry does not show: the bytes of one integer of a type that has no view. */
struct small {
    unsigned char byte[8];
};

struct batchnorm_safetensors {
    char *header; /* its text; names, keys and values are decoded in it */
    size_t header_bytes;
    size_t count;
    batchnorm_safetensors_entry *entries;
    struct small *small;
    size_t pair_count;
    batchnorm_safetensors_pair *pairs;
};

/* State of one open. */
struct reader {
    struct bn_input in;
    uint64_t data; /* where the tensors begin in the file */
    batchnorm_safetensors *file;
    struct bn_range *ranges;
    char *message;
};

static batchnorm_status bad(const struct reader *r, const char *name, const char *what) {
    return bn_fail(BATCHNORM_BAD_FILE, r->message, "tensor '%.100s': %s", name, what);
}

static batchnorm_status no_memory(const struct reader *r) {
    return bn_fail(BATCHNORM_NO_MEMORY, r->message, "no memory to read it");
}

/* What people take for a safetensors file; NULL: none of these. As sizes of a header all of them are far too large. */
static const char *other_format(const unsigned char head[8]) {
    static const struct {
        const char *begins;
        size_t bytes;
        const char *what;
    } formats[] = {{"PK\3\4", 4, "a zip archive, as torch.save() and numpy.savez() write"},
                   {"\x93NUMPY", 6, "an .npy file"},
                   {"\x89HDF\r\n\x1a\n", 8, "an HDF5 file"},
                   {"\x80\2", 2, "a pickle, as old versions of torch.save() write"}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (memcmp(head, formats[i].begins, formats[i].bytes) == 0) return formats[i].what;
    return NULL;
}

static uint64_t header_size(const unsigned char head[8]) {
    uint64_t bytes = 0;
    for (int i = 8; i-- > 0;) bytes = bytes << 8 | head[i];
    return bytes;
}

static bool has_header(const unsigned char *head) { return header_size(head) <= HEADER_MAX_BYTES; }

static batchnorm_status read_header(struct reader *r) {
    unsigned char head[8];
    if (r->in.source.bytes < sizeof head)
        return bn_fail(BATCHNORM_BAD_FILE, r->message, "has %" PRIu64 " bytes; a safetensors file has 8 or more",
                       r->in.source.bytes);
    batchnorm_status status = bn_input_read(&r->in, 0, head, sizeof head);
    if (status) return status;
    const uint64_t bytes = header_size(head);
    const char *what = bytes > HEADER_MAX_BYTES ? other_format(head) : NULL;
    if (what) return bn_fail(BATCHNORM_BAD_FILE, r->message, "is %s; a safetensors file is needed", what);
    if (bytes > HEADER_MAX_BYTES)
        return bn_fail(BATCHNORM_BAD_FILE, r->message, "the header's size is %" PRIu64 "; at most %u is allowed", bytes,
                       HEADER_MAX_BYTES);
    if (bytes > r->in.source.bytes - sizeof head)
        return bn_fail(BATCHNORM_BAD_FILE, r->message, "the header's size is %" PRIu64 ", but only %" PRIu64 " bytes follow",
                       bytes, r->in.source.bytes - sizeof head);
    if (bytes < 2) return bn_fail(BATCHNORM_BAD_FILE, r->message, "the header is empty; it must be a JSON object");
    r->file->header = malloc(bytes);
    r->file->header_bytes = bytes;
    if (!r->file->header) return no_memory(r);
    r->data = sizeof head + bytes;
    status = bn_input_read(&r->in, sizeof head, r->file->header, bytes);
    if (!status && r->file->header[0] != '{')
        return bn_fail(BATCHNORM_BAD_FILE, r->message, "the header does not begin with '{'");
    return status;
}

static batchnorm_status count_members(struct bn_text object, const struct bn_members *in, char *message, size_t *count) {
    struct bn_members m;
    struct bn_text name, value;
    batchnorm_status status = bn_members_begin(&m, object, in, message);
    while (!status && !(status = bn_members_next(&m, &name, &value)) && name.at) continue;
    *count = m.count;
    return status;
}

static batchnorm_status check_names(const struct reader *r, const struct bn_members *m, bool of_pairs, size_t count) {
    const char **names = malloc((count ? count : 1) * sizeof *names);
    if (!names) return no_memory(r);
    for (size_t i = 0; i < count; i++) names[i] = of_pairs ? r->file->pairs[i].key : r->file->entries[i].name;
    const batchnorm_status status = bn_check_unique(m, names, count);
    free(names);
    return status;
}

static batchnorm_status parse_pair(struct reader *r, struct bn_members *m, struct bn_text key, struct bn_text value) {
    batchnorm_safetensors_pair *pair = &r->file->pairs[r->file->pair_count++];
    batchnorm_status status = bn_text_decode(m, key, &pair->key);
    if (!status && value.at[0] != '"')
        return bn_fail(BATCHNORM_BAD_FILE, r->message, "the metadata of '%.100s' is not a string", pair->key);
    return status ? status : bn_text_decode(m, value, &pair->value);
}

static batchnorm_status parse_metadata(struct reader *r, const struct bn_members *in, struct bn_text metadata) {
    size_t count;
    struct bn_members m;
    struct bn_text key, value;
    if (metadata.at[0] != '{' || r->file->pairs)
        return bn_fail(BATCHNORM_BAD_FILE, r->message,
                       r->file->pairs ? "the header is not valid JSON: duplicate name '__metadata__'"
                                      : "__metadata__ is not an object of strings");
    batchnorm_status status = count_members(metadata, in, r->message, &count);
    if (status) return status;
    r->file->pairs = calloc(count ? count : 1, sizeof *r->file->pairs);
    if (!r->file->pairs) return no_memory(r);
    status = bn_members_begin(&m, metadata, in, r->message);
    while (!status && !(status = bn_members_next(&m, &key, &value)) && key.at) status = parse_pair(r, &m, key, value);
    return status ? status : check_names(r, &m, true, r->file->pair_count);
}

static batchnorm_status parse_tensor(struct reader *r, const struct bn_members *m, struct bn_text name, struct bn_text value) {
    batchnorm_safetensors *file = r->file;
    struct bn_range *range = &r->ranges[file->count];
    batchnorm_safetensors_entry *entry = &file->entries[file->count];
    range->entry = file->count;
    batchnorm_status status = bn_text_decode(m, name, &entry->name);
    if (status) return status;
    file->count++;
    if (value.at[0] != '{') return bad(r, entry->name, "its description is not an object");
    if (value.bytes > DESCRIPTION_MAX_BYTES) return bad(r, entry->name, "its description is longer than 65536 bytes");
    json_t *json;
    status = bn_text_parse(m, value, &json);
    if (status) return status;
    const char *wrong = bn_description_read(json, entry, range);
    json_decref(json);
    return wrong ? bad(r, entry->name, wrong) : BATCHNORM_OK;
}

static bool is_metadata(struct bn_text name) {
    static const char quoted[] = "\"__metadata__\"";
    return name.bytes == sizeof quoted - 1 && memcmp(name.at, quoted, name.bytes) == 0;
}

static batchnorm_status parse_header(struct reader *r) {
    batchnorm_safetensors *file = r->file;
    const struct bn_text header = {file->header, file->header_bytes};
    struct bn_members m;
    struct bn_text name, value;
    size_t most;
    batchnorm_status status = count_members(header, NULL, r->message, &most);
    if (status) return status;
    if (most > header.bytes / DESCRIPTION_MIN_BYTES + 2)
        return bn_fail(BATCHNORM_BAD_FILE, r->message, "the header has %zu names in %zu bytes: these are not all tensors", most,
                       header.bytes);
    file->entries = calloc(most ? most : 1, sizeof *file->entries);
    file->small = calloc(most ? most : 1, sizeof *file->small);
    r->ranges = calloc(most ? most : 1, sizeof *r->ranges);
    if (!file->entries || !file->small || !r->ranges) return no_memory(r);
    status = bn_members_begin(&m, header, NULL, r->message);
    while (!status && !(status = bn_members_next(&m, &name, &value)) && name.at)
        status = is_metadata(name) ? parse_metadata(r, &m, value) : parse_tensor(r, &m, name, value);
    return status ? status : check_names(r, &m, false, file->count);
}

static int by_place(const void *a, const void *b) {
    const struct bn_range *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The ranges, one after the other, must be exactly the rest of the file. */
static batchnorm_status check_ranges(struct reader *r) {
    qsort(r->ranges, r->file->count, sizeof *r->ranges, by_place);
    uint64_t end = 0, rest = r->in.source.bytes - r->data;
    for (size_t i = 0; i < r->file->count; i++) {
        const char *name = r->file->entries[r->ranges[i].entry].name;
        if (r->ranges[i].begin < end) return bad(r, name, "its bytes overlap those of another tensor");
        if (r->ranges[i].begin > end) return bad(r, name, "there is a gap before its bytes");
        end = r->ranges[i].end;
        if (end > rest) return bad(r, name, "the file ends before its bytes do");
    }
    if (end < rest)
        return bn_fail(BATCHNORM_BAD_FILE, r->message, "%" PRIu64 " bytes at its end belong to no tensor", rest - end);
    return BATCHNORM_OK;
}

static batchnorm_status read_tensor(const struct reader *r, const struct bn_range *range) {
    batchnorm_safetensors_entry *entry = &r->file->entries[range->entry];
    const struct bn_type *type = bn_type_find(entry->dtype);
    entry->offset = r->data + range->begin;
    if (range->end - range->begin > PTRDIFF_MAX)
        return bn_fail(BATCHNORM_TOO_LARGE, r->message, "tensor '%.100s': its %" PRIu64 " bytes do not fit the address space",
                       entry->name, range->end - range->begin);
    if (!type->known && type->is_integer && entry->bytes == type->bits / 8)
        return bn_input_read(&r->in, r->data + range->begin, &r->file->small[range->entry], entry->bytes);
    if (!type->known || entry->tensor.rank < 0) return BATCHNORM_OK;
    void *memory = malloc(entry->bytes ? entry->bytes : 1);
    if (!memory) return no_memory(r);
    entry->tensor.data = memory;
    batchnorm_status status = bn_input_read(&r->in, r->data + range->begin, memory, entry->bytes);
    bn_host_order(memory, entry->bytes / (type->bits / 8), type->bits / 8);
    return status;
}

static batchnorm_status read_file(struct reader *r) {
    batchnorm_status status = read_header(r);
    if (!status) status = parse_header(r);
    if (!status) status = check_ranges(r);
    for (size_t i = 0; !status && i < r->file->count; i++) status = read_tensor(r, &r->ranges[i]);
    return status;
}

batchnorm_status batchnorm_safetensors_open(const char *path, batchnorm_safetensors **file, char *message) {
    if (file) *file = NULL;
    if (!file || !path) return bn_fail(BATCHNORM_NULL_POINTER, message, "path or file is NULL");
    struct reader r = {.message = message, .file = calloc(1, sizeof *r.file)};
    if (!r.file) return no_memory(&r);
    batchnorm_status status = bn_input_open(&r.in, path, has_header, message);
    if (!status) status = read_file(&r);
    bn_input_close(&r.in);
    free(r.ranges);
    if (!status)
        *file = r.file;
    else
        batchnorm_safetensors_close(r.file);
    return status;
}

void batchnorm_safetensors_close(batchnorm_safetensors *file) {
    if (!file) return;
    for (size_t i = 0; i < file->count; i++) free(file->entries[i].tensor.data);
    free(file->entries);
    free(file->small);
    free(file->pairs);
    free(file->header);
    free(file);
}

size_t batchnorm_safetensors_count(const batchnorm_safetensors *file) { return file ? file->count : 0; }

const batchnorm_safetensors_entry *batchnorm_safetensors_at(const batchnorm_safetensors *file, size_t index) {
    return file && index < file->count ? &file->entries[index] : NULL;
}

const batchnorm_safetensors_entry *batchnorm_safetensors_find(const batchnorm_safetensors *file, const char *name) {
    for (size_t i = 0; file && name && i < file->count; i++)
        if (strcmp(file->entries[i].name, name) == 0) return &file->entries[i];
    return NULL;
}

const batchnorm_safetensors_pair *batchnorm_safetensors_metadata_at(const batchnorm_safetensors *file, size_t index) {
    return file && index < file->pair_count ? &file->pairs[index] : NULL;
}

const char *batchnorm_safetensors_metadata(const batchnorm_safetensors *file, const char *key) {
    for (size_t i = 0; file && key && i < file->pair_count; i++)
        if (strcmp(file->pairs[i].key, key) == 0) return file->pairs[i].value;
    return NULL;
}

bool bn_safetensors_integer(const batchnorm_safetensors *file, size_t index, int64_t *value) {
    const batchnorm_safetensors_entry *entry = &file->entries[index];
    const struct bn_type *type = bn_type_find(entry->dtype);
    if (!type->is_integer || type->known || entry->bytes != type->bits / 8) return false;
    uint64_t whole = 0;
    for (size_t i = entry->bytes; i-- > 0;) whole = whole << 8 | file->small[index].byte[i];
    const bool is_signed = type->name[0] == 'I';
    if (is_signed && type->bits < 64 && whole >> (type->bits - 1) != 0) whole |= ~(uint64_t)0 << type->bits;
    *value = (int64_t)whole;
    return is_signed || whole <= INT64_MAX;
}
