/*
 * walk.h -- random walks over the vocabulary of the scenarios: what a seed makes happen, as a list of steps.
 *
 * A step is one command, or some that belong together (crash, restart, look), so that any step can be left out and the rest
 * still makes sense: that is how a failing walk is made small.
 */
#ifndef FR_WALK_H
#define FR_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STEPS_MAX = 160, STEP_BYTES = 128 };

struct walk {
    uint64_t seed;
    size_t len;
    char steps[STEPS_MAX][STEP_BYTES];
};

void walk_make(struct walk *walk, uint64_t seed);
/* As a scenario; `room` of at least STEPS_MAX * STEP_BYTES. */
void walk_text(const struct walk *walk, char *room);

#endif
