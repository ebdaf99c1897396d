/*
 * event_driver.h -- a very small engine, for the tests of factor models: histories in plain arrays, in the order that model.h
 * promises; and events that are a function of their number. What a model's `struct model` is, is the includer's affair.
 */
#ifndef FR_TEST_EVENT_DRIVER_H
#define FR_TEST_EVENT_DRIVER_H

#include <stdlib.h>
#include <string.h>

#include "freshet/model.h"

enum { USERS = 30, ITEMS = 300, SLOTS = 40, CONTEXT = 3 };

struct person {
    uint32_t item[SLOTS];
    uint16_t step[SLOTS];
    uint64_t stamp[SLOTS];
    double affinity[SLOTS];
    uint32_t len;
};

struct driver {
    const struct model_ops *ops;
    bool ratings; /* weights are 1 .. 5, else 1 */
    struct fr_epoch *epoch;
    struct journal *journal;
    struct model *model;
    struct scores scores;
    _Atomic uint32_t users_of_item[ITEMS], items_held;
    struct person people[USERS];
    uint64_t events;
};

static inline struct driver *driver_open(const struct model_ops *ops, const void *options, bool ratings)
{
    struct driver *driver = fr_zalloc(1, sizeof(*driver));

    driver->ops = ops;
    driver->ratings = ratings;
    driver->epoch = fr_epoch_new();
    driver->journal = journal_new();
    for (uint32_t item = 0; item < ITEMS; item++)
        atomic_init(&driver->users_of_item[item], 1); /* somebody holds each: what nobody holds is no candidate */
    const struct model_host host = {driver->epoch, &driver->journal, driver->users_of_item, &driver->items_held, ITEMS, NULL, NULL, NULL, NULL};
    driver->model = driver->ops->open(options, &host);
    driver->ops->extend(driver->model, ITEMS);
    scores_init(&driver->scores);
    return driver;
}

static inline void driver_free(struct driver *driver)
{
    driver->ops->close(driver->model);
    scores_release(&driver->scores);
    journal_free(driver->journal);
    fr_epoch_free(driver->epoch);
    free(driver);
}

static inline struct history person_view(const struct person *person)
{
    return (struct history){person->item, person->step, person->stamp, person->affinity, NULL, person->len};
}

static inline void person_take(struct person *person, uint32_t item, when_ms when, double weight)
{
    uint32_t at = 0;

    while (at < person->len && person->item[at] != item)
        at++;
    if (at == SLOTS) {
        memmove(person->item, person->item + 1, (SLOTS - 1) * sizeof(*person->item));
        memmove(person->stamp, person->stamp + 1, (SLOTS - 1) * sizeof(*person->stamp));
        memmove(person->affinity, person->affinity + 1, (SLOTS - 1) * sizeof(*person->affinity));
        at = --person->len;
    }
    bool fresh = at == person->len;
    person->item[at] = item;
    person->stamp[at] = stamp_of(when, fresh ? 1 : stamp_repeats(person->stamp[at]) + 1);
    person->affinity[at] = fresh ? weight : person->affinity[at] + weight;
    person->len += fresh;
}

/* Any id does, if everybody has her own. It points to the number. */
static inline struct fr_bytes person_id(const uint32_t *user)
{
    return (struct fr_bytes){(const char *)user, sizeof(*user)};
}

static inline bool person_has(const struct person *person, uint32_t item)
{
    for (uint32_t at = 0; at < person->len; at++) {
        if (person->item[at] == item)
            return true;
    }
    return false;
}

static inline void driver_event(struct driver *driver, uint32_t user, uint32_t item, double weight,
                                const uint64_t *context, size_t context_len)
{
    struct person *person = &driver->people[user];
    when_ms when = 1000000 + (when_ms)driver->events * 1000;
    struct touch touch = {.user = user,
                          .item = item,
                          .fresh = !person_has(person, item),
                          .when = when,
                          .weight = weight,
                          .draw = driver->events++,
                          .context = context,
                          .context_len = context_len,
                          .user_id = person_id(&user),
                          .history = person_view(person)};

    driver->ops->prepare(driver->model, &touch, 0);
    driver->ops->prepare(driver->model, &touch, 1);
    driver->ops->learn(driver->model, &touch);
    person_take(person, item, when, weight);
}

/* The `number`th event: half of the items a user meets are of her own corner of the catalogue. */
static inline void driver_event_at(struct driver *driver, uint64_t number)
{
    uint64_t z = (number + 1) * UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    uint32_t user = (uint32_t)(z % USERS), corner = user % 10 * (ITEMS / 10);
    uint32_t item = (uint32_t)(z >> 8) % (z >> 40 & 1 ? ITEMS / 10 : ITEMS);
    uint64_t context[CONTEXT] = {1 + (z >> 41) % 20, 100 + (z >> 45) % 7, 1000 + (z >> 48) % 500};
    double weight = driver->ratings ? 1 + (double)((z >> 60) % 5) : 1;
    driver_event(driver, user, (corner + item) % ITEMS, weight, context, (z >> 57) % (CONTEXT + 1));
}

static inline void driver_events(struct driver *driver, uint64_t from, uint64_t to)
{
    for (uint64_t number = from; number < to; number++)
        driver_event_at(driver, number);
}

static inline void driver_publish(struct driver *driver)
{
    driver->ops->publish(driver->model);
    fr_epoch_reclaim(driver->epoch);
}

static inline struct query driver_query(const struct driver *driver, uint32_t user)
{
    return (struct query){.history = person_view(&driver->people[user]), .now = 1, .items = ITEMS};
}

/* A whole freeze: what was owed is in the journal. */
static inline void driver_save(struct driver *driver)
{
    driver->ops->save(driver->model);
    while (!driver->ops->pay(driver->model, 7))
        ;
}

/*
 * A freeze as the engine makes it: its journal is set aside, and events go on, into another one, while what is owed is paid, now a
 * few cells, now a few events. Returns the journal, all of it paid; the caller frees it. *at: the event that comes next.
 */
static inline struct journal *driver_freeze(struct driver *driver, uint64_t *at, uint64_t *random)
{
    struct journal *aside = driver->journal;
    bool paid = false;

    driver->ops->save(driver->model);
    driver->journal = journal_new();
    while (!paid) {
        *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407U;
        if (*random >> 63)
            driver_event_at(driver, (*at)++);
        else
            paid = driver->ops->pay(driver->model, 1 + (*random >> 40) % 50);
    }
    return aside;
}

/* Retrieves into driver->scores. */
static inline const double *driver_ask(struct driver *driver, const struct query *query)
{
    scores_reset(&driver->scores, query->items);
    driver->ops->retrieve(driver->model, query, &driver->scores);
    return driver->scores.value;
}

#endif
