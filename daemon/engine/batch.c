/*
 * batch.c -- what an event points to becomes the batch's own.
 *
 *     event.user, item ---> [ user id, item id ]     one piece: they are looked up together, and may as well share a cache line
 *     event.context   ----> [ keys ]
 *     event.said      ----> [ bytes ]                a reject: key, value, message, each for itself
 *
 * Thread: feed.
 */
#include <string.h>

#include "freshet/engine.h"

static struct fr_bytes keep(struct event_batch *batch, struct fr_bytes bytes)
{
    char *copy = fr_arena_take(&batch->arena, bytes.len ? bytes.len : 1);

    if (bytes.len)
        memcpy(copy, bytes.at, bytes.len);
    return (struct fr_bytes){copy, bytes.len};
}

static void keep_ids(struct event_batch *batch, struct event *event)
{
    char *copy = fr_arena_take(&batch->arena, event->user.len + event->item.len);

    if (event->user.len) /* what is said of an item names no user, */
        memcpy(copy, event->user.at, event->user.len);
    if (event->item.len) /* and the other way round */
        memcpy(copy + event->user.len, event->item.at, event->item.len);
    event->user.at = copy;
    event->item.at = copy + event->user.len;
}

void engine_batch_keep(struct event_batch *batch, struct event *event)
{
    size_t context = event->context_len * sizeof(*event->context);

    keep_ids(batch, event);
    if (context)
        event->context = memcpy(fr_arena_take(&batch->arena, context), event->context, context);
    if (event->said.len)
        event->said = keep(batch, event->said);
}

const struct reject *engine_batch_keep_reject(struct event_batch *batch, const struct reject *reject)
{
    struct reject *kept = fr_arena_take(&batch->arena, sizeof(*kept));

    *kept = *reject;
    kept->key = keep(batch, reject->key);
    kept->value = keep(batch, reject->value);
    kept->message = keep(batch, reject->message);
    return kept;
}
