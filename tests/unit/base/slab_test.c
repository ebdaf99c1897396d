/*
 * slab_test.c -- blocks do not overlap, keep what is in them, come back, and are counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>

#include "freshet/alloc.h"

enum { BLOCKS = 600, STEPS = 40000 };

struct block {
    unsigned char *at;
    size_t size;
    unsigned char pattern;
};

/* splitmix64 */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

/* Small ones mostly; now and then up to 300 KiB; rarely over 1 MiB. */
static size_t random_size(uint64_t *seed)
{
    uint64_t dice = next_random(seed) % 1000;

    if (dice < 900)
        return 1 + next_random(seed) % 600;
    if (dice < 996)
        return 1 + next_random(seed) % (8 << 10);
    return 1 + next_random(seed) % (dice < 999 ? 300 << 10 : 3 << 20);
}

/* The ends of a block, and some of its middle. */
static void check_pattern(const struct block *block)
{
    for (size_t i = 0; i < block->size; i += i < 64 || i + 64 > block->size ? 1 : 61)
        if (block->at[i] != block->pattern)
            fail_msg("byte %zu of %zu is %d, not %d", i, block->size, block->at[i], block->pattern);
}

static void random_blocks_keep_their_bytes_and_are_counted(void **state)
{
    (void)state;
    static const size_t units[] = {16, 32, 64}, parts[] = {FR_SLAB_COARSE, FR_SLAB_FINE};

    for (uint64_t seed = 0; seed < 6; seed++) {
        struct fr_slab *slab = fr_slab_new(units[seed / 2], parts[seed % 2]);
        struct block blocks[BLOCKS] = {0};
        uint64_t random = seed;
        size_t taken = 0;
        for (int step = 0; step < STEPS; step++) {
            struct block *block = &blocks[next_random(&random) % BLOCKS];
            if (block->at) {
                check_pattern(block);
                /* By the size it was taken with, or by its room. */
                size_t room = fr_slab_room(slab, block->size);
                fr_slab_give(slab, block->at, step % 2 ? room : block->size);
                taken -= room;
                block->at = NULL;
            } else {
                block->size = random_size(&random);
                block->pattern = (unsigned char)next_random(&random);
                block->at = fr_slab_take(slab, block->size);
                assert_int_equal((uintptr_t)block->at % units[seed / 2], 0);
                memset(block->at, block->pattern, fr_slab_room(slab, block->size));
                taken += fr_slab_room(slab, block->size);
            }
            assert_int_equal(fr_slab_bytes(slab), taken);
            assert_true(fr_slab_mapped(slab) >= taken);
        }
        for (int i = 0; i < BLOCKS; i++)
            if (blocks[i].at)
                check_pattern(&blocks[i]);
        fr_slab_free(slab); /* with blocks still taken, own mappings too */
    }
}

static void room_is_a_multiple_of_the_unit_and_one_part_over_at_most(void **state)
{
    (void)state;
    for (size_t unit = 16; unit <= 64; unit *= 2)
        for (size_t parts = FR_SLAB_COARSE; parts <= FR_SLAB_FINE; parts++) {
            struct fr_slab *slab = fr_slab_new(unit, parts);
            size_t before = 0;
            for (size_t size = 1; size <= 1 << 20; size += 1 + size / 500) {
                size_t room = fr_slab_room(slab, size);
                assert_true(room >= size && room % unit == 0 && room >= before);
                assert_true(room < size + unit || room <= size + size / parts);
                assert_int_equal(fr_slab_room(slab, room), room);
                before = room;
            }
            assert_int_equal(fr_slab_room(slab, 0), unit);
            assert_int_equal(fr_slab_room(slab, 1), unit);
            assert_int_equal(fr_slab_room(slab, 1 << 20), 1 << 20);
            fr_slab_free(slab);
        }
}

static void what_is_given_is_taken_again(void **state)
{
    (void)state;
    struct fr_slab *slab = fr_slab_new(64, FR_SLAB_COARSE);
    void *blocks[1000];

    for (int i = 0; i < 1000; i++)
        blocks[i] = fr_slab_take(slab, 1000);
    size_t mapped = fr_slab_mapped(slab);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 1000; i++)
            fr_slab_give(slab, blocks[i], 1000);
        assert_int_equal(fr_slab_bytes(slab), 0);
        for (int i = 0; i < 1000; i++)
            blocks[i] = fr_slab_take(slab, 1000);
        assert_int_equal(fr_slab_mapped(slab), mapped);
    }
    fr_slab_free(slab);
}

static void a_small_state_stays_small(void **state)
{
    (void)state;
    struct fr_slab *slab = fr_slab_new(16, FR_SLAB_COARSE);

    assert_int_equal(fr_slab_mapped(slab), 0);
    for (int i = 0; i < 100; i++)
        fr_slab_take(slab, 100);
    assert_int_equal(fr_slab_mapped(slab), 256 << 10);
    fr_slab_take(slab, 300 << 10); /* does not fit in the first region */
    assert_int_equal(fr_slab_mapped(slab), (256 << 10) + (4 << 20));
    fr_slab_free(slab);
}

static void what_is_left_of_a_region_is_used(void **state)
{
    (void)state;
    struct fr_slab *slab = fr_slab_new(16, FR_SLAB_COARSE);
    size_t left = (256 << 10) - 100 * fr_slab_room(slab, 100), size = left;

    for (int i = 0; i < 100; i++)
        fr_slab_take(slab, 100);
    for (int i = 0; i < 4; i++) /* these fill the second region exactly */
        fr_slab_take(slab, 1 << 20);
    assert_int_equal(fr_slab_mapped(slab), (256 << 10) + (4 << 20));
    while (fr_slab_room(slab, size) > left)
        size--;
    fr_slab_take(slab, size); /* the largest block that has its place in the rest of the first */
    assert_int_equal(fr_slab_mapped(slab), (256 << 10) + (4 << 20));
    fr_slab_take(slab, size);
    assert_int_equal(fr_slab_mapped(slab), (256 << 10) + (8 << 20));
    fr_slab_free(slab);
}

static void a_large_block_goes_back_to_the_system(void **state)
{
    (void)state;
    struct fr_slab *slab = fr_slab_new(32, FR_SLAB_COARSE);
    size_t size = (5 << 20) + 1;
    unsigned char resident;

    void *first = fr_slab_take(slab, size), *second = fr_slab_take(slab, size);
    assert_int_equal(fr_slab_room(slab, size), 6 << 20);
    assert_int_equal(fr_slab_mapped(slab), 12 << 20);
    memset(first, 1, 6 << 20);
    memset(second, 2, 6 << 20);
    fr_slab_give(slab, first, size);
    assert_int_equal(mincore(first, 4096, &resident), -1); /* nothing is there any more */
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(fr_slab_mapped(slab), 6 << 20);
    assert_int_equal(fr_slab_bytes(slab), 6 << 20);
    assert_int_equal(((unsigned char *)second)[(6 << 20) - 1], 2);
    fr_slab_give(slab, second, size);
    assert_int_equal(fr_slab_mapped(slab), 0);
    fr_slab_free(slab);
    fr_slab_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_blocks_keep_their_bytes_and_are_counted),
        cmocka_unit_test(room_is_a_multiple_of_the_unit_and_one_part_over_at_most),
        cmocka_unit_test(what_is_given_is_taken_again),
        cmocka_unit_test(a_small_state_stays_small),
        cmocka_unit_test(what_is_left_of_a_region_is_used),
        cmocka_unit_test(a_large_block_goes_back_to_the_system),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
