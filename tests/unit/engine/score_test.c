/*
 * score_test.c -- Score and Explain say what Recommend says, and what they say it is made of adds up: by hand in the small town, and for
 * every model over a stream.
 */
#include "engine_world.h"
#include "freshet/ease.h"
#include "freshet/fm.h"
#include "freshet/ncf.h"
#include "freshet/trending.h"

#include <math.h>

/* ---- by hand ---- */

/* "bread 0.500000 sar, cheese ..." */
static const char *score(struct world *world, struct ask ask, const char *const *items, size_t len)
{
    static char text[1000];
    struct reader *reader = reader_new(world->engine);
    struct recommendation_list list;
    struct fr_bytes ids[8];
    size_t at = 0;

    for (size_t i = 0; i < len; i++)
        ids[i] = fr_bytes_of(items[i]);
    reader_begin(reader);
    reader_score(reader, &ask, ids, len, &list);
    assert_int_equal(list.len, len);
    for (size_t i = 0; i < len; i++) {
        assert_true(list.items[i].item.at == ids[i].at);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.3f %s", i ? ", " : "", list.items[i].score, list.items[i].source);
    }
    reader_end(reader);
    reader_free(reader);
    return text;
}
#define SCORE(world, ask, ...) score(world, ask, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* "0.667 rank 1: apple 0.333, bread 0.333 not: seen" */
static const char *why(struct world *world, struct ask ask, const char *item)
{
    static char text[1000];
    struct reader *reader = reader_new(world->engine);
    struct explanation found;
    size_t at;

    reader_begin(reader);
    reader_explain(reader, &ask, fr_bytes_of(item), &found);
    at = (size_t)snprintf(text, sizeof(text), "%.3f rank %u:", found.score, found.rank);
    for (size_t i = 0; i < found.reasons_len; i++) {
        const struct why *reason = &found.reasons[i];
        assert_true(!reason->item.len == (reason->text != NULL));
        at += (size_t)snprintf(text + at, sizeof(text) - at, " %.*s %.3f", (int)(reason->text ? strlen(reason->text) : reason->item.len),
                               reason->text ? reason->text : reason->item.at, reason->contribution);
    }
    for (size_t i = 0; i < found.excluded_by_len; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? ", " : " not: ", found.excluded_by[i]);
    reader_end(reader);
    reader_free(reader);
    return text;
}

static const struct engine_model popular_too[] = {{.name = "popular"}};

static void the_town_in_parity(void **state)
{
    struct engine_options options = parity();
    struct world world = {.store = store_memory_new(NULL)};
    const struct ask ann = {.user = FR_BYTES("ann")}, cat = {.user = FR_BYTES("cat")};
    struct ask filtered = cat;

    (void)state;
    options.models = popular_too;
    options.models_len = 1;
    begin(&world, &options);
    town(&world);
    assert_string_equal(SCORE(&world, ann, "cheese", "nothing", "apple", "cheese"), "0.667 sar, 0.000 , 2.000 sar, 0.667 sar");
    assert_string_equal(why(&world, ann, "cheese"), "0.667 rank 1: apple 0.333 bread 0.333");
    assert_string_equal(why(&world, ann, "apple"), "2.000 rank 0: apple 1.000 bread 1.000 not: seen");
    assert_string_equal(why(&world, ann, "nothing"), "0.000 rank 0: not: unknown item");
    assert_string_equal(why(&world, cat, "bread"), "0.333 rank 2: cheese 0.333"); /* apple scores the same and comes first */
    filtered.exclude = &FR_BYTES("apple");
    filtered.exclude_len = 1;
    assert_string_equal(why(&world, filtered, "bread"), "0.333 rank 1: cheese 0.333");
    assert_string_equal(why(&world, filtered, "apple"), "0.333 rank 0: cheese 0.333 not: filter");
    filtered = (struct ask){.user = cat.user, .include = &FR_BYTES("bread"), .include_len = 1};
    assert_string_equal(why(&world, filtered, "cheese"), "1.000 rank 0: cheese 1.000 not: seen, filter");
    end(&world);
    world.store->ops->close(world.store);
}

static void the_town_in_product(void **state)
{
    struct engine_options options = product();
    struct world world = {.store = store_memory_new(NULL)};
    const struct ask_seed seed = {.item = FR_BYTES("apple")};
    const struct ask nobody = {.user = FR_BYTES("nobody")}, session = {.seeds = &seed, .seeds_len = 1};

    (void)state;
    options.models = popular_too;
    options.models_len = 1;
    begin(&world, &options);
    town(&world);
    const struct event more[] = {event(6, "dan", "dill", NOON)};
    give(&world, more, 1);
    await(&world, 7);
    /* Of nobody there is nothing to say, but by who speaks for anybody; bread fills in behind apple. */
    assert_string_equal(SCORE(&world, nobody, "apple", "bread"), "0.000 , 0.000 ");
    assert_string_equal(why(&world, nobody, "bread"), "0.000 rank 2: not: no evidence");
    const struct ask anybody = {.user = FR_BYTES("nobody"), .model = "popular"};
    assert_string_equal(SCORE(&world, anybody, "bread", "dill"), "2.000 popular, 1.000 popular");
    assert_string_equal(why(&world, anybody, "dill"), "1.000 rank 4: many hold it 1.000");
    assert_string_equal(why(&world, session, "apple"), "0.000 rank 0: not: no evidence, seed");
    assert_string_equal(why(&world, session, "dill"), "0.000 rank 3: not: no evidence"); /* behind bread and cheese */
    end(&world);
    world.store->ops->close(world.store);
}

static void say(struct world *at, int64_t offset, const char *item, const struct item_said *says)
{
    struct fr_writer out;

    fr_writer_init(&out, 0);
    catalogue_item_write(&out, says);
    give(at, &(struct event){.kind = EVENT_ITEM, .offset = offset, .logged = NOON, .item = fr_bytes_of(item), .said = fr_written(&out)}, 1);
    await(at, offset + 1);
    fr_writer_release(&out);
}

/* Of two that are fruit the first has the place, whether they stand by score, at score 0, or fill in. */
static void the_town_under_caps(void **state)
{
    const struct item_said fruit = {.categories_len = 1, .categories = {FR_BYTES("fruit")}};
    const struct ask cat = {.user = FR_BYTES("cat"), .max_per_category = 1}, dora = {.user = FR_BYTES("dora"), .max_per_category = 1};
    const struct engine_options both[] = {parity(), product()};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world = {.store = store_memory_new(NULL)};
        begin(&world, &both[i]);
        town(&world);
        say(&world, 6, "apple", &fruit);
        say(&world, 7, "bread", &fruit);
        give(&world, (const struct event[]){event(8, "dan", "dill", NOON)}, 1);
        await(&world, 9);
        assert_non_null(strstr(why(&world, cat, "apple"), " rank 1: cheese"));
        assert_non_null(strstr(why(&world, cat, "bread"), " rank 0: cheese"));
        assert_non_null(strstr(why(&world, cat, "bread"), " not: filter"));
        assert_string_equal(why(&world, cat, "dill"), i ? "0.000 rank 2: not: no evidence" : "0.000 rank 2:");
        assert_string_equal(why(&world, dora, "apple"), "0.000 rank 1: not: no evidence");
        assert_string_equal(why(&world, dora, "bread"), "0.000 rank 0: not: no evidence, filter");
        assert_string_equal(why(&world, dora, "cheese"), "0.000 rank 2: not: no evidence");
        assert_string_equal(why(&world, dora, "dill"), "0.000 rank 3: not: no evidence");
        end(&world);
        world.store->ops->close(world.store);
    }
}

/* Bob's other items go with x all alike, by a third; and eleven thirds, added up one by one, are not eleven times a third. */
static void what_is_said_of_all_alike_is_no_reason(void **state)
{
    static const struct engine_model two[] = {{"popular", NULL}, {ENGINE_BLEND, NULL}};
    static const char *const items[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "i9", "i10"};
    enum { ALIKE = sizeof(items) / sizeof(*items) };
    struct engine_options options = parity();
    struct world world = {.store = store_memory_new(NULL)};
    struct event events[3 + ALIKE] = {event(0, "ann", "x", NOON), event(1, "cat", "x", NOON), event(2, "bob", "x", NOON)};

    (void)state;
    for (int i = 0; i < ALIKE; i++)
        events[3 + i] = event(3 + i, "bob", items[i], NOON);
    options.models = two;
    options.models_len = 2;
    begin(&world, &options);
    give(&world, events, 3 + ALIKE);
    await(&world, 3 + ALIKE);
    assert_string_equal(why(&world, (struct ask){.user = FR_BYTES("ann"), .model = "sar"}, "i0"), "0.333 rank 1: x 0.333");
    assert_string_equal(why(&world, (struct ask){.user = FR_BYTES("ann"), .model = "auto"}, "i0"), "0.000 rank 1:");
    assert_string_equal(why(&world, (struct ask){.user = FR_BYTES("ann"), .model = "auto"}, "i1"), "0.000 rank 2:");
    end(&world);
    world.store->ops->close(world.store);
}

/* ---- every model, over a stream: users walk through neighbourhoods of items, in which they mostly stay ---- */

enum { STREAM = 4000, USERS = 40, ITEMS = 120, STEP = 97, LISTED = 50, ASKED = 6, EVERY = 3 };
static const struct trending_options trending = {DAY};
static const struct ease_options ease = {.items_max = 1000, .lambda = 100, .recency = 1};
static struct fm_options fm;
static const struct engine_model all[] = {{"popular", NULL},     {"trending", &trending}, {"fm", &fm},
                                          {"ncf", &ncf_defaults}, {"ease", &ease},         {ENGINE_BLEND, NULL}};
static struct world world;
static struct event events[STREAM];
static char names[USERS + ITEMS][8];
static uint64_t contexts[STREAM];

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*random >> 33) % below;
}

static void make_stream(void)
{
    uint64_t random = 5;

    for (int i = 0; i < USERS + ITEMS; i++)
        snprintf(names[i], sizeof(names[i]), "%c%d", i < USERS ? 'u' : 'i', i);
    for (int i = 0; i < STREAM; i++) {
        uint32_t user = draw(&random, USERS), block = draw(&random, 10) ? user % 8 : draw(&random, 8);
        events[i] = event(i, names[user], names[USERS + block * 15 + draw(&random, draw(&random, 15) + 1)], NOON + (when_ms)i * 1000000);
        events[i].weight = draw(&random, 8) ? 1 : -1;
        contexts[i] = 1 + draw(&random, 5);
        events[i].context = &contexts[i];
        events[i].context_len = 1;
    }
}

static void live_through_the_stream(struct engine_options options)
{
    make_stream();
    options.models = all;
    options.models_len = sizeof(all) / sizeof(*all);
    options.evaluate_every = 5; /* so that the blend has learned its weights */
    options.publish_at_once = true;
    options.dedup_window = 0;
    world = (struct world){.store = store_memory_new(NULL)};
    begin(&world, &options);
    for (int at = 0; at < STREAM; at += STEP)
        give(&world, events + at, (size_t)(STREAM - at < STEP ? STREAM - at : STEP));
    await(&world, STREAM);
    assert_true(engine_refresh(world.engine, PATIENCE_MS));
}

static void leave_the_stream(void)
{
    end(&world);
    world.store->ops->close(world.store);
}

static bool near(double a, double b, double size)
{
    return fabs(a - b) <= 1e-9 * (size > 1 ? size : 1);
}

static bool has(const struct explanation *found, const char *name)
{
    for (size_t i = 0; i < found->excluded_by_len; i++)
        if (!strcmp(found->excluded_by[i], name))
            return true;
    return false;
}

/* Score of the list upside down, with an unknown item at its head. */
static void scores_are_the_lists(struct reader *reader, const struct ask *ask, const struct recommendation_list *list)
{
    struct fr_bytes ids[LISTED + 1] = {FR_BYTES("never met")};
    struct recommendation_list scored;

    for (size_t i = 0; i < list->len; i++)
        ids[list->len - i] = list->items[i].item;
    reader_score(reader, ask, ids, list->len + 1, &scored);
    assert_int_equal(scored.len, list->len + 1);
    assert_true(scored.items[0].score == 0);
    assert_string_equal(scored.model, list->model);
    for (size_t i = 0; i < list->len; i++) {
        const struct recommended *said = &scored.items[list->len - i], *listed = &list->items[i];
        if (said->score != listed->score)
            fail_msg("%s: %.*s is listed with %.17g and scored %.17g", list->model, (int)listed->item.len, listed->item.at, listed->score,
                     said->score);
        assert_true(listed->score == 0 || !strcmp(said->source, listed->source));
    }
}

/* Of every third item, from `first` on: its place, its score, its parts. Returns how many parts are of the history. */
static size_t reasons_add_up(struct reader *reader, const struct ask *ask, const struct recommendation_list *list, int first)
{
    size_t explained = 0;

    for (int i = first % EVERY; i < ITEMS; i += EVERY) {
        struct fr_bytes id = fr_bytes_of(names[USERS + i]);
        struct recommendation_list scored;
        struct explanation found;
        double sum = 0, size = 0;
        reader_explain(reader, ask, id, &found);
        reader_score(reader, ask, &id, 1, &scored);
        for (size_t r = 0; r < found.reasons_len; r++) {
            sum += found.reasons[r].contribution;
            size += fabs(found.reasons[r].contribution);
            assert_true(!r || fabs(found.reasons[r - 1].contribution) >= fabs(found.reasons[r].contribution));
            explained += found.reasons[r].item.len > 0;
        }
        if (!near(sum, found.score, fabs(found.score)) || !near(found.score, scored.items[0].score, size))
            fail_msg("%s: %s has %.17g, parts of %.17g, and is scored %.17g", list->model, names[USERS + i], found.score, sum,
                     scored.items[0].score);
        size_t at = 0;
        while (at < list->len && !fr_bytes_equal(list->items[at].item, id))
            at++;
        if (at < list->len ? found.rank != at + 1 : found.rank && found.rank <= list->len)
            fail_msg("%s: %s stands at %zu of %zu, and is told to be at %u", list->model, names[USERS + i], at + 1, list->len, found.rank);
        assert_true(!found.rank == (has(&found, "seen") || has(&found, "seed") || has(&found, "unknown item") || has(&found, "hidden") ||
                                    has(&found, "owner") || has(&found, "unavailable")));
    }
    return explained;
}

static void ask_about(const char *model, const struct ask *form, size_t *ret_explained)
{
    struct reader *reader = reader_new(world.engine);
    struct recommendation_list list;

    *ret_explained = 0;
    for (int u = 0; u < ASKED; u++) {
        struct ask ask = *form;
        ask.user = fr_bytes_of(u ? names[u] : "newcomer");
        ask.model = model;
        ask.k = LISTED;
        reader_begin(reader);
        reader_recommend(reader, &ask, &list);
        assert_int_equal(list.len, LISTED);
        scores_are_the_lists(reader, &ask, &list);
        *ret_explained += reasons_add_up(reader, &ask, &list, u);
        reader_end(reader);
    }
    reader_free(reader);
}

/* Of every sixth item one thing or another, so that it is in no list, or in none of u1's. */
static void hide_some(void)
{
    static const struct item_said says[] = {{.hidden = true}, {.owner = {"u1", 2}}, {.until = 1}};
    int64_t offset = STREAM;

    for (int i = 0; i < ITEMS; i += 6)
        say(&world, offset++, names[USERS + i], &says[i / 6 % 3]);
}

static void every_model_agrees_with_itself(struct engine_options options, const char *only, bool hide)
{
    const uint64_t context[] = {2};
    const struct ask_seed seeds[] = {{FR_BYTES("i50"), 0, 0}, {FR_BYTES("i51"), 2, 0}, {FR_BYTES("unheard of"), 1, 0}};
    const struct ask forms[] = {{0}, {.context = context, .context_len = 1}, {.seeds = seeds, .seeds_len = 3}};
    const char *model;

    live_through_the_stream(options);
    if (hide)
        hide_some();
    for (size_t m = 0; (model = engine_model(world.engine, m)); m++)
        for (size_t f = 0; f < 3 && (!only || !strcmp(only, model)); f++) {
            size_t explained;
            ask_about(model, &forms[f], &explained);
            bool silent = !strcmp(model, "popular") || !strcmp(model, "trending");
            assert_int_equal(explained > 0, !silent); /* else there was nothing to add up */
        }
    leave_the_stream();
}

static struct engine_options long_histories(struct engine_options options)
{
    options.history_max = 0;
    return options;
}

static void in_product(void **state)
{
    (void)state;
    fm = fm_defaults;
    fm.dimensions = 16;
    fm.negatives = 8;
    fm.features_admit = 1;
    every_model_agrees_with_itself(long_histories(product()), NULL, false);
}

/* What no list may hold is among nobody's candidates: it moves no score of others', whoever asks how. */
static void where_the_catalogue_hides_some(void **state)
{
    (void)state;
    fm = fm_defaults;
    fm.dimensions = 16;
    fm.negatives = 8;
    fm.features_admit = 1;
    every_model_agrees_with_itself(long_histories(product()), NULL, true);
}

/* A category for most, two for some, none for others. */
static void categorize(void)
{
    static const char *const categories[] = {"red", "green", "blue", "small", "large", "old", "new"};
    int64_t offset = STREAM;

    for (int i = 0; i < ITEMS; i++) {
        struct item_said item = {0};
        if (i % 4)
            item_said_category(&item, fr_bytes_of(categories[i % 7]));
        if (i % 4 == 3)
            item_said_category(&item, fr_bytes_of(categories[(i + 1) % 7]));
        say(&world, offset++, names[USERS + i], &item);
    }
}

/* Each item is told the place it has in the list, or that it has none. Returns how many the caps leave out. */
static size_t all_are_where_they_are_told(struct reader *reader, const struct ask *ask)
{
    struct recommendation_list list;
    struct explanation found;
    size_t out = 0;

    reader_recommend(reader, ask, &list);
    for (int i = 0; i < ITEMS; i++) {
        struct fr_bytes id = fr_bytes_of(names[USERS + i]);
        size_t at = 0;
        while (at < list.len && !fr_bytes_equal(list.items[at].item, id))
            at++;
        reader_explain(reader, ask, id, &found);
        if (found.rank != (at < list.len ? at + 1 : 0))
            fail_msg("%s: %s stands at %zu of %zu, and is told to be at %u", ask->model, names[USERS + i], at + 1, list.len, found.rank);
        assert_int_equal(has(&found, "filter"), at == list.len && !has(&found, "seen"));
        out += has(&found, "filter");
    }
    return out;
}

static void ranks_are_those_of_lists_under_caps(void **state)
{
    const char *model;

    (void)state;
    fm = fm_defaults;
    fm.dimensions = 16;
    fm.negatives = 8;
    live_through_the_stream(long_histories(product()));
    categorize();
    struct reader *reader = reader_new(world.engine);
    for (size_t m = 0; (model = engine_model(world.engine, m)); m++)
        for (uint32_t u = 0; u < ASKED; u++) {
            reader_begin(reader);
            assert_true(all_are_where_they_are_told(reader, &(struct ask){.user = fr_bytes_of(u ? names[u] : "newcomer"),
                                                                          .model = model, .k = ITEMS, .max_per_category = 1 + u}) > 0);
            reader_end(reader);
        }
    reader_free(reader);
    leave_the_stream();
}

/* The features of the user's side meet each other too, and scores are log odds. */
static void with_the_full_second_order(void **state)
{
    (void)state;
    fm = fm_defaults;
    fm.dimensions = 16;
    fm.negatives = 4;
    fm.loss = FM_LOGISTIC;
    fm.features_admit = 1;
    fm.second_order = true;
    every_model_agrees_with_itself(long_histories(product()), "fm", false);
}

static void in_parity_normalized(void **state)
{
    struct engine_options options = parity();

    (void)state;
    options.normalize = true;
    options.user_postings = false;
    every_model_agrees_with_itself(options, NULL, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_town_in_parity),
        cmocka_unit_test(the_town_in_product),
        cmocka_unit_test(the_town_under_caps),
        cmocka_unit_test(what_is_said_of_all_alike_is_no_reason),
        cmocka_unit_test(in_product),
        cmocka_unit_test(where_the_catalogue_hides_some),
        cmocka_unit_test(ranks_are_those_of_lists_under_caps),
        cmocka_unit_test(in_parity_normalized),
        cmocka_unit_test(with_the_full_second_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
