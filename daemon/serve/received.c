/*
 * received.c -- packed messages are unpacked here, and not by gRPC-core, which looks at the limit when it has unpacked all: a
 * megabyte that would become a gigabyte had taken a gigabyte by then, whoever sent it. (Its own limit holds for the packed bytes.)
 */
#include "received.h"

#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <stdlib.h>

/* What zlib reads is not const by default. */
#define ZLIB_CONST
#include <zlib.h>

#include "freshet/alloc.h"

enum { GZIP_BITS = MAX_WBITS + 16, FIRST_ROOM = 1024 };

/* A byte more than may be, at most, so that one too many is seen. */
static size_t grown(size_t room, size_t bytes_max)
{
    return room < bytes_max / 2 ? room * 2 : bytes_max + 1;
}

/* Into *ret_bytes, which grows with what is in it. */
static enum received unpack(z_stream *stream, size_t bytes_max, unsigned char **ret_bytes)
{
    size_t room = grown(FIRST_ROOM / 2, bytes_max);
    int status;

    *ret_bytes = fr_alloc(room);
    stream->next_out = *ret_bytes;
    stream->avail_out = (uInt)room;
    while ((status = inflate(stream, Z_NO_FLUSH)) == Z_OK && !stream->avail_out) {
        if (room > bytes_max)
            return RECEIVED_LARGE;
        room = grown(room, bytes_max);
        *ret_bytes = fr_realloc(*ret_bytes, room);
        stream->next_out = *ret_bytes + stream->total_out;
        stream->avail_out = (uInt)(room - stream->total_out);
    }
    if (status != Z_STREAM_END || stream->avail_in)
        return RECEIVED_BROKEN;
    return stream->total_out > bytes_max ? RECEIVED_LARGE : RECEIVED_WHOLE;
}

static enum received unpack_slice(grpc_slice packed, grpc_compression_algorithm how, size_t bytes_max, grpc_slice *ret_slice)
{
    z_stream stream = {.next_in = GRPC_SLICE_START_PTR(packed), .avail_in = (uInt)GRPC_SLICE_LENGTH(packed)};
    unsigned char *bytes = NULL;
    int status = inflateInit2(&stream, how == GRPC_COMPRESS_GZIP ? GZIP_BITS : MAX_WBITS);

    assert(status == Z_OK); /* or the memory is out */
    (void)status;
    enum received received = unpack(&stream, bytes_max, &bytes);
    if (received == RECEIVED_WHOLE)
        *ret_slice = grpc_slice_from_copied_buffer((const char *)bytes, stream.total_out);
    free(bytes);
    inflateEnd(&stream);
    return received;
}

enum received received_take(grpc_byte_buffer *buffer, size_t bytes_max, grpc_slice *ret_slice)
{
    grpc_compression_algorithm how;
    grpc_byte_buffer_reader reader;
    grpc_slice slice;

    if (!buffer)
        return RECEIVED_NOTHING;
    how = buffer->data.raw.compression;
    if (!grpc_byte_buffer_reader_init(&reader, buffer)) {
        grpc_byte_buffer_destroy(buffer);
        return RECEIVED_BROKEN;
    }
    slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(buffer);
    if (how == GRPC_COMPRESS_NONE) { /* gRPC-core has looked at its length */
        *ret_slice = slice;
        return RECEIVED_WHOLE;
    }
    enum received received = unpack_slice(slice, how, bytes_max, ret_slice);
    grpc_slice_unref(slice);
    return received;
}
