/* rocks_errors.h -- what RocksDB's error texts mean; apart, so that a test can ask. Thread: any. */
#ifndef FR_ROCKS_ERRORS_H
#define FR_ROCKS_ERRORS_H

#include "freshet/err.h"

enum fr_status rocks_error_code(const char *text);

#endif
