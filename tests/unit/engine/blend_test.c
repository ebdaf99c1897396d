/*
 * blend_test.c -- the blend in a whole engine: what it lists and why, what it learns of outcomes, and that a restart, by stop or by
 * kill, leaves every model, every window and every weight as if nobody had stopped.
 */
#include "blend.h"
#include "engine_world.h"
#include "freshet/ease.h"
#include "freshet/fm.h"
#include "freshet/log.h"
#include "freshet/ncf.h"
#include "freshet/trending.h"
#include "sanitized.h"

#include <math.h>

static const struct trending_options trending = {DAY};
static struct fm_options fm;
static const struct engine_model all[] = {
    {"popular", NULL}, {"trending", &trending}, {"fm", &fm}, {"ncf", &ncf_defaults}, {ENGINE_BLEND, NULL}};

static struct engine_options with_all(void)
{
    struct engine_options options = product();

    fm = fm_defaults;
    fm.dimensions = 16;
    fm.negatives = 8;
    fm.features_admit = 1;
    options.history_max = 20;
    options.models = all;
    options.models_len = sizeof(all) / sizeof(*all);
    options.evaluate_every = 3;
    options.checkpoint_interval = 20;
    options.dedup_window = 0;
    return options;
}

/* ---- a stream: users walk through neighbourhoods of items, in which they mostly stay ---- */

enum { STREAM = SANITIZED ? 2400 : 6000, USERS = 60, ITEMS = 120, STEP = 97 };
struct stream {
    struct event events[STREAM];
    char names[USERS + ITEMS][8];
    uint64_t context[STREAM];
};

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*random >> 33) % below;
}

static struct stream *stream_new(void)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    uint64_t random = 11;

    for (int i = 0; i < USERS + ITEMS; i++)
        snprintf(stream->names[i], sizeof(stream->names[i]), "%c%d", i < USERS ? 'u' : 'i', i);
    for (int i = 0; i < STREAM; i++) {
        uint32_t user = draw(&random, USERS), block = draw(&random, 10) ? user % 8 : draw(&random, 8);
        uint32_t item = block * 15 + draw(&random, draw(&random, 15) + 1);
        stream->events[i] = event(i, stream->names[user], stream->names[USERS + item], NOON + (when_ms)i * 1000000);
        if (draw(&random, 8) == 0)
            stream->events[i].weight = -1;
        stream->context[i] = 1 + draw(&random, 5);
        stream->events[i].context = &stream->context[i];
        stream->events[i].context_len = 1;
    }
    return stream;
}

static void replay(struct world *world, const struct stream *stream, int64_t from, int64_t to)
{
    for (int64_t at = from; at < to; at += STEP) {
        size_t len = (size_t)(to - at < STEP ? to - at : STEP);
        give(world, stream->events + at, len);
    }
    await(world, to);
}

/* Everything that can be asked: answers of every model to the last bit, and what is said of their quality. */
static void describe(struct world *world, const struct stream *stream, struct fr_writer *out)
{
    struct reader *reader = reader_new(world->engine);
    struct recommendation_list list;
    const char *model;

    checkpoint(world); /* the engine is done with what was given */
    uint64_t deadline = patience();
    while (models_unpublished(world->engine) && fr_mono_ns() < deadline)
        sched_yield();
    assert_false(models_unpublished(world->engine));
    reader_begin(reader);
    for (size_t m = 0; (model = engine_model(world->engine, m)); m++)
        for (int u = 0; u < USERS; u++) {
            reader_recommend(reader, &(struct ask){.user = fr_bytes_of(stream->names[u]), .k = 20, .model = model, .explain = u < 3}, &list);
            for (size_t i = 0; i < list.len; i++) {
                fr_put_bytes(out, list.items[i].item.at, list.items[i].item.len);
                fr_put_real(out, list.items[i].score);
                fr_put_text(out, "%s", list.items[i].source);
                for (size_t r = 0; r < list.items[i].reasons_len; r++)
                    fr_put_real(out, list.items[i].reasons[r].contribution);
            }
        }
    reader_end(reader);
    reader_free(reader);
    for (size_t m = 0; m < 4; m++)
        fr_put_real(out, blend_weight(world->engine->blend, m));
    for (size_t m = 0; (model = engine_model(world->engine, m)); m++) {
        fr_put_real(out, fr_series_value(fr_series(FR_M_MODEL_QUALITY, model, "ndcg_10", "10000")));
        fr_put_real(out, fr_series_value(fr_series(FR_M_MODEL_QUALITY, model, "hit_rate_10_tail", "100000")));
        fr_put_real(out, fr_series_value(fr_series(FR_M_MODEL_MCNEMAR, model, "100000", "")));
    }
}

static void assert_alike(const struct fr_writer *a, const struct fr_writer *b)
{
    assert_true(a->len > 10000);
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->at, b->at, a->len);
}

static void stopping_in_between_changes_no_bit(void **state)
{
    struct engine_options options = with_all();
    struct stream *stream = stream_new();
    struct world whole = {.store = store_memory_new(NULL)}, stopped = {.store = store_memory_new(NULL)};
    struct fr_writer one, two;

    (void)state;
    fr_writer_init(&one, 0);
    fr_writer_init(&two, 0);
    begin(&whole, &options);
    replay(&whole, stream, 0, STREAM);
    describe(&whole, stream, &one);
    end(&whole);
    for (int64_t at = 0; at < STREAM;) {
        int64_t to = at + 1 + 1357 > STREAM ? STREAM : at + 1357;
        begin(&stopped, &options);
        assert_int_equal(stopped.next, at ? at : -1);
        replay(&stopped, stream, at, to);
        if (to == STREAM)
            describe(&stopped, stream, &two);
        end(&stopped);
        at = to;
    }
    assert_alike(&one, &two);
    fr_writer_release(&one);
    fr_writer_release(&two);
    whole.store->ops->close(whole.store);
    stopped.store->ops->close(stopped.store);
    free(stream);
}

/*
 * Killed: what was applied and not synced is gone, and is given again to an engine that goes on from what was.
 */
static void killing_in_between_changes_no_bit(void **state)
{
    struct engine_options options = with_all();
    struct stream *stream = stream_new();
    struct world world = {.store = store_memory_new(NULL)};
    struct fr_writer one, two;

    (void)state;
    fr_writer_init(&one, 0);
    fr_writer_init(&two, 0);
    begin(&world, &options);
    replay(&world, stream, 0, STREAM);
    describe(&world, stream, &one);
    end(&world);
    world.store->ops->close(world.store);
    world.store = store_memory_new(NULL);
    for (int64_t until = 900, from = 0; from < STREAM; until += 900) {
        struct store *kept;
        begin(&world, &options);
        from = world.next < 0 ? 0 : world.next;
        int64_t to = until < STREAM ? until : STREAM;
        replay(&world, stream, from, to > from ? to : from);
        if (until >= STREAM) {
            describe(&world, stream, &two);
            end(&world);
            break;
        }
        checkpoint(&world); /* something is synced; what came after it may be or not */
        replay(&world, stream, to, to + 300);
        kept = store_memory_after_power_cut(world.store);
        end(&world);
        world.store->ops->close(world.store);
        world.store = kept;
    }
    assert_alike(&one, &two);
    fr_writer_release(&one);
    fr_writer_release(&two);
    world.store->ops->close(world.store);
    free(stream);
}

/*
 * EASE is solved when a clock says so, and is not stored. Where it is solved at the same places of the stream, after a restart too, it
 * has the same bits, and so has the blend that weighs it.
 */
static void stopping_where_ease_is_solved_changes_no_bit(void **state)
{
    static const struct ease_options ease = {.lambda = 10, .recency = .8, .items_max = 100}; /* solved when asked for alone */
    static const struct engine_model models[] = {{"popular", NULL}, {"fm", &fm}, {"ease", &ease}, {ENGINE_BLEND, NULL}};
    struct engine_options options = with_all();
    struct stream *stream = stream_new();
    struct world whole = {.store = store_memory_new(NULL)}, stopped = {.store = store_memory_new(NULL)};
    struct fr_writer one, two;

    (void)state;
    options.models = models;
    options.models_len = sizeof(models) / sizeof(*models);
    fr_writer_init(&one, 0);
    fr_writer_init(&two, 0);
    begin(&whole, &options);
    begin(&stopped, &options);
    for (int64_t at = 0, to; at < STREAM; at = to) {
        to = at + 1357 < STREAM ? at + 1357 : STREAM;
        replay(&whole, stream, at, to);
        replay(&stopped, stream, at, to);
        end(&stopped);
        begin(&stopped, &options);
        assert_true(engine_refresh(whole.engine, PATIENCE_MS));
        assert_true(engine_refresh(stopped.engine, PATIENCE_MS));
    }
    describe(&whole, stream, &one);
    end(&whole);
    describe(&stopped, stream, &two);
    end(&stopped);
    assert_alike(&one, &two);
    fr_writer_release(&one);
    fr_writer_release(&two);
    whole.store->ops->close(whole.store);
    stopped.store->ops->close(stopped.store);
    free(stream);
}

/* ---- what is listed ---- */

static void the_list_is_sorted_has_sources_and_keeps_the_filter(void **state)
{
    struct engine_options options = with_all();
    struct stream *stream = stream_new();
    struct world world = {.store = store_memory_new(NULL)};
    struct recommendation_list list;
    size_t by[2] = {0};

    (void)state;
    begin(&world, &options);
    replay(&world, stream, 0, STREAM);
    struct reader *reader = reader_new(world.engine);
    reader_begin(reader);
    for (int u = 0; u < USERS; u++) {
        struct user_facts facts;
        struct fr_err err;
        struct fr_bytes user = fr_bytes_of(stream->names[u]), out = fr_bytes_of(stream->names[USERS + u]);
        reader_recommend(reader, &(struct ask){.user = user, .k = 30, .model = "auto", .explain = true, .exclude = &out, .exclude_len = 1},
                         &list);
        assert_string_equal(list.model, "auto");
        assert_int_equal(list.len, 30);
        assert_int_equal(reader_user(reader, user, &facts, &err), FR_OK);
        for (size_t i = 0; i < list.len; i++) {
            bool sar = strcmp(list.items[i].source, "sar") == 0;
            by[0] += sar;
            by[1] += strcmp(list.items[i].source, "fm") == 0;
            if (sar && i < 3)
                assert_true(list.items[i].reasons_len > 0); /* the reasons are of who brought it */
            if (i && strcmp(list.items[i].source, "popular"))
                assert_true(list.items[i].score <= list.items[i - 1].score);
            assert_false(fr_bytes_equal(list.items[i].item, out));
            for (size_t h = 0; h < facts.affinities_len; h++)
                assert_false(fr_bytes_equal(list.items[i].item, facts.affinities[h].item));
            for (size_t j = 0; j < i; j++)
                assert_false(fr_bytes_equal(list.items[i].item, list.items[j].item));
        }
    }
    assert_true(by[0] > 100 && by[1] > 100);
    const struct fr_bytes wanted[] = {fr_bytes_of(stream->names[USERS + 3]), fr_bytes_of(stream->names[USERS + 50])};
    reader_recommend(reader, &(struct ask){.user = FR_BYTES("u7"), .k = 9, .model = "auto", .include = wanted, .include_len = 2,
                                           .include_seen = true}, &list);
    assert_int_equal(list.len, 2);
    reader_recommend(reader, &(struct ask){.user = FR_BYTES("nobody"), .k = 9, .model = "auto"}, &list);
    assert_true(list.fallback);
    assert_int_equal(list.len, 9);
    const uint64_t contexts[] = {1, 77}; /* 77 came with no event */
    const char *const models[] = {"auto", "fm"};
    for (int c = 0; c < 2; c++)
        for (int m = 0; m < 2; m++) {
            reader_recommend(reader, &(struct ask){.user = FR_BYTES("nobody"), .k = 9, .model = models[m], .context = contexts + c,
                                                   .context_len = 1}, &list);
            assert_int_equal(list.fallback, contexts[c] == 77);
            assert_int_equal(list.len, 9);
        }
    reader_end(reader);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
    free(stream);
}

/* "ghost" was held when EASE was solved, and is not any more; of "dud", which is held, most models have learned nothing. */
static void haunt(struct world *world, const struct stream *stream)
{
    struct event last[22];

    give(world, (const struct event[]){event(STREAM, "g", "ghost", stream->events[STREAM - 1].when)}, 1);
    await(world, STREAM + 1);
    assert_true(engine_refresh(world->engine, PATIENCE_MS));
    for (int i = 0; i < 21; i++)
        last[i] = event(STREAM + 1 + i, "g", stream->names[USERS + i], stream->events[STREAM - 1].when + 1);
    last[21] = event(STREAM + 22, "h", "dud", stream->events[STREAM - 1].when + 1);
    last[21].weight = -1;
    give(world, last, 22);
    await(world, STREAM + 23);
    checkpoint(world);
    uint64_t deadline = patience();
    while (models_unpublished(world->engine) && fr_mono_ns() < deadline)
        sched_yield();
    assert_false(models_unpublished(world->engine));
}

/* Whatever way a model takes to the items that are named: order, scores to the last bit and sources are those of the whole list. */
static void what_is_included_is_as_in_the_whole_list(void **state)
{
    static const struct ease_options ease = {
        .lambda = 10, .recency = .8, .items_max = 100, .refresh_percent = 100, .refresh_interval = 31536000000};
    static const struct engine_model models[] = {{"popular", NULL}, {"trending", &trending}, {"fm", &fm}, {"ncf", &ncf_defaults}, {"ease", &ease}};
    struct engine_options options = with_all();
    struct stream *stream = stream_new();
    struct world world = {.store = store_memory_new(NULL)};
    struct fr_bytes wanted[ITEMS / 2 + 3] = {FR_BYTES("nothing"), FR_BYTES("ghost"), FR_BYTES("dud")};
    size_t wanted_len = 3, ghosts = 0;
    const char *model;

    (void)state;
    options.models = models;
    options.models_len = sizeof(models) / sizeof(*models);
    for (int i = ITEMS - 1; i > 0; i -= 2)
        wanted[wanted_len++] = fr_bytes_of(stream->names[USERS + i]);
    begin(&world, &options);
    replay(&world, stream, 0, STREAM);
    haunt(&world, stream);
    struct reader *reader = reader_new(world.engine);
    for (size_t m = 0; (model = engine_model(world.engine, m)); m++) {
        size_t scored = 0;
        for (int u = 0; u < USERS; u++) {
            struct ask ask = {.user = fr_bytes_of(stream->names[u]), .k = ITEMS + 2, .model = model, .include_seen = u % 2};
            struct recommendation_list whole, some;
            size_t at = 0;
            reader_begin(reader);
            reader_recommend(reader, &ask, &whole);
            ask.include = wanted;
            ask.include_len = wanted_len;
            reader_recommend(reader, &ask, &some);
            for (size_t i = 0; i < whole.len; i++) {
                bool in = false;
                for (size_t w = 0; w < wanted_len; w++)
                    in = in || fr_bytes_equal(whole.items[i].item, wanted[w]);
                ghosts += fr_bytes_equal(whole.items[i].item, wanted[1]);
                if (!in)
                    continue;
                assert_true(at < some.len && fr_bytes_equal(some.items[at].item, whole.items[i].item));
                assert_true(some.items[at].score == whole.items[i].score);
                assert_string_equal(some.items[at].source, whole.items[i].source);
                scored += some.items[at++].score != 0;
            }
            assert_int_equal(at, some.len);
            reader_end(reader);
        }
        assert_true(scored > 100);
    }
    assert_int_equal(ghosts, 0);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
    free(stream);
}

/* As long as there are items with evidence, popular ones have no say, however many are asked for. */
static void who_asks_for_many_gets_all_with_evidence(void **state)
{
    enum { MANY = 300 };
    static const struct engine_model two[] = {{"popular", NULL}, {ENGINE_BLEND, NULL}};
    struct engine_options options = parity();
    struct world world = {.store = store_memory_new(NULL)};
    struct event events[MANY + 2];
    char items[MANY][8];
    struct recommendation_list list;
    struct rank rank;

    (void)state;
    options.models = two;
    options.models_len = 2;
    for (int i = 0; i < MANY; i++) {
        snprintf(items[i], sizeof(items[i]), "i%d", i);
        events[i] = event(i, "bob", items[i], NOON);
    }
    events[MANY] = event(MANY, "ann", items[0], NOON);
    events[MANY + 1] = event(MANY + 1, "cat", "lonely", NOON);
    begin(&world, &options);
    give(&world, events, MANY + 2);
    await(&world, MANY + 2);
    struct reader *reader = reader_new(world.engine);
    const struct ask ask = {.user = FR_BYTES("ann"), .k = MANY - 1, .model = ENGINE_BLEND};
    reader_begin(reader);
    reader_recommend(reader, &ask, &list);
    assert_int_equal(list.len, MANY - 1);
    assert_false(list.fallback);
    for (size_t i = 0; i < list.len; i++) {
        reader_ranks(reader, &ask, &list.items[i].item, 1, &rank); /* and that is where they stand */
        assert_in_range(i, rank.before, rank.before + rank.beside);
        assert_true(rank.scored);
    }
    reader_end(reader);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

/* ---- while it learns ---- */

struct asking {
    struct world *world;
    const struct stream *stream;
    _Atomic bool stop;
    _Atomic size_t asked;
};

static void ask_everybody(void *arg)
{
    struct asking *asking = arg;
    struct reader *reader = reader_new(asking->world->engine);
    struct recommendation_list list;
    const char *model;

    while (!atomic_load(&asking->stop)) {
        size_t u = atomic_fetch_add(&asking->asked, 1) % USERS;
        for (size_t m = 0; (model = engine_model(asking->world->engine, m)); m++) {
            reader_begin(reader);
            reader_recommend(reader, &(struct ask){.user = fr_bytes_of(asking->stream->names[u]), .k = 10, .model = model, .explain = true},
                             &list);
            for (size_t i = 1; i < list.len; i++)
                assert_true(list.items[i].score <= list.items[i - 1].score || strcmp(list.items[i].source, "popular") == 0);
            reader_end(reader);
        }
    }
    reader_free(reader);
}

/* For ThreadSanitizer above all: two threads ask every model while all of them learn, publish, are evaluated and saved. */
static void all_models_answer_while_they_learn(void **state)
{
    struct engine_options options = with_all();
    struct stream *stream = stream_new();
    struct world world = {.store = store_memory_new(NULL)};
    struct asking asking = {.world = &world, .stream = stream};

    (void)state;
    begin(&world, &options);
    struct fr_thread *one = fr_thread_start("one", ask_everybody, &asking), *two = fr_thread_start("two", ask_everybody, &asking);
    replay(&world, stream, 0, STREAM);
    atomic_store(&asking.stop, true);
    fr_thread_join(one);
    fr_thread_join(two);
    assert_true(atomic_load(&asking.asked) > 0);
    end(&world);
    world.store->ops->close(world.store);
    free(stream);
}

/* ---- what it learns ---- */

/* Two models, four candidates: the choice is always what the second says, so the second gains and the first loses. */
static void weights_follow_outcomes(void **state)
{
    static const struct engine_model two[] = {{"popular", NULL}, {ENGINE_BLEND, NULL}};
    struct engine_options options = product();
    struct world world = {.store = store_memory_new(NULL)};
    static uint32_t items[] = {5, 6, 7, 8};
    double z[] = {1, -1, 1, -1, -1, -1, 1, 1}, score[4];
    struct ballot ballot = {.items = items, .len = 4, .models = 2, .z = z, .score = score};

    (void)state;
    options.models = two;
    options.models_len = 2;
    begin(&world, &options);
    struct blend *blend = world.engine->blend;
    assert_true(blend_weight(blend, 0) == .65 && blend_weight(blend, 1) == .05);
    for (int i = 0; i < 400; i++) {
        for (int c = 0; c < 4; c++)
            score[c] = blend_weight(blend, 0) * z[c] + blend_weight(blend, 1) * z[4 + c];
        /* one step by hand: the probability of each under a softmax, and what is expected of z */
        double p[4], sum = 0, expected = 0, before = blend_weight(blend, 1);
        for (int c = 0; c < 4; c++)
            sum += p[c] = exp(score[c]);
        for (int c = 0; c < 4; c++)
            expected += p[c] / sum * z[4 + c];
        blend_learn(blend, &ballot, 8);
        if (i == 0)
            assert_float_equal(blend_weight(blend, 1) - before, .05 * (1 - expected) / sqrt(1 + (1 - expected) * (1 - expected)), 1e-12);
    }
    assert_true(fr_series_value(fr_series(FR_M_BLEND_WEIGHT, "popular", "", "")) == blend_weight(blend, 1));
    assert_true(blend_weight(blend, 0) == 0); /* no less: nobody speaks against what he says */
    assert_true(blend_weight(blend, 1) > 1);
    end(&world);
    world.store->ops->close(world.store);
}

/*
 * Four candidates, of which SAR says the same but for rounding, and popular what it says of them: popular's word is the order. From where
 * they really differ SAR has its say again.
 */
static void who_says_the_same_of_all_has_no_say(void **state)
{
    static const struct engine_model two[] = {{"popular", NULL}, {ENGINE_BLEND, NULL}};
    static const char *const users[] = {"a", "b", "c", "d"}, *const items[] = {"i1", "i2", "i3", "i4"};
    static const double apart[] = {0, 1e-13, 1e-8, 1e-3};
    struct engine_options options = product();
    struct world world = {.store = store_memory_new(NULL)};
    struct event events[10];
    int64_t len = 0;

    (void)state;
    options.models = two;
    options.models_len = 2;
    for (int i = 0; i < 4; i++)
        for (int u = 0; u <= i; u++, len++)
            events[len] = event(len, users[u], items[i], NOON); /* i4 is held by all */
    begin(&world, &options);
    give(&world, events, (size_t)len);
    await(&world, len);
    struct reader *reader = reader_new(world.engine);
    struct fr_err err;
    assert_true(engine_stop(world.engine, &err)); /* the weights are its thread's, as long as there is one */
    for (size_t d = 0; d < sizeof(apart) / sizeof(*apart); d++) {
        bool says = apart[d] > 1e-6;
        reader_begin(reader);
        struct query query = reader_prepare(reader, &(struct ask){.user = FR_BYTES("a")});
        struct ballot ballot = {.items = (uint32_t[]){0, 1, 2, 3}, .len = 4, .models = 2};
        scores_reset(&reader->heard[0], reader->items);
        for (uint32_t i = 0; i < 4; i++) /* i1 has the most */
            scores_add(&reader->heard[0], i, 1. / 3 - i * apart[d]);
        blend_count(reader, &query, &ballot);
        assert_int_equal(ballot.by[0].factor != 0, says);
        assert_true(ballot.by[1].factor != 0);
        for (int i = 0; i < 4; i++)
            assert_true(says || ballot.z[i] == 0);
        assert_int_equal(ballot.score[0] > ballot.score[3], says);
        assert_int_equal(blend_share(&ballot, 0, 1. / 3) != 0, says);
        double before = blend_weight(world.engine->blend, 0), other = blend_weight(world.engine->blend, 1);
        blend_learn(world.engine->blend, &ballot, 3); /* nothing of who has said nothing */
        assert_int_equal(blend_weight(world.engine->blend, 0) != before, says);
        assert_true(blend_weight(world.engine->blend, 1) > other);
        reader_end(reader);
    }
    reader_free(reader);
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopping_in_between_changes_no_bit),
        cmocka_unit_test(killing_in_between_changes_no_bit),
        cmocka_unit_test(stopping_where_ease_is_solved_changes_no_bit),
        cmocka_unit_test(the_list_is_sorted_has_sources_and_keeps_the_filter),
        cmocka_unit_test(what_is_included_is_as_in_the_whole_list),
        cmocka_unit_test(who_asks_for_many_gets_all_with_evidence),
        cmocka_unit_test(all_models_answer_while_they_learn),
        cmocka_unit_test(weights_follow_outcomes),
        cmocka_unit_test(who_says_the_same_of_all_has_no_say),
    };
    fr_log_setup(FR_ERROR, FR_LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
