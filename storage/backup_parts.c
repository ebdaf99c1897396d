/*
 * backup_parts.c -- what a database says, apart from the files it says it with.
 *
 *     m | o | x | ...            one part for each letter of plain keys
 *     s table segment ...        "history/0", "history/1" ...: 1024 segments of a table each
 *
 * A part's digest covers its keys and values with their lengths, in the order of keys. Two databases with the same digests hold
 * the same state, however their tables are cut.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "backup_private.h"
#include "freshet/alloc.h"
#include "freshet/format.h"
#include "freshet/segment.h"
#include "rocks_scan.h"

enum { GROUP = 1024 };

struct survey {
    struct backup *backup;
    const _Atomic bool *stop;
    XXH3_state_t *hash;
    char part[32]; /* of the last key; "": none yet */
    const char *problem;
};

static void name_part(struct fr_bytes key, char room[32])
{
    static const char *const tables[TABLES] = {
        [TABLE_USERS] = "users",     [TABLE_ITEMS] = "items", [TABLE_HISTORY] = "history",
        [TABLE_PAIRS] = "pairs",     [TABLE_DEDUP] = "dedup",
        [TABLE_FM_ITEMS] = "fm_items", [TABLE_FM_HISTORY] = "fm_history", [TABLE_FM_FEATURES] = "fm_features",
        [TABLE_FM_DENSE] = "fm_dense", [TABLE_TRENDING] = "trending", [TABLE_QUALITY] = "quality",
        [TABLE_NCF_GMF_ITEMS] = "ncf_gmf_items", [TABLE_NCF_MLP_ITEMS] = "ncf_mlp_items",
        [TABLE_NCF_GMF_HISTORY] = "ncf_gmf_history", [TABLE_NCF_MLP_HISTORY] = "ncf_mlp_history",
        [TABLE_NCF_DENSE] = "ncf_dense",
        [TABLE_CATALOGUE_ITEMS] = "catalogue_items", [TABLE_CATALOGUE_USERS] = "catalogue_users",
    };
    struct segment_key segment;

    if (segment_key_read(key, &segment))
        snprintf(room, 32, "%s/%" PRIu32, tables[segment.table], segment.segment / GROUP);
    else
        snprintf(room, 32, "%c", key.len && key.at[0] > ' ' && key.at[0] < 0x7f ? key.at[0] : '?');
}

static void end_part(struct survey *survey)
{
    if (!*survey->part)
        return;
    XXH128_hash_t digest = XXH3_128bits_digest(survey->hash);
    survey->backup->parts[survey->backup->parts_len - 1].hash = (struct backup_hash){digest.high64, digest.low64};
}

static void begin_part(struct survey *survey, const char *name)
{
    struct backup *backup = survey->backup;

    end_part(survey);
    fr_reserve((void **)&backup->parts, &backup->parts_cap, backup->parts_len + 1, sizeof(*backup->parts));
    struct backup_part *part = &backup->parts[backup->parts_len++];
    *part = (struct backup_part){0};
    snprintf(part->name, sizeof(part->name), "%s", name);
    snprintf(survey->part, sizeof(survey->part), "%s", name);
    XXH3_128bits_reset(survey->hash);
}

static void hash_run(struct survey *survey, struct fr_bytes bytes)
{
    unsigned char len[4] = {(unsigned char)bytes.len, (unsigned char)(bytes.len >> 8), (unsigned char)(bytes.len >> 16),
                            (unsigned char)(bytes.len >> 24)};

    XXH3_128bits_update(survey->hash, len, sizeof(len));
    XXH3_128bits_update(survey->hash, bytes.at, bytes.len);
}

static bool note_position(struct survey *survey, struct fr_bytes key, struct fr_bytes value)
{
    struct backup *backup = survey->backup;
    struct backup_position position = {0};
    struct format_position stored;

    if (!format_position_read(key, value, &stored) || stored.topic.len >= sizeof(position.topic))
        return false;
    memcpy(position.topic, stored.topic.at, stored.topic.len);
    position.partition = stored.partition;
    position.next = stored.next;
    position.newest = stored.newest;
    fr_reserve((void **)&backup->positions, &backup->positions_cap, backup->positions_len + 1, sizeof(position));
    backup->positions[backup->positions_len++] = position;
    return true;
}

static bool note_clock(struct survey *survey, struct fr_bytes value)
{
    struct format_clock clock;

    if (!format_clock_read(value, &clock))
        return false;
    survey->backup->now = clock.now;
    survey->backup->events = clock.events;
    return true;
}

static bool look_at(void *context, struct fr_bytes key, struct fr_bytes value)
{
    struct survey *survey = context;
    char part[32];

    if (survey->stop && atomic_load_explicit(survey->stop, memory_order_relaxed))
        return false;
    name_part(key, part);
    if (strcmp(part, survey->part))
        begin_part(survey, part);
    survey->backup->parts[survey->backup->parts_len - 1].keys++;
    hash_run(survey, key);
    hash_run(survey, value);
    if (part[0] == FORMAT_POSITION_PREFIX[0] && !part[1] && !note_position(survey, key, value))
        survey->problem = "a position in it cannot be read";
    else if (fr_bytes_equal(key, fr_bytes_of(FORMAT_CLOCK_KEY)) && !note_clock(survey, value))
        survey->problem = "the clock in it cannot be read";
    return !survey->problem;
}

int backup_survey(const char *path, const _Atomic bool *stop, struct backup *backup, struct fr_err *err)
{
    struct survey survey = {.backup = backup, .stop = stop, .hash = XXH3_createState()};

    backup->now = -1;
    int status = rocks_scan(path, look_at, &survey, err);
    end_part(&survey);
    XXH3_freeState(survey.hash);
    if (survey.problem)
        status = fr_fail(err, FR_CORRUPT, "the database '%s' is not whole: %s", path, survey.problem);
    return status;
}
