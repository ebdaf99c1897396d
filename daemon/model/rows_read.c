/*
 * rows_read.c -- the readers' half of rows.h, and the hints. Nothing here writes or waits.
 *
 * All loads of shared words are acquire, of the header's block sequentially consistent (epoch.h says why). A slot is
 * read count first by a copy: a count above 0 was stored after its column. Looked up, the column comes first, and the count
 * may still be 0.
 */
#include <string.h>

#include "kernels.h"

enum { COPY_TRIES = 64, OPEN_PAUSES = 64, LINES_AHEAD = 128 };

static inline void cpu_pause(void)
{
#ifdef __SSE2__
    _mm_pause();
#endif
}

void rows_prefetch(const struct rows *rows, uint32_t row)
{
    __builtin_prefetch(row_at(rows, row));
}

void rows_prefetch_cell(const struct rows *rows, uint32_t index, uint32_t column)
{
    const struct row *row = row_at(rows, index);
    uintptr_t block = atomic_load_explicit(&row->block, memory_order_acquire);

    if (block)
        __builtin_prefetch(block_lines(block) + home_line(column, rows->lines_of[block & CLASS_MASK]));
}

void rows_prefetch_cells(const struct rows *rows, uint32_t index, const uint32_t *columns, size_t len)
{
    uintptr_t block = atomic_load_explicit(&row_at(rows, index)->block, memory_order_acquire);
    uint32_t lines_len = block ? rows->lines_of[block & CLASS_MASK] : 0;

    for (size_t k = 0; k < len && lines_len; k++)
        __builtin_prefetch(block_lines(block) + home_line(columns[k], lines_len));
}

void rows_prefetch_lines(const struct rows *rows, uint32_t index)
{
    uintptr_t block = atomic_load_explicit(&row_at(rows, index)->block, memory_order_acquire);
    const struct line *lines = block_lines(block);
    uint32_t lines_len = block ? rows->lines_of[block & CLASS_MASK] : 0;

    for (uint32_t at = 0; at < lines_len && at < LINES_AHEAD; at++)
        __builtin_prefetch(lines + at, 0, 2);
}

size_t rows_len(const struct rows *rows, uint32_t row)
{
    return atomic_load_explicit(&row_at(rows, row)->live, memory_order_acquire);
}

uint32_t rows_most(const struct rows *rows, uint32_t row)
{
    return atomic_load_explicit(&row_at(rows, row)->most, memory_order_acquire);
}

void rows_look(const struct rows *rows, uint32_t index, const uint32_t *columns, size_t len, uint32_t *counts)
{
    uintptr_t block = atomic_load(&row_at(rows, index)->block);

    if (block)
        kernels_best()->look(block_lines(block), rows->lines_of[block & CLASS_MASK], columns, len, counts);
    else
        memset(counts, 0, len * sizeof(*counts));
}

uint32_t rows_get(const struct rows *rows, uint32_t index, uint32_t column)
{
    uint32_t count;

    rows_look(rows, index, &column, 1, &count);
    return count;
}

size_t rows_room(const struct rows *rows, uint32_t row)
{
    uintptr_t block = atomic_load(&row_at(rows, row)->block);
    return block ? (size_t)rows->lines_of[block & CLASS_MASK] * LINE_SLOTS : 0;
}

size_t rows_copy_least(const struct rows *rows, uint32_t index, uint32_t least, uint32_t *columns, uint32_t *counts, size_t room)
{
    const struct row *row = row_at(rows, index);
    size_t (*take)(const struct line *, uint32_t, uint32_t, uint32_t *, uint32_t *) = kernels_best()->take;

    for (unsigned tries = 1;; tries++) {
        uint32_t version = atomic_load_explicit(&row->version, memory_order_acquire);
        for (unsigned i = 0; version % 2 && i < OPEN_PAUSES; i++) {
            cpu_pause();
            version = atomic_load_explicit(&row->version, memory_order_acquire);
        }
        if (version % 2 && tries < COPY_TRIES)
            continue;
        uintptr_t block = atomic_load(&row->block);
        uint32_t lines_len = block ? rows->lines_of[block & CLASS_MASK] : 0;
        if ((size_t)lines_len * LINE_SLOTS > room)
            return SIZE_MAX;
        size_t len = take(block_lines(block), lines_len, least, columns, counts);
        if (tries == COPY_TRIES || atomic_load_explicit(&row->version, memory_order_acquire) == version)
            return len;
    }
}

size_t rows_copy(const struct rows *rows, uint32_t index, uint32_t *columns, uint32_t *counts, size_t room)
{
    return rows_copy_least(rows, index, 1, columns, counts, room);
}

uint64_t rows_entries(const struct rows *rows)
{
    return atomic_load_explicit(&rows->entries, memory_order_acquire);
}

size_t rows_bytes(const struct rows *rows)
{
    return fr_array_bytes(&rows->headers) + fr_slab_bytes(rows->slab);
}
