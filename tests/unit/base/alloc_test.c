/*
 * alloc_test.c -- small allocations, lists that grow, arenas, and what happens when the system refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include "freshet/alloc.h"

static void blocks_of_no_bytes_are_blocks(void **state)
{
    (void)state;
    void *a = fr_alloc(0), *b = fr_zalloc(0, 8), *c = fr_realloc(NULL, 0);

    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    free(a);
    free(b);
    free(c);
}

static void copies_of_text_end(void **state)
{
    (void)state;
    char *whole = fr_strdup("hello"), *part = fr_strndup("hello", 2), *shorter = fr_strndup("hi", 10);

    assert_string_equal(whole, "hello");
    assert_string_equal(part, "he");
    assert_string_equal(shorter, "hi");
    free(whole);
    free(part);
    free(shorter);
}

static void a_list_keeps_its_elements_as_it_grows_by_half(void **state)
{
    (void)state;
    uint64_t *list = NULL;
    size_t cap = 0, moves = 0;

    for (size_t len = 0; len < 10000; len++) {
        size_t before = cap;
        fr_reserve((void **)&list, &cap, len + 1, sizeof(*list));
        assert_true(cap > len);
        moves += cap != before;
        list[len] = len * 3;
    }
    for (size_t i = 0; i < 10000; i++)
        assert_true(list[i] == i * 3);
    assert_true(moves < 25); /* log(10000 / 8) / log(1.5) = 17.6 */
    fr_reserve((void **)&list, &cap, 50000, sizeof(*list));
    assert_true(cap >= 50000);
    free(list);
}

static void an_arena_gives_aligned_blocks_that_do_not_overlap(void **state)
{
    (void)state;
    struct fr_arena arena = {0};
    unsigned char *blocks[500];

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 500; i++) {
            blocks[i] = fr_arena_take(&arena, i * 7);
            assert_int_equal((uintptr_t)blocks[i] % 16, 0);
            memset(blocks[i], (int)(i & 0xFF), i * 7);
        }
        for (size_t i = 0; i < 500; i++)
            for (size_t k = 0; k < i * 7; k++)
                assert_int_equal(blocks[i][k], i & 0xFF);
        assert_true(arena.total >= 500 * 499 / 2 * 7);
        fr_arena_reset(&arena);
        assert_int_equal(arena.total, 0);
    }
    fr_arena_release(&arena);
    assert_null(arena.first);
}

static void an_arena_keeps_its_memory_over_a_reset_but_not_huge_blocks(void **state)
{
    (void)state;
    struct fr_arena arena = {0};

    void *first = fr_arena_take(&arena, 100);
    fr_arena_reset(&arena);
    assert_ptr_equal(fr_arena_take(&arena, 100), first);
    memset(fr_arena_take(&arena, 3 << 20), 1, 3 << 20);
    fr_arena_reset(&arena);
    assert_ptr_equal(fr_arena_take(&arena, 100), first);
    assert_in_range(fr_arena_bytes(&arena), 16 << 10, 17 << 10);
    memset(fr_arena_take(&arena, 3 << 20), 1, 3 << 20);
    assert_in_range(fr_arena_bytes(&arena), (3 << 20) + (16 << 10), (3 << 20) + (17 << 10));
    fr_arena_release(&arena);
    assert_int_equal(fr_arena_bytes(&arena), 0);
    fr_arena_release(&arena); /* releasing nothing is nothing */
}

static void a_refused_allocation_ends_the_process_with_70_and_a_sentence(void **state)
{
    (void)state;
    int ends[2];
    char said[300] = "";

    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        struct fr_array array;
        fr_array_init(&array, 1, (size_t)1 << 60); /* more than there are addresses */
        _exit(0);
    }
    close(ends[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 70);
    assert_true(read(ends[0], said, sizeof(said) - 1) > 0);
    assert_non_null(strstr(said, ": out of memory: the system refused "));
    assert_non_null(strstr(said, " bytes for "));
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_no_bytes_are_blocks),
        cmocka_unit_test(copies_of_text_end),
        cmocka_unit_test(a_list_keeps_its_elements_as_it_grows_by_half),
        cmocka_unit_test(an_arena_gives_aligned_blocks_that_do_not_overlap),
        cmocka_unit_test(an_arena_keeps_its_memory_over_a_reset_but_not_huge_blocks),
        cmocka_unit_test(a_refused_allocation_ends_the_process_with_70_and_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
