/*
 * settings_test.c -- which [kafka] settings are accepted, and in whose words the others are refused.
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "settings.h"
#include "world.h"

static void good_settings_pass_verbatim(void **state)
{
    static const char *const good[][2] = {
        {"bootstrap.servers", "a:9092,b:9092"},
        {"security.protocol", "SASL_SSL"},
        {"sasl.mechanism", "PLAIN"},
        {"sasl.username", "x"},
        {"sasl.password", "y"},
        {"fetch.wait.max.ms", "100"},
        {"group.id", "mine"},
        {"client.id", "mine"},
        {"compression.type", "zstd"},
        {"ssl.ca.location", "/etc/ssl/ca.pem"},
        {"check.crcs", "false"},
        {"queued.min.messages", "1000"},
        {"linger.ms", "20"},
        {"isolation.level", "read_uncommitted"},
    };
    char room[200];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        const char *problem = feed_kafka_key_problem(good[i][0], good[i][1], room, sizeof(room));
        if (problem)
            fail_msg("%s: %s", good[i][0], problem);
    }
}

static void keys_of_librdkafka_are_known_though_they_are_not_to_be_set(void **state)
{
    (void)state;
    assert_true(feed_kafka_key_known("log_level"));
    assert_true(feed_kafka_key_known("bootstrap.servers"));
    assert_true(feed_kafka_key_known("statistics.interval.ms")); /* of which "" is no value */
    assert_true(feed_kafka_key_known("request.required.acks"));  /* of a topic */
    assert_true(feed_kafka_key_known("rebalance_cb"));
    assert_false(feed_kafka_key_known("log.level"));
    assert_false(feed_kafka_key_known("bootstrap_servers"));
}

static void owned_settings_are_refused_by_name_and_bad_ones_in_the_words_of_librdkafka(void **state)
{
    static const char *const bad[][3] = {
        {"auto.offset.reset", "earliest", "offsets live in its store"},
        {"enable.auto.commit", "true", "offsets live in its store"},
        {"enable.auto.offset.store", "true", "offsets live in its store"},
        {"enable.partition.eof", "false", "offsets live in its store"},
        {"group.instance.id", "a", "assigns partitions itself"},
        {"partition.assignment.strategy", "range", "assigns partitions itself"},
        {"acks", "1", "surely has it"},
        {"enable.idempotence", "false", "surely has it"},
        {"rebalance_cb", "x", "pointer"},
        {"opaque", "x", "pointer"},
        {"test.mock.num.brokers", "1", "--dev"},
        {"no.such.setting", "x", "No such configuration property"},
        {"boostrap.servers", "a", "No such configuration property; the nearest known key is 'kafka.bootstrap.servers'"},
        {"sasl.usrname", "a", "the nearest known key is 'kafka.sasl.username'"},
        {"linger", "5", "the nearest known key is 'kafka.linger.ms'"},
        {"ack", "all", "the nearest known key is 'kafka.acks'"},
        {"fetch.wait.max.ms", "soon", "Invalid value"},
        {"fetch.wait.max.ms", "-5", "outside allowed range"},
        {"security.protocol", "telepathy", "Invalid value"},
    };
    char room[200];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *problem = feed_kafka_key_problem(bad[i][0], bad[i][1], room, sizeof(room));
        if (!problem || !strstr(problem, bad[i][2]))
            fail_msg("%s: '%s' does not say '%s'", bad[i][0], problem ? problem : "(accepted)", bad[i][2]);
    }
}

static void feed_does_not_start_on_settings_that_cannot_work(void **state)
{
    static const struct {
        const char *keys[3], *values[3];
        size_t len;
        const char *words;
    } cases[] = {
        {{NULL}, {NULL}, 0, "kafka.bootstrap.servers is not set"},
        {{"bootstrap.servers", "auto.offset.reset"}, {"x:1", "latest"}, 2, "kafka.auto.offset.reset is owned"},
        {{"bootstrap.servers", "nonsense"}, {"x:1", "1"}, 2, "kafka.nonsense: No such"},
        {{"bootstrap.servers", "security.protocol", "sasl.mechanism"},
         {"x:1", "sasl_plaintext", "NONE"},
         3,
         "cannot make the Kafka client for the consumer"},
    };
    struct engine *engine = fake_engine_new();

    (void)state;
    fr_log_setup(FR_ERROR + 1, FR_LOG_JSON);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct feed_options options = world_options();
        struct feed *feed = NULL;
        struct fr_err err;

        options.kafka_keys = cases[i].keys;
        options.kafka_values = cases[i].values;
        options.kafka_len = cases[i].len;
        assert_int_equal(feed_start(&feed, &options, engine, &err), FR_CONFIG);
        if (!strstr(err.text, cases[i].words))
            fail_msg("'%s' does not say '%s'", err.text, cases[i].words);
        assert_null(feed);
        if (i == 0) /* of a missing broker config_finish tells */
            continue;
        assert_int_equal(feed_check(&options, &err), FR_CONFIG);
        if (!strstr(err.text, cases[i].words))
            fail_msg("checked, '%s' does not say '%s'", err.text, cases[i].words);
    }
    fake_engine_free(engine);
}

/* A broker that is named and listens hears nothing. */
static void to_check_settings_is_to_connect_to_nothing(void **state)
{
    const char *keys[] = {"bootstrap.servers", "linger.ms"}, *values[] = {NULL, "1"};
    struct feed_options options = world_options();
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    char address[40];
    struct fr_err err;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    snprintf(address, sizeof(address), "127.0.0.1:%d", ntohs(at.sin_port));
    values[0] = address;
    options.kafka_keys = keys;
    options.kafka_values = values;
    options.kafka_len = 2;
    assert_int_equal(feed_check(&options, &err), FR_OK); /* its clients and all their threads have ended */
    assert_int_equal(accept(listener, NULL, NULL), -1);
    close(listener);
}

/* Whatever librdkafka says meanwhile, and to whom. */
static void who_answers_no_question_for_ten_seconds_is_cut_off(void **state)
{
    const uint64_t second = 1000000000, noon = 43200 * second;
    struct client client;
    const struct fr_series *down = fr_series(FR_M_KAFKA_UNREACHABLE, "tester", "", "");

    (void)state;
    fr_log_setup(FR_ERROR + 1, FR_LOG_JSON);
    client_init(&client, "tester");
    client_unanswered(&client, noon);
    client_unanswered(&client, noon + 9 * second);
    assert_true(fr_series_value(down) == 0);
    client_reached(&client);
    client_unanswered(&client, noon + 10 * second); /* it begins anew */
    client_unanswered(&client, noon + 19 * second);
    assert_true(fr_series_value(down) == 0);
    client_unanswered(&client, noon + 20 * second);
    assert_true(fr_series_value(down) == 1);
    assert_true(client.unreachable);
    client_reached(&client);
    assert_true(fr_series_value(down) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_settings_pass_verbatim),
        cmocka_unit_test(keys_of_librdkafka_are_known_though_they_are_not_to_be_set),
        cmocka_unit_test(owned_settings_are_refused_by_name_and_bad_ones_in_the_words_of_librdkafka),
        cmocka_unit_test(feed_does_not_start_on_settings_that_cannot_work),
        cmocka_unit_test(to_check_settings_is_to_connect_to_nothing),
        cmocka_unit_test(who_answers_no_question_for_ten_seconds_is_cut_off),
    };

    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
