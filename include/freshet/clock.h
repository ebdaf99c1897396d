/*
 * clock.h -- the only callers of clock_gettime. No model, store or decoder reads a clock: time comes in
 * as an argument, so that the same events always give the same state.
 */
#ifndef FR_CLOCK_H
#define FR_CLOCK_H

#include <stddef.h>
#include <stdint.h>

typedef int64_t when_ms; /* an instant: Unix time in milliseconds */
typedef int64_t span_ms; /* a duration in milliseconds */

when_ms fr_wall_ms(void);     /* for logs, staleness and availability only */
uint64_t fr_mono_ns(void);    /* for intervals */
uint64_t fr_thread_ns(void);  /* CPU time of the calling thread */
uint64_t fr_thread_queued_ns(void); /* how long it could have run and had no core; 0 where the kernel does not say. Reads a file */

/* "2026-11-23T10:11:12.123Z" into room of at least 32 bytes; returns room. */
char *fr_time_text(when_ms when, char *room);

#endif
