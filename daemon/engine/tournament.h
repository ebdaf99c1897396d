/*
 * tournament.h -- those left of a row: the best of them, and the one behind so many others of them.
 *
 *                       [ b 3 ]              of those below it: who is the best, and how many are left
 *                  [ b 2 ]   [ c 1 ]
 *     the row       a   b     c   .          . is out
 *
 * Who is out, or worth less than before, costs at most as many comparisons as the tree is high; whoever is the best nowhere, none.
 *
 * Thread: the owner's.
 */
#ifndef FR_TOURNAMENT_H
#define FR_TOURNAMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/alloc.h"

/* Is the one at `b` better than the one at `a`, which stands before it? Of equal ones the first is. */
typedef bool tournament_better(const void *context, uint32_t a, uint32_t b);

struct tournament {
    tournament_better *better;
    const void *context;
    size_t len, width; /* width: a power of two, at least len */
    bool *in;          /* by place in the row */
    struct tournament_node {
        uint32_t best, left;
    } *nodes; /* [1, width): below node n are 2 n and 2 n + 1, and below the last ones the row */
};

/* All are in. The room is the arena's: a byte for each, and 8 for each of the width. */
void tournament_init(struct tournament *tournament, struct fr_arena *arena, size_t len, tournament_better *better, const void *context);
void tournament_fell(struct tournament *tournament, uint32_t at); /* is worth less than it was; nobody is ever worth more */
void tournament_out(struct tournament *tournament, uint32_t at);  /* for good; again: nothing happens */
size_t tournament_left(const struct tournament *tournament);
/* Of those left, of whom there is one at least. */
uint32_t tournament_best(const struct tournament *tournament);
uint32_t tournament_at(const struct tournament *tournament, size_t skip); /* the first after `skip` < left others */

#endif
