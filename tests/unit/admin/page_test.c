/*
 * page_test.c -- the page's JSON, of the world of fake_reader.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fake_reader.h"
#include "freshet/life.h"
#include "freshet/log.h"
#include "freshet/metric.h"
#include "json.h"
#include "page.h"

static const struct admin_about about = {.version = "9.8.7", .brokers = "k1:9092", .topic = "events"};
static struct engine engine;
static struct page *page;
static struct fr_writer out;
static json_t *answer;

static int start(void **state)
{
    (void)state;
    memset(&engine, 0, sizeof(engine));
    engine.next = 41;
    fr_state_set(FR_RUNNING);
    page = page_new(10000);
    page_attach(page, &engine, &about);
    fr_writer_init(&out, 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    json_decref(answer);
    answer = NULL;
    page_detach(page);
    page_free(page);
    fr_writer_release(&out);
    return 0;
}

static void read_answer(void)
{
    json_error_t error;

    json_decref(answer);
    answer = json_loadb(out.at, out.len, JSON_ALLOW_NUL, &error);
    if (!answer)
        fail_msg("%s in %.*s", error.text, (int)out.len, out.at);
    fr_writer_reset(&out);
}

static enum page_result explore(struct fr_bytes user, struct fr_bytes item, const char *model, const char *k)
{
    const struct page_question question = {user, item, fr_bytes_of(model), fr_bytes_of(k)};
    enum page_result result = page_explore(page, &question, &out);

    read_answer();
    assert_int_equal(engine.open, 0); /* nobody stays in the reader */
    return result;
}

static void status(void)
{
    page_status(page, &out);
    read_answer();
}

/* "recommendations.0.reasons.1.item" */
static const json_t *at(const char *path)
{
    const json_t *json = answer;

    while (*path && json) {
        size_t len = strcspn(path, ".");
        char name[64];

        snprintf(name, sizeof(name), "%.*s", (int)len, path);
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(name)) : json_object_get(json, name);
        path += len + (path[len] == '.');
    }
    if (!json)
        fail_msg("no '%s'", path);
    return json;
}

static const char *text(const char *path)
{
    return json_string_value(at(path));
}

static double number(const char *path)
{
    return json_number_value(at(path));
}

static const struct fr_bytes none;

static void a_user_has_recommendations_and_reasons(void **state)
{
    (void)state;
    assert_int_equal(explore(FR_BYTES("ann"), none, "", ""), PAGE_ANSWERED);
    assert_true(json_is_true(at("known")));
    assert_int_equal(number("events"), 4);
    assert_string_equal(text("recommendations.0.item"), "plum");
    assert_true(number("recommendations.0.score") == 1.5);
    assert_string_equal(text("recommendations.0.reasons.1.item"), "pear");
    assert_true(number("recommendations.0.reasons.1.contribution") == 0.5);
    assert_string_equal(text("recommendations.1.source"), "popular");
    assert_string_equal(text("affinities.0.item"), "apple");
    assert_string_equal(text("model"), "sar");
    assert_true(json_is_true(at("fallback")));
    assert_int_equal(json_object_size(at("titles")), 1); /* the catalogue has no other */
    assert_string_equal(text("titles.apple"), "An apple");
}

static void an_unknown_user_is_told_from_a_known_one(void **state)
{
    (void)state;
    assert_int_equal(explore(FR_BYTES("<script>alert(1)</script>"), none, "", "2"), PAGE_ANSWERED);
    assert_true(json_is_false(at("known")));
    assert_string_equal(text("user"), "<script>alert(1)</script>"); /* as JSON; the page puts it in as text */
    assert_int_equal(json_array_size(at("recommendations")), 2);
    assert_int_equal(json_array_size(at("affinities")), 0);
}

static void an_item_has_neighbours(void **state)
{
    (void)state;
    assert_int_equal(explore(none, FR_BYTES("apple"), "", ""), PAGE_ANSWERED);
    assert_true(json_is_true(at("known")));
    assert_int_equal(number("users"), 3);
    assert_int_equal(number("first_seen_ms"), 100);
    assert_string_equal(text("similar.0.item"), "pear");
    assert_true(number("similar.0.similarity") == 0.75);
    assert_int_equal(explore(none, FR_BYTES("\"};\\\n"), "", ""), PAGE_ANSWERED);
    assert_true(json_is_false(at("known")));
    assert_string_equal(text("item"), "\"};\\\n");
}

static void the_question_reaches_the_engine(void **state)
{
    (void)state;
    engine.notes = true;
    assert_int_equal(explore(FR_BYTES("ann"), none, "fm", "50"), PAGE_ANSWERED);
    assert_int_equal(engine.ask.k, 50);
    assert_string_equal(engine.model, "fm");
    assert_true(engine.ask.explain);
    assert_int_equal(explore(FR_BYTES("ann"), none, "", ""), PAGE_ANSWERED);
    assert_int_equal(engine.ask.k, 10);
    assert_string_equal(engine.model, "");
}

static void bad_questions_name_what_is_bad(void **state)
{
    char longest[257];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(explore(FR_BYTES("ann"), none, "sarr", ""), PAGE_REFUSED);
    assert_string_equal(text("error"), "there is no such model");
    assert_int_equal(explore(FR_BYTES("ann"), none, "", "51"), PAGE_REFUSED);
    assert_int_equal(explore(FR_BYTES("ann"), none, "", "1e1"), PAGE_REFUSED);
    assert_string_equal(text("error"), "k is not a number from 1 to 50");
    assert_int_equal(explore((struct fr_bytes){longest, 257}, none, "", ""), PAGE_REFUSED);
    assert_string_equal(text("error"), "user is longer than 256 bytes; an id is 1 to 256 bytes of UTF-8 without NUL");
    assert_int_equal(explore((struct fr_bytes){longest, 256}, none, "", ""), PAGE_ANSWERED);
    assert_int_equal(explore(none, none, "", ""), PAGE_REFUSED);
    assert_int_equal(explore(FR_BYTES("a"), FR_BYTES("b"), "", ""), PAGE_REFUSED);
}

static void without_an_engine_only_what_needs_none_is_told(void **state)
{
    (void)state;
    page_detach(page);
    assert_int_equal(explore(FR_BYTES("ann"), none, "", ""), PAGE_AWAY);
    assert_string_equal(text("error"), "the daemon is stopping");
    fr_state_set(FR_STARTING);
    assert_int_equal(explore(FR_BYTES("ann"), none, "", ""), PAGE_AWAY);
    assert_string_equal(text("error"), "the state is being loaded");
    status();
    assert_string_equal(text("findings.0.text"), "Starting: loading the state");
    assert_string_equal(text("findings.0.level"), "busy");
    assert_int_equal(json_array_size(at("models")), 0);
    page_attach(page, &engine, &about);
    assert_int_equal(explore(FR_BYTES("ann"), none, "", ""), PAGE_ANSWERED);
}

static void the_most_popular_come_first(void **state)
{
    const struct page_question question = {.k = FR_BYTES("2")};

    (void)state;
    assert_int_equal(page_top(page, &question, &out), PAGE_ANSWERED);
    read_answer();
    assert_int_equal(json_array_size(at("items")), 2);
    assert_string_equal(text("items.0.item"), "apple");
    assert_int_equal(number("items.0.users"), 3);
}

static void the_status_has_the_figures_of_the_metrics(void **state)
{
    (void)state;
    fr_count(fr_series(FR_M_EVENTS_APPLIED, "click", "", ""), 30);
    fr_count(fr_series(FR_M_EVENTS_APPLIED, "other", "", ""), 12);
    fr_count(fr_series(FR_M_RPC_HANDLED, "Recommend", "OK", ""), 5);
    fr_count(fr_series(FR_M_RPC_HANDLED, "Recommend", "INVALID_ARGUMENT", ""), 2);
    fr_series(FR_M_RPC_HANDLED, "Watch", "OK", "");
    fr_gauge(fr_series(FR_M_STATE_BYTES, "pairs", "", ""), 123456789);
    fr_gauge(fr_series(FR_M_MODEL_QUALITY, "sar", "ndcg_10", "10000"), 0.1803291234567);
    fr_observe(FR_SERIES(FR_M_CHECKPOINT_SECONDS), 0.5);
    fr_log(FR_WARN, "test", "page.warning", FR_FIELDS(FR_TEXT("id", "<b>\xff")), "x < y");
    status();
    assert_string_equal(text("version"), "9.8.7");
    assert_string_equal(text("state"), "running");
    assert_int_equal(number("totals.applied"), 42);
    assert_int_equal(number("methods.Recommend.handled"), 7);
    assert_int_equal(number("methods.Recommend.failed"), 2);
    assert_null(json_object_get(at("methods"), "Watch")); /* nobody asked */
    assert_int_equal(number("bytes.pairs"), 123456789);
    assert_true(number("quality.0.value") == 0.180329123456700);
    assert_string_equal(text("quality.0.window"), "10000");
    assert_int_equal(number("checkpoint.count"), 1);
    assert_true(number("checkpoint.mean") == 0.5);
    assert_string_equal(text("warnings.0.text"), "x < y id=\"<b>\\ufffd\"");
    assert_string_equal(text("models.1"), "fm");
    assert_int_equal(number("partitions.0.lag"), 9);
    assert_int_equal(number("lag.messages"), 9);
    assert_string_equal(text("partitions.0.state"), "running");
}

static void what_is_amiss_is_found_in_the_metrics(void **state)
{
    static const struct {
        enum fr_metric family;
        const char *label, *text;
        bool reads; /* so that lag is known */
    } cases[] = {{FR_M_INGEST_HELD, "disk", "Held: disk full", false},
                 {FR_M_INGEST_HELD, "memory", "Held: memory at its limit", false},
                 {FR_M_INGEST_HELD, "asked", "Paused: as an operator has asked", false},
                 {FR_M_KAFKA_UNREACHABLE, "consumer", "Cut off: no Kafka broker answers", false},
                 {FR_M_KAFKA_UNREACHABLE, "dead letters", "Up to date", true}, /* events come all the same */
                 {FR_M_ADMISSION_CLOSED, "", "Closed to new users and items", true},
                 {FR_M_UNCOMMITTED, "", "Unsaved for 60 s", true}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fr_gauge(fr_series(cases[i].family, cases[i].label, "", ""), 60);
        status();
        assert_string_equal(text("findings.0.text"), cases[i].text);
        assert_int_equal(json_is_true(at("lag.current")), cases[i].reads);
        fr_gauge(fr_series(cases[i].family, cases[i].label, "", ""), 0);
    }
}

static void of_very_many_partitions_those_with_trouble_are_shown(void **state)
{
    (void)state;
    engine.more_partitions = PARTITIONS_MAX - 1;
    status();
    assert_int_equal(number("partitions_total"), PARTITIONS_MAX);
    assert_int_equal(json_array_size(at("partitions")), PAGE_PARTITIONS_MAX);
    assert_string_equal(text("partitions.0.topic"), "events"); /* the one that is behind */
}

static void history_has_a_number_or_null_for_each_time(void **state)
{
    const char *name;
    json_t *numbers;

    (void)state;
    do { /* the sampler's first */
        page_history(page, HISTORY_HOUR, 0, &out);
        read_answer();
    } while (json_array_size(at("times")) == 0);
    assert_int_equal(number("step_ms"), 10000);
    json_object_foreach(json_object_get(answer, "columns"), name, numbers)
        assert_int_equal(json_array_size(numbers), json_array_size(at("times")));
    page_history(page, HISTORY_DAY, (when_ms)number("times.0"), &out);
    read_answer();
    assert_int_equal(json_array_size(at("times")), 0);
    assert_int_equal(number("step_ms"), 300000);
}

static void *come_and_go(void *stop_asked)
{
    while (!atomic_load((_Atomic bool *)stop_asked)) {
        page_detach(page);
        memset(&engine, 0, sizeof(engine)); /* nobody may be in it */
        page_attach(page, &engine, &about);
    }
    return NULL;
}

static void an_engine_that_leaves_is_not_asked_any_more(void **state)
{
    const struct page_question question = {.user = FR_BYTES("ann")};
    _Atomic bool enough = false;
    int answered = 0;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, come_and_go, &enough), 0);
    while (answered < 100) {
        answered += page_explore(page, &question, &out) == PAGE_ANSWERED;
        fr_writer_reset(&out);
        status();
    }
    atomic_store(&enough, true);
    pthread_join(thread, NULL);
}

static void what_is_no_json_is_made_some(void **state)
{
    (void)state;
    json_put(&out, json_pack("[o,o,o,o,o]", json_number(0.0 / 0.0), json_number(-1.0 / 0.0), json_number(3), json_number(1e300),
                             json_text((struct fr_bytes){"a\xffz\xe2\x82\xac\xe2\x82", 8})), 17);
    read_answer();
    assert_true(json_is_null(at("0")) && json_is_null(at("1")) && json_is_integer(at("2")) && json_is_real(at("3")));
    assert_string_equal(text("4"), "a\xEF\xBF\xBDz\xe2\x82\xac\xEF\xBF\xBD\xEF\xBF\xBD");
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_user_has_recommendations_and_reasons),
        EACH(an_unknown_user_is_told_from_a_known_one),
        EACH(an_item_has_neighbours),
        EACH(the_question_reaches_the_engine),
        EACH(bad_questions_name_what_is_bad),
        EACH(without_an_engine_only_what_needs_none_is_told),
        EACH(the_most_popular_come_first),
        EACH(the_status_has_the_figures_of_the_metrics),
        EACH(what_is_amiss_is_found_in_the_metrics),
        EACH(of_very_many_partitions_those_with_trouble_are_shown),
        EACH(history_has_a_number_or_null_for_each_time),
        EACH(an_engine_that_leaves_is_not_asked_any_more),
        EACH(what_is_no_json_is_made_some),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
