/* rocks_scan.h -- every key and value of a database that nobody has open, without changing it. Thread: any. */
#ifndef FR_ROCKS_SCAN_H
#define FR_ROCKS_SCAN_H

#include <stdbool.h>

#include "freshet/bytes.h"
#include "freshet/err.h"

/* In the order of keys; `each` returns false to end early (FR_CLOSED). FR_CORRUPT: it is not whole, or no database. Leaves
 * RocksDB's own LOG in the directory. */
int rocks_scan(const char *path, bool (*each)(void *context, struct fr_bytes key, struct fr_bytes value), void *context,
               struct fr_err *err);

#endif
