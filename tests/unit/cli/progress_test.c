/*
 * progress_test.c -- how far it is, as a terminal shows it: on one of its lines, however narrow it is.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli.h"

static int terminal; /* what shows it */

static int given(void)
{
    int bytes = 0;

    assert_int_equal(ioctl(terminal, FIONREAD, &bytes), 0);
    return bytes;
}

static void last_bar(const char *what, uint64_t total, uint64_t done)
{
    progress_end(progress_new(what, total), done);
}

#define BEFORE "freshet: before\r\n" /* as a terminal has it */

/* And what is said while it stands. */
static void bar_and_words(const char *what, uint64_t total, uint64_t done)
{
    struct progress *progress = progress_new(what, total);

    cli_fail("before");
    for (uint64_t shown = 0; given() <= (int)strlen(BEFORE); shown++) /* it is drawn ten times a second */
        progress_show(progress, shown);
    cli_fail("between");
    cli_fail("more");
    progress_end(progress, done);
    cli_fail("behind");
}

/* What a terminal of so many columns is given by `how`; stderr is it meanwhile. */
static void shown(unsigned short columns, void (*how)(const char *what, uint64_t total, uint64_t done), const char *what, uint64_t total,
                  uint64_t done, char *ret, size_t room)
{
    const struct winsize size = {.ws_row = 24, .ws_col = columns};
    int kept = dup(STDERR_FILENO), other;

    terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0 && !grantpt(terminal) && !unlockpt(terminal));
    other = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(other >= 0);
    assert_int_equal(ioctl(other, TIOCSWINSZ, &size), 0);
    fflush(stderr);
    assert_true(dup2(other, STDERR_FILENO) >= 0);
    setenv("TERM", "xterm", 1);
    how(what, total, done);
    fflush(stderr);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    for (size_t len = 0; !len || given() || ret[len - 1] != '\n';) {
        ssize_t part = read(terminal, ret + len, room - 1 - len);
        assert_true(part > 0);
        len += (size_t)part;
        ret[len] = '\0';
    }
    close(kept);
    close(other);
    close(terminal);
}

/* Else each of ten a second would go to a line of its own, and the next begin on the one below. */
static void a_bar_is_no_wider_than_the_terminal(void **state)
{
    static const char *const whats[] = {"publishing", "round 3 of 3, 16 of 16", "later part, the best"};
    static const unsigned short columns[] = {200, 80, 60, 40, 20, 3};
    char text[1000];

    (void)state;
    for (size_t w = 0; w < sizeof(whats) / sizeof(*whats); w++)
        for (size_t c = 0; c < sizeof(columns) / sizeof(*columns); c++)
            for (int total = 0; total < 2; total++) {
                shown(columns[c], last_bar, whats[w], total ? 284780 : 0, 199346, text, sizeof(text));
                char *end = strstr(text, "\033[K");
                assert_non_null(end);
                assert_int_equal(*text, '\r');
                if (end - (text + 1) >= columns[c])
                    fail_msg("%d columns: %s", columns[c], text + 1);
                if (columns[c] == 80) { /* all that counts is there */
                    *end = '\0';
                    assert_non_null(strstr(text, "199346"));
                    assert_non_null(strstr(text, "/s"));
                }
            }
}

static void a_terminal_that_does_not_know_its_columns_is_shown_all(void **state)
{
    char text[1000];

    (void)state;
    shown(0, last_bar, "round 3 of 3, 16 of 16", 284780, 284780, text, sizeof(text));
    assert_non_null(strstr(text, "16 of 16 [##############################] 100 %  284780 of 284780  "));
}

static void a_bar_makes_way_for_words(void **state)
{
    char text[4000], *at = text;

    (void)state;
    shown(80, bar_and_words, "publishing", 10, 5, text, sizeof(text));
    assert_memory_equal(text, BEFORE "\rpublishing", strlen(BEFORE "\rpublishing"));
    assert_non_null(at = strstr(text, "/s\033[K\r\033[Kfreshet: between\r\nfreshet: more\r\n\rpublishing"));
    assert_non_null(strstr(at + 4, "/s\033[K\r\nfreshet: behind\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bar_is_no_wider_than_the_terminal),
        cmocka_unit_test(a_bar_makes_way_for_words),
        cmocka_unit_test(a_terminal_that_does_not_know_its_columns_is_shown_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
