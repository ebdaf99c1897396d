/*
 * log_kept.c -- the newest warnings and errors, kept for who looks only now (log.h).
 *
 *     lines  [ oldest | ... | newest ]      what comes again leaves its place and goes to the end;
 *                                           what is new takes the place of the oldest
 */
#include "freshet/log.h"

#include <pthread.h>
#include <string.h>

#include "base_private.h"

static struct {
    pthread_mutex_t lock;
    size_t len;
    struct fr_log_kept lines[FR_LOG_KEPT]; /* oldest first */
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Ends within the room and not within a character. */
static size_t cut(const char *text, size_t len)
{
    if (len < FR_LOG_KEPT_BYTES)
        return len;
    for (len = FR_LOG_KEPT_BYTES - 1; len > 0 && (text[len] & 0xC0) == 0x80;)
        len--;
    return len;
}

/* The place of a line with these words; `len` if there is none. */
static size_t find(const struct fr_log_kept *line)
{
    size_t at = 0;

    while (at < kept.len && (kept.lines[at].level != line->level || strcmp(kept.lines[at].event, line->event) != 0 ||
                             strcmp(kept.lines[at].text, line->text) != 0))
        at++;
    return at;
}

void log_keep(enum fr_level level, const char *component, const char *event, const char *text, size_t len, uint64_t times,
              int64_t now_ms)
{
    struct fr_log_kept line = {.first_ms = now_ms, .last_ms = now_ms, .times = times, .level = level};

    line.component = component;
    line.event = event;
    memcpy(line.text, text ? text : "", text ? cut(text, len) : 0);
    pthread_mutex_lock(&kept.lock);
    size_t at = find(&line);
    if (at < kept.len) {
        line.first_ms = kept.lines[at].first_ms;
        line.times += kept.lines[at].times;
    } else if (kept.len == FR_LOG_KEPT) {
        at = 0;
    } else {
        kept.len++;
    }
    memmove(&kept.lines[at], &kept.lines[at + 1], (kept.len - 1 - at) * sizeof(line));
    kept.lines[kept.len - 1] = line;
    pthread_mutex_unlock(&kept.lock);
}

size_t fr_log_recent(struct fr_log_kept *room, size_t max)
{
    pthread_mutex_lock(&kept.lock);
    size_t len = kept.len < max ? kept.len : max;
    for (size_t i = 0; i < len; i++)
        room[i] = kept.lines[kept.len - 1 - i];
    pthread_mutex_unlock(&kept.lock);
    return len;
}
