/*
 * gaps.c -- what Kafka had deleted before it was read, and that somebody chose to go on behind it (feed.on_gap = skip, ResetPartition).
 *
 *     position ....[from          to)......      the hole, the total and the position that steps past it are one write:
 *                   gone unread   goes on here   each hole is recorded once, whatever is killed when
 *
 * The newest FORMAT_HOLES_MAX holes are kept by their offsets, all of them in the total.
 *
 * Thread: engine.
 */
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "freshet/format.h"

static void journal_holes(struct engine *engine, const struct partition *partition)
{
    struct fr_writer key, value;

    fr_writer_init(&key, 0);
    fr_writer_init(&value, 0);
    format_holes_key(&key, fr_bytes_of(partition->topic), partition->number);
    format_holes_value(&value, partition->holes);
    journal_key_put(engine->journal, fr_written(&key), fr_written(&value));
    fr_writer_release(&key);
    fr_writer_release(&value);
}

void gap_step(struct engine *engine, struct partition *partition, int64_t to)
{
    struct format_holes *holes = partition->holes;
    int64_t from = partition->position;

    if (from < 0)
        return; /* nothing of it was ever read: that is where it begins, no hole */
    if (!holes)
        holes = partition->holes = fr_zalloc(1, sizeof(*holes));
    if (holes->len && holes->holes[holes->len - 1].to == from) { /* it was trimmed on while we looked */
        holes->holes[holes->len - 1].to = to;
    } else {
        if (holes->len == FORMAT_HOLES_MAX)
            memmove(holes->holes, holes->holes + 1, --holes->len * sizeof(*holes->holes));
        holes->holes[holes->len++] = (struct format_hole){from, to};
    }
    holes->skipped += (uint64_t)(to - from);
    fr_count_is(partition->skipped_series, (double)holes->skipped);
    journal_holes(engine, partition);
}

void gaps_forget(struct engine *engine, struct partition *partition)
{
    if (!partition->holes)
        return;
    partition->holes->len = 0;
    journal_holes(engine, partition);
}

static struct partition *partition_named(const struct engine *engine, struct fr_bytes topic, int32_t number)
{
    uint32_t len = atomic_load(&engine->partitions_len);

    for (uint32_t i = 0; i < len; i++)
        if (engine->partitions[i]->number == number && fr_bytes_equal(fr_bytes_of(engine->partitions[i]->topic), topic))
            return engine->partitions[i];
    return NULL;
}

int gaps_recover(struct engine *engine, struct fr_err *err)
{
    struct store_iter *iter = engine->store->ops->iterate(engine->store, fr_bytes_of(FORMAT_HOLES_PREFIX));
    struct fr_bytes key, value;
    int status = FR_OK;

    while (!status && engine->store->ops->next(iter, &key, &value)) {
        struct format_holes *holes = fr_alloc(sizeof(*holes));
        struct partition *partition =
            format_holes_read(key, value, holes) ? partition_named(engine, holes->topic, holes->partition) : NULL;

        if (partition) {
            if (engine->options.forget_positions)
                holes->len = 0; /* offsets of a log that is no more; the total goes on */
            partition->holes = holes;
            fr_count_is(partition->skipped_series, (double)holes->skipped);
        } else {
            free(holes);
            status = fr_fail(err, FR_CORRUPT, "the holes of a partition in the store cannot be read");
        }
    }
    int closed = engine->store->ops->iter_close(iter, status ? NULL : err);
    return status ? status : closed;
}
