/*
 * arrange.h -- a list with variety, or one that tries things out: arrange.c has the formulas.
 */
#ifndef FR_ARRANGE_H
#define FR_ARRANGE_H

#include "engine_private.h"

/* A list in the making. Thread: each reader its own. */
struct arrangement {
    struct reader *reader;
    struct caps *caps;
    double diversity, exploration;
    uint64_t key;     /* of what is drawn */
    size_t k, len;    /* places, and how many of them are taken, */
    uint32_t *chosen; /* by these */
};

bool arrange_asked(const struct ask *ask); /* else the list is reader_pick's */
void arrange_init(struct arrangement *arrangement, struct reader *reader, struct caps *caps, const struct ask *ask, size_t k);
/* Fills the places that are left, up to k, with what `pick` brings. May be called again with another, for what that leaves. What is chosen is
 * marked; reader_unmark_all ends it. */
struct picks arrange(struct arrangement *arrangement, picker *pick, const void *context);

#endif
