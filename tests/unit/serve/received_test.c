/*
 * received_test.c -- messages plain and packed: what is in them, up to the limit and not a byte more.
 */
#include "received.h"

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

enum { LIMIT = 10000, GZIP = MAX_WBITS + 16, ZLIB = MAX_WBITS };

static unsigned char plain[LIMIT + 1], packed[2 * LIMIT];

/* Numbers that do not pack to nothing. */
static int fill(void **state)
{
    uint32_t random = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (unsigned char)((random = random * 1664525 + 1013904223) >> 28);
    return 0;
}

static size_t pack(const unsigned char *bytes, size_t len, int bits)
{
    z_stream stream = {.next_in = (unsigned char *)(uintptr_t)bytes, .avail_in = (uInt)len, .next_out = packed, .avail_out = sizeof(packed)};

    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&stream), Z_OK);
    return stream.total_out;
}

/* As gRPC hands it over: in pieces. */
static grpc_byte_buffer *buffer_of(const void *bytes, size_t len, grpc_compression_algorithm how)
{
    grpc_slice pieces[2] = {grpc_slice_from_copied_buffer(bytes, len / 2),
                            grpc_slice_from_copied_buffer((const char *)bytes + len / 2, len - len / 2)};
    grpc_byte_buffer *buffer = grpc_raw_compressed_byte_buffer_create(pieces, 2, how);

    grpc_slice_unref(pieces[0]);
    grpc_slice_unref(pieces[1]);
    return buffer;
}

static void assert_whole(grpc_byte_buffer *buffer, size_t len)
{
    grpc_slice slice;

    assert_int_equal(received_take(buffer, LIMIT, &slice), RECEIVED_WHOLE);
    assert_int_equal(GRPC_SLICE_LENGTH(slice), len);
    assert_memory_equal(GRPC_SLICE_START_PTR(slice), plain, len);
    grpc_slice_unref(slice);
}

static void assert_not(grpc_byte_buffer *buffer, enum received want)
{
    grpc_slice slice;

    assert_int_equal(received_take(buffer, LIMIT, &slice), want);
}

static void what_was_packed_comes_out(void **state)
{
    const size_t lens[] = {0, 1, 511, 512, 513, 1024, 5000, 9999, LIMIT};

    (void)state;
    for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
        assert_whole(buffer_of(plain, lens[i], GRPC_COMPRESS_NONE), lens[i]);
        assert_whole(buffer_of(packed, pack(plain, lens[i], GZIP), GRPC_COMPRESS_GZIP), lens[i]);
        assert_whole(buffer_of(packed, pack(plain, lens[i], ZLIB), GRPC_COMPRESS_DEFLATE), lens[i]);
    }
    assert_not(NULL, RECEIVED_NOTHING);
}

static void one_byte_too_many_is_too_large(void **state)
{
    (void)state;
    assert_not(buffer_of(packed, pack(plain, LIMIT + 1, GZIP), GRPC_COMPRESS_GZIP), RECEIVED_LARGE);
    assert_not(buffer_of(packed, pack(plain, LIMIT + 1, ZLIB), GRPC_COMPRESS_DEFLATE), RECEIVED_LARGE);
}

/* Ten megabytes of one byte are ten kilobytes. */
static void a_bomb_does_not_go_off(void **state)
{
    size_t len = 10 << 20;
    unsigned char *zeros = calloc(1, len);

    (void)state;
    assert_non_null(zeros);
    size_t packed_len = pack(zeros, len, GZIP);
    free(zeros);
    assert_not(buffer_of(packed, packed_len, GRPC_COMPRESS_GZIP), RECEIVED_LARGE);
}

static void what_is_not_packed_so_is_broken(void **state)
{
    (void)state;
    size_t len = pack(plain, 5000, GZIP);
    for (size_t cut = 0; cut < len; cut += 97)
        assert_not(buffer_of(packed, cut, GRPC_COMPRESS_GZIP), RECEIVED_BROKEN);
    assert_not(buffer_of(packed, len, GRPC_COMPRESS_DEFLATE), RECEIVED_BROKEN);
    assert_not(buffer_of(plain, 5000, GRPC_COMPRESS_GZIP), RECEIVED_BROKEN);
    packed[len] = 0; /* and something behind it */
    assert_not(buffer_of(packed, len + 1, GRPC_COMPRESS_GZIP), RECEIVED_BROKEN);
    packed[len - 5] ^= 1; /* of its checksum */
    assert_not(buffer_of(packed, len, GRPC_COMPRESS_GZIP), RECEIVED_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_comes_out),
        cmocka_unit_test(one_byte_too_many_is_too_large),
        cmocka_unit_test(a_bomb_does_not_go_off),
        cmocka_unit_test(what_is_not_packed_so_is_broken),
    };

    grpc_init();
    int failed = cmocka_run_group_tests(tests, fill, NULL);
    grpc_shutdown();
    return failed;
}
