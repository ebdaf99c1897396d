/*
 * drain.c -- from the signal to the stop, step by step. The order is main.c's.
 *
 * Questions are answered throughout: serve is the first part that stops after these steps, and its clients are told to go
 * elsewhere by health long before.
 */
#include <poll.h>

#include "freshetd.h"

#include "freshet/log.h"

enum { STATE_MS = 10000 };

void drain_delay(struct freshetd *d)
{
    if (d->cfg->serve.drain_delay_ms)
        poll(NULL, 0, (int)d->cfg->serve.drain_delay_ms); /* a second signal ends the process meanwhile */
}

void drain_polling(struct freshetd *d)
{
    feed_stop_polling(d->feed);
}

void drain_state(struct freshetd *d)
{
    if (!engine_settle(d->engine, STATE_MS))
        fr_log(FR_WARN, "main", "drain.state", FR_NO_FIELDS,
               "the store has not taken everything within %d s; it is tried once more, and Kafka has the rest", STATE_MS / 1000);
}

void drain_outbox(struct freshetd *d)
{
    if (!engine_outbox_wait_empty(d->engine, (int)d->cfg->serve.drain_grace_ms))
        fr_log(FR_WARN, "main", "drain.outbox", FR_NO_FIELDS,
               "Kafka has not taken all dead letters; they stay in the store until the next start");
}
