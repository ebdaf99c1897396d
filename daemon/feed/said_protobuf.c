/*
 * said_protobuf.c -- the fields of freshet.v1.Item and freshet.v1.User, read where they lie. The rules are those of decode_protobuf.c.
 */
#include "protobuf.h"
#include "said.h"

enum item_field { ITEM_ID = 1, CATEGORIES, FEATURES, FROM, UNTIL, HIDDEN, OWNER, EMBEDDING, TITLE };
enum user_field { USER_ID = 1, USER_FEATURES };

static bool take_feature(struct cursor *cursor, struct fr_bytes entry, struct said *said)
{
    struct fr_bytes name, value;

    return take_pair(cursor, "features", entry, &name, &value) && said_feature(said, name, value, cursor->problem);
}

static bool take_number(struct cursor *cursor, struct said *said)
{
    uint64_t bits;
    uint32_t low;
    float number;

    if (!take_fixed(cursor, sizeof(number), &bits))
        return false;
    low = (uint32_t)bits;
    memcpy(&number, &low, sizeof(number));
    return said_number(said, (double)number, cursor->problem);
}

/* repeated float, packed: one run of them. */
static bool take_numbers(const struct cursor *outer, struct fr_bytes run, struct said *said)
{
    struct cursor cursor = cursor_within(outer, run);

    while (cursor.at < cursor.end)
        if (!take_number(&cursor, said))
            return false;
    return true;
}

static bool take_item_run(struct cursor *cursor, uint32_t field, struct said *said)
{
    struct fr_bytes run;

    if (!take_run(cursor, &run))
        return false;
    switch (field) {
    case ITEM_ID:
        said->id = run;
        break;
    case CATEGORIES:
        return said_category(said, run, cursor->problem);
    case FEATURES:
        return take_feature(cursor, run, said);
    case OWNER:
        said->item.owner = run;
        break;
    case EMBEDDING:
        return take_numbers(cursor, run, said);
    case TITLE:
        said->item.title = run;
        break;
    default:
        break;
    }
    return true;
}

static bool take_item_varint(struct cursor *cursor, uint32_t field, struct said *said)
{
    uint64_t bits;

    if (!take_varint(cursor, &bits))
        return false;
    switch (field) {
    case FROM:
        said->item.from = (int64_t)bits;
        break;
    case UNTIL:
        said->item.until = (int64_t)bits;
        break;
    case HIDDEN:
        said->item.hidden = bits != 0;
        break;
    default:
        break;
    }
    return true;
}

static bool take_item_field(struct cursor *cursor, uint32_t field, enum wire wire, struct said *said)
{
    if (wire == RUN)
        return take_item_run(cursor, field, said);
    if (wire == VARINT)
        return take_item_varint(cursor, field, said);
    if (field == EMBEDDING && wire == FIXED32)
        return take_number(cursor, said);
    return skip_value(cursor, field, wire);
}

static bool take_user_field(struct cursor *cursor, uint32_t field, enum wire wire, struct said *said)
{
    struct fr_bytes run;

    if (wire != RUN)
        return skip_value(cursor, field, wire);
    if (!take_run(cursor, &run))
        return false;
    if (field == USER_ID)
        said->id = run;
    return field != USER_FEATURES || take_feature(cursor, run, said);
}

bool said_protobuf(struct fr_bytes payload, bool user, struct said *ret_said, struct problem *problem)
{
    struct cursor cursor = cursor_of(payload, problem);
    uint32_t field;
    enum wire wire;

    said_reset(ret_said);
    while (cursor.at < cursor.end)
        if (!take_tag(&cursor, &field, &wire) || !(user ? take_user_field : take_item_field)(&cursor, field, wire, ret_said))
            return false;
    return true;
}
