/*
 * filter_test.c -- what a question may list, against a search by hand.
 *
 *     bare      engine without a catalogue, asked for everything: the order
 *     shop      the same events, and a random catalogue
 *
 * A question to the shop must bring what walking down that order brings: each item that the filter lets through and whose categories are
 * not full yet, until there are k. So there are k whenever k exist. And, in the small town, what no item has.
 */
#include "engine_world.h"

#include "freshet/fm.h"

enum { ITEMS = 6000, USERS = 120, EACH = 40, RARE = 40, NAMES = RARE + 8, QUESTIONS = 400, BATCH = 512, WALL = 1000000 };

struct record {
    bool said;
    struct item_said item;
    char names[CATEGORIES_MAX][16];
};

static struct record *shop; /* by item */
static char ids[ITEMS][16];
static uint64_t dice = 42;

static uint64_t roll(uint64_t sides)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (dice >> 33) % sides;
}

static when_ms noon(void)
{
    return WALL;
}

/* ---- the two worlds ---- */

static struct engine_options with_models(void)
{
    static struct fm_options fm;
    static struct engine_model beside[3];
    struct engine_options options = product();

    fm = fm_defaults;
    fm.dimensions = 16;
    fm.negatives = 4;
    beside[0] = (struct engine_model){"popular", NULL};
    beside[1] = (struct engine_model){"fm", &fm};
    beside[2] = (struct engine_model){ENGINE_BLEND, NULL};
    options.models = beside;
    options.models_len = 3;
    options.history_max = EACH;
    options.publish_at_once = true;
    options.clock = noon;
    return options;
}

/* Low numbers are popular; some items nobody has. */
static void give_events(struct world *world)
{
    char names[BATCH][16];
    int64_t at = 0;

    dice = 7;
    while (at < USERS * EACH) {
        struct event events[BATCH];
        size_t len = 0;
        for (; len < BATCH && at < USERS * EACH; len++, at++) {
            uint64_t most = 1 + roll(ITEMS);
            snprintf(names[len], sizeof(names[len]), "u%d", (int)(at % USERS));
            events[len] = event(at, names[len], ids[roll(most)], NOON + at);
        }
        give(world, events, len);
        await(world, at);
    }
}

static const char *category_name(uint64_t number, char room[16])
{
    snprintf(room, 16, number < RARE ? "rare%d" : "wide%d", (int)number);
    return room;
}

/* wide40 has four items of five, the other wide ones fewer and fewer, a rare one a few. */
static void say(struct record *record)
{
    static const unsigned of_hundred[NAMES - RARE] = {80, 40, 20, 10, 5, 3, 2, 1};

    record->said = roll(10) != 0;
    for (uint64_t wide = 0; wide < NAMES - RARE; wide++) {
        char *name = record->names[record->item.categories_len];
        if (roll(100) < of_hundred[wide])
            item_said_category(&record->item, fr_bytes_of(category_name(RARE + wide, name)));
    }
    if (roll(20) == 0)
        item_said_category(&record->item, fr_bytes_of(category_name(roll(RARE), record->names[record->item.categories_len])));
    record->item.hidden = roll(20) == 0;
    if (roll(20) == 0)
        record->item.owner = FR_BYTES("u1");
    if (roll(10) == 0)
        record->item.from = WALL - 1 + (int64_t)roll(3);
    if (roll(10) == 0)
        record->item.until = WALL - 1 + (int64_t)roll(3);
}

static void give_catalogue(struct world *world, int64_t at)
{
    struct fr_writer out[BATCH];

    dice = 9;
    for (int item = 0; item < ITEMS;) {
        struct event events[BATCH];
        size_t len = 0;
        for (; len < BATCH && item < ITEMS; item++) {
            say(&shop[item]);
            if (!shop[item].said)
                continue;
            fr_writer_init(&out[len], 0);
            catalogue_item_write(&out[len], &shop[item].item);
            events[len] = (struct event){
                .kind = EVENT_ITEM, .offset = at++, .logged = NOON, .item = fr_bytes_of(ids[item]), .said = fr_written(&out[len])};
            len++;
        }
        give(world, events, len);
        await(world, at);
        while (len)
            fr_writer_release(&out[--len]);
    }
}

/* ---- by hand ---- */

static bool named(const struct fr_bytes *names, size_t len, struct fr_bytes name)
{
    for (size_t i = 0; i < len; i++)
        if (fr_bytes_equal(names[i], name))
            return true;
    return false;
}

static bool has(const struct record *record, struct fr_bytes category)
{
    return record->said && named(record->item.categories, record->item.categories_len, category);
}

static bool lets(const struct ask *ask, bool require, int number)
{
    const struct record *record = &shop[number];
    struct fr_bytes id = fr_bytes_of(ids[number]);
    bool any = !ask->any_len;

    if (named(ask->exclude, ask->exclude_len, id) || (ask->include_len && !named(ask->include, ask->include_len, id)))
        return false;
    if (require && !record->said)
        return false;
    if (record->said && (record->item.hidden || WALL < record->item.from || (record->item.until && WALL >= record->item.until) ||
                         (record->item.owner.len && fr_bytes_equal(record->item.owner, ask->user))))
        return false;
    for (size_t i = 0; i < ask->any_len; i++)
        any = any || has(record, ask->any[i]);
    for (size_t i = 0; i < ask->all_len; i++)
        any = any && has(record, ask->all[i]);
    for (size_t i = 0; i < ask->none_len; i++)
        any = any && !has(record, ask->none[i]);
    return any;
}

static bool full(const unsigned counts[NAMES], const struct record *record, uint32_t most)
{
    char room[16];

    for (uint64_t c = 0; c < NAMES && most; c++)
        if (counts[c] >= most && has(record, fr_bytes_of(category_name(c, room))))
            return true;
    return false;
}

static int number_of(struct fr_bytes id)
{
    char room[16];

    snprintf(room, sizeof(room), "%.*s", (int)id.len, id.at);
    return atoi(room + 1);
}

struct expected {
    size_t len;
    int at[ITEMS];
};

static void walk_down(const struct recommendation_list *order, const struct ask *ask, bool require, struct expected *ret)
{
    unsigned counts[NAMES] = {0};
    char room[16];

    ret->len = 0;
    for (size_t i = 0; i < order->len && ret->len < ask->k; i++) {
        int number = number_of(order->items[i].item);
        if (!lets(ask, require, number) || full(counts, &shop[number], ask->max_per_category))
            continue;
        for (uint64_t c = 0; c < NAMES; c++)
            counts[c] += has(&shop[number], fr_bytes_of(category_name(c, room)));
        ret->at[ret->len++] = number;
    }
}

/* ---- questions ---- */

struct question {
    struct ask ask;
    char user[16], names[6][16];
    struct fr_bytes categories[6], items[6];
};

static size_t pick_categories(struct question *question, size_t *used, size_t most)
{
    size_t len = 0;

    for (size_t want = roll(most + 1); len < want; len++, (*used)++) {
        uint64_t number = roll(4) ? RARE + roll(NAMES - RARE) : roll(RARE + 3); /* some name nothing */
        category_name(number, question->names[*used]);
        if (roll(30) == 0)
            snprintf(question->names[*used], 16, "nowhere");
        question->categories[*used] = fr_bytes_of(question->names[*used]);
    }
    return len;
}

static void make_question(struct question *question, const char *model)
{
    struct ask *ask = &question->ask;
    size_t used = 0;

    *question = (struct question){.ask = {.model = model, .k = 1 + (uint32_t)roll(roll(5) ? 20 : 300)}};
    snprintf(question->user, sizeof(question->user), "u%d", (int)roll(USERS + 2)); /* some are unknown */
    ask->user = fr_bytes_of(question->user);
    if (roll(2) == 0) {
        ask->any = question->categories;
        ask->any_len = pick_categories(question, &used, 2);
        ask->all = question->categories + used;
        ask->all_len = pick_categories(question, &used, 2);
        ask->none = question->categories + used;
        ask->none_len = pick_categories(question, &used, 2);
    }
    ask->max_per_category = roll(2) ? 0 : 1 + (uint32_t)roll(4);
    for (size_t i = 0; i < 6; i++)
        question->items[i] = fr_bytes_of(ids[roll(60)]);
    ask->exclude = question->items;
    ask->exclude_len = roll(4);
    ask->include = question->items + ask->exclude_len;
    ask->include_len = roll(8) ? 0 : 2;
}

static void assert_same(const struct recommendation_list *got, const struct expected *want, const struct ask *ask, int question)
{
    if (got->len != want->len)
        fail_msg("question %d of %s: %zu items, not %zu", question, ask->model, got->len, want->len);
    for (size_t i = 0; i < got->len; i++)
        if (number_of(got->items[i].item) != want->at[i])
            fail_msg("question %d of %s: place %zu is i%d, not i%d", question, ask->model, i, number_of(got->items[i].item), want->at[i]);
}

/* The blend weighs candidates against one another, so its order is its own: each must be let through, and no place may be left. */
static void assert_full(const struct recommendation_list *got, const struct expected *want, const struct ask *ask, bool require)
{
    unsigned counts[NAMES] = {0};
    char room[16];

    if (!ask->max_per_category)
        assert_int_equal(got->len, want->len);
    for (size_t i = 0; i < got->len; i++) {
        int number = number_of(got->items[i].item);
        assert_true(lets(ask, require, number));
        for (uint64_t c = 0; c < NAMES; c++) {
            counts[c] += has(&shop[number], fr_bytes_of(category_name(c, room)));
            assert_true(!ask->max_per_category || counts[c] <= ask->max_per_category);
        }
    }
    for (size_t i = 0; i < want->len && got->len < ask->k; i++) { /* what is not there has no room */
        bool there = false;
        for (size_t g = 0; g < got->len; g++)
            there = there || number_of(got->items[g].item) == want->at[i];
        assert_true(there || full(counts, &shop[want->at[i]], ask->max_per_category));
    }
}

/* Whoever is first without caps has room with them; as long as few are asked for, so that the candidates are the same. */
static void assert_first_kept(struct reader *asked, struct ask ask, const struct recommendation_list *got)
{
    struct recommendation_list open;
    bool there = false;

    ask.max_per_category = 0;
    reader_recommend(asked, &ask, &open);
    for (size_t i = 0; i < got->len && open.len; i++)
        there = there || fr_bytes_equal(got->items[i].item, open.items[0].item);
    assert_true(there || !open.len);
}

static void ask_both(struct reader *bare, struct reader *asked, const char *model, bool require, int number)
{
    static struct expected want;
    struct question question;
    struct recommendation_list order, got;

    make_question(&question, model);
    struct ask everything = {.model = model, .user = question.ask.user, .k = ITEMS};
    reader_begin(bare);
    reader_begin(asked);
    if (strcmp(model, "by users") == 0) {
        question.ask.user = everything.user = FR_BYTES("");
        reader_popular(bare, &everything, &order);
        reader_popular(asked, &question.ask, &got);
    } else {
        reader_recommend(bare, &everything, &order);
        reader_recommend(asked, &question.ask, &got);
    }
    walk_down(&order, &question.ask, require, &want);
    if (strcmp(model, ENGINE_BLEND) == 0) {
        assert_full(&got, &want, &question.ask, require);
        if (question.ask.k <= 4)
            assert_first_kept(asked, question.ask, &got);
    } else {
        assert_same(&got, &want, &question.ask, number);
    }
    reader_end(asked);
    reader_end(bare);
}

static void filters_bring_what_a_search_by_hand_brings(void **state)
{
    static const char *const models[] = {"sar", "fm", "popular", ENGINE_BLEND, "by users"};
    struct engine_options options = with_models();
    struct world bare = {.store = store_memory_new(NULL)}, full_world = {.store = store_memory_new(NULL)};

    (void)state;
    shop = calloc(ITEMS, sizeof(*shop));
    for (int item = 0; item < ITEMS; item++)
        snprintf(ids[item], sizeof(ids[item]), "i%d", item);
    begin(&bare, &options);
    give_events(&bare);
    begin(&full_world, &options);
    give_events(&full_world);
    give_catalogue(&full_world, USERS * EACH);
    for (int require = 0; require < 2; require++) {
        if (require) { /* and what was said is there after a restart */
            end(&full_world);
            options.require_catalogue = true;
            begin(&full_world, &options);
        }
        struct reader *without = reader_new(bare.engine), *with = reader_new(full_world.engine);
        dice = 11;
        for (int number = 0; number < QUESTIONS; number++)
            ask_both(without, with, models[(size_t)number % (sizeof(models) / sizeof(*models))], require, number);
        reader_free(without);
        reader_free(with);
    }
    end(&bare);
    end(&full_world);
    bare.store->ops->close(bare.store);
    full_world.store->ops->close(full_world.store);
    free(shop);
}

/* ---- what no item has ---- */

static const char *similar(struct world *world, struct ask ask, const char *item)
{
    static char text[256];
    struct reader *reader = reader_new(world->engine);
    struct neighbour_list list;
    size_t at = 0;

    reader_begin(reader);
    assert_int_equal(reader_similar_items(reader, fr_bytes_of(item), &ask, &list, NULL), FR_OK);
    text[0] = '\0';
    for (size_t i = 0; i < list.len; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s", i ? " " : "", (int)list.neighbours[i].id.len, list.neighbours[i].id.at);
    reader_end(reader);
    reader_free(reader);
    return text;
}

static const char *popular(struct world *world, struct ask ask)
{
    struct reader *reader = reader_new(world->engine);
    struct recommendation_list list;

    reader_begin(reader);
    reader_popular(reader, &ask, &list);
    const char *text = tell(&list);
    reader_end(reader);
    reader_free(reader);
    return text;
}

static void assert_filtered(struct world *world, struct ask ask, const char *item, bool filtered)
{
    struct reader *reader = reader_new(world->engine);
    struct explanation found;
    bool told = false;

    reader_begin(reader);
    reader_explain(reader, &ask, fr_bytes_of(item), &found);
    for (size_t i = 0; i < found.excluded_by_len; i++)
        told = told || strcmp(found.excluded_by[i], "filter") == 0;
    assert_int_equal(told, filtered);
    assert_int_equal(found.rank == 0, filtered);
    reader_end(reader);
    reader_free(reader);
}

/* Ann has apple and bread, and all that is named is red. What is not there is asked for beside it, or alone. */
static void a_category_that_no_item_has_lets_nothing_through_of_what_is_named(void **state)
{
    const struct fr_bytes asked[] = {FR_BYTES("red"), FR_BYTES("nosuch")}, named[] = {FR_BYTES("cheese"), FR_BYTES("apple")};
    const struct item_said red = {.categories_len = 1, .categories = {FR_BYTES("red")}};
    const char *const items[] = {"apple", "bread", "cheese"};
    struct engine_options options = product();
    struct world world = {.store = store_memory_new(NULL)};

    (void)state;
    begin(&world, &options);
    town(&world);
    for (int i = 0; i < 3; i++) {
        struct fr_writer out;
        fr_writer_init(&out, 0);
        catalogue_item_write(&out, &red);
        give(&world, &(struct event){.kind = EVENT_ITEM, .offset = 6 + i, .logged = NOON, .item = fr_bytes_of(items[i]),
                                     .said = fr_written(&out)}, 1);
        await(&world, 7 + i);
        fr_writer_release(&out);
    }
    for (size_t from = 0; from < 2; from++)
        for (size_t to = from + 1; to <= 2; to++)
            for (size_t include = 0; include <= 2; include += 2) {
                struct ask ask = {.user = FR_BYTES("ann"), .k = 5, .all = asked + from, .all_len = to - from, .include = named,
                                  .include_len = include};
                bool filtered = to == 2; /* "nosuch" is among them */
                assert_string_equal(recommend(&world, "ann", ask), filtered ? "" : recommend(&world, "ann", (struct ask){0}));
                assert_int_equal(strstr(similar(&world, ask, "bread"), "apple") != NULL, !filtered);
                assert_int_equal(strstr(popular(&world, ask), "cheese") != NULL, !filtered);
                assert_filtered(&world, ask, "cheese", filtered);
                struct ask any = ask, none = ask;
                any.any = ask.all;
                any.any_len = ask.all_len;
                any.all_len = none.all_len = 0;
                assert_int_equal(recommend(&world, "ann", any)[0] == '\0', from == 1); /* here red does as well */
                none.none = &asked[1];
                none.none_len = 1;
                assert_string_not_equal(recommend(&world, "ann", none), "");
            }
    end(&world);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_bring_what_a_search_by_hand_brings),
        cmocka_unit_test(a_category_that_no_item_has_lets_nothing_through_of_what_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
