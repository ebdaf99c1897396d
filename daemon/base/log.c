/*
 * log.c -- one line per event, made aside and then written as a whole (log.h, log_write.c).
 *
 *     {"ts":"2026-11-23T10:11:12.123Z","level":"warn","component":"feed","event":"topic.missing",...}
 *     2026-11-23T10:11:12.123Z warn  feed: topic does not exist yet (topic.missing) topic=events
 *
 * Texts come from the world. Whatever they hold, a line stays one line, valid JSON or harmless on a terminal: control
 * characters (U+0000..1F, 7F..9F) become \u00XX, and each byte that is not UTF-8 becomes \ufffd.
 */
#include "freshet/log.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base_private.h"
#include "freshet/clock.h"
#include "freshet/codec.h"

enum { LINE_BYTES_MAX = 32768, MESSAGE_ROOM = 1024, FIELD_TEXT_MAX = 1024 };

static _Atomic int level_least = FR_INFO;
static _Atomic int format_now = FR_LOG_AUTO;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

enum fr_level fr_log_level(enum fr_level least)
{
    return (enum fr_level)atomic_exchange(&level_least, (int)least);
}

const char *fr_level_name(enum fr_level level)
{
    return level_names[level];
}

bool fr_level_of(const char *name, enum fr_level *ret_level)
{
    for (enum fr_level level = FR_DEBUG; level <= FR_ERROR; level++)
        if (!strcmp(name, level_names[level])) {
            *ret_level = level;
            return true;
        }
    return false;
}

void fr_log_setup(enum fr_level least, enum fr_log_format format)
{
    fr_log_level(least);
    atomic_store(&format_now, (int)format);
}

/* ---- rate: what each event has written in this second ---- */

static struct rate {
    const char *event; /* a literal; NULL: this entry and those after it are free */
    uint64_t second;
    uint32_t written, suppressed;
} rates[LOG_EVENTS_MAX];
static pthread_mutex_t rates_lock = PTHREAD_MUTEX_INITIALIZER;

static struct rate *rate_of(const char *event)
{
    for (int i = 0; i < LOG_EVENTS_MAX; i++) {
        if (!rates[i].event)
            rates[i].event = event;
        if (rates[i].event == event || strcmp(rates[i].event, event) == 0)
            return &rates[i];
    }
    return NULL;
}

/* When the table is full, events that are not in it pass: better too many lines than none. */
bool log_admits(const char *event, uint64_t now_ns, uint32_t *ret_suppressed)
{
    uint64_t second = now_ns / 1000000000;
    bool admitted = true;

    *ret_suppressed = 0;
    pthread_mutex_lock(&rates_lock);
    struct rate *rate = rate_of(event);
    if (rate) {
        if (rate->second != second) {
            rate->second = second;
            rate->written = 0;
        }
        admitted = rate->written < LOG_LINES_PER_SECOND;
        if (admitted) {
            rate->written++;
            *ret_suppressed = rate->suppressed;
            rate->suppressed = 0;
        } else {
            rate->suppressed++;
        }
    }
    pthread_mutex_unlock(&rates_lock);
    return admitted;
}

/* ---- text ---- */

/* `quoted`: inside quotes, so that these and backslashes are escaped too. */
static void put_clean(struct fr_writer *out, const char *text, size_t len, bool quoted)
{
    const unsigned char *at = (const unsigned char *)text;

    while (len) {
        size_t step = utf8_sequence(at, len);
        if (!step) {
            fr_put_bytes(out, "\\ufffd", 6);
            step = 1;
        } else if (*at < 0x20 || *at == 0x7F) {
            fr_put_text(out, "\\u%04x", *at);
        } else if (*at == 0xC2 && at[1] < 0xA0) { /* U+0080..9F: some terminals obey them */
            fr_put_text(out, "\\u%04x", at[1]);
        } else {
            if (quoted && (*at == '"' || *at == '\\'))
                fr_put_u8(out, '\\');
            fr_put_bytes(out, at, step);
        }
        at += step;
        len -= step;
    }
}

static void put_quoted(struct fr_writer *out, const char *text)
{
    size_t len = strnlen(text, FIELD_TEXT_MAX + 1);

    fr_put_u8(out, '"');
    if (len <= FIELD_TEXT_MAX) {
        put_clean(out, text, len, true);
    } else {
        for (len = FIELD_TEXT_MAX; (text[len] & 0xC0) == 0x80 && len > FIELD_TEXT_MAX - 4;)
            len--; /* not within a character */
        put_clean(out, text, len, true);
        fr_put_bytes(out, "...", 3);
    }
    fr_put_u8(out, '"');
}

/* Only letters, digits and such: readable as name=value without quotes. */
static bool is_plain(const char *text)
{
    size_t len = strnlen(text, FIELD_TEXT_MAX);

    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~' || strchr("\"\\=", text[i]))
            return false;
    return len > 0 && len < FIELD_TEXT_MAX;
}

static void put_value(struct fr_writer *out, const struct fr_field *field, bool json)
{
    const char *text = field->text ? field->text : "";
    char real[FR_REAL_TEXT_ROOM];

    switch (field->type) {
    case FR_FIELD_TEXT:
        if (!json && is_plain(text))
            fr_put_text(out, "%s", text);
        else
            put_quoted(out, text);
        break;
    case FR_FIELD_INT:
        fr_put_text(out, "%lld", (long long)field->number);
        break;
    case FR_FIELD_REAL:
        fr_real_text(field->real, real);
        if (json && !isfinite(field->real)) /* JSON has no such number */
            put_quoted(out, real);
        else
            fr_put_text(out, "%s", real);
        break;
    }
}

static void put_fields(struct fr_writer *out, const struct fr_field *fields, size_t len, bool json)
{
    for (size_t i = 0; i < len; i++) {
        fr_put_text(out, json ? ",\"%s\":" : " %s=", fields[i].name);
        put_value(out, &fields[i], json);
    }
}

/* ---- lines ---- */

struct line {
    enum fr_level level;
    const char *component, *event, *message;
    uint32_t suppressed;
};

/* It and those it stands for. */
static uint64_t lines_of(const struct line *line)
{
    return 1 + (uint64_t)line->suppressed;
}

static void put_line(struct fr_writer *out, const struct line *line, const struct fr_field *fields, size_t fields_len,
                     bool json)
{
    const struct fr_field suppressed = FR_INT("suppressed", line->suppressed);
    char time[32];

    fr_time_text(fr_wall_ms(), time);
    if (json) {
        fr_put_text(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"event\":\"%s\",\"msg\":\"", time,
                    level_names[line->level], line->component, line->event);
        put_clean(out, line->message, strlen(line->message), true);
        fr_put_u8(out, '"');
    } else {
        fr_put_text(out, "%s %-5s %s: ", time, level_names[line->level], line->component);
        put_clean(out, line->message, strlen(line->message), false);
        fr_put_text(out, " (%s)", line->event);
    }
    put_fields(out, fields, fields_len, json);
    put_fields(out, &suppressed, line->suppressed > 0, json);
    fr_put_text(out, json ? "}\n" : "\n");
}

/* What of a line is worth keeping: who looks at it knows when it was, and that it is one. */
static void keep_line(const struct line *line, const struct fr_field *fields, size_t fields_len, uint64_t times)
{
    struct fr_writer text;

    fr_writer_init(&text, LINE_BYTES_MAX);
    put_clean(&text, line->message, strlen(line->message), false);
    put_fields(&text, fields, fields_len, false);
    log_keep(line->level, line->component, line->event, text.at, text.len, times, fr_wall_ms());
    fr_writer_release(&text);
}

static bool as_json(void)
{
    int format = atomic_load(&format_now);

    return format == FR_LOG_JSON || (format == FR_LOG_AUTO && !isatty(STDERR_FILENO));
}

static const struct line dropped_line = {
    .level = FR_WARN,
    .component = "log",
    .event = "log.dropped",
    .message = "whoever reads the log stood still; lines before this one are missing",
};

void log_put_dropped(struct fr_writer *out, uint64_t lines)
{
    put_line(out, &dropped_line, FR_FIELDS(FR_INT("lines", lines)), as_json());
}

static void write_line(const struct fr_writer *out, const struct line *line)
{
    uint64_t told = log_write(out->at, out->len, lines_of(line));

    if (told) /* in words that are always the same: a reader that stutters takes one place among those kept, and no warning's */
        keep_line(&dropped_line, FR_NO_FIELDS, told);
}

void fr_log(enum fr_level level, const char *component, const char *event, const struct fr_field *fields,
            size_t fields_len, const char *format, ...)
{
    struct line line = {.level = level, .component = component, .event = event};
    int kept_errno = errno; /* who logs a failure may still want to look at it */
    char message[MESSAGE_ROOM];
    struct fr_writer out;
    va_list args;

    if ((int)level < atomic_load(&level_least) || !log_admits(event, fr_mono_ns(), &line.suppressed))
        return;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    line.message = message;
    bool json = as_json();
    fr_writer_init(&out, LINE_BYTES_MAX);
    put_line(&out, &line, fields, fields_len, json);
    if (out.overflow) { /* the fields were too much: the event and its message are not */
        const struct fr_field dropped = FR_INT("fields_dropped", fields_len);
        fr_writer_reset(&out);
        put_line(&out, &line, &dropped, 1, json);
    }
    write_line(&out, &line);
    fr_writer_release(&out);
    if (level >= FR_WARN)
        keep_line(&line, fields, fields_len, lines_of(&line));
    errno = kept_errno;
}
