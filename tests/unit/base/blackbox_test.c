/*
 * blackbox_test.c -- children crash in all ways there are, with a record in hand or without; the parent looks who is blamed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "folder.h"
#include "freshet/blackbox.h"
#include "freshet/life.h"
#include "freshet/log.h"

static char path[300];

/* ---- ways to die ----------------------------------------------------------------------------------------------- */

static void by_fault(void)
{
    volatile char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *page = 1;
}

static void by_abort(void)
{
    abort();
}

static void by_trap(void)
{
    raise(SIGILL);
}

static void by_bus(void)
{
    raise(SIGBUS);
}

static void by_division(void)
{
    raise(SIGFPE);
}

/* Far enough for any stack, in steps that the compiler cannot join. */
static int deeper(volatile char *above, int depth)
{
    volatile char room[4096];

    room[0] = above ? above[0] : 1;
    return depth ? deeper(room, depth - 1) + room[0] : 0;
}

static void by_recursion(void)
{
    deeper(NULL, 1 << 20);
}

static void by_kill(void)
{
    raise(SIGKILL);
}

static void by_exit(void)
{
    _exit(1);
}

struct death {
    void (*die)(void);
    int64_t in_hand; /* -1: nothing */
    bool elsewhere;  /* the record is in the hand of another thread */
};

__attribute__((noreturn)) static void *wait_for_ever(void *in_hand)
{
    fr_flight_of(3, *(int64_t *)in_hand);
    *(int64_t *)in_hand = -2; /* held */
    for (;;)
        pause();
}

static void die(void *arg)
{
    struct death *death = arg;

    if (death->elsewhere) {
        static volatile int64_t in_hand;
        pthread_t other;

        in_hand = death->in_hand;
        pthread_create(&other, NULL, wait_for_ever, (void *)&in_hand);
        while (in_hand != -2)
            sched_yield();
    } else if (death->in_hand >= 0) {
        fr_flight_of(3, death->in_hand);
    }
    death->die();
}

/* A life of a process that ends so. */
static int live(struct death death)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        static const struct rlimit no_core = {0, 0};
        struct fr_err err;

        setrlimit(RLIMIT_CORE, &no_core);
        for (int i = 1; i < NSIG; i++)
            signal(i, SIG_DFL); /* cmocka catches some */
        if (fr_box_open(path, false, &err))
            _exit(3);
        fr_thread_join(fr_thread_start("flier", die, &death));
        _exit(4);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static bool convicted(int64_t offset)
{
    struct fr_err err;

    if (fr_box_open(path, false, &err))
        fail_msg("%s", err.text);
    bool found = fr_box_convicts(3, offset);
    fr_box_close(false);
    return found;
}

static int fresh(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------------------------------- */

static void each_way_to_crash_counts_and_the_signal_takes_its_course(void **state)
{
    static const struct {
        void (*die)(void);
        int signal;
    } ways[] = {{by_fault, SIGSEGV}, {by_abort, SIGABRT}, {by_trap, SIGILL}, {by_bus, SIGBUS}, {by_division, SIGFPE}, {by_recursion, SIGSEGV}};

    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        for (int time = 1; time <= FR_BOX_TIMES; time++) {
            assert_false(convicted((int64_t)i));
            int status = live((struct death){ways[i].die, (int64_t)i, false});
            assert_true(WIFSIGNALED(status));
            assert_int_equal(WTERMSIG(status), ways[i].signal);
        }
        assert_true(convicted((int64_t)i));
    }
}

static void who_has_nothing_in_hand_blames_nobody(void **state)
{
    (void)state;
    for (int time = 0; time < 2 * FR_BOX_TIMES; time++) {
        assert_true(WIFSIGNALED(live((struct death){by_kill, 7, false}))); /* killed from outside */
        assert_true(WIFEXITED(live((struct death){by_exit, 7, false})));
        assert_true(WIFSIGNALED(live((struct death){by_fault, -1, false})));
        assert_true(WIFSIGNALED(live((struct death){by_fault, 7, true}))); /* another thread's record is innocent */
    }
    assert_false(convicted(7));
}

static void kills_between_neither_add_nor_take_away(void **state)
{
    (void)state;
    for (int time = 0; time < FR_BOX_TIMES; time++) {
        assert_false(convicted(9));
        live((struct death){by_abort, 9, false});
        live((struct death){by_kill, 9, false});
        live((struct death){by_abort, 10 + time, false}); /* others crash too */
    }
    assert_true(convicted(9));
    assert_false(convicted(10));
}

static void a_clean_end_a_step_past_and_another_log_forget(void **state)
{
    struct fr_err err;

    (void)state;
    for (int time = 0; time < FR_BOX_TIMES; time++) {
        live((struct death){by_abort, 5, false});
        live((struct death){by_abort, 6, false});
    }
    assert_int_equal(fr_box_open(path, false, &err), FR_OK);
    assert_false(fr_box_convicts(2, 5)); /* of another partition */
    fr_box_passed(3, 6);
    assert_false(fr_box_convicts(3, 5));
    assert_true(fr_box_convicts(3, 6));
    fr_box_close(false);
    assert_true(convicted(6));
    assert_int_equal(fr_box_open(path, false, &err), FR_OK);
    fr_box_close(true);
    assert_false(convicted(6));
    for (int time = 0; time < FR_BOX_TIMES; time++)
        live((struct death){by_abort, 6, false});
    assert_int_equal(fr_box_open(path, true, &err), FR_OK);
    assert_false(fr_box_convicts(3, 6));
    fr_box_close(false);
}

/* More than there is room for: those with the most against them stay. */
static void a_full_box_keeps_the_worst(void **state)
{
    (void)state;
    for (int time = 0; time < FR_BOX_TIMES - 1; time++)
        live((struct death){by_abort, 1, false});
    for (int other = 0; other < FR_BOX_SUSPECTS + 10; other++)
        live((struct death){by_abort, 100 + other, false});
    live((struct death){by_abort, 1, false});
    assert_true(convicted(1));
}

static void a_file_that_is_none_of_ours_is_made_anew(void **state)
{
    static const char *const contents[] = {"", "x", "freshet0 and more", "freshet1"};
    struct fr_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(contents) / sizeof(*contents); i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(contents[i], file);
        fclose(file);
        assert_int_equal(fr_box_open(path, false, &err), FR_OK);
        assert_false(fr_box_convicts(0, 0));
        fr_box_close(false);
    }
    assert_int_equal(fr_box_open("/nowhere/at/all", false, &err), FR_IO);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    assert_false(fr_box_convicts(0, 0)); /* not open: nobody is convicted */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_way_to_crash_counts_and_the_signal_takes_its_course, fresh),
        cmocka_unit_test_setup(who_has_nothing_in_hand_blames_nobody, fresh),
        cmocka_unit_test_setup(kills_between_neither_add_nor_take_away, fresh),
        cmocka_unit_test_setup(a_clean_end_a_step_past_and_another_log_forget, fresh),
        cmocka_unit_test_setup(a_full_box_keeps_the_worst, fresh),
        cmocka_unit_test_setup(a_file_that_is_none_of_ours_is_made_anew, fresh),
    };

    fr_log_setup(FR_ERROR + 1, FR_LOG_JSON);
    char folder[256];
    snprintf(path, sizeof(path), "%s/blackbox", folder_make(folder));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_remove(folder);
    return failed;
}
