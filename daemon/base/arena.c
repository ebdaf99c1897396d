/*
 * arena.c -- scratch that is reset as a whole: a list of chunks, each at least twice the last or 16 KiB.
 */
#include "freshet/alloc.h"

#include <assert.h>
#include <stdlib.h>

enum { CHUNK_MIN = 16 << 10, CHUNK_KEPT_MAX = 1 << 20, ALIGN = 16 };

struct fr_arena_chunk {
    struct fr_arena_chunk *next;
    size_t size;
    _Alignas(16) char bytes[];
};

void *fr_arena_take(struct fr_arena *arena, size_t size)
{
    struct fr_arena_chunk *chunk = arena->current;

    assert(size < SIZE_MAX / 2);
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!chunk || arena->used + size > chunk->size) {
        size_t room = chunk ? chunk->size * 2 : CHUNK_MIN;
        if (room > CHUNK_KEPT_MAX)
            room = CHUNK_KEPT_MAX;
        if (room < size)
            room = size;
        struct fr_arena_chunk *fresh = fr_alloc(sizeof(*fresh) + room);
        fresh->next = NULL;
        fresh->size = room;
        *(chunk ? &chunk->next : &arena->first) = fresh;
        arena->current = fresh;
        arena->used = 0;
    }
    void *block = arena->current->bytes + arena->used;
    arena->used += size;
    arena->total += size;
    return block;
}

void fr_arena_reset(struct fr_arena *arena)
{
    struct fr_arena_chunk *kept = NULL, *chunk = arena->first;

    while (chunk) {
        struct fr_arena_chunk *next = chunk->next;
        if (chunk->size <= CHUNK_KEPT_MAX && (!kept || chunk->size > kept->size)) {
            free(kept);
            kept = chunk;
        } else {
            free(chunk);
        }
        chunk = next;
    }
    if (kept)
        kept->next = NULL;
    *arena = (struct fr_arena){.first = kept, .current = kept};
}

void fr_arena_release(struct fr_arena *arena)
{
    while (arena->first) {
        struct fr_arena_chunk *next = arena->first->next;
        free(arena->first);
        arena->first = next;
    }
    *arena = (struct fr_arena){0};
}

size_t fr_arena_bytes(const struct fr_arena *arena)
{
    size_t bytes = 0;

    for (const struct fr_arena_chunk *chunk = arena->first; chunk; chunk = chunk->next)
        bytes += sizeof(*chunk) + chunk->size;
    return bytes;
}
