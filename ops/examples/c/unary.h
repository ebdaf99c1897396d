/* unary.h -- one gRPC call with one request and one answer, for C: gRPC has no friendlier interface for it than its core. */
#ifndef UNARY_H
#define UNARY_H

#include <protobuf-c/protobuf-c.h>

/*
 * Asks, and waits for the answer, at most timeout_ms. The answer is to be freed with protobuf_c_message_free_unpacked; NULL: it failed, and
 * stderr has the reason. Each call opens a connection of its own: a program that asks often keeps the channel. Any thread.
 */
ProtobufCMessage *unary_call(const char *server, const char *method, const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *answer, int timeout_ms);

#endif
