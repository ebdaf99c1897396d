/*
 * answer_parts.c -- parts that several answers share.
 */
#include "answer_parts.h"

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

Freshet__V1__AsOf *part_as_of(struct fr_arena *arena, const struct reader *reader)
{
    const struct as_of *seen = reader_as_of(reader);
    Freshet__V1__AsOf *message = fr_arena_take(arena, sizeof(*message));

    freshet__v1__as_of__init(message);
    message->n_positions = seen->positions_len;
    message->positions = part_positions(arena, seen->positions, seen->positions_len);
    message->event_time_ms = seen->event_time;
    message->staleness_seconds = seen->staleness_seconds;
    return message;
}

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
