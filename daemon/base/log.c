/*
 * log.c -- one line per event on stderr, with one write(2) (log.h).
 */
#include "freshet/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "freshet/bytes.h"
#include "freshet/clock.h"
#include "freshet/codec.h"

enum { LINE_MAX_BYTES = 16384, EVENTS_MAX = 256, PER_SECOND = 10 };

static _Atomic int level_least = FR_INFO;
static _Atomic int format_now = FR_LOG_AUTO;

void fr_log_level(enum fr_level least)
{
    atomic_store(&level_least, (int)least);
}

void fr_log_setup(enum fr_level least, enum fr_log_format format)
{
    fr_log_level(least);
    atomic_store(&format_now, (int)format);
}

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* ---- rate: what each event has written in this second ---- */

static struct rate {
    const char *event;
    uint64_t second;
    uint32_t written, suppressed;
} rates[EVENTS_MAX];
static pthread_mutex_t rates_lock = PTHREAD_MUTEX_INITIALIZER;

/* May this line be written? If so, how many of its kind were not since the last one. A full table lets all others pass. */
static bool admit(const char *event, uint32_t *ret_suppressed)
{
    uint64_t second = fr_mono_ns() / 1000000000U;
    bool admitted = true;

    *ret_suppressed = 0;
    pthread_mutex_lock(&rates_lock);
    for (int i = 0; i < EVENTS_MAX; i++) {
        struct rate *rate = &rates[i];
        if (rate->event && strcmp(rate->event, event) != 0)
            continue;
        rate->event = event;
        if (rate->second != second) {
            rate->second = second;
            rate->written = 0;
        }
        admitted = rate->written < PER_SECOND;
        if (admitted) {
            rate->written++;
            *ret_suppressed = rate->suppressed;
            rate->suppressed = 0;
        } else {
            rate->suppressed++;
        }
        break;
    }
    pthread_mutex_unlock(&rates_lock);
    return admitted;
}

/* ---- text ---- */

static size_t utf8_step(const char *at, size_t left)
{
    for (size_t len = 1; len <= 4 && len <= left; len++)
        if (fr_utf8_valid(at, len))
            return len;
    return 0;
}

static void put_json_text(struct fr_writer *out, const char *text)
{
    size_t left = strlen(text);

    fr_put_u8(out, '"');
    while (left) {
        unsigned char byte = (unsigned char)*text;
        size_t step = utf8_step(text, left);
        if (byte == '"' || byte == '\\')
            fr_put_text(out, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7F)
            fr_put_text(out, "\\u%04x", byte);
        else if (step)
            fr_put_bytes(out, text, step);
        else
            fr_put_text(out, "\\ufffd");
        step = step ? step : 1;
        text += step;
        left -= step;
    }
    fr_put_u8(out, '"');
}

static void put_field(struct fr_writer *out, const struct fr_field *field, bool json)
{
    if (json) {
        put_json_text(out, field->name);
        fr_put_u8(out, ':');
    } else {
        fr_put_text(out, " %s=", field->name);
    }
    switch (field->type) {
    case FR_FIELD_TEXT:
        put_json_text(out, field->text ? field->text : "");
        break;
    case FR_FIELD_INT:
        fr_put_text(out, "%lld", (long long)field->number);
        break;
    case FR_FIELD_REAL:
        if (field->real - field->real == 0)
            fr_put_text(out, "%.9g", field->real);
        else
            put_json_text(out, field->real != field->real ? "nan" : "inf"); /* JSON has no such number */
        break;
    }
}

static void put_line(struct fr_writer *out, enum fr_level level, const char *component, const char *event,
                     const char *message, const struct fr_field *fields, size_t fields_len, bool json)
{
    char time[32];

    fr_time_text(fr_wall_ms(), time);
    if (json) {
        fr_put_text(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"event\":\"%s\",\"msg\":", time,
                    level_names[level], component, event);
        put_json_text(out, message);
    } else {
        fr_put_text(out, "%s %-5s %-10s %s: ", time, level_names[level], component, event);
        for (const char *at = message; *at; at++) /* one line: control bytes would break it */
            fr_put_u8(out, (unsigned char)*at < 0x20 ? ' ' : (uint8_t)*at);
    }
    for (size_t i = 0; i < fields_len; i++) {
        if (json)
            fr_put_u8(out, ',');
        put_field(out, &fields[i], json);
    }
    fr_put_text(out, json ? "}\n" : "\n");
}

void fr_log(enum fr_level level, const char *component, const char *event, const struct fr_field *fields,
            size_t fields_len, const char *format, ...)
{
    char message[1024];
    struct fr_field all[24];
    uint32_t suppressed;
    va_list args;
    struct fr_writer out;
    int how = atomic_load(&format_now);

    if ((int)level < atomic_load(&level_least) || !admit(event, &suppressed))
        return;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (fields_len > 23)
        fields_len = 23;
    if (fields_len)
        memcpy(all, fields, fields_len * sizeof(*fields));
    if (suppressed)
        all[fields_len++] = (struct fr_field)FR_INT("suppressed", suppressed);
    fr_writer_init(&out, LINE_MAX_BYTES);
    put_line(&out, level, component, event, message, all, fields_len,
             how == FR_LOG_JSON || (how == FR_LOG_AUTO && !isatty(STDERR_FILENO)));
    if (out.overflow) { /* the fields were too much: the event and its message are not */
        fr_writer_reset(&out);
        put_line(&out, level, component, event, message, NULL, 0, how != FR_LOG_TEXT && !isatty(STDERR_FILENO));
    }
    if (write(STDERR_FILENO, out.at, out.len) < 0) {
        /* Nobody can be told. */
    }
    fr_writer_release(&out);
}
