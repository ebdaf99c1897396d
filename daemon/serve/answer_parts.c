/*
 * answer_parts.c -- parts that several answers share.
 */
#include "answer_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

void part_say(struct question *question, const ProtobufCMessage *message, struct answer *answer)
{
    answer->code = RPC_CODE_OK;
    answer->message[0] = '\0';
    answer->bytes = wire_pack(&question->arena, message);
}

char *part_text(struct fr_arena *arena, const char *text, size_t len)
{
    char *copy = fr_arena_take(arena, len + 1);

    if (len)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

Freshet__V1__Position **part_positions(struct fr_arena *arena, const struct position *positions, size_t len)
{
    Freshet__V1__Position **pointers, *room = wire_rooms(arena, len, sizeof(*room), &pointers);

    for (size_t i = 0; i < len; i++) {
        freshet__v1__position__init(&room[i]);
        room[i].topic = wire_text(positions[i].topic);
        room[i].partition = positions[i].partition;
        room[i].offset = positions[i].next;
    }
    return pointers;
}

/* ---- as_of ---- */

enum { AS_OF_POSITIONS = 1, VARINT_MAX = 10 }; /* the field's number in the .proto */

static bool is_packed(const struct part_as_of *part, const struct as_of *seen)
{
    bool same = part->len == seen->positions_len;

    for (size_t i = 0; same && i < seen->positions_len; i++) {
        const struct position *old = &part->positions[i], *new = &seen->positions[i];
        same = old->next == new->next && old->partition == new->partition && old->topic == new->topic; /* a text of the engine's own */
    }
    return same;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

static void pack_positions(struct part_as_of *part, const struct as_of *seen)
{
    fr_reserve((void **)&part->positions, &part->room, seen->positions_len, sizeof(*part->positions));
    part->len = seen->positions_len;
    part->bytes_len = 0;
    for (size_t i = 0; i < part->len; i++) {
        Freshet__V1__Position position = FRESHET__V1__POSITION__INIT;
        part->positions[i] = seen->positions[i];
        position.topic = wire_text(seen->positions[i].topic);
        position.partition = seen->positions[i].partition;
        position.offset = seen->positions[i].next;
        size_t len = freshet__v1__position__get_packed_size(&position);
        fr_reserve((void **)&part->bytes, &part->bytes_room, part->bytes_len + 2 * VARINT_MAX + len, 1);
        uint8_t *at = put_varint(part->bytes + part->bytes_len, AS_OF_POSITIONS << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
        at = put_varint(at, len);
        at += freshet__v1__position__pack(&position, at);
        part->bytes_len = (size_t)(at - part->bytes);
    }
}

/* The response's last field, as one that protobuf-c does not know: such are packed as they are, behind all others. */
void part_as_of(struct part_as_of *part, struct fr_arena *arena, const struct reader *reader, ProtobufCMessage *response)
{
    const struct as_of *seen = reader_as_of(reader);
    const ProtobufCFieldDescriptor *field = &response->descriptor->fields[response->descriptor->n_fields - 1];
    Freshet__V1__AsOf rest = FRESHET__V1__AS_OF__INIT;

    assert(field->descriptor == &freshet__v1__as_of__descriptor);
    if (!is_packed(part, seen))
        pack_positions(part, seen);
    rest.event_time_ms = seen->event_time;
    rest.staleness_seconds = seen->staleness_seconds;
    size_t len = part->bytes_len + freshet__v1__as_of__get_packed_size(&rest);
    uint8_t *bytes = fr_arena_take(arena, VARINT_MAX + len), *at = put_varint(bytes, len);
    if (part->bytes_len)
        memcpy(at, part->bytes, part->bytes_len);
    at += part->bytes_len;
    at += freshet__v1__as_of__pack(&rest, at);
    response->n_unknown_fields = 1;
    response->unknown_fields = fr_arena_take(arena, sizeof(*response->unknown_fields));
    *response->unknown_fields = (ProtobufCMessageUnknownField){
        .tag = field->id, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .len = (size_t)(at - bytes), .data = bytes};
}

void part_as_of_release(struct part_as_of *part)
{
    free(part->positions);
    free(part->bytes);
}

/* ---- items and reasons ---- */

/* "because of apple": what an item of the history says for people. */
static char *text_of(struct fr_arena *arena, const struct why *reason)
{
    static const char because[] = "because of ", despite[] = "in spite of ";
    const char *begin = reason->contribution < 0 ? despite : because;
    size_t len = strlen(begin);
    char *text;

    if (reason->text)
        return wire_text(reason->text);
    text = fr_arena_take(arena, len + reason->item.len + 1);
    memcpy(text, begin, len);
    memcpy(text + len, reason->item.at, reason->item.len);
    text[len + reason->item.len] = '\0';
    return text;
}

Freshet__V1__Reason **part_reasons(struct fr_arena *arena, const struct why *reasons, size_t len)
{
    Freshet__V1__Reason **pointers, *room = wire_rooms(arena, len, sizeof(*room), &pointers);

    for (size_t i = 0; i < len; i++) {
        freshet__v1__reason__init(&room[i]);
        room[i].item_id = wire_data(reasons[i].item);
        room[i].contribution = reasons[i].contribution;
        room[i].text = text_of(arena, &reasons[i]);
    }
    return pointers;
}

Freshet__V1__Recommendation **part_recommendations(struct fr_arena *arena, const struct recommendation_list *list)
{
    Freshet__V1__Recommendation **pointers, *room = wire_rooms(arena, list->len, sizeof(*room), &pointers);

    for (size_t i = 0; i < list->len; i++) {
        const struct recommended *item = &list->items[i];
        freshet__v1__recommendation__init(&room[i]);
        room[i].item_id = wire_data(item->item);
        room[i].score = item->score;
        room[i].source = wire_text(item->source);
        room[i].propensity = item->propensity;
        room[i].n_reasons = item->reasons_len;
        room[i].reasons = part_reasons(arena, item->reasons, item->reasons_len);
    }
    return pointers;
}
