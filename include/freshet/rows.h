/*
 * rows.h -- many sparse rows of counts, u32 column -> u32 count, one writer, many readers without locks.
 *
 *     row i   { lines*, lines_len, used, version }          32 bytes, in an array that never moves
 *                  |
 *                  v     one line = 64 bytes = one cache line
 *             [ c0 c1 c2 c3 c4 c5 c6 c7 | n0 n1 n2 n3 n4 n5 n6 n7 ]   8 columns, 8 counts
 *             [ ...                                               ]   any number of lines
 *
 * Open addressing by line: hash(column) picks a line (multiply-shift, so any count of lines will do), the 8 columns are
 * compared at once, a full line overflows into the next. A row grows by a third when 7/8 full; a single line fills up
 * to 8. 9 to 14 bytes per entry. A count that falls to 0 keeps its place until the row is next rebuilt.
 *
 * Reading while the writer writes. Entries never move inside published lines; a rebuild makes new lines,
 * publishes the pointer and retires the old ones (epoch.h). A change of one entry is one store, seen before or after. Changes of
 * several entries that belong together stand between rows_open and rows_shut, which make the row's version odd meanwhile:
 * rows_copy tries until it has read one version, so a reader sees each event's effect on a row whole. After
 * 64 tries (a row longer than the pause between its writes) it returns what it read last: each count then is one
 * that stood during the read. Readers load with acquire and the writer stores with release, both free on x86.
 *
 * Thread: the writer's, except where "any" is said; readers must be inside an epoch.
 */
#ifndef FR_ROWS_H
#define FR_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "freshet/epoch.h"

struct rows;

/* Up to `rows_max` rows; columns are below UINT32_MAX. The epoch is not owned. */
struct rows *rows_new(size_t rows_max, struct fr_epoch *epoch);
void rows_free(struct rows *rows);
/* Makes rows [0, len) exist, empty at first. Readers may name them once they learned of them otherwise. */
void rows_extend(struct rows *rows, size_t len);

/* Hints: the row's header; then, once that is near, the line where the column would stand. */
void rows_prefetch(const struct rows *rows, uint32_t row);
void rows_prefetch_cell(const struct rows *rows, uint32_t row, uint32_t column);
/* Hint: the row's lines, for a copy that comes soon. Thread: any. */
void rows_prefetch_lines(const struct rows *rows, uint32_t row);

/* Adds `by`; a missing entry is 0, a result below 0 stays 0 (an entry lost to pruning). Returns the change made. */
int32_t rows_add(struct rows *rows, uint32_t row, uint32_t column, int32_t by);
void rows_open(struct rows *rows, uint32_t row);
void rows_shut(struct rows *rows, uint32_t row);
void rows_clear(struct rows *rows, uint32_t row);
/* Keeps the `keep` largest counts (equal counts: smaller columns), drops the rest. Returns how many, and which by how much: `columns`
 * and `changes` have room for rows_len(row) - keep, if that is above 0. */
size_t rows_prune(struct rows *rows, uint32_t row, size_t keep, uint32_t *columns, int32_t *changes);
/* Replaces a row by these columns, ascending strictly, with counts in 0..UINT32_MAX (0: no entry): for loading.
 * Thread: any, as long as nobody does anything else with the rows and no two threads load the same one. */
void rows_load(struct rows *rows, uint32_t row, const uint32_t *columns, const int64_t *counts, size_t len);

/* Entries with a count above 0. Thread: any. */
size_t rows_len(const struct rows *rows, uint32_t row);
uint32_t rows_get(const struct rows *rows, uint32_t row, uint32_t column);
/* counts[k] = what rows_get gives for columns[k], each as it stands now: not of one event, as in a copy. Thread: any. */
void rows_look(const struct rows *rows, uint32_t row, const uint32_t *columns, size_t len, uint32_t *counts);
/* Hint: that this is about to be asked. Thread: any. */
void rows_prefetch_cells(const struct rows *rows, uint32_t row, const uint32_t *columns, size_t len);
/* No count of the row is above it, now. It falls only when the row is cleared or loaded. Thread: any. */
uint32_t rows_most(const struct rows *rows, uint32_t row);
/* Room a copy of the row needs at most, now; ask again if rows_copy returns SIZE_MAX because the row has outgrown it. */
size_t rows_room(const struct rows *rows, uint32_t row);
/* Copies the entries with a count above 0, in no particular order; returns their number. Thread: any. */
size_t rows_copy(const struct rows *rows, uint32_t row, uint32_t *columns, uint32_t *counts, size_t room);
/* Those with a count of at least `least` (1 or more). */
size_t rows_copy_least(const struct rows *rows, uint32_t row, uint32_t least, uint32_t *columns, uint32_t *counts, size_t room);

/* Totals. Thread: any. */
uint64_t rows_entries(const struct rows *rows); /* with a count above 0 */
size_t rows_bytes(const struct rows *rows);     /* headers and lines, as allocated */

#endif
