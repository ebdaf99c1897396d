/*
 * connections.h -- what gRPC-core 1.51 does not offer for its connections: a ceiling, turns, and an end that callers can bear.
 * How and why: connections.c.
 */
#ifndef FR_CONNECTIONS_H
#define FR_CONNECTIONS_H

void connections_begin(void); /* reads how many files the process may open. Before the first listener */
/* Connections to this port are taken only while a quarter of them is left. For two ports at most. */
void connections_guard(int port);
/* This thread has got away from reading, and to what was read. */
void connections_turn(void);
/* The listeners of these ports (0: none) hear no more, and their connections say no more; returns when what was said has arrived, or after
 * two seconds. */
void connections_end(int port, int other_port);

#endif
