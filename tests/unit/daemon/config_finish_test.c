/*
 * config_finish_test.c -- what concerns several keys: contradictions, brokers, feed.start, the shape of the state.
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

/* ---- what concerns several keys --------------------------------------------------------------------------------- */

static void keys_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    assert_problem("[sar]\nnormalize = yes\n", "test.conf:2: sar.normalize = yes needs sar.mode = parity\n");
    assert_good("[sar]\nnormalize = yes\nmode = parity\n");
    assert_problem("[limits]\nmemory_soft = 3M\nmemory_hard = 2M\n",
                   "limits.memory_soft = 3145728 is more than limits.memory_hard = 2097152\n");
    assert_problem("[recommend]\nk = 1001\n", "recommend.k = 1001 is more than limits.max_k = 1000\n");
    assert_problem("[feed]\ntopic = a\ndead_letter_topic = a\n",
                   "feed.topic and feed.dead_letter_topic are both 'a'; a dead letter would be read again\n");
    assert_problem("[sar]\nhalf_life_days = 0.000000001\n",
                   "test.conf:2: sar.half_life_days is less than a millisecond; 0 means no decay\n");
    assert_problem("[kafka]\nbootstrap.servers = a:1\n",
                   "test.conf:2: kafka.bootstrap.servers cannot be set with --dev, which brings a broker of its own\n");
}

static void what_secures_a_listener_goes_together(void **state)
{
    (void)state;
    assert_problem("[serve]\ntls_cert = a\n", "test.conf:2: serve.tls_cert = a needs serve.tls_key too\n");
    assert_problem("[serve]\ntls_key = a\n", "test.conf:2: serve.tls_key = a needs serve.tls_cert too\n");
    assert_problem("[serve]\ntls_client_ca = a\n", "test.conf:2: serve.tls_client_ca = a needs serve.tls_cert too\n");
    assert_problem("[admin]\ntls_cert = a\n", "test.conf:2: admin.tls_cert = a needs admin.tls_key too\n");
    assert_problem("[serve]\ntls_cert = a\ntls_key = b\n[admin]\ntls_key = c\n",
                   "test.conf:5: admin.tls_key = c needs admin.tls_cert too\n");
    assert_problem("[admin]\ntls_client_ca = a\n",
                   "test.conf:2: admin.tls_client_ca = a needs admin.tls_cert or serve.tls_cert too\n");
    assert_problem("[admin]\nhttp_auth = yes\n", "test.conf:2: admin.http_auth = yes needs serve.tokens_file too\n");
    assert_good("[serve]\ntls_cert = a\ntls_key = b\ntokens_file = t\n[admin]\ntls_client_ca = c\nhttp_auth = yes\n");
}

static void assert_file(struct certificate_file file, const char *key, const char *path)
{
    assert_string_equal(file.key, key);
    assert_string_equal(file.path, path);
}

static void the_admin_takes_what_it_has_not_from_the_other_listener(void **state)
{
    struct config *cfg = read_text("[serve]\ntls_cert = a\ntls_key = b\ntls_client_ca = c\n");
    struct certificate_files files;

    (void)state;
    assert_true(config_certificate(cfg, true, &files));
    assert_file(files.cert, "serve.tls_cert", "a");
    assert_file(files.key, "serve.tls_key", "b");
    assert_file(files.ca, "serve.tls_client_ca", "c"); /* never less than the other asks for */
    config_put(cfg, "admin", "tls_cert", "d", "test");
    config_put(cfg, "admin", "tls_key", "e", "test");
    assert_true(config_certificate(cfg, true, &files));
    assert_file(files.cert, "admin.tls_cert", "d");
    assert_file(files.key, "admin.tls_key", "e");
    assert_file(files.ca, "serve.tls_client_ca", "c");
    assert_true(config_certificate(cfg, false, &files));
    assert_file(files.cert, "serve.tls_cert", "a");
    config_put(cfg, "serve", "tls_cert", "", "test");
    assert_false(config_certificate(cfg, false, &files));
    config_free(cfg);
}

static void brokers_are_needed_and_the_models_must_exist(void **state)
{
    struct engine_options engine;
    struct config_host host = {.models = "sar fm"};
    struct config *cfg = read_text("[recommend]\nmodels = fm,svd,fm\ndefault_model = ncf\n");

    (void)state;
    config_finish(cfg, &host);
    assert_string_equal(config_problems(cfg),
                        "test.conf:2: recommend.models names 'svd'; there are: sar fm\n"
                        "test.conf:3: recommend.default_model = 'ncf' is not one of recommend.models: sar fm\n"
                        "kafka.bootstrap.servers is not set; for a broker to try things with there is --dev\n");
    config_free(cfg);
    cfg = read_text("[recommend]\nmodels = fm, sar\ndefault_model = fm\n[kafka]\nmetadata.broker.list = a:1\n");
    config_finish(cfg, &host);
    assert_string_equal(config_problems(cfg), "");
    config_engine_options(cfg, &engine);
    assert_int_equal(engine.models_len, 1); /* sar needs no naming */
    assert_string_equal(engine.models[0].name, "fm");
    assert_string_equal(engine.default_model, "fm");
    config_free(cfg);
}

/* Nobody has to change two keys at once, and who asks for exactly SAR gets it. */
static void who_answers_unless_told_otherwise(void **state)
{
    static const struct {
        const char *text, *answers, *origin; /* origin: as --print-config tells it of default_model */
    } cases[] = {
        {"", "auto", "default"},
        {"[recommend]\nmodels =\n", "sar", "default"},
        {"[recommend]\nmodels = fm\n", "sar", "default"},
        {"[recommend]\nmodels = fm, auto\n", "auto", "default"},
        {"[recommend]\ndefault_model = sar\n", "sar", "test.conf:2"},
        {"[sar]\nmode = parity\n", "sar", "default"},
        {"[sar]\nmode = parity\n[recommend]\nmodels = fm, auto\n", "auto", "default"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct config *cfg = read_text(cases[i].text);
        struct engine_options engine;

        config_finish(cfg, &(struct config_host){.own_broker = true, .models = "sar popular trending fm ncf ease auto"});
        assert_string_equal(config_problems(cfg), "");
        config_engine_options(cfg, &engine);
        assert_string_equal(engine.default_model, cases[i].answers);
        const char *origin = cfg->origin[CONFIG_recommend_default_model];
        assert_string_equal(origin ? origin : "default", cases[i].origin);
        config_free(cfg);
    }
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
                                      "fm.dimensions=32\n"
                                      "fm.features_admit=3\n"
                                      "fm.features_max=100000\n"
                                      "fm.loss=softmax\n"
                                      "ncf.gmf=32\n"
                                      "ncf.layer1=64\n"
                                      "ncf.layer2=32\n"
                                      "ncf.layer3=16\n"
                                      "ncf.mlp=32\n"
                                      "sar.half_life_days=30\n"
                                      "sar.mode=product\n"
                                      "sar.neighbours_max=500\n"
                                      "sar.normalize=no\n"
                                      "sar.window=10\n"
                                      "trending.half_life_days=7\n"
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

/* A store is not to be bound by keys of a model of which it holds nothing. */
static void a_model_that_does_not_run_shapes_nothing(void **state)
{
    const struct config_host host = {.own_broker = true, .models = "sar popular trending fm ncf ease auto"};
    struct config *without = read_text("[recommend]\nmodels = popular\n[fm]\ndimensions = 64\n"),
                  *with = read_text("[recommend]\nmodels = fm\n[fm]\ndimensions = 64\n");

    (void)state;
    config_finish(without, &host);
    config_finish(with, &host);
    assert_null(strstr(without->shape.at, "fm."));
    assert_null(strstr(without->shape.at, "ncf."));
    assert_null(strstr(without->shape.at, "trending."));
    assert_non_null(strstr(without->shape.at, "sar.window=10\n"));
    assert_non_null(strstr(without->shape.at, "weights.view=1\n"));
    assert_non_null(strstr(without->shape.at, "feed.dedup_window_ms=3600000\n"));
    assert_non_null(strstr(with->shape.at, "fm.dimensions=64\n"));
    assert_null(strstr(with->shape.at, "ncf."));
    config_free(without);
    config_free(with);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_contradict_each_other_are_refused),
        cmocka_unit_test(what_secures_a_listener_goes_together),
        cmocka_unit_test(the_admin_takes_what_it_has_not_from_the_other_listener),
        cmocka_unit_test(brokers_are_needed_and_the_models_must_exist),
        cmocka_unit_test(who_answers_unless_told_otherwise),
        cmocka_unit_test(kafka_keys_are_checked_by_who_knows_them),
        cmocka_unit_test(a_start_is_a_word_or_a_time),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(the_shape_lists_what_shapes_the_state_sorted),
        cmocka_unit_test(a_model_that_does_not_run_shapes_nothing),
        cmocka_unit_test(the_shape_does_not_depend_on_how_it_was_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
