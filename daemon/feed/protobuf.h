/*
 * protobuf.h -- reading a message where it lies: tags, varints, runs. What none asks for is skipped, groups whole.
 *
 * Each returns false when it has said in cursor->problem what is wrong, and at which byte. The short forms, which are nearly all there
 * are, stand here for the sake of the events' path.
 */
#ifndef FR_PROTOBUF_H
#define FR_PROTOBUF_H

#include "decode.h"

enum wire { VARINT = 0, FIXED64 = 1, RUN = 2, GROUP = 3, GROUP_END = 4, FIXED32 = 5 };
enum { FIELD_MAX = 536870911 };

struct cursor {
    const unsigned char *begin, *at, *end;
    struct problem *problem;
};

static inline struct cursor cursor_of(struct fr_bytes payload, struct problem *problem)
{
    const unsigned char *begin = (const unsigned char *)payload.at;

    return (struct cursor){begin, begin, payload.len ? begin + payload.len : begin, problem};
}
/* Over a message within: byte numbers go on counting from the outer one's beginning. */
static inline struct cursor cursor_within(const struct cursor *outer, struct fr_bytes run)
{
    const unsigned char *at = (const unsigned char *)run.at;

    return (struct cursor){outer->begin, at, at + run.len, outer->problem};
}

bool cut_short(struct cursor *cursor); /* says so; false */
bool take_long_varint(struct cursor *cursor, uint64_t *ret_value);
bool take_fixed(struct cursor *cursor, size_t size, uint64_t *ret_bits); /* little endian, 4 or 8 bytes */
bool skip_value(struct cursor *cursor, uint32_t field, enum wire wire);
/* An entry of a map<string, string>, {key = 1, value = 2}; `field` is the map's name. */
bool take_pair(struct cursor *outer, const char *field, struct fr_bytes entry, struct fr_bytes *ret_name, struct fr_bytes *ret_value);

/* Nearly all varints of an event are tags and lengths of one byte. */
static inline bool take_varint(struct cursor *cursor, uint64_t *ret_value)
{
    if (cursor->at == cursor->end || *cursor->at >= 0x80)
        return take_long_varint(cursor, ret_value);
    *ret_value = *cursor->at++;
    return true;
}

static inline bool take_tag(struct cursor *cursor, uint32_t *ret_field, enum wire *ret_wire)
{
    uint64_t tag;

    if (!take_varint(cursor, &tag))
        return false;
    *ret_wire = (enum wire)(tag & 7);
    if (tag >> 3 == 0 || tag >> 3 > FIELD_MAX || *ret_wire > FIXED32) {
        problem_say(cursor->problem, "undecodable", "protobuf: no field begins with tag %llu at byte %zu",
                    (unsigned long long)tag, (size_t)(cursor->at - cursor->begin));
        return false;
    }
    *ret_field = (uint32_t)(tag >> 3);
    return true;
}

static inline bool take_run(struct cursor *cursor, struct fr_bytes *ret_run)
{
    uint64_t len;

    if (!take_varint(cursor, &len))
        return false;
    if (len > (uint64_t)(cursor->end - cursor->at))
        return cut_short(cursor);
    *ret_run = (struct fr_bytes){(const char *)cursor->at, (size_t)len};
    cursor->at += len;
    return true;
}

#endif
