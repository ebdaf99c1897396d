/*
 * debt.c -- bits that change places. The picture is in debt.h.
 */
#include "debt.h"

#include <assert.h>

static size_t words_for(size_t cells)
{
    return (cells + 63) / 64;
}

void debt_init(struct debt *debt, size_t max)
{
    *debt = (struct debt){0};
    fr_array_init(&debt->unsaved, sizeof(uint64_t), words_for(max));
    fr_array_init(&debt->owed, sizeof(uint64_t), words_for(max));
}

void debt_release(struct debt *debt)
{
    fr_array_release(&debt->unsaved);
    fr_array_release(&debt->owed);
}

size_t debt_bytes(size_t cells)
{
    return 2 * words_for(cells) * sizeof(uint64_t);
}

void debt_extend(struct debt *debt, size_t cells)
{
    fr_array_grow(&debt->unsaved, words_for(cells));
    fr_array_grow(&debt->owed, words_for(cells));
    debt->words = words_for(cells) > debt->words ? words_for(cells) : debt->words;
}

void debt_freeze(struct debt *debt, struct journal *journal)
{
    struct fr_array paid = debt->owed;

    assert(!debt->to && journal);
    debt->owed = debt->unsaved;
    debt->unsaved = paid;
    debt->to = journal;
    debt->paid = 0;
}

size_t debt_next(struct debt *debt)
{
    uint64_t *owed = (uint64_t *)(void *)debt->owed.base;

    if (!debt->to)
        return DEBT_NONE;
    while (debt->paid < debt->words && !owed[debt->paid])
        debt->paid++;
    if (debt->paid == debt->words) {
        debt->to = NULL;
        return DEBT_NONE;
    }
    size_t cell = debt->paid * 64 + (size_t)__builtin_ctzll(owed[debt->paid]);
    owed[debt->paid] &= owed[debt->paid] - 1;
    return cell;
}
