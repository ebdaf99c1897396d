/*
 * reflection.h -- grpc.reflection.v1 and v1alpha (the same messages): which services there are, and the .proto files
 * behind them. No gRPC here.
 *
 * All comes from the descriptors that protoc made of the published files and the build embedded:
 *
 *     files     name, bytes, imports                        list_services      the services of this listener
 *     symbols   sorted full names -> file                   file_by_filename, file_containing_symbol
 *
 * There are no extensions: asking for one is answered NOT_FOUND. Thread: any, once made.
 */
#ifndef FR_REFLECTION_H
#define FR_REFLECTION_H

#include "answer.h"

struct reflection;
struct reflection *reflection_new(void);
void reflection_free(struct reflection *reflection);

/* Answers one request of a stream. "Not found" is an answer too; a code other than OK ends the stream. */
void reflection_answer(const struct reflection *reflection, struct fr_arena *arena, enum rpc_listener listener,
                       struct fr_bytes request, struct answer *ret_answer);

#endif
