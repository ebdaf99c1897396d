/*
 * compose.h -- one journal into one batch: plain keys and segments in ascending order of keys, folding what is due.
 *
 * Thread: the checkpoint's.
 */
#ifndef FR_COMPOSE_H
#define FR_COMPOSE_H

#include <stdint.h>

#include "freshet/err.h"
#include "freshet/journal.h"
#include "freshet/store.h"

struct composer;
struct composer *composer_new(struct store *store);
void composer_free(struct composer *composer);
/* Appends to `batch`, which must be written before the next call: from here on this counts as being in the store. Fails
 * only before the first success, if it cannot be read how many journals the store has taken; then `batch` is untouched
 * and the call may be repeated. */
int compose(struct composer *composer, const struct journal *journal, struct store_batch *batch, struct fr_err *err);
/* How many journals the store has taken, the last one composed included; its batch carries this number as m/journals. */
uint64_t composer_number(const struct composer *composer);

/* Since the start; read them on the composer's thread. */
struct composer_figures {
    uint64_t folds, fold_bytes_read, fold_bytes_written, delta_bytes;
};
const struct composer_figures *composer_figures(const struct composer *composer);

#endif
