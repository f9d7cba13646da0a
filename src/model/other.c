/* SPDX-License-Identifier: MIT */
#include "model/other.h"

#include <ctype.h>
#include <string.h>

struct kind {
    size_t at;
    const char *begins; /* in small letters where letters are text */
    const char *what;
};

static bool begins(const struct bn_map *map, const struct kind *kind) {
    const size_t bytes = strlen(kind->begins);
    if (map->bytes < kind->at + bytes) return false;
    for (size_t i = 0; i < bytes; i++)
        if (tolower(map->base[kind->at + i]) != tolower((unsigned char)kind->begins[i])) return false;
    return true;
}

/* Text has no control characters but white space in its first bytes. */
static bool is_text(const struct bn_map *map) {
    for (size_t i = 0; i < map->bytes && i < 256; i++)
        if ((map->base[i] < 0x20 && !isspace(map->base[i])) || map->base[i] == 0x7f) return false;
    return true;
}

const char *bn_other_kind(const struct bn_map *map) {
    static const struct kind kinds[] = {
        {0, "version https://git-lfs", "a Git LFS pointer: fetch the file itself"},
        {0, "<!doctype", "a page of HTML: the download went wrong"},
        {0, "<html", "a page of HTML: the download went wrong"},
        {0, "<?xml", "a file of XML"},
        {0, "\x89HDF", "an HDF5 file, as Keras writes"},
        {0, "\x93NUMPY", "an .npy file"},
        {0, "\x1f\x8b", "a gzip file: unpack it"},
        {0, "\x28\xb5\x2f\xfd", "a zstd file: unpack it"},
        {0, "\3757zXZ", "an xz file: unpack it"},
        {0, "BZh", "a bzip2 file: unpack it"},
        {0, "GGUF", "a GGUF file"},
        {0, "\177ELF", "a program or a library"},
        {4, "TFL3", "a TensorFlow Lite file"},
        {4, "ORTM", "a file of ONNX Runtime's own format: the ONNX file is needed"},
        {257, "ustar", "a tar file: unpack it"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (begins(map, &kinds[i])) return kinds[i].what;
    if (map->bytes > 2 && map->base[0] == 0x80 && map->base[1] >= 2 && map->base[1] <= 5)
        return "a pickle that torch.save() did not write";
    return is_text(map) ? "text" : NULL;
}
