/*
 * fm.c -- a factorization machine of two sides that learns from each event, once.
 *
 *     score(u, j) = constant + b_j + <U, I_j>
 *
 *     user   U = sum over the newest 20 items h of the history, by last event  x_h V_h,   x = 0.8^age, squares adding up to 1
 *              + sum over the context's features f                             V_f
 *     item   I_j = the item's own row v_j + sum over the n features f of what is said of it   V_f / sqrt(n)
 *            b_j likewise                 + sum over them                                    b_f / n        (fm_items.c)
 *
 * A user is what she did last: no row is kept for users, so one event is enough to know somebody, and nobody's row grows stale
 * (algorithms.md 0.1: twice the accuracy of a user's own row in a stream). Items have two rows, one as target (I), one in
 * histories (V): what leads to an item is not what the item leads to. Ranking all items is one scan over I (fm_query.c);
 * constants of a question do not change an order, and the user's features do not meet each other but with `second_order`:
 *
 *     constant = w0 + sum b_f + 1/2 (|U|^2 - sum x_f^2 |V_f|^2)          else without the last term; softmax: 0
 *
 * For ratings (squared loss) the constant is mean + leaning: the mean of all ratings, and how far the user's ratings lie above
 * what is usual for their items, shrunk; and x is how far each rating lies from what was to be expected (fm_side.c). Both are
 * read off the history, so they need no row either. Affinities must not decay then, but where nobody rates an item twice (history_rating).
 * With `user_rows` there is one all the same, of a feature of the user's own: it keeps what the newest items no longer say, and is worth
 * its place where ratings are learned in several passes. It is erased with the user. Nothing tells whose a row is but the id: where users were
 * forgotten without this model, all features begin anew.
 *
 * Rows begin at 0, but for items: those begin with small numbers of their own, else nothing would ever move. An item that has not been met
 * yet is its features, without these.
 *
 * State: embeddings of items (two), of features, contexts' and items' (feature_rows.h), and one cell of numbers:
 *
 *     OFFSET  SIZE                                            OFFSET  SIZE
 *          0     4   version 2, u32                               32    16   features: rows used, chain, hand, newest; u32 each
 *          4     4   d, u32                                       48    32   admitted, refused, expired, evicted; u64 each
 *          8     4   seen, u32                                    80     8   events, u64
 *         12     4   intercept, f32                               88     8   skipped, u64
 *         16     8   sum of ratings, f64                          96     8   guarded, u64
 *         24     8   ratings, u64                                104     4   intercept's G, f32
 *                                                                108     4   1: features may be users' own, u32
 *                                                                112     8   users forgotten, as the engine has told, u64
 *
 * Version 1 ends at 108: features may be users' own, and who had been forgotten it does not say. With `user_rows` that is taken to be nobody;
 * without, all who were until now, for then the features are most likely nobody's own.
 *
 * Sources: Rendle, Factorization Machines (ICDM 2010); LightFM and Alpenglow for the two sides; Duchi et al. 2011 for AdaGrad.
 *
 * Threads: learning is the engine's; asking is anybody's, inside an epoch, of what publish() has shown.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fm_parts.h"

enum { NUMBERS_VERSION = 2, NUMBERS_BYTES = 120 };
enum { NUMBERS_VERSION_FIRST = 1, NUMBERS_BYTES_FIRST = 108 };

const struct fm_options fm_defaults = {
    .dimensions = 32,
    .loss = FM_SOFTMAX,
    .negatives = 32,
    .history = 20,
    .recency = 0.8,
    .eta = 0.2,
    .rho = 0.9999,
    .g0 = 0.1,
    .deviation = 0.1,
    .seed = 1,
    .features_max = 100000,
    .features_admit = 3,
    .features_ttl = 0,
    .item_features = true,
    .int8_above = 20000,
    .candidates = 300,
};

/* Rounded up: 0 says never, and less than a second is not never. */
static uint32_t whole_seconds(span_ms span)
{
    span_ms seconds = span / 1000 + (span % 1000 > 0);

    return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

static struct model *fm_open(const void *options, const struct model_host *host)
{
    struct fr_slab *slab = fr_slab_new(VECTOR_ALIGN, FR_SLAB_COARSE); /* what has vectors as members is aligned like them */
    struct model *model = fr_slab_take(slab, sizeof(*model));
    const struct fm_options *o = options;
    size_t d = o->dimensions;

    assert(o->negatives >= 1 && o->negatives <= FM_NEGATIVES_MAX && o->history >= 1 && o->history <= FM_HISTORY_MAX);
    assert(o->g0 > 0 && host->items_max < UINT32_MAX);
    memset(model, 0, sizeof(*model));
    model->slab = slab;
    model->options = *o;
    model->host = *host;
    model->kernels = vector_kernels_best();
    model->code_kernels = code_kernels_best();
    model->adagrad = (struct adagrad){(float)o->eta, (float)o->rho, (float)o->g0};
    model->numbers.scale = (float)o->g0;
    embedding_init(&model->items, d, (uint32_t)host->items_max, TABLE_FM_ITEMS, false, host->epoch);
    model->items.coded_above = o->int8_above;
    embedding_init(&model->history, d, (uint32_t)host->items_max, TABLE_FM_HISTORY, false, host->epoch);
    const struct features_options features = {o->features_max, o->features_admit, whole_seconds(o->features_ttl)};
    features_init(&model->features, &features, d, model->adagrad.g0, TABLE_FM_FEATURES, host->epoch);
    model->items.compose = fm_compose;
    model->items.owner = model;
    item_features_init(&model->said, host->items_max, o->item_features ? o->features_max : 0);
    fr_array_init(&model->learned, sizeof(uint64_t), host->items_max / 64 + 1);
    fr_array_init(&model->view.made, sizeof(uint64_t), host->items_max / SHOWN_ROWS + 1);
    return model;
}

static void fm_close(struct model *model)
{
    if (!model)
        return;
    embedding_release(&model->items);
    embedding_release(&model->history);
    features_release(&model->features);
    item_features_release(&model->said);
    fr_array_release(&model->learned);
    fr_array_release(&model->view.made);
    struct fr_slab *slab = model->slab;
    fr_slab_give(slab, model, sizeof(*model));
    fr_slab_free(slab);
}

static void fm_extend(struct model *model, uint32_t items)
{
    embedding_extend(&model->items, items);
    embedding_extend(&model->history, items);
    item_features_extend(&model->said, items);
    fr_array_grow(&model->learned, items / 64 + 1);
    fr_array_grow(&model->view.made, items / SHOWN_ROWS + 1);
}

/* A step cannot be taken back: what an erased user taught the items stays in them (algorithms.md 8.12). */
static void fm_forget(struct model *model, const struct touch *touch)
{
    (void)model;
    (void)touch;
}

/* Her own row can go, and does. */
static void fm_forget_user(struct model *model, struct fr_bytes user_id)
{
    fm_settle(model);
    features_drop(&model->features, fm_user_key(user_id));
    model->saved = UINT64_MAX; /* the chain of free rows is among the numbers */
    fm_tell(model);
}

float fm_constant(const struct model *model)
{
    switch (model->options.loss) {
    case FM_SOFTMAX:
        return 0;
    case FM_LOGISTIC:
        return model->numbers.intercept;
    case FM_SQUARED:
        return model->numbers.rated ? (float)(model->numbers.ratings / (double)model->numbers.rated) : 0;
    }
    return 0;
}

void fm_tell(struct model *model)
{
    const struct features *features = &model->features;

    atomic_store_explicit(&model->features_live, features->live, memory_order_relaxed);
    atomic_store_explicit(&model->refused, features->state.refused, memory_order_relaxed);
    atomic_store_explicit(&model->expired, features->state.expired, memory_order_relaxed);
    atomic_store_explicit(&model->evicted, features->state.evicted, memory_order_relaxed);
}

void fm_settle(struct model *model)
{
    if (model->settled)
        return;
    model->settled = true;
    model->own_rows = model->own_rows || model->options.user_rows;
    features_settle(&model->features, &model->loaded);
    for (uint32_t item = 0; item < model->items.len; item++)
        if (embedding_state(&model->items, item)->count)
            fm_learned(model, item);
    fm_tell(model);
}

static void fm_publish(struct model *model)
{
    fm_settle(model);
    atomic_store_explicit(&model->constant, fm_constant(model), memory_order_relaxed);
    fm_items_publish(model);
    embedding_publish(&model->features.rows);
    embedding_publish(&model->history);
    embedding_publish(&model->items);
}

/* ---- the store ---- */

/* The one order of the cell's fields, for both ways. */
static void numbers_each(struct model *model, struct features_hand *hand, uint32_t head[2], uint64_t counts[3], uint32_t *own_rows,
                         void (*each)(char **at, void *field, size_t size), char *at)
{
    struct fm_numbers *numbers = &model->numbers;

    each(&at, head, 8);
    each(&at, &numbers->seen, 4);
    each(&at, &numbers->intercept, 4);
    each(&at, &numbers->ratings, 8);
    each(&at, &numbers->rated, 8);
    each(&at, &hand->len, 4);
    each(&at, &hand->chain, 4);
    each(&at, &hand->hand, 4);
    each(&at, &hand->newest, 4);
    each(&at, &hand->admitted, 8);
    each(&at, &hand->refused, 8);
    each(&at, &hand->expired, 8);
    each(&at, &hand->evicted, 8);
    each(&at, counts, 24);
    each(&at, &numbers->scale, 4);
    each(&at, own_rows, 4);
    each(&at, &model->forgotten, 8);
}

static void field_write(char **at, void *field, size_t size)
{
    *at = (char *)mempcpy(*at, field, size);
}

static void field_read(char **at, void *field, size_t size)
{
    memcpy(field, *at, size);
    *at += size;
}

static void numbers_save(struct model *model)
{
    uint32_t head[] = {NUMBERS_VERSION, model->options.dimensions}, own_rows = model->own_rows;
    uint64_t counts[] = {atomic_load_explicit(&model->events, memory_order_relaxed),
                         atomic_load_explicit(&model->skipped, memory_order_relaxed),
                         atomic_load_explicit(&model->guarded, memory_order_relaxed)};
    char cell[NUMBERS_BYTES];

    if (counts[0] == model->saved)
        return;
    model->saved = counts[0];
    numbers_each(model, &model->features.state, head, counts, &own_rows, field_write, cell);
    journal_put(*model->host.journal, TABLE_FM_DENSE, FM_ROW_NUMBERS, 0, cell, sizeof(cell));
}

static void fm_save(struct model *model)
{
    struct journal *journal = *model->host.journal;

    fm_settle(model);
    embedding_save(&model->items, journal);
    embedding_save(&model->history, journal);
    features_save(&model->features, journal, TABLE_FM_DENSE, FM_ROW_FILTER);
    numbers_save(model);
}

static void fm_forgotten(struct model *model, uint64_t users)
{
    bool loaded = !model->settled, excused = model->first && !model->options.user_rows;
    bool missed = loaded && model->own_rows && model->forgotten != users && !excused;
    bool owed = missed || (loaded && model->first);

    fm_settle(model);
    if (missed) {
        features_clear(&model->features);
        model->own_rows = model->options.user_rows;
        fm_tell(model);
    }
    if (model->forgotten != users || owed)
        model->saved = UINT64_MAX;
    model->forgotten = users;
    if (owed) /* there is a freeze only where something is in the journal, and this is owed though nothing happens */
        numbers_save(model);
}

static bool fm_pay(struct model *model, size_t cells)
{
    cells = embedding_pay(&model->items, cells);
    cells = embedding_pay(&model->history, cells);
    return features_pay(&model->features, cells) > 0;
}

static bool numbers_load(struct model *model, struct fr_bytes cell)
{
    uint32_t head[2], own_rows;
    uint64_t counts[3];
    char bytes[NUMBERS_BYTES] = {0};
    bool first = cell.len == NUMBERS_BYTES_FIRST;

    if (!cell.at || (cell.len != NUMBERS_BYTES && !first))
        return false;
    memcpy(bytes, cell.at, cell.len);
    numbers_each(model, &model->loaded, head, counts, &own_rows, field_read, bytes);
    model->first = first;
    model->own_rows = first || own_rows == 1;
    if (head[0] != (first ? NUMBERS_VERSION_FIRST : NUMBERS_VERSION) || own_rows > 1 || head[1] != model->options.dimensions || model->numbers.seen > model->items.len)
        return false;
    model->saved = counts[0];
    atomic_store_explicit(&model->events, counts[0], memory_order_relaxed);
    atomic_store_explicit(&model->skipped, counts[1], memory_order_relaxed);
    atomic_store_explicit(&model->guarded, counts[2], memory_order_relaxed);
    return true;
}

static bool load_dense(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                       const struct fr_bytes *cells, size_t len)
{
    (void)sums;
    if (row == FM_ROW_NUMBERS)
        return len == 1 && columns[0] == 0 && numbers_load(model, cells[0]);
    for (size_t k = 0; k < len; k++) {
        if (row != FM_ROW_FILTER || !features_load_filter(&model->features, columns[k], cells[k]))
            return false;
    }
    return true;
}

static bool load_items(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                       const struct fr_bytes *cells, size_t len)
{
    (void)sums;
    return embedding_load_row(&model->items, row, columns, cells, len);
}

static bool load_history(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                         const struct fr_bytes *cells, size_t len)
{
    (void)sums;
    return embedding_load_row(&model->history, row, columns, cells, len);
}

static bool load_features(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                          const struct fr_bytes *cells, size_t len)
{
    (void)sums;
    return embedding_load_row(&model->features.rows, row, columns, cells, len);
}

static void fm_stats(const struct model *model, struct model_stats *ret_stats)
{
    *ret_stats = (struct model_stats){
        .events = atomic_load_explicit(&model->events, memory_order_acquire),
        .lasts = true,
        .skipped = atomic_load_explicit(&model->skipped, memory_order_acquire),
        .guarded = atomic_load_explicit(&model->guarded, memory_order_acquire),
        .features = atomic_load_explicit(&model->features_live, memory_order_relaxed),
        .refused = atomic_load_explicit(&model->refused, memory_order_relaxed),
        .expired = atomic_load_explicit(&model->expired, memory_order_relaxed),
        .evicted = atomic_load_explicit(&model->evicted, memory_order_relaxed),
        .bytes = atomic_load_explicit(&model->items.bytes, memory_order_relaxed) +
                 atomic_load_explicit(&model->history.bytes, memory_order_relaxed) + features_bytes(&model->features) +
                 atomic_load_explicit(&model->said.bytes, memory_order_relaxed),
    };
}

_Static_assert((int)FM_NEGATIVES_MAX <= (int)BESIDE_MAX, "all that are drawn may be drawn again, to measure");

static enum score_unit fm_unit(const struct model *model, uint32_t *ret_beside)
{
    *ret_beside = model->options.negatives;
    return model->options.loss == FM_LOGISTIC ? SCORE_LOG_ODDS : model->options.loss == FM_SQUARED ? SCORE_WEIGHT : SCORE_ORDERS;
}

static const struct model_table tables[] = {
    {TABLE_FM_ITEMS, load_items},
    {TABLE_FM_HISTORY, load_history},
    {TABLE_FM_FEATURES, load_features},
    {TABLE_FM_DENSE, load_dense},
};

const struct model_ops fm_ops = {
    .name = "fm",
    .remains = "what those events have taught the numbers of items and features; it fades as others are learned, and goes with --rebuild",
    .relative = true,
    .tables = tables,
    .tables_len = sizeof(tables) / sizeof(*tables),
    .open = fm_open,
    .close = fm_close,
    .extend = fm_extend,
    .prepare = fm_prepare,
    .learn = fm_learn,
    .forget = fm_forget,
    .forget_user = fm_forget_user,
    .forgotten = fm_forgotten,
    .describe = fm_describe,
    .publish = fm_publish,
    .behind = fm_behind,
    .save = fm_save,
    .pay = fm_pay,
    .retrieve = fm_retrieve,
    .knows = fm_knows,
    .estimates = fm_estimates,
    .score = fm_score,
    .unit = fm_unit,
    .explain = fm_explain,
    .neighbours = fm_neighbours,
    .rest = "the item itself, what is said of it, and the context",
    .stats = fm_stats,
};
