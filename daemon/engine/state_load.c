/*
 * state_load.c -- tables side by side, one forward scan each; segment by segment into rows, rows to the loaders.
 *
 *     lane of pairs      s 4 seg0 chunk0 | s 4 seg0 delta | s 4 seg1 chunk0 | ...    a reader gathers
 *                        '------- pile of segment 0 ------'  '- pile of 1 ...
 *                                     |                            |
 *                                     v                            v                 builders decode, merge, hand out
 *     lane of histories  s 3 seg0 ... likewise, at the same time
 *
 * A few piles go round between the threads of a lane, so that reading overlaps with rebuilding, and the lanes
 * overlap with one another: what is loaded side by side shares nothing that it changes. Nobody writes to the store
 * meanwhile, and its iterators are one thread's each.
 *
 * The first lane that fails, in the order of the loaders, says what is wrong; the others then end early.
 */
#include "checkpoint.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "freshet/alloc.h"
#include "freshet/format.h"
#include "freshet/life.h"
#include "freshet/queue.h"
#include "pile.h"

enum { PILES_EACH = 3, BUILDERS_MAX = 8, LANES_MAX = 24 };

struct lane;

struct builder {
    struct lane *lane;
    struct fr_thread *thread;
    /* of the thread, until it is joined */
    int status;
    struct fr_err err;
};

struct lane {
    struct store *store;
    const struct state_loader *loader;
    struct pile piles[PILES_EACH * BUILDERS_MAX];
    struct fr_queue *empty, *full;
    struct builder builders[BUILDERS_MAX];
    size_t builders_len;
    _Atomic bool *failed; /* some lane has */
    struct fr_thread *reader;
    /* of the reader, until it is joined */
    int read_status;
    struct fr_err read_err;
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
    if (lane->read_status)
        atomic_store(lane->failed, true);
    fr_queue_close(lane->full);
}

/* ---- the building threads ---- */

static bool to_loader(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums,
                      const struct fr_bytes *cells, size_t len)
{
    const struct state_loader *loader = context;

    return sums ? loader->sums(loader->context, row, columns, sums, len)
                : loader->cells(loader->context, row, columns, cells, len);
}

static void build_rows(void *arg)
{
    struct builder *builder = arg;
    struct lane *lane = builder->lane;
    struct state_loader loader = *lane->loader;
    struct pile *pile;

    while (!atomic_load(lane->failed) && (pile = fr_queue_pop(lane->full, -1))) {
        builder->status = pile_merge(pile, NULL, (struct changes_walk){0, 0}, to_loader, &loader, &builder->err);
        if (builder->status)
            atomic_store(lane->failed, true);
        fr_queue_push(lane->empty, pile, -1);
    }
    if (atomic_load(lane->failed)) { /* nobody waits for a builder that has given up */
        fr_queue_close(lane->full);
        fr_queue_close(lane->empty);
    }
}

/* ---- the lanes ---- */

static size_t builders_of(const struct state_loader *loader)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (!loader->side_by_side || cores < 1)
        return 1;
    return cores < BUILDERS_MAX ? (size_t)cores : BUILDERS_MAX;
}

static void lane_start(struct lane *lane, struct store *store, const struct state_loader *loader, _Atomic bool *failed)
{
    *lane = (struct lane){.store = store, .loader = loader, .failed = failed, .builders_len = builders_of(loader)};
    size_t piles = PILES_EACH * lane->builders_len;
    lane->empty = fr_queue_new(piles);
    lane->full = fr_queue_new(piles);
    for (size_t i = 0; i < piles; i++)
        fr_queue_push(lane->empty, &lane->piles[i], -1);
    lane->reader = fr_thread_start("load-read", read_table, lane);
    for (size_t i = 0; i < lane->builders_len; i++) {
        lane->builders[i].lane = lane;
        lane->builders[i].thread = fr_thread_start("load-build", build_rows, &lane->builders[i]);
    }
}

static int lane_end(struct lane *lane, struct fr_err *err)
{
    int status = FR_OK;

    for (size_t i = 0; i < lane->builders_len; i++)
        fr_thread_join(lane->builders[i].thread);
    fr_thread_join(lane->reader);
    for (size_t i = 0; i < lane->builders_len && !status; i++) {
        status = lane->builders[i].status;
        *err = lane->builders[i].err;
    }
    if (!status) {
        status = lane->read_status;
        *err = lane->read_err;
    }
    for (size_t i = 0; i < PILES_EACH * lane->builders_len; i++)
        pile_release(&lane->piles[i]);
    fr_queue_free(lane->empty);
    fr_queue_free(lane->full);
    return status;
}

int state_load(struct store *store, const struct state_loader *loaders, size_t loaders_len, struct fr_err *err)
{
    struct lane *lanes;
    _Atomic bool failed = false;
    struct fr_err lane_err;
    uint64_t journals; /* unreadable, no checkpoint could be written: better said now */
    int status = format_admit(store, err);

    assert(loaders_len <= LANES_MAX);
    if (!status)
        status = format_journals(store, &journals, err);
    if (status)
        return status;
    lanes = fr_zalloc(loaders_len, sizeof(*lanes));
    for (size_t i = 0; i < loaders_len; i++)
        lane_start(&lanes[i], store, &loaders[i], &failed);
    for (size_t i = 0; i < loaders_len; i++) {
        int lane_status = lane_end(&lanes[i], &lane_err);
        if (!status && lane_status) {
            status = lane_status;
            if (err)
                *err = lane_err;
        }
    }
    free(lanes);
    return status;
}
