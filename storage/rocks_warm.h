/* rocks_warm.h -- a hint before a database is read from end to end. */
#ifndef FR_ROCKS_WARM_H
#define FR_ROCKS_WARM_H

#include <stdatomic.h>
#include <stdbool.h>

/* Returns when all has been asked for, not read; or soon after `stop` becomes true. Thread: any. */
void rocks_warm(const char *path, const _Atomic bool *stop);

#endif
