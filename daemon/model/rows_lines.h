/*
 * rows_lines.h -- what a row is made of, for rows.c (writing) and rows_read.c (reading).
 *
 * A row's lines and their number are published together in one word: lines are aligned to 64 bytes, so the six low
 * bits of their address are free, and hold the size class. Class k has lines_of[k] lines, a table filled at
 * birth from the sizes that the allocator really hands out, about a third apart.
 *
 *     block = address of the lines | class          0: the row is empty
 *
 * A line fills from its first slot to its last, and entries never leave it: a line whose last slot is empty has
 * never overflowed, so a search may end there.
 */
#ifndef FR_ROWS_LINES_H
#define FR_ROWS_LINES_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "freshet/alloc.h"
#include "freshet/rows.h"

enum { LINE_SLOTS = 8, CLASSES = 64 };
#define NO_COLUMN UINT32_MAX
#define CLASS_MASK ((uintptr_t)CLASSES - 1)

struct line {
    _Alignas(64) _Atomic uint32_t columns[LINE_SLOTS];
    _Atomic uint32_t counts[LINE_SLOTS]; /* 0 where the column is NO_COLUMN, so a count above 0 has a column */
};
static_assert(sizeof(struct line) == 64, "a line is a cache line");

struct row {
    /* Read by any thread. */
    _Alignas(32) _Atomic uintptr_t block;
    _Atomic uint32_t version; /* odd between rows_open and rows_shut */
    _Atomic uint32_t live;    /* entries with a count above 0 */
    _Atomic uint32_t most;    /* no count is above it */
    /* The writer's own. */
    uint32_t used;      /* slots taken, count 0 included */
    uint32_t limit;     /* used beyond which the row is rebuilt */
    uint32_t lines_len; /* of the block */
};
static_assert(sizeof(struct row) == 32, "two headers to a cache line");

struct rows {
    struct fr_array headers;
    struct fr_epoch *epoch;
    struct fr_slab *slab;
    uint32_t lines_of[CLASSES];
    unsigned classes;
    size_t rows_len;
    size_t retired;   /* blocks that wait for their readers; the writer's own */
    uint64_t *ranked; /* scratch of rows_prune */
    size_t ranked_room;
    _Atomic uint64_t entries;
    pthread_mutex_t loading; /* what rows_load shares between threads: slab, epoch, entries */
};

static inline struct row *row_at(const struct rows *rows, uint32_t row)
{
    return (struct row *)(void *)rows->headers.base + row;
}

static inline struct line *block_lines(uintptr_t block)
{
    return (struct line *)(block & ~CLASS_MASK);
}

/* The line where the search for a column begins: multiply-shift, twice. Rises with the hash, so that a rebuild reads
 * and writes in order. */
static inline uint32_t home_line(uint32_t column, uint32_t lines_len)
{
    uint32_t hash = (uint32_t)(column * 0x9E3779B97F4A7C15ULL >> 32);
    return (uint32_t)((uint64_t)hash * lines_len >> 32);
}

/* One bit for each slot that holds the column. Thread: the writer, since these are plain loads. */
static inline unsigned line_match(const struct line *line, uint32_t column)
{
#ifdef __SSE2__
    const __m128i *four = (const __m128i *)(const void *)line->columns;
    __m128i key = _mm_set1_epi32((int)column);
    __m128i low = _mm_cmpeq_epi32(_mm_load_si128(four), key), high = _mm_cmpeq_epi32(_mm_load_si128(four + 1), key);
    __m128i both = _mm_packs_epi32(low, high);
    return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(both, both)) & 0xFF;
#else
    unsigned match = 0;

    for (unsigned slot = 0; slot < LINE_SLOTS; slot++)
        match |= (unsigned)(atomic_load_explicit(&line->columns[slot], memory_order_relaxed) == column) << slot;
    return match;
#endif
}

/* Slots that may be taken before a row of so many lines is rebuilt. */
static inline uint32_t lines_limit(uint32_t lines_len)
{
    return lines_len == 1 ? LINE_SLOTS : lines_len * (LINE_SLOTS - 1);
}

#endif
