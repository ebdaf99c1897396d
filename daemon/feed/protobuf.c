/*
 * protobuf.c -- the long and the rare: varints of several bytes, fixed numbers, what is skipped, entries of maps.
 *
 *     record   tag | value, tag | value, ...        tag = field number << 3 | wire type
 */
#include "protobuf.h"

enum { GROUP_DEPTH_MAX = 100 };

bool cut_short(struct cursor *cursor)
{
    problem_say(cursor->problem, "undecodable", "protobuf: the record ends inside a field at byte %zu",
                (size_t)(cursor->at - cursor->begin));
    return false;
}

bool take_long_varint(struct cursor *cursor, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        unsigned char byte;

        if (cursor->at == cursor->end)
            return cut_short(cursor);
        byte = *cursor->at++;
        value |= (uint64_t)(byte & 0x7f) << shift; /* bits beyond the 64th are dropped, as protobuf does */
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    problem_say(cursor->problem, "undecodable", "protobuf: a varint is longer than 10 bytes at byte %zu",
                (size_t)(cursor->at - cursor->begin));
    return false;
}

bool take_fixed(struct cursor *cursor, size_t size, uint64_t *ret_bits)
{
    uint64_t bits = 0;

    if ((size_t)(cursor->end - cursor->at) < size)
        return cut_short(cursor);
    for (size_t i = 0; i < size; i++)
        bits |= (uint64_t)cursor->at[i] << (8 * i);
    cursor->at += size;
    *ret_bits = bits;
    return true;
}

static bool skip_group(struct cursor *cursor, uint32_t field);

bool skip_value(struct cursor *cursor, uint32_t field, enum wire wire)
{
    struct fr_bytes run;
    uint64_t bits;

    switch (wire) {
    case VARINT:
        return take_varint(cursor, &bits);
    case FIXED64:
        return take_fixed(cursor, 8, &bits);
    case FIXED32:
        return take_fixed(cursor, 4, &bits);
    case RUN:
        return take_run(cursor, &run);
    case GROUP:
        return skip_group(cursor, field);
    case GROUP_END:
        break;
    }
    return problem_say(cursor->problem, "undecodable", "protobuf: group %u ends without having begun at byte %zu",
                       field, (size_t)(cursor->at - cursor->begin));
}

/* Without recursion: the open groups are a short stack, so that a hostile record cannot use up the thread's. */
static bool skip_group(struct cursor *cursor, uint32_t field)
{
    uint32_t open[GROUP_DEPTH_MAX];
    size_t depth = 0;
    enum wire wire;

    for (open[depth++] = field; depth;) {
        if (!take_tag(cursor, &field, &wire))
            return false;
        if (wire == GROUP) {
            if (depth == GROUP_DEPTH_MAX)
                return problem_say(cursor->problem, "undecodable", "protobuf: groups are nested deeper than %d",
                                   GROUP_DEPTH_MAX);
            open[depth++] = field;
        } else if (wire == GROUP_END && open[depth - 1] == field) {
            depth--;
        } else if (!skip_value(cursor, field, wire)) {
            return false;
        }
    }
    return true;
}

bool take_pair(struct cursor *outer, const char *name, struct fr_bytes entry, struct fr_bytes *ret_name, struct fr_bytes *ret_value)
{
    struct cursor cursor = cursor_within(outer, entry);
    struct fr_bytes run, parts[2] = {{"", 0}, {"", 0}};
    uint32_t field;
    enum wire wire;

    while (cursor.at < cursor.end) {
        if (!take_tag(&cursor, &field, &wire))
            return false;
        if (wire != RUN || field > 2) {
            if (!skip_value(&cursor, field, wire))
                return false;
        } else if (!take_run(&cursor, &run)) {
            return false;
        } else if (!fr_utf8_valid(run.at, run.len)) {
            return problem_say(outer->problem, "undecodable", "%s has a %s that is not valid UTF-8", name,
                               field == 1 ? "key" : "value");
        } else {
            parts[field - 1] = run;
        }
    }
    *ret_name = parts[0];
    *ret_value = parts[1];
    return true;
}
