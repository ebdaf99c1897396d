/*
 * fake_reader.c -- the small world of fake_reader.h.
 */
#include "fake_reader.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


struct reader {
    struct engine *engine;
    struct recommended list[2];
    struct position positions[3];
    struct as_of as_of;
};

static const struct why because[] = {{{"apple", 5}, 1, NULL}, {{"pear", 4}, 0.5, NULL}};
static const struct recommended for_ann[] = {{{"plum", 4}, 1.5, "sar", NULL, 0, 0}, {{"pear", 4}, 0, "popular", NULL, 0, 0}};
static const struct recommended for_ann_drawn[] = {{{"plum", 4}, 1.5, "sar", NULL, 0, 0.75}, {{"pear", 4}, 0, "popular", NULL, 0, 1}};
static const struct recommended for_ann_why[] = {{{"plum", 4}, 1.5, "sar", because, 2, 0},
                                                 {{"pear", 4}, 0, "popular", NULL, 0, 0}};
static const struct recommended popular[] = {
    {{"apple", 5}, 3, "popular", NULL, 0, 0}, {{"pear", 4}, 2, "popular", NULL, 0, 0}, {{"plum", 4}, 1, "popular", NULL, 0, 0}};
static const struct neighbour like_apple[] = {{{"pear", 4}, 0.75}, {{"plum", 4}, 0.5}}, like_ann[] = {{{"bob", 3}, 6}};
static const struct user_affinity affinities[] = {{{"apple", 5}, 2.5, 400}, {{"pear", 4}, 1, 350}};
static const float taste[] = {0.5F, -1};
static const struct item_said apple = {.hidden = true,
                                       .from = 5,
                                       .until = 6,
                                       .owner = {"bob", 3},
                                       .title = {"An apple", 8},
                                       .embedding = {(const char *)taste, sizeof(taste)},
                                       .categories_len = 2,
                                       .categories = {{"fruit", 5}, {"red", 3}},
                                       .features = {1, {{{"sort", 4}, {"Boskoop", 7}}}}};
static const struct features_said ann = {1, {{{"city", 4}, {"Ulm", 3}}}};
static const struct {
    struct fr_bytes id;
    struct item_facts facts;
} items[] = {{{"apple", 5}, {3, 1.25, 100, &apple}}, {{"pear", 4}, {2, 0, 200, NULL}}, {{"plum", 4}, {1, 0, 300, NULL}}};

const char *engine_model(const struct engine *known, size_t index)
{
    (void)known;
    return index == 0 ? "sar" : index == 1 ? "fm" : NULL;
}

const char *engine_model_remains(const struct engine *known, size_t index)
{
    (void)known;
    return index == 1 ? "what it was taught" : NULL;
}

bool engine_model_has_neighbours(const struct engine *known, const char *name)
{
    (void)known;
    return strcmp(name, "sar") == 0;
}

const char *partition_state_name(enum partition_state state)
{
    return state == PARTITION_RUNNING ? "running" : "waiting";
}

void engine_hold(struct engine *held, enum engine_hold why, bool on)
{
    if (on)
        atomic_fetch_or(&held->holds, 1U << why);
    else
        atomic_fetch_and(&held->holds, ~(1U << why));
}

bool engine_holds_for(const struct engine *held, enum engine_hold why)
{
    return atomic_load(&held->holds) & 1U << why;
}

bool engine_at_rest(struct engine *held)
{
    return !atomic_load(&held->busy);
}

uint64_t engine_given(const struct engine *held)
{
    (void)held;
    return 9;
}

bool engine_applied(const struct engine *held, uint64_t given)
{
    assert(given == 9);
    return !atomic_load(&held->busy);
}

size_t engine_holds(const struct engine *held, const char *ret_names[static HOLDS])
{
    static const char *const names[HOLDS] = {"disk", "memory", "asked"};
    size_t len = 0;

    for (int why = 0; why < HOLDS; why++)
        if (atomic_load(&held->holds) & 1U << why)
            ret_names[len++] = names[why];
    return len;
}

struct reader *reader_new(struct engine *engine)
{
    struct reader *reader = calloc(1, sizeof(*reader));

    reader->engine = engine;
    return reader;
}

void reader_free(struct reader *reader)
{
    free(reader);
}

void reader_begin(struct reader *reader)
{
    struct engine *engine = reader->engine;
    size_t len = 0;

    engine->open++;
    reader->positions[len++] = (struct position){"events", 2, engine->next};
    for (int i = 0; i < 2; i++)
        if (engine->others[i])
            reader->positions[len++] = (struct position){"events", 3 + i, engine->others[i]};
    reader->as_of = (struct as_of){reader->positions, len, 400, engine->staleness_ms < 0 ? INFINITY : engine->staleness_ms / 1000.0, engine->untold};
}

void reader_end(struct reader *reader)
{
    reader->engine->open--;
}

const struct as_of *reader_as_of(const struct reader *reader)
{
    return &reader->as_of;
}

bool engine_reached(struct engine *engine, struct fr_bytes topic, int32_t partition, int64_t next)
{
    for (uint64_t begin = fr_mono_ns(); fr_mono_ns() - begin < engine->look_takes;)
        continue;
    if (++engine->looks <= engine->looks_vain)
        return false;
    return fr_bytes_equal(topic, FR_BYTES("events")) && partition == 2 && engine->next >= next;
}

when_ms engine_cutoff(struct engine *engine, bool item, struct fr_bytes id)
{
    (void)engine;
    return item && fr_bytes_equal(id, FR_BYTES("ann")) ? 5000 : -1;
}

/* What was asked, copied: it lives in the question's arena. */
static void note(struct engine *engine, const struct ask *ask)
{
    assert(engine->open > 0);
    if (!engine->notes)
        return;
    engine->ask = *ask;
    snprintf(engine->user, sizeof(engine->user), "%.*s", (int)ask->user.len, ask->user.len ? ask->user.at : "");
    engine->exclude[0] = engine->include[0] = '\0';
    for (size_t i = 0; i < ask->exclude_len; i++)
        snprintf(engine->exclude + strlen(engine->exclude), sizeof(engine->exclude) - strlen(engine->exclude), "%.*s ",
                 (int)ask->exclude[i].len, ask->exclude[i].at);
    for (size_t i = 0; i < ask->include_len; i++)
        snprintf(engine->include + strlen(engine->include), sizeof(engine->include) - strlen(engine->include), "%.*s ",
                 (int)ask->include[i].len, ask->include[i].at);
    snprintf(engine->model, sizeof(engine->model), "%s", ask->model ? ask->model : "");
    for (size_t i = 0; i < ask->context_len && i < 4; i++)
        engine->context[i] = ask->context[i];
    for (size_t i = 0; i < ask->seeds_len && i < 4; i++)
        engine->seeds[i] = ask->seeds[i];
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void pass_the_gate(struct engine *engine)
{
    engine->came++;
    while (engine->shut) {
        int passes = engine->passes;
        if (passes > 0 && atomic_compare_exchange_strong(&engine->passes, &passes, passes - 1))
            return;
        sched_yield();
    }
}

void reader_recommend(struct reader *reader, const struct ask *ask, struct recommendation_list *ret_list)
{
    bool known = fr_bytes_equal(ask->user, FR_BYTES("ann"));

    pass_the_gate(reader->engine);
    reader->engine->came_for_one += ask->k == 1;
    note(reader->engine, ask);
    if (ask->exploration > 0) {
        reader->engine->drawn_by = ask->draw;
        reader->engine->by_history = ask->draw_by_history;
    }
    *ret_list = (struct recommendation_list){.model = "sar", .fallback = true};
    ret_list->items = !known ? popular : ask->exploration > 0 ? for_ann_drawn : ask->explain ? for_ann_why : for_ann;
    ret_list->len = least(ask->k, known ? 2 : 3);
    if (!known && reader->engine->long_name) {
        static const char name[100000];
        static const struct recommended one = {.item = {name, sizeof(name)}, .score = 1, .source = "popular"};
        ret_list->items = &one;
        ret_list->len = 1;
    }
    if (known) {
        memcpy(reader->list, ret_list->items, sizeof(reader->list));
        reader->list[0].score += reader->engine->more / 4.0;
        ret_list->items = reader->list;
    }
}

void reader_score(struct reader *reader, const struct ask *ask, const struct fr_bytes *ids, size_t len,
                  struct recommendation_list *ret_list)
{
    static struct recommended scored[16];

    note(reader->engine, ask);
    assert(len <= 16);
    for (size_t i = 0; i < len; i++) {
        bool says = fr_bytes_equal(ask->user, FR_BYTES("ann")) && fr_bytes_equal(ids[i], FR_BYTES("plum"));
        scored[i] = (struct recommended){.item = ids[i], .score = says ? 1.5 : 0, .source = says ? "sar" : ""};
    }
    *ret_list = (struct recommendation_list){scored, len, "sar", false};
}

void reader_explain(struct reader *reader, const struct ask *ask, struct fr_bytes item, struct explanation *ret_explanation)
{
    static const struct why why[] = {{{"apple", 5}, 1, NULL}, {{"", 0}, 1, "many hold it"}, {{"pear", 4}, -0.5, NULL}};
    static const char *const seen[] = {"seen"}, *const unknown[] = {"unknown item"};
    bool known = fr_bytes_equal(item, FR_BYTES("plum"));

    note(reader->engine, ask);
    *ret_explanation = known ? (struct explanation){1.5, 2, why, 3, seen, 1} : (struct explanation){.excluded_by = unknown, .excluded_by_len = 1};
}

/* ---- watching ---- */

static sem_t tidings;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_tidings(void)
{
    sem_init(&tidings, 0, 0);
}

struct watched engine_watch(struct engine *engine, struct fr_bytes user)
{
    engine->watched++;
    return (struct watched){.hash = fr_bytes_equal(user, FR_BYTES("ann")), .moves = engine->moves};
}

void engine_unwatch(struct engine *engine, const struct watched *watched)
{
    (void)watched;
    engine->unwatched++;
}

bool engine_moved(const struct engine *engine, struct watched *watched)
{
    uint32_t before = watched->moves;

    watched->moves = watched->hash ? engine->moves : before;
    return watched->moves != before;
}

void engine_watch_wait(struct engine *engine)
{
    (void)engine;
    pthread_once(&once, make_tidings);
    while (sem_wait(&tidings))
        ;
}

void engine_watch_wake(struct engine *engine)
{
    (void)engine;
    pthread_once(&once, make_tidings);
    sem_post(&tidings);
}

void fake_move(struct engine *engine, int more)
{
    engine->more = more;
    engine->moves++;
    engine_watch_wake(engine);
}

int reader_similar_items(struct reader *reader, struct fr_bytes item, const struct ask *filter,
                         struct neighbour_list *ret_list, struct fr_err *err)
{
    note(reader->engine, filter);
    if (!fr_bytes_equal(item, FR_BYTES("apple")))
        return fr_fail(err, FR_NOT_FOUND, "no item '%.*s'", (int)item.len, item.at);
    *ret_list = (struct neighbour_list){like_apple, least(filter->k, 2)};
    return FR_OK;
}

int reader_similar_users(struct reader *reader, struct fr_bytes user, uint32_t k, struct neighbour_list *ret_list,
                         struct fr_err *err)
{
    int status = reader->engine->similar_users;

    if (status == FR_OK && !fr_bytes_equal(user, FR_BYTES("ann")))
        status = FR_NOT_FOUND;
    *ret_list = (struct neighbour_list){like_ann, least(k, 1)};
    return status == FR_OK ? FR_OK : fr_fail(err, (enum fr_status)status, "9 of 8 places");
}

void reader_popular(struct reader *reader, const struct ask *filter, struct recommendation_list *ret_list)
{
    note(reader->engine, filter);
    *ret_list = (struct recommendation_list){.items = popular, .len = least(filter->k, 3), .model = "popular"};
}

int reader_user(struct reader *reader, struct fr_bytes user, struct user_facts *ret_facts, struct fr_err *err)
{
    assert(reader->engine->open > 0);
    if (reader->engine->broken)
        return fr_fail(err, (enum fr_status)reader->engine->broken, "broken");
    if (!fr_bytes_equal(user, FR_BYTES("ann")))
        return fr_fail(err, FR_NOT_FOUND, "no such user");
    *ret_facts = (struct user_facts){affinities, 2, 400, 4, &ann};
    return FR_OK;
}

int reader_item(struct reader *reader, struct fr_bytes item, struct item_facts *ret_facts, struct fr_err *err)
{
    assert(reader->engine->open > 0);
    if (reader->engine->broken)
        return fr_fail(err, (enum fr_status)reader->engine->broken, "broken");
    for (size_t i = 0; i < 3; i++)
        if (fr_bytes_equal(item, items[i].id)) {
            *ret_facts = items[i].facts;
            return FR_OK;
        }
    return fr_fail(err, FR_NOT_FOUND, "no such item");
}

void engine_status(struct engine *engine, struct engine_status *ret_status)
{
    int64_t next = engine->next;

    memset(ret_status, 0, sizeof(*ret_status));
    ret_status->users = 2;
    ret_status->items = 3;
    ret_status->pairs = 6;
    ret_status->model_events = 9;
    ret_status->model_bytes = 4096;
    ret_status->models_len = 2;
    ret_status->models[0].name = "sar";
    ret_status->models[0].events = 9;
    ret_status->models[0].bytes = 4096;
    ret_status->models[1].name = "fm";
    ret_status->models[1].events = 4;
    ret_status->models[1].bytes = 512;
    ret_status->age_seconds = 1.5;
    ret_status->partitions_len = 1;
    for (; ret_status->partitions_len <= (size_t)engine->more_partitions; ret_status->partitions_len++) {
        int number = (int)ret_status->partitions_len;
        ret_status->partitions[number] = (struct partition_status){"more", number, PARTITION_RUNNING, 1, 1, 1, 0, -1, -1, 0, false};
    }
    ret_status->partitions[0] = (struct partition_status){"events", 2, PARTITION_RUNNING, next, 7, 50, 50 - next, -1, -1, 0.25, false};
}

uint64_t engine_checkpoint_ask(struct engine *engine)
{
    return ++engine->asked;
}

bool engine_checkpoint_done(struct engine *engine, uint64_t ticket, struct engine_checkpoint *ret)
{
    if (engine->done < ticket)
        return false;
    if (ret) {
        ret->keys = 12;
        ret->seconds = 0.125;
        ret->durable_len = 1;
        ret->durable[0] = (struct position){"events", 2, 41};
    }
    return true;
}
