/*
 * models.c -- which models run, and when they show what they have learned.
 *
 *     learners    [ sar | popular | trending | fm | ... ]    in the order they learn; any of them may be asked, and auto, which asks all
 *
 * What a model publishes may cost it time that grows with its state, so publishing rests ten times as long as it took, but
 * never so long that what was learned stays unseen for a second:
 *
 *     no batch waits      at once, if it has rested
 *     batches wait        after EVENTS_MOST events, if it has rested
 *     in any case         LATEST_MS after the first event that is not shown
 */
#include <stdio.h>
#include <string.h>

#include "blend.h"
#include "engine_private.h"

enum { EVENTS_MOST = 10000, LATEST_MS = 250, REST = 10 };

static bool is_said(const void *catalogue, uint32_t item)
{
    return catalogue_item(catalogue, item) != NULL;
}

static void open_one(struct engine *engine, const struct model_ops *ops, const void *options)
{
    const struct model_host host = {
        .epoch = engine->epoch,
        .journal = &engine->journal,
        .users_of_item = (const _Atomic uint32_t *)engine->item_users.base,
        .items_held = &engine->items_held,
        .events = &engine->events,
        .items_max = engine->options.items_max,
        .said = is_said,
        .catalogue = engine->catalogue,
        .users_bytes = (const _Atomic uint8_t *)engine->item_bytes.base,
    };

    engine->learners[engine->learners_len++] = (struct learner){ops, ops->open(options, &host)};
    if (ops->publish)
        watch_expect_more(engine);
}

int models_open(struct engine *engine, struct fr_err *err)
{
    const struct engine_options *options = &engine->options;

    bool blended = false;

    open_one(engine, &sar_ops, &options->sar);
    for (size_t m = 0; m < options->models_len; m++) {
        const char *name = options->models[m].name;
        const struct model_ops *ops = registry_find(name, strlen(name));
        bool blend = strcmp(name, ENGINE_BLEND) == 0;
        blended = blended || blend;
        if (blend)
            continue;
        if (!ops)
            return fr_fail(err, FR_CONFIG, "there is no model '%s'", name);
        if (models_find(engine, name))
            return fr_fail(err, FR_CONFIG, "the model '%s' is named twice", name);
        if (engine->learners_len == ENGINE_MODELS_MAX)
            return fr_fail(err, FR_CONFIG, "more than %d models", ENGINE_MODELS_MAX);
        open_one(engine, ops, options->models[m].options);
    }
    if (blended) {
        engine->blend = blend_new(engine);
        engine->blended.ops = blend_ops(engine->blend);
    }
    engine->answering = &engine->learners[0];
    if (options->default_model && !(engine->answering = models_find(engine, options->default_model)))
        return fr_fail(err, FR_CONFIG, "the model '%s', which is to answer, does not run", options->default_model);
    return FR_OK;
}

void models_close(struct engine *engine)
{
    while (engine->learners_len) {
        const struct learner *learner = &engine->learners[--engine->learners_len];
        learner->ops->close(learner->model);
    }
    blend_free(engine->blend);
}

const struct learner *models_find(const struct engine *engine, const char *name)
{
    if (!name || !*name)
        return engine->answering;
    for (size_t m = 0; m < engine->learners_len; m++)
        if (strcmp(engine->learners[m].ops->name, name) == 0)
            return &engine->learners[m];
    return engine->blend && strcmp(name, ENGINE_BLEND) == 0 ? &engine->blended : NULL;
}

const char *engine_model(const struct engine *engine, size_t index)
{
    if (index < engine->learners_len)
        return engine->learners[index].ops->name;
    return index == engine->learners_len && engine->blend ? ENGINE_BLEND : NULL;
}

void models_describe(struct engine *engine, uint32_t item, const struct catalogue_item *record)
{
    for (size_t m = 0; m < engine->learners_len; m++)
        if (engine->learners[m].ops->describe)
            engine->learners[m].ops->describe(engine->learners[m].model, item, record ? record->features : NULL,
                                              record ? record->features_len : 0);
}

void models_forget_user(struct engine *engine, uint32_t user)
{
    for (size_t m = 0; m < engine->learners_len; m++)
        if (engine->learners[m].ops->forget_user)
            engine->learners[m].ops->forget_user(engine->learners[m].model, dict_id(engine->users, user));
}

void models_forgotten(struct engine *engine, uint64_t users)
{
    for (size_t m = 0; m < engine->learners_len; m++)
        if (engine->learners[m].ops->forgotten)
            engine->learners[m].ops->forgotten(engine->learners[m].model, users);
}

enum score_unit models_unit(const struct learner *learner, uint32_t *ret_beside)
{
    return learner->ops->unit ? learner->ops->unit(learner->model, ret_beside) : SCORE_ORDERS;
}

enum score_unit engine_model_unit(const struct engine *engine, const char *name)
{
    const struct learner *learner = models_find(engine, name);
    uint32_t beside;

    return learner ? models_unit(learner, &beside) : SCORE_ORDERS;
}

const char *engine_model_remains(const struct engine *engine, size_t index)
{
    return index < engine->learners_len ? engine->learners[index].ops->remains : NULL;
}

bool engine_model_has_neighbours(const struct engine *engine, const char *name)
{
    const struct learner *learner = models_find(engine, name);

    return learner && (learner == &engine->blended || learner->ops->neighbours);
}

/* ---- publishing ---- */

void models_publish(struct engine *engine)
{
    uint64_t begin = fr_mono_ns();
    bool behind = false;

    for (size_t m = 0; m < engine->learners_len; m++) {
        const struct learner *learner = &engine->learners[m];
        if (learner->ops->publish)
            learner->ops->publish(learner->model);
        behind = behind || (learner->ops->behind && learner->ops->behind(learner->model));
    }
    uint64_t end = fr_mono_ns();
    engine->unpublished.since_ns = end;
    atomic_store_explicit(&engine->unpublished.events, behind, memory_order_release);
    watch_tell_shown(engine, !behind);
    engine->unpublished.rest_ns = end + (end - begin) * REST;
}

void models_learned(struct engine *engine, uint64_t events)
{
    if (engine->options.publish_at_once)
        return;
    if (!models_unpublished(engine) && events)
        engine->unpublished.since_ns = fr_mono_ns();
    atomic_fetch_add_explicit(&engine->unpublished.events, events, memory_order_release);
}

bool models_unpublished(const struct engine *engine)
{
    return atomic_load_explicit(&engine->unpublished.events, memory_order_acquire) > 0;
}

void models_publish_due(struct engine *engine, bool idle)
{
    if (!models_unpublished(engine))
        return;
    uint64_t now = fr_mono_ns();
    bool wanted = (idle || atomic_load_explicit(&engine->unpublished.events, memory_order_relaxed) >= EVENTS_MOST) && now >= engine->unpublished.rest_ns;
    if (wanted || now >= engine->unpublished.since_ns + LATEST_MS * UINT64_C(1000000))
        models_publish(engine);
}
