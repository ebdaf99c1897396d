/*
 * tail.c -- see tail.h.
 *
 * Batches are kept in a ring of slots that are used again; the room is the slot behind the last.
 */
#include "tail.h"

#include <assert.h>
#include <stdlib.h>

#include "freshet/alloc.h"
#include "freshet/crash.h"
#include "freshet/defect.h"
#include "freshet/format.h"
#include "freshet/metric.h"

enum { LONG_BATCHES = 16, SLOTS = LONG_BATCHES + 8, LONG_BYTES = 64 << 20 };

struct slot {
    struct store_batch *batch;
    uint64_t stored, number;
    size_t bytes;
};

struct tail {
    struct store *store;
    struct slot slots[SLOTS];
    size_t first, len, written; /* of len, the first `written` are in the store as it is open now */
    size_t bytes;
    bool suspect, broken;
    bool begun;             /* `base` is known */
    uint64_t base, durable; /* the newest durable batch: number in the store, number of the freeze */
};

static struct slot *slot_at(struct tail *tail, size_t i)
{
    return &tail->slots[(tail->first + i) % SLOTS];
}

struct tail *tail_new(struct store *store)
{
    struct tail *tail = fr_zalloc(1, sizeof(*tail));

    tail->store = store;
    for (size_t i = 0; i < SLOTS; i++)
        tail->slots[i].batch = store->ops->batch_new(store);
    return tail;
}

void tail_free(struct tail *tail)
{
    for (size_t i = 0; i < SLOTS; i++)
        tail->store->ops->batch_free(tail->slots[i].batch);
    free(tail);
}

struct store_batch *tail_room(struct tail *tail)
{
    assert(tail->len < SLOTS);
    return slot_at(tail, tail->len)->batch;
}

void tail_append(struct tail *tail, uint64_t stored, uint64_t number)
{
    struct slot *slot = slot_at(tail, tail->len);

    if (!tail->begun)
        tail->base = stored - 1;
    tail->begun = true;
    assert(stored == tail->base + tail->len + 1 && number > tail->durable);
    slot->stored = stored;
    slot->number = number;
    slot->bytes = tail->store->ops->batch_bytes(slot->batch);
    tail->bytes += slot->bytes;
    tail->len++;
}

/* The first `count` are durable. */
static void let_go(struct tail *tail, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = slot_at(tail, 0);
        tail->base = slot->stored;
        tail->durable = slot->number;
        tail->bytes -= slot->bytes;
        tail->store->ops->batch_clear(slot->batch);
        tail->first = (tail->first + 1) % SLOTS;
        tail->len--;
    }
    tail->written -= count < tail->written ? count : tail->written;
}

static int reopen(struct tail *tail, struct fr_err *err)
{
    uint64_t found;
    int status = tail->store->ops->reopen(tail->store, err);

    if (!status)
        status = format_journals(tail->store, &found, err);
    if (!status && tail->begun && (found < tail->base || found > tail->base + tail->len))
        status = fr_fail(err, FR_CORRUPT,
                         "after an error the store has come back with %llu journals; %llu were synced and %llu written",
                         (unsigned long long)found, (unsigned long long)tail->base,
                         (unsigned long long)(tail->base + tail->len));
    tail->broken = tail->broken || status == FR_CORRUPT;
    if (status)
        return status;
    fr_count(FR_SERIES(FR_M_STORE_REOPENED), 1);
    tail->suspect = false;
    tail->written = 0;
    if (tail->begun)
        let_go(tail, (size_t)(found - tail->base));
    return FR_OK;
}

int tail_write(struct tail *tail, struct fr_err *err)
{
    uint64_t errors = 0;

    /* An error in the background: RocksDB may go on by itself, but not in our order (storage/rocks.c). */
    if (tail->store->ops->number(tail->store, "background_errors", &errors) && errors)
        tail->suspect = true;
    int status = tail->suspect ? reopen(tail, err) : FR_OK;

    while (!status && tail->written < tail->len) {
        status = tail->store->ops->write(tail->store, slot_at(tail, tail->written)->batch, err);
        if (fr_defect(DEFECT_SKIP_ON_ERROR))
            status = FR_OK;
        if (status)
            tail->suspect = true;
        else
            tail->written++;
    }
    return status;
}

int tail_sync(struct tail *tail, struct fr_err *err)
{
    const struct store_ops *ops = tail->store->ops;
    int status = tail_write(tail, err);

    if (!status && tail->len)
        status = ops->sync(tail->store, err);
    fr_crash_point("sync.unmarked");
    if (!status && tail->begun)
        status = ops->mark(tail->store, tail->base + tail->len, err);
    if (status)
        tail->suspect = true;
    else
        let_go(tail, tail->len);
    return status;
}

void tail_distrust(struct tail *tail)
{
    tail->suspect = true;
}

bool tail_broken(const struct tail *tail)
{
    return tail->broken;
}

bool tail_suspect(const struct tail *tail)
{
    return tail->suspect;
}

bool tail_long(const struct tail *tail)
{
    return tail->len >= LONG_BATCHES || tail->bytes > LONG_BYTES;
}

uint64_t tail_durable(const struct tail *tail)
{
    return tail->durable;
}
