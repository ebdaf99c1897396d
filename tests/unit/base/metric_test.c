/*
 * metric_test.c -- the text that is scraped, by hand.
 *
 * The registry is one for the process, so each test uses its own families.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "base_private.h"
#include "freshet/clock.h"
#include "freshet/metric.h"

static struct fr_writer out;

static const char *scrape(bool openmetrics)
{
    fr_writer_reset(&out);
    fr_metric_write(&out, openmetrics);
    fr_put_u8(&out, '\0');
    return out.at;
}

/* The family's part of the scrape: from its HELP line to the next. */
static const char *scrape_family(const char *family, bool openmetrics)
{
    static char part[20000];
    char help[200];
    snprintf(help, sizeof(help), "# HELP %s ", family);
    const char *at = strstr(scrape(openmetrics), help);
    assert_non_null(at);
    const char *end = strstr(at + 1, "# HELP ");
    if (!end)
        end = strstr(at, "# EOF");
    size_t len = end ? (size_t)(end - at) : strlen(at);
    assert_true(len < sizeof(part));
    memcpy(part, at, len);
    part[len] = '\0';
    return part;
}

static void families_without_labels_are_there_from_the_start_at_0(void **state)
{
    (void)state;
    const char *text = scrape(false);
    static const char *const lines[] = {
        "\nfreshet_events_duplicate_total 0\n", "\nfreshet_events_misrouted_total 0\n",
        "\nfreshet_checkpoint_keys 0\n",        "\nfreshet_event_to_visible_seconds_count 0\n",
        "\nfreshet_state_users 0\n",            "\nprocess_cpu_seconds_total 0\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        assert_non_null(strstr(text, lines[i]));
    assert_string_equal(scrape_family("freshet_rpc_rejected_total", false),
                        "# HELP freshet_rpc_rejected_total Calls turned away.\n"
                        "# TYPE freshet_rpc_rejected_total counter\n");
}

static void families_come_in_the_order_of_their_table(void **state)
{
    (void)state;
    static const char *const names[] = {
#define FR_METRIC(id, type, name, labels, help) name,
#include "freshet/metric.def"
#undef FR_METRIC
    };
    const char *at = scrape(false);
    char help[200];

    for (int i = 0; i < FR_METRICS; i++) {
        snprintf(help, sizeof(help), "# HELP %s ", names[i]);
        at = strstr(at, help);
        assert_non_null(at);
    }
}

static void a_counter_counts_and_has_its_labels(void **state)
{
    (void)state;
    struct fr_series *click = fr_series(FR_M_EVENTS_APPLIED, "click", "", "");

    fr_count(click, 40);
    fr_count(fr_series(FR_M_EVENTS_APPLIED, "buy", "", ""), 2);
    fr_count(fr_series(FR_M_EVENTS_APPLIED, "click", "", ""), 1);
    assert_ptr_equal(click, fr_series(FR_M_EVENTS_APPLIED, "click", "", ""));
    assert_true(fr_series_value(click) == 41);
    assert_string_equal(scrape_family("freshet_events_applied_total", false),
                        "# HELP freshet_events_applied_total Events learned, by configured type or other.\n"
                        "# TYPE freshet_events_applied_total counter\n"
                        "freshet_events_applied_total{type=\"click\"} 41\n"
                        "freshet_events_applied_total{type=\"buy\"} 2\n");
    assert_string_equal(scrape_family("freshet_events_applied", true),
                        "# HELP freshet_events_applied Events learned, by configured type or other.\n"
                        "# TYPE freshet_events_applied counter\n"
                        "freshet_events_applied_total{type=\"click\"} 41\n"
                        "freshet_events_applied_total{type=\"buy\"} 2\n");
}

static void a_counter_is_exact_up_to_64_bits(void **state)
{
    (void)state;
    struct fr_series *bytes = FR_SERIES(FR_M_CHECKPOINT_BYTES);

    fr_count(bytes, (uint64_t)1 << 53);
    fr_count(bytes, 1);
    assert_non_null(strstr(scrape(false), "\nfreshet_checkpoint_bytes_total 9007199254740993\n"));
    fr_count(bytes, UINT64_MAX - ((uint64_t)1 << 53) - 1);
    assert_non_null(strstr(scrape(false), "\nfreshet_checkpoint_bytes_total 18446744073709551615\n"));
}

static void a_counter_of_somebody_else_is_set(void **state)
{
    (void)state;
    fr_count_is(FR_SERIES(FR_M_PROCESS_CPU), 12.5);
    assert_non_null(strstr(scrape(false), "\nprocess_cpu_seconds_total 12.5\n"));
    fr_count_is(FR_SERIES(FR_M_PROCESS_CPU), 13);
    assert_non_null(strstr(scrape(false), "\nprocess_cpu_seconds_total 13\n"));
    assert_true(fr_series_value(FR_SERIES(FR_M_PROCESS_CPU)) == 13);
}

static void a_gauge_is_set_and_moved(void **state)
{
    (void)state;
    struct fr_series *lag = fr_series(FR_M_LAG_SECONDS, "events", "3", "");

    fr_gauge(lag, 0.1);
    fr_gauge_add(lag, -0.3);
    assert_true(fr_series_value(lag) == 0.1 - 0.3);
    fr_gauge(lag, -2.5);
    fr_gauge(fr_series(FR_M_LAG_SECONDS, "events", "12", ""), 3e9);
    assert_string_equal(strstr(scrape_family("freshet_consumer_lag_seconds", false), "gauge\n"),
                        "gauge\n"
                        "freshet_consumer_lag_seconds{topic=\"events\",partition=\"3\"} -2.5\n"
                        "freshet_consumer_lag_seconds{topic=\"events\",partition=\"12\"} 3000000000\n");
}

static void three_and_five_labels_have_their_names(void **state)
{
    (void)state;
    static const char *const versions[] = {"0.1.0", "abc", "2.0.2", "7.8.3", "1.51.1"};

    fr_gauge(fr_series(FR_M_PARTITION_STATE, "t", "0", "live"), 1);
    fr_gauge(fr_series_of(FR_M_BUILD_INFO, versions, 5), 1);
    assert_non_null(strstr(scrape(false), "\nfreshet_partition_state{topic=\"t\",partition=\"0\",state=\"live\"} 1\n"));
    assert_non_null(strstr(out.at, "\nfreshet_build_info{version=\"0.1.0\",revision=\"abc\",librdkafka=\"2.0.2\","
                                   "rocksdb=\"7.8.3\",grpc=\"1.51.1\"} 1\n"));
}

static void label_values_are_escaped(void **state)
{
    (void)state;
    fr_count(fr_series(FR_M_EVENTS_REJECTED, "a\"b\\c\nd", "", ""), 5);
    assert_non_null(strstr(scrape(false), "\nfreshet_events_rejected_total{reason=\"a\\\"b\\\\c\\nd\"} 5\n"));
}

static void a_histogram_has_cumulative_buckets_and_bounds_belong_to_them(void **state)
{
    (void)state;
    struct fr_series *series = FR_SERIES(FR_M_EVENT_TO_VISIBLE);

    fr_observe(series, -1); /* clocks disagree: counts as 0 */
    fr_observe(series, 0.00390625); /* sums of halves are exact */
    fr_observe(series, 0.0078125);
    fr_observe(series, 0.5);
    fr_observe(series, 300);
    fr_observe(series, 301);
    assert_true(fr_series_value(series) == 6);
    assert_string_equal(strstr(scrape_family("freshet_event_to_visible_seconds", false), "# TYPE"),
                        "# TYPE freshet_event_to_visible_seconds histogram\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"0.005\"} 2\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"0.01\"} 3\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"0.025\"} 3\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"0.05\"} 3\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"0.1\"} 3\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"0.25\"} 3\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"0.5\"} 4\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"1\"} 4\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"2.5\"} 4\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"5\"} 4\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"10\"} 4\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"30\"} 4\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"60\"} 4\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"300\"} 5\n"
                        "freshet_event_to_visible_seconds_bucket{le=\"+Inf\"} 6\n"
                        "freshet_event_to_visible_seconds_sum 601.51171875\n"
                        "freshet_event_to_visible_seconds_count 6\n");
}

static void a_histogram_with_labels_puts_its_bound_last(void **state)
{
    (void)state;
    fr_observe(fr_series(FR_M_RPC_SECONDS, "Recommend", "", ""), 0.0002);
    const char *text = scrape_family("freshet_rpc_handling_seconds", false);
    assert_non_null(strstr(text, "\nfreshet_rpc_handling_seconds_bucket{method=\"Recommend\",le=\"0.0001\"} 0\n"));
    assert_non_null(strstr(text, "\nfreshet_rpc_handling_seconds_bucket{method=\"Recommend\",le=\"0.00025\"} 1\n"));
    assert_non_null(strstr(text, "\nfreshet_rpc_handling_seconds_bucket{method=\"Recommend\",le=\"+Inf\"} 1\n"));
    assert_non_null(strstr(text, "\nfreshet_rpc_handling_seconds_sum{method=\"Recommend\"} 0.0002\n"));
    assert_non_null(strstr(text, "\nfreshet_rpc_handling_seconds_count{method=\"Recommend\"} 1\n"));
}

static void openmetrics_writes_bounds_as_reals_and_ends_with_eof(void **state)
{
    (void)state;
    const char *text = scrape(true);
    size_t len = strlen(text);

    assert_string_equal(text + len - 7, "\n# EOF\n");
    assert_non_null(strstr(text, "\nfreshet_engine_pause_seconds_bucket{le=\"1.0\"} 0\n"));
    assert_non_null(strstr(text, "\nfreshet_engine_pause_seconds_bucket{le=\"2.5\"} 0\n"));
    assert_null(strstr(scrape(false), "# EOF"));
}

static void openmetrics_tells_units_and_what_is_an_info(void **state)
{
    (void)state;
    static const char *const versions[] = {"0.1.0", "abc", "2.0.2", "7.8.3", "1.51.1"};

    fr_gauge(fr_series_of(FR_M_BUILD_INFO, versions, 5), 1);
    const char *text = scrape(true);
    static const char *const lines[] = {
        "\n# TYPE freshet_engine_pause_seconds histogram\n# UNIT freshet_engine_pause_seconds seconds\n",
        "\n# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\nprocess_cpu_seconds_total ",
        "\n# TYPE freshet_disk_free_bytes gauge\n# UNIT freshet_disk_free_bytes bytes\n",
        "\n# TYPE freshet_checkpoint_keys gauge\nfreshet_checkpoint_keys 0\n", /* no unit */
        "# TYPE freshet_build info\nfreshet_build_info{version=\"0.1.0\",",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        if (!strstr(text, lines[i]))
            fail_msg("not there: %s", lines[i]);
    text = scrape(false);
    assert_null(strstr(text, "# UNIT"));
    assert_non_null(strstr(text, "# TYPE freshet_build_info gauge\nfreshet_build_info{"));
}

static void the_newest_exemplar_of_a_bucket_is_shown(void **state)
{
    (void)state;
    struct fr_series *series = fr_series(FR_M_RPC_SECONDS, "Popular", "", "");
    char exemplar[FR_EXEMPLAR_MAX + 2], line[400], *end;

    when_ms before = fr_wall_ms();
    fr_observe_with(series, 0.003, "trace_id=\"aa\"");
    fr_observe_with(series, 0.004, "trace_id=\"bb\"");
    fr_observe_with(series, 400, "trace_id=\"cc\"");
    fr_observe_with(series, -1, "trace_id=\"dd\"");
    fr_observe(series, 0.0049);
    memset(exemplar, 'x', sizeof(exemplar));
    exemplar[FR_EXEMPLAR_MAX + 1] = 0; /* one byte too long */
    fr_observe_with(series, 0.07, exemplar);
    const char *text = scrape_family("freshet_rpc_handling_seconds", true);
    const char *at = strstr(text, "\nfreshet_rpc_handling_seconds_bucket{method=\"Popular\",le=\"0.005\"} 4 # {trace_id=\"bb\"} 0.004 ");
    assert_non_null(at);
    snprintf(line, sizeof(line), "%s", strstr(at, "0.004 ") + 6);
    double when = strtod(line, &end);
    assert_int_equal(*end, '\n');
    assert_true(when >= (double)before / 1000 && when <= (double)fr_wall_ms() / 1000);
    assert_non_null(strstr(text, "{method=\"Popular\",le=\"0.0001\"} 1 # {trace_id=\"dd\"} 0 "));
    assert_non_null(strstr(text, "{method=\"Popular\",le=\"+Inf\"} 6 # {trace_id=\"cc\"} 400 "));
    assert_non_null(strstr(text, "{method=\"Popular\",le=\"0.0025\"} 1\n"));
    assert_non_null(strstr(text, "{method=\"Popular\",le=\"0.1\"} 5\n"));
    assert_null(strstr(scrape(false), "trace_id"));
    exemplar[FR_EXEMPLAR_MAX] = 0; /* the longest there may be */
    fr_observe_with(series, 0.07, exemplar);
    snprintf(line, sizeof(line), "le=\"0.1\"} 6 # {%s} 0.07 ", exemplar);
    assert_non_null(strstr(scrape(true), line));
}

struct seen {
    int series;
    double value, sum;
    uint64_t counts[FR_METRIC_BOUNDS_MAX + 1];
    char labels[200];
};

static void note(void *context, const struct fr_reading *reading)
{
    struct seen *seen = context;

    seen->series++;
    seen->value = reading->value;
    seen->sum = reading->sum;
    snprintf(seen->labels, sizeof(seen->labels), "%s|%s|%s", reading->labels[0], reading->labels[1], reading->labels[2]);
    for (size_t i = 0; i <= reading->bounds_len && reading->counts; i++)
        seen->counts[i] = reading->counts[i];
}

static void each_series_is_shown_with_its_labels_and_numbers(void **state)
{
    struct seen seen = {0};

    (void)state;
    fr_gauge(fr_series(FR_M_PARTITION_STATE, "t", "7", "running"), 0.5);
    fr_metric_each(FR_M_PARTITION_STATE, note, &seen);
    assert_string_equal(seen.labels, "t|7|running");
    assert_true(seen.value == 0.5);
    seen = (struct seen){0};
    fr_metric_each(FR_M_BACKUPS, note, &seen); /* never touched, there all the same */
    assert_int_equal(seen.series, 1);
    assert_true(seen.value == 0);
    fr_observe(fr_series(FR_M_BACKUP_SECONDS, "make", "", ""), 0.0001);
    fr_observe(fr_series(FR_M_BACKUP_SECONDS, "make", "", ""), 0.0002);
    fr_observe(fr_series(FR_M_BACKUP_SECONDS, "make", "", ""), 1000);
    seen = (struct seen){0};
    fr_metric_each(FR_M_BACKUP_SECONDS, note, &seen);
    assert_int_equal(seen.series, 1);
    assert_true(seen.value == 3 && seen.sum == 0.0001 + 0.0002 + 1000);
    assert_true(seen.counts[0] == 1 && seen.counts[1] == 1 && seen.counts[2] == 0 && seen.counts[19] == 1);
}

static void numbers_are_short_and_exact(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } table[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-17, "-17"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"}, /* 16 digits suffice */
        {0.1 + 0.2, "0.30000000000000004"},
        {1e15, "1000000000000000"},
        {1e18, "1000000000000000000"},
        {1e19, "1e+19"},
        {1e-7, "1e-07"},
        {1.0 / 0.0, "+Inf"},
        {-1.0 / 0.0, "-Inf"},
        {0.0 / 0.0, "NaN"},
    };
    char room[FR_REAL_TEXT_ROOM];

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        assert_string_equal(fr_real_text(table[i].value, room), table[i].text);
}

static void bring_up_to_date(void *context)
{
    fr_gauge(FR_SERIES(FR_M_OUTBOX_PENDING), ++*(int *)context); /* looks its series up: no lock is held */
}

static void collectors_run_before_each_scrape_until_removed(void **state)
{
    (void)state;
    int calls = 0, others = 0;

    fr_metric_collector(bring_up_to_date, &calls);
    fr_metric_collector(bring_up_to_date, &others);
    fr_metric_collector_remove(bring_up_to_date, &others);
    assert_non_null(strstr(scrape(false), "\nfreshet_outbox_pending 1\n"));
    assert_non_null(strstr(scrape(false), "\nfreshet_outbox_pending 2\n"));
    fr_metric_collector_remove(bring_up_to_date, &calls);
    scrape(false);
    assert_int_equal(calls, 2);
    assert_int_equal(others, 0);
}

static void *work(void *arg)
{
    char partition[16];

    for (int i = 0; i < 2000; i++) {
        snprintf(partition, sizeof(partition), "%d", i % 50);
        fr_count(fr_series(FR_M_EVENTS_CONSUMED, arg, partition, ""), 1);
        fr_observe(FR_SERIES(FR_M_CHECKPOINT_SECONDS), 0.5);
        fr_gauge_add(FR_SERIES(FR_M_STATE_PAIRS), 1);
    }
    return NULL;
}

static void nothing_is_lost_between_threads_and_scrapes(void **state)
{
    (void)state;
    static char *const topics[] = {"a", "b", "a"};
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, topics[i]), 0);
    for (int i = 0; i < 20; i++)
        scrape(i % 2);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_non_null(strstr(scrape(false), "\nfreshet_events_consumed_total{topic=\"a\",partition=\"49\"} 80\n"));
    assert_non_null(strstr(out.at, "\nfreshet_events_consumed_total{topic=\"b\",partition=\"0\"} 40\n"));
    assert_non_null(strstr(out.at, "\nfreshet_checkpoint_duration_seconds_count 6000\n"));
    assert_non_null(strstr(out.at, "\nfreshet_checkpoint_duration_seconds_sum 3000\n"));
    assert_non_null(strstr(out.at, "\nfreshet_state_pairs 6000\n"));
}

static int release_writer(void **state)
{
    (void)state;
    fr_writer_release(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_without_labels_are_there_from_the_start_at_0),
        cmocka_unit_test(families_come_in_the_order_of_their_table),
        cmocka_unit_test(a_counter_counts_and_has_its_labels),
        cmocka_unit_test(a_counter_is_exact_up_to_64_bits),
        cmocka_unit_test(a_counter_of_somebody_else_is_set),
        cmocka_unit_test(a_gauge_is_set_and_moved),
        cmocka_unit_test(three_and_five_labels_have_their_names),
        cmocka_unit_test(label_values_are_escaped),
        cmocka_unit_test(a_histogram_has_cumulative_buckets_and_bounds_belong_to_them),
        cmocka_unit_test(a_histogram_with_labels_puts_its_bound_last),
        cmocka_unit_test(openmetrics_writes_bounds_as_reals_and_ends_with_eof),
        cmocka_unit_test(openmetrics_tells_units_and_what_is_an_info),
        cmocka_unit_test(the_newest_exemplar_of_a_bucket_is_shown),
        cmocka_unit_test(each_series_is_shown_with_its_labels_and_numbers),
        cmocka_unit_test(numbers_are_short_and_exact),
        cmocka_unit_test(collectors_run_before_each_scrape_until_removed),
        cmocka_unit_test(nothing_is_lost_between_threads_and_scrapes),
    };

    return cmocka_run_group_tests(tests, NULL, release_writer);
}
