/*
 * received.h -- the message that a call has brought.
 */
#ifndef FR_RECEIVED_H
#define FR_RECEIVED_H

#include <grpc/grpc.h>
#include <stddef.h>

enum received {
    RECEIVED_WHOLE,
    RECEIVED_NOTHING,
    RECEIVED_BROKEN, /* it is not what its encoding says */
    RECEIVED_LARGE,  /* unpacked, it is more than it may be */
};

/*
 * Takes the buffer (NULL: there was none) and gives what is in it in one piece of at most `bytes_max`, unpacked if it came by gzip or
 * deflate, as RFC 1952 and 1950 have them; *ret_slice is the caller's, if it is whole. Thread: any.
 */
enum received received_take(grpc_byte_buffer *buffer, size_t bytes_max, grpc_slice *ret_slice);

#endif
