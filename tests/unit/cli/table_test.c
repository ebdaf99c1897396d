/*
 * table_test.c -- what people and programs see of an answer.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ask.h"

int cli_fail(const char *format, ...)
{
    (void)format;
    return CLI_FAILED;
}

bool cli_terminal(FILE *file)
{
    (void)file;
    return false;
}

/* What comes out on stdout between show_begin and show_end. */
struct shown {
    char text[512];
    int kept, file;
};

static void show_begin(struct shown *shown)
{
    char path[] = "/tmp/freshet-table-XXXXXX";

    *shown = (struct shown){.kept = dup(STDOUT_FILENO), .file = mkstemp(path)};
    fflush(stdout);
    assert_true(shown->file >= 0 && dup2(shown->file, STDOUT_FILENO) >= 0);
    unlink(path);
}

static void show_end(struct shown *shown)
{
    fflush(stdout);
    assert_true(dup2(shown->kept, STDOUT_FILENO) >= 0);
    assert_true(pread(shown->file, shown->text, sizeof(shown->text) - 1, 0) > 0);
    close(shown->kept);
    close(shown->file);
}

static void width_counts_characters(void **state)
{
    (void)state;
    assert_int_equal(table_width("na\xC3\xAFve"), 5);
    assert_int_equal(table_width(""), 0);
}

static void json_is_that_of_proto3(void **state)
{
    Freshet__V1__AsOf as_of = FRESHET__V1__AS_OF__INIT;
    Freshet__V1__Recommendation item = FRESHET__V1__RECOMMENDATION__INIT, *items[] = {&item};
    Freshet__V1__RecommendResponse answer = FRESHET__V1__RECOMMEND_RESPONSE__INIT;

    (void)state;
    as_of.event_time_ms = 9007199254740993; /* more than a double holds: a string */
    item.item_id = data_of("a\"b");
    item.score = 0.5;
    answer.n_items = 1;
    answer.items = items;
    answer.fallback = true;
    answer.as_of = &as_of;
    char *text = json_text(&answer.base);
    assert_string_equal(text, "{\"items\":[{\"itemId\":\"a\\\"b\",\"score\":0.5}],\"fallback\":true,"
                              "\"asOf\":{\"eventTimeMs\":\"9007199254740993\"}}");
    free(text);
}

static void several_messages_are_one_json_document(void **state)
{
    Freshet__V1__Neighbour near = FRESHET__V1__NEIGHBOUR__INIT, far = FRESHET__V1__NEIGHBOUR__INIT;

    (void)state;
    near.id = data_of("near");
    far.id = data_of("far");
    char *text = json_text_all((const ProtobufCMessage *const[]){&near.base, &far.base}, 2);
    assert_string_equal(text, "[{\"id\":\"near\"},{\"id\":\"far\"}]");
    free(text);
}

/* It is the same text to who reads it as JSON. */
static void json_holds_nothing_that_a_terminal_obeys(void **state)
{
    Freshet__V1__Neighbour near = FRESHET__V1__NEIGHBOUR__INIT;

    (void)state;
    near.id = data_of("a\033[2J\xC2\x9B" "2J\x7F\xC2\xA0\xC3\x9B\\");
    char *text = json_text(&near.base), *id = json_text_id(bytes_of(near.id));
    assert_string_equal(text, "{\"id\":\"a\\u001B[2J\\u009B2J\\u007F\xC2\xA0\xC3\x9B\\\\\"}");
    assert_string_equal(id, "\"a\\u001B[2J\\u009B2J\\u007F\xC2\xA0\xC3\x9B\\\\\"");
    free(text);
    free(id);
    assert_string_equal(id = json_text_id(FR_BYTES("\xC3")), "null");
    free(id);
}

/* An id may hold any character; it must not move the cursor, nor colour the terminal of whoever looks at it. */
static void control_characters_are_shown_and_not_obeyed(void **state)
{
    static const char *const names[] = {"item"};
    static const int align[] = {TABLE_LEFT};
    struct table *table = table_new(1, names, align);
    struct shown shown;

    (void)state;
    table_add(table, (const char *const[]){"a\x1B[2Jb\r\n\x7F"});
    table_add(table, (const char *const[]){"\xC2\x9B" "1m na\xC3\xAFve \xC2\xA0"});
    show_begin(&shown);
    table_print(table);
    show_end(&shown);
    assert_string_equal(shown.text, "item\na\\x1B[2Jb\\x0D\\x0A\\x7F\n\\x9B" "1m na\xC3\xAFve \xC2\xA0\n");
    table_free(table);
}

static void scores_that_are_times_look_like_times(void **state)
{
    Freshet__V1__Recommendation first = FRESHET__V1__RECOMMENDATION__INIT, second = FRESHET__V1__RECOMMENDATION__INIT;
    struct shown shown;

    (void)state;
    first.item_id = data_of("pear");
    first.score = 1297941234567;
    second.item_id = data_of("plum");
    second.score = 1297941234566;
    first.source = second.source = "newest";
    show_begin(&shown);
    ask_show_items((Freshet__V1__Recommendation *const[]){&first, &second}, 2, NULL, ASK_TIMES);
    show_end(&shown);
    assert_string_equal(shown.text, "rank  item  came                      source\n"
                                    "   1  pear  2011-02-17T11:13:54.567Z  newest\n"
                                    "   2  plum  2011-02-17T11:13:54.566Z  newest\n");
    show_begin(&shown);
    ask_show_items((Freshet__V1__Recommendation *const[]){&first}, 1, NULL, ASK_SCORES);
    show_end(&shown);
    assert_string_equal(shown.text, "rank  item          score  source\n"
                                    "   1  pear  1297941234567  newest\n");
}

static void expect_numbers(size_t len, const double *values, bool sign, const char *const *expected)
{
    char (*cells)[TABLE_NUMBER] = table_numbers(values, len, sign);

    for (size_t i = 0; i < len; i++)
        assert_string_equal(cells[i], expected[i]);
    free(cells);
}
#define EXPECT_NUMBERS(sign, values, ...)                                                                              \
    expect_numbers(sizeof((double[])values) / sizeof(double), (const double[])values, sign, (const char *const[]){__VA_ARGS__})
#define OF(...) {__VA_ARGS__}

static void points_stand_under_each_other(void **state)
{
    (void)state;
    EXPECT_NUMBERS(false, OF(4.24511, 3.6003, 0.0123456), "4.24511", "3.60030", "0.01235");
    EXPECT_NUMBERS(true, OF(1.5, -0.25, 0), "+1.50", "-0.25", "+0.00");
    EXPECT_NUMBERS(false, OF(12, 7, 0), "12", "7", "0"); /* counts */
    EXPECT_NUMBERS(false, OF(0.5, INFINITY, NAN), "0.5", "inf", "nan");
    EXPECT_NUMBERS(false, OF(999999.5, 1.25), "1000000", "1");
    EXPECT_NUMBERS(false, OF(99999.96, 1.25), "100000", "1");
    EXPECT_NUMBERS(false, OF(0.00012345678, 0.0001), "0.000123457", "0.000100000");
    EXPECT_NUMBERS(false, OF(0.000012345678, 0.000001), "1.23457e-05", "1.00000e-06");
    EXPECT_NUMBERS(true, OF(1.5e15, -3), "+1.50000e+15", "-3.00000e+00");
    EXPECT_NUMBERS(false, OF(-123456789012345.0), "-123456789012345");
    EXPECT_NUMBERS(false, OF(0), "0");
    free(table_numbers(NULL, 0, false));
}

static void options_are_read_in_every_spelling(void **state)
{
    static const struct usage usage = {"verb", "", "", ""};
    uint64_t k = 0;
    uint32_t small = 0;
    const char *name = NULL;
    bool flag = false;
    struct texts rest = {0};
    const struct option_row rows[] = {{"k", 'k', OPTION_COUNT, &k, "N", ""},
                                      {"name", 'n', OPTION_TEXT, &name, "NAME", ""},
                                      {"flag", 0, OPTION_FLAG, &flag, NULL, ""},
                                      {"small", 's', OPTION_COUNT32, &small, "N", ""},
                                      {0}};
    char *good[] = {"verb", "-k5", "--name=x", "--flag", "one", "-s4294967295", "--", "--two"};
    char *unknown[] = {"verb", "--nome", "x"}, *number[] = {"verb", "-k", "five"}, *missing[] = {"verb", "-n"};
    char *beyond[] = {"verb", "-s4294967296"}, *negative[] = {"verb", "-s-1"};

    (void)state;
    assert_int_equal(options_read(&usage, rows, 8, good, &rest), -1);
    assert_int_equal(k, 5);
    assert_int_equal(small, UINT32_MAX);
    assert_string_equal(name, "x");
    assert_true(flag);
    assert_int_equal(rest.len, 2);
    assert_string_equal(rest.at[1], "--two");
    assert_int_equal(options_read(&usage, rows, 3, unknown, &rest), CLI_USAGE);
    assert_int_equal(options_read(&usage, rows, 3, number, &rest), CLI_USAGE);
    assert_int_equal(options_read(&usage, rows, 2, missing, &rest), CLI_USAGE);
    assert_int_equal(options_read(&usage, rows, 2, beyond, &rest), CLI_USAGE);
    assert_int_equal(options_read(&usage, rows, 2, negative, &rest), CLI_USAGE);
    assert_int_equal(small, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(width_counts_characters),
        cmocka_unit_test(json_is_that_of_proto3),
        cmocka_unit_test(several_messages_are_one_json_document),
        cmocka_unit_test(json_holds_nothing_that_a_terminal_obeys),
        cmocka_unit_test(control_characters_are_shown_and_not_obeyed),
        cmocka_unit_test(scores_that_are_times_look_like_times),
        cmocka_unit_test(points_stand_under_each_other),
        cmocka_unit_test(options_are_read_in_every_spelling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
