/*
 * debt.h -- which cells have changed since the last freeze, and which of those of the freeze are not journaled yet.
 *
 *     changing    unsaved  | . 1 1 . . 1 . . |      a bit for each cell
 *     a freeze    the two change places, and the journal of the freeze is noted
 *     since then  owed     | . . 1 . . 1 . . |      what has still to go into that journal, as it was at the freeze
 *                              ^ paid up to here
 *
 * So a freeze takes no time, however many cells have changed. What is owed is paid in pieces, from the first to the last, and a cell
 * that is about to change is paid first: what reaches the journal is as of the freeze, whenever it does. The journal may be handed
 * on once nothing is owed.
 *
 * Thread: engine.
 */
#ifndef FR_DEBT_H
#define FR_DEBT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/alloc.h"
#include "freshet/journal.h"

#define DEBT_NONE SIZE_MAX

struct debt {
    struct fr_array unsaved, owed; /* words of bits */
    struct journal *to;            /* NULL: nothing is owed */
    size_t words, paid;            /* words in use; of owed, so many from the first on are 0 */
};

void debt_init(struct debt *debt, size_t max); /* cells */
void debt_release(struct debt *debt);
void debt_extend(struct debt *debt, size_t cells); /* cells [0, cells) exist; new ones have not changed */
size_t debt_bytes(size_t cells);

/* Nothing may be owed. What has changed until now is owed to `journal`. */
void debt_freeze(struct debt *debt, struct journal *journal);
/* Takes the next cell that is owed off the list; the caller journals it. DEBT_NONE: there is none any more. */
size_t debt_next(struct debt *debt);

/* Before every change of a cell. True: it was owed and is not any more; the caller journals it as it is, to debt->to. */
static inline bool debt_change(struct debt *debt, size_t cell)
{
    uint64_t bit = UINT64_C(1) << cell % 64, *owed;

    ((uint64_t *)(void *)debt->unsaved.base)[cell / 64] |= bit;
    if (__builtin_expect(!debt->to, 1))
        return false;
    owed = (uint64_t *)(void *)debt->owed.base + cell / 64;
    bool was = *owed & bit;
    *owed &= ~bit;
    return was;
}

#endif
