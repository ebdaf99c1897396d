/*
 * eval_test.c -- the metrics against examples worked by hand; order of replay; who has what.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval.h"

#include "freshet/alloc.h"

static void close_to(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-6))
        fail_msg("%.9f, not %.9f", value, expected);
}

static void a_rank_between_equals_is_the_middle(void **state)
{
    struct standing at_2 = {0}, at_1 = {0}, edge = {0}, unknown = {0};
    const struct rank second = {.listed = true, .before = 1, .beside = 1}, tenth = {.listed = true, .before = 9, .beside = 2};

    (void)state;
    standing_add(&at_2, &second, 2); /* r = 1.5 */
    close_to(mean_value(&at_2.hit), 1);
    close_to(mean_value(&at_2.ndcg), 0.5532947); /* 1 / log2(3.5) */
    close_to(mean_value(&at_2.mrr), 0.4);
    standing_add(&at_1, &second, 1);
    close_to(mean_value(&at_1.hit), 0);
    close_to(mean_value(&at_1.ndcg), 0);
    standing_add(&edge, &tenth, 10); /* r = 10 */
    close_to(mean_value(&edge.hit), 0);
    standing_add(&unknown, &(struct rank){0}, 10);
    close_to(mean_value(&unknown.mrr), 0);
    assert_int_equal(unknown.mrr.len, 1);
}

/* Hits at ranks 1 and 3 of 3, four relevant items. */
static void the_benchmarks_metrics_by_hand(void **state)
{
    struct accuracy accuracy = {0};
    const bool hits[] = {true, false, true};

    (void)state;
    accuracy_add(&accuracy, hits, 3, 4, 3);
    close_to(mean_value(&accuracy.map), (1 + 2 / 3.0) / 4);
    close_to(mean_value(&accuracy.precision), 2 / 3.0);
    close_to(mean_value(&accuracy.recall), 0.5);
    close_to(mean_value(&accuracy.ndcg), 0.7039180); /* (1 + 1/2) / (1 + 1/log2(3) + 1/2) */
    accuracy_add(&accuracy, hits, 3, 4, 10); /* precision divides by k, though fewer were listed */
    close_to(accuracy.precision.sum, 2 / 3.0 + 0.2);
    accuracy_add(&accuracy, hits, 0, 2, 3); /* without a list: counts in nDCG alone */
    assert_int_equal(accuracy.ndcg.len, 3);
    assert_int_equal(accuracy.map.len, 2);
    assert_int_equal(accuracy.recall.len, 2);
}

static void errors_by_hand(void **state)
{
    struct mean mean = {0};
    struct figures runs[2] = {{.len = 1}, {.len = 1}}, both;

    (void)state;
    assert_true(isnan(mean_value(&mean)));
    for (int i = 0; i < 4; i++)
        mean_add(&mean, i % 2);
    close_to(mean_value(&mean), 0.5);
    close_to(mean_error(&mean), 0.2886751); /* sqrt((1/3) / 4) */
    runs[0].at[0].value = 0.1;
    runs[1].at[0].value = 0.3;
    figures_combine(&both, runs, 2);
    close_to(both.at[0].value, 0.2);
    close_to(both.at[0].error, 0.1414214);
}

/* Off by 1 and by 3, and one of which the model says nothing. */
static void ratings_by_hand(void **state)
{
    struct errors errors = {0};
    struct figures figures = {0};

    (void)state;
    errors_add(&errors, 3, 4);
    errors_add(&errors, 5, 2);
    errors_add(&errors, NAN, 5);
    figures_add_errors(&figures, &errors);
    assert_int_equal(figures.at[0].over, 2);
    close_to(figures.at[0].value, 2.2360680); /* sqrt((1 + 9) / 2) */
    close_to(figures.at[0].error, 0.8944272); /* of the mean square 4; over twice 2.236 */
    close_to(figures.at[1].value, 2);
}

/* Of 2 x 3 pairs one is wrong, one is of equals, and two are right since one has no score. */
static void labels_by_hand(void **state)
{
    struct labels labels = {0};
    struct figures figures = {0};

    (void)state;
    labels_add(&labels, 0, true, true);
    labels_add(&labels, NAN, false, true);
    labels_add(&labels, 1, false, true);
    labels_add(&labels, 2, true, true);
    labels_add(&labels, 0, false, true);
    figures_add_labels(&figures, &labels);
    assert_string_equal(figures.at[0].name, "auc");
    assert_int_equal(figures.at[0].over, 5);
    close_to(figures.at[0].value, 4.5 / 6);
    close_to(figures.at[0].error, 0.2535463); /* (.1875 + 1 (.6 - .5625) + 2 (1.125 / 1.75 - .5625)) / 6, its root */
    close_to(figures.at[1].value, 0.7066211); /* (2 log 2 + log(1 + e) + log(1 + e^-2)) / 4 */
    assert_int_equal(figures.at[1].over, 4);
    free(labels.at);
}

static void add(struct eval_log *log, uint32_t user, uint32_t item, when_ms when)
{
    fr_reserve((void **)&log->events, &log->cap, log->len + 1, sizeof(*log->events));
    log->events[log->len++] = (struct eval_event){.user = user, .item = item, .when = when, .weight = 1};
}

static void time_order_keeps_the_files_for_equal_times(void **state)
{
    static const uint32_t expected[] = {3, 1, 4, 0, 2};
    struct eval_log log = {0};

    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        add(&log, 0, i, (const when_ms[]){7, 5, 9, 1, 5}[i]);
    eval_sort(&log, 1, ORDER_TIME, 1);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(log.events[i].item, expected[i]);
    eval_log_release(&log);
}

static void mixed_keeps_each_users_order_and_goes_by_the_seed(void **state)
{
    enum { USERS = 20, EACH = 30 };
    struct eval_log log = {0};
    uint32_t first[USERS * EACH], next[USERS];
    size_t same = 0, neighbours = 0;

    (void)state;
    for (uint32_t u = 0; u < USERS; u++)
        for (uint32_t i = 0; i < EACH; i++)
            add(&log, u, i, 0);
    for (uint64_t seed = 1; seed <= 3; seed++) { /* 1, 2, and 1 again after 2 */
        eval_sort(&log, USERS, ORDER_MIXED, seed == 3 ? 1 : seed);
        memset(next, 0, sizeof(next));
        for (size_t i = 0; i < log.len; i++) {
            assert_int_equal(log.events[i].item, next[log.events[i].user]++);
            neighbours += i && log.events[i].user == log.events[i - 1].user;
            if (seed == 1)
                first[i] = log.events[i].user;
            else if (seed == 2)
                same += first[i] == log.events[i].user;
            else
                assert_int_equal(first[i], log.events[i].user);
        }
    }
    assert_in_range(same, 5, 80);        /* 30 expected by chance */
    assert_in_range(neighbours, 30, 180); /* 87 */
    eval_log_release(&log);
}

/* Each pass in its own order, the seed's and not that of the log's last sorting; all events, once, without what tells repeats. */
static void passes_are_mixed_by_seed_and_number(void **state)
{
    enum { EVENTS = 200 };
    struct eval_log log = {0};
    uint32_t seen[EVENTS] = {0}, same = 0;

    (void)state;
    for (uint32_t i = 0; i < EVENTS; i++) {
        add(&log, i % 7, i, 1000 - i);
        log.events[i].repeat_low = i + 1;
    }
    struct eval_event *one = eval_pass(&log, 1, 1), *again = eval_pass(&log, 1, 1), *two = eval_pass(&log, 1, 2), *other = eval_pass(&log, 2, 1);
    for (uint32_t i = 0; i < EVENTS; i++) {
        seen[one[i].item]++;
        assert_int_equal(one[i].repeat_low, 0);
        assert_int_equal(one[i].item, again[i].item);
        same += (one[i].item == two[i].item) + (one[i].item == other[i].item) + (one[i].item == i);
    }
    for (uint32_t i = 0; i < EVENTS; i++)
        assert_int_equal(seen[i], 1);
    assert_true(same < 20);
    free(one);
    free(again);
    free(two);
    free(other);
    eval_log_release(&log);
}

static void who_has_what(void **state)
{
    static const bool first[] = {true, true, false, true, true, false};
    struct eval_log log = {0};
    struct eval_seen seen;

    (void)state;
    add(&log, 2, 5, 0);
    add(&log, 0, 5, 0);
    add(&log, 2, 5, 0);
    add(&log, 2, 1, 0);
    add(&log, 0, 0, 0);
    add(&log, 0, 5, 0);
    eval_seen_init(&seen, &log, 4);
    assert_memory_equal(seen.first, first, sizeof(first));
    assert_int_equal(seen.begin[1] - seen.begin[0], 2);
    assert_int_equal(seen.begin[2] - seen.begin[1], 0);
    assert_int_equal(seen.begin[4], 4);
    assert_true(eval_seen_has(&seen, 2, 1));
    assert_true(eval_seen_has(&seen, 2, 5));
    assert_false(eval_seen_has(&seen, 2, 0));
    assert_false(eval_seen_has(&seen, 1, 5));
    assert_false(eval_seen_has(&seen, 3, 5));
    eval_seen_release(&seen);
    eval_log_release(&log);
}

static void names_are_numbered_as_they_come(void **state)
{
    struct names names = {0};
    char id[16];

    (void)state;
    assert_int_equal(names_find(&names, FR_BYTES("0")), NAME_NONE);
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(id, sizeof(id), "%u", i);
        assert_int_equal(names_put(&names, fr_bytes_of(id)), i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(id, sizeof(id), "%u", i);
        assert_int_equal(names_put(&names, fr_bytes_of(id)), i);
        assert_int_equal(names_find(&names, fr_bytes_of(id)), i);
    }
    assert_int_equal(names_find(&names, FR_BYTES("5000")), NAME_NONE);
    names_release(&names);
}

static void ranges_are_kept(void **state)
{
    struct dimension whole, ratio, real, choice, bad;
    size_t low = 0, high = 0, small = 0, seen[3] = {0};
    char room[200];

    (void)state;
    assert_true(dimension_read(&whole, "sar.window=3..7"));
    assert_true(dimension_read(&ratio, "fm.eta=0.01..1"));
    assert_true(dimension_read(&real, "sar.recency=.5..1.0"));
    assert_true(dimension_read(&choice, "sar.similarity=jaccard|cosine|lift"));
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t random = eval_random(1, 2, i);
        dimension_pick(&whole, random, room, sizeof(room));
        assert_memory_equal(room, "sar.window=", 11);
        assert_int_equal(room[12], 0);
        assert_in_range(room[11], '3', '7');
        low += room[11] == '3';
        high += room[11] == '7';
        dimension_pick(&ratio, random, room, sizeof(room));
        double eta = strtod(room + 7, NULL);
        assert_true(eta >= 0.01 && eta <= 1);
        small += eta < 0.1;
        dimension_pick(&real, random, room, sizeof(room));
        assert_true(strtod(room + 12, NULL) >= .5 && strtod(room + 12, NULL) <= 1);
        dimension_pick(&choice, random, room, sizeof(room));
        seen[0] += !strcmp(room, "sar.similarity=jaccard");
        seen[1] += !strcmp(room, "sar.similarity=cosine");
        seen[2] += !strcmp(room, "sar.similarity=lift");
    }
    assert_in_range(low, 500, 700); /* 600 expected */
    assert_in_range(high, 500, 700);
    assert_in_range(small, 1380, 1620); /* half: each ratio as likely */
    for (int i = 0; i < 3; i++)
        assert_in_range(seen[i], 890, 1110);
    assert_int_equal(seen[0] + seen[1] + seen[2], 3000);
    assert_false(dimension_read(&bad, "sar.window=7..3"));
    assert_false(dimension_read(&bad, "window=3..7"));
    assert_false(dimension_read(&bad, "sar.window=3..x"));
    assert_false(dimension_read(&bad, "sar.window="));
}

/* However the ends are written: 1e-3 has no point, and 2 is a number like any other. */
static void whole_is_what_the_key_is(void **state)
{
    static const struct {
        const char *text;
        bool whole;
    } cases[] = {
        {"fm.eta=1e-3..1e-1", false}, {"fm.shrink=1e-4..1e-2", false}, {"fm.shrink=0..1", false},    {"weights.purchase=1..3", false},
        {"sar.window=3..7", true},    {"sar.window=1e1..1e3", true},   {"sar.window=3.0..7.0", true}, {"feed.dedup_window_ms=0..9", true},
    };
    struct dimension dimension;
    char room[200];

    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        size_t others = 0;
        assert_true(dimension_read(&dimension, cases[c].text));
        for (uint64_t i = 0; i < 100; i++) {
            dimension_pick(&dimension, eval_random(1, 2, i), room, sizeof(room));
            double value = strtod(strchr(room, '=') + 1, NULL);
            assert_true(value >= dimension.low && value <= dimension.high);
            others += value != floor(value);
        }
        if (cases[c].whole ? others > 0 : others < 90)
            fail_msg("%s: %zu of 100 were no whole numbers", cases[c].text, others);
    }
    assert_false(dimension_read(&dimension, "sar.window=2.5..7"));
    assert_false(dimension_read(&dimension, "sar.window=2..7.5"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_between_equals_is_the_middle),
        cmocka_unit_test(the_benchmarks_metrics_by_hand),
        cmocka_unit_test(errors_by_hand),
        cmocka_unit_test(ratings_by_hand),
        cmocka_unit_test(labels_by_hand),
        cmocka_unit_test(passes_are_mixed_by_seed_and_number),
        cmocka_unit_test(time_order_keeps_the_files_for_equal_times),
        cmocka_unit_test(mixed_keeps_each_users_order_and_goes_by_the_seed),
        cmocka_unit_test(who_has_what),
        cmocka_unit_test(names_are_numbered_as_they_come),
        cmocka_unit_test(ranges_are_kept),
        cmocka_unit_test(whole_is_what_the_key_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
