/*
 * utf8.c -- well-formed UTF-8 by the table of RFC 3629, section 4.
 *
 *     00..7F
 *     C2..DF  80..BF                      C0, C1 would be overlong
 *     E0      A0..BF  80..BF              below A0: overlong
 *     E1..EF  80..BF  80..BF              ED only to 9F: above are the surrogates
 *     F0      90..BF  80..BF  80..BF      below 90: overlong
 *     F1..F4  80..BF  80..BF  80..BF      F4 only to 8F: above U+10FFFF
 *
 * Ids are mostly ASCII, which is passed eight bytes at a time.
 */
#include "freshet/bytes.h"

#include <stdint.h>

#include "base_private.h"

static bool continues(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

size_t utf8_sequence(const unsigned char *at, size_t len)
{
    unsigned char first = at[0];

    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    if (first < 0xE0)
        return len >= 2 && continues(at[1]) ? 2 : 0;
    /* The second byte carries every rule but "continues". */
    if (len < 3 || !continues(at[1]) || !continues(at[2]))
        return 0;
    if (first < 0xF0) {
        bool overlong = first == 0xE0 && at[1] < 0xA0;
        bool surrogate = first == 0xED && at[1] > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    bool overlong = first == 0xF0 && at[1] < 0x90;
    bool beyond = first == 0xF4 && at[1] > 0x8F;
    return len < 4 || !continues(at[3]) || overlong || beyond ? 0 : 4;
}

bool fr_utf8_valid(const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text;

    while (len > 0) {
        uint64_t eight;
        while (len >= sizeof(eight)) {
            memcpy(&eight, at, sizeof(eight));
            if (eight & UINT64_C(0x8080808080808080))
                break;
            at += sizeof(eight);
            len -= sizeof(eight);
        }
        if (len == 0)
            break;
        size_t sequence = utf8_sequence(at, len);
        if (!sequence)
            return false;
        at += sequence;
        len -= sequence;
    }
    return true;
}

const char *fr_id_problem(const char *at, size_t len)
{
    if (len == 0)
        return "is empty";
    if (len > FR_ID_BYTES_MAX)
        return "is longer than 256 bytes";
    if (!fr_utf8_valid(at, len))
        return "is not valid UTF-8";
    if (memchr(at, 0, len))
        return "contains a NUL byte";
    return NULL;
}
