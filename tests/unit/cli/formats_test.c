/*
 * formats_test.c -- lines as people have them, good and bad.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "formats.h"

static enum line_result parse(struct format *format, const char *line, struct line_event *ret, const char **problem)
{
    static char room[2048];

    strcpy(room, line);
    return format_line(format, room, strlen(room), ret, problem);
}

static void expect(const struct line_event *event, const char *user, const char *item, const char *type, double value,
                   int64_t time_ms)
{
    assert_int_equal(event->user.len, strlen(user));
    assert_memory_equal(event->user.at, user, event->user.len);
    assert_int_equal(event->item.len, strlen(item));
    assert_memory_equal(event->item.at, item, event->item.len);
    assert_int_equal(event->type.len, strlen(type));
    assert_memory_equal(event->type.at, type, event->type.len);
    assert_true(event->value == value);
    assert_int_equal(event->time_ms, time_ms);
}

static void movielens_rates_in_seconds(void **state)
{
    struct format *format = format_new("movielens");
    struct line_event event;
    const char *problem;

    (void)state;
    assert_int_equal(parse(format, "196\t242\t3\t881250949", &event, &problem), LINE_EVENT);
    expect(&event, "196", "242", "rating", 3, 881250949000);
    assert_int_equal(parse(format, "196\t242\tthree\t881250949", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "196\t242\t3\t9223372036854775807", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "196\t242\t3", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "\t242\t3\t881250949", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "", &event, &problem), LINE_SKIP);
    format_free(format);
}

static void movielens_has_three_forms_and_a_file_has_one(void **state)
{
    struct format *colons = format_new("movielens"), *commas = format_new("movielens"), *tabs = format_new("movielens");
    struct line_event event;
    const char *problem;

    (void)state;
    assert_int_equal(parse(colons, "1::1193::5::978300760", &event, &problem), LINE_EVENT);
    expect(&event, "1", "1193", "rating", 5, 978300760000);
    static const char *const no_colons[] = {"1\t1193\t5\t978300760", "1,1193,5,978300760", "userId,movieId,rating,timestamp",
                                            "1::1193::5", "1::1193::5::978300760::1", "1::1193::5::978300760::"};
    for (size_t i = 0; i < sizeof(no_colons) / sizeof(*no_colons); i++) {
        assert_int_equal(parse(colons, no_colons[i], &event, &problem), LINE_BAD);
        assert_string_equal(problem, "is not user, item, rating and seconds between '::', as the first line is");
    }
    assert_int_equal(parse(colons, "1::1193:5:978300760", &event, &problem), LINE_BAD);
    assert_int_equal(parse(colons, "1::661::3.5::978302109", &event, &problem), LINE_EVENT);
    expect(&event, "1", "661", "rating", 3.5, 978302109000);

    assert_int_equal(parse(commas, "userId,movieId,rating,timestamp", &event, &problem), LINE_HEADER);
    assert_null(format_note(commas));
    assert_int_equal(parse(commas, "1,31,2.5,1260759144", &event, &problem), LINE_EVENT);
    expect(&event, "1", "31", "rating", 2.5, 1260759144000);
    assert_int_equal(parse(commas, "1::31::2.5::1260759144", &event, &problem), LINE_BAD);
    assert_string_equal(problem, "is not user, item, rating and seconds between commas, as the header says");
    assert_int_equal(parse(commas, "1\t31\t2.5\t1260759144", &event, &problem), LINE_BAD);
    assert_int_equal(parse(commas, "userId,movieId,rating,timestamp", &event, &problem), LINE_BAD); /* two files in one */

    assert_int_equal(parse(tabs, "196\t2::42\t3\t881250949", &event, &problem), LINE_EVENT);
    expect(&event, "196", "2::42", "rating", 3, 881250949000);
    assert_int_equal(parse(tabs, "1::1193::5::978300760", &event, &problem), LINE_BAD);
    assert_string_equal(problem, "is not user, item, rating and seconds between tabs");
    assert_int_equal(parse(tabs, "userId,movieId,rating,timestamp", &event, &problem), LINE_BAD);
    format_free(colons);
    format_free(commas);
    format_free(tabs);
}

static void csv_goes_by_its_header_and_minds_quotes(void **state)
{
    struct format *format = format_new("csv");
    struct line_event event;
    const char *problem;

    (void)state;
    assert_null(format_note(format));
    assert_int_equal(parse(format, "time_ms,item_id,extra,user_id,value", &event, &problem), LINE_HEADER);
    assert_string_equal(format_note(format), "the header names 'extra', which is left out; what is read: "
                                             "user_id, item_id, type, value, time_ms, event_id");
    assert_int_equal(parse(format, "5,\"a, \"\"b\"\"\",x,ann,2.5", &event, &problem), LINE_EVENT);
    expect(&event, "ann", "a, \"b\"", "", 2.5, 5);
    assert_true(event.has_value);
    assert_int_equal(parse(format, "5,a,x,ann", &event, &problem), LINE_EVENT);
    assert_false(event.has_value);
    assert_int_equal(parse(format, "5,a,x,ann,inf", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "soon,a,x,ann,1", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "5,a, b,x,ann,1", &event, &problem), LINE_BAD); /* an id that should have quotes */
    assert_string_equal(problem, "has more fields than the header has names");
    assert_int_equal(parse(format, "5,a,x,ann,1,,", &event, &problem), LINE_EVENT);
    assert_int_equal(parse(format, "5,\"a\"b,x,ann,1", &event, &problem), LINE_EVENT); /* as others read it */
    expect(&event, "ann", "ab", "", 1, 5);
    assert_int_equal(parse(format, "5,\"a,x,ann,1", &event, &problem), LINE_BAD);
    assert_string_equal(problem, "has a quote that is not closed");
    assert_int_equal(parse(format, "5,a,x,ann,\"1\"\"", &event, &problem), LINE_BAD);
    assert_string_equal(problem, "has a quote that is not closed");
    format_free(format);
}

static void columns_that_cannot_be_read_are_no_header(void **state)
{
    static const struct {
        const char *before;
        size_t names; /* in it; with those between it and what is behind there are 64 */
        const char *behind, *problem;
    } headers[] = {
        {"user_id,item_id", 2, ",value", "is the header and names more than 64 columns"},
        {"user_id,item_id", 2, ",\"\"", "is the header and names more than 64 columns"},
        {"user_id,item_id", 2, ",", NULL},
        {"user_id,item_id", 2, ",,,,,", NULL},
        {"user_id,item_id,item_id", 3, "", "is the header and names a column twice"},
        {"user_id,item_id", 2, ",\"", "is the header and names more than 64 columns"},
        {"user_id,\"item_id", 2, "", "is the header and has a quote that is not closed"},
    };
    struct line_event event;
    const char *problem;
    char line[1000];

    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        struct format *format = format_new("csv");
        strcpy(line, headers[i].before);
        for (size_t n = headers[i].names; n < 64; n++)
            sprintf(line + strlen(line), ",n%zu", n);
        strcat(line, headers[i].behind);
        assert_int_equal(parse(format, line, &event, &problem), headers[i].problem ? LINE_BAD : LINE_HEADER);
        if (headers[i].problem)
            assert_string_equal(problem, headers[i].problem);
        assert_int_equal(parse(format, "ann,pear", &event, &problem), headers[i].problem ? LINE_BAD : LINE_EVENT);
        if (headers[i].problem)
            assert_string_equal(problem, "is not read, as the header cannot be"); /* nothing is wrong with the line */
        strcpy(line, "ann,pear");
        for (size_t n = 2; n < 64; n++)
            strcat(line, ",");
        assert_int_equal(parse(format, strcat(line, ",,,"), &event, &problem), headers[i].problem ? LINE_BAD : LINE_EVENT);
        assert_int_equal(parse(format, strcat(line, ",x"), &event, &problem), LINE_BAD);
        if (!headers[i].problem)
            assert_string_equal(problem, "has more fields than the header has names");
        format_free(format);
    }
}

static void all_names_that_mean_nothing_are_told_as_far_as_there_is_room(void **state)
{
    struct format *format = format_new("tsv");
    char line[2000] = "user_id\titem_id";
    struct line_event event;
    const char *problem;

    (void)state;
    for (int i = 0; i < 40; i++)
        snprintf(line + strlen(line), sizeof(line) - strlen(line), "\ttimestamp%d", i);
    assert_int_equal(parse(format, line, &event, &problem), LINE_HEADER);
    assert_non_null(strstr(format_note(format), "names 'timestamp0', 'timestamp1', "));
    assert_non_null(strstr(format_note(format), ", 'timestamp12', 'timestamp13' and 26 more, which is left out; what is read: user_id"));
    format_free(format);
}

/* 40 bytes of a name are shown, or fewer: none is cut within a character. */
static void a_long_name_that_means_nothing_is_cut_between_characters(void **state)
{
    static const char *const names[][2] = {
        {"1234567890123456789012345678901234567890", "1234567890123456789012345678901234567890"},
        {"123456789012345678901234567890123456789\xC3\xBC", "123456789012345678901234567890123456789"},
        {"12345678901234567890123456789012345678\xC3\xBC", "12345678901234567890123456789012345678\xC3\xBC"},
        {"12345678901234567890123456789012345678\xC3\xBC" "9", "12345678901234567890123456789012345678\xC3\xBC"},
    };
    struct line_event event;
    const char *problem;
    char line[200];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct format *format = format_new("tsv");
        snprintf(line, sizeof(line), "user_id\titem_id\t%s", names[i][0]);
        assert_int_equal(parse(format, line, &event, &problem), LINE_HEADER);
        snprintf(line, sizeof(line), "the header names '%s', which", names[i][1]);
        assert_memory_equal(format_note(format), line, strlen(line));
        format_free(format);
    }
}

static void a_header_must_name_user_and_item(void **state)
{
    struct format *format = format_new("tsv");
    struct line_event event;
    const char *problem;

    (void)state;
    assert_int_equal(parse(format, "user\titem_id", &event, &problem), LINE_BAD);
    format_free(format);
}

static void jsonl_takes_both_spellings(void **state)
{
    struct format *format = format_new("jsonl");
    struct line_event event;
    const char *problem;

    (void)state;
    assert_int_equal(parse(format, "{\"user_id\":\"ann\",\"itemId\":\"a\",\"type\":\"click\",\"timeMs\":\"12\"}", &event, &problem),
                     LINE_EVENT);
    expect(&event, "ann", "a", "click", 0, 12);
    assert_int_equal(parse(format, "{\"user_id\":\"ann\"}", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "[1]", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "{\"user_id\":\"ann\",\"item_id\":\"a\",\"value\":\"x\"}", &event, &problem), LINE_BAD);
    format_free(format);
}

static void what_should_be_a_string_is_not_left_out(void **state)
{
    static const char *const bad[][3] = {
        {"jsonl", "{\"user_id\":1,\"item_id\":\"a\"}", "has a user_id that is no string"},
        {"jsonl", "{\"userId\":\"ann\",\"itemId\":[]}", "has an item_id that is no string"},
        {"jsonl", "{\"user_id\":\"ann\",\"item_id\":\"a\",\"type\":5}", "has a type that is no string"},
        {"jsonl", "{\"user_id\":\"ann\",\"item_id\":\"a\",\"event_id\":12345}", "has an event_id that is no string"},
        {"jsonl", "{\"user_id\":\"ann\",\"item_id\":\"a\",\"eventId\":true}", "has an event_id that is no string"},
        {"items-jsonl", "{\"item_id\":7}", "has an item_id that is no string"},
        {"users-jsonl", "{\"userId\":7}", "has a user_id that is no string"},
    };
    struct line_event event;
    const char *problem;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct format *format = format_new(bad[i][0]);
        assert_int_equal(parse(format, bad[i][1], &event, &problem), LINE_BAD);
        assert_string_equal(problem, bad[i][2]);
        format_free(format);
    }
    struct format *format = format_new("jsonl");
    assert_int_equal(parse(format, "{\"user_id\":\"ann\",\"item_id\":\"a\",\"type\":null,\"event_id\":null}", &event, &problem), LINE_EVENT);
    format_free(format);
}

static void online_retail_knows_purchases_returns_and_nobody(void **state)
{
    struct format *format = format_new("online-retail");
    struct line_event event;
    const char *problem;

    (void)state;
    assert_int_equal(parse(format, "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country", &event,
                           &problem),
                     LINE_HEADER);
    /* 2010-12-01 08:26:00 UTC is 1291191960 seconds (date -u -d '2010-12-01 08:26' +%s). */
    assert_int_equal(parse(format, "536365,85123A,\"HEART, WHITE\",6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom", &event,
                           &problem),
                     LINE_EVENT);
    expect(&event, "17850", "85123A", "purchase", 6, 1291191960000);
    assert_int_equal(parse(format, "C536379,D,Discount,-1,2010-12-01 08:26:00,27.5,14527.0,United Kingdom", &event, &problem),
                     LINE_EVENT);
    expect(&event, "14527", "D", "return", 1, 1291191960000);
    assert_int_equal(parse(format, "536414,22139,,56,2010-12-01 11:52:00,0.0,,United Kingdom", &event, &problem), LINE_SKIP);
    assert_int_equal(parse(format, "536414,22139,,56,yesterday,0.0,1.0,United Kingdom", &event, &problem), LINE_BAD);
    format_free(format);
}

static void dates_of_online_retail_are_in_one_of_two_forms(void **state)
{
    static const char head[] = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";
    static const char *const none[] = {"13/1/2010 8:26", "2/30/2010 8:26", "0/1/2010 8:26",  "12/0/2010 8:26",  "12/1/2010 24:00", "12/1/2010 8:60",
                                       "12/1/10 8:26",   "12/1/2010",      "12/1/2010 8:26x", "12/-1/2010 8:26", "1/12/2010 8"};
    static const char *const no_iso[] = {"2010-02-30 08:26:00", "2010-13-01 08:26:00", "2010-12-01 24:26:00", "2010-12-01 08:60:00",
                                         "2010-12-01 08:26:61", "2010-12-01 08:26:00 PM", "2010-12-01T08:26:00+02:00", "2010-12-01x08:26:00"};
    struct format *slashes = format_new("online-retail"), *iso = format_new("online-retail");
    struct line_event event;
    const char *problem;
    char line[200];

    (void)state;
    assert_int_equal(parse(slashes, head, &event, &problem), LINE_HEADER);
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) { /* none of them decides on the form */
        snprintf(line, sizeof(line), "536365,85123A,HEART,6,%s,2.55,17850,United Kingdom", none[i]);
        if (parse(slashes, line, &event, &problem) != LINE_BAD)
            fail_msg("%s", none[i]);
        assert_string_equal(problem, "has an InvoiceDate that is neither YYYY-MM-DD HH:MM:SS nor M/D/YYYY H:MM");
    }
    assert_int_equal(parse(slashes, "536365,85123A,HEART,6,12/1/2010 8:26,2.55,17850,United Kingdom", &event, &problem), LINE_EVENT);
    expect(&event, "17850", "85123A", "purchase", 6, 1291191960000);
    assert_int_equal(parse(slashes, "536365,85123A,HEART,6,12/09/2011 12:50,2.55,17850,United Kingdom", &event, &problem), LINE_EVENT);
    expect(&event, "17850", "85123A", "purchase", 6, 1323435000000);
    assert_int_equal(parse(slashes, "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom", &event, &problem), LINE_BAD);
    assert_string_equal(problem, "has an InvoiceDate in another form than those before");
    assert_int_equal(parse(iso, head, &event, &problem), LINE_HEADER);
    for (size_t i = 0; i < sizeof(no_iso) / sizeof(*no_iso); i++) {
        snprintf(line, sizeof(line), "536365,85123A,HEART,6,%s,2.55,17850,United Kingdom", no_iso[i]);
        if (parse(iso, line, &event, &problem) != LINE_BAD)
            fail_msg("%s", no_iso[i]);
    }
    assert_int_equal(parse(iso, "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom", &event, &problem), LINE_EVENT);
    assert_int_equal(parse(iso, "536365,85123A,HEART,6,2010-12-01T08:26:00.000Z,2.55,17850,United Kingdom", &event, &problem), LINE_EVENT);
    expect(&event, "17850", "85123A", "purchase", 6, 1291191960000);
    assert_int_equal(parse(iso, "536365,85123A,HEART,6,12/1/2010 8:26,2.55,17850,United Kingdom", &event, &problem), LINE_BAD);
    assert_string_equal(problem, "has an InvoiceDate in another form than those before");
    format_free(slashes);
    format_free(iso);
}

static void the_extract_repeats_time_and_customer_by_leaving_them_out(void **state)
{
    struct format *format = format_new("online-retail");
    struct line_event event;
    const char *problem;

    (void)state;
    assert_int_equal(parse(format, "#online-retail minutes-since 2010-12-01T00:00:00Z", &event, &problem), LINE_HEADER);
    assert_int_equal(parse(format, "506\t17850\t85123A\t6", &event, &problem), LINE_EVENT);
    expect(&event, "17850", "85123A", "purchase", 6, 1291191960000);
    assert_int_equal(parse(format, "\t\t71053\t-2", &event, &problem), LINE_EVENT);
    expect(&event, "17850", "71053", "return", 2, 1291191960000);
    assert_int_equal(parse(format, "507\t1\t71053", &event, &problem), LINE_BAD);
    format_free(format);
}

/* Else the events of one customer would be another's, or of another time. */
static void what_leans_on_a_bad_line_of_the_extract_is_bad(void **state)
{
    static const char unknown[] = "leaves out what the line before should say, and no such line could be read";
    struct format *format = format_new("online-retail");
    char nul[] = "508\t3\t7\0\t1";
    struct line_event event;
    const char *problem;

    (void)state;
    assert_int_equal(parse(format, "#online-retail minutes-since 2010-12-01T00:00:00Z", &event, &problem), LINE_HEADER);
    assert_int_equal(parse(format, "\t1\t71053\t1", &event, &problem), LINE_BAD); /* there is no line before */
    assert_string_equal(problem, unknown);
    assert_int_equal(parse(format, "506\t1\t71053\t1", &event, &problem), LINE_EVENT);
    assert_int_equal(parse(format, "507\t2\t71053", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "\t\t71053\t1", &event, &problem), LINE_BAD);
    assert_string_equal(problem, unknown);
    assert_int_equal(parse(format, "507\t\t71053\t1", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "\t2\t71053\t1", &event, &problem), LINE_EVENT);
    expect(&event, "2", "71053", "purchase", 1, 1291192020000);
    assert_int_equal(format_line(format, nul, sizeof(nul) - 1, &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "\t\t71053\t1", &event, &problem), LINE_BAD);
    assert_string_equal(problem, unknown);
    assert_int_equal(parse(format, "508\t3\t71053\tmany", &event, &problem), LINE_BAD); /* bad, and yet says both */
    assert_int_equal(parse(format, "\t\t71053\t1", &event, &problem), LINE_EVENT);
    expect(&event, "3", "71053", "purchase", 1, 1291192080000);
    assert_int_equal(parse(format, "5x\t4\t71053\t1", &event, &problem), LINE_BAD);
    assert_string_equal(problem, "has a time that is no number of minutes");
    assert_int_equal(parse(format, "\t\t71053\t1", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "509\t\t71053\t1", &event, &problem), LINE_EVENT);
    expect(&event, "4", "71053", "purchase", 1, 1291192140000);
    format_free(format);
}

static void an_extract_of_no_known_time_is_not_read(void **state)
{
    struct format *format = format_new("online-retail");
    struct line_event event;
    const char *problem;

    (void)state;
    assert_int_equal(parse(format, "#online-retail minutes-since 2010-13-01T00:00:00Z", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "506\t17850\t85123A\t6", &event, &problem), LINE_BAD);
    format_free(format);
}

/* Two customers whose ids begin alike are two. */
static void a_customer_of_online_retail_is_not_cut_short(void **state)
{
    char line[400], id[302] = "";
    const char *problem;
    struct line_event event;

    (void)state;
    for (int uci = 0; uci < 2; uci++) {
        struct format *format = format_new("online-retail");
        assert_int_equal(parse(format, uci ? "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
                                           : "#online-retail minutes-since 2010-12-01T00:00:00Z", &event, &problem), LINE_HEADER);
        for (int len = 100; len <= 300; len += 200) {
            memset(id, 'a', (size_t)len);
            snprintf(line, sizeof(line), uci ? "536365,71053,HEART,6,2010-12-01 08:26:00,2.55,%s,UK" : "506\t%s\t71053\t6", id);
            assert_int_equal(parse(format, line, &event, &problem), len == 100 ? LINE_EVENT : LINE_BAD);
            if (len == 100)
                expect(&event, id, "71053", "purchase", 6, 1291191960000);
            else
                assert_string_equal(problem, "has a user id that is empty, too long or not UTF-8");
        }
        memset(id, 0, sizeof(id));
        format_free(format);
    }
}

static void context_comes_along(void **state)
{
    struct format *format = format_new("jsonl");
    struct line_event event;
    char many[1024] = "{\"user_id\":\"ann\",\"item_id\":\"a\",\"context\":{";
    const char *problem;

    (void)state;
    assert_int_equal(parse(format, "{\"user_id\":\"ann\",\"item_id\":\"a\",\"context\":{\"device\":\"phone\",\"hour\":\"7\"}}", &event, &problem),
                     LINE_EVENT);
    assert_int_equal(event.context_len, 2);
    assert_true(fr_bytes_equal(event.context[1].name, FR_BYTES("hour")));
    assert_true(fr_bytes_equal(event.context[1].value, FR_BYTES("7")));
    assert_int_equal(parse(format, "{\"user_id\":\"ann\",\"item_id\":\"a\",\"context\":null}", &event, &problem), LINE_EVENT);
    assert_int_equal(event.context_len, 0);
    assert_int_equal(parse(format, "{\"user_id\":\"ann\",\"item_id\":\"a\",\"context\":[]}", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "{\"user_id\":\"ann\",\"item_id\":\"a\",\"context\":{\"hour\":7}}", &event, &problem), LINE_BAD);
    for (int i = 0; i < 40; i++)
        sprintf(many + strlen(many), "%s\"n%d\":\"v\"", i ? "," : "", i);
    strcat(many, "}}");
    assert_int_equal(parse(format, many, &event, &problem), LINE_EVENT);
    assert_int_equal(event.context_len, FEATURES_MAX);
    format_free(format);
}

static void libfm_is_label_user_item_and_context(void **state)
{
    struct format *format = format_new("libfm");
    struct line_event event;
    const char *problem;

    (void)state;
    assert_int_equal(parse(format, "-1 71:1 3755:1 5044:1 5047:1\r", &event, &problem), LINE_EVENT);
    expect(&event, "71", "3755", "rating", -1, 0);
    assert_int_equal(event.context_len, 2);
    assert_true(fr_bytes_equal(event.context[0].name, FR_BYTES("feature")));
    assert_true(fr_bytes_equal(event.context[1].value, FR_BYTES("5047")));
    assert_int_equal(parse(format, "4.5 7:1 8:1", &event, &problem), LINE_EVENT);
    expect(&event, "7", "8", "rating", 4.5, 0);
    assert_int_equal(event.context_len, 0);
    assert_int_equal(parse(format, " ", &event, &problem), LINE_SKIP);
    assert_int_equal(parse(format, "1 7:1", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "1 7:1 8:0.5", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "1 7:1 x:1", &event, &problem), LINE_BAD);
    assert_int_equal(parse(format, "yes 7:1 8:1", &event, &problem), LINE_BAD);
    format_free(format);
}

static void what_is_said_goes_out_as_it_is(void **state)
{
    struct format *items = format_new("items-jsonl"), *users = format_new("users-jsonl"), *titles = format_new("items-tsv");
    struct line_event event;
    const char *problem;

    (void)state;
    assert_int_equal(format_of(items), FORMAT_OF_ITEMS);
    assert_int_equal(format_of(titles), FORMAT_OF_ITEMS);
    assert_int_equal(format_of(users), FORMAT_OF_USERS);
    assert_int_equal(parse(items, "{\"itemId\":\"i7\", \"hidden\":true}", &event, &problem), LINE_SAID);
    assert_true(fr_bytes_equal(event.item, FR_BYTES("i7")) && !event.user.len);
    assert_true(fr_bytes_equal(event.said, FR_BYTES("{\"itemId\":\"i7\", \"hidden\":true}")));
    assert_int_equal(parse(items, "{\"user_id\":\"ann\"}", &event, &problem), LINE_BAD);
    assert_int_equal(parse(items, "[]", &event, &problem), LINE_BAD);
    assert_int_equal(parse(users, "{\"user_id\":\"ann\"}", &event, &problem), LINE_SAID);
    assert_true(fr_bytes_equal(event.user, FR_BYTES("ann")) && !event.item.len);
    assert_int_equal(parse(users, "{\"item_id\":\"i7\"}", &event, &problem), LINE_BAD);
    assert_int_equal(parse(titles, "i7\tA \"good\" bench", &event, &problem), LINE_SAID);
    assert_true(fr_bytes_equal(event.item, FR_BYTES("i7")));
    assert_true(fr_bytes_equal(event.said, FR_BYTES("{\"item_id\":\"i7\",\"title\":\"A \\\"good\\\" bench\"}")));
    assert_int_equal(parse(titles, "i7", &event, &problem), LINE_BAD);
    assert_int_equal(parse(titles, "i7\t\xff", &event, &problem), LINE_BAD);
    format_free(items);
    format_free(users);
    format_free(titles);
}

static void there_is_no_other_format(void **state)
{
    (void)state;
    assert_null(format_new("parquet"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(movielens_rates_in_seconds),
        cmocka_unit_test(movielens_has_three_forms_and_a_file_has_one),
        cmocka_unit_test(dates_of_online_retail_are_in_one_of_two_forms),
        cmocka_unit_test(csv_goes_by_its_header_and_minds_quotes),
        cmocka_unit_test(columns_that_cannot_be_read_are_no_header),
        cmocka_unit_test(a_long_name_that_means_nothing_is_cut_between_characters),
        cmocka_unit_test(all_names_that_mean_nothing_are_told_as_far_as_there_is_room),
        cmocka_unit_test(a_header_must_name_user_and_item),
        cmocka_unit_test(jsonl_takes_both_spellings),
        cmocka_unit_test(what_should_be_a_string_is_not_left_out),
        cmocka_unit_test(online_retail_knows_purchases_returns_and_nobody),
        cmocka_unit_test(the_extract_repeats_time_and_customer_by_leaving_them_out),
        cmocka_unit_test(what_leans_on_a_bad_line_of_the_extract_is_bad),
        cmocka_unit_test(an_extract_of_no_known_time_is_not_read),
        cmocka_unit_test(a_customer_of_online_retail_is_not_cut_short),
        cmocka_unit_test(context_comes_along),
        cmocka_unit_test(libfm_is_label_user_item_and_context),
        cmocka_unit_test(what_is_said_goes_out_as_it_is),
        cmocka_unit_test(there_is_no_other_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
