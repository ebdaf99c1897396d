/*
 * window.c -- the recovery window: does Kafka still hold what follows the oldest usable backup, and for how long?
 *
 *     log of a partition     low ........ N ............... A        offsets
 *                                         |                 |
 *                             backup: next N, newest record b        now: next A, newest record a        (Kafka times)
 *
 * A restore from the backup needs the records from N on. Kafka deletes from the left. The window of a partition is the Kafka time
 * between low and N: so long Kafka may go on deleting before the backup is of no use. How old the record at low is nobody has told
 * us, so it is taken from the pace between N and A:
 *
 *     window = (N - low) * (a - b) / (A - N)
 *
 * Without a limit are partitions of which Kafka has deleted nothing (low = 0), or nothing has come since the backup (A = N), or
 * whose records have all the same time; and where the log begins just behind the backup (low = N): it was silent for longer than
 * Kafka keeps records, all that follows the backup is there, and of how old that is the pace since b, silence and all, says nothing.
 * -1 for N < low: the log has a hole behind the backup; a partition that the backup does not know has N = 0. The daemon's window is
 * the least of its partitions'; 0, and only then, while there is no usable backup or no low is known.
 *
 * So: alert when it is below what a restore and its replay take; 0 and -1 are always below.
 */
#include "window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/metric.h"

static double window_of(const struct backup_position *at, const struct partition_status *now)
{
    int64_t next = at && at->next > 0 ? at->next : 0;

    if (next < now->low)
        return -1;
    if (now->low == 0 || now->low == next || now->applied <= next || !at || at->newest < 0 || now->newest <= at->newest)
        return INFINITY;
    return (double)(next - now->low) * (double)(now->newest - at->newest) / (double)(now->applied - next) / 1000;
}

static const struct backup_position *find(const struct backup *backup, const struct partition_status *partition)
{
    for (size_t i = 0; i < backup->positions_len; i++)
        if (backup->positions[i].partition == partition->partition && !strcmp(backup->positions[i].topic, partition->topic))
            return &backup->positions[i];
    return NULL;
}

double recovery_window(const struct backup *backup, const struct partition_status *partitions, size_t len)
{
    double least = INFINITY;
    bool known = false;

    for (size_t i = 0; backup && i < len; i++) {
        if (partitions[i].low < 0)
            continue;
        double window = window_of(find(backup, &partitions[i]), &partitions[i]);
        known = true;
        if (window < least)
            least = window;
    }
    return known ? least : 0;
}

/* ---- the gauge; thread: HTTP's ---- */

struct window {
    struct backups *backups;
    struct engine *engine;
    struct engine_status status;
};

static void look(void *context, const struct backup_list *list)
{
    struct window *window = context;
    const struct backup *oldest = NULL;

    for (size_t i = 0; i < list->len; i++) /* newest first */
        if (!*list->at[i].problem)
            oldest = &list->at[i];
    fr_gauge(FR_SERIES(FR_M_RECOVERY_WINDOW),
             recovery_window(oldest, window->status.partitions, window->status.partitions_len));
}

static void collect(void *context)
{
    struct window *window = context;

    engine_status(window->engine, &window->status);
    backups_look(window->backups, look, window);
}

struct window *window_start(struct backups *backups, struct engine *engine)
{
    struct window *window = fr_zalloc(1, sizeof(*window));

    window->backups = backups;
    window->engine = engine;
    fr_metric_collector(collect, window);
    return window;
}

void window_stop(struct window *window)
{
    if (!window)
        return;
    fr_metric_collector_remove(collect, window);
    free(window);
}
