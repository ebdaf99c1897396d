/*
 * histories_world.h -- histories beside a naive copy that keeps every event and sums anew.
 *
 *     affinity = sum of w * 2^-((last - t) / half_life) over the events that were not taken back
 *
 * What is done to a world is done to both; users_agree() says whether they still tell the same.
 */
#ifndef FR_HISTORIES_WORLD_H
#define FR_HISTORIES_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "histories_private.h"

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline uint32_t random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(random_next(state) % bound);
}

enum { USERS = 20, ITEMS = 60, EVENTS_MAX = 64 };

struct plain_slot {
    uint32_t item, sequence, len;
    when_ms last;
    struct {
        when_ms when;
        double weight;
    } events[EVENTS_MAX];
};

struct plain_user {
    struct plain_slot slots[ITEMS];
    uint32_t len, next_sequence;
    uint64_t events;
    when_ms last;
};

struct world {
    struct fr_epoch *epoch;
    struct histories *histories;
    struct plain_user *users;
    span_ms half_life;
    bool units;
};

static inline struct world world_new(span_ms half_life, bool units)
{
    struct world world = {.epoch = fr_epoch_new(), .half_life = half_life, .units = units};
    struct histories_options options = {.users_max = USERS, .units = units, .half_life = half_life};

    world.histories = histories_new(&options, world.epoch);
    world.users = calloc(USERS, sizeof *world.users);
    histories_extend(world.histories, USERS);
    return world;
}

static inline void world_free(struct world *world)
{
    fr_epoch_free(world->epoch);
    histories_free(world->histories);
    free(world->users);
}

static inline void slots_agree(const struct world *world, const struct plain_user *user, const struct history *history,
                               uint32_t at)
{
    const struct plain_slot *plain = &user->slots[at];
    uint32_t next = at + 1 < user->len ? user->slots[at + 1].sequence : user->next_sequence;
    double affinity = 0, unit = 0, scale = 0;

    assert_int_equal(history->item[at], plain->item);
    assert_int_equal(history->step[at], next - plain->sequence);
    assert_int_equal(stamp_last(history->stamp[at]), plain->last);
    assert_int_equal(stamp_repeats(history->stamp[at]), plain->len);
    for (uint32_t i = 0; i < plain->len; i++) {
        double worth = world->half_life ? pow(0.5, (double)(plain->last - plain->events[i].when) /
                                                       (double)world->half_life)
                                        : 1.0;

        affinity += plain->events[i].weight * worth;
        unit += worth;
        scale += fabs(plain->events[i].weight);
    }
    /* The scale allows for what was taken back: up to EVENTS_MAX events of weight 5. */
    assert_true(fabs(history->affinity[at] - affinity) <= 1e-12 * (scale + 100));
    if (world->units)
        assert_true(fabs(history->unit[at] - unit) <= 1e-12 * (plain->len + 20.0));
    else
        assert_null(history->unit);
}

static inline void users_agree(const struct world *world, uint32_t user, struct history_copy *copy)
{
    const struct plain_user *plain = &world->users[user];
    struct history live = histories_view(world->histories, user);

    histories_copy(world->histories, user, copy);
    assert_int_equal(live.len, plain->len);
    assert_int_equal(copy->view.len, plain->len);
    assert_int_equal(histories_events(world->histories, user), plain->events);
    assert_int_equal(OWN(head_of(world->histories, user)->last), plain->last);
    assert_int_equal(histories_next_sequence(world->histories, user), plain->next_sequence);
    for (uint32_t at = 0; at < plain->len; at++) {
        slots_agree(world, plain, &live, at);
        slots_agree(world, plain, &copy->view, at);
        assert_int_equal(histories_find(world->histories, user, plain->slots[at].item), at);
    }
}

static inline uint32_t plain_find(const struct plain_user *plain, uint32_t item)
{
    for (uint32_t at = 0; at < plain->len; at++)
        if (plain->slots[at].item == item)
            return at;
    return UINT32_MAX;
}

static inline void world_touch(struct world *world, uint32_t user, uint32_t item, when_ms when, double weight)
{
    struct plain_user *plain = &world->users[user];
    uint32_t at = plain_find(plain, item);
    uint32_t found = histories_find(world->histories, user, item);
    struct plain_slot *slot;

    assert_int_equal(found, at);
    if (at == UINT32_MAX) {
        at = plain->len++;
        plain->slots[at].item = item;
        plain->slots[at].sequence = plain->next_sequence++;
        plain->slots[at].last = when;
        plain->slots[at].len = 0;
    }
    slot = &plain->slots[at];
    if (slot->len == EVENTS_MAX)
        return;
    slot->events[slot->len].when = when;
    slot->events[slot->len++].weight = weight;
    if (when > slot->last)
        slot->last = when;
    if (when > plain->last)
        plain->last = when;
    plain->events++;
    assert_int_equal(histories_touch(world->histories, user, found, item, when, weight), at);
}

static inline void world_drop(struct world *world, uint32_t user, uint32_t at)
{
    struct plain_user *plain = &world->users[user];

    histories_drop(world->histories, user, at);
    memmove(&plain->slots[at], &plain->slots[at + 1], (--plain->len - at) * sizeof *plain->slots);
}

static inline void world_untouch(struct world *world, uint32_t user, uint32_t at, uint32_t which)
{
    struct plain_user *plain = &world->users[user];
    struct plain_slot *slot = &plain->slots[at];
    bool last = histories_untouch(world->histories, user, at, slot->events[which].when, slot->events[which].weight);

    slot->events[which] = slot->events[--slot->len];
    plain->events--;
    assert_int_equal(last, slot->len == 0);
    if (last)
        world_drop(world, user, at);
}

static inline void world_drop_oldest(struct world *world, uint32_t user)
{
    const struct plain_user *plain = &world->users[user];
    uint32_t oldest = 0;

    for (uint32_t at = 0; at < plain->len; at++) {
        const struct plain_slot *a = &plain->slots[at], *b = &plain->slots[oldest];

        if (a->last < b->last || (a->last == b->last && a->sequence < b->sequence))
            oldest = at;
    }
    assert_int_equal(histories_oldest(world->histories, user), oldest);
    world_drop(world, user, oldest);
}

static inline void world_wipe(struct world *world, uint32_t user)
{
    histories_wipe(world->histories, user);
    world->users[user].len = 0;
    world->users[user].events = 0;
    world->users[user].last = 0;
}

static inline void world_step(struct world *world, uint32_t user, uint64_t *random)
{
    struct plain_user *plain = &world->users[user];
    uint32_t dice = random_below(random, 1000), at = plain->len ? random_below(random, plain->len) : 0;

    if (dice < 150 && plain->len)
        world_untouch(world, user, at, random_below(random, plain->slots[at].len));
    else if (dice < 160 && plain->len)
        world_drop(world, user, at);
    else if (dice < 180 && plain->len)
        world_drop_oldest(world, user);
    else if (dice == 999)
        world_wipe(world, user);
    else /* ten days in no order, by the hour so that times are often equal; quarter weights from -5 to 5 */
        world_touch(world, user, random_below(random, ITEMS), random_below(random, 240) * (when_ms)3600000,
                    (double)random_below(random, 41) / 4 - 5);
}

#endif
