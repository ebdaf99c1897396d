/*
 * likeness.h -- how far one word is from another, so that a message can name what was probably meant.
 */
#ifndef FR_LIKENESS_H
#define FR_LIKENESS_H

#include <stddef.h>

enum { FR_LIKENESS_BYTES_MAX = 64 };
/* Insertions, deletions and replacements that turn a, of 1 to FR_LIKENESS_BYTES_MAX bytes, into b (Levenshtein's). */
size_t fr_edit_distance(const char *a, size_t a_len, const char *b);

#endif
