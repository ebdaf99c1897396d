/*
 * config_test.c -- the configuration table: what is taken, what is refused and how it is said, and what comes out of
 * it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"
#include "freshet/alloc.h"

static const struct config_host quiet = {.own_broker = true}; /* asks for no bootstrap.servers */

static struct config *read_text(const char *text)
{
    struct config *cfg = config_new();

    config_read_text(cfg, "test.conf", text, strlen(text));
    return cfg;
}

static struct config *finished(const char *text)
{
    struct config *cfg = read_text(text);

    config_finish(cfg, &quiet);
    return cfg;
}

/* Exactly this problem and no other. */
static void assert_problem(const char *text, const char *problem)
{
    struct config *cfg = finished(text);

    assert_string_equal(config_problems(cfg), problem);
    config_free(cfg);
}

static void assert_good(const char *text)
{
    assert_problem(text, "");
}

/* ---- defaults --------------------------------------------------------------------------------------------------- */

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
    assert_string_equal(engine.default_model, "sar");
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
                   "test.conf:4: sar.window = '-1' is not a whole number from 0 to 1000000\n");
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
    config_read_environment(cfg, environment);
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
    config_read_environment(cfg, environment);
    config_read_setting(cfg, "limits.maxk=5");
    config_read_setting(cfg, "nodot=5");
    config_read_setting(cfg, "sar.window");
    config_read_setting(cfg, ".window=1");
    assert_string_equal(
        config_problems(cfg),
        "environment FRESHET_FEED__TOPIK: unknown key 'feed.topik'; the nearest known key is 'feed.topic'\n"
        "environment FRESHET_SAR__WINDOW: sar.window = 'many' is not a whole number from 0 to 1000000\n"
        "--set: unknown key 'limits.maxk'; the nearest known key is 'limits.max_k'\n"
        "--set: 'nodot=5' is not section.key=value\n"
        "--set: 'sar.window' is not section.key=value\n"
        "--set: '.window=1' is not section.key=value\n");
    config_free(cfg);
}

static void underscores_of_the_environment_are_dots_for_kafka(void **state)
{
    char *environment[] = {"FRESHET_KAFKA__BOOTSTRAP_SERVERS=a:1,b:2", "FRESHET_FEED__DEAD_LETTER_TOPIC=dead", NULL};
    struct config *cfg = read_text("[kafka]\nbootstrap.servers = c:3\nclient.id = me\n");
    struct feed_options feed;

    (void)state;
    config_read_environment(cfg, environment);
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

/* ---- what concerns several keys --------------------------------------------------------------------------------- */

static void keys_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    assert_problem("[sar]\nnormalize = yes\n", "test.conf:2: sar.normalize = yes needs sar.mode = parity\n");
    assert_good("[sar]\nnormalize = yes\nmode = parity\n");
    assert_problem("[recommend]\nk = 1001\n", "recommend.k = 1001 is more than limits.max_k = 1000\n");
    assert_problem("[feed]\ntopic = a\ndead_letter_topic = a\n",
                   "feed.topic and feed.dead_letter_topic are both 'a'; a dead letter would be read again\n");
    assert_problem("[sar]\nhalf_life_days = 0.000000001\n",
                   "test.conf:2: sar.half_life_days is less than a millisecond; 0 means no decay\n");
    assert_problem("[kafka]\nbootstrap.servers = a:1\n",
                   "test.conf:2: kafka.bootstrap.servers cannot be set with --dev, which brings a broker of its own\n");
}

static void brokers_are_needed_and_the_model_must_exist(void **state)
{
    struct config_host host = {.models = "sar fm"};
    struct config *cfg = read_text("[recommend]\ndefault_model = ncf\n");

    (void)state;
    config_finish(cfg, &host);
    assert_string_equal(config_problems(cfg),
                        "test.conf:2: recommend.default_model = 'ncf' is not one of: sar fm\n"
                        "kafka.bootstrap.servers is not set; for a broker to try things with there is --dev\n");
    config_free(cfg);
    cfg = read_text("[recommend]\ndefault_model = fm\n[kafka]\nmetadata.broker.list = a:1\n");
    config_finish(cfg, &host);
    assert_string_equal(config_problems(cfg), "");
    config_free(cfg);
}

static const char *no_offset_store(const char *key, const char *value, char *room, size_t room_len)
{
    (void)value, (void)room, (void)room_len;
    return strcmp(key, "enable.auto.commit") == 0 ? "is owned by Freshet" : NULL;
}

static void kafka_keys_are_checked_by_who_knows_them(void **state)
{
    struct config_host host = {.kafka_problem = no_offset_store};
    struct config *cfg = read_text("[kafka]\nbootstrap.servers = a:1\nenable.auto.commit = true\n");

    (void)state;
    config_finish(cfg, &host);
    assert_string_equal(config_problems(cfg), "test.conf:3: kafka.enable.auto.commit is owned by Freshet\n");
    config_free(cfg);
}

/* ---- feed.start ------------------------------------------------------------------------------------------------- */

static void a_start_is_a_word_or_a_time(void **state)
{
    enum feed_start start;
    when_ms time;

    (void)state;
    assert_true(config_start("latest", &start, &time));
    assert_int_equal(start, FEED_LATEST);
    assert_true(config_start("1000000000123", &start, &time));
    assert_int_equal(start, FEED_TIME);
    assert_int_equal(time, 1000000000123);
    assert_true(config_start("2001-09-09T01:46:40Z", &start, &time)); /* the well-known second 10^9 */
    assert_int_equal(time, 1000000000000);
    assert_true(config_start("2001-09-09T01:46:40.5Z", &start, &time));
    assert_int_equal(time, 1000000000500);
    assert_true(config_start("2001-09-09T03:46:40.123456+02:00", &start, &time));
    assert_int_equal(time, 1000000000123);
    assert_true(config_start("2001-09-08 18:46:40-07:00", &start, &time));
    assert_int_equal(time, 1000000000000);
    assert_true(config_start("1970-01-02", &start, &time));
    assert_int_equal(time, 86400000);
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "yesterday",
                                      "2001-13-01",
                                      "2001-02-30",
                                      "2001-09-09T",
                                      "2001-09-09T01:46",
                                      "2001-09-09T01:46:40",
                                      "2001-09-09T24:00:00Z",
                                      "2001-09-09T01:46:40Zulu",
                                      "2001-09-09T01:46:40+2",
                                      "1969-12-31",
                                      "-5",
                                      "3000-01-01",
                                      "12:00",
                                      "2001-1-1"};
    enum feed_start start;
    when_ms time;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (config_start(bad[i], &start, &time))
            fail_msg("'%s' was taken for a time", bad[i]);
}

/* ---- the shape -------------------------------------------------------------------------------------------------- */

static void the_shape_lists_what_shapes_the_state_sorted(void **state)
{
    struct config *cfg = finished("[weights]\nuse_value = view,rating\n");
    struct engine_options engine;

    (void)state;
    config_engine_options(cfg, &engine);
    assert_string_equal(engine.shape, "engine.history_max=200\n"
                                      "feed.dedup_window_ms=3600000\n"
                                      "sar.half_life_days=30\n"
                                      "sar.mode=product\n"
                                      "sar.neighbours_max=500\n"
                                      "sar.normalize=no\n"
                                      "sar.window=10\n"
                                      "weights.add_to_cart=3\n"
                                      "weights.click=1\n"
                                      "weights.dislike=-2\n"
                                      "weights.like=2\n"
                                      "weights.purchase=4\n"
                                      "weights.rating=1\n"
                                      "weights.remove_from_cart=-1\n"
                                      "weights.return=-4\n"
                                      "weights.use_value=rating,view\n"
                                      "weights.view=1\n");
    config_free(cfg);
}

static void the_shape_does_not_depend_on_how_it_was_written(void **state)
{
    struct config *a =
        finished("[weights]\nzap = 0.10\nuse_value = rating , view\nant = 1e1\n[sar]\nhalf_life_days = 7.50\n");
    struct config *b =
        finished("[sar]\nhalf_life_days = 7.5\n[weights]\nant = 10\nzap = .1\nuse_value = view,rating,view\n"
                 "[sar]\nsimilarity = jaccard\nthreshold = 3\nscore_last = 5\nrecency = 0.5\n");
    struct engine_options options_a, options_b;

    (void)state;
    config_engine_options(a, &options_a);
    config_engine_options(b, &options_b);
    assert_string_equal(options_a.shape, options_b.shape);
    assert_non_null(strstr(options_a.shape, "sar.half_life_days=7.5\n"));
    assert_non_null(strstr(options_a.shape, "weights.zap=0.1\n"));
    config_free(a);
    config_free(b);
}

/* ---- for people ------------------------------------------------------------------------------------------------- */

static void a_printed_configuration_says_where_values_come_from_and_hides_secrets(void **state)
{
    struct config *cfg =
        finished("[kafka]\nsasl.username = me\nsasl.password = hunter2\nssl.key.pem = hunter2\n"
                 "sasl.oauthbearer.client.secret = hunter2\nssl.key.location = /key\n[sar]\nmode = parity\n");
    struct fr_writer out;

    (void)state;
    fr_writer_init(&out, 0);
    config_print(cfg, &out);
    fr_put_u8(&out, 0);
    assert_null(strstr(out.at, "hunter2"));
    assert_non_null(strstr(out.at, "sasl.password = ********"));
    assert_non_null(strstr(out.at, "ssl.key.location = /key "));
    assert_non_null(strstr(out.at, "; test.conf:3\n"));
    assert_non_null(strstr(out.at, "window = 0                                 ; default of sar.mode = parity\n"));
    assert_non_null(strstr(out.at, "threshold = 1                              ; default\n"));
    fr_writer_release(&out);
    config_free(cfg);
}

static void a_printed_configuration_reads_back_the_same(void **state)
{
    struct config
        *cfg = finished(
            "[sar]\nmode = parity\nhalf_life_days = 0.1\n[weights]\nzap = 1.7\n[limits]\nmax_message_bytes = 5000\n"
            "[feed]\nstart = 2001-09-09T01:46:40Z\n"),
        *again;
    struct fr_writer out, second;

    (void)state;
    fr_writer_init(&out, 0);
    fr_writer_init(&second, 0);
    config_print(cfg, &out);
    again = config_new();
    config_read_text(again, "printed", out.at, out.len);
    config_finish(again, &quiet);
    assert_string_equal(config_problems(again), "");
    assert_string_equal(cfg->shape.at, again->shape.at);
    for (int id = 0; id < CONFIG_KEYS; id++) {
        fr_writer_reset(&out);
        fr_writer_reset(&second);
        config_value_text(cfg, id, &out);
        config_value_text(again, id, &second);
        assert_true(fr_bytes_equal(fr_written(&out), fr_written(&second)));
    }
    fr_writer_release(&out);
    fr_writer_release(&second);
    config_free(cfg);
    config_free(again);
}

static void note_change(void *context, const char *key, bool reloads, const char *old, const char *new)
{
    fr_put_text(context, "%s%s: %s -> %s\n", key, reloads ? " (reloads)" : "", old ? old : "none", new ? new : "none");
}

static void a_comparison_names_every_difference_once(void **state)
{
    struct config *old = finished("[kafka]\nclient.id = a\nsasl.password = x\nlinger.ms = 5\n[weights]\nzap = 2\n");
    struct config *new =
        finished("[kafka]\nclient.id = b\nsasl.password = y\nacks = 1\n[weights]\nclick = 3\n[log]\nlevel = debug\n"
                 "[sar]\nwindow = 3\n");
    struct fr_writer out;

    (void)state;
    fr_writer_init(&out, 0);
    config_compare(old, new, note_change, &out);
    fr_put_u8(&out, 0);
    assert_string_equal(out.at, "sar.window: 10 -> 3\n"
                                "log.level (reloads): info -> debug\n"
                                "weights.click: 1 -> 3\n"
                                "weights.zap: 2 -> none\n"
                                "kafka.client.id: a -> b\n"
                                "kafka.sasl.password: ******** -> ********\n"
                                "kafka.linger.ms: 5 -> none\n"
                                "kafka.acks: none -> 1\n");
    fr_writer_release(&out);
    config_free(old);
    config_free(new);
}

static void the_documentation_is_up_to_date(void **state)
{
    const char *source = getenv("FRESHET_SOURCE");
    struct fr_writer docs;
    char path[1000], *text = fr_zalloc(1, 1 << 18);
    FILE *file;

    (void)state;
    if (!source)
        skip();
    snprintf(path, sizeof path, "%s/ops/docs/configuration.md", source);
    file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, (1 << 18) - 1, file)] = 0;
    fclose(file);
    fr_writer_init(&docs, 0);
    config_docs(&docs);
    fr_put_u8(&docs, 0);
    if (strcmp(docs.at, text) != 0)
        fail_msg("%s is not what config.def says; run: freshetd --print-docs > ops/docs/configuration.md", path);
    fr_writer_release(&docs);
    free(text);
}

static void help_names_every_key(void **state)
{
    struct fr_writer help;

    (void)state;
    fr_writer_init(&help, 0);
    config_help(&help);
    fr_put_u8(&help, 0);
    for (int id = 0; id < CONFIG_KEYS; id++) {
        char line[200];

        snprintf(line, sizeof line, "  %s = %s", config_keys[id].name, config_keys[id].standard);
        assert_non_null(strstr(help.at, line));
    }
    fr_writer_release(&help);
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
        cmocka_unit_test(weights_add_to_the_known_types_and_override_them),
        cmocka_unit_test(weights_have_bounds_too),
        cmocka_unit_test(keys_that_contradict_each_other_are_refused),
        cmocka_unit_test(brokers_are_needed_and_the_model_must_exist),
        cmocka_unit_test(kafka_keys_are_checked_by_who_knows_them),
        cmocka_unit_test(a_start_is_a_word_or_a_time),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(the_shape_lists_what_shapes_the_state_sorted),
        cmocka_unit_test(the_shape_does_not_depend_on_how_it_was_written),
        cmocka_unit_test(a_printed_configuration_says_where_values_come_from_and_hides_secrets),
        cmocka_unit_test(a_printed_configuration_reads_back_the_same),
        cmocka_unit_test(a_comparison_names_every_difference_once),
        cmocka_unit_test(the_documentation_is_up_to_date),
        cmocka_unit_test(help_names_every_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
