/*
 * tokens_test.c -- the file of tokens: what is in it, what is wrong with it, who has one, and reading it again while others ask.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "freshet/tokens.h"

/* SHA-256 of "alpha" and "beta" */
#define ALPHA "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
#define BETA "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753"

static char path[] = "/tmp/freshet-tokens-XXXXXX";

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 || close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static enum role find(struct tokens_view *view, const char *token, const char *name)
{
    const char *found = "";
    enum role role = tokens_find(view, fr_bytes_of(token), &found);

    assert_string_equal(found, name);
    return role;
}

static void a_token_is_found_by_its_hash(void **state)
{
    struct tokens *tokens;
    struct tokens_view *view;
    struct fr_err err;

    (void)state;
    write_file("# who may ask\n\n  web\tread " ALPHA "\r\nops-1 admin " BETA); /* and no end of line */
    assert_int_equal(tokens_open(&tokens, path, &err), FR_OK);
    assert_int_equal(tokens_len(tokens), 2);
    view = tokens_view_new(tokens);
    assert_int_equal(find(view, "alpha", "web"), ROLE_READ);
    assert_int_equal(find(view, "beta", "ops-1"), ROLE_ADMIN);
    assert_int_equal(find(view, "gamma", ""), ROLE_NONE);
    assert_int_equal(find(view, "", ""), ROLE_NONE);
    assert_int_equal(find(view, "alpha\n", ""), ROLE_NONE);
    assert_int_equal(find(view, ALPHA, ""), ROLE_NONE); /* the hash is no token */
    tokens_view_free(view);
    tokens_free(tokens);
}

static void each_digit_of_a_hash_counts(void **state)
{
    char line[] = "web read " ALPHA "\n", *hash = line + 9;
    struct tokens *tokens;
    struct tokens_view *view;
    struct fr_err err;

    (void)state;
    write_file(line);
    assert_int_equal(tokens_open(&tokens, path, &err), FR_OK);
    view = tokens_view_new(tokens);
    for (int i = 0; i < 64; i++) {
        char was = hash[i];
        hash[i] = was == '0' ? '1' : '0';
        write_file(line);
        assert_int_equal(tokens_read(tokens, &err), FR_OK);
        assert_int_equal(find(view, "alpha", ""), ROLE_NONE);
        hash[i] = was;
    }
    tokens_view_free(view);
    tokens_free(tokens);
}

static void a_name_may_have_two_tokens_while_one_takes_the_others_place(void **state)
{
    struct token_table *table;
    struct fr_err err;

    (void)state;
    assert_int_equal(token_table_parse(&table, "t", FR_BYTES("web read " ALPHA "\nweb read " BETA "\n"), &err), FR_OK);
    token_table_free(table);
}

static void what_is_wrong_is_named_with_its_line_and_without_its_words(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "'t' holds no token: nobody could ask anything"},
        {"# nothing\n\n", "'t' holds no token: nobody could ask anything"},
        {"web read " ALPHA "\n\nweb\n", "'t' line 3: after the name must come read, write or admin"},
        {"web reader " ALPHA, "'t' line 1: after the name must come read, write or admin"},
        {"web none " ALPHA, "'t' line 1: after the name must come read, write or admin"},
        {"w\xc3\xa9" "b read " ALPHA, "'t' line 1: the name must be at most 64 letters, digits, dots, _ and -"},
        {"a2345678901234567890123456789012345678901234567890123456789012345 read " ALPHA,
         "'t' line 1: the name must be at most 64 letters, digits, dots, _ and -"},
        {"web read alpha", "'t' line 1: after the role must come a SHA-256, 64 hexadecimal digits"},
        {"web read " ALPHA "0", "'t' line 1: after the role must come a SHA-256, 64 hexadecimal digits"},
        {"web read 8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223fg",
         "'t' line 1: after the role must come a SHA-256, 64 hexadecimal digits"},
        {"web read " ALPHA " -", "'t' line 1: nothing may follow the SHA-256"},
        {"web read " ALPHA "\nops admin " ALPHA, "'t' line 2: this token is in the file already"},
        {"web read " ALPHA "\nweb admin " BETA, "'t' line 2: this name has another role before"},
        {"web read e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "'t' line 1: this is the SHA-256 of no token at all"},
    };
    struct token_table *table;
    struct fr_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(token_table_parse(&table, "t", fr_bytes_of(cases[i].text), &err), FR_CONFIG);
        assert_string_equal(err.text, cases[i].says);
    }
}

static void there_are_a_thousand_tokens_at_most(void **state)
{
    char *text = malloc(1001 * 100), *at = text;
    struct token_table *table;
    struct fr_err err;

    (void)state;
    for (int i = 0; i < 1000; i++)
        at += sprintf(at, "n%d write %064x\n", i, i);
    assert_int_equal(token_table_parse(&table, "t", (struct fr_bytes){text, (size_t)(at - text)}, &err), FR_OK);
    token_table_free(table);
    at += sprintf(at, "n write " ALPHA);
    assert_int_equal(token_table_parse(&table, "t", (struct fr_bytes){text, (size_t)(at - text)}, &err), FR_CONFIG);
    assert_string_equal(err.text, "'t' line 1001: there are more than 1000 tokens");
    free(text);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    struct tokens *tokens;
    struct fr_err err;

    (void)state;
    assert_int_equal(tokens_open(&tokens, "/nowhere/tokens", &err), FR_CONFIG);
    assert_string_equal(err.text, "cannot read '/nowhere/tokens': No such file or directory");
    assert_int_equal(tokens_open(&tokens, "/dev/zero", &err), FR_CONFIG);
    assert_string_equal(err.text, "cannot read '/dev/zero': it is no regular file");
}

static void a_file_read_again_counts_at_once_and_a_bad_one_not_at_all(void **state)
{
    struct tokens *tokens;
    struct tokens_view *view;
    struct fr_err err;

    (void)state;
    write_file("web read " ALPHA "\n");
    assert_int_equal(tokens_open(&tokens, path, &err), FR_OK);
    view = tokens_view_new(tokens);
    assert_int_equal(find(view, "alpha", "web"), ROLE_READ);
    write_file("web write " BETA "\n");
    assert_int_equal(find(view, "alpha", "web"), ROLE_READ);
    assert_int_equal(tokens_read(tokens, &err), FR_OK);
    assert_int_equal(find(view, "alpha", ""), ROLE_NONE);
    assert_int_equal(find(view, "beta", "web"), ROLE_WRITE);
    write_file("web write\n");
    assert_int_equal(tokens_read(tokens, &err), FR_CONFIG);
    assert_int_equal(find(view, "beta", "web"), ROLE_WRITE);
    tokens_view_free(view);
    tokens_free(tokens);
}

/* ---- while others ask ---- */

struct asker {
    struct tokens *tokens;
    _Atomic bool *over;
    _Atomic long *asked;
};

static void *ask_on(void *asker_pointer)
{
    struct asker *asker = asker_pointer;
    struct tokens_view *view = tokens_view_new(asker->tokens);
    const char *name;

    while (!atomic_load(asker->over)) {
        if (tokens_find(view, FR_BYTES("alpha"), &name) != ROLE_READ || strcmp(name, "web"))
            abort();
        atomic_fetch_add(asker->asked, 1);
    }
    tokens_view_free(view);
    return NULL;
}

static void who_asks_meanwhile_is_never_without_his_token(void **state)
{
    struct tokens *tokens;
    _Atomic bool over = false;
    _Atomic long asked = 0;
    pthread_t threads[3];
    struct fr_err err;

    (void)state;
    write_file("web read " ALPHA "\n");
    assert_int_equal(tokens_open(&tokens, path, &err), FR_OK);
    struct asker asker = {tokens, &over, &asked};
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, ask_on, &asker);
    for (int i = 0; i < 300 || atomic_load(&asked) < 1000; i++) {
        write_file(i % 2 ? "web read " ALPHA "\n" : "a admin " BETA "\nweb read " ALPHA "\n");
        assert_int_equal(tokens_read(tokens, &err), FR_OK);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    tokens_free(tokens);
}

static void a_header_is_bearer_and_one_word(void **state)
{
    struct fr_bytes token;

    (void)state;
    assert_true(tokens_bearer(FR_BYTES("Bearer abc"), &token));
    assert_true(fr_bytes_equal(token, FR_BYTES("abc")));
    assert_true(tokens_bearer(FR_BYTES("bEARER  abc "), &token));
    assert_true(fr_bytes_equal(token, FR_BYTES("abc")));
    assert_false(tokens_bearer(FR_BYTES("Bearer "), &token));
    assert_false(tokens_bearer(FR_BYTES("Bearer"), &token));
    assert_false(tokens_bearer(FR_BYTES("Bearerabc"), &token));
    assert_false(tokens_bearer(FR_BYTES("Bearer a b"), &token));
    assert_false(tokens_bearer(FR_BYTES("Basic abc"), &token));
    assert_false(tokens_bearer(FR_BYTES(""), &token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_found_by_its_hash),
        cmocka_unit_test(each_digit_of_a_hash_counts),
        cmocka_unit_test(a_name_may_have_two_tokens_while_one_takes_the_others_place),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line_and_without_its_words),
        cmocka_unit_test(there_are_a_thousand_tokens_at_most),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(a_file_read_again_counts_at_once_and_a_bad_one_not_at_all),
        cmocka_unit_test(who_asks_meanwhile_is_never_without_his_token),
        cmocka_unit_test(a_header_is_bearer_and_one_word),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
