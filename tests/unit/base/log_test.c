/*
 * log_test.c -- what a line looks like, whatever is in it. stderr is a pipe here, which is read after each line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base_private.h"
#include "freshet/log.h"

static int pipe_out, real_stderr;
static char line[65536];

static int catch_stderr(void **state)
{
    (void)state;
    int ends[2];

    if (pipe(ends) || fcntl(ends[1], F_SETPIPE_SZ, 65536) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK))
        return -1;
    real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    pipe_out = ends[0];
    return 0;
}

static int give_stderr_back(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(pipe_out);
    return 0;
}

/* What was written since the last call. */
static const char *written(void)
{
    ssize_t len = read(pipe_out, line, sizeof(line) - 1);

    line[len < 0 ? 0 : len] = '\0';
    return line;
}

/* The same without the time, whose form is checked. */
static const char *written_after(const char *before_time)
{
    const char *at = written();
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    size_t before = strlen(before_time);

    assert_memory_equal(at, before_time, before);
    for (size_t i = 0; form[i]; i++)
        if (form[i] == 'd')
            assert_in_range(at[before + i], '0', '9');
        else
            assert_int_equal(at[before + i], form[i]);
    return at + before + sizeof(form) - 1;
}

#define JSON_BEGIN "{\"ts\":\""

static void a_line_is_one_json_object_with_its_fields(void **state)
{
    (void)state;
    fr_log_setup(FR_INFO, FR_LOG_JSON);
    fr_log(FR_WARN, "feed", "json.fields",
           FR_FIELDS(FR_TEXT("topic", "events"), FR_INT("partition", -3), FR_REAL("seconds", 0.25)),
           "topic '%s' does not exist yet", "events");
    assert_string_equal(written_after(JSON_BEGIN),
                        "\",\"level\":\"warn\",\"component\":\"feed\",\"event\":\"json.fields\","
                        "\"msg\":\"topic 'events' does not exist yet\","
                        "\"topic\":\"events\",\"partition\":-3,\"seconds\":0.25}\n");
}

static void without_a_terminal_it_is_json_by_itself(void **state)
{
    (void)state;
    fr_log_setup(FR_INFO, FR_LOG_AUTO);
    fr_log(FR_INFO, "main", "auto", FR_NO_FIELDS, "started");
    assert_string_equal(written_after(JSON_BEGIN),
                        "\",\"level\":\"info\",\"component\":\"main\",\"event\":\"auto\",\"msg\":\"started\"}\n");
}

static const char *json_message_of(const char *event, const char *message)
{
    static char room[1000];

    fr_log(FR_ERROR, "c", event, FR_NO_FIELDS, "%s", message);
    const char *at = strstr(written_after(JSON_BEGIN), "\"msg\":") + 6;
    snprintf(room, sizeof(room), "%.*s", (int)(strlen(at) - 2), at);
    return room;
}

static void texts_are_escaped(void **state)
{
    (void)state;
    fr_log_setup(FR_INFO, FR_LOG_JSON);
    assert_string_equal(json_message_of("escape.1", "say \"hi\" \\ there"), "\"say \\\"hi\\\" \\\\ there\"");
    assert_string_equal(json_message_of("escape.2", "a\nb\tc\x01\x1f\x7f"),
                        "\"a\\u000ab\\u0009c\\u0001\\u001f\\u007f\"");
    assert_string_equal(json_message_of("escape.3", "caf\xC3\xA9 \xF0\x9F\x98\x80"),
                        "\"caf\xC3\xA9 \xF0\x9F\x98\x80\"");
    assert_string_equal(json_message_of("escape.4", "a\xFF\xC3(\xED\xA0\x80z\xE2\x82"),
                        "\"a\\ufffd\\ufffd(\\ufffd\\ufffd\\ufffdz\\ufffd\\ufffd\"");
    assert_string_equal(json_message_of("escape.5", "\xC2\x9B" "31m"), "\"\\u009b31m\""); /* a terminal's CSI */
    assert_string_equal(json_message_of("escape.6", ""), "\"\"");
}

static void a_field_without_text_is_empty_and_a_real_that_is_no_number_is_text(void **state)
{
    (void)state;
    fr_log_setup(FR_INFO, FR_LOG_JSON);
    fr_log(FR_INFO, "c", "odd", FR_FIELDS(FR_TEXT("none", NULL), FR_REAL("x", 0.0 / 0.0), FR_REAL("y", -1.0 / 0.0),
                                          FR_REAL("z", 1e300), FR_INT("n", INT64_MIN)), "odd");
    assert_non_null(strstr(written(), ",\"none\":\"\",\"x\":\"NaN\",\"y\":\"-Inf\",\"z\":1e+300,"
                                      "\"n\":-9223372036854775808}\n"));
}

static void as_text_a_line_is_for_reading(void **state)
{
    (void)state;
    fr_log_setup(FR_INFO, FR_LOG_TEXT);
    fr_log(FR_ERROR, "store", "text.line",
           FR_FIELDS(FR_TEXT("path", "/var/lib"), FR_TEXT("why", "two words"), FR_TEXT("e", ""), FR_INT("n", 4)),
           "cannot open \"it\":\x1b[31m\nred");
    assert_string_equal(written_after(""), " error store: cannot open \"it\":\\u001b[31m\\u000ared (text.line) "
                                           "path=/var/lib why=\"two words\" e=\"\" n=4\n");
}

static void what_is_below_the_level_is_not_written(void **state)
{
    (void)state;
    fr_log_setup(FR_WARN, FR_LOG_JSON);
    fr_log(FR_INFO, "c", "level", FR_NO_FIELDS, "no");
    assert_string_equal(written(), "");
    fr_log(FR_WARN, "c", "level", FR_NO_FIELDS, "yes");
    assert_non_null(strstr(written(), "\"yes\""));
    fr_log_level(FR_DEBUG);
    fr_log(FR_DEBUG, "c", "level", FR_NO_FIELDS, "all");
    assert_non_null(strstr(written(), "\"level\":\"debug\""));
    fr_log_level(FR_INFO);
}

static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    char *text = malloc(3001);
    char expected[1100];

    /* 1 + 3 * 341 = 1024 would end a character exactly; one byte earlier it would not. */
    text[0] = text[1] = 'a';
    for (int i = 2; i < 3000; i++)
        text[i] = "\xE2\x82\xAC"[(i - 2) % 3];
    text[3000] = '\0';
    fr_log_setup(FR_INFO, FR_LOG_JSON);
    fr_log(FR_INFO, "c", "long", FR_FIELDS(FR_TEXT("t", text)), "%s", "x");
    snprintf(expected, sizeof(expected), "\"t\":\"%.*s...\"}\n", 2 + 3 * 340, text);
    assert_non_null(strstr(written(), expected));
    free(text);
}

static void too_many_long_fields_are_dropped_but_not_the_event(void **state)
{
    (void)state;
    char *text = malloc(1025);
    struct fr_field fields[40];

    memset(text, 1, 1024); /* six bytes each when escaped */
    text[1024] = '\0';
    for (int i = 0; i < 40; i++)
        fields[i] = (struct fr_field)FR_TEXT("t", text);
    fr_log(FR_INFO, "c", "many", fields, 40, "still here");
    assert_non_null(strstr(written(), "\"event\":\"many\",\"msg\":\"still here\",\"fields_dropped\":40}\n"));
    free(text);
}

static void ten_lines_of_an_event_pass_in_a_second_and_the_rest_are_counted(void **state)
{
    (void)state;
    const uint64_t second = 1000000000;
    uint64_t now = 5000 * second;
    uint32_t suppressed;

    for (int i = 0; i < 10; i++) {
        assert_true(log_admits("rate", now + (uint64_t)i, &suppressed));
        assert_int_equal(suppressed, 0);
    }
    for (int i = 0; i < 7; i++)
        assert_false(log_admits("rate", now + second - 1, &suppressed));
    assert_true(log_admits("rate.other", now, &suppressed)); /* each event has its own */
    assert_true(log_admits("rate", now + second, &suppressed));
    assert_int_equal(suppressed, 7);
    assert_true(log_admits("rate", now + second, &suppressed));
    assert_int_equal(suppressed, 0);
}

static void the_next_line_says_how_many_were_not_written(void **state)
{
    (void)state;
    static const char event[] = "suppressed.line";
    uint32_t suppressed, refused = 0;

    fr_log_setup(FR_INFO, FR_LOG_JSON);
    /* Ahead of time by a second that never comes, so that the next real line is in another one. */
    for (int i = 0; i < 14; i++)
        refused += !log_admits(event, UINT64_MAX, &suppressed);
    assert_int_equal(refused, 4);
    fr_log(FR_INFO, "c", event, FR_FIELDS(FR_INT("n", 1)), "again");
    assert_non_null(strstr(written(), "\"msg\":\"again\",\"n\":1,\"suppressed\":4}\n"));
    fr_log(FR_INFO, "c", event, FR_NO_FIELDS, "again");
    assert_null(strstr(written(), "suppressed\":"));
}

static void a_full_table_lets_others_pass(void **state)
{
    (void)state;
    static char names[LOG_EVENTS_MAX + 10][16];
    uint32_t suppressed;

    for (int i = 0; i < LOG_EVENTS_MAX + 10; i++) {
        snprintf(names[i], sizeof(names[i]), "full.%d", i);
        assert_true(log_admits(names[i], 1, &suppressed));
    }
    for (int i = 0; i < 20; i++)
        assert_true(log_admits(names[LOG_EVENTS_MAX + 9], 1, &suppressed));
}

static void errno_is_as_it_was(void **state)
{
    (void)state;
    errno = ENOSPC;
    fr_log(FR_INFO, "c", "errno", FR_NO_FIELDS, "x");
    assert_int_equal(errno, ENOSPC);
    written();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_one_json_object_with_its_fields),
        cmocka_unit_test(without_a_terminal_it_is_json_by_itself),
        cmocka_unit_test(texts_are_escaped),
        cmocka_unit_test(a_field_without_text_is_empty_and_a_real_that_is_no_number_is_text),
        cmocka_unit_test(as_text_a_line_is_for_reading),
        cmocka_unit_test(what_is_below_the_level_is_not_written),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(too_many_long_fields_are_dropped_but_not_the_event),
        cmocka_unit_test(ten_lines_of_an_event_pass_in_a_second_and_the_rest_are_counted),
        cmocka_unit_test(the_next_line_says_how_many_were_not_written),
        cmocka_unit_test(errno_is_as_it_was),
        cmocka_unit_test(a_full_table_lets_others_pass), /* last: it leaves the table full */
    };

    return cmocka_run_group_tests(tests, catch_stderr, give_stderr_back);
}
