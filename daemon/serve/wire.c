/*
 * wire.c -- protobuf-c with an arena.
 */
#include "wire.h"

#include <stdio.h>
#include <string.h>

struct room {
    struct fr_arena *arena;
    size_t left;
    bool large;
};

static void *room_take(void *room_pointer, size_t size)
{
    struct room *room = room_pointer;

    if (size > room->left) {
        room->large = true;
        return NULL;
    }
    room->left -= size;
    return fr_arena_take(room->arena, size);
}

static void room_give(void *room_pointer, void *block)
{
    (void)room_pointer; /* the arena is reset as a whole */
    (void)block;
}

void *wire_unpack(struct fr_arena *arena, const ProtobufCMessageDescriptor *type, struct fr_bytes bytes,
                  size_t memory_max, bool *ret_large)
{
    struct room room = {.arena = arena, .left = memory_max};
    ProtobufCAllocator allocator = {room_take, room_give, &room};
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, bytes.len, (const uint8_t *)bytes.at);

    *ret_large = room.large;
    return message;
}

/* ---- texts ---- */

enum { WIRE_VARINT = 0, WIRE_8_BYTES = 1, WIRE_RUN = 2, WIRE_4_BYTES = 5, VARINT_MAX = 10 };

/* What is left to look at; at NULL: it is no message, which unpacking has refused already. */
struct cursor {
    const char *at, *end;
};

static uint64_t take_varint(struct cursor *cursor)
{
    uint64_t value = 0;

    for (unsigned i = 0; cursor->at && i < VARINT_MAX; i++) {
        if (cursor->at == cursor->end)
            break;
        uint8_t byte = (uint8_t)*cursor->at++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80)
            return value;
    }
    cursor->at = NULL;
    return 0;
}

/* Steps past a field; its number, or 0 at the end. *ret_run: its bytes if it is a run, else at NULL. */
static uint32_t take_field(struct cursor *cursor, struct fr_bytes *ret_run)
{
    uint64_t len = 0, tag = cursor->at && cursor->at < cursor->end ? take_varint(cursor) : 0;

    *ret_run = (struct fr_bytes){0};
    switch (tag & 7) {
    case WIRE_VARINT:
        if (tag)
            take_varint(cursor);
        break;
    case WIRE_8_BYTES:
        len = 8;
        break;
    case WIRE_4_BYTES:
        len = 4;
        break;
    case WIRE_RUN:
        len = take_varint(cursor);
        break;
    default:
        cursor->at = NULL;
    }
    if (!cursor->at || len > (size_t)(cursor->end - cursor->at))
        return 0;
    if ((tag & 7) == WIRE_RUN)
        *ret_run = (struct fr_bytes){cursor->at, len};
    cursor->at += len;
    return (uint32_t)(tag >> 3);
}

static const char *problem_of(struct fr_bytes text)
{
    if (!fr_utf8_valid(text.at, text.len))
        return "is not valid UTF-8";
    return text.len && memchr(text.at, 0, text.len) ? "contains a NUL byte" : NULL;
}

/* Puts "name[2]." before what is named in it; it is the one that ends at `run`. */
static void name_within(const ProtobufCFieldDescriptor *field, struct fr_bytes message, struct fr_bytes run, struct wire_bad_text *bad)
{
    struct cursor cursor = {message.at, message.at + message.len};
    char inner[sizeof(bad->field)], place[24] = "";
    struct fr_bytes one;
    size_t before = 0;
    uint32_t number;

    while ((number = take_field(&cursor, &one)) && cursor.at != run.at + run.len)
        before += number == field->id;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        snprintf(place, sizeof(place), "[%zu]", before);
    memcpy(inner, bad->field, sizeof(inner));
    snprintf(bad->field, sizeof(bad->field), "%s%s%s%.64s", field->name, place, *inner ? "." : "", inner);
}

/* No message of ours is within itself, so it goes no deeper than the .proto. */
bool wire_texts_good(const ProtobufCMessageDescriptor *type, struct fr_bytes bytes, struct wire_bad_text *ret_bad)
{
    struct cursor cursor = {bytes.at, bytes.at + bytes.len};
    struct fr_bytes run;
    uint32_t number;

    while ((number = take_field(&cursor, &run))) {
        const ProtobufCFieldDescriptor *field = run.at ? protobuf_c_message_descriptor_get_field(type, number) : NULL;
        bool good = true;
        if (field && field->type == PROTOBUF_C_TYPE_STRING) {
            *ret_bad = (struct wire_bad_text){.problem = problem_of(run)};
            good = !ret_bad->problem;
        } else if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) {
            good = wire_texts_good(field->descriptor, run, ret_bad);
        }
        if (good)
            continue;
        name_within(field, bytes, run, ret_bad);
        return false;
    }
    return true;
}

struct fr_bytes wire_pack(struct fr_arena *arena, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = fr_arena_take(arena, len);

    protobuf_c_message_pack(message, bytes);
    return (struct fr_bytes){(const char *)bytes, len};
}

void *wire_rooms(struct fr_arena *arena, size_t len, size_t size, void *ret_pointers)
{
    char *structs = fr_arena_take(arena, len * size), **pointers = fr_arena_take(arena, len * sizeof(*pointers));

    for (size_t i = 0; i < len; i++)
        pointers[i] = structs + i * size;
    memcpy(ret_pointers, &pointers, sizeof(pointers));
    return structs;
}
