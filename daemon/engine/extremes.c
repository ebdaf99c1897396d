/*
 * extremes.c -- the smallest and the largest affinity of all users, kept as events come and go.
 *
 * normalize needs both (sar_reference.md section 6). All affinities decay by one factor, so their order never changes by
 * itself: two are compared at the later of their times. Each user's own pair is found by a look through the history; over
 * the users stands a tournament tree, so an event costs its history plus log2(users).
 *
 *                 [winner of all]                 winners[1]
 *             [w]                 [w]             winners[2..3]
 *          u0     u1           u2     u3          leaf of user u: winners[leaves + u]
 *
 * Thread: engine; extremes_at: any (the two results stand under a version, odd while they change).
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"

struct value {
    double affinity;
    when_ms when;
    bool there;
};

struct side { /* one tournament: sign 1 for the largest, -1 for the smallest */
    double sign;
    struct value *leaf; /* by user */
    uint32_t *winner;   /* leaves * 2 */
};

struct extremes {
    const struct histories *histories;
    span_ms half_life;
    uint32_t leaves; /* power of two */
    struct side low, high;
    _Atomic uint32_t version;
    _Atomic uint64_t published[4]; /* bits of: low affinity, low when, high affinity, high when */
    _Atomic bool any;
};

static bool beats(const struct extremes *extremes, double sign, const struct value *a, const struct value *b)
{
    if (!a->there || !b->there)
        return a->there;
    when_ms at = a->when > b->when ? a->when : b->when;
    return sign * a->affinity * decay_factor(at - a->when, extremes->half_life) >
           sign * b->affinity * decay_factor(at - b->when, extremes->half_life);
}

static void climb(const struct extremes *extremes, struct side *side, uint32_t node)
{
    for (node /= 2; node >= 1; node /= 2) {
        uint32_t left = side->winner[node * 2], right = side->winner[node * 2 + 1];
        side->winner[node] = beats(extremes, side->sign, &side->leaf[right], &side->leaf[left]) ? right : left;
    }
}

static void grow(struct extremes *extremes, struct side *side, uint32_t leaves)
{
    side->leaf = fr_realloc(side->leaf, leaves * sizeof(*side->leaf));
    memset(side->leaf + extremes->leaves, 0, (leaves - extremes->leaves) * sizeof(*side->leaf));
    side->winner = fr_realloc(side->winner, 2 * (size_t)leaves * sizeof(*side->winner));
    for (uint32_t i = 0; i < leaves; i++)
        side->winner[leaves + i] = i;
    for (uint32_t node = leaves - 1; node >= 1; node--) {
        uint32_t left = side->winner[node * 2], right = side->winner[node * 2 + 1];
        side->winner[node] = beats(extremes, side->sign, &side->leaf[right], &side->leaf[left]) ? right : left;
    }
}

struct extremes *extremes_new(const struct histories *histories, span_ms half_life)
{
    struct extremes *extremes = fr_zalloc(1, sizeof(*extremes));

    extremes->histories = histories;
    extremes->half_life = half_life;
    extremes->low.sign = -1;
    extremes->high.sign = 1;
    return extremes;
}

void extremes_free(struct extremes *extremes)
{
    if (!extremes)
        return;
    free(extremes->low.leaf);
    free(extremes->low.winner);
    free(extremes->high.leaf);
    free(extremes->high.winner);
    free(extremes);
}

static void look_through(const struct extremes *extremes, const struct history *history, struct side *side, uint32_t user)
{
    struct value best = {0};

    for (uint32_t i = 0; i < history->len; i++) {
        struct value value = {history->affinity[i], stamp_last(history->stamp[i]), true};
        if (beats(extremes, side->sign, &value, &best))
            best = value;
    }
    side->leaf[user] = best;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double of_bits(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void publish(struct extremes *extremes)
{
    const struct value *low = &extremes->low.leaf[extremes->low.winner[1]];
    const struct value *high = &extremes->high.leaf[extremes->high.winner[1]];
    uint32_t version = atomic_load_explicit(&extremes->version, memory_order_relaxed);

    atomic_store_explicit(&extremes->version, version + 1, memory_order_relaxed);
    atomic_store_explicit(&extremes->published[0], bits_of(low->affinity), memory_order_release);
    atomic_store_explicit(&extremes->published[1], (uint64_t)low->when, memory_order_release);
    atomic_store_explicit(&extremes->published[2], bits_of(high->affinity), memory_order_release);
    atomic_store_explicit(&extremes->published[3], (uint64_t)high->when, memory_order_release);
    atomic_store_explicit(&extremes->any, low->there, memory_order_release);
    atomic_store_explicit(&extremes->version, version + 2, memory_order_release);
}

void extremes_update(struct extremes *extremes, uint32_t user)
{
    struct history history = histories_view(extremes->histories, user);

    if (user >= extremes->leaves) {
        uint32_t leaves = extremes->leaves ? extremes->leaves : 16;
        while (leaves <= user)
            leaves *= 2;
        grow(extremes, &extremes->low, leaves);
        grow(extremes, &extremes->high, leaves);
        extremes->leaves = leaves;
    }
    look_through(extremes, &history, &extremes->low, user);
    look_through(extremes, &history, &extremes->high, user);
    climb(extremes, &extremes->low, extremes->leaves + user);
    climb(extremes, &extremes->high, extremes->leaves + user);
    publish(extremes);
}

bool extremes_at(const struct extremes *extremes, when_ms now, double *ret_min, double *ret_max)
{
    uint32_t before, after;
    uint64_t copy[4];
    bool any;

    do {
        before = atomic_load_explicit(&extremes->version, memory_order_acquire);
        for (int i = 0; i < 4; i++)
            copy[i] = atomic_load_explicit(&extremes->published[i], memory_order_acquire);
        any = atomic_load_explicit(&extremes->any, memory_order_acquire);
        after = atomic_load_explicit(&extremes->version, memory_order_relaxed);
    } while (before != after || before % 2);
    if (!any)
        return false;
    *ret_min = of_bits(copy[0]) * decay_factor(now - (when_ms)copy[1], extremes->half_life);
    *ret_max = of_bits(copy[2]) * decay_factor(now - (when_ms)copy[3], extremes->half_life);
    return true;
}
