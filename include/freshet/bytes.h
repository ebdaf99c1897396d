/*
 * bytes.h -- a borrowed run of bytes. Ids are compared as bytes with a length; nothing here is
 * NUL-terminated unless its maker says so.
 */
#ifndef FR_BYTES_H
#define FR_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct fr_bytes {
    const char *at;
    size_t len;
};

#define FR_BYTES(literal) ((struct fr_bytes){(literal), sizeof(literal) - 1})

static inline struct fr_bytes fr_bytes_of(const char *text)
{
    return (struct fr_bytes){text, text ? strlen(text) : 0};
}

static inline bool fr_bytes_equal(struct fr_bytes a, struct fr_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Bytewise order; a prefix comes first. Negative, zero or positive, as memcmp. */
static inline int fr_bytes_order(struct fr_bytes a, struct fr_bytes b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared ? memcmp(a.at, b.at, shared) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Is it well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF)? NUL is valid UTF-8. */
bool fr_utf8_valid(const char *at, size_t len);

/* The id rule of the contract: 1..256 bytes of valid UTF-8 without NUL. NULL if good, else a static
 * sentence part: "is empty", "is longer than 256 bytes", "is not valid UTF-8", "contains a NUL byte". */
enum { FR_ID_BYTES_MAX = 256 };
const char *fr_id_problem(const char *at, size_t len);

#endif
