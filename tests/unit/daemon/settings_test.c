/*
 * settings_test.c -- the configuration for who runs the engine outside the daemon.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "freshet/settings.h"

/* As in the daemon's feed, where what must not be applied is a dead letter. */
static void outside_the_daemon_events_weigh_the_same(void **state)
{
    static const struct {
        const char *type;
        bool has_value, applied;
        double value, weight;
    } cases[] = {
        {"rating", true, true, 4.5, 4.5},   {"rating", false, true, 7, 1},  {"purchase", true, true, 4.5, 4},
        {"owl", true, true, 4.5, 1},        {"owl", false, true, NAN, 1},   {"rating", true, true, -1e6, -1e6},
        {"rating", true, false, 1.1e6, 0},  {"rating", true, false, NAN, 0}, {"purchase", true, false, INFINITY, 0},
        {"owl", true, false, NAN, 0},
    };
    char *problems;
    struct settings *settings = settings_new(NULL, NULL, 0, NULL, &problems);

    (void)state;
    assert_non_null(settings);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double weight;
        uint32_t type;
        bool applied = settings_weigh(settings, fr_bytes_of(cases[i].type), cases[i].has_value, cases[i].value, &weight, &type);
        if (applied != cases[i].applied || (applied && (weight != cases[i].weight)))
            fail_msg("case %zu: %d %g", i, applied, weight);
    }
    settings_free(settings);
}

/* However long somebody works with a configuration, and whatever becomes of its file meanwhile. */
static void again_is_of_the_file_as_it_was(void **state)
{
    static const char *const four[] = {"sar.window=4"};
    char path[] = "/tmp/freshet-settings-XXXXXX", *problems;
    int file = mkstemp(path);
    struct engine_options options;

    (void)state;
    assert_int_equal(write(file, "[sar]\nwindow = 3\nscore_last = 7\n", 32), 32);
    struct settings *settings = settings_new(path, NULL, 0, "fm", &problems);
    assert_non_null(settings);
    assert_int_equal(ftruncate(file, 0), 0);
    close(file);
    unlink(path);
    struct settings *again = settings_again(settings, four, 1, &problems), *same = settings_again(settings, NULL, 0, &problems);
    settings_free(settings);
    assert_non_null(again);
    settings_engine(again, &options);
    assert_int_equal(options.sar.window, 4);
    assert_int_equal(options.sar.score_last, 7);
    assert_int_equal(options.models_len, 1);
    assert_string_equal(options.models[0].name, "fm");
    assert_non_null(same);
    settings_engine(same, &options);
    assert_int_equal(options.sar.window, 3);
    settings_free(again);
    settings_free(same);
}

static char *problems_of(const char *const *sets, size_t sets_len, const char *models, char room[static 64])
{
    char *problems;
    struct settings *settings = settings_new(NULL, sets, sets_len, models, &problems);
    struct engine_options options;

    room[0] = '\0';
    if (settings) {
        settings_engine(settings, &options);
        snprintf(room, 64, "%s", options.default_model);
    }
    settings_free(settings);
    return problems;
}

/* A daemon's configuration may say who answers; that one need not be among those that are evaluated. What is wrong in the daemon is here. */
static void who_answers_need_not_run(void **state)
{
    static const char *const automatic[] = {"recommend.default_model=auto"}, *const fm[] = {"recommend.default_model=fm"},
                            *const none[] = {"recommend.models=sar,ease", "recommend.default_model=fm"};
    static const struct {
        const char *const *sets;
        size_t sets_len;
        const char *models, *answers;
    } cases[] = {
        {automatic, 1, "sar,fm,popular", "sar"}, {automatic, 1, "auto", "auto"}, {fm, 1, "ease", "sar"}, {fm, 1, "sar,fm", "fm"},
        {fm, 1, "auto", "fm"}, {automatic, 1, NULL, "auto"}, {none, 2, "ease", ""}, {none, 2, NULL, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char answers[64], *problems = problems_of(cases[i].sets, cases[i].sets_len, cases[i].models, answers);
        if (strcmp(answers, cases[i].answers) != 0)
            fail_msg("case %zu: '%s' %s", i, answers, problems ? problems : "");
        free(problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outside_the_daemon_events_weigh_the_same),
        cmocka_unit_test(again_is_of_the_file_as_it_was),
        cmocka_unit_test(who_answers_need_not_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
