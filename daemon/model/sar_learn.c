/*
 * sar_learn.c -- one item enters a history, or leaves it: the only writers of C.
 *
 *     history   a b c d e f g            window 3
 *     enters i          [e f g] i        +1 to (i, e) (i, f) (i, g), and to their mirrors
 *     leaves d    a [b c]   [e f g]      -1 to (d, b) (d, c) (d, e) (d, f) (d, g), and to their mirrors
 *
 * Slots stand in order of sequence, so the partners are one run of the history, found by adding up steps from the
 * item's place outwards, and the journal takes it as it is. Only the first event on an item makes pairs, only the last
 * one to go takes them away.
 *
 * What readers see: the item's own row changes between rows_open and rows_shut, all partners at once; each
 * partner's row changes by one entry, which is one store. (A copy of a row sees that; who looks single cells up, as a
 * question for the best does, sees each as of its own instant.)
 *
 * Speed is the latency of memory: the item's own row is one place, but each partner's cell is another. prepare() asks
 * for them one and two events ahead, and the loops below for those that prepare() left out.
 *
 * Thread: engine.
 */
#include <assert.h>

#include "sar_parts.h"

enum { PREPARED = 64, AHEAD = 8 };

struct partners {
    const uint32_t *items;
    size_t len;
};

/* The slots within the window of the touched item, on both sides. */
static struct partners partners_of(const struct model *model, const struct touch *touch)
{
    const struct history *history = &touch->history;
    uint32_t window = model->options.window, begin = touch->at, end = touch->at, apart;

    if (!window)
        return (struct partners){history->item, history->len};
    for (apart = touch->behind; begin > 0 && apart <= window;)
        apart += --begin ? history->step[begin - 1] : 0;
    for (apart = touch->ahead; end < history->len && apart <= window; apart += history->step[end - 1])
        end++;
    return (struct partners){history->item + begin, end - begin};
}

void sar_prepare(const struct model *model, const struct touch *touch, int stage)
{
    uint32_t most = model->options.window && model->options.window < PREPARED ? model->options.window : PREPARED;
    uint32_t len = touch->history.len, begin = len > most ? len - most : 0;

    if (stage == 0)
        rows_prefetch(model->rows, touch->item);
    for (uint32_t at = begin; at < len; at++) {
        uint32_t partner = touch->history.item[at];
        if (stage == 0) {
            rows_prefetch(model->rows, partner);
        } else {
            rows_prefetch_cell(model->rows, partner, touch->item);
            rows_prefetch_cell(model->rows, touch->item, partner);
        }
    }
}

/* Cuts a row that has grown too long, and writes down what it loses. */
static void row_bound(struct model *model, uint32_t row)
{
    size_t most = model->options.neighbours_max, len = rows_len(model->rows, row);

    if (!most || len * 2 <= most * 3)
        return;
    fr_reserve((void **)&model->columns, &model->columns_room, len - most, sizeof(*model->columns));
    fr_reserve((void **)&model->changes, &model->changes_room, len - most, sizeof(*model->changes));
    size_t lost = rows_prune(model->rows, row, most, model->columns, model->changes);
    journal_adds(*model->host.journal, TABLE_PAIRS, row, model->columns, model->changes, lost);
    counter_add(&model->pruned, 1);
}

static void partner_ahead(const struct model *model, const struct partners *partners, size_t at, uint32_t item)
{
    if (at + 2 * AHEAD < partners->len)
        rows_prefetch(model->rows, partners->items[at + 2 * AHEAD]);
    if (at + AHEAD < partners->len)
        rows_prefetch_cell(model->rows, partners->items[at + AHEAD], item);
}

void sar_learn(struct model *model, const struct touch *touch)
{
    uint32_t item = touch->item;

    counter_add(&model->events, 1);
    if (!touch->fresh)
        return;
    struct partners partners = partners_of(model, touch);
    if (!partners.len)
        return;
    journal_star(*model->host.journal, TABLE_PAIRS, item, partners.items, partners.len, 1);
    for (size_t k = 0; k < partners.len; k++) {
        partner_ahead(model, &partners, k, item);
        rows_add(model->rows, partners.items[k], item, 1);
        row_bound(model, partners.items[k]);
    }
    rows_open(model->rows, item);
    for (size_t k = 0; k < partners.len; k++)
        rows_add(model->rows, item, partners.items[k], 1);
    rows_shut(model->rows, item);
    row_bound(model, item);
}

/* Takes 1 away. Where pruning has lost the entry, the journal's star took too much. */
static void pair_forget(struct model *model, uint32_t row, uint32_t column)
{
    if (!rows_add(model->rows, row, column, -1))
        journal_add(*model->host.journal, TABLE_PAIRS, row, column, 1);
}

void sar_forget(struct model *model, const struct touch *touch)
{
    struct partners partners = partners_of(model, touch);
    uint32_t item = touch->item;

    if (!partners.len)
        return;
    journal_star(*model->host.journal, TABLE_PAIRS, item, partners.items, partners.len, -1);
    for (size_t k = 0; k < partners.len; k++) {
        partner_ahead(model, &partners, k, item);
        pair_forget(model, partners.items[k], item);
    }
    rows_open(model->rows, item);
    for (size_t k = 0; k < partners.len; k++)
        pair_forget(model, item, partners.items[k]);
    rows_shut(model->rows, item);
}
