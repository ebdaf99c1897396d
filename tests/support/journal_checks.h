/*
 * journal_checks.h -- what a journal holds, for tests. For after cmocka.
 */
#ifndef FR_TEST_JOURNAL_CHECKS_H
#define FR_TEST_JOURNAL_CHECKS_H

#include "freshet/journal.h"

/* Begins to read what the journal has of the table, and asserts that it has nothing else. */
static inline void journal_begin_only(const struct journal *journal, enum journal_table table, struct journal_cursor *ret_cursor)
{
    struct journal_op op;

    for (int other = 0; other < TABLES; other++) {
        journal_begin(journal, (enum journal_table)other, ret_cursor);
        assert_true(other == (int)table || !journal_next(ret_cursor, &op));
    }
    journal_begin(journal, table, ret_cursor);
}

#endif
