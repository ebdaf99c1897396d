/*
 * state_load.c -- one forward scan per table; segment by segment into rows, rows to the loaders.
 *
 *     s 4 seg0 chunk0 | s 4 seg0 delta | s 4 seg1 chunk0 | ...
 *     '------- pile of segment 0 ------'  '- pile of 1 ...
 *
 * A segment's values are gathered in one buffer (a copy at memory speed) and then decoded where they lie.
 */
#include "checkpoint.h"

#include "freshet/format.h"
#include "pile.h"

static bool to_loader(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums,
                      const struct fr_bytes *cells, size_t len)
{
    const struct state_loader *loader = context;

    return sums ? loader->sums(loader->context, row, columns, sums, len)
                : loader->cells(loader->context, row, columns, cells, len);
}

static int finish(struct pile *pile, const struct state_loader *loader, struct fr_err *err)
{
    struct state_loader copy = *loader; /* the sink takes no const */

    if (!pile->len)
        return FR_OK;
    return pile_merge(pile, NULL, (struct changes_walk){0}, to_loader, &copy, err);
}

static int load_table(struct store *store, const struct state_loader *loader, struct pile *pile, struct fr_err *err)
{
    const char prefix[SEGMENT_TABLE_PREFIX] = {'s', (char)loader->table};
    struct store_iter *iter = store->ops->iterate(store, (struct fr_bytes){prefix, sizeof(prefix)});
    struct fr_bytes name, value;
    int status = FR_OK;

    pile_begin(pile, loader->table, 0);
    while (!status && store->ops->next(iter, &name, &value)) {
        struct segment_key key;
        if (!segment_key_read(name, &key)) {
            status = fr_fail(err, FR_CORRUPT, "a key of table '%s' after segment %u cannot be read",
                             table_name(loader->table), pile->segment);
        } else {
            if (key.segment != pile->segment) {
                status = finish(pile, loader, err);
                pile_begin(pile, loader->table, key.segment);
            }
            pile_append(pile, &key, value);
        }
    }
    int closed = store->ops->iter_close(iter, status ? NULL : err);
    if (status || closed)
        return status ? status : closed; /* the last pile may be half read */
    return finish(pile, loader, err);
}

int state_load(struct store *store, const struct state_loader *loaders, size_t loaders_len, struct fr_err *err)
{
    struct pile pile = {0};
    uint64_t journals; /* unreadable, no checkpoint could be written: better said now */
    int status = format_admit(store, err);

    if (!status)
        status = format_journals(store, &journals, err);
    for (size_t i = 0; i < loaders_len && !status; i++)
        status = load_table(store, &loaders[i], &pile, err);
    pile_release(&pile);
    return status;
}
