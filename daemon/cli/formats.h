/*
 * formats.h -- lines of the known formats -> events, or what is said of an item or a user.
 *
 *     movielens      user<TAB>item<TAB>rating<TAB>seconds (u.data), user::item::rating::seconds (ratings.dat), or commas under the
 *                    header userId,movieId,rating,timestamp (ratings.csv), all lines alike: a rating with its value
 *     csv, tsv       a header names the columns: user_id item_id type value time_ms event_id, in any order; others are left out
 *     jsonl          one Event as JSON per line (both user_id and userId)
 *     online-retail  UCI's table (InvoiceNo,StockCode,...; dates 2010-12-01 08:26:00 or 12/1/2010 8:26), or our extract of it (ops/data/online-retail/README.md):
 *                    bought = purchase, returned = return, the quantity as value; rows without a customer are skipped
 *     libfm          LABEL user:1 item:1 feature:1 ...   a rating of LABEL, feature numbers as ids; what is behind the item is context,
 *                    {"feature": "NUMBER"} each
 *
 * and of what is said of items and users, for their compacted topics:
 *
 *     items-jsonl    one Item as JSON per line, which is what is published
 *     items-tsv      item<TAB>title
 *     users-jsonl    one User as JSON per line
 *
 * What an event points to lives until the next line.
 */
#ifndef FR_FORMATS_H
#define FR_FORMATS_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/feature.h"

struct line_feature {
    struct fr_bytes name, value;
};
struct line_event {
    struct fr_bytes user, item, type, event_id;
    bool has_value;
    double value;
    int64_t time_ms; /* 0: none */
    const struct line_feature *context;
    size_t context_len; /* at most FEATURES_MAX; the daemon would ignore more */
    struct fr_bytes said; /* LINE_SAID: JSON. What it is said of is `item` or `user` */
};
enum line_result { LINE_EVENT, LINE_SKIP, LINE_BAD, LINE_SAID, LINE_HEADER /* says of the others what they are */ };
enum format_of { FORMAT_OF_EVENTS, FORMAT_OF_ITEMS, FORMAT_OF_USERS };

struct format;
struct format *format_new(const char *name); /* NULL: there is no such format */
void format_free(struct format *format);
enum format_of format_of(const struct format *format); /* LINE_EVENT comes of events alone, LINE_SAID of the others */
/* After LINE_HEADER: what somebody should know of it, a column that is left out say; NULL: nothing. */
const char *format_note(const struct format *format);
/* `line` is changed and must have a NUL behind its `len` bytes; no line end in it. LINE_BAD: *ret_problem says why (static). */
enum line_result format_line(struct format *format, char *line, size_t len, struct line_event *ret, const char **ret_problem);

#endif
