/*
 * log_write_test.c -- a log that nobody reads: who logs goes on, and the reader is told later how much it has missed.
 *
 * Where a call would wait, this process would stand still for ever: an alarm ends it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "freshet/log.h"

enum { BIG_LINES = 200, BIG_BYTES = 10000, PAGE = 4096, PATIENCE_S = 60, WRITERS = 4, LINES_EACH = 60, NAME_ROOM = 24 };

static char thousand[1001];        /* a text of as many bytes */
static char events[BIG_LINES][NAME_ROOM]; /* of each event only ten lines a second are written */
static char got[8 << 20];
static size_t got_len;
static int real_stderr;

static int set_up(void **state)
{
    (void)state;
    alarm(PATIENCE_S);
    memset(thousand, 'x', sizeof(thousand) - 1);
    for (int i = 0; i < BIG_LINES; i++)
        snprintf(events[i], sizeof(events[i]), "big.%d", i);
    real_stderr = dup(STDERR_FILENO);
    fr_log_setup(FR_INFO, FR_LOG_JSON);
    return real_stderr < 0;
}

static int give_stderr_back(void **state)
{
    (void)state;
    return dup2(real_stderr, STDERR_FILENO) < 0;
}

/* From now on this is stderr; the other end is the reader's, and read without waiting. */
static void stderr_is(int fd, int reader)
{
    dup2(fd, STDERR_FILENO);
    close(fd);
    assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
}

static int pipe_of(int pages)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, pages * PAGE), pages * PAGE);
    stderr_is(ends[1], ends[0]);
    return ends[0];
}

/* Reads what is there. */
static void take(int reader)
{
    ssize_t len;

    while ((len = read(reader, got + got_len, sizeof(got) - 1 - got_len)) > 0)
        got_len += (size_t)len;
    got[got_len] = '\0';
}

static const char *taken(int reader)
{
    got_len = 0;
    take(reader);
    return got;
}

/* A line of more than BIG_BYTES. */
static void log_big(const char *event)
{
    fr_log(FR_INFO, "c", event,
           FR_FIELDS(FR_TEXT("a", thousand), FR_TEXT("b", thousand), FR_TEXT("c", thousand), FR_TEXT("d", thousand),
                     FR_TEXT("e", thousand), FR_TEXT("f", thousand), FR_TEXT("g", thousand), FR_TEXT("h", thousand),
                     FR_TEXT("i", thousand), FR_TEXT("j", thousand)),
           "big");
}

/* How often `what` is there, and the sum of the numbers behind it. */
static unsigned long count(const char *what, unsigned long *ret_sum)
{
    unsigned long times = 0;

    *ret_sum = 0;
    for (const char *at = got; (at = strstr(at, what)); times++) {
        at += strlen(what);
        *ret_sum += strtoul(at, NULL, 10);
    }
    return times;
}

static void a_full_pipe_stops_nobody_and_the_next_line_says_what_is_missing(void **state)
{
    (void)state;
    int reader = pipe_of(2);
    struct fr_log_kept kept[3];
    char full[2 * PAGE];

    memset(full, 'f', sizeof(full));
    full[sizeof(full) - 1] = '\n';
    assert_int_equal(write(STDERR_FILENO, full, sizeof(full)), sizeof(full));
    errno = ENOSPC;
    for (int i = 0; i < 3; i++)
        fr_log(FR_WARN, "c", "pipe.full", FR_NO_FIELDS, "missing");
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(fr_log_recent(kept, 3), 1); /* it is kept nevertheless */
    assert_string_equal(kept[0].event, "pipe.full");
    assert_int_equal(kept[0].times, 3);
    taken(reader);
    assert_memory_equal(got, full, sizeof(full));
    assert_int_equal(got_len, sizeof(full));

    fr_log(FR_INFO, "c", "pipe.again", FR_NO_FIELDS, "here");
    assert_int_equal(strncmp(taken(reader), "{\"ts\":\"", 7), 0);
    const char *next = strstr(got, "\"level\":\"warn\",\"component\":\"log\",\"event\":\"log.dropped\"");
    assert_non_null(next);
    next = strstr(next, ",\"lines\":3}\n{\"ts\":");
    assert_non_null(next);
    assert_non_null(strstr(next, "\"event\":\"pipe.again\",\"msg\":\"here\"}\n"));
    assert_int_equal(fr_log_recent(kept, 3), 2);
    assert_string_equal(kept[0].event, "log.dropped");
    assert_int_equal(kept[0].times, 3); /* lines that are missing */

    fr_log(FR_INFO, "c", "pipe.again", FR_NO_FIELDS, "here"); /* told once */
    assert_null(strstr(taken(reader), "log.dropped"));
    close(reader);
}

static void a_line_that_was_cut_is_ended_before_the_next(void **state)
{
    (void)state;
    int reader = pipe_of(2);

    log_big("cut.big");
    fr_log(FR_INFO, "c", "cut.missing", FR_NO_FIELDS, "missing");
    taken(reader);
    assert_int_equal(got_len, 2 * PAGE);
    assert_null(strchr(got, '\n'));

    fr_log(FR_INFO, "c", "cut.again", FR_NO_FIELDS, "here");
    assert_int_equal(strncmp(taken(reader), "\n{\"ts\":\"", 8), 0);
    assert_non_null(strstr(got, "\"event\":\"log.dropped\""));
    assert_non_null(strstr(got, ",\"lines\":2}\n{\"ts\":"));
    assert_non_null(strstr(got, "\"event\":\"cut.again\",\"msg\":\"here\"}\n"));
    close(reader);
}

/* It is told each time how much it has missed; of what is kept for the status page that takes one place, however often. */
static void a_reader_that_stutters_takes_no_warnings_place(void **state)
{
    enum { TIMES = FR_LOG_KEPT + 6 };
    static struct fr_log_kept kept[FR_LOG_KEPT], before[FR_LOG_KEPT];
    static char names[TIMES][NAME_ROOM];
    char full[2 * PAGE];
    size_t len, tells = 0, before_len;
    uint64_t missing = 0;
    int reader = pipe_of(2);

    (void)state;
    memset(full, 'f', sizeof(full));
    fr_log(FR_ERROR, "c", "stutter.real", FR_NO_FIELDS, "worth keeping");
    before_len = fr_log_recent(before, FR_LOG_KEPT);
    for (int i = 0; i < TIMES; i++) {
        taken(reader);
        assert_int_equal(write(STDERR_FILENO, full, sizeof(full)), sizeof(full));
        snprintf(names[i], sizeof(names[i]), "stutter.%d", i); /* of each event only ten lines a second are written */
        for (int missed = 0; missed <= i % 9; missed++)
            fr_log(FR_INFO, "c", names[i], FR_NO_FIELDS, "missing");
        missing += (uint64_t)i % 9 + 1;
        taken(reader);
        fr_log(FR_INFO, "c", names[i], FR_NO_FIELDS, "here");
    }
    len = fr_log_recent(kept, FR_LOG_KEPT);
    for (size_t i = 0; i < before_len; i++)
        missing += strcmp(before[i].event, "log.dropped") ? 0 : before[i].times;
    for (size_t i = 0; i < len; i++)
        tells += !strcmp(kept[i].event, "log.dropped");
    assert_int_equal(tells, 1);
    assert_int_equal(kept[0].times, missing);
    assert_int_equal(len, before_len);
    close(reader);
}

/* A reader that takes nothing of two megabytes, and then everything. */
static void stands_still(int reader)
{
    unsigned long whole, lines, ignored;

    for (int i = 0; i < BIG_LINES; i++)
        log_big(events[i]);
    got_len = 0;
    do {
        struct pollfd readable = {.fd = reader, .events = POLLIN};
        fr_log(FR_INFO, "c", "still.again", FR_NO_FIELDS, "here"); /* a terminal gives its room back by and by */
        poll(&readable, 1, 10);
        take(reader);
    } while (!strstr(got, "\"event\":\"still.again\""));
    assert_true(count("\"event\":\"log.dropped\"", &ignored) >= 1);
    count(",\"lines\":", &lines);
    whole = count("\"event\":\"big.", &ignored);
    assert_in_range(whole, 1, BIG_LINES - 1);
    assert_true(lines >= BIG_LINES - whole);
    close(reader);
}

static void a_socket_stops_nobody(void **state)
{
    (void)state;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    stderr_is(ends[1], ends[0]);
    stands_still(ends[0]);
}

static void a_terminal_stops_nobody(void **state)
{
    (void)state;
    int reader = posix_openpt(O_RDWR | O_NOCTTY), terminal;

    assert_true(reader >= 0);
    assert_int_equal(grantpt(reader), 0);
    assert_int_equal(unlockpt(reader), 0);
    terminal = open(ptsname(reader), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    stderr_is(terminal, reader);
    stands_still(reader);
    /* The shell that has it as well would find it changed. */
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
}

static void a_file_takes_all(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    unsigned long ignored;
    int reader;

    assert_non_null(file);
    reader = dup(fileno(file));
    stderr_is(dup(reader), reader);
    fclose(file);
    for (int i = 0; i < BIG_LINES; i++)
        log_big(events[i]);
    assert_int_equal(lseek(reader, 0, SEEK_SET), 0);
    taken(reader);
    assert_int_equal(count("\"event\":\"big.", &ignored), BIG_LINES);
    assert_int_equal(count("}\n{\"ts\":", &ignored), BIG_LINES - 1);
    close(reader);
}

static void *write_lines(void *first)
{
    char(*names)[NAME_ROOM] = first;

    for (int i = 0; i < LINES_EACH; i++)
        log_big(names[i % 6]);
    return NULL;
}

static void of_many_writers_every_line_is_whole_or_counted(void **state)
{
    (void)state;
    static char names[WRITERS * 6][NAME_ROOM]; /* each at most ten times: none is suppressed */
    unsigned long whole = 0, dropped, ignored;
    pthread_t writers[WRITERS];
    int reader = pipe_of(4);

    for (int i = 0; i < WRITERS * 6; i++)
        snprintf(names[i], sizeof(names[i]), "many.%d", i);
    got_len = 0;
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_lines, names[i * 6]), 0);
    for (int i = 0; i < WRITERS; i++) {
        take(reader); /* now and then */
        pthread_join(writers[i], NULL);
    }
    take(reader);
    fr_log(FR_INFO, "c", "many.last", FR_NO_FIELDS, "here");
    take(reader);
    for (char *at = strtok(got, "\n"); at; at = strtok(NULL, "\n")) {
        size_t len = strlen(at);
        assert_int_equal(strncmp(at, "{\"ts\":\"", 7), 0);
        whole += strstr(at, "\"event\":\"many.") && at[len - 1] == '}';
        at[len] = '\n';
    }
    assert_true(count("\"event\":\"log.dropped\"", &ignored) >= 1);
    count(",\"lines\":", &dropped);
    assert_int_equal(whole + dropped, WRITERS * LINES_EACH + 1);
    close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_pipe_stops_nobody_and_the_next_line_says_what_is_missing),
        cmocka_unit_test(a_line_that_was_cut_is_ended_before_the_next),
        cmocka_unit_test(a_reader_that_stutters_takes_no_warnings_place),
        cmocka_unit_test(a_socket_stops_nobody),
        cmocka_unit_test(a_terminal_stops_nobody),
        cmocka_unit_test(a_file_takes_all),
        cmocka_unit_test(of_many_writers_every_line_is_whole_or_counted),
    };

    return cmocka_run_group_tests(tests, set_up, give_stderr_back);
}
