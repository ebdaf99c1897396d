/*
 * wire.h -- protobuf-c with an arena: messages are unpacked into it and packed into it, and freed as a whole.
 */
#ifndef FR_WIRE_H
#define FR_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "freshet/alloc.h"
#include "freshet/bytes.h"

/*
 * NULL if the bytes are no such message, or if unpacking them would take more than `memory_max` bytes (*ret_large says
 * which). The second matters: two bytes of request can ask for a hundred of memory.
 */
void *wire_unpack(struct fr_arena *arena, const ProtobufCMessageDescriptor *type, struct fr_bytes bytes,
                  size_t memory_max, bool *ret_large);

/*
 * Of a message that could be unpacked: is every text in it UTF-8 without NUL? protobuf-c keeps no length, so what it has unpacked ends
 * at a NUL as if nothing had come behind. The first that is not is named as in the .proto: "filter.any_category[1]".
 */
struct wire_bad_text {
    const char *problem;
    char field[128];
};
bool wire_texts_good(const ProtobufCMessageDescriptor *type, struct fr_bytes bytes, struct wire_bad_text *ret_bad);
#define WIRE_TEXT_RULE "text is UTF-8 without NUL"

struct fr_bytes wire_pack(struct fr_arena *arena, const ProtobufCMessage *message);

/* `len` structs in one run, and the array of pointers to them that protobuf-c wants. */
void *wire_rooms(struct fr_arena *arena, size_t len, size_t size, void *ret_pointers);

static inline struct fr_bytes wire_bytes(ProtobufCBinaryData data)
{
    return (struct fr_bytes){(const char *)data.data, data.len};
}
/* protobuf-c's fields are not const, but packing only reads. */
static inline ProtobufCBinaryData wire_data(struct fr_bytes bytes)
{
    return (ProtobufCBinaryData){bytes.len, (uint8_t *)(uintptr_t)bytes.at};
}
static inline char *wire_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

#endif
