/*
 * formats.c -- one small parser per format (formats.h).
 */
#include "formats.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

#include "freshet/alloc.h"

enum { FIELDS_MAX = 64, FIELDS_MORE, FIELDS_OPEN, /* what split() says of a line that it does not cut to its end */ NAME_SHOWN_MAX = 40 };
enum column { COLUMN_USER, COLUMN_ITEM, COLUMN_TYPE, COLUMN_VALUE, COLUMN_TIME, COLUMN_EVENT, COLUMNS };
static const char *const column_names[COLUMNS] = {"user_id", "item_id", "type", "value", "time_ms", "event_id"};

struct format {
    enum line_result (*parse)(struct format *format, char *line, struct line_event *ret, const char **ret_problem);
    char separator;
    bool begun;
    enum { FORM_TABS, FORM_COLONS, FORM_COMMAS } form; /* movielens: once it has begun */
    enum { DATES_UNKNOWN, DATES_ISO, DATES_SLASHES } dates; /* online-retail, UCI's */
    int column[COLUMNS]; /* csv, tsv: where each stands; -1: absent */
    size_t columns;
    char unknown[200]; /* csv, tsv: names in the header that mean nothing here: 'a', 'b' */
    size_t unknown_more; /* for which there was no room */
    char note[400];
    bool extract;        /* online-retail: ours, not UCI's */
    bool headless;       /* and when its minutes count from is not known: no line is read */
    int64_t epoch_ms, minute;
    char customer[FR_ID_BYTES_MAX + 2]; /* of one that is too long, enough to be refused */
    bool minute_known, customer_known;  /* of the line before, which was read */
    json_t *object; /* jsonl: the line at hand */
    struct line_feature context[FEATURES_MAX];
    enum format_of of;
    char *text; /* items-tsv: the line at hand as JSON */
};

/* ---- pieces ---- */

static bool whole(const char *text, int64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoll(text, &end, 10);
    return *text && !*end && !errno;
}

static bool real(const char *text, double *ret)
{
    char *end;

    *ret = strtod(text, &end);
    return *text && !*end && isfinite(*ret);
}

/* *ret = from + count * unit; false when that is beyond 64 bits. */
static bool later(int64_t from, int64_t count, int64_t unit, int64_t *ret)
{
    return !__builtin_mul_overflow(count, unit, ret) && !__builtin_add_overflow(from, *ret, ret);
}

/* Cuts a line at its separators, in place; "quoted ""fields""" lose their quotes. The fields, or FIELDS_MORE than there is room for, those
 * that are empty at the end aside; FIELDS_OPEN: a quote is not closed. */
static size_t split(char *line, char separator, char **fields)
{
    size_t len = 0;

    for (;;) {
        char *out = line, *in = line;
        if (len == FIELDS_MAX)
            return line[strspn(line, (const char[]){separator, '\0'})] ? FIELDS_MORE : len;
        fields[len++] = line;
        if (separator == ',' && *in == '"') {
            for (in++; *in && (*in != '"' || in[1] == '"'); in++) {
                if (*in == '"')
                    in++;
                *out++ = *in;
            }
            if (!*in)
                return FIELDS_OPEN;
            in++;
        }
        while (*in && *in != separator)
            *out++ = *in++;
        bool last = !*in;
        line = in + 1;
        *out = '\0';
        if (last)
            return len;
    }
}

/* The same between "::"; no quotes. */
static size_t split_colons(char *line, char **fields)
{
    size_t len = 0;

    for (char *next = line; next; line = next) {
        if (len == FIELDS_MAX)
            return FIELDS_MORE;
        next = strstr(line, "::");
        fields[len++] = line;
        if (next) {
            *next = '\0';
            next += 2;
        }
    }
    return len;
}

/* As UTC. False: there is no such moment: timegm() makes March of the 30th of February, and January of month 13. */
static bool moment(const struct tm *asked, int64_t *ret_ms)
{
    struct tm parts = *asked;

    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    *ret_ms = (int64_t)timegm(&parts) * 1000;
    return asked->tm_year >= 1000 && parts.tm_mon == asked->tm_mon - 1 && parts.tm_mday == asked->tm_mday && parts.tm_hour == asked->tm_hour &&
           parts.tm_min == asked->tm_min && parts.tm_sec == asked->tm_sec;
}

/* What may be behind the seconds: a fraction, which is left out, and that it is UTC. A time of elsewhere is another moment. */
static bool is_utc(const char *behind)
{
    if (*behind == '.')
        behind += 1 + strspn(behind + 1, "0123456789");
    return !*behind || !strcmp(behind, "Z") || !strcmp(behind, "+00:00");
}

/* "2010-12-01 08:26:00" or "2010-12-01T08:26:00Z", as UTC. */
static bool instant(const char *text, int64_t *ret_ms)
{
    struct tm parts = {0};
    char between;
    int end = 0;

    return sscanf(text, "%4d-%2d-%2d%c%2d:%2d:%2d%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &between, &parts.tm_hour, &parts.tm_min,
                  &parts.tm_sec, &end) == 7 &&
           (between == ' ' || between == 'T') && is_utc(text + end) && moment(&parts, ret_ms);
}

/* "12/1/2010 8:26", month first, as UTC. */
static bool instant_slashes(const char *text, int64_t *ret_ms)
{
    struct tm parts = {0};
    int end = 0;

    return sscanf(text, "%2d/%2d/%4d %2d:%2d%n", &parts.tm_mon, &parts.tm_mday, &parts.tm_year, &parts.tm_hour, &parts.tm_min, &end) == 5 &&
           !text[end] && moment(&parts, ret_ms);
}

static enum line_result bad(const char **ret_problem, const char *problem)
{
    *ret_problem = problem;
    return LINE_BAD;
}

/* ---- movielens ---- */

/* The first line says which of the three forms all have. */
static enum line_result movielens_begin(struct format *format, const char *line)
{
    bool header = strcmp(line, "userId,movieId,rating,timestamp") == 0;

    format->begun = true;
    format->form = header ? FORM_COMMAS : strchr(line, '\t') || !strstr(line, "::") ? FORM_TABS : FORM_COLONS;
    return header ? LINE_HEADER : LINE_EVENT;
}

static enum line_result movielens(struct format *format, char *line, struct line_event *ret, const char **ret_problem)
{
    static const char *const problems[] = {
        [FORM_TABS] = "is not user, item, rating and seconds between tabs",
        [FORM_COLONS] = "is not user, item, rating and seconds between '::', as the first line is",
        [FORM_COMMAS] = "is not user, item, rating and seconds between commas, as the header says",
    };
    char *fields[FIELDS_MAX];
    int64_t seconds;

    if (!format->begun && movielens_begin(format, line) == LINE_HEADER)
        return LINE_HEADER;
    if ((format->form == FORM_COLONS ? split_colons(line, fields) : split(line, format->form == FORM_TABS ? '\t' : ',', fields)) != 4)
        return bad(ret_problem, problems[format->form]);
    if (!real(fields[2], &ret->value))
        return bad(ret_problem, "has a rating that is no number");
    if (!whole(fields[3], &seconds) || !later(0, seconds, 1000, &ret->time_ms))
        return bad(ret_problem, "has a time that is no number of seconds");
    ret->user = fr_bytes_of(fields[0]);
    ret->item = fr_bytes_of(fields[1]);
    ret->type = FR_BYTES("rating");
    ret->has_value = true;
    return LINE_EVENT;
}

/* ---- csv, tsv ---- */

/* As much of a name as is shown; not a part of a character. */
static int shown_len(const char *name)
{
    int len = (int)strnlen(name, NAME_SHOWN_MAX);

    if (name[len])
        while (len && ((unsigned char)name[len] & 0xC0) == 0x80)
            len--;
    return len;
}

static void note_unknown(struct format *format, const char *name)
{
    size_t at = strlen(format->unknown), room = sizeof(format->unknown) - at;
    int len = shown_len(name);

    if (format->unknown_more || (size_t)len + sizeof(", ''") > room)
        format->unknown_more++;
    else
        snprintf(format->unknown + at, room, "%s'%.*s'", at ? ", " : "", len, name);
}

static void write_note(struct format *format)
{
    char more[40] = "";

    if (format->unknown_more)
        snprintf(more, sizeof(more), " and %zu more", format->unknown_more);
    if (*format->unknown)
        snprintf(format->note, sizeof(format->note),
                 "the header names %s%s, which is left out; what is read: user_id, item_id, type, value, time_ms, event_id", format->unknown,
                 more);
}

/* No line after such a header is read: it has no user. */
static enum line_result refuse_header(struct format *format, const char **ret_problem, const char *problem)
{
    format->column[COLUMN_USER] = -1;
    return bad(ret_problem, problem);
}

static enum line_result header(struct format *format, char **fields, size_t len, const char **ret_problem)
{
    format->begun = true;
    format->columns = len;
    for (int c = 0; c < COLUMNS; c++)
        format->column[c] = -1;
    if (len == FIELDS_OPEN)
        return refuse_header(format, ret_problem, "is the header and has a quote that is not closed");
    if (len == FIELDS_MORE)
        return refuse_header(format, ret_problem, "is the header and names more than 64 columns");
    for (size_t f = 0; f < len; f++) {
        int c = 0;
        while (c < COLUMNS && strcmp(fields[f], column_names[c]))
            c++;
        if (c < COLUMNS && format->column[c] >= 0)
            return refuse_header(format, ret_problem, "is the header and names a column twice");
        if (c < COLUMNS)
            format->column[c] = (int)f;
        else if (*fields[f])
            note_unknown(format, fields[f]);
    }
    if (format->column[COLUMN_USER] < 0 || format->column[COLUMN_ITEM] < 0)
        return refuse_header(format, ret_problem, "is the header and names no user_id and item_id");
    write_note(format);
    return LINE_HEADER;
}

static enum line_result columns(struct format *format, char *line, struct line_event *ret, const char **ret_problem)
{
    char *fields[FIELDS_MAX];
    const char *of[COLUMNS];
    size_t len = split(line, format->separator, fields);

    if (!format->begun)
        return header(format, fields, len, ret_problem);
    if (format->column[COLUMN_USER] < 0)
        return bad(ret_problem, "is not read, as the header cannot be");
    if (len == FIELDS_OPEN)
        return bad(ret_problem, "has a quote that is not closed");
    for (size_t f = format->columns; f < len; f++) /* fewer: the last are empty */
        if (len == FIELDS_MORE || *fields[f])
            return bad(ret_problem, "has more fields than the header has names");
    for (int c = 0; c < COLUMNS; c++)
        of[c] = format->column[c] >= 0 && (size_t)format->column[c] < len ? fields[format->column[c]] : "";
    ret->user = fr_bytes_of(of[COLUMN_USER]);
    ret->item = fr_bytes_of(of[COLUMN_ITEM]);
    ret->type = fr_bytes_of(of[COLUMN_TYPE]);
    ret->event_id = fr_bytes_of(of[COLUMN_EVENT]);
    ret->has_value = *of[COLUMN_VALUE];
    if (ret->has_value && !real(of[COLUMN_VALUE], &ret->value))
        return bad(ret_problem, "has a value that is no number");
    if (*of[COLUMN_TIME] && !whole(of[COLUMN_TIME], &ret->time_ms))
        return bad(ret_problem, "has a time_ms that is no whole number");
    return LINE_EVENT;
}

/* ---- jsonl ---- */

static json_t *member(const json_t *object, const char *name, const char *camel)
{
    json_t *value = json_object_get(object, name);

    return value ? value : json_object_get(object, camel);
}

static struct fr_bytes text_of(const json_t *value)
{
    return json_is_string(value) ? (struct fr_bytes){json_string_value(value), json_string_length(value)} : (struct fr_bytes){"", 0};
}

/* False: it is something, but no text; `problem` says so. Absent and null are empty. */
static bool text_member(const json_t *object, const char *name, const char *camel, struct fr_bytes *ret, const char *problem,
                        const char **ret_problem)
{
    const json_t *value = member(object, name, camel);

    *ret = text_of(value);
    if (!value || json_is_null(value) || json_is_string(value))
        return true;
    *ret_problem = problem;
    return false;
}

static bool user_member(const json_t *object, struct line_event *ret, const char **ret_problem)
{
    return text_member(object, "user_id", "userId", &ret->user, "has a user_id that is no string", ret_problem);
}

static bool item_member(const json_t *object, struct line_event *ret, const char **ret_problem)
{
    return text_member(object, "item_id", "itemId", &ret->item, "has an item_id that is no string", ret_problem);
}

/* False: it is no object of strings. */
static bool context_of(struct format *format, json_t *object, struct line_event *ret)
{
    ret->context = format->context;
    if (!object || json_is_null(object))
        return true;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        struct fr_bytes name = {json_object_iter_key(at), json_object_iter_key_len(at)};
        if (!json_is_string(json_object_iter_value(at)))
            return false;
        if (ret->context_len < FEATURES_MAX)
            format->context[ret->context_len++] = (struct line_feature){name, text_of(json_object_iter_value(at))};
    }
    return json_is_object(object);
}

static enum line_result jsonl(struct format *format, char *line, struct line_event *ret, const char **ret_problem)
{
    json_decref(format->object);
    format->object = json_loads(line, 0, NULL);
    if (!json_is_object(format->object))
        return bad(ret_problem, "is no JSON object");
    const json_t *value = json_object_get(format->object, "value"), *time = member(format->object, "time_ms", "timeMs");
    if (!user_member(format->object, ret, ret_problem) || !item_member(format->object, ret, ret_problem) ||
        !text_member(format->object, "type", "type", &ret->type, "has a type that is no string", ret_problem) ||
        !text_member(format->object, "event_id", "eventId", &ret->event_id, "has an event_id that is no string", ret_problem))
        return LINE_BAD;
    ret->has_value = json_is_number(value);
    if (value && !json_is_null(value) && !ret->has_value)
        return bad(ret_problem, "has a value that is no number");
    ret->value = ret->has_value ? json_number_value(value) : 0;
    if (json_is_integer(time))
        ret->time_ms = json_integer_value(time);
    else if (time && !json_is_null(time) && !(json_is_string(time) && whole(json_string_value(time), &ret->time_ms)))
        return bad(ret_problem, "has a time_ms that is no whole number");
    if (!context_of(format, json_object_get(format->object, "context"), ret))
        return bad(ret_problem, "has a context that is no object of strings");
    return LINE_EVENT;
}

/* ---- libfm ---- */

static enum line_result libfm(struct format *format, char *line, struct line_event *ret, const char **ret_problem)
{
    static const char blanks[] = " \t\r";
    char *at = NULL, *label = strtok_r(line, blanks, &at), *word;
    struct fr_bytes ids[2];
    size_t len = 0;

    if (!label)
        return LINE_SKIP;
    if (!real(label, &ret->value))
        return bad(ret_problem, "has a label that is no number");
    for (; (word = strtok_r(NULL, blanks, &at)); len++) {
        struct fr_bytes feature = {word, strspn(word, "0123456789")};
        if (!feature.len || strcmp(word + feature.len, ":1") != 0)
            return bad(ret_problem, "has a feature that is not NUMBER:1");
        if (len < 2)
            ids[len] = feature;
        else if (ret->context_len < FEATURES_MAX)
            format->context[ret->context_len++] = (struct line_feature){FR_BYTES("feature"), feature};
    }
    if (len < 2)
        return bad(ret_problem, "is not a label, user:1, item:1 and features");
    ret->user = ids[0];
    ret->item = ids[1];
    ret->context = format->context;
    ret->type = FR_BYTES("rating");
    ret->has_value = true;
    return LINE_EVENT;
}

/* ---- what is said of items and users ---- */

static enum line_result said(struct format *format, const char *text, struct line_event *ret, const char **ret_problem)
{
    json_decref(format->object);
    format->object = json_loads(text, 0, NULL);
    if (!json_is_object(format->object))
        return bad(ret_problem, "is no JSON object");
    if (!(format->of == FORMAT_OF_USERS ? user_member : item_member)(format->object, ret, ret_problem))
        return LINE_BAD;
    ret->said = fr_bytes_of(text);
    return LINE_SAID;
}

static enum line_result said_jsonl(struct format *format, char *line, struct line_event *ret, const char **ret_problem)
{
    return said(format, line, ret, ret_problem);
}

static enum line_result items_tsv(struct format *format, char *line, struct line_event *ret, const char **ret_problem)
{
    char *fields[FIELDS_MAX];

    if (split(line, '\t', fields) != 2)
        return bad(ret_problem, "is not item and title between tabs");
    json_t *object = json_pack("{ssss}", "item_id", fields[0], "title", fields[1]); /* NULL: not UTF-8 */
    free(format->text);
    format->text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return format->text ? said(format, format->text, ret, ret_problem) : bad(ret_problem, "is not UTF-8");
}

/* ---- online-retail ---- */

static enum line_result purchase(struct line_event *ret, const char *customer, const char *item, double quantity)
{
    ret->user = fr_bytes_of(customer);
    ret->item = fr_bytes_of(item);
    ret->type = quantity < 0 ? FR_BYTES("return") : FR_BYTES("purchase");
    ret->has_value = true;
    ret->value = fabs(quantity);
    return LINE_EVENT;
}

/* What it leaves out is that of the line before; where that could not be read, nobody knows what. */
static enum line_result extract_line(struct format *format, char *line, struct line_event *ret, const char **ret_problem)
{
    char *fields[FIELDS_MAX];
    double quantity;
    bool four = split(line, '\t', fields) == 4;

    if (format->headless)
        return bad(ret_problem, "is in minutes since nobody knows when: the header does not name it");
    if (!four || *fields[0])
        format->minute_known = four && whole(fields[0], &format->minute) && later(format->epoch_ms, format->minute, 60000, &ret->time_ms);
    if (!four || *fields[1])
        format->customer_known = four;
    if (four && *fields[1])
        snprintf(format->customer, sizeof(format->customer), "%s", fields[1]);
    if (!four || !real(fields[3], &quantity))
        return bad(ret_problem, "is not minutes, customer, item and quantity between tabs");
    if (!format->minute_known && *fields[0])
        return bad(ret_problem, "has a time that is no number of minutes");
    if (!format->minute_known || !format->customer_known)
        return bad(ret_problem, "leaves out what the line before should say, and no such line could be read");
    later(format->epoch_ms, format->minute, 60000, &ret->time_ms);
    return purchase(ret, format->customer, fields[2], quantity);
}

/* NULL, or what is wrong with it. All of a file are in one form: one that changes is not one table. */
static const char *invoice_date(struct format *format, const char *text, int64_t *ret_ms)
{
    bool slashes = strchr(text, '/');

    if (!(slashes ? instant_slashes : instant)(text, ret_ms))
        return "has an InvoiceDate that is neither YYYY-MM-DD HH:MM:SS nor M/D/YYYY H:MM";
    if (format->dates != DATES_UNKNOWN && (format->dates == DATES_SLASHES) != slashes)
        return "has an InvoiceDate in another form than those before";
    format->dates = slashes ? DATES_SLASHES : DATES_ISO;
    return NULL;
}

static enum line_result uci_line(struct format *format, char *line, struct line_event *ret, const char **ret_problem)
{
    char *fields[FIELDS_MAX];
    double quantity;
    const char *problem;
    size_t len = split(line, ',', fields);

    if (len == FIELDS_OPEN)
        return bad(ret_problem, "has a quote that is not closed");
    if (len != 8)
        return bad(ret_problem, "does not have the eight columns of UCI's table");
    if (!*fields[6])
        return LINE_SKIP; /* nobody's */
    if (!real(fields[3], &quantity))
        return bad(ret_problem, "has a Quantity that is no number");
    if ((problem = invoice_date(format, fields[4], &ret->time_ms)))
        return bad(ret_problem, problem);
    snprintf(format->customer, sizeof(format->customer), "%.*s", (int)strcspn(fields[6], "."), fields[6]);
    return purchase(ret, format->customer, fields[1], *fields[0] == 'C' && quantity > 0 ? -quantity : quantity);
}

static enum line_result online_retail(struct format *format, char *line, struct line_event *ret, const char **ret_problem)
{
    static const char ours[] = "#online-retail minutes-since ";

    if (format->begun)
        return format->extract ? extract_line(format, line, ret, ret_problem) : uci_line(format, line, ret, ret_problem);
    format->begun = true;
    format->extract = strncmp(line, ours, strlen(ours)) == 0;
    format->headless = format->extract && !instant(line + strlen(ours), &format->epoch_ms);
    if (format->headless)
        return bad(ret_problem, "names no time to count minutes from");
    if (!format->extract && strncmp(line, "InvoiceNo,", 10) != 0)
        return bad(ret_problem, "is neither UCI's header nor that of our extract");
    return LINE_HEADER;
}

/* ---- */

struct format *format_new(const char *name)
{
    struct format *format = fr_zalloc(1, sizeof(*format));

    format->separator = !strcmp(name, "csv") ? ',' : '\t';
    format->parse = !strcmp(name, "movielens")                           ? movielens
                    : !strcmp(name, "csv") || !strcmp(name, "tsv")       ? columns
                    : !strcmp(name, "jsonl")                             ? jsonl
                    : !strcmp(name, "online-retail")                     ? online_retail
                    : !strcmp(name, "libfm")                             ? libfm
                    : !strcmp(name, "items-jsonl") || !strcmp(name, "users-jsonl") ? said_jsonl
                    : !strcmp(name, "items-tsv")                         ? items_tsv
                                                                         : NULL;
    format->of = !strcmp(name, "users-jsonl") ? FORMAT_OF_USERS : !strncmp(name, "items-", 6) ? FORMAT_OF_ITEMS : FORMAT_OF_EVENTS;
    if (format->parse)
        return format;
    free(format);
    return NULL;
}

void format_free(struct format *format)
{
    if (!format)
        return;
    json_decref(format->object);
    free(format->text);
    free(format);
}

enum format_of format_of(const struct format *format)
{
    return format->of;
}

const char *format_note(const struct format *format)
{
    return *format->note ? format->note : NULL;
}

enum line_result format_line(struct format *format, char *line, size_t len, struct line_event *ret, const char **ret_problem)
{
    enum line_result result;

    *ret = (struct line_event){0};
    if (strlen(line) < len) {
        format->minute_known = format->customer_known = false;
        return bad(ret_problem, LINE_NOT_WHOLE);
    }
    if (!*line)
        return LINE_SKIP;
    result = format->parse(format, line, ret, ret_problem);
    if (result != LINE_EVENT && result != LINE_SAID)
        return result;
    if (format->of != FORMAT_OF_ITEMS && fr_id_problem(ret->user.at, ret->user.len))
        return bad(ret_problem, "has a user id that is empty, too long or not UTF-8");
    if (format->of != FORMAT_OF_USERS && fr_id_problem(ret->item.at, ret->item.len))
        return bad(ret_problem, "has an item id that is empty, too long or not UTF-8");
    return result;
}
