/*
 * likeness.c -- Levenshtein's distance: a column of the table at a time, as bits of where it is one more or one less than above and to
 * the left (Myers 1999, in Hyyro's form).
 */
#include "freshet/likeness.h"

#include <assert.h>
#include <stdint.h>

size_t fr_edit_distance(const char *a, size_t a_len, const char *b)
{
    uint64_t places[256] = {0}, more = UINT64_MAX, less = 0;
    size_t distance = a_len;

    assert(a_len >= 1 && a_len <= FR_LIKENESS_BYTES_MAX);
    for (size_t i = 0; i < a_len; i++)
        places[(unsigned char)a[i]] |= UINT64_C(1) << i;
    for (; *b; b++) {
        uint64_t same = places[(unsigned char)*b];
        uint64_t kept = (((same & more) + more) ^ more) | same | less;
        uint64_t right_more = less | ~(kept | more), right_less = kept & more;

        distance += right_more >> (a_len - 1) & 1;
        distance -= right_less >> (a_len - 1) & 1;
        right_more = right_more << 1 | 1;
        more = right_less << 1 | ~(kept | right_more);
        less = kept & right_more;
    }
    return distance;
}
