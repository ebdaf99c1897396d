/*
 * tournament_test.c -- the best and the n-th of those left are whom a walk over all finds, and how often two are compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tournament.h"

enum { MOST = 300, STEPS = 400, LARGE = 100000 };

static int worth[LARGE];
static uint64_t compared, dice = 9;

static uint32_t roll(uint32_t sides)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(dice >> 33) % sides;
}

static bool better(const void *context, uint32_t a, uint32_t b)
{
    const int *of = context;

    assert_true(a < b);
    compared++;
    return of[b] > of[a];
}

static void assert_as_walked(const struct tournament *tournament, const bool *in, size_t len)
{
    size_t left = 0, best = len;

    for (size_t i = 0; i < len; i++) {
        if (!in[i])
            continue;
        assert_int_equal(tournament_at(tournament, left), i);
        left++;
        if (best == len || worth[i] > worth[best])
            best = i;
    }
    assert_int_equal(tournament_left(tournament), left);
    if (left)
        assert_int_equal(tournament_best(tournament), best);
}

static void whoever_falls_or_leaves(void **state)
{
    struct fr_arena arena = {0};

    (void)state;
    for (size_t len = 0; len <= MOST; len += len < 20 ? 1 : 1 + roll(40)) {
        struct tournament tournament;
        bool in[MOST];
        memset(in, true, sizeof(in));
        for (size_t i = 0; i < len; i++)
            worth[i] = (int)roll(10);
        fr_arena_reset(&arena);
        tournament_init(&tournament, &arena, len, better, worth);
        assert_as_walked(&tournament, in, len);
        for (int step = 0; len && step < STEPS; step++) {
            uint32_t at = roll(2) && tournament_left(&tournament) ? tournament_best(&tournament) : roll((uint32_t)len);
            if (roll(3)) {
                worth[at] -= (int)roll(5);
                tournament_fell(&tournament, at);
            } else {
                in[at] = false;
                tournament_out(&tournament, at);
            }
            assert_as_walked(&tournament, in, len);
        }
    }
    fr_arena_release(&arena);
}

/* 2^17 are room enough for them: the tree is 17 high. */
static void comparisons_are_few(void **state)
{
    enum { HIGH = 17 };
    struct fr_arena arena = {0};
    struct tournament tournament;

    (void)state;
    for (size_t i = 0; i < LARGE; i++)
        worth[i] = (int)roll(1000);
    compared = 0;
    tournament_init(&tournament, &arena, LARGE, better, worth);
    assert_true(compared < LARGE);
    compared = 0;
    for (uint32_t i = 1; i < LARGE; i += 2) /* who has lost to the one before is the best nowhere */
        if (worth[i] <= worth[i - 1]) {
            worth[i]--;
            tournament_fell(&tournament, i);
        }
    assert_int_equal(compared, 0);
    for (size_t i = 0; i < LARGE / 2; i++) {
        uint32_t best = tournament_best(&tournament);
        compared = 0;
        worth[best] -= 500;
        tournament_fell(&tournament, best);
        assert_true(compared <= HIGH);
        compared = 0;
        tournament_out(&tournament, tournament_at(&tournament, roll((uint32_t)tournament_left(&tournament))));
        tournament_out(&tournament, best);
        assert_true(compared <= 2 * HIGH);
    }
    compared = 0;
    tournament_best(&tournament);
    tournament_at(&tournament, 0);
    assert_int_equal(compared, 0);
    fr_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_falls_or_leaves),
        cmocka_unit_test(comparisons_are_few),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
