/* SPDX-License-Identifier: MIT */
/* The only file that knows HDF5. */
#define _POSIX_C_SOURCE 200809L
#define H5_USE_110_API /* newer versions keep these */
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

/* Room for one more of a list. */
static void *more(void *list, size_t count, size_t *room, size_t each) {
    if (count < *room) return list;
    const size_t next = 2 * *room + 64;
    void *grown = realloc(list, next * each);
    if (grown) *room = next;
    return grown;
}

/* How elements are called, and how they are read. */
static const char *type_of(hid_t type, hid_t *memory) {
    static const char *const floats[] = {"", "F16", "F32", "", "F64"};
    static const char *const integers[2][9] = {{"", "I8", "I16", "", "I32", "", "", "", "I64"},
                                               {"", "U8", "U16", "", "U32", "", "", "", "U64"}};
    const size_t bytes = H5Tget_size(type);
    const H5T_class_t kind = H5Tget_class(type);
    *memory = H5Tcopy(type);
    if (*memory >= 0) H5Tset_order(*memory, H5T_ORDER_LE);
    if (kind == H5T_INTEGER && bytes <= 8) return integers[H5Tget_sign(type) == H5T_SGN_NONE][bytes];
    if (kind == H5T_OPAQUE && bytes == 2) return "BF16"; /* for which h5py has no type */
    if (kind != H5T_FLOAT || bytes > 8 || bytes % 2) return "";
    size_t sign, exponent, exponent_bits, mantissa, mantissa_bits;
    if (H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits) < 0) return "";
    if (bytes == 2 && exponent_bits == 8) return "BF16";
    return exponent_bits == (bytes == 2 ? 5u : bytes == 4 ? 8u : 11u) ? floats[bytes / 2] : "";
}

/* Data in other files are not read: a network from somebody else must not reach what is not its own. */
static bool is_inside(hid_t set) {
    const hid_t list = H5Dget_create_plist(set);
    const bool is = list >= 0 && H5Pget_external_count(list) == 0 && H5Pget_layout(list) != H5D_VIRTUAL;
    if (list >= 0) H5Pclose(list);
    return is;
}

/* The bytes of a dataset; SIZE_MAX: too many for what the file has for it, and compression at most gives. */
static size_t bytes_of(hid_t set, const struct array *a, size_t each) {
    uint64_t bytes = each;
    for (int d = 0; d < a->rank; d++)
        if (__builtin_mul_overflow(bytes, (uint64_t)a->shape[d], &bytes)) return SIZE_MAX;
    return bytes > 65536 + 1100 * (uint64_t)H5Dget_storage_size(set) || bytes > PTRDIFF_MAX ? SIZE_MAX : (size_t)bytes;
}

static bool read_set(struct network *n, hid_t set, const char *path) {
    hsize_t sizes[H5S_MAX_RANK] = {0};
    hid_t memory = -1;
    const hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    struct array a = {.path = strdup(path), .rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, sizes, NULL)};
    a.dtype = type < 0 ? "" : type_of(type, &memory);
    for (int d = 0; d < a.rank && d < MOST_DIMENSIONS; d++) a.shape[d] = (int64_t)sizes[d];
    bool ok = true;
    if (a.rank < 0 || a.rank > MOST_DIMENSIONS || !is_inside(set) || a.dtype[0] == '\0' || memory < 0)
        ok = network_fail(n, "\"%.200s\" is of a type that is not read, or in another file", path);
    if (ok) a.bytes = bytes_of(set, &a, H5Tget_size(type));
    if (ok && a.bytes == SIZE_MAX) ok = network_fail(n, "\"%.200s\" has more elements than are in the file", path);
    if (ok) a.data = malloc(a.bytes + 1);
    if (ok && (!a.data || !a.path)) ok = network_fail(n, "no memory for \"%.200s\"", path);
    if (ok && a.bytes && H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, a.data) < 0)
        ok = network_fail(n, "\"%.200s\" cannot be read: the file is damaged", path);
    if (memory >= 0) H5Tclose(memory);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    struct array *list = ok ? more(n->arrays, n->array_count, &n->array_room, sizeof *list) : NULL;
    if (list) n->arrays = list;
    if (list) n->arrays[n->array_count++] = a;
    if (list) return true;
    free(a.path);
    free(a.data);
    return ok ? network_fail(n, "no memory for its arrays") : false;
}

/* An attribute that is a text; NULL: there is none. */
static char *read_text(hid_t object, const char *name) {
    char *text = NULL, *there = NULL;
    if (H5Aexists(object, name) <= 0) return NULL;
    const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT), type = attribute < 0 ? -1 : H5Aget_type(attribute);
    const hid_t space = attribute < 0 ? -1 : H5Aget_space(attribute);
    const bool is_text =
        type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1;
    if (is_text && H5Tis_variable_str(type) > 0) {
        if (H5Aread(attribute, type, &there) >= 0 && there) text = strdup(there);
        if (there) H5Dvlen_reclaim(type, space, H5P_DEFAULT, &there);
    } else if (is_text) {
        const size_t bytes = H5Tget_size(type);
        text = calloc(bytes + 1, 1);
        if (text && H5Aread(attribute, type, text) < 0) text[0] = '\0';
    }
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    return text;
}

/* "layers/conv2d/vars" has the name of the layer. */
static bool read_title(struct network *n, hid_t group, const char *path) {
    const size_t bytes = strlen(path);
    if (bytes < 5 || strcmp(path + bytes - 5, "/vars") != 0) return true;
    char *name = read_text(group, "name"), *layer = name ? strndup(path, bytes - 5) : NULL;
    struct title *list = layer ? more(n->titles, n->title_count, &n->title_room, sizeof *list) : NULL;
    if (list) n->titles = list;
    if (list) n->titles[n->title_count++] = (struct title){layer, name};
    if (list || !name) return true;
    free(layer);
    free(name);
    return network_fail(n, "no memory for its layers");
}

/* What trained it is none of the network's. */
static bool is_training(const char *path) {
    return strncmp(path, "optimizer/", 10) == 0 || strncmp(path, "optimizer_weights/", 18) == 0;
}

static herr_t visit(hid_t root, const char *path, const H5O_info_t *info, void *data) {
    struct network *n = data;
    bool ok = true;
    if (is_training(path) || (info->type != H5O_TYPE_DATASET && info->type != H5O_TYPE_GROUP)) return 0;
    const hid_t object = H5Oopen(root, path, H5P_DEFAULT);
    if (object < 0) return network_fail(n, "\"%.200s\" cannot be opened: the file is damaged", path), -1;
    ok = info->type == H5O_TYPE_DATASET ? read_set(n, object, path) : read_title(n, object, path);
    H5Oclose(object);
    return ok ? 0 : -1;
}

/* Objects come in the order of their names; links to other files are not followed. */
static bool read_file(struct network *n, hid_t file) {
    const char damaged[] = "is no HDF5 file that can be read: damaged, or not whole";
    if (file < 0) return network_fail(n, "%s", damaged);
    if (!n->config) n->config = read_text(file, "model_config");
    const bool ok = H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, visit, n) >= 0;
    H5Fclose(file);
    if (!ok && !n->why[0]) network_fail(n, "%s", damaged);
    return ok;
}

static void begin(void) {
    H5open();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* its own messages are a page long */
    H5PLset_loading_state(0);              /* filters that are programs of somebody else */
}

bool network_read(struct network *n, const char *path) {
    begin();
    return read_file(n, H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT));
}

/* The name must be one of no file that is there. */
bool network_read_memory(struct network *n, void *from, size_t bytes) {
    begin();
    const hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    const bool ok = list >= 0 && H5Pset_fapl_core(list, 65536, 0) >= 0 && H5Pset_file_image(list, from, bytes) >= 0;
    const hid_t file = ok ? H5Fopen("/dev/null/in memory", H5F_ACC_RDONLY, list) : -1;
    if (list >= 0) H5Pclose(list);
    return read_file(n, file);
}
