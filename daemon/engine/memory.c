/*
 * memory.c -- what the process holds, against what it may hold.
 *
 *     held     0 ────────────── memory_soft ─────────── memory_hard ───
 *              everything       no new users and items   no events: ingest is held until a sixteenth is free again
 *
 * The soft limit must not make the state depend on when somebody looked at the memory: "once" and "incremental equals
 * batch" are to stay provable. So it is a decision, taken once and written down: the users and items known at the end
 * of some batch are the bounds from there on, as if engine.users_max and engine.items_max had been these, and they are
 * written with that batch's positions in one checkpoint. Whatever is applied again after a crash is applied under what
 * was decided before it or, if that was not written, is decided anew: each event is in the state or a dead letter
 * ("capacity"), never both. A dead letter carries its whole record, so the decision waits for the first batch that was
 * filled knowing of it, when none is out that was not.
 *
 * It is taken back by a start with a higher memory_soft, or none.
 *
 * The hard limit changes no state at all: records wait in Kafka.
 *
 * Thread: engine; memory_full from feed's.
 */
#include <stdlib.h>

#include "engine_private.h"
#include "freshet/format.h"
#include "freshet/log.h"

enum { LOOK_MS = 100 };

/* ---- soft ---- */

static void tell_bounds(struct engine *engine, bool closed, uint32_t users, uint32_t items)
{
    atomic_store(&engine->users_max, users);
    atomic_store(&engine->items_max, items);
    atomic_store(&engine->closed, closed);
    fr_gauge(FR_SERIES(FR_M_ADMISSION_CLOSED), closed);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

bool memory_full(const struct engine *engine)
{
    return atomic_load(&engine->closing) || atomic_load(&engine->closed);
}

void memory_decide(struct engine *engine, const struct event_batch *batch)
{
    struct format_admission admission = {
        .users = dict_len(engine->users), .items = dict_len(engine->items), .soft = engine->options.memory_soft};
    struct fr_writer value;

    if (!atomic_load(&engine->closing) || !batch->whole || atomic_load(&engine->batches_bare))
        return;
    tell_bounds(engine, true, admission.users, admission.items);
    atomic_store(&engine->closing, false); /* second: memory_full, which asks for it first, finds it in one of the two */
    fr_writer_init(&value, 0);
    format_admission_value(&value, &admission);
    journal_key_put(engine->journal, fr_bytes_of(FORMAT_ADMISSION_KEY), fr_written(&value));
    fr_writer_release(&value);
    fr_log(FR_WARN, "engine", "admission.closed",
           FR_FIELDS(FR_INT("users", admission.users), FR_INT("items", admission.items),
                     FR_INT("memory_soft", admission.soft)),
           "limits.memory_soft is reached: events of new users and on new items go to the dead-letter topic from here "
           "on; a "
           "start with a higher limit lets them in again");
}

int memory_recover(struct engine *engine, struct fr_err *err)
{
    const struct engine_options *options = &engine->options;
    struct format_admission stored;
    char *value = NULL;
    size_t len;
    int status = engine->store->ops->get(engine->store, fr_bytes_of(FORMAT_ADMISSION_KEY), &value, &len, err);

    tell_bounds(engine, false, options->users_max, options->items_max);
    if (status == FR_NOT_FOUND)
        return FR_OK;
    if (status == FR_OK && !format_admission_read((struct fr_bytes){value, len}, &stored))
        status = fr_fail(err, FR_CORRUPT, "the record of closed admission in the store cannot be read");
    free(value);
    if (status)
        return status;
    if (options->memory_soft && options->memory_soft <= stored.soft) {
        tell_bounds(engine, true, least(stored.users, options->users_max), least(stored.items, options->items_max));
        fr_log(FR_WARN, "engine", "admission.still_closed",
               FR_FIELDS(FR_INT("users", stored.users), FR_INT("items", stored.items)),
               "limits.memory_soft was reached before; a start with a higher limit lets new users and items in again");
    } else {
        journal_key_delete(engine->journal, fr_bytes_of(FORMAT_ADMISSION_KEY));
        fr_log(FR_INFO, "engine", "admission.open_again", FR_NO_FIELDS, "new users and items are let in again");
    }
    return FR_OK;
}

/* ---- the look ---- */

void memory_look(struct engine *engine)
{
    const struct engine_options *options = &engine->options;
    uint64_t now = fr_mono_ns(), held;

    if ((!options->memory_soft && !options->memory_hard) || now < engine->memory_look_ns)
        return;
    engine->memory_look_ns = now + LOOK_MS * 1000000U;
    held = options->memory_held(options->memory_context);
    if (options->memory_soft && held >= options->memory_soft && !memory_full(engine))
        atomic_store(&engine->closing, true);
    if (options->memory_hard && held >= options->memory_hard)
        engine_hold(engine, HOLD_MEMORY, true);
    else if (options->memory_hard && held < options->memory_hard - options->memory_hard / 16)
        engine_hold(engine, HOLD_MEMORY, false);
}
