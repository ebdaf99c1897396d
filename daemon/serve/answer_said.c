/*
 * answer_said.c -- runs to protobuf-c's strings, which end at a NUL; feed lets none into texts.
 */
#include "answer_said.h"

#include "wire.h"

static char *text_of(struct fr_arena *arena, struct fr_bytes run)
{
    char *text = fr_arena_take(arena, run.len + 1);

    if (run.len)
        memcpy(text, run.at, run.len);
    text[run.len] = '\0';
    return text;
}

static Freshet__V1__Item__FeaturesEntry **features_of(struct fr_arena *arena, const struct features_said *said)
{
    Freshet__V1__Item__FeaturesEntry **pointers, *room = wire_rooms(arena, said->len, sizeof(*room), &pointers);

    for (uint32_t i = 0; i < said->len; i++) {
        freshet__v1__item__features_entry__init(&room[i]);
        room[i].key = text_of(arena, said->at[i].name);
        room[i].value = text_of(arena, said->at[i].value);
    }
    return pointers;
}

Freshet__V1__GetUserResponse__FeaturesEntry **said_user(struct fr_arena *arena, const struct features_said *said, size_t *ret_len)
{
    Freshet__V1__GetUserResponse__FeaturesEntry **pointers, *room = wire_rooms(arena, said->len, sizeof(*room), &pointers);

    for (uint32_t i = 0; i < said->len; i++) {
        freshet__v1__get_user_response__features_entry__init(&room[i]);
        room[i].key = text_of(arena, said->at[i].name);
        room[i].value = text_of(arena, said->at[i].value);
    }
    *ret_len = said->len;
    return pointers;
}

void said_item(struct fr_arena *arena, const struct item_said *said, Freshet__V1__Item *item)
{
    item->categories = fr_arena_take(arena, (said->categories_len + 1) * sizeof(*item->categories));
    for (uint32_t i = 0; i < said->categories_len; i++)
        item->categories[i] = text_of(arena, said->categories[i]);
    item->n_categories = said->categories_len;
    item->features = features_of(arena, &said->features);
    item->n_features = said->features.len;
    item->available_from_ms = said->from;
    item->available_until_ms = said->until;
    item->hidden = said->hidden;
    item->owner_user_id = wire_data(said->owner);
    item->n_embedding = said->embedding.len / sizeof(float);
    item->embedding = fr_arena_take(arena, said->embedding.len + sizeof(float));
    if (said->embedding.len)
        memcpy(item->embedding, said->embedding.at, said->embedding.len);
    item->title = text_of(arena, said->title);
}
