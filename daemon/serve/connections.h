/*
 * connections.h -- what gRPC-core 1.51 does not offer for its connections: a ceiling, and an end that callers can bear.
 * How and why: connections.c.
 */
#ifndef FR_CONNECTIONS_H
#define FR_CONNECTIONS_H

/* From now on connections are taken only while a quarter of the files the process may open is left. */
void connections_begin(void);
/* The listener of this port and all its connections hear and say no more; what was said before still arrives. */
void connections_end(int port);

#endif
