/*
 * trace.h -- which trace a call belongs to, as its caller says in the metadata `traceparent` (W3C Trace Context).
 *
 *     00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *     |  trace id                         |                `-- flags; 1: the trace is being recorded
 *     version                             the span that calls
 *
 * Thread: any.
 */
#ifndef FR_TRACE_H
#define FR_TRACE_H

#include <stdbool.h>

#include "freshet/bytes.h"

enum { TRACE_ID_ROOM = 33 };

/* The trace id, 32 hexadecimal digits and a 0. False, and "": the text is no traceparent, of whatever version.
 * *ret_recorded: somebody keeps this trace. */
bool trace_read(struct fr_bytes traceparent, char id[TRACE_ID_ROOM], bool *ret_recorded);

#endif
