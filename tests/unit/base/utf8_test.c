/*
 * utf8_test.c -- what is UTF-8 and what is an id, by tables of RFC 3629 and by a decoder written differently.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/bytes.h"

#define TEXT(literal) {(literal), sizeof(literal) - 1} /* FR_BYTES is no constant */

static const struct fr_bytes good[] = {
    {NULL, 0},
    TEXT("a"),
    TEXT("plain ASCII, longer than eight bytes"),
    TEXT("\x00"),
    TEXT("\x7F"),
    TEXT("\xC2\x80"),                /* U+0080 */
    TEXT("\xDF\xBF"),                /* U+07FF */
    TEXT("\xE0\xA0\x80"),            /* U+0800 */
    TEXT("\xED\x9F\xBF"),            /* U+D7FF, the last before the surrogates */
    TEXT("\xEE\x80\x80"),            /* U+E000, the first after */
    TEXT("\xEF\xBF\xBF"),            /* U+FFFF */
    TEXT("\xF0\x90\x80\x80"),        /* U+10000 */
    TEXT("\xF4\x8F\xBF\xBF"),        /* U+10FFFF */
    TEXT("seven..\xC3\xA9 over the eighth byte"),
    TEXT("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"),
};

static const struct fr_bytes bad[] = {
    TEXT("\x80"),                    /* continues nothing */
    TEXT("\xBF"),
    TEXT("\xC0\x80"),                /* overlong NUL */
    TEXT("\xC1\xBF"),                /* overlong U+007F */
    TEXT("\xE0\x9F\xBF"),            /* overlong U+07FF */
    TEXT("\xF0\x8F\xBF\xBF"),        /* overlong U+FFFF */
    TEXT("\xED\xA0\x80"),            /* U+D800 */
    TEXT("\xED\xBF\xBF"),            /* U+DFFF */
    TEXT("\xF4\x90\x80\x80"),        /* U+110000 */
    TEXT("\xF5\x80\x80\x80"),
    TEXT("\xFE"),
    TEXT("\xFF"),
    TEXT("\xC2"),                    /* cut off */
    TEXT("\xE2\x82"),
    TEXT("\xF0\x9F\x98"),
    TEXT("\xC2\x41"),                /* interrupted */
    TEXT("\xE2\x82\x41"),
    TEXT("\xF0\x9F\x98\x41"),
    TEXT("\xE2\x28\xA1"),
    TEXT("sixteen bytes...\xFF"),
    TEXT("eight by\x80tes"),
    TEXT("seven..\xC3"),
};

/* A copy of exactly its length, so that AddressSanitizer sees a read beyond. */
static bool valid(struct fr_bytes bytes)
{
    char *copy = malloc(bytes.len ? bytes.len : 1);

    if (bytes.len)
        memcpy(copy, bytes.at, bytes.len);
    bool answer = fr_utf8_valid(copy, bytes.len);
    free(copy);
    return answer;
}

static void well_formed_text_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (!valid(good[i]))
            fail_msg("good text %zu is refused", i);
}

static void malformed_text_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (valid(bad[i]))
            fail_msg("bad text %zu is accepted", i);
}

static void what_is_good_or_bad_is_so_at_every_place_in_a_text(void **state)
{
    (void)state;
    char text[64];

    for (size_t before = 0; before < 20; before++)
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
            if (bad[i].len > 4)
                continue;
            memset(text, 'a', sizeof(text));
            memcpy(text + before, bad[i].at, bad[i].len);
            assert_false(valid((struct fr_bytes){text, before + bad[i].len + 17}));
            assert_false(valid((struct fr_bytes){text, before + bad[i].len}));
        }
}

/* The oracle decodes the number, and checks it as a number. */
static bool oracle(const unsigned char *at, size_t len)
{
    size_t i = 0;

    while (i < len) {
        unsigned more = 0;
        while (more < 7 && at[i] & (0x80 >> more))
            more++;
        size_t bytes = more ? more : 1;
        if (more == 1 || more > 4 || i + bytes > len)
            return false;
        uint32_t number = more ? at[i] & (0x7Fu >> more) : at[i];
        for (size_t k = 1; k < bytes; k++) {
            if (at[i + k] >> 6 != 2)
                return false;
            number = number << 6 | (at[i + k] & 0x3F);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (number < least[bytes] || number > 0x10FFFF || (number >= 0xD800 && number <= 0xDFFF))
            return false;
        i += bytes;
    }
    return true;
}

static void every_two_bytes_and_many_of_four_are_judged_as_by_decoding(void **state)
{
    (void)state;
    static const unsigned char edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2,
                                          0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5,
                                          0xF7, 0xF8, 0xFB, 0xFC, 0xFF};
    size_t n = sizeof(edges);
    unsigned char at[4];

    for (unsigned pair = 0; pair < 65536; pair++) {
        at[0] = (unsigned char)(pair >> 8);
        at[1] = (unsigned char)pair;
        assert_int_equal(fr_utf8_valid((char *)at, 2), oracle(at, 2));
    }
    for (size_t four = 0; four < n * n * n * n; four++) {
        at[0] = edges[four % n];
        at[1] = edges[four / n % n];
        at[2] = edges[four / n / n % n];
        at[3] = edges[four / n / n / n];
        for (size_t len = 3; len <= 4; len++)
            if (fr_utf8_valid((char *)at, len) != oracle(at, len))
                fail_msg("%02x %02x %02x %02x (%zu)", at[0], at[1], at[2], at[3], len);
    }
}

static void an_id_is_1_to_256_bytes_of_utf8_without_nul(void **state)
{
    (void)state;
    char text[257];

    memset(text, 'i', sizeof(text));
    assert_null(fr_id_problem("u", 1));
    assert_null(fr_id_problem("\xC3\xA9", 2));
    assert_null(fr_id_problem(text, 256));
    assert_string_equal(fr_id_problem(text, 257), "is longer than 256 bytes");
    assert_string_equal(fr_id_problem("", 0), "is empty");
    assert_string_equal(fr_id_problem(NULL, 0), "is empty");
    assert_string_equal(fr_id_problem("a\xFF", 2), "is not valid UTF-8");
    assert_string_equal(fr_id_problem("a\0b", 3), "contains a NUL byte");
}

static void bytes_are_ordered_as_unsigned_and_a_prefix_comes_first(void **state)
{
    (void)state;
    assert_true(fr_bytes_order(FR_BYTES("a"), FR_BYTES("b")) < 0);
    assert_true(fr_bytes_order(FR_BYTES("\xFF"), FR_BYTES("a")) > 0);
    assert_true(fr_bytes_order(FR_BYTES("a"), FR_BYTES("ab")) < 0);
    assert_true(fr_bytes_order(FR_BYTES("a\0"), FR_BYTES("a")) > 0);
    assert_int_equal(fr_bytes_order((struct fr_bytes){NULL, 0}, FR_BYTES("")), 0);
    assert_true(fr_bytes_equal((struct fr_bytes){NULL, 0}, FR_BYTES("")));
    assert_false(fr_bytes_equal(FR_BYTES("ab"), FR_BYTES("ac")));
    assert_int_equal(fr_bytes_of(NULL).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_text_is_accepted),
        cmocka_unit_test(malformed_text_is_refused),
        cmocka_unit_test(what_is_good_or_bad_is_so_at_every_place_in_a_text),
        cmocka_unit_test(every_two_bytes_and_many_of_four_are_judged_as_by_decoding),
        cmocka_unit_test(an_id_is_1_to_256_bytes_of_utf8_without_nul),
        cmocka_unit_test(bytes_are_ordered_as_unsigned_and_a_prefix_comes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
