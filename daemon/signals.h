/*
 * signals.h -- signals as messages to main.
 *
 * They are blocked in every thread; one thread takes them with sigwait from the first moment to the last and passes
 * them on through a pipe. What must not wait for main it does itself: TERM or INT while main is still loading, or a
 * second one while it drains, ends the process. That is safe at any instant: the store holds whole checkpoints, Kafka
 * the rest.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

/* Before any other thread is started, or threads of libraries would take signals. */
void signals_start(void);
void signals_running(void); /* from now on the first TERM or INT is main's */
void signals_stop(void);    /* as if a first TERM had come, so that one that comes is the second; thread: any */
/* Waits: SIGTERM, SIGINT, SIGHUP or SIGUSR1; 0 when none comes in time (-1: waits for ever). */
int signals_next(int timeout_ms);

#endif
