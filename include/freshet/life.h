/*
 * life.h -- what state the daemon is in, and whether its loops still move.
 *
 * main moves the state forward; serve and admin read it. Each loop beats at least every few seconds,
 * busy or idle; /livez is good while every loop has beaten within FR_PULSE_LIMIT_MS.
 * Thread: any.
 */
#ifndef FR_LIFE_H
#define FR_LIFE_H

#include <stdbool.h>
#include <stddef.h>

enum fr_state { FR_STARTING, FR_RUNNING, FR_DRAINING };
enum { FR_PULSE_LIMIT_MS = 30000, FR_PULSES_MAX = 64 };

void fr_state_set(enum fr_state state);
enum fr_state fr_state_now(void);
const char *fr_state_name(enum fr_state state); /* "starting", "running", "draining" */

struct fr_pulse;
struct fr_pulse *fr_pulse_start(const char *name); /* name: a literal */
void fr_pulse_beat(struct fr_pulse *pulse);
/* The loop waits for the disk, which may take any time: until its next beat it counts as moving. To start the daemon again would
 * mend no disk and end the answers. */
void fr_pulse_rest(struct fr_pulse *pulse);
void fr_pulse_stop(struct fr_pulse *pulse);         /* the loop has ended on purpose */
/* True if every loop moves; else false and the name of one that does not. */
bool fr_pulse_all(const char **ret_stuck);

/*
 * A named thread that has signals blocked; a refusal of the system ends the process like fr_alloc. _nice: its nice value is
 * the process's and so much more (19 at most).
 *
 * FR_NICE_INGEST is for the threads of ingest, so that when there are more threads than cores, questions go first: a caller
 * waits for an answer, and nobody for an event within the same millisecond. At equal priority the kernel lets a serving
 * thread that has had its share wait for a whole slice of the engine's, about 3 ms. With 10 it has nine times the
 * engine's weight; ingest still gets all that questions leave, and a tenth of a core if they leave nothing.
 */
enum { FR_NICE_INGEST = 10 };
struct fr_thread;
struct fr_thread *fr_thread_start(const char *name, void (*run)(void *arg), void *arg);
struct fr_thread *fr_thread_start_nice(const char *name, int nice, void (*run)(void *arg), void *arg);
void fr_thread_join(struct fr_thread *thread); /* frees it */
/* Nobody will join it: by the thread itself, as the last thing it does. */
void fr_thread_leave(struct fr_thread *thread);

#endif
