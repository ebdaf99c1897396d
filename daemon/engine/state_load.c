/*
 * state_load.c -- tables side by side, one forward scan each; segment by segment into rows, rows to the loaders.
 *
 *     lane of pairs      s 4 seg0 chunk0 | s 4 seg0 delta | s 4 seg1 chunk0 | ...    a thread reads and gathers,
 *                        '------- pile of segment 0 ------'  '- pile of 1 ...
 *                                     |                            |
 *                                     v                            v                 another decodes, merges, hands out
 *     lane of histories  s 3 seg0 ... likewise, at the same time
 *
 * A few piles go round between the two threads of a lane, so that reading overlaps with rebuilding, and the lanes
 * overlap with one another: what is loaded side by side shares nothing that it changes. Nobody writes to the store
 * meanwhile, and its iterators are one thread's each.
 *
 * The first lane that fails, in the order of the loaders, says what is wrong; the others then end early.
 */
#include "checkpoint.h"

#include <assert.h>
#include <stdatomic.h>

#include "freshet/format.h"
#include "freshet/life.h"
#include "freshet/queue.h"
#include "pile.h"

enum { PILES = 4, LANES_MAX = 16 };

struct lane {
    struct store *store;
    const struct state_loader *loader;
    struct pile piles[PILES];
    struct fr_queue *empty, *full;
    struct fr_thread *reader, *builder;
    _Atomic bool *failed; /* some lane has */
    /* of the reading thread, until it is joined */
    int read_status;
    struct fr_err read_err;
    /* of the building thread, likewise */
    int status;
    struct fr_err err;
};

/* ---- the reading thread ---- */

/* An empty pile, or NULL if the other side has given up. */
static struct pile *take_pile(struct lane *lane, uint32_t segment)
{
    struct pile *pile = fr_queue_pop(lane->empty, -1);

    if (pile)
        pile_begin(pile, lane->loader->table, segment);
    return pile;
}

/* Gathers the table's values, a pile for each segment; the last one only if the table was read to its end. False if the
 * other side has given up, or with read_status. */
static bool read_values(struct lane *lane, struct store_iter *iter, struct pile **last)
{
    struct pile *pile = NULL;
    struct fr_bytes name, value;
    struct segment_key key;

    while (lane->store->ops->next(iter, &name, &value)) {
        if (!segment_key_read(name, &key)) {
            lane->read_status = fr_fail(&lane->read_err, FR_CORRUPT, "a key of table '%s' cannot be read",
                                        table_name(lane->loader->table));
            return false;
        }
        if (pile && pile->segment != key.segment) {
            if (!fr_queue_push(lane->full, pile, -1))
                return false;
            pile = NULL;
        }
        if (!pile && !(pile = take_pile(lane, key.segment)))
            return false;
        pile_append(pile, &key, value);
    }
    *last = pile;
    return true;
}

static void read_table(void *arg)
{
    struct lane *lane = arg;
    const char prefix[SEGMENT_TABLE_PREFIX] = {'s', (char)lane->loader->table};
    struct store_iter *iter = lane->store->ops->iterate(lane->store, (struct fr_bytes){prefix, sizeof(prefix)});
    struct pile *last = NULL;

    read_values(lane, iter, &last);
    int closed = lane->store->ops->iter_close(iter, lane->read_status ? NULL : &lane->read_err);
    if (!lane->read_status)
        lane->read_status = closed;
    if (!lane->read_status && last)
        fr_queue_push(lane->full, last, -1);
    fr_queue_close(lane->full);
}

/* ---- the building thread ---- */

static bool to_loader(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums,
                      const struct fr_bytes *cells, size_t len)
{
    const struct state_loader *loader = context;

    return sums ? loader->sums(loader->context, row, columns, sums, len)
                : loader->cells(loader->context, row, columns, cells, len);
}

static void build_table(void *arg)
{
    struct lane *lane = arg;
    struct state_loader loader = *lane->loader;
    struct pile *pile;

    while (!lane->status && !atomic_load(lane->failed) && (pile = fr_queue_pop(lane->full, -1))) {
        lane->status = pile_merge(pile, NULL, (struct changes_walk){0, 0}, to_loader, &loader, &lane->err);
        fr_queue_push(lane->empty, pile, -1);
    }
    fr_queue_close(lane->full);
    fr_queue_close(lane->empty);
    fr_thread_join(lane->reader);
    if (!lane->status && lane->read_status) {
        lane->status = lane->read_status;
        lane->err = lane->read_err;
    }
    if (lane->status)
        atomic_store(lane->failed, true);
}

/* ---- the lanes ---- */

static void lane_start(struct lane *lane, struct store *store, const struct state_loader *loader, _Atomic bool *failed)
{
    *lane = (struct lane){.store = store, .loader = loader, .failed = failed};
    lane->empty = fr_queue_new(PILES);
    lane->full = fr_queue_new(PILES);
    for (size_t i = 0; i < PILES; i++)
        fr_queue_push(lane->empty, &lane->piles[i], -1);
    lane->reader = fr_thread_start("load-read", read_table, lane);
    lane->builder = fr_thread_start("load-build", build_table, lane);
}

static void lane_end(struct lane *lane)
{
    fr_thread_join(lane->builder);
    for (size_t i = 0; i < PILES; i++)
        pile_release(&lane->piles[i]);
    fr_queue_free(lane->empty);
    fr_queue_free(lane->full);
}

int state_load(struct store *store, const struct state_loader *loaders, size_t loaders_len, struct fr_err *err)
{
    struct lane lanes[LANES_MAX];
    _Atomic bool failed = false;
    uint64_t journals; /* unreadable, no checkpoint could be written: better said now */
    int status = format_admit(store, err);

    assert(loaders_len <= LANES_MAX);
    if (!status)
        status = format_journals(store, &journals, err);
    if (status)
        return status;
    for (size_t i = 0; i < loaders_len; i++)
        lane_start(&lanes[i], store, &loaders[i], &failed);
    for (size_t i = 0; i < loaders_len; i++) {
        lane_end(&lanes[i]);
        if (!status && lanes[i].status) {
            status = lanes[i].status;
            if (err)
                *err = lanes[i].err;
        }
    }
    return status;
}
