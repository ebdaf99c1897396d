/*
 * abseil.h -- what must be told to abseil, whose mutexes gRPC takes.
 */
#ifndef FRESHET_ABSEIL_H
#define FRESHET_ABSEIL_H

/*
 * Debian builds abseil 20220623 without NDEBUG. Each of its mutexes then enters in a graph which others its thread holds: under one lock of
 * the whole process, a microsecond of each call, and with abort() when two are ever taken in one order and then in the other, though
 * never at once (grpc/grpc issues 39461, 40390). This turns that off, for good, for the process; where abseil is built otherwise, it
 * does nothing. Before grpc_init. Thread: any.
 */
void fr_abseil_trust_locks(void);

#endif
