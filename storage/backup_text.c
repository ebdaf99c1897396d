/*
 * backup_text.c -- the list of a backup as text: one thing a line, the last one the seal over all before it.
 *
 *     freshet-backup 1
 *     made 1764077265000 version 0.1.0
 *     clock 1764077264000 events 1234
 *     position 0 1200 1764077264000 events         partition, next, newest, topic
 *     file 4711 9f0c...e1 000012.sst               size, hash, name
 *     part 12 5b1d...07 history/0                  keys, hash, name
 *     seal 0a3b...44
 *
 * The reader takes exactly what the writer writes: it writes what it has read once more and compares.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "freshet/alloc.h"
#include "freshet/backup.h"

enum { LINE_MAX_BYTES = 512, TEXT_MAX = 64 << 20 };

#define HASH "%016" PRIx64 "%016" PRIx64
#define HASH_IN "%16" SCNx64 "%16" SCNx64

void backup_release(struct backup *backup)
{
    free(backup->files);
    free(backup->parts);
    free(backup->positions);
    *backup = (struct backup){0};
}

void backup_write(struct fr_writer *out, const struct backup *backup)
{
    size_t start = out->len;

    fr_put_text(out, "freshet-backup 1\nmade %" PRId64 " version %s\nclock %" PRId64 " events %" PRIu64 "\n",
                backup->made, backup->version, backup->now, backup->events);
    for (size_t i = 0; i < backup->positions_len; i++) {
        const struct backup_position *p = &backup->positions[i];
        fr_put_text(out, "position %" PRId32 " %" PRId64 " %" PRId64 " %s\n", p->partition, p->next, p->newest, p->topic);
    }
    for (size_t i = 0; i < backup->files_len; i++) {
        const struct backup_file *f = &backup->files[i];
        fr_put_text(out, "file %" PRIu64 " " HASH " %s\n", f->size, f->hash.high, f->hash.low, f->name);
    }
    for (size_t i = 0; i < backup->parts_len; i++) {
        const struct backup_part *p = &backup->parts[i];
        fr_put_text(out, "part %" PRIu64 " " HASH " %s\n", p->keys, p->hash.high, p->hash.low, p->name);
    }
    XXH128_hash_t seal = XXH3_128bits(out->at + start, out->len - start);
    fr_put_text(out, "seal " HASH "\n", seal.high64, seal.low64);
}

/* No name leads out of its directory, or out of its line. */
static bool is_plain(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    return *name && !name[strspn(name, letters)] && strcmp(name, ".") && strcmp(name, "..");
}

/* One line, without its end. Lines come in the writer's order because they are compared at the end. */
static bool read_line(const char *line, struct backup *backup)
{
    struct backup_position position = {0};
    struct backup_file file = {0};
    struct backup_part part = {0};

    if (sscanf(line, "position %" SCNd32 " %" SCNd64 " %" SCNd64 " %249s", &position.partition, &position.next,
               &position.newest, position.topic) == 4) {
        fr_reserve((void **)&backup->positions, &backup->positions_cap, backup->positions_len + 1, sizeof(position));
        backup->positions[backup->positions_len++] = position;
        return is_plain(position.topic);
    }
    if (sscanf(line, "file %" SCNu64 " " HASH_IN " %63s", &file.size, &file.hash.high, &file.hash.low, file.name) == 4) {
        fr_reserve((void **)&backup->files, &backup->files_cap, backup->files_len + 1, sizeof(file));
        backup->files[backup->files_len++] = file;
        backup->bytes += file.size;
        return is_plain(file.name);
    }
    if (sscanf(line, "part %" SCNu64 " " HASH_IN " %31s", &part.keys, &part.hash.high, &part.hash.low, part.name) == 4) {
        fr_reserve((void **)&backup->parts, &backup->parts_cap, backup->parts_len + 1, sizeof(part));
        backup->parts[backup->parts_len++] = part;
        return true;
    }
    return sscanf(line, "made %" SCNd64 " version %63s", &backup->made, backup->version) == 2 ||
           sscanf(line, "clock %" SCNd64 " events %" SCNu64, &backup->now, &backup->events) == 2 ||
           !strcmp(line, "freshet-backup 1") || !strncmp(line, "seal ", 5);
}

static bool is_what_was_written(struct fr_bytes text, const struct backup *backup)
{
    struct fr_writer again;

    fr_writer_init(&again, 0);
    backup_write(&again, backup);
    bool same = fr_bytes_equal(text, fr_written(&again));
    fr_writer_release(&again);
    return same;
}

bool backup_read(struct fr_bytes text, struct backup *ret_backup)
{
    struct backup backup = {0};
    bool good = text.len > 0 && text.len <= TEXT_MAX;

    for (size_t at = 0; good && at < text.len;) {
        char line[LINE_MAX_BYTES];
        const char *end = memchr(text.at + at, '\n', text.len - at);
        size_t len = end ? (size_t)(end - (text.at + at)) : 0;
        good = end && len < sizeof(line) && !memchr(text.at + at, 0, len);
        if (good) {
            memcpy(line, text.at + at, len);
            line[len] = 0;
            good = read_line(line, &backup);
        }
        at += len + 1;
    }
    good = good && is_what_was_written(text, &backup);
    if (good)
        *ret_backup = backup;
    else
        backup_release(&backup);
    return good;
}
