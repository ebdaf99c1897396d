/*
 * embedding.h -- a table of rows that learn: a vector of d floats each, and what the optimiser keeps of it.
 *
 *     engine's      vectors  | v0 v0 v0 .. | v1 v1 v1 .. | ..        states  | s0 | s1 | ..      keys (if any)  | k0 | ..
 *                   unsaved, owed (debt.h), unshown: a bit for each row
 *
 *     askers'       shown -> | rows | chunk | chunk | ..            256 rows each: keys, biases, vectors
 *
 * The engine's thread changes rows in place and marks them. Askers never look there: they read chunks that do not change.
 * Publishing copies the chunks in which something has changed since the last time, puts them into a new list beside
 * the old ones that are still right, and shows the list with one store; what it replaces goes to the epoch. So all rows of one
 * list are of the same moment, and what is shown lags by what has changed since the last publication, no more. In a large table
 * of items (coded_above) chunks also hold their vectors as bytes (codes.h). When a table becomes large, all its chunks are made anew, once.
 *
 * The step of a row is row-wise leaky AdaGrad (algorithms.md 3.4): one accumulator G for the whole vector.
 *
 *     G <- rho G + |g|^2 / d         v <- v - eta / sqrt(G) g        G0 = g0; the bias the same, of one number
 *
 * Where rho is small and gradients are 0, G ends at 0: it counts as FLT_MIN then, so that a step of 0 stays one.
 *
 * On disk: a cell for each row, exact bits, so what is loaded is what was saved. A freeze copies none: rows that have changed are
 * owed to its journal (debt.h), and copied in pieces, each at the latest before it changes again.
 */
#ifndef FR_EMBEDDING_H
#define FR_EMBEDDING_H

#include <float.h>
#include <math.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codes.h"
#include "debt.h"
#include "freshet/alloc.h"
#include "freshet/bytes.h"
#include "freshet/clock.h"
#include "freshet/epoch.h"
#include "freshet/journal.h"
#include "kernels_vector.h"

enum { EMBEDDING_DIMENSIONS_MAX = 256, SHOWN_ROWS = 256, EMBEDDING_CELL_MAX = 28 + 4 * EMBEDDING_DIMENSIONS_MAX };

/* An event's time as rows note it: seconds, up to the year 2106; what is later counts as that. */
static inline uint32_t row_seconds(when_ms when)
{
    return when <= 0 ? 0 : when / 1000 < UINT32_MAX ? (uint32_t)(when / 1000) : UINT32_MAX;
}

/* 20 bytes. `count` 0: nothing has been learned of the row; it is a row of zeros. */
struct row_state {
    float scale; /* G */
    float bias, bias_scale;
    uint32_t last;  /* last use in event time, s */
    uint32_t count; /* uses; sticks at the top */
};

struct shown_chunk {
    uint64_t keys[SHOWN_ROWS];
    float biases[SHOWN_ROWS]; /* -INFINITY: count is 0 */
    struct row_codes codes;   /* of the vectors, behind them; NULL in a small table */
    alignas(VECTOR_ALIGN) float vectors[]; /* [SHOWN_ROWS][d] */
};
struct shown {
    uint32_t rows, chunks_len;
    const struct shown_chunk *chunks[];
};

struct embedding {
    size_t d;
    uint32_t len, max; /* rows */
    enum journal_table table;
    bool keyed;
    uint32_t coded_above; /* a table of more rows shows codes beside its vectors; 0: never. The owner's to set */
    /* Makes of a chunk's rows, numbered from c * SHOWN_ROWS on, what is shown of them. NULL: they are shown as they are. The owner's to set */
    void (*compose)(void *owner, uint32_t c, struct shown_chunk *chunk);
    void *owner;
    struct fr_array vectors, states, keys, unshown;
    struct debt debt; /* rows */
    struct fr_epoch *epoch;
    struct fr_slab *slab; /* chunks */
    size_t retired;       /* chunks that wait for the epoch */
    _Atomic(struct shown *) shown;
    _Atomic size_t bytes; /* of rows in use and chunks. Thread: any */
};

/* d a multiple of VECTOR_WIDTH. With `keyed` each row has a key, and memory for all `max` rows may be touched from now on. */
void embedding_init(struct embedding *embedding, size_t d, uint32_t max, enum journal_table table, bool keyed,
                    struct fr_epoch *epoch);
void embedding_release(struct embedding *embedding); /* no asker may be present */
/* Rows [0, len) exist from now on; new ones are zero. Thread: engine, this and what follows. */
void embedding_extend(struct embedding *embedding, uint32_t len);

static inline float *embedding_vector(const struct embedding *embedding, uint32_t row)
{
    return (float *)(void *)embedding->vectors.base + row * embedding->d;
}
static inline struct row_state *embedding_state(const struct embedding *embedding, uint32_t row)
{
    return (struct row_state *)(void *)embedding->states.base + row;
}
static inline uint64_t *embedding_key(const struct embedding *embedding, uint32_t row)
{
    return (uint64_t *)(void *)embedding->keys.base + row;
}
/* Puts the row's cell, column 0, as it is now. */
void embedding_put(struct embedding *embedding, uint32_t row, struct journal *journal);
/* The row is shown anew by the next publication, though it is what it was. */
static inline void embedding_show(struct embedding *embedding, uint32_t row)
{
    ((uint64_t *)(void *)embedding->unshown.base)[row / 64] |= UINT64_C(1) << row % 64;
}
bool embedding_unshown(const struct embedding *embedding, uint32_t c); /* is there such a row in the chunk? */
/* Before every change of a row, of its state or of its key. (A row of count 0 without key is nothing that could be owed.) */
static inline void embedding_change(struct embedding *embedding, uint32_t row)
{
    if (debt_change(&embedding->debt, row))
        embedding_put(embedding, row, embedding->debt.to);
    embedding_show(embedding, row);
}
/* A use of the row; its first one makes G what it begins with. */
static inline void embedding_use(struct embedding *embedding, uint32_t row, uint32_t when, float g0)
{
    struct row_state *state = embedding_state(embedding, row);

    if (!state->count)
        state->scale = g0;
    state->count += state->count < UINT32_MAX;
    state->last = when > state->last ? when : state->last;
}
static inline void embedding_prefetch(const struct embedding *embedding, uint32_t row)
{
    const char *vector = (const char *)embedding_vector(embedding, row);

    __builtin_prefetch(embedding_state(embedding, row), 1);
    for (size_t at = 0; at < embedding->d * sizeof(float); at += 64)
        __builtin_prefetch(vector + at, 1);
}

void embedding_publish(struct embedding *embedding);
/* Every row that has changed since the last time is owed to the journal from now on, as it is now. Nothing may be owed any more. */
void embedding_save(struct embedding *embedding, struct journal *journal);
/* Puts up to `cells` rows that are owed. Returns how many it could have put beyond those there were: above 0, nothing is owed. */
size_t embedding_pay(struct embedding *embedding, size_t cells);
/* A cell of embedding_save. False if it cannot be one. Before anybody learns; row < what was extended to, or max if keyed.
 * Thread: any, several at a time for different rows. */
bool embedding_load(struct embedding *embedding, uint32_t row, struct fr_bytes cell);
/* The same, of a whole row as model_table.load gets it. */
bool embedding_load_row(struct embedding *embedding, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells,
                        size_t len);

/* ---- askers, inside an epoch ---- */

static inline const struct shown *embedding_shown(const struct embedding *embedding)
{
    return atomic_load(&embedding->shown);
}
/* NULL: not shown yet. */
static inline const float *shown_vector(const struct shown *shown, size_t d, uint32_t row)
{
    return row < shown->rows ? shown->chunks[row / SHOWN_ROWS]->vectors + row % SHOWN_ROWS * d : NULL;
}

/* ---- the optimiser ---- */

struct adagrad {
    float eta, rho, g0;
};
/* G after a gradient of mean square `square`. */
static inline float adagrad_scale(const struct adagrad *adagrad, float scale, float square)
{
    return adagrad->rho * scale + square;
}
static inline float adagrad_rate(const struct adagrad *adagrad, float scale)
{
    return adagrad->eta / sqrtf(scale < FLT_MIN ? FLT_MIN : scale);
}
/* No vector becomes longer than NORM_MOST (algorithms.md 3.4). Of a row, whose squared norm is `norm`: was it cut back? */
#define NORM_MOST 10.0f
void row_cut(float *row, size_t d, float norm);
static inline bool row_guard(float *row, size_t d, float norm)
{
    if (norm <= NORM_MOST * NORM_MOST)
        return false;
    row_cut(row, d, norm);
    return true;
}
/* Of a user's gradient: returns its squared norm, as cut back. */
float gradient_guard(const struct vector_kernels *kernels, float *gradient, size_t d);
static inline void adagrad_number(const struct adagrad *adagrad, float *number, float *scale, float gradient)
{
    *scale = adagrad_scale(adagrad, *scale, gradient * gradient);
    *number -= adagrad_rate(adagrad, *scale) * gradient;
}

#endif
