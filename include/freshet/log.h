/*
 * log.h -- one line per event on stderr: JSON when stderr is no terminal, else readable.
 *
 *     {"ts":"2026-11-23T10:11:12.123Z","level":"warn","component":"feed","event":"topic.missing",
 *      "msg":"topic does not exist yet; waiting for it","topic":"events"}
 *
 * `event` is a stable name for machines, a string literal; `msg` is for people. A line with the same event more than
 * 10 times in a second is counted instead of written, and the next one written says "suppressed": n.
 * The newest warnings and errors are kept, to be shown on the status page.
 * Who handles a failure logs it, once: models, storage and base never log above debug.
 *
 * Thread: any. Nobody waits for who reads: lines that a pipe, a socket or a terminal has no room for are dropped, and the
 * next one that is written follows "log.dropped", which says how many. A line is written with one write(2) where it has
 * at most 4,096 bytes, or stderr is a file.
 */
#ifndef FR_LOG_H
#define FR_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fr_level { FR_DEBUG, FR_INFO, FR_WARN, FR_ERROR };
enum fr_log_format { FR_LOG_AUTO, FR_LOG_JSON, FR_LOG_TEXT };

struct fr_field {
    const char *name;
    enum { FR_FIELD_TEXT, FR_FIELD_INT, FR_FIELD_REAL } type;
    const char *text; /* bytes that are not UTF-8 are escaped */
    int64_t number;
    double real;
};

#define FR_TEXT(name, value) {(name), FR_FIELD_TEXT, (value), 0, 0}
#define FR_INT(name, value) {(name), FR_FIELD_INT, NULL, (int64_t)(value), 0}
#define FR_REAL(name, value) {(name), FR_FIELD_REAL, NULL, 0, (value)}
#define FR_FIELDS(...)                                                                                                 \
    (const struct fr_field[]){__VA_ARGS__}, sizeof((const struct fr_field[]){__VA_ARGS__}) / sizeof(struct fr_field)
#define FR_NO_FIELDS NULL, 0

void fr_log_setup(enum fr_level least, enum fr_log_format format);
enum fr_level fr_log_level(enum fr_level least); /* may change while threads log; the one before */
const char *fr_level_name(enum fr_level level);  /* "debug", "info", "warn", "error" */
bool fr_level_of(const char *name, enum fr_level *ret_level);

/* fr_log(FR_WARN, "feed", "topic.missing", FR_FIELDS(FR_TEXT("topic", topic)), "topic does not exist yet"); */
__attribute__((format(printf, 6, 7))) void fr_log(enum fr_level level, const char *component, const char *event,
                                                   const struct fr_field *fields, size_t fields_len,
                                                   const char *format, ...);

/* The newest lines at warn or error, dropped ones too, for who looks only now. The same words again are one line, at the place of
 * the newest. */
enum { FR_LOG_KEPT = 64, FR_LOG_KEPT_BYTES = 512 };
struct fr_log_kept {
    int64_t first_ms, last_ms; /* Unix time */
    uint64_t times;            /* those that were counted instead of written are among them; of log.dropped: so many lines are missing */
    enum fr_level level;
    const char *component, *event;
    char text[FR_LOG_KEPT_BYTES]; /* message and fields as in a readable line: UTF-8, no control characters, cut */
};
/* At most `max` of them, newest first; returns how many. */
size_t fr_log_recent(struct fr_log_kept *room, size_t max);

#endif
