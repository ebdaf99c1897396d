/*
 * ease_driver.h -- histories without an engine, for the tests and the benchmark of EASE: who holds what, a solution, questions.
 */
#ifndef FR_EASE_DRIVER_H
#define FR_EASE_DRIVER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/ease.h"
#include "freshet/model.h"

struct person {
    uint32_t *item, len;
    uint64_t *stamp;
    double *affinity;
    size_t item_room, stamp_room, affinity_room;
};

struct driver {
    struct fr_epoch *epoch;
    struct fr_epoch_reader *reader;
    struct model *model;
    struct scores scores;
    struct person *people;
    uint32_t users, items;
    _Atomic uint32_t *users_of_item;
};

static inline struct driver *driver_new(const struct ease_options *options, uint32_t users, uint32_t items)
{
    struct driver *driver = fr_zalloc(1, sizeof(*driver));

    *driver = (struct driver){.epoch = fr_epoch_new(), .users = users, .items = items};
    driver->reader = fr_epoch_join(driver->epoch);
    driver->people = fr_zalloc(users, sizeof(*driver->people));
    driver->users_of_item = fr_zalloc(items, sizeof(*driver->users_of_item));
    driver->model = ease_ops.open(options, &(struct model_host){.epoch = driver->epoch,
                                                                .users_of_item = driver->users_of_item,
                                                                .items_max = items});
    ease_ops.extend(driver->model, items);
    scores_init(&driver->scores);
    return driver;
}

static inline void driver_free(struct driver *driver)
{
    fr_epoch_reclaim(driver->epoch);
    ease_ops.close(driver->model);
    fr_epoch_part(driver->reader);
    fr_epoch_free(driver->epoch);
    scores_release(&driver->scores);
    for (uint32_t u = 0; u < driver->users; u++) {
        free(driver->people[u].item);
        free(driver->people[u].stamp);
        free(driver->people[u].affinity);
    }
    free(driver->people);
    free((void *)driver->users_of_item);
    free(driver);
}

static inline struct history driver_history(const struct driver *driver, uint32_t user)
{
    const struct person *person = &driver->people[user];

    return (struct history){.item = person->item, .stamp = person->stamp, .affinity = person->affinity, .len = person->len};
}

/* The user has not held the item before. */
static inline void driver_event(struct driver *driver, uint32_t user, uint32_t item, when_ms when, double affinity)
{
    struct person *person = &driver->people[user];
    struct touch touch = {.user = user, .item = item, .at = person->len, .fresh = true, .when = when, .weight = affinity,
                          .history = driver_history(driver, user)};

    ease_ops.learn(driver->model, &touch);
    fr_reserve((void **)&person->item, &person->item_room, person->len + 1, sizeof(*person->item));
    fr_reserve((void **)&person->stamp, &person->stamp_room, person->len + 1, sizeof(*person->stamp));
    fr_reserve((void **)&person->affinity, &person->affinity_room, person->len + 1, sizeof(*person->affinity));
    person->item[person->len] = item;
    person->stamp[person->len] = stamp_of(when, 1);
    person->affinity[person->len++] = affinity;
    driver->users_of_item[item]++;
}

/* Users in ascending or descending order; FR_OK, and then it is published. */
static inline int driver_refresh(struct driver *driver, bool backward, struct fr_err *err)
{
    struct ease_build *build = ease_build_new(driver->model, driver->items);
    int status;

    if (!build)
        return fr_fail(err, FR_NOT_FOUND, "nobody holds anything");
    for (uint32_t i = 0; i < driver->users; i++) {
        struct history history = driver_history(driver, backward ? driver->users - 1 - i : i);
        ease_build_add(build, &history);
    }
    if ((status = ease_build_solve(build, NULL, err))) {
        ease_build_free(build);
        return status;
    }
    ease_build_offer(build);
    ease_ops.publish(driver->model);
    fr_epoch_reclaim(driver->epoch);
    ease_sweep(driver->model);
    return FR_OK;
}

static inline struct query driver_query(const struct driver *driver, uint32_t user)
{
    return (struct query){.history = driver_history(driver, user), .items = driver->items};
}

/* Fills driver->scores. */
static inline const struct scores *driver_ask(struct driver *driver, const struct query *query)
{
    scores_reset(&driver->scores, driver->items);
    fr_epoch_enter(driver->reader);
    ease_ops.retrieve(driver->model, query, &driver->scores);
    fr_epoch_leave(driver->reader);
    return &driver->scores;
}

#endif
