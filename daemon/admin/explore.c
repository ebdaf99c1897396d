/*
 * explore.c -- what is known of a user or an item, and what would be recommended and why, as JSON (page.h).
 *
 * Ids come from outside: they are checked as a record's are, and leave as JSON strings. Thread: HTTP.
 */
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "page_private.h"

enum { DIGITS = 6, K_DEFAULT = 10 };

static enum page_result refuse(struct fr_writer *out, enum page_result why, const char *text)
{
    json_put(out, json_pack("{s:o}", "error", json_text(fr_bytes_of(text))), DIGITS);
    return why;
}

static enum page_result refuse_id(struct fr_writer *out, const char *field, const char *problem)
{
    char text[120];

    snprintf(text, sizeof(text), "%s %s; an id is 1 to %d bytes of UTF-8 without NUL", field, problem, FR_ID_BYTES_MAX);
    return refuse(out, PAGE_REFUSED, text);
}

/* Empty: the default. */
static bool read_k(struct fr_bytes text, uint32_t *ret_k)
{
    uint32_t k = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || (k = k * 10 + (uint32_t)(text.at[i] - '0')) > PAGE_K_MAX)
            return false;
    }
    *ret_k = text.len ? k : K_DEFAULT;
    return *ret_k > 0;
}

/* The engine's own name for it, which lasts as long as the engine; NULL: it has none such. */
static const char *model_of(const struct engine *engine, struct fr_bytes text)
{
    const char *name;

    for (size_t i = 0; (name = engine_model(engine, i)); i++)
        if (fr_bytes_equal(fr_bytes_of(name), text))
            return name;
    return NULL;
}

/* Begins to ask; if it can, finish() ends it. */
static enum page_result begin(struct page *page, const struct page_question *question, struct ask *ask, struct fr_writer *out)
{
    enum page_result result;
    char text[80];

    *ask = (struct ask){.explain = true, .user = question->user};
    if (!read_k(question->k, &ask->k)) {
        snprintf(text, sizeof(text), "k is not a number from 1 to %d", PAGE_K_MAX);
        return refuse(out, PAGE_REFUSED, text);
    }
    pthread_mutex_lock(&page->asking);
    if (!page->engine) {
        result = refuse(out, PAGE_AWAY, fr_state_now() == FR_STARTING ? "the state is being loaded" : "the daemon is stopping");
    } else if (question->model.len && !(ask->model = model_of(page->engine, question->model))) {
        result = refuse(out, PAGE_REFUSED, "there is no such model");
    } else {
        reader_begin(page->reader);
        return PAGE_ANSWERED;
    }
    pthread_mutex_unlock(&page->asking);
    return result;
}

static void finish(struct page *page)
{
    reader_end(page->reader);
    pthread_mutex_unlock(&page->asking);
}

/* ---- parts ---- */

/* An answer while it is made. */
struct telling {
    struct page *page;
    json_t *titles; /* of the items it names, by id, as far as the catalogue has them */
};

static struct telling tell(struct page *page)
{
    return (struct telling){page, json_object()};
}

static json_t *item_text(const struct telling *telling, struct fr_bytes item)
{
    struct item_facts facts = {0};
    struct fr_err err = {0};
    json_t *id = json_text(item);

    if (!json_object_get(telling->titles, json_string_value(id)) && reader_item(telling->page->reader, item, &facts, &err) == FR_OK &&
        facts.said && facts.said->title.len)
        json_object_set_new(telling->titles, json_string_value(id), json_text(facts.said->title));
    return id;
}

static json_t *reasons_of(const struct telling *telling, const struct recommended *item)
{
    json_t *list = json_array();

    for (size_t i = 0; i < item->reasons_len && i < PAGE_REASONS_MAX; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "item", item_text(telling, item->reasons[i].item), "contribution",
                                              json_number(item->reasons[i].contribution)));
    return list;
}

static json_t *recommendations_of(const struct telling *telling, const struct recommendation_list *recommended)
{
    json_t *list = json_array();

    for (size_t i = 0; i < recommended->len; i++) {
        const struct recommended *item = &recommended->items[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:s, s:o, s:I}", "item", item_text(telling, item->item), "score",
                                              json_number(item->score), "source", item->source, "reasons",
                                              reasons_of(telling, item),
                                              "reasons_total", (json_int_t)item->reasons_len));
    }
    return list;
}

static void put_user(const struct telling *telling, const struct ask *ask, json_t *answer)
{
    struct reader *reader = telling->page->reader;
    struct recommendation_list recommended = {0};
    struct user_facts facts = {0};
    struct fr_err err = {0};
    bool known = reader_user(reader, ask->user, &facts, &err) == FR_OK;
    json_t *affinities = json_array();

    if (!known)
        facts = (struct user_facts){0};
    for (size_t i = 0; i < facts.affinities_len && i < PAGE_AFFINITIES_MAX; i++)
        json_array_append_new(affinities, json_pack("{s:o, s:o, s:I}", "item", item_text(telling, facts.affinities[i].item), "affinity",
                                                    json_number(facts.affinities[i].affinity), "last_ms",
                                                    (json_int_t)facts.affinities[i].last));
    json_object_set_new(answer, "user", json_text(ask->user));
    json_object_set_new(answer, "known", json_boolean(known));
    json_object_set_new(answer, "events", json_integer((json_int_t)facts.events));
    json_object_set_new(answer, "last_event_ms", json_integer(facts.last_event));
    json_object_set_new(answer, "affinities", affinities);
    json_object_set_new(answer, "affinities_total", json_integer((json_int_t)facts.affinities_len));
    reader_recommend(reader, ask, &recommended); /* takes the room of what was asked before */
    json_object_set_new(answer, "model", json_string(recommended.model));
    json_object_set_new(answer, "fallback", json_boolean(recommended.fallback));
    json_object_set_new(answer, "recommendations", recommendations_of(telling, &recommended));
}

static void put_item(const struct telling *telling, struct fr_bytes item, const struct ask *ask, json_t *answer)
{
    struct reader *reader = telling->page->reader;
    struct neighbour_list similar = {0};
    struct item_facts facts = {0};
    struct fr_err err = {0};
    bool known = reader_item(reader, item, &facts, &err) == FR_OK;
    json_t *list = json_array();

    if (known && reader_similar_items(reader, item, ask, &similar, &err) != FR_OK)
        similar = (struct neighbour_list){0};
    for (size_t i = 0; i < similar.len; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "item", item_text(telling, similar.neighbours[i].id), "similarity",
                                              json_number(similar.neighbours[i].similarity)));
    json_object_set_new(answer, "item", item_text(telling, item));
    json_object_set_new(answer, "known", json_boolean(known));
    json_object_set_new(answer, "users", json_integer(known ? (json_int_t)facts.users : 0));
    json_object_set_new(answer, "first_seen_ms", json_integer(known ? facts.first_seen : 0));
    json_object_set_new(answer, "similar", list);
}

/* ---- the two questions ---- */

enum page_result page_top(struct page *page, const struct page_question *question, struct fr_writer *out)
{
    struct recommendation_list popular = {0};
    struct ask ask;
    enum page_result result = begin(page, question, &ask, out);
    struct telling telling;
    json_t *list;

    if (result != PAGE_ANSWERED)
        return result;
    telling = tell(page);
    list = json_array();
    reader_popular(page->reader, &ask, &popular);
    for (size_t i = 0; i < popular.len; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "item", item_text(&telling, popular.items[i].item), "users",
                                              json_number(popular.items[i].score)));
    finish(page);
    json_put(out, json_pack("{s:o, s:o}", "items", list, "titles", telling.titles), DIGITS);
    return PAGE_ANSWERED;
}

enum page_result page_explore(struct page *page, const struct page_question *question, struct fr_writer *out)
{
    const char *field = question->user.at ? "user" : "item";
    struct fr_bytes id = question->user.at ? question->user : question->item;
    const char *problem = fr_id_problem(id.at, id.len);
    enum page_result result;
    struct ask ask;
    json_t *answer;

    if (!question->user.at == !question->item.at)
        return refuse(out, PAGE_REFUSED, "exactly one of user and item is needed");
    if (problem)
        return refuse_id(out, field, problem);
    result = begin(page, question, &ask, out);
    if (result != PAGE_ANSWERED)
        return result;
    struct telling telling = tell(page);
    answer = json_object();
    if (question->user.at)
        put_user(&telling, &ask, answer);
    else
        put_item(&telling, id, &ask, answer);
    json_object_set_new(answer, "titles", telling.titles);
    finish(page);
    json_put(out, answer, DIGITS);
    return PAGE_ANSWERED;
}
