/*
 * ease.h -- EASE: which items speak for which, solved in closed form from who holds what.
 *
 *     G[i][j] = users who hold i and j       P = (G + lambda I)^-1       B[i][j] = -P[i][j] / P[j][j],  B[j][j] = 0
 *     score(u, j) = sum over i in history(u) of  x(u, i) * B[i][j]
 *
 * B is derived: nothing of it is stored, and until it is solved for the first time the model knows nothing. It stands for the most
 * held items only, as of the moment its histories were read. Solving is a thread's own work beside everything else:
 *
 *     thread of the refresh      new ---> add, for each user ---> solve ---> offer
 *     engine's thread                                                          `--> publish: askers see it, whole
 *     asking threads             the solution before, until then               the new one
 */
#ifndef FR_EASE_H
#define FR_EASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/clock.h"
#include "freshet/err.h"

struct ease_options {
    double lambda;             /* > 0; holds back what few users say */
    double recency;            /* (0, 1]; x of the next older item of a history; 1 = all alike. Query time */
    uint32_t items_max;        /* > 0, n. Held: 4 n^2 bytes, twice that while solving; solving: n^3 multiplications */
    uint32_t refresh_percent;  /* solve again when so much of what it stands for has changed */
    span_ms refresh_interval;  /* or, when anything has, after so long; 0 = only when asked to, so that a replay solves where it did */
};

struct model;
struct history;
struct ease_build;

/*
 * A solution in the making, for the items_max items that most users hold; of two that equally many hold, the one known longer.
 * NULL if no item below `items` is held. Thread: one that refreshes, all of it; the engine's and askers' may be at work.
 */
struct ease_build *ease_build_new(struct model *model, uint32_t items);
void ease_build_free(struct ease_build *build);
/* One user. The order of users is without effect: these are counts. */
void ease_build_add(struct ease_build *build, const struct history *history);
/*
 * FR_INVALID: G + lambda I is not positive definite as far as float can tell, lambda is too small. FR_CLOSED: *stop became true; it is
 * looked at between blocks, a fraction of a second apart. Only what was solved may be offered.
 */
int ease_build_solve(struct ease_build *build, const _Atomic bool *stop, struct fr_err *err);
/* Gives the solution, and the build, to the model: shown with the next publish. */
void ease_build_offer(struct ease_build *build);
/* Frees what askers have left, which nobody should wait for who has events to apply. */
void ease_sweep(struct model *model);

/* As it was opened with. */
const struct ease_options *ease_options_of(const struct model *model);
/* Items that came into a history or left one since the start: of these G is made. Thread: any. */
uint64_t ease_changes(const struct model *model);
/* What askers see. solutions 0: nothing yet. Thread: any. */
struct ease_shown {
    uint64_t solutions; /* published so far */
    uint32_t items;
    uint64_t users, slots; /* it was made of: users with an item of its own, such items in their histories */
};
void ease_shown(const struct model *model, struct ease_shown *ret_shown);

#endif
