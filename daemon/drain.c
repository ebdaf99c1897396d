/*
 * drain.c -- from the signal to the stop, step by step. The order is main.c's.
 *
 * Questions are answered throughout: serve is the first part that stops after these steps, and its clients are told to
 * go elsewhere by health long before. Each step waits in slices, so that the service manager's watchdog is fed.
 */
#include <inttypes.h>
#include <poll.h>

#include "freshetd.h"

#include "freshet/crash.h"
#include "freshet/life.h"
#include "freshet/log.h"

enum { STATE_MS = 10000, STOP_MS = 20000, SLICE_MS = 1000 };

void beat(const struct freshetd *d, const char *doing)
{
    const char *stuck = NULL;

    fr_pulse_all(&stuck);
    notify_beat(&d->notify, doing, stuck);
}

/* True as soon as `done` is, false when that takes longer than `left_ms`. */
static bool wait_until(const struct freshetd *d, const char *doing, span_ms left_ms,
                       bool (*done)(const struct freshetd *d, int slice_ms))
{
    for (;;) {
        int slice_ms = (int)(left_ms < SLICE_MS ? left_ms : SLICE_MS);

        beat(d, doing);
        if (done(d, slice_ms))
            return true;
        left_ms -= slice_ms;
        if (left_ms <= 0)
            return false;
    }
}

void drain_begin(struct freshetd *d)
{
    span_ms most_ms = d->cfg->serve.drain_delay_ms + STATE_MS + 2 * d->cfg->serve.drain_grace_ms + STOP_MS;

    backups_end(d->backups); /* whoever waits for one is a call in flight */
    notify_say(&d->notify, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64, (int64_t)most_ms * 1000);
}

static bool time_passes(const struct freshetd *d, int slice_ms)
{
    (void)d;
    poll(NULL, 0, slice_ms); /* a second signal ends the process meanwhile */
    return false;
}

void drain_delay(struct freshetd *d)
{
    wait_until(d, "draining: still answering", d->cfg->serve.drain_delay_ms, time_passes);
}

void drain_polling(struct freshetd *d)
{
    feed_stop_polling(d->feed);
    fr_crash_point("stop.polling");
}

static bool settled(const struct freshetd *d, int slice_ms)
{
    return engine_settle(d->engine, slice_ms);
}

void drain_state(struct freshetd *d)
{
    if (wait_until(d, "draining: last checkpoint", STATE_MS, settled))
        serve_ingest_over(d->serve); /* who waits for a later position would wait in vain, and hold the stop for the whole grace */
    else
        fr_log(FR_WARN, "main", "drain.state", FR_NO_FIELDS,
               "the store has not taken everything within %d s; it is tried once more, and Kafka has the rest",
               STATE_MS / 1000);
    fr_crash_point("stop.settled");
}

static bool letters_gone(const struct freshetd *d, int slice_ms)
{
    return engine_outbox_wait_empty(d->engine, slice_ms);
}

void drain_outbox(struct freshetd *d)
{
    if (!wait_until(d, "draining: dead letters", d->cfg->serve.drain_grace_ms, letters_gone))
        fr_log(FR_WARN, "main", "drain.outbox", FR_NO_FIELDS,
               "Kafka has not taken all dead letters; they stay in the store until the next start");
    fr_crash_point("stop.delivered");
}
