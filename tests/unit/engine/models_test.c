/*
 * models_test.c -- several models in one engine: each learns every event, is asked by its name, and shows what it has learned.
 *
 * The registry is this test's: beside the popular one there is a parrot, which repeats what it was told.
 */
#include "engine_world.h"
#include "freshet/feature.h"

/* ---- the parrot ---- */

enum { HEARD_MAX = 64 };
struct model {
    struct model_host host;
    const double *answer; /* by item; from `options` */
    size_t heard;
    uint64_t draw[HEARD_MAX], context[HEARD_MAX];
    uint32_t history[HEARD_MAX];
    _Atomic size_t learned, shown; /* events; as of the last publish */
    size_t forgotten;
    _Atomic uint64_t asked_context;
    _Atomic size_t retrieved, scored; /* questions for all items; items named */
};
static struct model *parrot; /* the last one opened */

static struct model *parrot_open(const void *options, const struct model_host *host)
{
    struct model *model = fr_zalloc(1, sizeof(*model));

    model->host = *host;
    model->answer = options;
    parrot = model;
    return model;
}

static void parrot_close(struct model *model)
{
    free(model);
}

static void parrot_extend(struct model *model, uint32_t items)
{
    (void)model, (void)items;
}

static _Atomic uint64_t prepared; /* the draw of the last event it was told of ahead */

static void parrot_prepare(const struct model *model, const struct touch *touch, int stage)
{
    (void)model, (void)stage;
    atomic_store(&prepared, touch->draw);
}

static void parrot_learn(struct model *model, const struct touch *touch)
{
    size_t at = model->heard++;

    assert_true(at < HEARD_MAX);
    model->draw[at] = touch->draw;
    model->context[at] = touch->context_len ? touch->context[touch->context_len - 1] : 0;
    model->history[at] = touch->history.len;
    atomic_fetch_add(&model->learned, 1);
}

static void parrot_forget(struct model *model, const struct touch *touch)
{
    (void)touch;
    model->forgotten++;
}

static size_t shown_at_once = SIZE_MAX; /* events */

static void parrot_publish(struct model *model)
{
    size_t left = atomic_load(&model->learned) - atomic_load(&model->shown);
    atomic_fetch_add(&model->shown, left < shown_at_once ? left : shown_at_once);
}

static bool parrot_behind(const struct model *model)
{
    return atomic_load(&model->shown) < atomic_load(&model->learned);
}

/* Of any feature but this it has heard. */
#define UNHEARD_OF UINT64_C(77)

static bool parrot_knows(const struct model *model, const uint64_t *context, size_t len)
{
    (void)model;
    return len && (len > 1 || context[0] != UNHEARD_OF);
}

static void parrot_retrieve(const struct model *model, const struct query *query, struct scores *scores)
{
    atomic_store(&parrot->asked_context, query->context_len ? query->context[0] : 0);
    atomic_fetch_add(&parrot->retrieved, 1);
    scores->dense = true;
    for (uint32_t item = 0; item < query->items; item++)
        scores->value[item] = model->answer[item];
}

static void parrot_score(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values)
{
    (void)query;
    atomic_fetch_add(&parrot->scored, len);
    for (size_t i = 0; i < len; i++)
        values[i] = model->answer[items[i]];
}

static void parrot_stats(const struct model *model, struct model_stats *ret_stats)
{
    (void)model;
    *ret_stats = (struct model_stats){
        .bytes = 77, .skipped = 1, .guarded = 2, .features = 3, .refused = 4, .expired = 5, .evicted = 6};
}

static const struct model_ops parrot_ops = {
    .name = "parrot",
    .knows = parrot_knows,
    .open = parrot_open,
    .close = parrot_close,
    .extend = parrot_extend,
    .prepare = parrot_prepare,
    .learn = parrot_learn,
    .forget = parrot_forget,
    .publish = parrot_publish,
    .behind = parrot_behind,
    .retrieve = parrot_retrieve,
    .score = parrot_score,
    .stats = parrot_stats,
};

const struct model_ops *registry_find(const char *name, size_t len)
{
    return len == 6 && !memcmp(name, "parrot", 6) ? &parrot_ops : len == 7 && !memcmp(name, "popular", 7) ? &popular_ops : NULL;
}

/* ---- a world with both ---- */

/* apple bread cheese dill egg; it says nothing of egg */
static const double says[] = {.5, -1, 2, 9, -0.0};
static const struct engine_model both[] = {{"popular", NULL}, {"parrot", says}};

static struct engine_options with_both(struct engine_options options)
{
    options.models = both;
    options.models_len = 2;
    return options;
}

static void set_up_world(struct world *world, const struct engine_options *options)
{
    *world = (struct world){.store = store_memory_new(NULL)};
    begin(world, options);
    town(world);
}

static void tear_down_world(struct world *world)
{
    end(world);
    world->store->ops->close(world->store);
}

static const char *answer_of(struct world *world, const char *model, const char *user)
{
    return recommend(world, user, (struct ask){.model = model});
}

/* ---- who answers ---- */

static void each_model_is_asked_by_its_name(void **state)
{
    struct engine_options options = with_both(parity());
    struct world world;

    (void)state;
    set_up_world(&world, &options);
    assert_string_equal(answer_of(&world, "", "ann"), "cheese 0.666667");
    assert_string_equal(answer_of(&world, "sar", "ann"), "cheese 0.666667");
    assert_string_equal(answer_of(&world, "popular", "ann"), "cheese 2.000000");
    assert_string_equal(answer_of(&world, "parrot", "ann"), "cheese 2.000000");
    assert_string_equal(answer_of(&world, "parrot", "cat"), "apple 0.500000 bread -1.000000");
    assert_string_equal(answer_of(&world, "popular", "nobody"), "apple 2.000000 bread 2.000000 cheese 2.000000");
    assert_string_equal(answer_of(&world, "parrot", "nobody"), "apple 0.000000 bread 0.000000 cheese 0.000000 fallback");
    tear_down_world(&world);
}

/* dill has left the only history it was in, so nobody holds it, whatever the parrot says; of egg it knows nothing, so that
 * comes after all others, because it is popular. */
static void a_dense_answer_has_what_somebody_holds_and_the_model_knows(void **state)
{
    struct engine_options options = with_both(product());
    struct world world;

    (void)state;
    options.history_max = 3;
    set_up_world(&world, &options);
    const struct event events[] = {event(6, "dan", "dill", NOON), event(7, "dan", "apple", NOON + 1),
                                   event(8, "dan", "bread", NOON + 2), event(9, "dan", "egg", NOON + 3)};
    give(&world, events, 4);
    await(&world, 10);
    assert_string_equal(answer_of(&world, "parrot", "cat"), "apple 0.500000 bread -1.000000 egg 0.000000 fallback");
    assert_string_equal(recommend(&world, "cat", (struct ask){.model = "parrot", .include_seen = true, .k = 2}),
                        "cheese 2.000000 apple 0.500000");
    const struct fr_bytes wanted[] = {FR_BYTES("bread"), FR_BYTES("dill"), FR_BYTES("bread")};
    assert_string_equal(recommend(&world, "cat", (struct ask){.model = "parrot", .include = wanted, .include_len = 3}),
                        "bread -1.000000");
    assert_int_equal(parrot->scored, 2); /* of the items that are named no other is looked at */
    assert_int_equal(parrot->retrieved, 2);
    assert_int_equal(parrot->forgotten, 1);
    tear_down_world(&world);
}

static void an_answer_says_who_gave_it(void **state)
{
    struct engine_options options = with_both(product());
    struct world world;
    struct recommendation_list list;
    struct fr_err err;
    struct neighbour_list neighbours;

    (void)state;
    options.default_model = "parrot";
    set_up_world(&world, &options);
    struct reader *reader = reader_new(world.engine);
    reader_begin(reader);
    reader_recommend(reader, &(struct ask){.user = FR_BYTES("ann"), .k = 1, .explain = true}, &list);
    assert_string_equal(list.model, "parrot");
    assert_string_equal(list.items[0].source, "parrot");
    assert_int_equal(list.items[0].reasons_len, 0); /* it gives none */
    reader_recommend(reader, &(struct ask){.user = FR_BYTES("ann"), .k = 1, .explain = true, .model = "sar"}, &list);
    assert_string_equal(list.model, "sar");
    assert_string_equal(list.items[0].source, "sar");
    assert_true(list.items[0].reasons_len > 0);
    /* the parrot, which answers where nobody is named, knows no neighbours */
    assert_int_equal(reader_similar_items(reader, FR_BYTES("apple"), &(struct ask){.k = 2}, &neighbours, &err), FR_OK);
    assert_int_equal(neighbours.len, 2);
    assert_false(engine_model_has_neighbours(world.engine, "parrot"));
    assert_false(engine_model_has_neighbours(world.engine, "owl"));
    assert_true(engine_model_has_neighbours(world.engine, "sar"));
    assert_int_equal(reader_similar_items(reader, FR_BYTES("apple"), &(struct ask){.k = 2, .model = "sar"}, &neighbours, &err),
                     FR_OK);
    assert_int_equal(neighbours.len, 2);
    reader_end(reader);
    reader_free(reader);
    tear_down_world(&world);
}

static void what_cannot_run_is_named(void **state)
{
    static const struct engine_model unknown[] = {{"popular", NULL}, {"owl", NULL}}, twice[] = {{"popular", NULL}, {"popular", NULL}},
                                     again[] = {{"sar", NULL}};
    static const struct {
        const struct engine_model *models;
        size_t len;
        const char *answering, *problem;
    } cases[] = {
        {unknown, 2, "sar", "there is no model 'owl'"},
        {twice, 2, "sar", "the model 'popular' is named twice"},
        {again, 1, "sar", "there is no model 'sar'"}, /* in this registry */
        {NULL, 0, "popular", "the model 'popular', which is to answer, does not run"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct engine_options options = product();
        struct store *store = store_memory_new(NULL);
        struct engine *engine;
        struct fr_err err;
        options.models = cases[i].models;
        options.models_len = cases[i].len;
        options.default_model = cases[i].answering;
        assert_int_equal(engine_open(&engine, &options, store, &err), FR_CONFIG);
        assert_string_equal(err.text, cases[i].problem);
        store->ops->close(store);
    }
}

/* What shapes a model's state is remembered from when it first was there, also while it does not run. */
static void a_model_may_come_to_a_store_that_was_made_without_it(void **state)
{
    static const struct {
        const char *shape, *problem;
    } starts[] = {
        {"sar.mode=product\n", NULL},
        {"parrot.size=1\nsar.mode=product\n", NULL},
        {"sar.mode=product\n", NULL},
        {"parrot.size=2\nsar.mode=product\n", "the store was built with 'parrot.size=1' and the configuration says 'parrot.size=2'"},
        {"parrot.colour=red\nparrot.size=1\nsar.mode=product\n", NULL},
        {"parrot.colour=blue\nsar.mode=product\n", "built with 'parrot.colour=red' and the configuration says 'parrot.colour=blue'"},
        {"sar.mode=product\nsar.window=3\n", "built with no sar.window and the configuration says 'sar.window=3'; start"},
        {"", "built with 'sar.mode=product' and the configuration says no sar.mode; start"},
    };
    struct engine_options options = with_both(product());
    struct store *store = store_memory_new(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
        struct engine *engine;
        struct fr_err err;
        options.shape = starts[i].shape;
        int status = engine_open(&engine, &options, store, &err);
        assert_int_equal(status, starts[i].problem ? FR_CONFIG : FR_OK);
        if (status)
            assert_non_null(strstr(err.text, starts[i].problem));
        else
            engine_free(engine);
    }
    store->ops->close(store);
}

/* Keys of one side only are not taken for one another's values; the mode, of which other differences follow, comes first. */
static void a_refusal_names_what_differs_and_nothing_else(void **state)
{
    enum { TYPES = 100 };
    static const char built[] = "engine.history_max=200\nsar.mode=product\nsar.window=10\nweights.like=2\n";
    static const struct {
        const char *shape, *problem;
    } starts[] = {
        {"engine.history_max=200\nsar.mode=product\nsar.window=10\nweights.foo=1\nweights.like=2\n",
         "the store was built with no weights.foo and the configuration says 'weights.foo=1'; start with"},
        {"engine.history_max=200\nsar.mode=product\nsar.window=10\n",
         "the store was built with 'weights.like=2' and the configuration says no weights.like; start with"},
        {"engine.history_max=0\nsar.mode=parity\nsar.window=0\nweights.like=2\n",
         "the store was built with 'sar.mode=product' and the configuration says 'sar.mode=parity'; likewise 'engine.history_max=200' and "
         "'engine.history_max=0', 'sar.window=10' and 'sar.window=0'; start with"},
    };
    struct engine_options options = product();
    struct store *store = store_memory_new(NULL);
    struct engine *engine;
    struct fr_err err;
    char many[64 * TYPES];
    size_t len = 0;

    (void)state;
    options.shape = built;
    assert_int_equal(engine_open(&engine, &options, store, &err), FR_OK);
    engine_free(engine);
    for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
        options.shape = starts[i].shape;
        assert_int_equal(engine_open(&engine, &options, store, &err), FR_CONFIG);
        if (!strstr(err.text, starts[i].problem))
            fail_msg("%s", err.text);
    }
    for (int i = 0; i < TYPES; i++) /* before the mode, and more than are kept */
        len += (size_t)snprintf(many + len, sizeof(many) - len, "a.%03d=1\n", i);
    snprintf(many + len, sizeof(many) - len, "engine.history_max=200\nsar.mode=parity\nsar.window=10\nweights.like=2\n");
    options.shape = many;
    assert_int_equal(engine_open(&engine, &options, store, &err), FR_CONFIG);
    assert_non_null(strstr(err.text, "'sar.mode=product' and the configuration says 'sar.mode=parity'; likewise no a.001 and 'a.001=1'"));
    assert_non_null(strstr(err.text, " more differ; start with the former, or replay the log into a new store with --rebuild"));
    store->ops->close(store);
}

static void the_status_and_the_figures_have_every_model(void **state)
{
    struct engine_options options = with_both(product());
    struct engine_status *status = calloc(1, sizeof(*status));
    struct world world;

    (void)state;
    set_up_world(&world, &options);
    engine_status(world.engine, status);
    assert_int_equal(status->models_len, 3);
    assert_string_equal(status->models[0].name, "sar");
    assert_int_equal(status->models[0].bytes, status->model_bytes);
    assert_string_equal(status->models[2].name, "parrot");
    assert_int_equal(status->models[2].bytes, 77);
    publish_figures(world.engine);
    assert_true(fr_series_value(fr_series(FR_M_STATE_BYTES, "parrot", "", "")) == 77);
    assert_true(fr_series_value(fr_series(FR_M_MODEL_SKIPPED, "parrot", "", "")) == 1);
    assert_true(fr_series_value(fr_series(FR_M_MODEL_GUARDED, "parrot", "", "")) == 2);
    assert_true(fr_series_value(fr_series(FR_M_MODEL_FEATURES, "parrot", "", "")) == 3);
    assert_true(fr_series_value(fr_series(FR_M_MODEL_FEATURES_DROPPED, "parrot", "refused", "")) == 4);
    assert_true(fr_series_value(fr_series(FR_M_MODEL_FEATURES_DROPPED, "parrot", "expired", "")) == 5);
    assert_true(fr_series_value(fr_series(FR_M_MODEL_FEATURES_DROPPED, "parrot", "evicted", "")) == 6);
    assert_true(fr_series_value(fr_series(FR_M_STATE_BYTES, "pairs", "", "")) == (double)status->model_bytes);
    free(status);
    tear_down_world(&world);
}

/* ---- what a model is told ---- */

/* Whatever else the store knows of partitions, the draw of an event is that of its place in the log. */
static void draws_hang_on_topic_partition_and_offset_alone(void **state)
{
    struct engine_options options = with_both(product());
    struct world world = {.store = store_memory_new(NULL)}, other = {.store = store_memory_new(NULL)};
    struct fr_err err;
    uint64_t first[6];
    uint32_t before;
    int64_t next;

    (void)state;
    begin(&world, &options);
    town(&world);
    memcpy(first, parrot->draw, sizeof(first));
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < i; j++)
            assert_true(first[i] != first[j]);
    give(&world, (const struct event[]){event(6, "ann", "apple", NOON)}, 1);
    await(&world, 7);
    assert_true(atomic_load(&prepared) == parrot->draw[6]); /* else other rows are fetched than are learned */
    end(&world);
    if (engine_open(&other.engine, &options, other.store, &err))
        fail_msg("%s", err.text);
    assert_int_equal(engine_partition(other.engine, TOPIC, 7, &before, &next, &err), FR_OK); /* now index 0 is another one */
    assert_int_equal(engine_start(other.engine, &err), FR_OK);
    assert_int_equal(engine_partition(other.engine, TOPIC, 0, &other.partition, &next, &err), FR_OK);
    town(&other);
    assert_memory_equal(parrot->draw, first, sizeof(first));
    other.partition = before;
    give(&other, (const struct event[]){event(0, "ann", "apple", NOON)}, 1);
    while (!engine_reached(other.engine, FR_BYTES(TOPIC), 7, 1))
        sched_yield();
    assert_true(parrot->draw[6] != first[0]);
    end(&other);
    world.store->ops->close(world.store);
    other.store->ops->close(other.store);
}

static void context_reaches_the_models_from_events_and_questions(void **state)
{
    struct engine_options options = with_both(product());
    struct world world;
    uint64_t context[] = {fr_feature_key(FR_BYTES("day"), FR_BYTES("sunday")), fr_feature_key(FR_BYTES("device"), FR_BYTES("phone"))};
    struct event with = event(6, "dan", "apple", NOON);

    (void)state;
    with.context = context;
    with.context_len = 2;
    set_up_world(&world, &options);
    give(&world, &with, 1);
    await(&world, 7);
    assert_true(parrot->context[6] == context[1]);
    assert_true(parrot->context[5] == 0);
    recommend(&world, "ann", (struct ask){.model = "parrot"});
    assert_true(atomic_load(&parrot->asked_context) == 0);
    recommend(&world, "nobody", (struct ask){.model = "parrot", .context = context, .context_len = 2}); /* context is knowledge */
    assert_true(atomic_load(&parrot->asked_context) == context[0]);
    tear_down_world(&world);
}

/* Who never reads context, or has heard of nothing in it, knows no more of an unknown user for it: popular items answer, also where items
 * without evidence are candidates. The blend knows what one of its models does. */
static void context_is_knowledge_for_models_that_read_it(void **state)
{
    static const struct engine_model with_parrot[] = {{"parrot", says}, {ENGINE_BLEND, NULL}}, without[] = {{ENGINE_BLEND, NULL}};
    const uint64_t context[] = {fr_feature_key(FR_BYTES("day"), FR_BYTES("sunday"))}, unheard_of = UNHEARD_OF;
    const struct ask of_sar = {.model = "sar", .context = context, .context_len = 1},
                     of_auto = {.model = ENGINE_BLEND, .context = context, .context_len = 1};
    const struct fr_bytes cheese = FR_BYTES("cheese");
    struct engine_options options = parity();
    struct reader *reader;
    struct world world;
    struct rank rank;

    (void)state;
    options.models = with_parrot;
    options.models_len = 2;
    set_up_world(&world, &options);
    give(&world, (const struct event[]){event(6, "dan", "cheese", NOON)}, 1);
    await(&world, 7);
    assert_string_equal(recommend(&world, "nobody", of_sar), "cheese 0.000000 apple 0.000000 bread 0.000000 fallback");
    reader = reader_new(world.engine);
    reader_begin(reader);
    reader_ranks(reader, &(struct ask){.user = FR_BYTES("nobody"), .model = "sar", .context = context, .context_len = 1}, &cheese, 1,
                 &rank);
    assert_true(rank.listed && rank.before == 0 && rank.beside == 0);
    reader_end(reader);
    reader_free(reader);
    assert_null(strstr(recommend(&world, "nobody", of_auto), "fallback"));
    const char *const readers[] = {"parrot", ENGINE_BLEND};
    for (int m = 0; m < 2; m++)
        assert_string_equal(recommend(&world, "nobody", (struct ask){.model = readers[m], .context = &unheard_of, .context_len = 1}),
                            "cheese 0.000000 apple 0.000000 bread 0.000000 fallback");
    assert_non_null(strstr(recommend(&world, "nobody", (struct ask){.model = ENGINE_BLEND}), "fallback"));
    tear_down_world(&world);
    options.models = without;
    options.models_len = 1;
    set_up_world(&world, &options);
    assert_non_null(strstr(recommend(&world, "nobody", of_auto), "fallback"));
    tear_down_world(&world);
}

/* ---- publishing ---- */

static bool town_is_shown_within_a_second(void)
{
    struct engine_options options = with_both(product());
    struct world world;

    set_up_world(&world, &options);
    uint64_t since = fr_mono_ns(), deadline = patience();
    while (atomic_load(&parrot->shown) < 6) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
    uint64_t took = fr_mono_ns() - since;
    tear_down_world(&world);
    return took < 1000000000;
}

/* The engine's thread yields to all others: on a loaded machine it may come too late once, or a few times. */
static void all_is_shown_within_a_second_of_silence(size_t at_once)
{
    enum { TIMES = 10 };
    int times = 1;

    shown_at_once = at_once;
    while (!town_is_shown_within_a_second())
        assert_true(++times <= TIMES);
    shown_at_once = SIZE_MAX;
}

static void what_was_learned_is_shown_within_a_second_of_silence(void **state)
{
    (void)state;
    all_is_shown_within_a_second_of_silence(SIZE_MAX);
    all_is_shown_within_a_second_of_silence(1); /* a model that is behind is asked again */
}

/* The loop's own decision, without its thread. */
static void under_load_models_show_after_enough_events_or_time(void **state)
{
    struct engine_options options = with_both(product());
    struct engine *engine;
    struct store *store = store_memory_new(NULL);
    struct fr_err err;

    (void)state;
    assert_int_equal(engine_open(&engine, &options, store, &err), FR_OK);
    assert_false(models_unpublished(engine));
    engine->unpublished.rest_ns = UINT64_MAX; /* it has just published, and at length */
    atomic_store(&parrot->learned, 1);
    models_learned(engine, 20000);
    engine->unpublished.since_ns = UINT64_MAX / 2; /* just now, however long this test may be held up */
    models_publish_due(engine, false);
    models_publish_due(engine, true);
    assert_int_equal(parrot->shown, 0);
    engine->unpublished.rest_ns = 0;
    engine->unpublished.events = 9999;
    models_publish_due(engine, false);
    assert_int_equal(parrot->shown, 0);
    engine->unpublished.events = 10000;
    models_publish_due(engine, false);
    assert_int_equal(parrot->shown, 1);
    assert_false(models_unpublished(engine));
    atomic_store(&parrot->learned, 2);
    models_learned(engine, 1);
    engine->unpublished.rest_ns = UINT64_MAX;
    engine->unpublished.since_ns -= 250000000; /* a quarter of a second ago: no rest is as long as that */
    models_publish_due(engine, false);
    assert_int_equal(parrot->shown, 2);
    engine_free(engine);
    store->ops->close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_model_is_asked_by_its_name),
        cmocka_unit_test(a_dense_answer_has_what_somebody_holds_and_the_model_knows),
        cmocka_unit_test(an_answer_says_who_gave_it),
        cmocka_unit_test(what_cannot_run_is_named),
        cmocka_unit_test(a_model_may_come_to_a_store_that_was_made_without_it),
        cmocka_unit_test(a_refusal_names_what_differs_and_nothing_else),
        cmocka_unit_test(the_status_and_the_figures_have_every_model),
        cmocka_unit_test(draws_hang_on_topic_partition_and_offset_alone),
        cmocka_unit_test(context_reaches_the_models_from_events_and_questions),
        cmocka_unit_test(context_is_knowledge_for_models_that_read_it),
        cmocka_unit_test(what_was_learned_is_shown_within_a_second_of_silence),
        cmocka_unit_test(under_load_models_show_after_enough_events_or_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
