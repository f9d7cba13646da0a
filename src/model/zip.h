/* SPDX-License-Identifier: MIT */
/* The entries of a zip file whose data are stored as they are, which is how PyTorch writes them. */
#ifndef BN_ZIP_H
#define BN_ZIP_H

#include "wire.h"

struct bn_zip {
    const unsigned char *base;
    size_t bytes;
    size_t next, end; /* of the central directory */
    const char *wrong;
    size_t wrong_at;
};

struct bn_zip_entry {
    struct bn_slice name;
    bool is_stored, is_deflated; /* neither: in another way, or encrypted */
    uint64_t header;             /* where its local header is */
    uint64_t bytes, packed;
};

/* Finds the central directory; returns false, and why, if there is none. */
bool bn_zip_begin(struct bn_zip *zip, const unsigned char *base, size_t bytes);
/* Finds the next entry; returns false after the last, or with zip->wrong. */
bool bn_zip_next(struct bn_zip *zip, struct bn_zip_entry *entry);
/* Finds where the data of a stored entry are; returns false if they are not whole. */
bool bn_zip_data(const struct bn_zip *zip, const struct bn_zip_entry *entry, struct bn_slice *data);
/* The same for an entry as it is packed. */
bool bn_zip_packed(const struct bn_zip *zip, const struct bn_zip_entry *entry, struct bn_slice *data);

#endif
