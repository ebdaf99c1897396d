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
#include "protobuf.h"

enum { USER_ID = 1, ITEM_ID, TYPE, VALUE, TIME_MS, EVENT_ID, CONTEXT };

static bool take_context(struct cursor *cursor, struct fr_bytes entry, struct fields *fields)
{
    struct fr_bytes name, value;

    if (!take_pair(cursor, "context", entry, &name, &value))
        return false;
    fields_context(fields, name, value);
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
    struct cursor cursor = cursor_of(payload, problem);
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
