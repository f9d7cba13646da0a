/* SPDX-License-Identifier: MIT */
/* 6 bytes of magic, 2 of version, the header's size (2 bytes in version 1, 4 later), the header, the elements. */
#define _POSIX_C_SOURCE 200809L
#include "npy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert.h"
#include "src/place/place.h"
#include "src/place/source.h"

/* No array of ours needs more; versions 2 and 3 could ask for 4 GiB. */
#define HEADER_MAX_BYTES 65536u

static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

struct reader {
    struct bn_source source;
    uint64_t at, end; /* what of it is to be read */
    char *message;
};

static bool fail(char *message, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(char *message, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, MESSAGE_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

static bool has_magic(const unsigned char *first) { return memcmp(first, magic, sizeof magic) == 0; }

static bool open_reader(struct reader *r, const char *path) {
    char why[BN_SOURCE_BYTES];
    const char *wrong = bn_source_open(&r->source, path, has_magic, why);
    r->end = r->source.bytes;
    return !wrong || fail(r->message, "%s", wrong);
}

static bool read_bytes(struct reader *r, void *to, size_t bytes) {
    char why[BN_SOURCE_BYTES];
    if (bytes > r->end - r->at) return fail(r->message, "ends inside its header");
    const char *wrong = bn_source_read(&r->source, r->at, to, bytes, why);
    r->at += bytes;
    return !wrong || fail(r->message, "%s", wrong);
}

static bool read_header(struct reader *r, struct npy_header *header) {
    unsigned char start[8], length[4];
    if (r->end - r->at < sizeof start)
        return fail(r->message, "is no .npy file: it has only %" PRIu64 " bytes", r->end - r->at);
    if (!read_bytes(r, start, sizeof start)) return false;
    if (!has_magic(start)) return fail(r->message, "is no .npy file: its first bytes are not \\x93NUMPY");
    if (start[6] < 1 || start[6] > 3 || start[7] != 0)
        return fail(r->message, "is an .npy file of version %d.%d; 1.0, 2.0 and 3.0 are known", start[6], start[7]);
    size_t count = start[6] == 1 ? 2 : 4;
    if (!read_bytes(r, length, count)) return false;
    uint32_t bytes = 0;
    for (size_t i = count; i-- > 0;) bytes = bytes << 8 | length[i];
    if (bytes > HEADER_MAX_BYTES) return fail(r->message, "has a header of %" PRIu32 " bytes; at most 65536 are read", bytes);
    char *text = malloc(bytes + 1);
    if (!text) return fail(r->message, "no memory for its header");
    bool ok = read_bytes(r, text, bytes) && npy_parse_header(header, text, bytes, r->message);
    free(text);
    return ok;
}

static void swap_bytes(void *elements, size_t count, size_t bytes) {
    unsigned char *e = elements;
    for (size_t i = 0; i < count; i++, e += bytes)
        for (size_t low = 0, high = bytes - 1; low < high; low++, high--) {
            unsigned char byte = e[low];
            e[low] = e[high];
            e[high] = byte;
        }
}

static bool host_is_big_endian(void) { return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__; }

/* The first dimension is the one whose elements are neighbours. */
static void set_fortran_strides(batchnorm_tensor *view) {
    int64_t stride = 1;
    for (int i = 0; i < view->rank; i++) {
        view->stride[i] = stride;
        stride *= view->shape[i];
    }
}

/* Integers, a piece at a time, as elements of the type they are converted to. */
static bool read_integers(struct reader *r, const struct npy_header *header, const struct array *array, size_t elements) {
    const size_t each = header->integer_bytes;
    unsigned char raw[4096];
    double piece[sizeof raw];
    for (size_t at = 0; at < elements;) {
        const size_t n = elements - at < sizeof raw / each ? elements - at : sizeof raw / each;
        if (!read_bytes(r, raw, n * each)) return false;
        for (size_t i = 0; i < n; i++) {
            uint64_t bits = 0;
            for (size_t b = 0; b < each; b++) bits = bits << 8 | raw[i * each + (header->big_endian ? b : each - 1 - b)];
            if (header->is_signed && each < 8 && bits >> (8 * each - 1) != 0) bits |= ~(uint64_t)0 << 8 * each;
            piece[i] = integer_to_double(bits, header->is_signed, array->view.dtype);
        }
        void *to = (char *)array->memory + at * batchnorm_dtype_bytes(array->view.dtype);
        convert_elements(BATCHNORM_F64, piece, array->view.dtype, to, n);
        at += n;
    }
    return true;
}

/* Whether the elements can be taken as they are, if they are not converted. */
static bool is_taken(const struct reader *r, const struct npy_header *header, const batchnorm_dtype *to) {
    return header->integer_bytes == 0 || to ||
           fail(r->message, "has integers as elements; --dtype converts them, as in --dtype f32");
}

/* Finds how many bytes the elements have, which must be as many as there are. */
static bool array_bytes(const struct reader *r, const struct npy_header *header, size_t *bytes) {
    const size_t each = header->integer_bytes ? header->integer_bytes : batchnorm_dtype_bytes(header->dtype);
    const batchnorm_tensor view = batchnorm_tensor_contiguous(NULL, header->dtype, header->rank, header->shape);
    const int64_t elements = batchnorm_tensor_elements(&view);
    char shape[SHAPE_TEXT_BYTES];
    if (elements < 0 || __builtin_mul_overflow(elements, each, bytes))
        return fail(r->message, "has the shape %s, which does not fit the address space", shape_text(&view, shape));
    return *bytes == r->end - r->at || fail(r->message, "%" PRIu64 " bytes follow the header; the shape %s needs %zu",
                                            r->end - r->at, shape_text(&view, shape), *bytes);
}

/* Reads all elements that the sizes of the header ask for. */
static bool read_elements(struct reader *r, const struct npy_header *header, const batchnorm_dtype *to, struct array *array) {
    const bool is_integer = header->integer_bytes != 0;
    if (!array_new(array, is_integer ? *to : header->dtype, header->rank, header->shape, r->message)) return false;
    const size_t elements = (size_t)batchnorm_tensor_elements(&array->view), each = batchnorm_dtype_bytes(header->dtype);
    if (is_integer) {
        if (!read_integers(r, header, array, elements)) return false;
    } else {
        if (!read_bytes(r, array->memory, elements * each)) return false;
        if (header->big_endian != host_is_big_endian()) swap_bytes(array->memory, elements, each);
    }
    if (header->fortran_order && elements > 0) set_fortran_strides(&array->view);
    return is_integer || !to || array_convert(array, *to, r->message);
}

bool npy_read(struct array *array, const char *path, const batchnorm_dtype *to, char *message) {
    *array = (struct array){0};
    struct reader r = {.message = message};
    struct npy_header header = {0};
    size_t bytes;
    bool ok = open_reader(&r, path) && read_header(&r, &header) && is_taken(&r, &header, to) &&
              array_bytes(&r, &header, &bytes) && read_elements(&r, &header, to, array);
    bn_source_close(&r.source);
    if (!ok) array_free(array);
    return ok;
}

bool npy_look(const char *path, batchnorm_tensor *view, char *message) {
    struct reader r = {.message = message};
    struct npy_header header = {0};
    size_t bytes;
    bool ok = open_reader(&r, path) && read_header(&r, &header) && array_bytes(&r, &header, &bytes);
    if (ok) *view = batchnorm_tensor_contiguous(NULL, header.dtype, header.rank, header.shape);
    if (ok && header.fortran_order && header.rank > 1) ok = fail(message, "must be in row-major order, not in Fortran's");
    bn_source_close(&r.source);
    return ok;
}

bool npy_read_rows(struct array *array, const char *path, int64_t first, int64_t count, batchnorm_dtype to, char *message) {
    *array = (struct array){0};
    struct reader r = {.message = message};
    struct npy_header header = {0};
    size_t bytes;
    bool ok = open_reader(&r, path) && read_header(&r, &header) && array_bytes(&r, &header, &bytes);
    if (ok && (header.rank < 1 || first < 0 || count < 1 || first > header.shape[0] - count))
        ok = fail(message, "has changed since it was looked at");
    if (ok) {
        r.at += bytes / (uint64_t)header.shape[0] * (uint64_t)first;
        header.shape[0] = count;
        ok = read_elements(&r, &header, &to, array);
    }
    bn_source_close(&r.source);
    if (!ok) array_free(array);
    return ok;
}

bool npy_read_bytes(struct array *array, const void *bytes, size_t count, batchnorm_dtype to, char *message) {
    *array = (struct array){0};
    struct reader r = {{.fd = -1, .memory = (char *)(uintptr_t)bytes, .bytes = count}, 0, count, message};
    struct npy_header header = {0};
    size_t all;
    bool ok = read_header(&r, &header) && array_bytes(&r, &header, &all) && read_elements(&r, &header, &to, array);
    if (!ok) array_free(array);
    return ok;
}

static bool write_bytes(int fd, const void *from, size_t bytes, char *message) {
    return bn_place_write(fd, from, bytes) || fail(message, "cannot be written: %s", strerror(errno));
}

/* Everything before the elements; its size is a multiple of 64, filled with spaces before the final newline. */
static size_t format_header(char text[512], const batchnorm_tensor *tensor, const char *type) {
    char shape[SHAPE_TEXT_BYTES];
    int used =
        snprintf(text + 10, 502, "{'descr': '<%s', 'fortran_order': False, 'shape': %s, }", type, shape_text(tensor, shape));
    size_t bytes = (10 + (size_t)used + 1 + 63) / 64 * 64;
    memset(text + 10 + used, ' ', bytes - 10 - (size_t)used);
    text[bytes - 1] = '\n';
    memcpy(text, magic, sizeof magic);
    text[6] = 1;
    text[7] = 0;
    text[8] = (char)((bytes - 10) & 0xff);
    text[9] = (char)((bytes - 10) >> 8);
    return bytes;
}

bool npy_write(int fd, const batchnorm_tensor *tensor, char *message) {
    char head[512], piece[4096];
    const char *type = tensor->dtype == BATCHNORM_F32 ? "f4" : tensor->dtype == BATCHNORM_F64 ? "f8" : "f2";
    if (tensor->dtype == BATCHNORM_BF16 || tensor->dtype == BATCHNORM_I64)
        return fail(message, "an .npy file cannot hold this type; write to FILE.safetensors:NAME");
    if (!write_bytes(fd, head, format_header(head, tensor, type), message)) return false;
    size_t each = batchnorm_dtype_bytes(tensor->dtype), bytes = each * (size_t)batchnorm_tensor_elements(tensor);
    if (!host_is_big_endian()) return write_bytes(fd, tensor->data, bytes, message);
    for (size_t at = 0; at < bytes; at += sizeof piece) {
        size_t n = bytes - at < sizeof piece ? bytes - at : sizeof piece;
        memcpy(piece, (const char *)tensor->data + at, n);
        swap_bytes(piece, n / each, each);
        if (!write_bytes(fd, piece, n, message)) return false;
    }
    return true;
}
