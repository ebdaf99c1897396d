/*
 * life_test.c -- states, pulses on a clock of our own, and threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "base_private.h"
#include "freshet/clock.h"
#include "freshet/life.h"

#define LIMIT_NS ((uint64_t)FR_PULSE_LIMIT_MS * 1000000)

static void the_state_moves_forward_and_has_a_name(void **state)
{
    (void)state;
    assert_int_equal(fr_state_now(), FR_STARTING);
    fr_state_set(FR_RUNNING);
    assert_int_equal(fr_state_now(), FR_RUNNING);
    fr_state_set(FR_DRAINING);
    assert_int_equal(fr_state_now(), FR_DRAINING);
    assert_string_equal(fr_state_name(FR_STARTING), "starting");
    assert_string_equal(fr_state_name(FR_RUNNING), "running");
    assert_string_equal(fr_state_name(FR_DRAINING), "draining");
}

static void without_loops_all_is_well(void **state)
{
    (void)state;
    const char *stuck = "nobody";

    assert_true(fr_pulse_all(&stuck));
    assert_string_equal(stuck, "nobody");
}

static void a_loop_is_stuck_after_the_limit_and_well_when_it_beats(void **state)
{
    (void)state;
    const char *stuck = NULL;
    uint64_t before = fr_mono_ns();
    struct fr_pulse *pulse = fr_pulse_start("engine");
    uint64_t after = fr_mono_ns();

    assert_true(fr_pulse_all(&stuck));
    assert_true(life_pulses_at(before + LIMIT_NS, &stuck));
    assert_true(life_pulses_at(before - 1, &stuck)); /* a beat later than the look */
    assert_false(life_pulses_at(after + LIMIT_NS + 1, &stuck));
    assert_string_equal(stuck, "engine");
    fr_pulse_beat(pulse);
    assert_true(life_pulses_at(after + LIMIT_NS, &stuck));
    fr_pulse_stop(pulse);
    assert_true(life_pulses_at(after + 100 * LIMIT_NS, &stuck));
}

static void a_loop_that_waits_for_the_disk_is_well_until_it_beats_again(void **state)
{
    (void)state;
    const char *stuck = "nobody";
    struct fr_pulse *pulse = fr_pulse_start("checkpoint");

    fr_pulse_rest(pulse);
    assert_true(life_pulses_at(fr_mono_ns() + 100 * LIMIT_NS, &stuck));
    fr_pulse_beat(pulse);
    assert_false(life_pulses_at(fr_mono_ns() + LIMIT_NS + 1, &stuck));
    assert_string_equal(stuck, "checkpoint");
    fr_pulse_stop(pulse);
}

static void there_is_room_for_64_loops_again_and_again(void **state)
{
    (void)state;
    struct fr_pulse *pulses[FR_PULSES_MAX];
    const char *stuck = NULL;

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < FR_PULSES_MAX; i++)
            pulses[i] = fr_pulse_start(i == FR_PULSES_MAX - 1 ? "last" : "other");
        for (int i = 0; i < FR_PULSES_MAX - 1; i++)
            fr_pulse_stop(pulses[i]);
        assert_false(life_pulses_at(fr_mono_ns() + 2 * LIMIT_NS, &stuck));
        assert_string_equal(stuck, "last");
        fr_pulse_stop(pulses[FR_PULSES_MAX - 1]);
    }
}

struct seen {
    char name[32];
    sigset_t blocked;
    bool ran;
};

static void look_around(void *arg)
{
    struct seen *seen = arg;

    pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    seen->ran = true;
}

static void a_thread_has_its_name_and_gets_no_signals(void **state)
{
    (void)state;
    struct seen seen = {.ran = false};
    sigset_t ours;

    fr_thread_join(fr_thread_start("checkpoint", look_around, &seen));
    assert_true(seen.ran);
    assert_string_equal(seen.name, "checkpoint");
    assert_true(sigismember(&seen.blocked, SIGTERM));
    assert_true(sigismember(&seen.blocked, SIGINT));
    assert_true(sigismember(&seen.blocked, SIGHUP));
    assert_true(sigismember(&seen.blocked, SIGPIPE));
    assert_false(sigismember(&seen.blocked, SIGSEGV)); /* a crash is the thread's own */
    pthread_sigmask(SIG_SETMASK, NULL, &ours);
    assert_false(sigismember(&ours, SIGTERM));
}

static void a_long_name_is_cut_to_what_the_kernel_keeps(void **state)
{
    (void)state;
    struct seen seen = {.ran = false};

    fr_thread_join(fr_thread_start("a-name-of-twenty-four-ch", look_around, &seen));
    assert_string_equal(seen.name, "a-name-of-twent");
    fr_thread_join(NULL);
}

static void look_at_nice(void *nice)
{
    *(int *)nice = getpriority(PRIO_PROCESS, 0);
}

static int nice_of_thread(int more)
{
    int nice = -100;

    fr_thread_join(fr_thread_start_nice("any", more, look_at_nice, &nice));
    return nice;
}

static int at_most_19(int nice)
{
    return nice < 19 ? nice : 19;
}

static void a_thread_is_nicer_than_its_process_and_changes_no_other(void **state)
{
    int nice = getpriority(PRIO_PROCESS, 0);

    (void)state;
    assert_int_equal(nice_of_thread(0), nice);
    assert_int_equal(nice_of_thread(FR_NICE_INGEST), at_most_19(nice + 10));
    assert_int_equal(nice_of_thread(30), 19);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), nice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_state_moves_forward_and_has_a_name),
        cmocka_unit_test(without_loops_all_is_well),
        cmocka_unit_test(a_loop_is_stuck_after_the_limit_and_well_when_it_beats),
        cmocka_unit_test(a_loop_that_waits_for_the_disk_is_well_until_it_beats_again),
        cmocka_unit_test(there_is_room_for_64_loops_again_and_again),
        cmocka_unit_test(a_thread_has_its_name_and_gets_no_signals),
        cmocka_unit_test(a_long_name_is_cut_to_what_the_kernel_keeps),
        cmocka_unit_test(a_thread_is_nicer_than_its_process_and_changes_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
