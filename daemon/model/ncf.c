/*
 * ncf.c -- NeuMF, learning from each event, once, with a history where the paper has a user's row.
 *
 *     score(u, j) = b + sum_f w_f a_f c_jf + <v, h3>          h1 = relu(b1 + W1u p + W1i q_j), h2, h3: ncf_dense.c
 *
 *     user   a, p = sums over the newest 20 items h of the history, by last event  x_h A_h,  x_h P_h     history_terms.h
 *     item   c_j, q_j: the item's own rows
 *
 * Two models of the same events that learn to agree: the product (GMF, a and c), which is a factorization and can be searched
 * by inner products, and the layers (MLP, p and q), which learn what the product leaves. Each has rows of its own, and the
 * product's weights begin at 1 (algorithms.md 4.2). Users have no row: fm.c says why.
 *
 * Learning is ncf_learn.c's, answering ncf_query.c's, and what lies between the two ncf_view.c's.
 *
 * State: four embeddings by item, and the dense part: the layers' numbers, the two moments of their optimiser and the gradient
 * of the unfinished batch, as one run of floats in cells of DENSE_BLOCK, and one cell of counters:
 *
 *     OFFSET  SIZE                                            OFFSET  SIZE
 *          0     4   version 1, u32                               32     8   steps of the layers, u64
 *          4    20   gmf, mlp, three layers, u32 each             40     8   events, u64
 *         24     4   seen, u32                                    48     8   skipped, u64
 *         28     4   examples of the unfinished batch, u32        56     8   guarded, u64
 *
 * Sources: He et al., Neural Collaborative Filtering (WWW 2017); Rendle et al., NCF vs. MF revisited (RecSys 2020), for what the
 * layers can and cannot be expected to learn.
 *
 * Threads: learning is the engine's; asking is anybody's, inside an epoch, of what publish() has shown.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ncf_parts.h"

enum { NUMBERS_VERSION = 1, NUMBERS_BYTES = 64, SHAPE_WORDS = 6, DENSE_BLOCK = 1024 };
_Static_assert((int)NCF_HISTORY_MAX <= (int)HISTORY_TERMS_MAX, "all of the history that counts has a term");
_Static_assert((int)NCF_ASKED_AT_ONCE <= (int)NCF_TARGETS_MAX, "what askers bring at once has room in the layers");

const struct ncf_options ncf_defaults = {
    .gmf = 32,
    .mlp = 32,
    .layers = {64, 32, 16},
    .negatives = 8,
    .history = 20,
    .recency = 0.8,
    .eta = 0.2,
    .rho = 0.9999,
    .g0 = 0.1,
    .deviation = 0.1,
    .batch = 256,
    .rate = 1e-3,
    .beta1 = 0.9,
    .beta2 = 0.999,
    .epsilon = 1e-8,
    .candidates = 1000,
    .seed = 1,
};

static void options_check(const struct ncf_options *o)
{
    const uint32_t widths[] = {o->gmf, o->mlp, o->layers[0], o->layers[1], o->layers[2]};

    for (size_t k = 0; k < sizeof(widths) / sizeof(*widths); k++)
        assert(widths[k] && widths[k] % VECTOR_WIDTH == 0 && widths[k] <= NCF_WIDTH_MAX);
    assert(o->negatives >= 1 && o->negatives <= NCF_NEGATIVES_MAX && o->history >= 1 && o->history <= NCF_HISTORY_MAX);
    assert(o->g0 > 0 && o->batch >= 1 && o->epsilon > 0 && o->candidates <= NCF_CANDIDATES_MAX);
    (void)widths;
}

static struct model *ncf_open(const void *options, const struct model_host *host)
{
    struct fr_slab *slab = fr_slab_new(VECTOR_ALIGN, FR_SLAB_COARSE); /* what has vectors as members is aligned like them */
    struct model *model = fr_slab_take(slab, sizeof(*model));
    const struct ncf_options *o = options;
    uint32_t max = (uint32_t)host->items_max;

    options_check(o);
    assert(host->items_max < UINT32_MAX);
    memset(model, 0, sizeof(*model));
    model->slab = slab;
    model->options = *o;
    model->host = *host;
    model->kernels = vector_kernels_best();
    model->adagrad = (struct adagrad){(float)o->eta, (float)o->rho, (float)o->g0};
    embedding_init(&model->gmf_items, o->gmf, max, TABLE_NCF_GMF_ITEMS, false, host->epoch);
    embedding_init(&model->mlp_items, o->mlp, max, TABLE_NCF_MLP_ITEMS, false, host->epoch);
    embedding_init(&model->gmf_history, o->gmf, max, TABLE_NCF_GMF_HISTORY, false, host->epoch);
    embedding_init(&model->mlp_history, o->mlp, max, TABLE_NCF_MLP_HISTORY, false, host->epoch);
    dense_init(&model->dense, o);
    ncf_view_init(model);
    for (size_t l = 0; l < NCF_LAYERS; l++) {
        model->event.pass.value[l] = model->event.value[l];
        model->event.pass.slope[l] = model->event.slope[l];
    }
    return model;
}

static void ncf_close(struct model *model)
{
    if (!model)
        return;
    ncf_view_release(model);
    dense_release(&model->dense);
    embedding_release(&model->gmf_items);
    embedding_release(&model->mlp_items);
    embedding_release(&model->gmf_history);
    embedding_release(&model->mlp_history);
    struct fr_slab *slab = model->slab;
    fr_slab_give(slab, model, sizeof(*model));
    fr_slab_free(slab);
}

static void ncf_extend(struct model *model, uint32_t items)
{
    embedding_extend(&model->gmf_items, items);
    embedding_extend(&model->mlp_items, items);
    embedding_extend(&model->gmf_history, items);
    embedding_extend(&model->mlp_history, items);
}

/* A step cannot be taken back: what an erased user taught the items stays in them (algorithms.md 8.12). */
static void ncf_forget(struct model *model, const struct touch *touch)
{
    (void)model;
    (void)touch;
}

static void ncf_publish(struct model *model)
{
    embedding_publish(&model->gmf_history);
    embedding_publish(&model->mlp_history);
    ncf_view_publish(model);
}

static bool ncf_behind(const struct model *model)
{
    return model->shelf.behind;
}

/* ---- the store ---- */

static void shape_words(const struct ncf_options *o, uint32_t words[SHAPE_WORDS])
{
    const uint32_t shape[SHAPE_WORDS] = {NUMBERS_VERSION, o->gmf, o->mlp, o->layers[0], o->layers[1], o->layers[2]};

    memcpy(words, shape, sizeof(shape));
}

/* Floats of a block of the dense run, 0 past its end. */
static size_t block_len(const struct model *model, uint32_t block)
{
    size_t len = 4 * model->dense.shape.len, first = (size_t)block * DENSE_BLOCK;

    return first >= len ? 0 : len - first < DENSE_BLOCK ? len - first : DENSE_BLOCK;
}

/* The dense part is saved at once: it is small, and the next events change all of it. */
static void ncf_save(struct model *model)
{
    struct journal *journal = *model->host.journal;
    uint64_t events = atomic_load_explicit(&model->events, memory_order_relaxed), counts[4];
    uint32_t words[SHAPE_WORDS + 2];
    char cell[NUMBERS_BYTES];

    embedding_save(&model->gmf_items, journal);
    embedding_save(&model->mlp_items, journal);
    embedding_save(&model->gmf_history, journal);
    embedding_save(&model->mlp_history, journal);
    if (events == model->saved)
        return;
    model->saved = events;
    shape_words(&model->options, words);
    words[SHAPE_WORDS] = model->seen;
    words[SHAPE_WORDS + 1] = model->dense.examples;
    counts[0] = model->dense.steps;
    counts[1] = events;
    counts[2] = atomic_load_explicit(&model->skipped, memory_order_relaxed);
    counts[3] = atomic_load_explicit(&model->guarded, memory_order_relaxed);
    memcpy(mempcpy(cell, words, sizeof(words)), counts, sizeof(counts));
    journal_put(journal, TABLE_NCF_DENSE, NCF_ROW_NUMBERS, 0, cell, sizeof(cell));
    for (uint32_t block = 0; block_len(model, block); block++)
        journal_put(journal, TABLE_NCF_DENSE, NCF_ROW_DENSE, block, model->dense.numbers + (size_t)block * DENSE_BLOCK,
                    block_len(model, block) * sizeof(float));
}

static bool ncf_pay(struct model *model, size_t cells)
{
    cells = embedding_pay(&model->gmf_items, cells);
    cells = embedding_pay(&model->mlp_items, cells);
    cells = embedding_pay(&model->gmf_history, cells);
    return embedding_pay(&model->mlp_history, cells) > 0;
}

static bool numbers_load(struct model *model, struct fr_bytes cell)
{
    uint32_t want[SHAPE_WORDS], words[SHAPE_WORDS + 2];
    uint64_t counts[4];

    if (!cell.at || cell.len != NUMBERS_BYTES)
        return false;
    memcpy(words, cell.at, sizeof(words));
    memcpy(counts, cell.at + sizeof(words), sizeof(counts));
    shape_words(&model->options, want);
    if (memcmp(words, want, sizeof(want)) != 0 || words[SHAPE_WORDS] > model->gmf_items.len)
        return false;
    model->seen = words[SHAPE_WORDS];
    model->dense.examples = words[SHAPE_WORDS + 1];
    model->dense.steps = counts[0];
    model->saved = counts[1];
    atomic_store_explicit(&model->events, counts[1], memory_order_relaxed);
    atomic_store_explicit(&model->skipped, counts[2], memory_order_relaxed);
    atomic_store_explicit(&model->guarded, counts[3], memory_order_relaxed);
    return true;
}

static bool load_dense(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                       const struct fr_bytes *cells, size_t len)
{
    (void)sums;
    if (row == NCF_ROW_NUMBERS)
        return len == 1 && columns[0] == 0 && numbers_load(model, cells[0]);
    for (size_t k = 0; k < len; k++) {
        size_t floats = block_len(model, columns[k]);
        if (row != NCF_ROW_DENSE || columns[k] != k || !cells[k].at)
            return false;
        if (!floats || cells[k].len != floats * sizeof(float))
            return false;
        memcpy(model->dense.numbers + (size_t)columns[k] * DENSE_BLOCK, cells[k].at, cells[k].len);
    }
    return !block_len(model, (uint32_t)len); /* all of it or nothing */
}

static bool load_gmf_items(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                           const struct fr_bytes *cells, size_t len)
{
    (void)sums;
    return embedding_load_row(&model->gmf_items, row, columns, cells, len);
}

static bool load_mlp_items(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                           const struct fr_bytes *cells, size_t len)
{
    (void)sums;
    return embedding_load_row(&model->mlp_items, row, columns, cells, len);
}

static bool load_gmf_history(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                             const struct fr_bytes *cells, size_t len)
{
    (void)sums;
    return embedding_load_row(&model->gmf_history, row, columns, cells, len);
}

static bool load_mlp_history(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                             const struct fr_bytes *cells, size_t len)
{
    (void)sums;
    return embedding_load_row(&model->mlp_history, row, columns, cells, len);
}

static void ncf_stats(const struct model *model, struct model_stats *ret_stats)
{
    const struct embedding *rows[] = {&model->gmf_items, &model->mlp_items, &model->gmf_history, &model->mlp_history};

    *ret_stats = (struct model_stats){
        .events = atomic_load_explicit(&model->events, memory_order_acquire),
        .lasts = true,
        .skipped = atomic_load_explicit(&model->skipped, memory_order_acquire),
        .guarded = atomic_load_explicit(&model->guarded, memory_order_acquire),
        .bytes = 4 * model->dense.shape.len * sizeof(float) +
                 atomic_load_explicit(&model->shelf.bytes, memory_order_relaxed),
    };
    for (size_t k = 0; k < 4; k++)
        ret_stats->bytes += atomic_load_explicit(&rows[k]->bytes, memory_order_relaxed);
}

static enum score_unit ncf_unit(const struct model *model, uint32_t *ret_beside)
{
    *ret_beside = model->options.negatives;
    return SCORE_LOG_ODDS;
}

static const struct model_table tables[] = {
    {TABLE_NCF_GMF_ITEMS, load_gmf_items},     {TABLE_NCF_MLP_ITEMS, load_mlp_items},
    {TABLE_NCF_GMF_HISTORY, load_gmf_history}, {TABLE_NCF_MLP_HISTORY, load_mlp_history},
    {TABLE_NCF_DENSE, load_dense},
};

const struct model_ops ncf_ops = {
    .name = "ncf",
    .relative = true,
    .remains = "what those events have taught the numbers of items and layers; it fades as others are learned, and goes with --rebuild",
    .tables = tables,
    .tables_len = sizeof(tables) / sizeof(*tables),
    .open = ncf_open,
    .close = ncf_close,
    .extend = ncf_extend,
    .prepare = ncf_prepare,
    .learn = ncf_learn,
    .forget = ncf_forget,
    .publish = ncf_publish,
    .behind = ncf_behind,
    .save = ncf_save,
    .pay = ncf_pay,
    .retrieve = ncf_retrieve,
    .score = ncf_score,
    .unit = ncf_unit,
    .explain = ncf_explain,
    .neighbours = ncf_neighbours,
    .rest = "what these items make of it together",
    .stats = ncf_stats,
};
