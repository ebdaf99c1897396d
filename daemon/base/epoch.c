/*
 * epoch.c -- deferred freeing (the argument is in epoch.h).
 *
 * Reader slots stand in one block that never moves, a cache line each. Retired blocks wait in a ring in order of
 * retirement, so that reclaiming looks only at the oldest.
 *
 * In terms of C11, for a reader that enters while the writer publishes P, retires @7 and looks at the slots:
 *
 *     reader   present = 7    now ?        load P
 *     writer   P = new        now: 7 -> 8  present ?
 *
 * All four accesses to `present` and `now` are sequentially consistent, so they stand in one order. Either the
 * writer's look comes after the reader's store, and sees it: nothing retired @7 or later is freed. Or it comes before,
 * and then the reader's second load of `now` comes after the step to 8 and reads it: what the writer did before that
 * step, publishing included, happened before what the reader does next. No fence is needed, nor any particular order
 * on P itself; an acquire load is enough.
 */
#include "freshet/epoch.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base_private.h"
#include "freshet/alloc.h"

enum { READERS_MAX = 256 };

struct fr_epoch_reader {
    alignas(64) _Atomic uint64_t present; /* epoch seen on entering; 0: outside */
    _Atomic bool joined;
    struct fr_epoch *epoch;
};

struct retired {
    void (*free_fn)(void *context, void *block, size_t size);
    void *context, *block;
    size_t size;
    uint64_t at;
};

struct fr_epoch {
    struct fr_epoch_reader readers[READERS_MAX];
    _Atomic uint32_t readers_len; /* slots ever joined */
    _Atomic uint64_t now;
    /* the writer's */
    struct retired *ring;
    size_t first, len, cap;
    _Atomic size_t waiting;
};

struct fr_epoch *fr_epoch_new(void)
{
    struct fr_epoch *epoch = aligned_alloc(64, (sizeof(*epoch) + 63) / 64 * 64);

    if (!epoch)
        base_out_of_memory("an epoch", sizeof(*epoch));
    *epoch = (struct fr_epoch){0};
    for (int i = 0; i < READERS_MAX; i++)
        epoch->readers[i].epoch = epoch;
    atomic_store(&epoch->now, 1);
    return epoch;
}

static void free_oldest(struct fr_epoch *epoch)
{
    struct retired oldest = epoch->ring[epoch->first]; /* out of the ring first: freeing it may retire more */

    epoch->first = (epoch->first + 1) % epoch->cap;
    epoch->len--;
    oldest.free_fn(oldest.context, oldest.block, oldest.size);
    atomic_fetch_sub_explicit(&epoch->waiting, oldest.size, memory_order_relaxed);
}

void fr_epoch_free(struct fr_epoch *epoch)
{
    if (!epoch)
        return;
    for (uint32_t i = 0; i < atomic_load(&epoch->readers_len); i++)
        assert(atomic_load(&epoch->readers[i].present) == 0);
    while (epoch->len)
        free_oldest(epoch);
    free(epoch->ring);
    free(epoch);
}

struct fr_epoch_reader *fr_epoch_join(struct fr_epoch *epoch)
{
    for (uint32_t i = 0; i < READERS_MAX; i++) {
        bool taken = false;
        if (!atomic_compare_exchange_strong(&epoch->readers[i].joined, &taken, true))
            continue;
        uint32_t len = atomic_load(&epoch->readers_len);
        while (len <= i && !atomic_compare_exchange_weak(&epoch->readers_len, &len, i + 1))
            ;
        return &epoch->readers[i];
    }
    assert(!"more than 256 readers");
    return NULL;
}

void fr_epoch_part(struct fr_epoch_reader *reader)
{
    assert(atomic_load(&reader->present) == 0);
    atomic_store(&reader->joined, false);
}

void fr_epoch_enter(struct fr_epoch_reader *reader)
{
    assert(atomic_load_explicit(&reader->present, memory_order_relaxed) == 0);
    atomic_store(&reader->present, atomic_load(&reader->epoch->now));
    (void)atomic_load(&reader->epoch->now); /* not for its value: see the top */
}

void fr_epoch_leave(struct fr_epoch_reader *reader)
{
    atomic_store_explicit(&reader->present, 0, memory_order_release);
}

void fr_epoch_retire(struct fr_epoch *epoch, void (*free_fn)(void *context, void *block, size_t size), void *context,
                     void *block, size_t size)
{
    if (epoch->len == epoch->cap) {
        size_t cap = epoch->cap ? epoch->cap * 2 : 64;
        struct retired *ring = fr_alloc(cap * sizeof(*ring));
        for (size_t i = 0; i < epoch->len; i++)
            ring[i] = epoch->ring[(epoch->first + i) % epoch->cap];
        free(epoch->ring);
        epoch->ring = ring;
        epoch->first = 0;
        epoch->cap = cap;
    }
    /* The new pointer is published already: who enters from now on sees a later epoch, and it. */
    uint64_t at = atomic_fetch_add(&epoch->now, 1);
    epoch->ring[(epoch->first + epoch->len++) % epoch->cap] = (struct retired){free_fn, context, block, size, at};
    atomic_fetch_add_explicit(&epoch->waiting, size, memory_order_relaxed);
}

void fr_epoch_reclaim(struct fr_epoch *epoch)
{
    uint64_t oldest_present = UINT64_MAX;

    if (!epoch->len)
        return;
    uint32_t len = atomic_load(&epoch->readers_len);
    for (uint32_t i = 0; i < len; i++) {
        uint64_t present = atomic_load(&epoch->readers[i].present);
        if (present && present < oldest_present)
            oldest_present = present;
    }
    while (epoch->len && epoch->ring[epoch->first].at < oldest_present)
        free_oldest(epoch);
}

size_t fr_epoch_waiting(const struct fr_epoch *epoch)
{
    return atomic_load_explicit(&epoch->waiting, memory_order_relaxed);
}
