/*
 * state_load.c -- one forward scan per table; segment by segment into rows, rows to the loaders.
 *
 *     s 4 seg0 chunk0 | s 4 seg0 delta | s 4 seg1 chunk0 | ...          a thread of its own reads and gathers,
 *     '------- pile of segment 0 ------'  '- pile of 1 ...
 *                  |                            |
 *                  v                            v                       the caller decodes, merges and hands out rows
 *
 * A few piles go round between the two, so that reading overlaps with rebuilding. The store is used by the reading
 * thread alone, from its start to its end, and the caller's own use lies before and after.
 */
#include "checkpoint.h"

#include "freshet/format.h"
#include "freshet/life.h"
#include "freshet/queue.h"
#include "pile.h"

enum { PILES = 4 };

struct load_pile {
    struct pile pile;
    const struct state_loader *loader;
};

struct loading {
    struct store *store;
    const struct state_loader *loaders;
    size_t loaders_len;
    struct load_pile piles[PILES];
    struct fr_queue *empty, *full;
    /* of the reading thread, until it is joined */
    int status;
    struct fr_err err;
};

/* ---- the reading thread ---- */

/* An empty pile, or NULL if the other side has given up. */
static struct load_pile *take_pile(struct loading *loading, const struct state_loader *loader, uint32_t segment)
{
    struct load_pile *pile = fr_queue_pop(loading->empty, -1);

    if (pile) {
        pile->loader = loader;
        pile_begin(&pile->pile, loader->table, segment);
    }
    return pile;
}

/* False if the other side has given up, or with loading->status. */
static bool read_table(struct loading *loading, const struct state_loader *loader)
{
    const char prefix[SEGMENT_TABLE_PREFIX] = {'s', (char)loader->table};
    const struct store_ops *ops = loading->store->ops;
    struct store_iter *iter = ops->iterate(loading->store, (struct fr_bytes){prefix, sizeof(prefix)});
    struct load_pile *pile = NULL;
    struct fr_bytes name, value;
    struct segment_key key;
    bool wanted = true;

    while (wanted && !loading->status && ops->next(iter, &name, &value)) {
        if (!segment_key_read(name, &key)) {
            loading->status =
                fr_fail(&loading->err, FR_CORRUPT, "a key of table '%s' cannot be read", table_name(loader->table));
            break;
        }
        if (pile && pile->pile.segment != key.segment) {
            wanted = fr_queue_push(loading->full, pile, -1);
            pile = NULL;
        }
        if (!pile)
            pile = wanted ? take_pile(loading, loader, key.segment) : NULL;
        wanted = pile != NULL;
        if (pile)
            pile_append(&pile->pile, &key, value);
    }
    int closed = ops->iter_close(iter, loading->status ? NULL : &loading->err);
    if (!loading->status)
        loading->status = closed;
    if (loading->status || !wanted) /* the last pile may be half read */
        return false;
    return !pile || fr_queue_push(loading->full, pile, -1);
}

static void read_tables(void *arg)
{
    struct loading *loading = arg;

    for (size_t i = 0; i < loading->loaders_len; i++)
        if (!read_table(loading, &loading->loaders[i]))
            break;
    fr_queue_close(loading->full);
}

/* ---- the caller ---- */

static bool to_loader(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums,
                      const struct fr_bytes *cells, size_t len)
{
    const struct load_pile *pile = context;
    const struct state_loader *loader = pile->loader;

    return sums ? loader->sums(loader->context, row, columns, sums, len)
                : loader->cells(loader->context, row, columns, cells, len);
}

static int load_tables(struct loading *loading, struct fr_err *err)
{
    struct fr_thread *reader = fr_thread_start("load", read_tables, loading);
    struct load_pile *pile;
    int status = FR_OK;

    while (!status && (pile = fr_queue_pop(loading->full, -1))) {
        status = pile_merge(&pile->pile, NULL, (struct changes_walk){0, 0}, to_loader, pile, err);
        fr_queue_push(loading->empty, pile, -1);
    }
    fr_queue_close(loading->full);
    fr_queue_close(loading->empty);
    fr_thread_join(reader);
    if (!status && loading->status) {
        status = loading->status;
        if (err)
            *err = loading->err;
    }
    return status;
}

int state_load(struct store *store, const struct state_loader *loaders, size_t loaders_len, struct fr_err *err)
{
    struct loading loading = {.store = store, .loaders = loaders, .loaders_len = loaders_len};
    uint64_t journals; /* unreadable, no checkpoint could be written: better said now */
    int status = format_admit(store, err);

    if (!status)
        status = format_journals(store, &journals, err);
    if (status)
        return status;
    loading.empty = fr_queue_new(PILES);
    loading.full = fr_queue_new(PILES);
    for (size_t i = 0; i < PILES; i++)
        fr_queue_push(loading.empty, &loading.piles[i], -1);
    status = load_tables(&loading, err);
    for (size_t i = 0; i < PILES; i++)
        pile_release(&loading.piles[i].pile);
    fr_queue_free(loading.empty);
    fr_queue_free(loading.full);
    return status;
}
