/*
 * array_test.c -- an array that never moves, is zero where it is new, and costs what it holds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "freshet/alloc.h"
#include "sanitized.h"

enum { MIB = 1 << 20 };

static void it_never_moves_and_new_elements_are_zero(void **state)
{
    (void)state;
    struct fr_array array;
    size_t seen = 0;

    fr_array_init(&array, sizeof(uint64_t), 3 * MIB); /* 24 MiB at most */
    char *base = array.base;
    assert_non_null(base);
    for (size_t len = 1; len <= 3 * MIB; len += 100003) {
        fr_array_grow(&array, len);
        assert_ptr_equal(array.base, base);
        assert_true(array.committed >= len);
        for (; seen < len; seen++) {
            uint64_t *element = fr_array_at(&array, seen);
            if (*element != 0)
                fail_msg("element %zu is not zero", seen);
            *element = seen + 1;
        }
    }
    for (size_t i = 0; i < seen; i++)
        if (*(uint64_t *)fr_array_at(&array, i) != i + 1)
            fail_msg("element %zu has changed", i);
    fr_array_release(&array);
    assert_null(array.base);
}

static void all_of_its_elements_can_be_used_and_no_more_is_counted(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 24, 4096, 100000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct fr_array array;
        size_t max = 5 * MIB / sizes[i];
        fr_array_init(&array, sizes[i], max);
        assert_int_equal(fr_array_bytes(&array), 0);
        fr_array_grow(&array, 1);
        assert_int_equal(fr_array_bytes(&array), 2 * MIB); /* a small one has one step */
        fr_array_grow(&array, max);
        assert_int_equal(array.committed, max);
        memset(fr_array_at(&array, max - 1), 1, sizes[i]);
        assert_int_equal(fr_array_bytes(&array), 6 * MIB);
        fr_array_release(&array);
    }
}

static void it_grows_by_an_eighth_so_that_appending_is_cheap(void **state)
{
    (void)state;
    struct fr_array array;
    size_t steps = 0;

    fr_array_init(&array, 1024, MIB); /* 1 GiB of addresses */
    for (size_t len = 1; len <= MIB; len++) {
        size_t before = fr_array_bytes(&array);
        fr_array_grow(&array, len);
        steps += fr_array_bytes(&array) != before;
    }
    /* 8 steps of 2 MiB, then an eighth, rounded up to 2 MiB: fewer than 8 + ln(64) / ln(9/8) = 43.3. */
    assert_in_range(steps, 20, 43);
    fr_array_release(&array);
}

static size_t resident_bytes(void)
{
    char text[100] = "";
    FILE *file = fopen("/proc/self/statm", "r");
    size_t pages = 0;

    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    assert_int_equal(sscanf(text, "%*u %zu", &pages), 1);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void reserving_uses_no_memory(void **state)
{
    (void)state;
    if (SANITIZED)
        skip(); /* shadows are memory too */
    struct fr_array arrays[8];
    size_t before = resident_bytes();

    for (int i = 0; i < 8; i++) {
        fr_array_init(&arrays[i], 64, (size_t)64 * MIB); /* 4 GiB each */
        fr_array_grow(&arrays[i], 1);
        *(char *)fr_array_at(&arrays[i], 0) = 1;
    }
    assert_true(resident_bytes() < before + MIB);
    for (int i = 0; i < 8; i++)
        fr_array_release(&arrays[i]);
}

/* Is the mapping with this address marked for huge pages (VmFlags "hg" of smaps)? */
static bool asks_for_huge_pages(const void *address)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char text[1000];
    bool inside = false, asks = false;

    assert_non_null(file);
    while (fgets(text, sizeof(text), file)) {
        size_t begin, end;
        if (sscanf(text, "%zx-%zx ", &begin, &end) == 2)
            inside = (uintptr_t)address >= begin && (uintptr_t)address < end;
        else if (inside && strncmp(text, "VmFlags:", 8) == 0)
            asks = strstr(text, " hg") != NULL;
    }
    fclose(file);
    return asks;
}

static void it_asks_for_huge_pages_once_it_is_larger_than_one(void **state)
{
    (void)state;
    struct fr_array array;

    if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK))
        skip();
    fr_array_init(&array, 1024, 1 << 20);
    assert_int_equal((uintptr_t)array.base % (2 * MIB), 0);
    fr_array_grow(&array, 2048);
    assert_false(asks_for_huge_pages(array.base));
    fr_array_grow(&array, 2049);
    assert_true(asks_for_huge_pages(array.base));
    assert_true(asks_for_huge_pages(fr_array_at(&array, 2048)));
    fr_array_release(&array);
}

static void one_that_never_had_elements_can_be_released(void **state)
{
    (void)state;
    struct fr_array array, none = {0};

    fr_array_init(&array, 8, 0);
    fr_array_grow(&array, 0);
    fr_array_release(&array);
    fr_array_release(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_never_moves_and_new_elements_are_zero),
        cmocka_unit_test(all_of_its_elements_can_be_used_and_no_more_is_counted),
        cmocka_unit_test(it_grows_by_an_eighth_so_that_appending_is_cheap),
        cmocka_unit_test(reserving_uses_no_memory),
        cmocka_unit_test(it_asks_for_huge_pages_once_it_is_larger_than_one),
        cmocka_unit_test(one_that_never_had_elements_can_be_released),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
