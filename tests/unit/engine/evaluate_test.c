/*
 * evaluate_test.c -- what the daemon says of its models is what one finds who asks for the whole list before each event.
 */
#include <math.h>

#include "blend.h"
#include "engine_world.h"
#include "freshet/fm.h"
#include "freshet/log.h"
#include "freshet/trending.h"

enum { EVENTS = 500, USERS = 25, ITEMS = 60, MODELS = 5 };

static const struct trending_options trending = {3600000};
static struct fm_options fm;
static const struct engine_model all[] = {{"popular", NULL}, {"trending", &trending}, {"fm", &fm}, {ENGINE_BLEND, NULL}};

struct sums {
    double events, hits, ndcg, mrr, cold, cold_hits;
};

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*random >> 33) % below;
}

static double users_now(struct reader *reader, struct fr_bytes item)
{
    struct item_facts facts = {0};
    struct fr_err err;

    return reader_item(reader, item, &facts, &err) == FR_OK ? (double)facts.users : 0;
}

/* Does `a` stand beside `b` in the list? Those that fill up are ordered by who holds them. */
static bool beside(struct reader *reader, const struct recommended *a, const struct recommended *b, const char *model)
{
    bool other = strcmp(model, "popular") != 0;
    bool fill_a = other && strcmp(a->source, "popular") == 0, fill_b = other && strcmp(b->source, "popular") == 0;

    if (strcmp(model, ENGINE_BLEND) == 0) /* a candidate that the popular model brought has a score, what fills up has 0 */
        fill_a = fill_a && a->score == 0;
    if (strcmp(model, ENGINE_BLEND) == 0)
        fill_b = fill_b && b->score == 0;
    if (fill_a != fill_b)
        return false;
    return fill_a ? users_now(reader, a->item) == users_now(reader, b->item) : a->score == b->score;
}

static void look(struct reader *reader, const char *model, const struct event *event, struct sums *sums)
{
    struct recommendation_list list;
    struct user_facts facts = {0};
    struct fr_err err;
    double before = 0, same = 0, rank = INFINITY;
    size_t at = 0;

    reader_begin(reader);
    reader_recommend(reader, &(struct ask){.user = event->user, .k = ITEMS, .model = model}, &list);
    reader_user(reader, event->user, &facts, &err);
    bool cold = facts.events < 5;
    while (at < list.len && !fr_bytes_equal(list.items[at].item, event->item))
        at++;
    if (at < list.len) {
        for (size_t i = 0; i < list.len; i++) {
            bool is = i != at && beside(reader, &list.items[i], &list.items[at], model);
            same += is;
            before += i < at && !is;
        }
        rank = before + same / 2;
    }
    reader_end(reader);
    sums->events++;
    sums->cold += cold;
    if (rank >= 10)
        return;
    sums->hits++;
    sums->cold_hits += cold;
    sums->ndcg += 1 / log2(rank + 2);
    sums->mrr += 1 / (rank + 1);
}

static bool had(struct reader *reader, const struct event *event)
{
    struct user_facts facts = {0};
    struct fr_err err;
    bool found = false;

    reader_begin(reader);
    reader_user(reader, event->user, &facts, &err);
    for (size_t i = 0; i < facts.affinities_len; i++)
        found = found || fr_bytes_equal(facts.affinities[i].item, event->item);
    reader_end(reader);
    return found;
}

static double said(const char *model, const char *metric)
{
    return fr_series_value(fr_series(FR_M_MODEL_QUALITY, model, metric, "100000"));
}

static void figures_are_those_of_the_lists(struct engine_options options)
{
    static char names[USERS + ITEMS][8];
    struct world world = {.store = store_memory_new(NULL)};
    struct sums sums[MODELS] = {{0}};
    uint64_t random = 21;
    const char *model;

    fm = fm_defaults;
    fm.dimensions = 16;
    options.models = all;
    options.models_len = sizeof(all) / sizeof(*all);
    options.evaluate_every = 1;
    begin(&world, &options);
    struct reader *reader = reader_new(world.engine);
    for (int i = 0; i < USERS + ITEMS; i++)
        snprintf(names[i], sizeof(names[i]), "%c%d", i < USERS ? 'u' : 'i', i);
    for (int i = 0; i < EVENTS; i++) {
        struct event one = event(i, names[draw(&random, USERS)], names[USERS + draw(&random, draw(&random, ITEMS) + 1)], NOON + i * 60000);
        while (models_unpublished(world.engine)) /* within a second: models_test.c */
            sched_yield();
        for (size_t m = 0; !had(reader, &one) && (model = engine_model(world.engine, m)); m++)
            look(reader, model, &one, &sums[m]);
        give(&world, &one, 1);
        await(&world, i + 1);
        checkpoint(&world); /* the engine is done with it to the end */
    }
    assert_true(sums[0].events > 200 && sums[0].cold > 20);
    for (size_t m = 0; (model = engine_model(world.engine, m)); m++) {
        print_message("%s %.4f %.4f\n", model, said(model, "hit_rate_10"), sums[m].hits / sums[m].events);
        assert_float_equal(said(model, "hit_rate_10"), sums[m].hits / sums[m].events, 1e-12);
        assert_float_equal(said(model, "ndcg_10"), sums[m].ndcg / sums[m].events, 1e-9);
        assert_float_equal(said(model, "mrr_10"), sums[m].mrr / sums[m].events, 1e-9);
        assert_float_equal(said(model, "hit_rate_10_cold_user"), sums[m].cold_hits / sums[m].cold, 1e-12);
    }
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
}

static void product_figures_are_those_of_the_lists(void **state)
{
    (void)state;
    struct engine_options options = product();
    options.history_max = 30;
    figures_are_those_of_the_lists(options);
}

static void parity_figures_are_those_of_the_lists(void **state)
{
    (void)state;
    figures_are_those_of_the_lists(parity());
}

/* ---- losses ---- */

enum { BESIDE = 8 };

static double softplus(double x)
{
    return log1p(exp(x));
}

/* What the event's loss is to be: the square, to the digit; the log loss, over all that might be drawn. NAN: there is none. */
static double loss_asked_for(struct reader *reader, const struct event *event, char names[][8])
{
    struct fr_bytes items[ITEMS];
    struct rank ranks[ITEMS];
    double choice = NAN, others = 0, len = 0;

    for (size_t i = 0; i < ITEMS; i++)
        items[i] = fr_bytes_of(names[i]);
    reader_begin(reader);
    reader_ranks(reader, &(struct ask){.user = event->user, .model = "fm", .include_seen = true}, items, ITEMS, ranks);
    for (size_t i = 0; i < ITEMS; i++) {
        bool is = fr_bytes_equal(items[i], event->item);
        if (!ranks[i].scored)
            continue;
        if (is)
            choice = ranks[i].score;
        others += is ? 0 : softplus(ranks[i].score);
        len += !is;
    }
    reader_end(reader);
    return fm.loss == FM_SQUARED ? (choice - event->weight) * (choice - event->weight)
                                 : (softplus(-choice) + BESIDE * others / len) / (1 + BESIDE);
}

/* A stream of ratings or of choices: users like what is of their half of the catalogue. The mean of the losses. */
static double learn_with_losses(enum fm_loss loss)
{
    static char names[USERS + ITEMS][8];
    struct engine_options options = product();
    struct world world = {.store = store_memory_new(NULL)};
    double sum = 0, len = 0;
    uint64_t random = 5;

    fm = fm_defaults;
    fm.dimensions = 16;
    fm.loss = loss;
    fm.negatives = BESIDE;
    options.models = all;
    options.models_len = sizeof(all) / sizeof(*all);
    options.evaluate_every = 1;
    options.publish_at_once = true;
    options.history_max = 0;
    begin(&world, &options);
    struct reader *reader = reader_new(world.engine);
    for (int i = 0; i < USERS + ITEMS; i++)
        snprintf(names[i], sizeof(names[i]), "%c%d", i < USERS ? 'u' : 'i', i);
    for (int i = 0; i < 2 * EVENTS; i++) {
        uint32_t user = draw(&random, USERS), liked = loss != FM_SQUARED || draw(&random, 2);
        uint32_t item = (user % 2 * ITEMS / 2 + (liked ? 0 : ITEMS / 2) + draw(&random, ITEMS / 2)) % ITEMS;
        struct event one = event(i, names[user], names[USERS + item], NOON + i * 1000);
        one.weight = loss != FM_SQUARED ? 1 : liked ? 5 : 2;
        double asked = had(reader, &one) ? NAN : loss_asked_for(reader, &one, names + USERS);
        sum += isnan(asked) ? 0 : asked;
        len += !isnan(asked);
        give(&world, &one, 1);
        await(&world, i + 1);
    }
    assert_true(len > 300);
    reader_free(reader);
    end(&world);
    world.store->ops->close(world.store);
    return sum / len;
}

static void log_loss_is_that_of_choices_among_drawn_ones(void **state)
{
    (void)state;
    double asked = learn_with_losses(FM_LOGISTIC);
    assert_float_equal(said("fm", "log_loss"), asked, .02 * asked);
    assert_true(said("sar", "log_loss") == 0 && said("auto", "log_loss") == 0 && said("fm", "rmse") == 0);
}

static void squares_are_of_the_scores_before_learning(void **state)
{
    (void)state;
    double asked = learn_with_losses(FM_SQUARED);
    assert_float_equal(said("fm", "rmse"), sqrt(asked), 1e-5);
    assert_true(said("fm", "rmse") < 1.5); /* that of the mean */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(product_figures_are_those_of_the_lists),
        cmocka_unit_test(parity_figures_are_those_of_the_lists),
        cmocka_unit_test(log_loss_is_that_of_choices_among_drawn_ones),
        cmocka_unit_test(squares_are_of_the_scores_before_learning),
    };
    fr_log_setup(FR_ERROR, FR_LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
