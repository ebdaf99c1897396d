/*
 * embedding.c -- rows, their publication and their cells. The picture is in embedding.h.
 *
 * Cell, little endian:
 *
 *     OFFSET  SIZE
 *          0     8    key, if the table has keys; what follows moves up otherwise
 *          8     4    G, f32
 *         12     4    bias, f32
 *         16     4    bias's G, f32
 *         20     4    last use, s u32
 *         24     4    uses, u32
 *         28   4 d    vector, f32 each
 */
#include "embedding.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "cells are copied as they lie in memory"
#endif

enum { KEY_BYTES = 8, STATE_BYTES = 20 };
_Static_assert(sizeof(struct row_state) == STATE_BYTES, "a row's state is its bytes on disk");
_Static_assert(offsetof(struct shown_chunk, vectors) % VECTOR_ALIGN == 0, "rows begin at cache lines");

/* Of bits not shown, for whole chunks. */
static size_t words_for(uint32_t rows)
{
    return ((size_t)rows + SHOWN_ROWS - 1) / SHOWN_ROWS * (SHOWN_ROWS / 64);
}

static size_t row_bytes(const struct embedding *embedding)
{
    return embedding->d * sizeof(float) + STATE_BYTES + (embedding->keyed ? KEY_BYTES : 0);
}

static size_t chunk_bytes(const struct embedding *embedding, bool coded)
{
    return sizeof(struct shown_chunk) + SHOWN_ROWS * embedding->d * sizeof(float) +
           (coded ? SHOWN_ROWS * (embedding->d + sizeof(float)) : 0);
}

static size_t bytes_of(const struct embedding *embedding, const struct shown_chunk *chunk)
{
    return chunk_bytes(embedding, chunk->codes.code);
}

static bool coded(const struct embedding *embedding)
{
    return embedding->coded_above && embedding->len > embedding->coded_above;
}

static void arrays_grow(struct embedding *embedding, uint32_t rows)
{
    fr_array_grow(&embedding->vectors, rows);
    fr_array_grow(&embedding->states, rows);
    if (embedding->keyed)
        fr_array_grow(&embedding->keys, rows);
    debt_extend(&embedding->debt, rows);
    fr_array_grow(&embedding->unshown, words_for(rows));
}

void embedding_init(struct embedding *embedding, size_t d, uint32_t max, enum journal_table table, bool keyed,
                    struct fr_epoch *epoch)
{
    assert(d && d % VECTOR_WIDTH == 0 && d <= EMBEDDING_DIMENSIONS_MAX);
    *embedding = (struct embedding){.d = d, .max = max, .table = table, .keyed = keyed, .epoch = epoch};
    fr_array_init(&embedding->vectors, d * sizeof(float), max);
    fr_array_init(&embedding->states, sizeof(struct row_state), max);
    fr_array_init(&embedding->keys, sizeof(uint64_t), keyed ? max : 1);
    debt_init(&embedding->debt, max);
    fr_array_init(&embedding->unshown, sizeof(uint64_t), words_for(max));
    embedding->slab = fr_slab_new(VECTOR_ALIGN, FR_SLAB_FINE);
    if (keyed)
        arrays_grow(embedding, max);
}

void embedding_release(struct embedding *embedding)
{
    struct shown *shown = atomic_load(&embedding->shown);

    fr_epoch_reclaim(embedding->epoch);
    assert(embedding->retired == 0); /* no asker may be present any more */
    for (uint32_t c = 0; shown && c < shown->chunks_len; c++)
        fr_slab_give(embedding->slab, (void *)shown->chunks[c], bytes_of(embedding, shown->chunks[c]));
    free(shown);
    fr_slab_free(embedding->slab);
    fr_array_release(&embedding->vectors);
    fr_array_release(&embedding->states);
    fr_array_release(&embedding->keys);
    debt_release(&embedding->debt);
    fr_array_release(&embedding->unshown);
}

static void bytes_count(struct embedding *embedding)
{
    size_t rows = embedding->len * row_bytes(embedding) + debt_bytes(embedding->len) +
                  words_for(embedding->len) * sizeof(uint64_t);
    atomic_store_explicit(&embedding->bytes, rows + fr_slab_bytes(embedding->slab), memory_order_relaxed);
}

void embedding_extend(struct embedding *embedding, uint32_t len)
{
    if (len <= embedding->len)
        return;
    assert(len <= embedding->max);
    arrays_grow(embedding, len);
    embedding->len = len;
    bytes_count(embedding);
}

/* ---- publication ---- */

static void chunk_give(void *context, void *block, size_t size)
{
    struct embedding *embedding = context;

    fr_slab_give(embedding->slab, block, size);
    embedding->retired--;
}

static void list_free(void *context, void *block, size_t size)
{
    struct embedding *embedding = context;

    (void)size;
    free(block);
    embedding->retired--;
}

static void retire(struct embedding *embedding, void (*free_fn)(void *, void *, size_t), const void *block, size_t size)
{
    embedding->retired++;
    fr_epoch_retire(embedding->epoch, free_fn, embedding, (void *)block, size);
}

static const uint64_t *changes_of(const struct embedding *embedding, uint32_t c)
{
    return (const uint64_t *)(const void *)embedding->unshown.base + c * (SHOWN_ROWS / 64);
}

bool embedding_unshown(const struct embedding *embedding, uint32_t c)
{
    uint64_t bits = 0;

    for (size_t word = 0; word < SHOWN_ROWS / 64; word++)
        bits |= changes_of(embedding, c)[word];
    return bits != 0;
}

/* The vectors as bytes: those that have not changed since the `old` chunk are copied from it, if it has any. */
static void chunk_encode(const struct embedding *embedding, uint32_t c, const struct shown_chunk *old, struct shown_chunk *chunk)
{
    const struct code_kernels *kernels = code_kernels_best();
    size_t d = embedding->d;
    bool all = !old || !old->codes.code;

    chunk->codes.code = (uint8_t *)(chunk->vectors + SHOWN_ROWS * d);
    chunk->codes.scale = (float *)(void *)(chunk->codes.code + SHOWN_ROWS * d);
    if (!all)
        memcpy(chunk->codes.code, old->codes.code, SHOWN_ROWS * (d + sizeof(float)));
    for (size_t word = 0; word < SHOWN_ROWS / 64; word++) {
        for (uint64_t bits = all ? UINT64_MAX : changes_of(embedding, c)[word]; bits; bits &= bits - 1) {
            size_t row = word * 64 + (unsigned)__builtin_ctzll(bits);
            codes_put(&chunk->codes, kernels, row, chunk->vectors + row * d, d);
        }
    }
}

/* Rows as they are now; those that do not exist yet are as if nothing had been learned of them. */
static struct shown_chunk *chunk_copy(const struct embedding *embedding, uint32_t c, const struct shown_chunk *old)
{
    struct shown_chunk *chunk = fr_slab_take(embedding->slab, chunk_bytes(embedding, coded(embedding)));
    uint32_t first = c * SHOWN_ROWS, left = embedding->len - first, len = left < SHOWN_ROWS ? left : SHOWN_ROWS;
    size_t d = embedding->d;

    for (uint32_t k = 0; k < SHOWN_ROWS; k++) {
        const struct row_state *state = embedding_state(embedding, first + k);
        bool learned = k < len && state->count;
        chunk->keys[k] = learned && embedding->keyed ? *embedding_key(embedding, first + k) : 0;
        chunk->biases[k] = learned ? state->bias : -INFINITY;
    }
    memcpy(chunk->vectors, embedding_vector(embedding, first), len * d * sizeof(float));
    memset(chunk->vectors + len * d, 0, (SHOWN_ROWS - len) * d * sizeof(float));
    if (embedding->compose)
        embedding->compose(embedding->owner, c, chunk);
    chunk->codes = (struct row_codes){0};
    if (coded(embedding))
        chunk_encode(embedding, c, old, chunk);
    return chunk;
}

void embedding_publish(struct embedding *embedding)
{
    struct shown *old = atomic_load(&embedding->shown);
    uint32_t chunks_len = (embedding->len + SHOWN_ROWS - 1) / SHOWN_ROWS, old_len = old ? old->chunks_len : 0;
    bool changed = false, codeless = old && old_len && coded(embedding) && !old->chunks[0]->codes.code;

    for (uint32_t c = 0; c < chunks_len && !changed; c++)
        changed = embedding_unshown(embedding, c);
    if (old && !changed && old->rows == embedding->len)
        return;
    size_t size = sizeof(struct shown) + chunks_len * sizeof(struct shown_chunk *);
    struct shown *shown = fr_alloc(size);
    shown->rows = embedding->len;
    shown->chunks_len = chunks_len;
    for (uint32_t c = 0; c < chunks_len; c++) {
        bool same = c < old_len && !codeless && !embedding_unshown(embedding, c);
        shown->chunks[c] = same ? old->chunks[c] : chunk_copy(embedding, c, c < old_len ? old->chunks[c] : NULL);
    }
    atomic_store(&embedding->shown, shown);
    for (uint32_t c = 0; c < chunks_len; c++) {
        if (c < old_len && shown->chunks[c] != old->chunks[c])
            retire(embedding, chunk_give, old->chunks[c], bytes_of(embedding, old->chunks[c]));
    }
    memset(embedding->unshown.base, 0, words_for(embedding->len) * sizeof(uint64_t));
    if (old)
        retire(embedding, list_free, old, sizeof(*old) + old_len * sizeof(struct shown_chunk *));
    bytes_count(embedding);
}

/* ---- cells ---- */

void embedding_put(struct embedding *embedding, uint32_t row, struct journal *journal)
{
    char cell[EMBEDDING_CELL_MAX], *at = cell;

    if (embedding->keyed)
        at = (char *)mempcpy(at, embedding_key(embedding, row), KEY_BYTES);
    at = (char *)mempcpy(at, embedding_state(embedding, row), STATE_BYTES);
    at = (char *)mempcpy(at, embedding_vector(embedding, row), embedding->d * sizeof(float));
    journal_put(journal, embedding->table, row, 0, cell, (size_t)(at - cell));
}

void embedding_save(struct embedding *embedding, struct journal *journal)
{
    debt_freeze(&embedding->debt, journal);
}

size_t embedding_pay(struct embedding *embedding, size_t cells)
{
    struct journal *journal = embedding->debt.to;

    for (size_t row; cells && (row = debt_next(&embedding->debt)) != DEBT_NONE; cells--)
        embedding_put(embedding, (uint32_t)row, journal);
    return cells;
}

bool embedding_load(struct embedding *embedding, uint32_t row, struct fr_bytes cell)
{
    const char *at = cell.at;

    if (row >= (embedding->keyed ? embedding->max : embedding->len) || !at || cell.len != row_bytes(embedding))
        return false;
    if (embedding->keyed) {
        memcpy(embedding_key(embedding, row), at, KEY_BYTES);
        at += KEY_BYTES;
    }
    memcpy(embedding_state(embedding, row), at, STATE_BYTES);
    memcpy(embedding_vector(embedding, row), at + STATE_BYTES, embedding->d * sizeof(float));
    return true;
}

bool embedding_load_row(struct embedding *embedding, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells,
                        size_t len)
{
    return len == 1 && columns[0] == 0 && embedding_load(embedding, row, cells[0]);
}

/* ---- guards ---- */

void row_cut(float *row, size_t d, float norm)
{
    float cut = NORM_MOST / sqrtf(norm);
    for (size_t k = 0; k < d; k++)
        row[k] *= cut;
}

float gradient_guard(const struct vector_kernels *kernels, float *gradient, size_t d)
{
    float square = kernels->norm(gradient, d);

    if (square <= NORM_MOST * NORM_MOST)
        return square;
    for (size_t k = 0; k < d; k++)
        gradient[k] *= NORM_MOST / sqrtf(square);
    return NORM_MOST * NORM_MOST;
}
