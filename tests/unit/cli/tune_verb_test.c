/*
 * tune_verb_test.c -- freshet tune as a program.
 */
#include "eval_calls.h"

#include <sys/stat.h>

/*
 * Everybody goes round five items, each to the next one. sar.score_last = 1 looks at the newest item alone and is told where that leads;
 * the present configuration looks at all alike. What is found must be that, and a configuration file.
 */
static void tune_finds_what_is_better(void **state)
{
    enum { USERS = 40, ITEMS = 30, LENGTH = 12 };
    static char text[USERS * LENGTH * 32], said[65536];
    char *path, *found = file_of(""), call[600], *at = text;

    (void)state;
    for (int step = 0; step < LENGTH; step++)
        for (int u = 0; u < USERS; u++)
            at += sprintf(at, "%d\t%d\t1\t%d\n", u, (u * 7 + step) % ITEMS, step * USERS + u);
    path = file_of(text);
    snprintf(call, sizeof(call),
             "%s -f movielens --set sar.recency=1 --set sar.window=2 --set sar.score_last=12 --vary 'sar.score_last=1|12' --trials 8 --figure hit_rate@1 -k 1 "
             "--write %s --output json 2>&-", path, found); /* the file is the next to be opened, and must not be stderr */
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 0);
    json_t *document = json_loads(said, 0, NULL);
    assert_non_null(document);
    assert_string_equal(json_string_value(json_object_get(json_object_get(document, "settings"), "sar.score_last")), "1");
    assert_true(json_number_value(json_object_get(document, "after")) > json_number_value(json_object_get(document, "before")) + 0.1);
    json_decref(document);
    /* The file is a configuration, and holds all that the choice rests on: what --set said too, but for what the trials vary. */
    snprintf(call, sizeof(call), "%s -f movielens -k 1 --config %s", path, found);
    document = eval(call);
    double tuned = json_number_value(json_object_get(
        json_object_get(json_object_get(json_object_get(document, "models"), "sar"), "hit_rate@1"), "value"));
    json_decref(document);
    snprintf(call, sizeof(call), "%s -f movielens -k 1 --set sar.score_last=1 --set sar.recency=1 --set sar.window=2", path);
    document = eval(call);
    expect(document, "sar", "hit_rate@1", tuned, USERS * LENGTH);
    json_decref(document);
    FILE *file = fopen(found, "r");
    said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
    fclose(file);
    assert_non_null(strstr(said, "# To be put into the daemon's configuration"));
    assert_non_null(strstr(said, "\n[sar]\nrecency = 1\nscore_last = 1\nwindow = 2\n"));
    assert_int_equal(run_verb("tune", "/dev/null --vary window=1..2 2>/dev/null", said, sizeof(said)), 2);
    assert_int_equal(run_verb("tune", "/dev/null --trials 1 2>/dev/null", said, sizeof(said)), 2);
    assert_int_equal(run_verb("tune", "/dev/null --model popular 2>/dev/null", said, sizeof(said)), 2);
    assert_int_equal(run_verb("tune", "/nowhere 2>/dev/null", said, sizeof(said)), 1);
    file_gone(path);
    file_gone(found);
}

/* Of a quarter of so few nothing is left to rank; it must not be taken from the later part. */
static void tune_refuses_a_file_too_small(void **state)
{
    char *path = file_of("a\tx\t5\t1\nb\tx\t5\t2\na\ty\t5\t3\nb\ty\t5\t4\nc\tx\t5\t5\n"), call[300], said[4096];

    (void)state;
    snprintf(call, sizeof(call), "%s -f movielens -k 1 --figure ndcg@1 --trials 2 2>&1 >/dev/null", path);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 1);
    assert_non_null(strstr(said, "has 5 events"));
    assert_null(strstr(said, "round 1 of 3, 1 of 2"));
    file_gone(path);
}

static void tune_goes_by_a_figure_there_is(void **state)
{
    static const char *const none[] = {"--figure ndcg@10 -k 20", "--figure new_items", "--figure rmse", "--figure speed"};
    enum { LINES = 40 };
    char text[LINES * 16] = "", said[4096], call[300], *at = text, *path;

    (void)state;
    for (int i = 0; i < LINES; i++)
        at += sprintf(at, "%d\t%d\t5\t%d\n", i % 7, i % 11, i);
    path = file_of(text);
    snprintf(call, sizeof(call), "%s -f movielens --trials 2 -k 20 -o json 2>/dev/null", path);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 0);
    assert_non_null(strstr(said, "\"ndcg@20\""));
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
        snprintf(call, sizeof(call), "%s -f movielens --trials 2 %s 2>&1 >/dev/null", path, none[i]);
        assert_int_equal(run_verb("tune", call, said, sizeof(said)), 2);
        assert_null(strstr(said, "round 1"));
    }
    file_gone(path);
}

/* Some multiples of eight, and most are none. The file is not even opened. */
static void tune_knows_a_bad_trial_at_once(void **state)
{
    char said[4096];

    (void)state;
    assert_int_equal(run_verb("tune", "/nowhere --model fm --vary fm.dimensions=20..60 2>&1 >/dev/null", said, sizeof(said)), 2);
    assert_non_null(strstr(said, "fm.dimensions"));
    assert_non_null(strstr(said, "--vary"));
    assert_null(strstr(said, "/nowhere"));
}

static double number_of(const char *call, const char *name)
{
    static char said[65536];
    char whole[4096];

    snprintf(whole, sizeof(whole), "%s --figure hit_rate@3 -k 3 --trials 2 --output json 2>/dev/null", call);
    assert_int_equal(run_verb("tune", whole, said, sizeof(said)), 0);
    json_t *document = json_loads(said, 0, NULL);
    double value = json_number_value(json_object_get(document, name));
    json_decref(document);
    return value;
}

/*
 * Everybody looks at anything and wishes for what is of their own quarter of the items; a wish is a type of no weight of its own, with a
 * value. To be told by what is wished for is better, and a trial that gives it weight finds what that configuration has.
 */
static void weights_are_what_a_trial_says(void **state)
{
    enum { EVENTS = 2000, USERS = 40, QUARTER = 12 };
    static const char *const trials[] = {"weights.wish=400", "weights.use_value=wish"};
    static char text[EVENTS * 100];
    char *path, *at = text, call[600];
    uint32_t random = 1;

    (void)state;
    for (int i = 0; i < EVENTS; i++) {
        uint32_t draw[3];
        for (int d = 0; d < 3; d++)
            draw[d] = (random = random * 1664525 + 1013904223) >> 8;
        uint32_t user = draw[0] % USERS;
        bool wish = draw[1] % 2;
        uint32_t item = wish ? user % 4 * QUARTER + draw[2] % QUARTER : draw[2] % (4 * QUARTER);
        at += sprintf(at, "{\"userId\":\"u%u\",\"itemId\":\"i%u\",\"type\":\"%s\",\"value\":%d,\"timeMs\":%d}\n", user, item,
                      wish ? "wish" : "click", wish ? 300 : 1, 1000 + i);
    }
    path = file_of(text);
    for (size_t t = 0; t < sizeof(trials) / sizeof(*trials); t++) {
        const char *known = t == 1 ? "--set weights.wish=1" : "";
        snprintf(call, sizeof(call), "%s %s --vary %s", path, known, trials[t]);
        double before = number_of(call, "before"), after = number_of(call, "after");
        snprintf(call, sizeof(call), "%s %s --set %s --vary sar.window=10", path, known, trials[t]);
        assert_true(after > before);
        assert_true(after == number_of(call, "before"));
    }
    file_gone(path);
}

/*
 * Everybody buys round thirty items, each the one next to the last, and in between clicks round thirty others, now and then anywhere. Purchases
 * are easy to tell and clicks are not: who gives clicks no weight and is judged by purchases alone looks better and knows less.
 */
static void a_trial_does_not_choose_its_judges(void **state)
{
    enum { USERS = 40, ITEMS = 30, LENGTH = 40 };
    static char text[USERS * LENGTH * 100];
    char *path, *at = text, call[600];
    uint32_t random = 1;

    (void)state;
    for (int step = 0; step < LENGTH; step++)
        for (int user = 0; user < USERS; user++) {
            bool click = step % 2;
            int place = user * 7 + step / 2;
            random = random * 1664525 + 1013904223;
            if (click && random >> 31)
                place = (int)(random >> 8);
            at += sprintf(at, "{\"userId\":\"u%d\",\"itemId\":\"%c%d\",\"type\":\"%s\",\"timeMs\":%d}\n", user, click ? 'c' : 'p',
                          place % ITEMS, click ? "click" : "purchase", 1000 + step * USERS + user);
        }
    path = file_of(text);
    snprintf(call, sizeof(call), "%s --vary weights.click=-2", path);
    double before = number_of(call, "before"), after = number_of(call, "after");
    snprintf(call, sizeof(call), "%s --set weights.click=-2 --vary sar.window=10", path);
    assert_true(number_of(call, "before") > before + 0.1); /* by purchases alone */
    assert_true(after == before);                          /* the configuration as it is was better */
    file_gone(path);
}

/* Of 40 events one has the value 50,000: times 100 that is more than an event may weigh. No replay begins. */
static void what_weighs_too_much_is_no_trial(void **state)
{
    enum { LINES = 40 };
    char text[LINES * 20] = "", said[4096], call[300], *at = text, *path;

    (void)state;
    for (int i = 0; i < LINES; i++)
        at += sprintf(at, "%d\t%d\t%d\t%d\n", i % 7, i % 11, i == 33 ? 50000 : 5, i);
    path = file_of(text);
    snprintf(call, sizeof(call), "%s -f movielens --trials 2 --vary weights.rating=100 2>&1 >/dev/null", path);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 2);
    assert_non_null(strstr(said, "trial 1"));
    assert_non_null(strstr(said, "weigh more than a million"));
    assert_null(strstr(said, "round 1"));
    snprintf(call, sizeof(call), "%s -f movielens --trials 2 --vary weights.rating=20 2>/dev/null", path);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 0);
    file_gone(path);
}

/* Everybody goes round, each to the next item, but now and then to any, in movielens' form. */
static char *some_events(void)
{
    enum { USERS = 40, ITEMS = 30, LENGTH = 12 };
    static char text[USERS * LENGTH * 24];
    char *at = text;
    uint32_t random = 1;

    for (uint32_t i = 0; i < USERS * LENGTH; i++) {
        random = random * 1664525 + 1013904223;
        at += sprintf(at, "%u\t%u\t5\t%u\n", i % USERS, (random >> 30 ? i % USERS * 7 + i / USERS : random >> 8) % ITEMS, i);
    }
    return file_of(text);
}

static void expect_in(const char *path, const char *text)
{
    char held[4096];
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    held[fread(held, 1, sizeof(held) - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(held, text);
}

/* What is written is a part of a configuration, so it must not take the place of the whole: not under another name of it either. */
static void tune_never_writes_over_what_it_reads(void **state)
{
    static const char text[] = "[sar]\nwindow = 2\nrecency = 1\n";
    char *events = some_events(), *config = file_of(text), hard[80], soft[80], call[600], said[4096];
    const char *const names[] = {config, hard, soft};

    (void)state;
    snprintf(hard, sizeof(hard), "%s-hard", config);
    snprintf(soft, sizeof(soft), "%s-soft", config);
    assert_int_equal(link(config, hard), 0);
    assert_int_equal(symlink(config, soft), 0);
    for (size_t i = 0; i < 3; i++) {
        snprintf(call, sizeof(call), "%s -f movielens --trials 2 -k 3 --config %s --write %s 2>&1 >/dev/null", events, config, names[i]);
        assert_int_equal(run_verb("tune", call, said, sizeof(said)), 2);
        assert_non_null(strstr(said, "--config's file"));
        assert_null(strstr(said, "round 1"));
        expect_in(config, text);
    }
    snprintf(call, sizeof(call), "%s -f movielens --trials 2 -k 3 --write %s 2>&1 >/dev/null", events, events);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 2);
    assert_non_null(strstr(said, "file of events"));
    unlink(hard);
    unlink(soft);
    file_gone(config);
    file_gone(events);
}

/* A pipe can be read once: with all trials by what came from it, the figures are those of the same values said by --set. */
static void every_trial_has_the_configuration_as_it_was_read(void **state)
{
    static const char sets[] = "--set sar.window=2 --set sar.recency=1 --set sar.score_last=50 --vary sar.threshold=1";
    char *events = some_events(), call[700], said[8192];

    (void)state;
    snprintf(call, sizeof(call), "%s -f movielens %s", events, sets);
    double before = number_of(call, "before"), after = number_of(call, "after");
    snprintf(call, sizeof(call), "%s -f movielens --vary sar.threshold=1", events);
    assert_true(number_of(call, "before") != before); /* so they are not those of the defaults */
    snprintf(call, sizeof(call),
             "printf '[sar]\\nwindow = 2\\nrecency = 1\\nscore_last = 50\\n' | '%s' tune %s -f movielens --vary sar.threshold=1 "
             "--config /dev/stdin --figure hit_rate@3 -k 3 --trials 2 --output json 2>/dev/null", FRESHET, events);
    FILE *pipe = popen(call, "r");
    assert_non_null(pipe);
    said[fread(said, 1, sizeof(said) - 1, pipe)] = '\0';
    assert_int_equal(pclose(pipe), 0);
    json_t *document = json_loads(said, 0, NULL);
    assert_non_null(document);
    assert_true(json_number_value(json_object_get(document, "before")) == before);
    assert_true(json_number_value(json_object_get(document, "after")) == after);
    json_decref(document);
    file_gone(events);
}

/* Before the first trial where that can be known; later the result is at least said. */
static void tune_knows_where_it_cannot_write(void **state)
{
    static const char *const places[] = {"/nowhere/there", "/tmp", "/tmp/freshet-none/", "''"};
    char *events = some_events(), call[600], said[8192];

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        snprintf(call, sizeof(call), "%s -f movielens --trials 2 -k 3 --write %s 2>&1", events, places[i]);
        assert_int_equal(run_verb("tune", call, said, sizeof(said)), 1);
        assert_non_null(strstr(said, "cannot write"));
        assert_non_null(strstr(said, "irectory"));
        assert_null(strstr(said, "round 1"));
    }
    snprintf(call, sizeof(call), "%s -f movielens --trials 2 -k 3 --write /dev/full 2>/dev/null", events);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 1);
    assert_non_null(strstr(said, "# freshet tune "));
    snprintf(call, sizeof(call), "%s -f movielens --trials 2 -k 3 --write /dev/full 2>&1 >/dev/null", events);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 1);
    assert_non_null(strstr(said, "cannot write '/dev/full': No space left"));
    char *new = file_of("");
    unlink(new);
    snprintf(call, sizeof(call), "%s -f movielens --trials 2 -k 3 --write %s 2>&1 >/dev/full", events, new);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 1);
    assert_non_null(strstr(said, "cannot write the output: No space left")); /* and not what came in its way later */
    file_gone(new);
    file_gone(events);
}

/* The file keeps its mode, a link stays a link, and what was found is there as it was said. */
static void what_was_found_takes_the_old_files_place(void **state)
{
    char *events = some_events(), *found = file_of("old\n"), soft[80], call[600], said[8192], room[200];
    struct stat facts;

    (void)state;
    snprintf(soft, sizeof(soft), "%s-soft", found);
    assert_int_equal(symlink(found, soft), 0);
    assert_int_equal(chmod(found, 0640), 0);
    snprintf(call, sizeof(call), "%s -f movielens --trials 2 -k 3 --write %s 2>/dev/null", events, soft);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 0);
    expect_in(found, said);
    assert_int_equal(stat(found, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0640);
    assert_int_equal(readlink(soft, room, sizeof(room)), strlen(found));
    snprintf(call, sizeof(call), "ls %s.new-* 2>/dev/null", found); /* nothing is left beside it */
    FILE *pipe = popen(call, "r");
    assert_int_equal(fread(room, 1, sizeof(room), pipe), 0);
    pclose(pipe);
    unlink(soft);
    file_gone(found);
    file_gone(events);
}

/* In a name there may be the end of a line, behind which the comment would be a setting, and what a terminal obeys. */
static void the_name_of_a_file_is_shown_and_not_obeyed(void **state)
{
    char *events = some_events(), odd[80], call[600], said[8192];

    (void)state;
    snprintf(odd, sizeof(odd), "%s\n\033[1m", events);
    assert_int_equal(rename(events, odd), 0);
    snprintf(call, sizeof(call), "'%s' -f movielens --trials 2 -k 3 2>/dev/null", odd);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 0);
    assert_non_null(strstr(said, "\\x0A\\x1B[1m, ndcg@3 of sar on the later part"));
    snprintf(call, sizeof(call), "'%s' -f movielens -k 3 2>/dev/null", odd);
    assert_int_equal(run_verb("eval", call, said, sizeof(said)), 0);
    assert_non_null(strstr(said, "\\x0A\\x1B[1m: "));
    unlink(odd);
    free(events);
}

/* In rounds the trials have seen less of the file, so the two last replays say most: those that decide. */
static void tune_tells_what_was_refused(void **state)
{
    char *events = some_events(), call[600], said[8192];

    (void)state;
    snprintf(call, sizeof(call), "%s -f movielens --set engine.users_max=30", events);
    assert_int_equal((int)number_of(call, "refused"), 10 * 12);
    snprintf(call, sizeof(call), "%s -f movielens --set engine.users_max=30 --trials 2 2>&1", events);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 0);
    const char *warning = strstr(said, "freshet: the engine refuses");
    assert_non_null(warning);
    assert_null(strstr(warning + 1, "freshet: the engine refuses")); /* once, not for each trial */
    assert_non_null(strstr(said, "# 120 events were refused"));
    assert_non_null(strstr(said, "engine.users_max"));
    file_gone(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tune_finds_what_is_better),
        cmocka_unit_test(tune_refuses_a_file_too_small),
        cmocka_unit_test(tune_goes_by_a_figure_there_is),
        cmocka_unit_test(tune_knows_a_bad_trial_at_once),
        cmocka_unit_test(weights_are_what_a_trial_says),
        cmocka_unit_test(a_trial_does_not_choose_its_judges),
        cmocka_unit_test(what_weighs_too_much_is_no_trial),
        cmocka_unit_test(tune_never_writes_over_what_it_reads),
        cmocka_unit_test(every_trial_has_the_configuration_as_it_was_read),
        cmocka_unit_test(tune_knows_where_it_cannot_write),
        cmocka_unit_test(what_was_found_takes_the_old_files_place),
        cmocka_unit_test(the_name_of_a_file_is_shown_and_not_obeyed),
        cmocka_unit_test(tune_tells_what_was_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
