/*
 * checkpoint_pulse_test.c -- the checkpoint's loop is never taken for stuck, however long what it does before a write takes: a look at
 * a disk that hangs, a large journal to compose, many tombstones to note.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base_private.h"
#include "checkpoint.h"
#include "freshet/clock.h"
#include "freshet/format.h"

enum { LIMIT_MS = 120000 };
#define DAY_NS UINT64_C(86400000000000)

static const struct store_ops *plain;
static _Atomic int looks_at_disk, notes, written, stuck;

/* Would it have been stuck, had it been in here for a day? */
static void look(_Atomic int *looks)
{
    const char *name;

    atomic_fetch_add(looks, 1);
    atomic_fetch_add(&stuck, !life_pulses_at(fr_mono_ns() + DAY_NS, &name));
}

static void put_and_look(struct store_batch *batch, struct fr_bytes key, struct fr_bytes value)
{
    look(&written);
    plain->batch_put(batch, key, value);
}

static uint64_t ask_disk_and_look(void *context)
{
    (void)context;
    look(&looks_at_disk);
    return UINT64_MAX;
}

static int note_and_look(void *context, uint64_t number, struct fr_err *err)
{
    (void)context;
    (void)number;
    (void)err;
    look(&notes);
    return FR_OK;
}

static void what_takes_long_before_a_write_is_not_taken_for_stuck(void **state)
{
    struct store *store = store_memory_new(NULL);
    struct store_ops watched = *store->ops;
    struct journal *journal = journal_new();

    (void)state;
    assert_int_equal(format_admit(store, NULL), FR_OK);
    plain = store->ops;
    watched.batch_put = put_and_look;
    store->ops = &watched;
    struct checkpoint *checkpoint =
        checkpoint_start(store, &(struct checkpoint_options){.before = note_and_look, .disk_reserve = 1, .disk_free = ask_disk_and_look});
    journal_put(journal, TABLE_USERS, 0, 0, "ann", 3);
    assert_true(checkpoint_wait_due(checkpoint, LIMIT_MS));
    struct journal *spare = checkpoint_take(checkpoint);
    checkpoint_give(checkpoint, journal, 1);
    assert_true(checkpoint_stop(checkpoint, NULL)); /* writes what was given */
    assert_true(atomic_load(&looks_at_disk) > 0);
    assert_int_equal(atomic_load(&notes), 1);
    assert_true(atomic_load(&written) > 0);
    assert_int_equal(atomic_load(&stuck), 0);
    journal_free(spare);
    store->ops = plain;
    store->ops->close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_takes_long_before_a_write_is_not_taken_for_stuck),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
