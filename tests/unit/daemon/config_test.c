/*
 * config_test.c -- the configuration table: what is taken from where, what is refused, and how that is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_reading.h"
#include "freshet/model.h"

/* ---- defaults --------------------------------------------------------------------------------------------------- */

/* Those that run beside SAR, in the order they learn. */
static void assert_models(const struct engine_options *engine, const char *names)
{
    char found[200] = "";

    for (size_t m = 0; m < engine->models_len; m++)
        snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", m ? " " : "", engine->models[m].name);
    assert_string_equal(found, names);
}

static void the_defaults_are_those_of_the_contract(void **state)
{
    struct config *cfg = finished("");
    struct engine_options engine;
    struct feed_options feed;
    struct serve_options serve;

    (void)state;
    config_engine_options(cfg, &engine);
    config_feed_options(cfg, &feed);
    config_serve_options(cfg, &serve);
    assert_string_equal(feed.topic, "events");
    assert_string_equal(feed.dead_letter_topic, "freshet.dead-letters");
    assert_int_equal(feed.format, FEED_AUTO);
    assert_int_equal(feed.start, FEED_EARLIEST);
    assert_false(feed.on_gap_skip);
    assert_int_equal(feed.max_future, 300000);
    assert_int_equal(engine.history_max, 200);
    assert_int_equal(engine.dedup_window, 3600000);
    assert_int_equal(engine.checkpoint_interval, 500);
    assert_int_equal(engine.wal_sync_interval, 1000);
    assert_false(engine.user_postings);
    assert_false(engine.sar.parity);
    assert_int_equal(engine.sar.similarity, SAR_SHRUNK_COSINE);
    assert_int_equal(engine.sar.half_life, 30LL * 24 * 60 * 60 * 1000);
    assert_int_equal(engine.sar.threshold, 1);
    assert_int_equal(engine.sar.window, 10);
    assert_int_equal(engine.sar.score_last, 20);
    assert_int_equal(engine.sar.neighbours_max, 500);
    assert_true(engine.sar.recency == 0.8);
    assert_string_equal(engine.default_model, "auto");
    assert_models(&engine, "popular trending fm ease auto");
    assert_int_equal(serve.default_k, 10);
    assert_int_equal(serve.max_k, 1000);
    assert_string_equal(serve.listen, "127.0.0.1:50051");
    assert_string_equal(serve.admin_listen, "127.0.0.1:50052");
    assert_string_equal(cfg->admin.listen, "127.0.0.1:9464");
    assert_string_equal(cfg->store.path, "/var/lib/freshet");
    assert_int_equal(cfg->log.level, FR_INFO);
    assert_int_equal(cfg->log.format, FR_LOG_AUTO);
    config_free(cfg);
}

static void parity_changes_the_defaults_but_nothing_that_was_said(void **state)
{
    struct config *cfg = finished("[sar]\nmode = parity\nwindow = 7\n");
    struct engine_options engine;

    (void)state;
    config_engine_options(cfg, &engine);
    assert_true(engine.sar.parity);
    assert_int_equal(engine.sar.similarity, SAR_JACCARD);
    assert_int_equal(engine.sar.window, 7);
    assert_int_equal(engine.sar.score_last, 0);
    assert_int_equal(engine.sar.neighbours_max, 0);
    assert_true(engine.sar.recency == 1);
    assert_int_equal(engine.history_max, 0);
    assert_true(engine.user_postings);
    assert_int_equal(engine.sar.half_life, 30LL * 24 * 60 * 60 * 1000);
    config_free(cfg);
}

static void every_name_of_a_choice_is_the_number_the_modules_know(void **state)
{
    static const char *const similarities[] = {
        [SAR_SHRUNK_COSINE] = "shrunk_cosine",
        [SAR_JACCARD] = "jaccard",
        [SAR_COSINE] = "cosine",
        [SAR_COOCCURRENCE] = "cooccurrence",
        [SAR_LIFT] = "lift",
        [SAR_INCLUSION] = "inclusion",
        [SAR_MUTUAL_INFORMATION] = "mutual_information",
        [SAR_LEXICOGRAPHERS_MI] = "lexicographers_mi",
    };
    static const char *const levels[] = {
        [FR_DEBUG] = "debug", [FR_INFO] = "info", [FR_WARN] = "warn", [FR_ERROR] = "error"};
    static const char *const formats[] = {[FEED_AUTO] = "auto", [FEED_PROTOBUF] = "protobuf", [FEED_JSON] = "json"};
    static const char *const logs[] = {[FR_LOG_AUTO] = "auto", [FR_LOG_JSON] = "json", [FR_LOG_TEXT] = "text"};
    struct config *cfg = config_new();

    (void)state;
    for (int i = 0; i < 8; i++) {
        config_put(cfg, "sar", "similarity", similarities[i], "test");
        assert_int_equal(cfg->sar.similarity, i);
    }
    for (int i = 0; i < 4; i++) {
        config_put(cfg, "log", "level", levels[i], "test");
        assert_int_equal(cfg->log.level, i);
    }
    for (int i = 0; i < 3; i++) {
        config_put(cfg, "feed", "format", formats[i], "test");
        assert_int_equal(cfg->feed.format, i);
        config_put(cfg, "log", "format", logs[i], "test");
        assert_int_equal(cfg->log.format, i);
    }
    assert_string_equal(config_problems(cfg), "");
    config_free(cfg);
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static void comments_spaces_and_colons_are_as_in_other_ini_files(void **state)
{
    struct config *cfg =
        read_text("\xEF\xBB\xBF# a comment\r\n; another\r\n\r\n[feed]\r\n  topic =  clicks  ; behind a value\r\n"
                  "   format: json\r\n[store]\npath=/data/a;b\n");

    (void)state;
    assert_string_equal(config_problems(cfg), "");
    assert_string_equal(cfg->feed.topic, "clicks");
    assert_int_equal(cfg->feed.format, FEED_JSON);
    assert_string_equal(cfg->store.path, "/data/a;b");
    assert_string_equal(cfg->origin[CONFIG_feed_topic], "test.conf:5");
    config_free(cfg);
}

static void an_unknown_key_is_named_with_its_place_and_the_nearest_one(void **state)
{
    (void)state;
    assert_problem("[feed]\n\ntopik = x\n",
                   "test.conf:3: unknown key 'feed.topik'; the nearest known key is 'feed.topic'\n");
    assert_problem("[serve]\nmax_k = 5\n",
                   "test.conf:2: unknown key 'serve.max_k'; the nearest known key is 'limits.max_k'\n");
    assert_problem("[sra]\nwindow = 5\n",
                   "test.conf:2: unknown key 'sra.window'; the nearest known key is 'sar.window'\n");
    assert_problem("[recommend]\nwindow = 5\n",
                   "test.conf:2: unknown key 'recommend.window'; the nearest known key is 'sar.window'\n");
    assert_problem("[log]\nlevle = info\n",
                   "test.conf:2: unknown key 'log.levle'; the nearest known key is 'log.level'\n");
    assert_problem("[wieghts]\nclick = 3\n",
                   "test.conf:2: unknown key 'wieghts.click'; the nearest known key is 'weights.click'\n");
    assert_problem("[weight]\nbookmark = 3\n",
                   "test.conf:2: unknown key 'weight.bookmark'; the nearest known key is 'weights.bookmark'\n");
    assert_problem("[feed]\npurchase = 3\n",
                   "test.conf:2: unknown key 'feed.purchase'; the nearest known key is 'weights.purchase'\n");
    assert_problem("[kakfa]\nbootstrap.servers = a\n",
                   "test.conf:2: unknown key 'kakfa.bootstrap.servers'; the nearest known key is 'kafka.bootstrap.servers'\n");
    assert_problem("[Kafka]\nssl.ca.location = a\n",
                   "test.conf:2: unknown key 'Kafka.ssl.ca.location'; the nearest known key is 'kafka.ssl.ca.location'\n");
    assert_problem("[feed]\nbootstrap.server = a\n",
                   "test.conf:2: unknown key 'feed.bootstrap.server'; the nearest known key is 'kafka.bootstrap.servers'\n");
}

static void values_out_of_range_are_refused_and_the_edges_are_taken(void **state)
{
    (void)state;
    assert_good("[limits]\nmax_k = 1\n[recommend]\nk = 1\n");
    assert_good("[limits]\nmax_k = 100000\n");
    assert_problem("[limits]\nmax_k = 100001\n",
                   "test.conf:2: limits.max_k = '100001' is not a whole number from 1 to 100000\n");
    assert_problem("[limits]\nmax_k = 0\n[recommend]\nk = 1\n",
                   "test.conf:2: limits.max_k = '0' is not a whole number from 1 to 100000\n");
    assert_good("[sar]\nrecency = 1\n");
    assert_problem("[sar]\nrecency = 1.01\n", "test.conf:2: sar.recency = '1.01' is not a number from 0.01 to 1\n");
    assert_problem("[sar]\nrecency = 0\n", "test.conf:2: sar.recency = '0' is not a number from 0.01 to 1\n");
    assert_problem(
        "[sar]\nsimilarity = cosin\n",
        "test.conf:2: sar.similarity = 'cosin' is not one of: shrunk_cosine jaccard cosine cooccurrence lift "
        "inclusion mutual_information lexicographers_mi\n");
    assert_problem("[engine]\nuser_postings = maybe\n",
                   "test.conf:2: engine.user_postings = 'maybe' is not yes or no\n");
}

static void the_widest_window_is_the_widest_a_history_can_tell(void **state)
{
    char setting[100];

    (void)state;
    for (int more = 0; more < 2; more++) {
        struct config *cfg = config_new();

        snprintf(setting, sizeof setting, "sar.window=%d", HISTORY_WINDOW_MAX + more);
        config_read_setting(cfg, setting);
        assert_int_equal(cfg->problems_len, more);
        assert_int_equal(cfg->sar.window, more ? 10 : HISTORY_WINDOW_MAX);
        config_free(cfg);
    }
}

static void numbers_are_taken_whole_or_not_at_all(void **state)
{
    static const char *const bad[] = {"", "ten", "10x", "1 0", "0x10", "1e3", "99999999999999999999", "+5", "5.0", "-"};
    static const char *const bad_reals[] = {"", "nan", "inf", "0x1p3", "1e999", "1,5", "3 days", ".", "e"};
    char setting[100];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct config *cfg = config_new();

        snprintf(setting, sizeof setting, "sar.window=%s", bad[i]);
        config_read_setting(cfg, setting);
        assert_int_equal(cfg->problems_len, 1);
        assert_int_equal(cfg->sar.window, 10);
        config_free(cfg);
    }
    for (size_t i = 0; i < sizeof bad_reals / sizeof *bad_reals; i++) {
        struct config *cfg = config_new();

        snprintf(setting, sizeof setting, "sar.half_life_days=%s", bad_reals[i]);
        config_read_setting(cfg, setting);
        assert_int_equal(cfg->problems_len, 1);
        assert_true(cfg->sar.half_life_days == 30);
        config_free(cfg);
    }
}

static void sizes_take_a_letter(void **state)
{
    struct config *cfg = config_new();

    (void)state;
    config_read_setting(cfg, "limits.max_message_bytes=8192");
    assert_int_equal(cfg->limits.max_message_bytes, 8192);
    config_read_setting(cfg, "limits.max_message_bytes=16k");
    assert_int_equal(cfg->limits.max_message_bytes, 16384);
    config_read_setting(cfg, "limits.max_message_bytes=2M");
    assert_int_equal(cfg->limits.max_message_bytes, 2097152);
    config_read_setting(cfg, "limits.max_message_bytes=1G");
    assert_int_equal(cfg->limits.max_message_bytes, 1073741824);
    assert_int_equal(cfg->problems_len, 0);
    config_read_setting(cfg, "limits.max_message_bytes=2G");
    config_read_setting(cfg, "limits.max_message_bytes=M");
    config_read_setting(cfg, "limits.max_message_bytes=9223372036854775807G");
    assert_int_equal(cfg->problems_len, 3);
    assert_int_equal(cfg->limits.max_message_bytes, 1073741824);
    config_free(cfg);
}

static void an_address_is_host_and_port(void **state)
{
    static const char *const good[] = {"127.0.0.1:0", "[::1]:9464", "localhost:65535", "0.0.0.0:50051", "[::]:1"};
    static const char *const bad[] = {"",     "9464",  ":9464", "localhost:", "localhost:65536", "::1:9464",
                                      "[]:1", "a b:1", "h:-1",  "h:1x",       "http://h:1"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct config *cfg = config_new();

        config_put(cfg, "admin", "listen", good[i], "test");
        assert_string_equal(config_problems(cfg), "");
        assert_string_equal(cfg->admin.listen, good[i]);
        config_free(cfg);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct config *cfg = config_new();

        config_put(cfg, "admin", "listen", bad[i], "test");
        assert_int_equal(cfg->problems_len, 1);
        config_free(cfg);
    }
}

static void lines_that_cannot_be_read_are_named(void **state)
{
    struct config *cfg = config_new();
    char *text = fr_alloc(CONFIG_LINE_MAX + 100);

    (void)state;
    assert_problem("topic = x\n", "test.conf:1: 'topic' stands before the first [section]\n");
    assert_problem("[feed]\nnonsense\n", "test.conf:2: neither a [section], nor key = value, nor a comment\n");
    config_read_text(cfg, "nul.conf", "[feed]\ntopic = a\0b\n", 19);
    assert_string_equal(config_problems(cfg), "nul.conf:2: the line contains a NUL byte\n");
    config_free(cfg);

    memset(text, 'x', CONFIG_LINE_MAX + 1);
    strcpy(text + CONFIG_LINE_MAX + 1, "\n[sar]\nwindow = 3");
    cfg = read_text(text);
    assert_string_equal(config_problems(cfg), "test.conf:1: the line is longer than 4000 bytes\n");
    assert_int_equal(cfg->sar.window, 3);
    config_free(cfg);
    free(text);
}

static void all_problems_are_told_at_once(void **state)
{
    (void)state;
    assert_problem("[feed]\ntopik = x\n[sar]\nwindow = -1\n",
                   "test.conf:2: unknown key 'feed.topik'; the nearest known key is 'feed.topic'\n"
                   "test.conf:4: sar.window = '-1' is not a whole number from 0 to 32767\n");
}

static void what_steers_a_terminal_does_not_reach_it(void **state)
{
    (void)state;
    assert_problem("[feed]\nto\033[31mpic = x\n",
                   "test.conf:2: unknown key 'feed.to?[31mpic'; the nearest known key is 'feed.topic'\n");
}

static void a_missing_file_is_a_problem(void **state)
{
    struct config *cfg = config_new();

    (void)state;
    config_read_file(cfg, "/nonexistent/freshet.conf");
    assert_string_equal(config_problems(cfg), "cannot read '/nonexistent/freshet.conf': No such file or directory\n");
    config_free(cfg);
    cfg = config_new();
    config_read_file(cfg, "/");
    assert_string_equal(config_problems(cfg), "cannot read '/': Is a directory\n");
    config_free(cfg);
}

/* ---- precedence ------------------------------------------------------------------------------------------------- */

static void each_source_overrides_the_weaker_ones(void **state)
{
    char *environment[] = {"PATH=/bin", "FRESHET_SAR__WINDOW=4", "FRESHET_SAR__THRESHOLD=5", "FRESHET_SERVER=h:1",
                           NULL};
    struct config *cfg = read_text("[sar]\nwindow = 2\nthreshold = 3\nscore_last = 7\n");

    (void)state;
    config_read_environment(cfg, environment, NULL);
    config_read_setting(cfg, "sar.window=6");
    assert_string_equal(config_problems(cfg), "");
    assert_int_equal(cfg->sar.window, 6);
    assert_string_equal(cfg->origin[CONFIG_sar_window], "--set");
    assert_int_equal(cfg->sar.threshold, 5);
    assert_string_equal(cfg->origin[CONFIG_sar_threshold], "environment FRESHET_SAR__THRESHOLD");
    assert_int_equal(cfg->sar.score_last, 7);
    assert_string_equal(cfg->origin[CONFIG_sar_score_last], "test.conf:4");
    assert_int_equal(cfg->sar.neighbours_max, 500);
    assert_null(cfg->origin[CONFIG_sar_neighbours_max]);
    config_free(cfg);
}

static void the_environment_and_set_say_where_they_are_wrong(void **state)
{
    char *environment[] = {"FRESHET_FEED__TOPIK=x", "FRESHET_SAR__WINDOW=many", NULL};
    struct config *cfg = config_new();

    (void)state;
    config_read_environment(cfg, environment, NULL);
    config_read_setting(cfg, "limits.maxk=5");
    config_read_setting(cfg, "nodot=5");
    config_read_setting(cfg, "sar.window");
    config_read_setting(cfg, ".window=1");
    config_read_setting(cfg, "store.path= \t ");
    config_read_setting(cfg, "serve.listen=   no address ");
    assert_string_equal(
        config_problems(cfg),
        "environment FRESHET_FEED__TOPIK: unknown key 'feed.topik'; the nearest known key is 'feed.topic'\n"
        "environment FRESHET_SAR__WINDOW: sar.window = 'many' is not a whole number from 0 to 32767\n"
        "--set: unknown key 'limits.maxk'; the nearest known key is 'limits.max_k'\n"
        "--set: 'nodot=5' is not section.key=value\n"
        "--set: 'sar.window' is not section.key=value\n"
        "--set: '.window=1' is not section.key=value\n"
        "--set: store.path = ' ? ' is not a text of 1 to 4000 bytes\n"
        "--set: serve.listen = '   no address ' is not host:port, with an IPv6 address in brackets\n");
    config_free(cfg);
}

static bool known(const char *key)
{
    return strcmp(key, "log_level") == 0 || strcmp(key, "client.id") == 0;
}

static void an_underscore_that_kafka_means_is_none_of_the_dots(void **state)
{
    char *environment[] = {"FRESHET_KAFKA__LOG_LEVEL=3", "FRESHET_KAFKA__CLIENT_ID=me", "FRESHET_KAFKA__NO_SUCH=x", NULL};
    struct config *cfg = read_text("[kafka]\nlog_level = 7\n");

    (void)state;
    config_read_environment(cfg, environment, known);
    assert_int_equal(cfg->kafka_len, 3);
    assert_string_equal(cfg->kafka_key[0], "log_level"); /* the file's, over which the environment goes */
    assert_string_equal(cfg->kafka_value[0], "3");
    assert_string_equal(cfg->kafka_key[1], "client.id");
    assert_string_equal(cfg->kafka_key[2], "no.such");
    config_free(cfg);
}

static void underscores_of_the_environment_are_dots_for_kafka(void **state)
{
    char *environment[] = {"FRESHET_KAFKA__BOOTSTRAP_SERVERS=a:1,b:2", "FRESHET_FEED__DEAD_LETTER_TOPIC=dead", NULL};
    struct config *cfg = read_text("[kafka]\nbootstrap.servers = c:3\nclient.id = me\n");
    struct feed_options feed;

    (void)state;
    config_read_environment(cfg, environment, NULL);
    config_finish(cfg, &(struct config_host){0});
    assert_string_equal(config_problems(cfg), "");
    config_feed_options(cfg, &feed);
    assert_int_equal(feed.kafka_len, 2);
    assert_string_equal(feed.kafka_keys[0], "bootstrap.servers");
    assert_string_equal(feed.kafka_values[0], "a:1,b:2");
    assert_string_equal(feed.kafka_keys[1], "client.id");
    assert_string_equal(feed.kafka_values[1], "me");
    assert_string_equal(config_brokers(cfg), "a:1,b:2");
    assert_string_equal(cfg->feed.dead_letter_topic, "dead");
    config_free(cfg);
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

static const struct feed_weight *weight_of(const struct feed_options *feed, const char *type)
{
    for (size_t i = 0; i < feed->weights_len; i++)
        if (strcmp(feed->weights[i].type, type) == 0)
            return &feed->weights[i];
    return NULL;
}

static void weights_add_to_the_known_types_and_override_them(void **state)
{
    struct config *cfg = finished("[weights]\nclick = 0.5\nbookmark = 2\nuse_value = rating, bookmark\n");
    struct engine_options engine;
    struct feed_options feed;

    (void)state;
    assert_string_equal(config_problems(cfg), "");
    config_feed_options(cfg, &feed);
    config_engine_options(cfg, &engine);
    assert_int_equal(feed.weights_len, 10);
    assert_true(weight_of(&feed, "click")->weight == 0.5);
    assert_true(weight_of(&feed, "view")->weight == 1);
    assert_true(weight_of(&feed, "like")->weight == 2);
    assert_true(weight_of(&feed, "add_to_cart")->weight == 3);
    assert_true(weight_of(&feed, "remove_from_cart")->weight == -1);
    assert_true(weight_of(&feed, "purchase")->weight == 4);
    assert_true(weight_of(&feed, "return")->weight == -4);
    assert_true(weight_of(&feed, "dislike")->weight == -2);
    assert_true(weight_of(&feed, "rating")->use_value);
    assert_true(weight_of(&feed, "bookmark")->use_value);
    assert_false(weight_of(&feed, "click")->use_value);
    assert_int_equal(engine.types_len, 11);
    for (size_t i = 0; i < feed.weights_len; i++)
        assert_string_equal(engine.types[i], feed.weights[i].type);
    assert_string_equal(engine.types[10], "other");
    config_free(cfg);
}

static void weights_have_bounds_too(void **state)
{
    (void)state;
    assert_problem("[weights]\nclick = 1000001\n",
                   "test.conf:2: weights.click = '1000001' is not a number from -1000000 to 1000000\n");
    assert_problem("[weights]\nclick = nan\n",
                   "test.conf:2: weights.click = 'nan' is not a number from -1000000 to 1000000\n");
    assert_problem(
        "[weights]\nuse_value = rating, stars\n",
        "test.conf:2: weights.use_value names the type 'stars', which has no weight; say weights.stars = 1\n");
    assert_problem("[weights]\nother = 2\n", "test.conf:2: 'other' cannot be a type of [weights]: 1 to 64 bytes "
                                             "without spaces and commas, and not 'other'\n");
    assert_good("[weights]\nuse_value =\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_the_contract),
        cmocka_unit_test(parity_changes_the_defaults_but_nothing_that_was_said),
        cmocka_unit_test(every_name_of_a_choice_is_the_number_the_modules_know),
        cmocka_unit_test(comments_spaces_and_colons_are_as_in_other_ini_files),
        cmocka_unit_test(an_unknown_key_is_named_with_its_place_and_the_nearest_one),
        cmocka_unit_test(values_out_of_range_are_refused_and_the_edges_are_taken),
        cmocka_unit_test(the_widest_window_is_the_widest_a_history_can_tell),
        cmocka_unit_test(numbers_are_taken_whole_or_not_at_all),
        cmocka_unit_test(sizes_take_a_letter),
        cmocka_unit_test(an_address_is_host_and_port),
        cmocka_unit_test(lines_that_cannot_be_read_are_named),
        cmocka_unit_test(all_problems_are_told_at_once),
        cmocka_unit_test(what_steers_a_terminal_does_not_reach_it),
        cmocka_unit_test(a_missing_file_is_a_problem),
        cmocka_unit_test(each_source_overrides_the_weaker_ones),
        cmocka_unit_test(the_environment_and_set_say_where_they_are_wrong),
        cmocka_unit_test(underscores_of_the_environment_are_dots_for_kafka),
        cmocka_unit_test(an_underscore_that_kafka_means_is_none_of_the_dots),
        cmocka_unit_test(weights_add_to_the_known_types_and_override_them),
        cmocka_unit_test(weights_have_bounds_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
