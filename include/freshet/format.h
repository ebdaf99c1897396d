/*
 * format.h -- the plain keys of the store and their values (storage/FORMAT.md), built and strictly checked.
 *
 *     m/format  m/shape  m/clock  m/journals  m/cluster  m/admission     'o' topic 0 partition -> position     'h' the same -> holes
 *     'j' journal -> link     'x' id -> dead letter     'c' kind hash -> cut-off
 *
 * Every value is sealed: a version byte first, a checksum last. A reader says false for anything this program did not
 * write: wrong length, wrong checksum, unknown version, key and value that cannot belong together. Writers append. What
 * a reader returns borrows from key and value.
 *
 * Thread: any.
 */
#ifndef FR_FORMAT_H
#define FR_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/codec.h"
#include "freshet/err.h"
#include "freshet/store.h"

#define FORMAT_VERSION_KEY "m/format"
#define FORMAT_SHAPE_KEY "m/shape"
#define FORMAT_CLOCK_KEY "m/clock"
#define FORMAT_JOURNALS_KEY "m/journals"
#define FORMAT_CLUSTER_KEY "m/cluster"
#define FORMAT_ADMISSION_KEY "m/admission"
#define FORMAT_POSITION_PREFIX "o"
#define FORMAT_HOLES_PREFIX "h"
#define FORMAT_LETTER_PREFIX "x"
#define FORMAT_CUTOFF_PREFIX "c"

/* Is this a store we may use? An empty one is marked as ours, one of an older program as one that it can no longer read (and
 * synced). FR_CONFIG: made by a newer program, the text
 * says which bits; FR_CORRUPT: not ours. state_load calls it first. */
int format_admit(struct store *store, struct fr_err *err);

struct format_version {
    uint32_t compatible, incompatible; /* sets of bits, FORMAT.md */
};
void format_version_value(struct fr_writer *out, const struct format_version *version);
bool format_version_read(struct fr_bytes value, struct format_version *ret);

void format_shape_value(struct fr_writer *out, struct fr_bytes text);
bool format_shape_read(struct fr_bytes value, struct fr_bytes *ret_text);

void format_cluster_value(struct fr_writer *out, struct fr_bytes id);
bool format_cluster_read(struct fr_bytes value, struct fr_bytes *ret_id);

struct format_clock {
    int64_t now;     /* newest event time; -1: none */
    uint64_t events; /* applied ever */
    uint64_t number; /* of the freeze */
};
void format_clock_value(struct fr_writer *out, const struct format_clock *clock);
bool format_clock_read(struct fr_bytes value, struct format_clock *ret);

/* The checkpoint's own: how many journals this store has taken. */
void format_journals_value(struct fr_writer *out, uint64_t number);
bool format_journals_read(struct fr_bytes value, uint64_t *ret_number);
int format_journals(struct store *store, uint64_t *ret_number, struct fr_err *err); /* 0 if there was none yet */

/* There while admission is closed: the users and items that were known then are all there will be. */
struct format_admission {
    uint32_t users, items;
    uint64_t soft; /* the limit that was reached, in bytes */
};
void format_admission_value(struct fr_writer *out, const struct format_admission *admission);
bool format_admission_read(struct fr_bytes value, struct format_admission *ret);

/* Each journal puts a link under its number and takes away the one FORMAT_LINKS before it. So a journal that is missing
 * below the newest one - the log of a memtable gone, and not that of the next - leaves a gap. */
#define FORMAT_LINK_PREFIX "j"
enum { FORMAT_LINKS = 64 };
void format_link_key(struct fr_writer *key, uint64_t journal);
/* FR_CORRUPT naming the journal if the links do not lead to `newest` without a gap. No link at all is fine. */
int format_links_check(struct store *store, uint64_t newest, struct fr_err *err);

struct format_position {
    struct fr_bytes topic; /* from the key, on reading */
    int32_t partition;     /* from the key, on reading */
    uint32_t index;        /* the engine's number for it */
    int64_t next;          /* first offset not applied */
    int64_t newest;        /* Kafka time of the newest record applied; -1: none */
    int64_t last;          /* offset of the last record applied; -1: unknown, as in a store of version 1 */
    uint64_t print;        /* and its fingerprint; 0 with it */
};
void format_position_key(struct fr_writer *key, struct fr_bytes topic, int32_t partition);
void format_position_value(struct fr_writer *out, const struct format_position *position);
bool format_position_read(struct fr_bytes key, struct fr_bytes value, struct format_position *ret);

/* What Kafka had deleted before it was read: the newest holes of a partition, ascending, and how much all of them were. */
enum { FORMAT_HOLES_MAX = 64 };
struct format_hole {
    int64_t from, to; /* offsets [from, to) */
};
struct format_holes {
    struct fr_bytes topic; /* from the key, on reading */
    int32_t partition;     /* from the key, on reading */
    uint64_t skipped;      /* offsets in all holes there ever were */
    uint32_t len;
    struct format_hole holes[FORMAT_HOLES_MAX];
};
void format_holes_key(struct fr_writer *key, struct fr_bytes topic, int32_t partition);
void format_holes_value(struct fr_writer *out, const struct format_holes *holes);
bool format_holes_read(struct fr_bytes key, struct fr_bytes value, struct format_holes *ret);

/* Up to when events of an id are ignored. Of the id only a hash is kept: it is there to know the id again, not to tell it. */
enum format_forgotten { FORMAT_USER = 1, FORMAT_ITEM = 2 };
struct format_cutoff {
    uint8_t kind;     /* enum format_forgotten */
    uint64_t hash[2]; /* XXH3-128 of the id, seeded with the kind: low, high */
    int64_t upto;     /* Kafka time, >= 0 */
};
void format_cutoff_key(struct fr_writer *key, const struct format_cutoff *cutoff);
void format_cutoff_value(struct fr_writer *out, const struct format_cutoff *cutoff);
bool format_cutoff_read(struct fr_bytes key, struct fr_bytes value, struct format_cutoff *ret);
/* The same in one: a record of the ledger beside the store. */
void format_cutoff_record(struct fr_writer *out, const struct format_cutoff *cutoff);
bool format_cutoff_record_read(struct fr_bytes record, struct format_cutoff *ret);

struct format_letter {
    uint64_t id; /* from the key, on reading */
    struct fr_bytes topic;
    int32_t partition;
    int64_t offset, logged;
    bool has_key, has_value;
    struct fr_bytes key, value, reason, message;
};
void format_letter_key(struct fr_writer *key, uint64_t id);
void format_letter_value(struct fr_writer *out, const struct format_letter *letter);
bool format_letter_read(struct fr_bytes key, struct fr_bytes value, struct format_letter *ret);

#endif
