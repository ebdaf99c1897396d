/* rebuild.h -- --rebuild: a new store in the place of the old one, also when that start is killed or refused. Thread: main. */
#ifndef REBUILD_H
#define REBUILD_H

#include <stdbool.h>

#include "freshet/err.h"

/* *ret_begun: a rebuild was begun in the data directory `data`, and its new store was not open yet. One whose old store has been put back
 * is given up. */
int rebuild_look(const char *data, bool *ret_begun, struct fr_err *err);
/* Makes room for the new store, or goes on doing so. FR_CONFIG, and nothing has changed: the room for the old one is taken. */
int rebuild_begin(const char *data, struct fr_err *err);
/* The new store is there, open, or a restored one: no later start sets it aside. Fine if none was begun. */
int rebuild_end(const char *data, struct fr_err *err);

#endif
