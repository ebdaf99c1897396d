/*
 * sar_driver.h -- a very small engine, for the tests of SAR: plain arrays, no cleverness, in the order that model.h
 * promises.
 *
 *     event     learn with the history before; then the slot is added or touched; then n_i; then the oldest leaves if
 *               there are more than history_max
 *     leaving   the slot goes, n_i goes down, then forget with the history after
 */
#ifndef FR_SAR_DRIVER_H
#define FR_SAR_DRIVER_H

#include <stdlib.h>
#include <string.h>

#include "freshet/model.h"
#include "freshet/sar.h"
#include "sar_parts.h"

enum { USERS = 12, ITEMS = 40 };

struct person {
    uint32_t item[ITEMS + 1], sequence[ITEMS + 1];
    uint16_t step[ITEMS + 1]; /* person_view's */
    uint64_t stamp[ITEMS + 1];
    double affinity[ITEMS + 1], unit[ITEMS + 1];
    uint32_t len, next_sequence;
};

struct driver {
    struct sar_options options;
    uint32_t history_max;
    struct fr_epoch *epoch;
    struct journal *journal;
    struct model *model;
    struct scores scores;
    _Atomic uint32_t users_of_item[ITEMS], items_held;
    when_ms now;
    struct person people[USERS];
};

static inline struct driver *driver_new(const struct sar_options *options, uint32_t history_max)
{
    struct driver *driver = fr_zalloc(1, sizeof(*driver));

    driver->options = *options;
    driver->history_max = history_max;
    driver->epoch = fr_epoch_new();
    driver->journal = journal_new();
    const struct model_host host = {.epoch = driver->epoch,
                                    .journal = &driver->journal,
                                    .users_of_item = driver->users_of_item,
                                    .items_held = &driver->items_held,
                                    .items_max = ITEMS};
    driver->model = sar_ops.open(options, &host);
    sar_ops.extend(driver->model, ITEMS);
    scores_init(&driver->scores);
    return driver;
}

static inline void driver_free(struct driver *driver)
{
    sar_ops.close(driver->model);
    scores_release(&driver->scores);
    journal_free(driver->journal);
    fr_epoch_free(driver->epoch);
    free(driver);
}

/* From slot `at` to the next; from the last to the next item to come. */
static inline uint32_t person_apart(const struct person *person, uint32_t at)
{
    return (at + 1 < person->len ? person->sequence[at + 1] : person->next_sequence) - person->sequence[at];
}

static inline struct history person_view(struct person *person)
{
    for (uint32_t at = 0; at < person->len; at++) {
        uint32_t apart = person_apart(person, at);
        person->step[at] = (uint16_t)(apart <= HISTORY_STEP_MAX ? apart : HISTORY_STEP_FAR);
    }
    return (struct history){person->item, person->step, person->stamp, person->affinity, person->unit, person->len};
}

static inline uint32_t person_find(const struct person *person, uint32_t item)
{
    for (uint32_t at = 0; at < person->len; at++) {
        if (person->item[at] == item)
            return at;
    }
    return UINT32_MAX;
}

static inline void driver_drop(struct driver *driver, uint32_t user, uint32_t at)
{
    struct person *person = &driver->people[user];
    struct history before = person_view(person);
    struct touch touch = {.user = user,
                          .item = before.item[at],
                          .at = at,
                          .behind = at ? before.step[at - 1] : 0,
                          .ahead = before.step[at]};

    for (person->len--; at < person->len; at++) {
        person->item[at] = person->item[at + 1];
        person->sequence[at] = person->sequence[at + 1];
        person->stamp[at] = person->stamp[at + 1];
        person->affinity[at] = person->affinity[at + 1];
        person->unit[at] = person->unit[at + 1];
    }
    if (--driver->users_of_item[touch.item] == 0)
        driver->items_held--;
    touch.history = person_view(person);
    sar_ops.forget(driver->model, &touch);
}

static inline void driver_evict(struct driver *driver, uint32_t user)
{
    struct person *person = &driver->people[user];
    uint32_t oldest = 0;

    for (uint32_t at = 1; at < person->len; at++) { /* equal times: the earlier slot, it has the smaller sequence */
        if (stamp_last(person->stamp[at]) < stamp_last(person->stamp[oldest]))
            oldest = at;
    }
    driver_drop(driver, user, oldest);
}

/* Adds to the decayed sum kept as of `last`; returns the new `last`. */
static inline when_ms decayed_add(double *sum, when_ms last, when_ms when, double weight, span_ms half_life)
{
    if (when >= last) {
        *sum = *sum * decay_factor(when - last, half_life) + weight;
        return when;
    }
    *sum += weight * decay_factor(last - when, half_life);
    return last;
}

static inline void driver_event(struct driver *driver, uint32_t user, uint32_t item, when_ms when, double weight)
{
    struct person *person = &driver->people[user];
    uint32_t at = person_find(person, item);
    bool fresh = at == UINT32_MAX;
    struct history before = person_view(person);
    struct touch touch = {.user = user,
                          .item = item,
                          .at = fresh ? before.len : at,
                          .behind = fresh && before.len ? before.step[before.len - 1] : 0,
                          .fresh = fresh,
                          .when = when,
                          .weight = weight,
                          .history = before};

    sar_ops.prepare(driver->model, &touch, 0);
    sar_ops.prepare(driver->model, &touch, 1);
    sar_ops.learn(driver->model, &touch);
    if (fresh) {
        at = person->len++;
        person->item[at] = item;
        person->sequence[at] = person->next_sequence++;
        person->stamp[at] = stamp_of(when, 1);
        person->affinity[at] = weight;
        person->unit[at] = 1;
        if (driver->users_of_item[item]++ == 0)
            driver->items_held++;
    } else {
        when_ms last = stamp_last(person->stamp[at]);
        decayed_add(&person->unit[at], last, when, 1, driver->options.half_life);
        when_ms newest = decayed_add(&person->affinity[at], last, when, weight, driver->options.half_life);
        person->stamp[at] = stamp_of(newest, stamp_repeats(person->stamp[at]) + 1);
    }
    driver->now = when > driver->now ? when : driver->now;
    if (driver->history_max && person->len > driver->history_max)
        driver_evict(driver, user);
    fr_epoch_reclaim(driver->epoch);
}

/* Takes back one event that the user's history still counts. */
static inline void driver_forget_event(struct driver *driver, uint32_t user, uint32_t item, when_ms when, double weight)
{
    struct person *person = &driver->people[user];
    uint32_t at = person_find(person, item);
    when_ms last = stamp_last(person->stamp[at]);
    uint32_t repeats = stamp_repeats(person->stamp[at]);

    if (repeats == 1) {
        driver_drop(driver, user, at);
        return;
    }
    person->affinity[at] -= weight * decay_factor(last - when, driver->options.half_life);
    person->unit[at] -= decay_factor(last - when, driver->options.half_life);
    person->stamp[at] = stamp_of(last, repeats - 1);
}

static inline void driver_forget_user(struct driver *driver, uint32_t user)
{
    while (driver->people[user].len)
        driver_drop(driver, user, driver->people[user].len - 1);
}

/* Retrieves into driver->scores. */
static inline const struct scores *driver_ask(struct driver *driver, uint32_t user, const struct seed *seeds,
                                              size_t seeds_len, bool unit)
{
    struct query query = {.history = person_view(&driver->people[user]),
                          .seeds = seeds,
                          .seeds_len = seeds_len,
                          .now = driver->now,
                          .items = ITEMS,
                          .unit = unit};

    scores_reset(&driver->scores, ITEMS);
    sar_ops.retrieve(driver->model, &query, &driver->scores);
    return &driver->scores;
}

#endif
