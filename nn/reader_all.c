/* SPDX-License-Identifier: MIT */
/* What both readers share. */
#include <stdlib.h>

#include "reader.h"

bool nn_reader_all(nn_reader *reader, size_t most, uint8_t **bytes, size_t *count) {
    size_t room = 0, got = 0;
    *bytes = NULL;
    *count = 0;
    do {
        room = room == 0 ? (size_t)1 << 16 : room > SIZE_MAX / 2 ? SIZE_MAX : 2 * room;
        if (room > most) room = most;
        uint8_t *larger = realloc(*bytes, room > 0 ? room : 1);
        if (!larger) return nn_wrong(reader->message, reader->path, "memory could not be allocated");
        *bytes = larger;
        if (!nn_reader_some(reader, *bytes + *count, room - *count, &got)) return false;
        *count += got;
    } while (*count == room && room < most);
    return true;
}

bool nn_reader_at_end(nn_reader *reader, bool *end) {
    uint8_t surplus;
    size_t got = 0;
    if (!nn_reader_some(reader, &surplus, 1, &got)) return false;
    *end = got == 0;
    return true;
}
