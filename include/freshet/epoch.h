/*
 * epoch.h -- when may old memory be freed?
 *
 * The one writer replaces a structure by publishing a new pointer; readers may still be in the old one.
 * A reader marks itself present with the epoch it saw on entering, and 0 on leaving. What the writer
 * retires carries the epoch of that moment, and is freed once every reader that is present entered later.
 *
 *     reader   enter(7) ......... copy ......... leave
 *     writer        publish new; retire old @7; epoch 8        free old: nobody is present with <= 7
 *
 * Why it is right: entering is a sequentially consistent store before any pointer is loaded, and pointers
 * are loaded sequentially consistent too (free on x86), so a reader that the writer does not see present
 * will load the new pointer. A reader that stays long only delays frees; the engine counts what waits.
 */
#ifndef FR_EPOCH_H
#define FR_EPOCH_H

#include <stddef.h>
#include <stdint.h>

struct fr_epoch;
struct fr_epoch_reader;

struct fr_epoch *fr_epoch_new(void);
void fr_epoch_free(struct fr_epoch *epoch); /* frees all that is retired; no reader may be present */

/* Thread: any. At most 256 readers; a reader is used by one thread at a time. */
struct fr_epoch_reader *fr_epoch_join(struct fr_epoch *epoch);
void fr_epoch_part(struct fr_epoch_reader *reader);
void fr_epoch_enter(struct fr_epoch_reader *reader);
void fr_epoch_leave(struct fr_epoch_reader *reader);

/* Thread: the writer. free_fn(context, block, size) runs later, on the writer's thread. */
void fr_epoch_retire(struct fr_epoch *epoch, void (*free_fn)(void *context, void *block, size_t size), void *context,
                     void *block, size_t size);
/* Frees what can be freed; cheap when nothing waits. Thread: the writer, between batches. */
void fr_epoch_reclaim(struct fr_epoch *epoch);
size_t fr_epoch_waiting(const struct fr_epoch *epoch); /* bytes retired and not yet freed. Thread: any */

#endif
