/*
 * users_byte.h -- how many users an item has, to within a sixteenth, in a byte.
 *
 *     0 .. 31      as many
 *     32 ..        16 steps for each doubling: the leading five bits, and how many follow
 *     255          507,904 or more: USERS_FAR, ask for the number itself
 *
 * A question meets thousands of items in no order. What it needs to know of most of them is that they are far from the best, and for that
 * a bound will do: a quarter of the memory is a cache's whole difference (sar_best.c).
 *
 * Thread: any.
 */
#ifndef FR_USERS_BYTE_H
#define FR_USERS_BYTE_H

#include <stdint.h>

enum { USERS_BITS = 4, USERS_STEPS = 1 << USERS_BITS, USERS_FAR = 255 };

static inline uint8_t users_byte(uint32_t users)
{
    if (users < 2 * USERS_STEPS)
        return (uint8_t)users;
    unsigned follow = (unsigned)(31 - USERS_BITS - __builtin_clz(users));
    uint32_t byte = follow * USERS_STEPS + (users >> follow);

    return (uint8_t)(byte < USERS_FAR ? byte : USERS_FAR);
}

/* The fewest and the most users with this byte, which is below USERS_FAR. */
static inline uint32_t users_fewest(uint8_t byte)
{
    unsigned doubled = byte >> USERS_BITS, follow = doubled ? doubled - 1 : 0;

    return (byte - follow * USERS_STEPS) << follow;
}

static inline uint32_t users_most(uint8_t byte)
{
    unsigned doubled = byte >> USERS_BITS, follow = doubled ? doubled - 1 : 0;

    return ((byte - follow * USERS_STEPS + 1) << follow) - 1;
}

#endif
