/*
 * decode_protobuf.c -- the fields of freshet.v1.Event, read where they lie.
 *
 *     record   tag | value, tag | value, ...        tag = field number << 3 | wire type
 *
 * The rules are proto3's: fields come in any order, the last value wins, unknown fields are skipped, and so is a known
 * field of another wire type (it is unknown in this schema). Groups are skipped whole. What ends in the middle of a
 * field, has field number 0 or a wire type that does not exist is undecodable. A hand-written loop is five times as
 * fast as protobuf-c here, because it copies and allocates nothing; the fuzzer and a second encoder in the tests watch
 * over it.
 */
#include "decode.h"

enum wire { VARINT = 0, FIXED64 = 1, RUN = 2, GROUP = 3, GROUP_END = 4, FIXED32 = 5 };
enum { USER_ID = 1, ITEM_ID, TYPE, VALUE, TIME_MS, EVENT_ID, CONTEXT };
enum { GROUP_DEPTH_MAX = 100, FIELD_MAX = 536870911 };

struct cursor {
    const unsigned char *begin, *at, *end;
    struct problem *problem;
};

static bool cut_short(struct cursor *cursor)
{
    problem_say(cursor->problem, "undecodable", "protobuf: the record ends inside a field at byte %zu",
                (size_t)(cursor->at - cursor->begin));
    return false;
}

static bool take_long_varint(struct cursor *cursor, uint64_t *ret_value)
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

static bool take_fixed(struct cursor *cursor, size_t size, uint64_t *ret_bits)
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

static bool skip_group(struct cursor *cursor, uint32_t field);

static bool skip_value(struct cursor *cursor, uint32_t field, enum wire wire)
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

/* A context entry is a message {key = 1, value = 2}. */
static bool take_context(struct cursor *outer, struct fr_bytes entry, struct fields *fields)
{
    struct cursor cursor = {outer->begin, (const unsigned char *)entry.at, (const unsigned char *)entry.at + entry.len,
                            outer->problem};
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
            return problem_say(outer->problem, "undecodable", "context has a %s that is not valid UTF-8",
                               field == 1 ? "key" : "value");
        } else {
            parts[field - 1] = run;
        }
    }
    fields_context(fields, parts[0], parts[1]);
    return true;
}

static bool take_run_field(struct cursor *cursor, uint32_t field, struct fields *fields)
{
    struct fr_bytes run;

    if (!take_run(cursor, &run))
        return false;
    switch (field) {
    case USER_ID:
        fields->user = run;
        break;
    case ITEM_ID:
        fields->item = run;
        break;
    case TYPE:
        fields->type = run;
        break;
    case EVENT_ID:
        fields->event_id = run;
        break;
    case CONTEXT:
        return take_context(cursor, run, fields);
    default:
        break;
    }
    return true;
}

bool decode_protobuf(struct fr_bytes payload, struct fields *ret_fields, struct problem *problem)
{
    const unsigned char *begin = (const unsigned char *)payload.at;
    struct cursor cursor = {begin, begin, payload.len ? begin + payload.len : begin, problem};
    uint64_t bits;
    uint32_t field;
    enum wire wire;

    fields_reset(ret_fields);
    while (cursor.at < cursor.end) {
        if (!take_tag(&cursor, &field, &wire))
            return false;
        if (wire == RUN) {
            if (!take_run_field(&cursor, field, ret_fields))
                return false;
        } else if (field == VALUE && wire == FIXED64) {
            if (!take_fixed(&cursor, 8, &bits))
                return false;
            memcpy(&ret_fields->value, &bits, sizeof(ret_fields->value));
            ret_fields->has_value = true;
        } else if (field == TIME_MS && wire == VARINT) {
            if (!take_varint(&cursor, &bits))
                return false;
            ret_fields->time = (int64_t)bits;
        } else if (!skip_value(&cursor, field, wire)) {
            return false;
        }
    }
    return true;
}
