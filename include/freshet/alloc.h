/*
 * alloc.h -- memory.
 *
 * Small allocations do not fail: when the system refuses one, the process says what it asked for and
 * exits 70. That is a decision, not a shortcut: gRPC, RocksDB and librdkafka abort in the same case, state is
 * safe at any instant (the store holds whole checkpoints, Kafka the rest), and all that grows with input is
 * bounded by counts in the configuration, so that the limit is met there first.
 *
 *   fr_array   one long array that never moves: address space reserved at birth, memory as it grows,
 *              so readers index it without locks while the one writer appends.
 *
 *       base                    len                committed                 max
 *        |=======================|..................|-----------------------|
 *         elements                zeroed, ready       reserved, no memory
 *
 *   fr_slab    blocks of many sizes for one writer: size classes, 1/3 or 1/16 apart as it is told, each with a
 *              free list, carved from 4 MiB regions; larger blocks have a mapping of their own. Nothing is given back to
 *              the system but those. Both ask for huge pages (MADV_HUGEPAGE), worth 2-3x in random access.
 */
#ifndef FR_ALLOC_H
#define FR_ALLOC_H

#include <stddef.h>
#include <stdint.h>

void *fr_alloc(size_t size);               /* uninitialised */
void *fr_zalloc(size_t count, size_t size); /* zeroed */
void *fr_realloc(void *old, size_t size);
char *fr_strdup(const char *text);
char *fr_strndup(const char *text, size_t len);
/* Ensures room for `want` elements of `size` bytes in *`array` of capacity *`cap`, growing by half. */
void fr_reserve(void **array, size_t *cap, size_t want, size_t size);

struct fr_array {
    char *base;
    size_t size;      /* bytes per element */
    size_t committed; /* elements that may be touched */
    size_t max;       /* elements at most */
    size_t reserved;  /* bytes of address space */
};

/* `max` elements of `size` bytes at most; no memory is used before fr_array_grow. */
void fr_array_init(struct fr_array *array, size_t size, size_t max);
void fr_array_release(struct fr_array *array);
/* Makes elements [0, len) usable; new ones are zero. Needs len <= max (asserted). Thread: the writer. */
void fr_array_grow(struct fr_array *array, size_t len);
static inline void *fr_array_at(const struct fr_array *array, size_t index)
{
    return array->base + index * array->size;
}
size_t fr_array_bytes(const struct fr_array *array); /* committed bytes */

struct fr_slab;
/*
 * Blocks are multiples of `unit` bytes (16, 32 or 64) and aligned to it. A size class is the `parts`th part (3 to 16)
 * larger than the one before, and at least a unit. Few parts: a block that is given back is soon taken again. Many:
 * little is asked for in vain, which pays where blocks are small and there are very many.
 */
enum { FR_SLAB_COARSE = 3, FR_SLAB_FINE = 16 };
struct fr_slab *fr_slab_new(size_t unit, size_t parts);
void fr_slab_free(struct fr_slab *slab);
size_t fr_slab_room(const struct fr_slab *slab, size_t size);       /* the usable size a request of `size` gets */
void *fr_slab_take(struct fr_slab *slab, size_t size);               /* not zeroed */
void fr_slab_give(struct fr_slab *slab, void *block, size_t size);   /* `size` as taken, or its room */
size_t fr_slab_bytes(const struct fr_slab *slab);                    /* taken blocks, in room bytes. Thread: any */
size_t fr_slab_mapped(const struct fr_slab *slab);                   /* asked of the system. Thread: any */

/* Scratch that is reset as a whole: many small allocations, one release. */
struct fr_arena {
    struct fr_arena_chunk *first, *current;
    size_t used;  /* in the current chunk */
    size_t total; /* handed out since the last reset */
};
void *fr_arena_take(struct fr_arena *arena, size_t size); /* aligned to 16; a zeroed struct is an empty arena */
void fr_arena_reset(struct fr_arena *arena);               /* keeps one chunk of at most 1 MiB */
void fr_arena_release(struct fr_arena *arena);
size_t fr_arena_bytes(const struct fr_arena *arena); /* taken from the system, whatever was handed out of it */

#endif
