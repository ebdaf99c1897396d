/*
 * hold.c -- reasons for which ingest stands still: the disk is low, memory is at its limit, an operator wants it so.
 *
 *     part of the daemon --engine_hold(why, on)--> holds (a bit each) <--holds_pass-- feed, in engine_batch_take
 *
 * A hold is back-pressure, not a stop: feed polls no more, librdkafka's queue fills and Kafka keeps the rest, while queries,
 * checkpoints and what was given before go on. A batch that feed has passed with is out until it is given: only when none is, nothing more
 * comes (engine_at_rest).
 */
#include <time.h>

#include "engine_private.h"
#include "freshet/log.h"

static const char *const names[HOLDS] = {[HOLD_DISK] = "disk", [HOLD_MEMORY] = "memory", [HOLD_ASKED] = "asked"};

void holds_init(struct engine *engine)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&engine->hold_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->hold_changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (int why = 0; why < HOLDS; why++) /* there from the start, at 0 */
        fr_gauge(fr_series(FR_M_INGEST_HELD, names[why], "", ""), 0);
}

void holds_release(struct engine *engine)
{
    pthread_cond_destroy(&engine->hold_changed);
    pthread_mutex_destroy(&engine->hold_lock);
}

bool engine_held(const struct engine *engine)
{
    return atomic_load_explicit(&engine->holds, memory_order_acquire) != 0;
}

bool engine_holds_for(const struct engine *engine, enum engine_hold why)
{
    return atomic_load_explicit(&engine->holds, memory_order_acquire) & 1U << why;
}

size_t engine_holds(const struct engine *engine, const char *ret_names[static HOLDS])
{
    unsigned holds = atomic_load_explicit(&engine->holds, memory_order_acquire);
    size_t len = 0;

    for (int why = 0; why < HOLDS; why++)
        if (holds & 1U << why)
            ret_names[len++] = names[why];
    return len;
}

void engine_hold(struct engine *engine, enum engine_hold why, bool on)
{
    unsigned bit = 1U << why;

    pthread_mutex_lock(&engine->hold_lock);
    unsigned before = on ? atomic_fetch_or(&engine->holds, bit) : atomic_fetch_and(&engine->holds, ~bit);
    pthread_cond_broadcast(&engine->hold_changed);
    pthread_mutex_unlock(&engine->hold_lock);
    if (!(before & bit) == !on)
        return;
    fr_gauge(fr_series(FR_M_INGEST_HELD, names[why], "", ""), on);
    if (on)
        fr_log(FR_WARN, "engine", "ingest.held", FR_FIELDS(FR_TEXT("reason", names[why])),
               "ingest stands still; queries go on, and Kafka keeps what comes meanwhile");
    else
        fr_log(FR_INFO, "engine", "ingest.resumed", FR_FIELDS(FR_TEXT("reason", names[why])), "ingest goes on");
}

bool holds_pass(struct engine *engine, int timeout_ms)
{
    uint64_t ns = fr_mono_ns() + (uint64_t)timeout_ms * 1000000;
    struct timespec until = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    bool passes;

    pthread_mutex_lock(&engine->hold_lock);
    while (engine_held(engine))
        if (pthread_cond_timedwait(&engine->hold_changed, &engine->hold_lock, &until))
            break;
    passes = !engine_held(engine);
    if (passes)
        atomic_fetch_add_explicit(&engine->batches_out, 1, memory_order_relaxed);
    pthread_mutex_unlock(&engine->hold_lock);
    return passes;
}

void holds_back(struct engine *engine)
{
    atomic_fetch_sub_explicit(&engine->batches_out, 1, memory_order_release);
}

bool engine_at_rest(struct engine *engine)
{
    return !atomic_load_explicit(&engine->batches_out, memory_order_acquire) &&
           atomic_load_explicit(&engine->batches_done, memory_order_acquire) ==
               atomic_load_explicit(&engine->batches_given, memory_order_acquire);
}
