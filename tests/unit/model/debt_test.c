/*
 * debt_test.c -- what is owed, against plain arrays: of a freeze's cells each is paid once, and no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "debt.h"

enum { CELLS = 1000 };

struct books {
    struct debt debt;
    struct journal *journal;
    size_t len;
    bool unsaved[CELLS], owed[CELLS];
};

static uint64_t draw(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return *random >> 33;
}

static size_t owed_len(const struct books *books)
{
    size_t len = 0;

    for (size_t cell = 0; cell < CELLS; cell++)
        len += books->owed[cell];
    return len;
}

static void pay_one(struct books *books)
{
    size_t first = 0, cell = debt_next(&books->debt);

    while (first < CELLS && !books->owed[first])
        first++;
    assert_int_equal(cell, first < CELLS ? first : DEBT_NONE);
    if (cell != DEBT_NONE)
        books->owed[cell] = false;
    else
        assert_null(books->debt.to);
}

static void step(struct books *books, uint64_t *random)
{
    size_t cell = draw(random) % books->len;

    switch (draw(random) % 8) {
    case 0:
        books->len += books->len < CELLS;
        debt_extend(&books->debt, books->len);
        break;
    case 1:
    case 2:
        pay_one(books);
        break;
    case 3:
        if (books->debt.to || draw(random) % 8)
            break;
        debt_freeze(&books->debt, books->journal);
        memcpy(books->owed, books->unsaved, sizeof(books->owed));
        memset(books->unsaved, 0, sizeof(books->unsaved));
        break;
    default:
        assert_int_equal(debt_change(&books->debt, cell), books->owed[cell]);
        books->owed[cell] = false;
        books->unsaved[cell] = true;
    }
}

static void each_cell_of_a_freeze_is_paid_once(void **state)
{
    struct books *books = calloc(1, sizeof(*books));
    uint64_t random = 7;

    (void)state;
    books->journal = journal_new();
    books->len = 1;
    debt_init(&books->debt, CELLS);
    debt_extend(&books->debt, 1);
    assert_int_equal(debt_next(&books->debt), DEBT_NONE);
    for (int k = 0; k < 100000; k++)
        step(books, &random);
    for (size_t left = owed_len(books) + 1; left > 0; left--)
        pay_one(books);
    assert_null(books->debt.to);
    assert_int_equal(books->len, CELLS);
    debt_release(&books->debt);
    journal_free(books->journal);
    free(books);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cell_of_a_freeze_is_paid_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
