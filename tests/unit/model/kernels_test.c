/*
 * kernels_test.c -- every width of vector that this processor has against the plainest loop.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels.h"

enum { LINES = 300, ROOM = LINES * LINE_SLOTS, MANY = 4096 };

static uint64_t random_state = 1;

static uint32_t draw(void)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(random_state >> 32);
}

static size_t take_plainly(const struct line *lines, uint32_t lines_len, uint32_t least, uint32_t *columns, uint32_t *counts)
{
    size_t len = 0;

    for (uint32_t at = 0; at < lines_len * LINE_SLOTS; at++) {
        if (lines[at / LINE_SLOTS].counts[at % LINE_SLOTS] < least)
            continue;
        columns[len] = lines[at / LINE_SLOTS].columns[at % LINE_SLOTS];
        counts[len++] = lines[at / LINE_SLOTS].counts[at % LINE_SLOTS];
    }
    return len;
}

/* Line k < 256 has exactly the slots of mask k, the rest random ones: every mask is met. */
static void fill(struct line *lines)
{
    for (uint32_t k = 0; k < LINES; k++) {
        uint32_t mask = k < 256 ? k : draw();
        for (unsigned slot = 0; slot < LINE_SLOTS; slot++) {
            bool live = mask >> slot & 1;
            lines[k].columns[slot] = live || draw() % 2 ? draw() : NO_COLUMN; /* a count may have gone back to 0 */
            lines[k].counts[slot] = !live ? 0 : draw() % 4 ? 1 + draw() % 9 : draw() | 1U << 31;
        }
    }
}

static void all_take_the_same_entries_in_the_same_order(void **state)
{
    static struct line lines[LINES];
    static uint32_t want_columns[ROOM], want_counts[ROOM];
    uint32_t columns[ROOM], counts[ROOM]; /* on the stack, so that AddressSanitizer knows their ends */

    static const uint32_t leasts[] = {1, 2, 6, 1U << 31, UINT32_MAX};

    (void)state;
    fill(lines);
    for (size_t all = 0, which; kernels_at(which = all / 5); all++) {
        uint32_t least = leasts[all % 5];
        for (uint32_t begin = 0; begin < LINES; begin += 7) {
            for (uint32_t len = 0; begin + len <= LINES; len += len < 4 ? 1 : 61) {
                size_t want = take_plainly(lines + begin, len, least, want_columns, want_counts);
                memset(columns, 0xAB, sizeof(columns));
                assert_int_equal(kernels_at(which)->take(lines + begin, len, least, columns, counts), want);
                assert_memory_equal(columns, want_columns, want * sizeof(*columns));
                assert_memory_equal(counts, want_counts, want * sizeof(*counts));
                /* Room is that of the slots; what is behind it is somebody else's. */
                assert_true(len == LINES || columns[len * LINE_SLOTS] == 0xABABABAB);
            }
        }
    }
}

static long double shrunk_of(uint32_t c, uint32_t n_i, uint32_t n_j, double weight)
{
    return weight * (long double)c / sqrtl((long double)n_i * n_j + 400);
}

/* Counts of all magnitudes, up to the largest there are. */
static void draw_pairs(uint32_t *c, uint32_t *n_j)
{
    for (uint32_t k = 0; k < MANY; k++) {
        n_j[k] = (draw() >> draw() % 32) | 1;
        c[k] = draw() % n_j[k] | 1;
    }
    n_j[0] = n_j[1] = UINT32_MAX;
    c[0] = UINT32_MAX;
    c[1] = n_j[2] = c[2] = 1;
}

static void shrunk_cosines_are_within_1e_14(void **state)
{
    static uint32_t c[MANY], n_j[MANY];
    static double values[MANY];
    static const uint32_t items[] = {1, 2, 3, 77, 4000, 65537, 1U << 31, UINT32_MAX};
    static const double weights[] = {1, 0.8, 1e-9, -3, 1e12};

    (void)state;
    draw_pairs(c, n_j);
    for (size_t which = 0; kernels_at(which); which++) {
        for (size_t i = 0; i < sizeof(items) / sizeof(*items); i++) {
            for (size_t w = 0; w < sizeof(weights) / sizeof(*weights); w++) {
                kernels_at(which)->shrunk(c, items[i], n_j, weights[w], values, MANY);
                for (uint32_t k = 0; k < MANY; k++) {
                    long double want = shrunk_of(c[k], items[i], n_j[k], weights[w]);
                    if (!(fabsl(values[k] - want) <= 1e-14L * fabsl(want)))
                        fail_msg("%s: %u of %u and %u: %.17g, want %.17Lg", kernels_at(which)->name, c[k], items[i],
                                 n_j[k], values[k], want);
                }
            }
        }
    }
}

/* Ties in scores are broken by id, so they must be ties, wherever in a row the pairs stand. */
static void equal_evidence_has_equal_bits_wherever_it_stands(void **state)
{
    static uint32_t c[MANY], n_j[MANY];
    static double first[MANY], moved[MANY + KERNEL_WIDTH];

    (void)state;
    draw_pairs(c, n_j);
    for (size_t which = 0; kernels_at(which); which++) {
        kernels_at(which)->shrunk(c, 321, n_j, 0.3, first, MANY);
        for (uint32_t by = 1; by < KERNEL_WIDTH; by++) {
            kernels_at(which)->shrunk(c + by, 321, n_j + by, 0.3, moved, MANY - KERNEL_WIDTH);
            assert_memory_equal(moved, first + by, (MANY - KERNEL_WIDTH) * sizeof(*first));
        }
    }
}

/* Entries where they belong, in rows from empty to full to the last slot. */
static size_t lines_with(struct line *lines, uint32_t lines_len, size_t entries, uint32_t *columns)
{
    for (uint32_t at = 0; at < lines_len * LINE_SLOTS; at++) {
        lines[at / LINE_SLOTS].columns[at % LINE_SLOTS] = NO_COLUMN;
        lines[at / LINE_SLOTS].counts[at % LINE_SLOTS] = 0;
    }
    for (size_t k = 0; k < entries; k++) {
        columns[k] = (uint32_t)k * 2654435761U % 100000;
        uint32_t at = home_line(columns[k], lines_len), slot = 0;
        while (lines[at].columns[slot] != NO_COLUMN)
            if (++slot == LINE_SLOTS) {
                slot = 0;
                at = at + 1 < lines_len ? at + 1 : 0;
            }
        lines[at].columns[slot] = columns[k];
        lines[at].counts[slot] = 7 * columns[k] + 1;
    }
    return entries;
}

static void all_find_what_is_there_and_nothing_else(void **state)
{
    static struct line lines[LINES];
    static uint32_t columns[2 * ROOM + 5], counts[2 * ROOM + 5];
    static const uint32_t sizes[] = {1, 2, 3, 17, LINES};

    (void)state;
    for (size_t which = 0; kernels_at(which); which++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
            for (uint32_t part = 0; part <= 8; part++) {
                size_t len = lines_with(lines, sizes[s], (size_t)sizes[s] * LINE_SLOTS * part / 8, columns);
                for (size_t k = len; k < 2 * len + 5; k++)
                    columns[k] = 100000 + draw() % 100000; /* not there */
                memset(counts, 0xAB, sizeof(counts));
                kernels_at(which)->look(lines, sizes[s], columns, 2 * len + 5, counts);
                for (size_t k = 0; k < 2 * len + 5; k++)
                    assert_int_equal(counts[k], k < len ? 7 * columns[k] + 1 : 0);
            }
        }
    }
}

/* What is added up must never be below the truth, or one of the best could be lost; nor far above, or many would be looked at. */
static void steps_are_rounded_up_and_little_above(void **state)
{
    static _Atomic uint32_t users_of_item[MANY];
    static _Atomic uint8_t users_bytes[MANY];
    static uint32_t n_j[MANY], columns[MANY], counts[MANY], steps[MANY];
    static const uint32_t items[] = {1, 2, 77, 65537, UINT32_MAX};
    static const float weights[] = {1, 0.3F, 60000, 1e6F};

    (void)state;
    draw_pairs(counts, n_j);
    for (uint32_t k = 0; k < MANY; k++) {
        while (k > MANY / 2 && n_j[k] >= 500000) /* the other half has those whose byte does not say enough */
            n_j[k] /= 2;
        counts[k] = counts[k] < n_j[k] ? counts[k] : n_j[k];
        columns[k] = (k * 5 + 3) % MANY;
        users_of_item[columns[k]] = n_j[k];
        users_bytes[columns[k]] = users_byte(n_j[k]);
    }
    for (size_t which = 0; kernels_at(which); which++) {
        for (size_t i = 0; i < sizeof(items) / sizeof(*items); i++) {
            for (size_t w = 0; w < sizeof(weights) / sizeof(*weights); w++) {
                struct rough with = {users_bytes, users_of_item, MANY, items[i], 1, weights[w], 40000};
                memset(steps, 0xAB, sizeof(steps));
                kernels_at(which)->rough(&with, columns, counts, steps, MANY);
                for (uint32_t k = 0; k < MANY; k++) {
                    long double value = shrunk_of(counts[k] < items[i] ? counts[k] : items[i], items[i], n_j[k], weights[w]);
                    long double most = value < 40000 ? value : 40000;
                    if (steps[k] < most || steps[k] > value * ROUGH_OVER + 1 || steps[k] > 40000)
                        fail_msg("%s: %u of %u and %u at %g: %u steps, want %.9Lg", kernels_at(which)->name, counts[k], items[i],
                                 n_j[k], (double)weights[w], steps[k], value);
                }
            }
        }
    }
}

static void a_pair_without_evidence_has_no_steps(void **state)
{
    static _Atomic uint32_t users_of_item[] = {5, 0, 9, 3, 50, 50};
    static _Atomic uint8_t users_bytes[6];
    static const uint32_t columns[] = {0, 1, 2, 3, 4, 5}, counts[] = {4, 4, 2, 9, 3, 30};
    struct rough with = {users_bytes, users_of_item, 5, 6, 3, 1000, 1000}; /* column 5 is born later; threshold 3 */
    uint32_t wide_columns[37], wide_counts[37], steps[37];

    (void)state;
    for (size_t item = 0; item < 6; item++)
        users_bytes[item] = users_byte(users_of_item[item]);
    for (size_t which = 0; kernels_at(which); which++) {
        for (uint32_t len = 1; len <= 37; len++) { /* each place of a vector, and behind the last whole one */
            for (uint32_t k = 0; k < len; k++) {
                wide_columns[k] = columns[(k * 7 + k / 6) % 6];
                wide_counts[k] = counts[(k * 7 + k / 6) % 6];
            }
            kernels_at(which)->rough(&with, wide_columns, wide_counts, steps, len);
            for (uint32_t k = 0; k < len; k++) {
                bool is = wide_columns[k] == 0 || wide_columns[k] == 3 || wide_columns[k] == 4;
                assert_int_equal(steps[k] > 0, is);
            }
        }
    }
}

static void those_with_steps_enough_are_kept_in_order_and_nothing_behind_them_is_touched(void **state)
{
    enum { LONGEST = 75 };
    static const uint32_t leasts[] = {1, 2, 7, 1U << 31, UINT32_MAX};

    (void)state;
    for (size_t which = 0; kernels_at(which); which++) {
        for (uint32_t len = 0; len <= LONGEST; len++) {
            for (size_t l = 0; l < sizeof(leasts) / sizeof(*leasts); l++) {
                uint32_t columns[LONGEST + 1], steps[LONGEST + 1], want_columns[LONGEST], want_steps[LONGEST];
                size_t want = 0;
                for (uint32_t k = 0; k < len; k++) {
                    columns[k] = draw();
                    steps[k] = draw() % 4 ? draw() % 10 : draw();
                    want_columns[want] = columns[k];
                    want_steps[want] = steps[k];
                    want += steps[k] >= leasts[l];
                }
                columns[len] = steps[len] = 0xABABABAB;
                assert_int_equal(kernels_at(which)->keep(leasts[l], columns, steps, len), want);
                assert_memory_equal(columns, want_columns, want * sizeof(*columns));
                assert_memory_equal(steps, want_steps, want * sizeof(*steps));
                assert_int_equal(columns[len], 0xABABABAB);
                assert_int_equal(steps[len], 0xABABABAB);
            }
        }
    }
}

static void the_best_is_one_of_them(void **state)
{
    size_t last = 0;

    (void)state;
    assert_string_equal(kernels_at(0)->name, "portable");
    while (kernels_at(last + 1))
        last++;
    assert_ptr_equal(kernels_best(), kernels_at(last));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_take_the_same_entries_in_the_same_order),
        cmocka_unit_test(shrunk_cosines_are_within_1e_14),
        cmocka_unit_test(equal_evidence_has_equal_bits_wherever_it_stands),
        cmocka_unit_test(all_find_what_is_there_and_nothing_else),
        cmocka_unit_test(steps_are_rounded_up_and_little_above),
        cmocka_unit_test(a_pair_without_evidence_has_no_steps),
        cmocka_unit_test(those_with_steps_enough_are_kept_in_order_and_nothing_behind_them_is_touched),
        cmocka_unit_test(the_best_is_one_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
