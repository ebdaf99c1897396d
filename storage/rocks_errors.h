/* rocks_errors.h -- what RocksDB's error texts mean; apart, so that a test can ask. Thread: any. */
#ifndef FR_ROCKS_ERRORS_H
#define FR_ROCKS_ERRORS_H

#include <stdbool.h>

#include "freshet/err.h"

enum fr_status rocks_error_code(const char *text);
bool rocks_error_lacks_file(const char *text); /* a file that must be there is not */

#endif
