/*
 * histories_private.h -- the inside of histories, shared by histories.c (changing and reading) and histories_disk.c.
 */
#ifndef FR_HISTORIES_PRIVATE_H
#define FR_HISTORIES_PRIVATE_H

#include <assert.h>
#include <stdatomic.h>

#include "freshet/alloc.h"
#include "histories.h"

/*
 * One user. Only the writer changes it, and always between a version that is odd and the next even one. Thirty-two
 * bits of version are enough: a reader would have to sleep through 2^31 changes of one user, and wake up on the exact
 * one.
 */
struct head {
    void *_Atomic block; /* NULL: no slots */
    _Atomic uint32_t version;
    _Atomic uint32_t len, cap;
    _Atomic uint32_t next_sequence;
    _Atomic uint64_t events;
    _Atomic int64_t last;
};
_Static_assert(sizeof(struct head) <= 64, "a user costs at most 64 bytes beyond the slots");

struct histories {
    /* fixed at birth */
    struct histories_options options;
    struct fr_epoch *epoch;
    struct fr_slab *slab;
    struct fr_array heads; /* struct head by user; never moves */

    /* the writer's to change, any thread's to read */
    _Atomic uint32_t users;
    char apart[64]; /* what changes at every slot stays out of the cache line every reader needs */
    _Atomic uint64_t slots;
};

/* The runs of a block of `cap` slots: the widest first, so that any `cap` leaves all of them aligned. */
struct runs {
    _Atomic uint64_t *stamp;
    _Atomic double *affinity, *unit; /* unit: NULL unless kept */
    _Atomic uint32_t *item;
    _Atomic uint16_t *step;
};

/* What a slot says of the way to the next (histories.h). */
static inline uint16_t step_of(uint32_t apart)
{
    return (uint16_t)(apart <= HISTORY_STEP_MAX ? apart : HISTORY_STEP_FAR);
}

static inline size_t slot_size(bool units)
{
    return units ? 30 : 22;
}

static inline struct runs runs_of(void *block, uint32_t cap, bool units)
{
    char *at = block;
    struct runs runs = {0};

    if (!block)
        return runs;
    runs.stamp = (_Atomic uint64_t *)at;
    runs.affinity = (_Atomic double *)(at += (size_t)cap * 8);
    if (units)
        runs.unit = (_Atomic double *)(at += (size_t)cap * 8);
    runs.item = (_Atomic uint32_t *)(at += (size_t)cap * 8);
    runs.step = (_Atomic uint16_t *)(at + (size_t)cap * 4);
    return runs;
}

/*
 * The writer's own loads are relaxed, its stores release: each store is then ordered after the odd version, and a
 * reader that sees the new word with acquire will also see that the version has moved.
 */
#define OWN(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define PUT(word, value) atomic_store_explicit(&(word), (value), memory_order_release)
#define SEE(word) atomic_load_explicit(&(word), memory_order_acquire)

static inline struct head *head_of(const struct histories *histories, uint32_t user)
{
    assert(user < OWN(histories->users));
    return fr_array_at(&histories->heads, user);
}

static inline struct runs head_runs(const struct histories *histories, const struct head *head)
{
    return runs_of(OWN(head->block), OWN(head->cap), histories->options.units);
}

static inline void head_begin(struct head *head)
{
    PUT(head->version, OWN(head->version) + 1);
}

static inline void head_end(struct head *head)
{
    PUT(head->version, OWN(head->version) + 1);
}

/* Gives the head, which is between begin and end, a block for `want` slots or more; the slots it has move along. */
void head_grow(struct histories *histories, struct head *head, uint32_t want);

#endif
