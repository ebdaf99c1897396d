/*
 * cutoffs_test.c -- cut-offs on their way to the ledger: many at once go there by the thousand, each once and in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "cutoffs.h"

enum { MANY = 100000, CALLS_MOST = MANY / 500 };

static struct {
    size_t calls, records;
    int fails_at; /* the n-th call */
} ledger;

static int note(struct store *store, const struct fr_bytes *records, size_t len, struct fr_err *err)
{
    (void)store;
    if (++ledger.calls == (size_t)ledger.fails_at)
        return fr_fail(err, FR_FULL, "no room");
    for (size_t i = 0; i < len; i++) {
        struct format_cutoff cutoff;
        assert_true(format_cutoff_record_read(records[i], &cutoff));
        assert_int_equal(cutoff.upto, ledger.records++);
    }
    return FR_OK;
}

/* As after a start with a store that knows them and no ledger: each call of the store's is a sync, and nothing is written meanwhile. */
static void many_are_noted_by_few_calls(void **state)
{
    static const struct store_ops ops = {.note = note};
    struct store store = {&ops};
    struct cutoffs *cutoffs = cutoffs_new();
    struct journal *journal = journal_new();
    struct fr_err err;
    char id[16];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof(id), "user-%d", i);
        cutoffs_put(cutoffs, FORMAT_USER, fr_bytes_of(id), i, journal, 1 + (i == MANY - 1));
    }
    ledger.fails_at = 2;
    assert_int_equal(cutoffs_note(cutoffs, &store, 1, &err), FR_FULL);
    assert_int_equal(cutoffs_note(cutoffs, &store, 1, &err), FR_OK);
    assert_int_equal(ledger.records, MANY - 1); /* the last is of a journal that is not written yet */
    assert_in_range(ledger.calls, 2, CALLS_MOST);
    assert_int_equal(cutoffs_note(cutoffs, &store, 2, &err), FR_OK);
    assert_int_equal(ledger.records, MANY);
    journal_free(journal);
    cutoffs_free(cutoffs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_are_noted_by_few_calls)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
