/*
 * vitals_test.c -- what is measured of the process when no file descriptor is free, and when /proc tells nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vitals.h"

#include "freshet/metric.h"

enum { MORE = 64 << 20 };

static struct rlimit files;
static void *more;

static int set_up(void **state)
{
    (void)state;
    vitals_start("/", "1", "r", "k", "d", "g");
    more = MAP_FAILED;
    return getrlimit(RLIMIT_NOFILE, &files);
}

static int tear_down(void **state)
{
    (void)state;
    if (more != MAP_FAILED)
        munmap(more, MORE);
    vitals_stop();
    return setrlimit(RLIMIT_NOFILE, &files);
}

static void take_all_files(void)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = files.rlim_max};

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(open("/dev/null", O_RDONLY), -1);
}

static void hold_more(void)
{
    more = mmap(NULL, MORE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    assert_true(more != MAP_FAILED);
    memset(more, 1, MORE);
}

static double scraped(enum fr_metric family)
{
    fr_metric_collect();
    return fr_series_value(FR_SERIES(family));
}

static void without_a_free_file_descriptor_memory_and_files_are_still_seen(void **state)
{
    (void)state;
    uint64_t before = vitals_resident(NULL);
    double open_before = scraped(FR_M_PROCESS_FDS);

    assert_true(before > 0);
    assert_true(open_before >= 3);
    take_all_files();
    hold_more();
    assert_true(vitals_resident(NULL) >= before + MORE / 2);
    assert_true(scraped(FR_M_PROCESS_RESIDENT) >= (double)(before + MORE / 2));
    assert_true(scraped(FR_M_PROCESS_VIRTUAL) >= (double)(before + MORE / 2));
    assert_true(scraped(FR_M_PROCESS_FDS) == open_before);
}

/* The file descriptor that is open on it; -1: none. */
static int open_on(const char *what)
{
    char path[64], target[256];

    for (int fd = 3; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(path, target, sizeof target - 1);
        target[len < 0 ? 0 : len] = 0;
        if (strstr(target, what))
            return fd;
    }
    return -1;
}

static void what_cannot_be_read_stays_as_it_was(void **state)
{
    (void)state;
    uint64_t before;
    int statm = open_on("/statm"), listing = open_on("/fd"), nothing = open("/dev/null", O_RDONLY);
    double open_before = scraped(FR_M_PROCESS_FDS);

    assert_true(statm >= 0 && listing >= 0 && nothing >= 0);
    assert_int_equal(dup2(nothing, statm), statm); /* /proc as it is where it is not mounted */
    assert_int_equal(dup2(nothing, listing), listing);
    close(nothing);
    before = (uint64_t)fr_series_value(FR_SERIES(FR_M_PROCESS_RESIDENT));
    assert_true(before > 0);
    hold_more();
    assert_true(vitals_resident(NULL) == before);
    assert_true(scraped(FR_M_PROCESS_RESIDENT) == (double)before);
    assert_true(scraped(FR_M_PROCESS_VIRTUAL) >= (double)before);
    assert_true(scraped(FR_M_PROCESS_FDS) == open_before);
}

/* From the start; who cannot tell changes nothing. */
static void free_space_is_what_was_told_last(void **state)
{
    (void)state;

    assert_true(scraped(FR_M_DISK_FREE) > 0);
    vitals_disk(12345);
    assert_true(scraped(FR_M_DISK_FREE) == 12345); /* nobody has looked */
    vitals_disk(UINT64_MAX);
    assert_true(scraped(FR_M_DISK_FREE) == 12345);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_free_file_descriptor_memory_and_files_are_still_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_stays_as_it_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(free_space_is_what_was_told_last, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
