/*
 * crash_test.c -- crash points: the armed one kills at the pass that was asked for, the others do nothing, and a name that
 * is nowhere is an error at the start. Each case is a child of this program, for it ends as the daemon would.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "freshet/crash.h"
#include "freshet/defect.h"


enum { PASSES = 5, TEXT_MAX = 200 };

static void twice(void)
{
    fr_crash_point("second");
}

/* What the child prints tells how far it came. */
static void child(const char *wanted)
{
    setenv("FRESHET_CRASH_POINT", wanted, 1);
    fr_crash_begin();
    for (int pass = 0; pass < PASSES; pass++) {
        fr_crash_point("first");
        printf("a");
        fflush(stdout);
        twice();
        printf("b");
        fflush(stdout);
        fr_crash_point("second");
    }
    exit(0);
}

/* Returns how the child ended, as wait says it. */
static int run(const char *wanted, char ret_text[TEXT_MAX])
{
    int ends[2], status;
    size_t len = 0;
    ssize_t got;

    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        child(wanted);
    }
    close(ends[1]);
    while ((got = read(ends[0], ret_text + len, TEXT_MAX - 1 - len)) > 0)
        len += (size_t)got;
    ret_text[len] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void the_named_point_kills_at_its_pass(void **state)
{
    static const struct {
        const char *wanted, *text;
    } cases[] = {
        {"first", ""}, {"first:1", ""}, {"first:3", "abab"}, {"second", "a"}, {"second:2", "ab"}, {"second:5", "ababa"},
    };
    char text[TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int status = run(cases[i].wanted, text);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
        assert_string_equal(text, cases[i].text);
    }
}

static void without_a_name_or_beyond_the_last_pass_nothing_happens(void **state)
{
    char text[TEXT_MAX];

    (void)state;
    assert_int_equal(run("", text), 0);
    assert_string_equal(text, "ababababab");
    assert_int_equal(run("first:6", text), 0);
    assert_string_equal(text, "ababababab");
}

static void a_name_that_is_nowhere_is_an_error_at_the_start(void **state)
{
    static const char *const wrong[] = {"third", "firs", "first:", "first:0", "first:x", "first:1x", "list:1", ":1"};
    char text[TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        int status = run(wrong[i], text);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 2);
        assert_string_equal(text, "");
    }
}

static void the_list_has_each_name_once(void **state)
{
    char text[TEXT_MAX];

    (void)state;
    assert_int_equal(run("list", text), 0);
    assert_int_equal(strlen(text), strlen("first\nsecond\n"));
    assert_non_null(strstr(text, "first\n"));
    assert_non_null(strstr(text, "second\n"));
}

/* A constant, and in a usual build a false one: no branch is left of it. */
static void a_defect_is_a_constant(void **state)
{
    (void)state;
    for (int which = DEFECT_NONE + 1; which < DEFECTS; which++)
        assert_int_equal(fr_defect(which), which == FRESHET_DEFECT);
    _Static_assert(fr_defect(DEFECT_TWO_WRITES) || !fr_defect(DEFECT_TWO_WRITES), "known to the compiler");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_named_point_kills_at_its_pass),
        cmocka_unit_test(without_a_name_or_beyond_the_last_pass_nothing_happens),
        cmocka_unit_test(a_name_that_is_nowhere_is_an_error_at_the_start),
        cmocka_unit_test(the_list_has_each_name_once),
        cmocka_unit_test(a_defect_is_a_constant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
