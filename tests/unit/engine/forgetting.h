/*
 * forgetting.h -- tombstones, and what there is to see of them.
 */
#ifndef FR_FORGETTING_H
#define FR_FORGETTING_H

#include "engine_world.h"
#include "freshet/fm.h"

static inline struct event gone(int64_t offset, const char *user, const char *item, when_ms logged)
{
    return (struct event){.kind = user ? EVENT_USER_GONE : EVENT_ITEM_GONE,
                          .offset = offset,
                          .logged = logged,
                          .user = fr_bytes_of(user ? user : ""),
                          .item = fr_bytes_of(item ? item : "")};
}

/* Waits until no history holds what was forgotten. */
static inline void await_forgotten(struct world *world)
{
    struct fr_series *left = FR_SERIES(FR_M_FORGETTING);
    uint64_t deadline = patience();

    for (;;) {
        publish_figures(world->engine);
        if (fr_series_value(left) == 0)
            return;
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
}

/* FM alone, which has rows for users, too. */
static inline void with_user_rows(struct engine_options *options)
{
    static struct fm_options fm;
    static const struct engine_model models[] = {{"fm", &fm}};

    fm = fm_defaults;
    fm.user_rows = true;
    fm.features_admit = 1;
    options->models = models;
    options->models_len = 1;
}

/* Rows that FM has for features, users' own among them. */
static inline double features_of(struct world *world)
{
    publish_figures(world->engine);
    return fr_series_value(fr_series(FR_M_MODEL_FEATURES, "fm", "", ""));
}

static inline void assert_known(struct world *world, unsigned users, unsigned items)
{
    static struct engine_status status;

    engine_status(world->engine, &status);
    assert_int_equal(status.users, users);
    assert_int_equal(status.items, items);
    publish_figures(world->engine);
    assert_true(fr_series_value(fr_series(FR_M_STATE_USERS, "", "", "")) == users);
    assert_true(fr_series_value(fr_series(FR_M_STATE_ITEMS, "", "", "")) == items);
}

#endif
