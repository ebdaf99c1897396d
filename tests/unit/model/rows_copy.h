/*
 * rows_copy.h -- the rows of an embedding as they were at a moment, bit for bit.
 */
#ifndef FR_TEST_ROWS_COPY_H
#define FR_TEST_ROWS_COPY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "embedding.h"

struct rows_copy {
    uint32_t len;
    void *vectors, *states, *keys;
};

static inline void *bytes_copy(const void *from, size_t len)
{
    return memcpy(fr_alloc(len + 1), from, len);
}

static inline struct rows_copy rows_copy_of(const struct embedding *rows)
{
    return (struct rows_copy){
        .len = rows->len,
        .vectors = bytes_copy(embedding_vector(rows, 0), rows->len * rows->d * sizeof(float)),
        .states = bytes_copy(embedding_state(rows, 0), rows->len * sizeof(struct row_state)),
        .keys = rows->keyed ? bytes_copy(embedding_key(rows, 0), rows->len * sizeof(uint64_t)) : NULL,
    };
}

static inline void rows_copy_assert(const struct rows_copy *copy, const struct embedding *rows)
{
    assert_int_equal(rows->len, copy->len);
    assert_memory_equal(embedding_vector(rows, 0), copy->vectors, copy->len * rows->d * sizeof(float));
    assert_memory_equal(embedding_state(rows, 0), copy->states, copy->len * sizeof(struct row_state));
    if (rows->keyed)
        assert_memory_equal(embedding_key(rows, 0), copy->keys, copy->len * sizeof(uint64_t));
}

static inline void rows_copy_free(struct rows_copy *copy)
{
    free(copy->vectors);
    free(copy->states);
    free(copy->keys);
}

#endif
