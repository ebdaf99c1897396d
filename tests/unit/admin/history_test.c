/*
 * history_test.c -- samples of a registry that the test moves by hand; the clock is the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "freshet/metric.h"
#include "history.h"

enum { STEP = 10000 };
static const when_ms BEGIN = 1700000000000;
static const uint64_t SECOND = 1000000000;

static struct history *history;
static uint64_t mono;

static int start(void **state)
{
    (void)state;
    history = history_new(STEP);
    mono = 5 * SECOND;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    history_free(history);
    return 0;
}

static void sample_after(double seconds)
{
    mono += (uint64_t)(seconds * 1e9);
    history_sample(history, BEGIN + (when_ms)(mono / 1000000), mono);
}

static double number(enum history_span span, const char *name, size_t from_newest)
{
    struct history_view view = history_view(history, span, 0);

    assert_true(from_newest < view.len);
    for (size_t c = 0; c < view.columns; c++)
        if (strcmp(view.names[c], name) == 0)
            return history_number(history, span, &view, view.len - 1 - from_newest, c);
    return -1;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fabs(b);
}

static void counters_become_rates_and_gauges_stay_what_they_are(void **state)
{
    (void)state;
    fr_count(fr_series(FR_M_EVENTS_APPLIED, "click", "", ""), 1000000); /* before: no rate */
    fr_gauge(fr_series(FR_M_LAG_MESSAGES, "events", "0", ""), 5);
    sample_after(0);
    assert_true(isnan(number(HISTORY_HOUR, "applied", 0)));
    assert_true(number(HISTORY_HOUR, "lag", 0) == 5);
    fr_count(fr_series(FR_M_EVENTS_APPLIED, "click", "", ""), 30);
    fr_count(fr_series(FR_M_EVENTS_APPLIED, "buy", "", ""), 20); /* a series that is new */
    fr_gauge(fr_series(FR_M_LAG_MESSAGES, "events", "1", ""), 7);
    fr_gauge(fr_series(FR_M_LAG_SECONDS, "events", "0", ""), 2.5);
    fr_gauge(fr_series(FR_M_LAG_SECONDS, "events", "1", ""), 1.5);
    sample_after(20);
    assert_true(near(number(HISTORY_HOUR, "applied", 0), 50.0 / 20));
    assert_true(number(HISTORY_HOUR, "lag", 0) == 12);
    assert_true(number(HISTORY_HOUR, "lag_seconds", 0) == 2.5); /* the oldest, not all together */
}

static void of_a_histogram_only_the_step_counts(void **state)
{
    struct fr_series *seconds = fr_series(FR_M_EVENT_TO_VISIBLE, "", "", "");

    (void)state;
    for (int i = 0; i < 1000; i++)
        fr_observe(seconds, 50);
    sample_after(0);
    for (int i = 0; i < 100; i++)
        fr_observe(seconds, i < 90 ? 0.02 : 0.3);
    sample_after(10);
    assert_true(near(number(HISTORY_HOUR, "fresh/p50", 0), 0.01 + 0.015 * 50 / 90)); /* in .01 .. .025 */
    assert_true(near(number(HISTORY_HOUR, "fresh/p99", 0), 0.25 + 0.25 * 9 / 10));   /* in .25 .. .5 */
    sample_after(10);
    assert_true(isnan(number(HISTORY_HOUR, "fresh/p99", 0))); /* nothing came */
}

static void a_method_has_columns_once_it_was_asked(void **state)
{
    struct history_view view;

    (void)state;
    fr_series(FR_M_RPC_HANDLED, "Score", "OK", "");
    fr_series(FR_M_RPC_SECONDS, "Score", "", "");
    sample_after(0);
    view = history_view(history, HISTORY_HOUR, 0);
    for (size_t c = 0; c < view.columns; c++)
        assert_null(strstr(view.names[c], "Score"));
    fr_count(fr_series(FR_M_RPC_HANDLED, "Score", "OK", ""), 3);
    fr_count(fr_series(FR_M_RPC_HANDLED, "Score", "INTERNAL", ""), 1);
    sample_after(10);
    assert_true(near(number(HISTORY_HOUR, "asked/Score", 0), 0.4));
    assert_true(isnan(number(HISTORY_HOUR, "asked/Score", 1))); /* from before it had one */
}

static void quality_is_that_of_the_shorter_window_over_all_events(void **state)
{
    struct history_view view;

    (void)state;
    fr_gauge(fr_series(FR_M_MODEL_QUALITY, "sar", "ndcg_10", "10000"), 0.25);
    fr_gauge(fr_series(FR_M_MODEL_QUALITY, "sar", "ndcg_10", "100000"), 0.5);
    fr_gauge(fr_series(FR_M_MODEL_QUALITY, "sar", "ndcg_10_tail", "10000"), 0.125);
    sample_after(0);
    assert_true(number(HISTORY_HOUR, "quality/sar/ndcg_10", 0) == 0.25);
    view = history_view(history, HISTORY_HOUR, 0);
    for (size_t c = 0; c < view.columns; c++)
        assert_null(strstr(view.names[c], "tail"));
}

static void an_hour_and_a_day_are_kept_and_the_oldest_goes(void **state)
{
    struct fr_series *users = FR_SERIES(FR_M_STATE_USERS);
    enum { SAMPLES = 9000 }; /* 25 hours */
    struct history_view hour, day;

    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        fr_gauge(users, i);
        fr_count(fr_series(FR_M_EVENTS_REJECTED, "time", "", ""), i >= SAMPLES - 15 ? 100 : 0);
        sample_after(10);
    }
    hour = history_view(history, HISTORY_HOUR, 0);
    day = history_view(history, HISTORY_DAY, 0);
    assert_int_equal(hour.len, 360);
    assert_int_equal(day.len, 288);
    assert_int_equal(hour.step, 10000);
    assert_int_equal(day.step, 300000);
    for (size_t i = 0; i < hour.len; i++)
        assert_true(number(HISTORY_HOUR, "users", i) == SAMPLES - 1 - (double)i);
    assert_true(number(HISTORY_DAY, "users", 0) == SAMPLES - 30 && number(HISTORY_DAY, "users", 287) == SAMPLES - 30 * 288);
    assert_int_equal(history_time(history, HISTORY_HOUR, &hour, 359) - history_time(history, HISTORY_HOUR, &hour, 0), 3590000);
    /* a rate of the day is over five minutes: the bursts of the last two and a half are in the hour alone */
    assert_true(near(number(HISTORY_HOUR, "rejected", 0), 10) && number(HISTORY_HOUR, "rejected", 15) == 0);
    assert_true(number(HISTORY_DAY, "rejected", 0) == 0);
}

static void who_has_some_gets_only_the_newer(void **state)
{
    when_ms third;

    (void)state;
    for (int i = 0; i < 5; i++)
        sample_after(10);
    struct history_view all = history_view(history, HISTORY_HOUR, 0);
    third = history_time(history, HISTORY_HOUR, &all, 2);
    struct history_view view = history_view(history, HISTORY_HOUR, third);
    assert_int_equal(view.len, 2);
    assert_int_equal(history_time(history, HISTORY_HOUR, &view, 0), third + STEP);
    assert_int_equal(history_view(history, HISTORY_HOUR, third + 2 * STEP).len, 0);
}

/* As where the daemon was up before the time was asked for. */
static void a_clock_that_is_set_back_leaves_nothing_dated_later(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++)
        sample_after(10);
    const when_ms before = BEGIN + (when_ms)(mono / 1000000);
    mono += 10 * SECOND;
    history_sample(history, before - 155000, mono); /* by 165 s: between the samples of 170 and of 160 s before */
    for (int span = HISTORY_HOUR; span < HISTORY_SPANS; span++) {
        struct history_view view = history_view(history, span, 0);
        for (size_t i = 1; i < view.len; i++)
            assert_true(history_time(history, span, &view, i - 1) < history_time(history, span, &view, i));
    }
    struct history_view hour = history_view(history, HISTORY_HOUR, 0);
    assert_int_equal(hour.len, 40 - 16 + 1);
    assert_int_equal(history_time(history, HISTORY_HOUR, &hour, hour.len - 1), before - 155000);
    assert_int_equal(history_view(history, HISTORY_HOUR, before - 155001).len, 1); /* who has those before gets the new one */
    mono += 10 * SECOND;
    history_sample(history, BEGIN - 1, mono);
    assert_int_equal(history_view(history, HISTORY_HOUR, 0).len, 1);
    assert_int_equal(history_view(history, HISTORY_DAY, 0).len, 0);
    for (int i = 0; i < 30; i++)
        sample_after(10);
    assert_int_equal(history_view(history, HISTORY_HOUR, 0).len, 31);
    assert_int_equal(history_view(history, HISTORY_DAY, 0).len, 1);
}

static void too_early_is_no_sample(void **state)
{
    (void)state;
    sample_after(0);
    sample_after(5);
    assert_int_equal(history_view(history, HISTORY_HOUR, 0).len, 1);
    sample_after(4.9); /* a little early is not */
    assert_int_equal(history_view(history, HISTORY_HOUR, 0).len, 2);
}

static void columns_are_bounded(void **state)
{
    char method[32];

    (void)state;
    for (int i = 0; i < 2 * HISTORY_COLUMNS_MAX; i++) {
        snprintf(method, sizeof(method), "Method%d", i);
        fr_count(fr_series(FR_M_RPC_HANDLED, method, "OK", ""), 1);
    }
    sample_after(0);
    sample_after(10);
    assert_int_equal(history_view(history, HISTORY_HOUR, 0).columns, HISTORY_COLUMNS_MAX);
}

static double applied_now;

static void note(void *context, const char *name, double value)
{
    (void)context;
    if (strcmp(name, "applied") == 0)
        applied_now = value;
}

static double now_after(double seconds)
{
    mono += (uint64_t)(seconds * 1e9);
    return history_now(history, mono, note, NULL);
}

static void now_is_the_last_seconds(void **state)
{
    struct fr_series *applied = fr_series(FR_M_EVENTS_APPLIED, "click", "", "");

    (void)state;
    assert_true(now_after(0) == 0 && isnan(applied_now)); /* nothing to compare with */
    fr_count(applied, 40);
    assert_true(near(now_after(2), 2) && near(applied_now, 20));
    for (int i = 0; i < 3600; i++) { /* nobody looks for ten hours but the sampler */
        fr_count(applied, 10000);
        sample_after(10);
    }
    double seconds = now_after(1);
    assert_true(seconds >= 5 && seconds <= 20);
    for (int i = 0; i < 10; i++) { /* a page is open */
        fr_count(applied, 2);
        seconds = now_after(2);
    }
    assert_true(seconds >= 5 && seconds <= 12);
    assert_true(near(applied_now, 1));
}

static void quantiles_are_those_of_prometheus(void **state)
{
    static const double bounds[] = {1, 2, 4};
    static const uint64_t none[4] = {0}, first[] = {10, 0, 0, 0}, spread[] = {10, 10, 20, 0}, beyond[] = {0, 0, 0, 5};

    (void)state;
    assert_true(isnan(history_quantile(none, bounds, 3, 0.5)));
    assert_true(near(history_quantile(first, bounds, 3, 0.5), 0.5));
    assert_true(near(history_quantile(spread, bounds, 3, 0.5), 2));
    assert_true(near(history_quantile(spread, bounds, 3, 0.75), 3));
    assert_true(near(history_quantile(beyond, bounds, 3, 0.5), 4)); /* all that can be said */
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(counters_become_rates_and_gauges_stay_what_they_are),
        EACH(of_a_histogram_only_the_step_counts),
        EACH(a_method_has_columns_once_it_was_asked),
        EACH(quality_is_that_of_the_shorter_window_over_all_events),
        EACH(an_hour_and_a_day_are_kept_and_the_oldest_goes),
        EACH(who_has_some_gets_only_the_newer),
        EACH(a_clock_that_is_set_back_leaves_nothing_dated_later),
        EACH(too_early_is_no_sample),
        EACH(now_is_the_last_seconds),
        cmocka_unit_test(quantiles_are_those_of_prometheus),
        EACH(columns_are_bounded), /* last: it leaves many series */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
