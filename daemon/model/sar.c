/*
 * sar.c -- SAR, item-to-item recommendation, one event at a time.
 *
 *     score(u, j) = sum over i in history(u) of  affinity(u, i) * recency^age(i) * similarity(i, j)
 *
 * The state is one sparse matrix of integers,
 *
 *     C[i][j] = users whose history holds i and j with |sequence(i) - sequence(j)| <= window        (window 0: any)
 *
 * and nothing else: the diagonal n_i and the affinities belong to the engine, similarities are computed from today's
 * counts when somebody asks (similarity.h), so nothing can be stale. The invariant above holds after every
 * event; learning an item adds its pairs, forgetting one takes exactly these away, since two items of a history are
 * as far apart when one leaves as when the later one came. Both commute, whatever the order of users (sar_learn.c).
 *
 * Two settings of one implementation. Parity is Microsoft's SAR to the last count (Recommenders, sar_singlenode.py):
 * whole histories, all pairs, and an item is similar to itself. Product has a pair window, the newest items by recency
 * and bounded rows, which recommends better and costs a twentieth.
 *
 * Bounded rows: a row that grows past 1.5 * neighbours_max entries is cut to the neighbours_max largest. Afterwards
 * row i may hold j while row j has lost i; counts then are lower bounds, and `pruned` says how often it happened.
 *
 * Sources: algorithms of recommenders-team/recommenders (SAR); Huang et al., TencentRec (SIGMOD 2015), for updating
 * item-to-item counts by event.
 *
 * Threads: learning is the engine's; asking is anybody's, inside an epoch.
 */
#include <assert.h>
#include <stdlib.h>

#include "sar_parts.h"

static struct model *sar_open(const void *options, const struct model_host *host)
{
    struct model *model = fr_zalloc(1, sizeof(*model));

    model->options = *(const struct sar_options *)options;
    assert(model->options.window <= HISTORY_WINDOW_MAX);
    model->host = *host;
    model->rows = rows_new(host->items_max, host->epoch);
    return model;
}

static void sar_close(struct model *model)
{
    if (!model)
        return;
    rows_free(model->rows);
    free(model->columns);
    free(model->changes);
    free(model);
}

static void sar_extend(struct model *model, uint32_t items)
{
    rows_extend(model->rows, items);
    model->items = items > model->items ? items : model->items;
}

/* A sum of 0 is a pair that was taken back; it may still have a cell in the store. */
static bool sar_load(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                     const struct fr_bytes *cells, size_t len)
{
    (void)cells;
    int64_t all = 0;
    uint64_t next = 0;
    bool good = row < model->items && (!len || columns[len - 1] < model->items);

    for (size_t k = 0; k < len; k++) { /* no branch: all is looked at together */
        all |= sums[k];
        good &= (columns[k] != row) & (columns[k] >= next);
        next = (uint64_t)columns[k] + 1;
    }
    if (!good || all < 0 || all > UINT32_MAX)
        return false;
    rows_load(model->rows, row, columns, sums, len);
    return true;
}

static void sar_stats(const struct model *model, struct model_stats *ret_stats)
{
    *ret_stats = (struct model_stats){
        .events = atomic_load_explicit(&model->events, memory_order_acquire),
        .pairs = rows_entries(model->rows),
        .pruned = atomic_load_explicit(&model->pruned, memory_order_acquire),
        .bytes = rows_bytes(model->rows),
    };
}

static const struct model_table tables[] = {{TABLE_PAIRS, sar_load}};

const struct model_ops sar_ops = {
    .name = "sar",
    .tables = tables,
    .tables_len = sizeof(tables) / sizeof(*tables),
    .open = sar_open,
    .close = sar_close,
    .extend = sar_extend,
    .prepare = sar_prepare,
    .learn = sar_learn,
    .forget = sar_forget,
    .retrieve = sar_retrieve,
    .explain = sar_explain,
    .neighbours = sar_neighbours,
    .stats = sar_stats,
};
