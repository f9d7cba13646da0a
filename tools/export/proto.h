/* SPDX-License-Identifier: MIT */
/* Writing of protobuf messages, as much as an ONNX file needs. A message is made on its own and then put into the one that has
 * it, since its length comes first. */
#ifndef TOOLS_EXPORT_PROTO_H
#define TOOLS_EXPORT_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proto {
    char *bytes;
    size_t count, room;
    bool failed; /* there was no memory; what follows does nothing */
};

void proto_integer(struct proto *p, uint32_t field, int64_t value);
void proto_float(struct proto *p, uint32_t field, float value);
void proto_bytes(struct proto *p, uint32_t field, const void *bytes, size_t count);
void proto_text(struct proto *p, uint32_t field, const char *text);
/* The message, which is freed. */
void proto_message(struct proto *p, uint32_t field, struct proto *message);

#endif
