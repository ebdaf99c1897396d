/*
 * wire.c -- protobuf-c with an arena.
 */
#include "wire.h"

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
