/*
 * breaker.c -- see breaker.h. A ring of bits, one per record; nothing at all for a partition that never saw poison.
 */
#include "breaker.h"

#include "freshet/alloc.h"

bool breaker_trips(struct breaker **ret_breaker, bool poison, unsigned percent)
{
    struct breaker *breaker = *ret_breaker;

    if (!percent || (!breaker && !poison))
        return false;
    if (!breaker)
        breaker = *ret_breaker = fr_zalloc(1, sizeof(*breaker));
    uint64_t *word = &breaker->bits[breaker->at / 64], bit = 1ULL << breaker->at % 64;
    breaker->poison -= (*word & bit) != 0;
    *word = poison ? *word | bit : *word & ~bit;
    breaker->poison += poison;
    breaker->at = (breaker->at + 1) % BREAKER_WINDOW;
    return poison && breaker->poison > percent * (BREAKER_WINDOW / 100);
}
