/*
 * accept.h -- a ceiling for connections: three quarters of the files the process may open. See accept.c for why and how.
 */
#ifndef FR_ACCEPT_H
#define FR_ACCEPT_H

void accept_begin(void); /* reads the limit. Before the first listener */

#endif
