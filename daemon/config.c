/*
 * config.c -- the table, and one value at a time: is the key known, is the value of its kind and in its range?
 *
 * Thread: main's.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/likeness.h"

#define SHAPES CONFIG_SHAPES
#define RELOADS CONFIG_RELOADS

const struct config_key config_keys[CONFIG_KEYS] = {
#define KEY(section, key, kind, standard, low, high, flags, sentence)                                                  \
    {#section, #key, CONFIG_##kind, standard, low, high, NULL, flags, sentence, offsetof(struct config, section.key)},
#define CHOICE(section, key, standard, names, flags, sentence)                                                         \
    {#section, #key, CONFIG_CHOICE, standard, 0, 0, names, flags, sentence, offsetof(struct config, section.key)},
#include "config.def"
};

static const struct {
    enum config_id id;
    const char *standard;
} parity_defaults[] = {
#define PARITY(section, key, standard) {CONFIG_##section##_##key, standard},
#include "config.def"
};

const char *config_parity(enum config_id id)
{
    for (size_t i = 0; i < sizeof parity_defaults / sizeof *parity_defaults; i++)
        if (parity_defaults[i].id == id)
            return parity_defaults[i].standard;
    return NULL;
}

/* ---- problems -------------------------------------------------------------------------------------------------- */

void config_problem(struct config *cfg, const char *format, ...)
{
    char text[1000];
    va_list rest;

    if (++cfg->problems_len > CONFIG_PROBLEMS_MAX)
        return;
    va_start(rest, format);
    vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    for (char *at = text; *at; at++) /* what came from outside must not steer a terminal */
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    fr_put_text(&cfg->problems, "%s\n", text);
    if (cfg->problems_len == CONFIG_PROBLEMS_MAX)
        fr_put_text(&cfg->problems, "there may be more; these are the first %d\n", CONFIG_PROBLEMS_MAX);
}

const char *config_problems(struct config *cfg)
{
    fr_put_u8(&cfg->problems, 0);
    cfg->problems.len--;
    return cfg->problems.at;
}

/* ---- the nearest key ------------------------------------------------------------------------------------------- */

enum { NAME_MAX_COMPARED = FR_LIKENESS_BYTES_MAX, SECTION_SLIPS_MAX = 2 };

struct nearest {
    const char *asked_section, *asked_key;
    char asked[NAME_MAX_COMPARED + 1]; /* both, with a dot between */
    size_t asked_len, distance;
    const char *section, *key; /* the best so far */
};

static void take_if_nearer(struct nearest *nearest, size_t distance, const char *section, const char *key)
{
    if (distance >= nearest->distance)
        return;
    nearest->distance = distance;
    nearest->section = section;
    nearest->key = key;
}

static void look_at(struct nearest *nearest, const char *section, const char *key)
{
    char known[NAME_MAX_COMPARED + 1];
    size_t known_len = strlen(section) + 1 + strlen(key);
    size_t gap = known_len > nearest->asked_len ? known_len - nearest->asked_len : nearest->asked_len - known_len;

    if (strcmp(key, nearest->asked_key) == 0) /* the right key in the wrong section beats a likeness of both */
        take_if_nearer(nearest, 1, section, key);
    if (gap >= nearest->distance)
        return; /* so many insertions or deletions at least */
    assert(known_len <= NAME_MAX_COMPARED);
    stpcpy(stpcpy(stpcpy(known, section), "."), key);
    take_if_nearer(nearest, fr_edit_distance(known, known_len, nearest->asked), section, key);
}

/* Of a section that takes any key, this one too: it is the section that has a slip. */
static void look_at_open(struct nearest *nearest, const char *section)
{
    size_t distance = fr_edit_distance(section, strlen(section), nearest->asked_section);

    if (distance <= SECTION_SLIPS_MAX)
        take_if_nearer(nearest, distance, section, nearest->asked_key);
}

const char *config_nearest(const char *section, const char *key, char *room, size_t room_len)
{
    struct nearest nearest = {.asked_section = section, .asked_key = key, .distance = SIZE_MAX};

    snprintf(nearest.asked, sizeof nearest.asked, "%s.%s", section, key);
    nearest.asked_len = strlen(nearest.asked);
    for (int id = 0; id < CONFIG_KEYS; id++)
        look_at(&nearest, config_keys[id].section, config_keys[id].name);
#define WEIGHT(type, weight) look_at(&nearest, "weights", #type);
#include "config.def"
    look_at(&nearest, "kafka", "bootstrap.servers");
    look_at_open(&nearest, "kafka");
    look_at_open(&nearest, "weights");
    snprintf(room, room_len, "%s.%s", nearest.section, nearest.key);
    return room;
}

/* ---- values by kind -------------------------------------------------------------------------------------------- */

static bool whole_number(const char *text, int64_t *ret_value)
{
    char *end;

    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || !strchr("-0123456789", *text))
        return false;
    *ret_value = value;
    return true;
}

static bool real_number(const char *text, double *ret_value)
{
    char *end;
    double value;

    if (!*text || text[strspn(text, "+-.0123456789eE")])
        return false; /* no spaces, hexadecimal, "inf" or "nan" */
    value = strtod(text, &end);
    if (end == text || *end || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

static bool byte_size(const char *text, int64_t *ret_value)
{
    char digits[32];
    size_t len = strlen(text);
    int shift = 0;
    int64_t value;

    if (len == 0 || len >= sizeof digits)
        return false;
    memcpy(digits, text, len + 1);
    switch (digits[len - 1]) {
    case 'k':
    case 'K':
        shift = 10;
        break;
    case 'm':
    case 'M':
        shift = 20;
        break;
    case 'g':
    case 'G':
        shift = 30;
        break;
    }
    if (shift)
        digits[len - 1] = 0;
    if (!whole_number(digits, &value) || value < 0 || value > INT64_MAX >> shift)
        return false;
    *ret_value = value << shift;
    return true;
}

static bool yes_or_no(const char *text, bool *ret_value)
{
    static const char *const words[2][3] = {{"no", "false", "off"}, {"yes", "true", "on"}};

    for (int value = 0; value < 2; value++)
        for (int i = 0; i < 3; i++)
            if (strcmp(text, words[value][i]) == 0) {
                *ret_value = value;
                return true;
            }
    return false;
}

static bool choice(const char *text, const char *names, int *ret_index)
{
    size_t len = strlen(text);

    for (int index = 0; *names; index++) {
        size_t name_len = strcspn(names, " ");

        if (name_len == len && memcmp(names, text, len) == 0) {
            *ret_index = index;
            return true;
        }
        names += name_len + (names[name_len] == ' ');
    }
    return false;
}

/* Kafka's own rule for names of topics. */
static bool topic_name(const char *text)
{
    return strcmp(text, ".") != 0 && strcmp(text, "..") != 0 &&
           !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")];
}

/* host:port; an IPv6 address stands in brackets. */
static bool host_and_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    int64_t port;

    if (!colon || colon == text || strpbrk(text, " /"))
        return false;
    if (*text == '[' ? colon[-1] != ']' || colon - text < 4 : memchr(text, ':', (size_t)(colon - text)) != NULL)
        return false;
    return colon[1] >= '0' && colon[1] <= '9' && strlen(colon + 1) <= 5 && whole_number(colon + 1, &port) &&
           port <= 65535;
}

/* Says what is wrong with a value, or stores it. */
static bool text_fits(const struct config_key *key, const char *value, const char **ret_wants)
{
    enum feed_start start;
    when_ms time;

    switch (key->kind) {
    case CONFIG_TOPIC:
        *ret_wants = "a topic name: letters, digits, dots, _ and -";
        return topic_name(value);
    case CONFIG_LISTEN:
        *ret_wants = "host:port, with an IPv6 address in brackets";
        return host_and_port(value);
    case CONFIG_START:
        *ret_wants = "earliest, latest, a time like 2026-11-23T10:11:12Z, or Unix milliseconds";
        return config_start(value, &start, &time);
    default:
        *ret_wants = "valid UTF-8";
        return fr_utf8_valid(value, strlen(value));
    }
}

/* Without blanks around it, as in a file, whose reader knows none there: so that what is printed is what is in force. */
static char *trimmed(const char *value)
{
    value += strspn(value, " \t");
    size_t len = strlen(value);
    while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        len--;
    return fr_strndup(value, len);
}

static bool length_fits(const struct config_key *key, const char *text)
{
    double len = (double)strlen(text);

    return len >= key->low && len <= key->high;
}

static bool put_text(struct config *cfg, const struct config_key *key, const char *value)
{
    char **field = (char **)((char *)cfg + key->at), *text = trimmed(value);
    const char *wants;

    if (!length_fits(key, text) || !text_fits(key, text, &wants)) {
        free(text);
        return false;
    }
    free(*field);
    *field = text;
    return true;
}

static void say_text_wants(const struct config_key *key, const char *value, char *wants, size_t wants_len)
{
    char *text = trimmed(value);
    const char *what;

    if (!length_fits(key, text))
        snprintf(wants, wants_len, "a text of %.0f to %.0f bytes", key->low, key->high);
    else if (!text_fits(key, text, &what))
        snprintf(wants, wants_len, "%s", what);
    free(text);
}

/* Stores the value; false if it is not fit. */
static bool put_value(struct config *cfg, const struct config_key *key, const char *value)
{
    void *field = (char *)cfg + key->at;
    int64_t whole;
    double real;

    switch (key->kind) {
    case CONFIG_INT:
    case CONFIG_SPAN:
    case CONFIG_SIZE:
        if (!(key->kind == CONFIG_SIZE ? byte_size : whole_number)(value, &whole) || (double)whole < key->low ||
            (double)whole > key->high)
            return false;
        memcpy(field, &whole, sizeof whole);
        return true;
    case CONFIG_REAL:
        if (!real_number(value, &real) || real < key->low || real > key->high)
            return false;
        memcpy(field, &real, sizeof real);
        return true;
    case CONFIG_FLAG:
        return yes_or_no(value, field);
    case CONFIG_CHOICE:
        return choice(value, key->names, field);
    default:
        return put_text(cfg, key, value);
    }
}

/* What would have been fit. */
static void say_wants(const struct config_key *key, const char *value, char *wants, size_t wants_len)
{
    wants[0] = 0;
    switch (key->kind) {
    case CONFIG_INT:
    case CONFIG_SPAN:
        snprintf(wants, wants_len, "a whole number from %.0f to %.0f", key->low, key->high);
        break;
    case CONFIG_SIZE:
        snprintf(wants, wants_len, "a size in bytes (K, M, G) from %.0f to %.0f", key->low, key->high);
        break;
    case CONFIG_REAL:
        snprintf(wants, wants_len, "a number from %g to %g", key->low, key->high);
        break;
    case CONFIG_FLAG:
        snprintf(wants, wants_len, "yes or no");
        break;
    case CONFIG_CHOICE:
        snprintf(wants, wants_len, "one of: %s", key->names);
        break;
    default:
        say_text_wants(key, value, wants, wants_len);
    }
}

static void say_origin(char **origin, const char *text)
{
    free(*origin);
    *origin = fr_strdup(text);
}

/* ---- the sections whose keys are not in the table -------------------------------------------------------------- */

static bool type_name(const char *name)
{
    size_t len = strlen(name);

    if (len < 1 || len > 64 || !fr_utf8_valid(name, len))
        return false;
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f || *at == ',')
            return false;
    return strcmp(name, "other") != 0;
}

static void put_weight(struct config *cfg, const char *type, const char *value, const char *origin)
{
    double weight;
    size_t at = 0;

    if (!type_name(type)) {
        config_problem(
            cfg, "%s: '%.80s' cannot be a type of [weights]: 1 to 64 bytes without spaces and commas, and not 'other'",
            origin, type);
        return;
    }
    if (!real_number(value, &weight) || fabs(weight) > 1e6) {
        config_problem(cfg, "%s: weights.%s = '%.200s' is not a number from -1000000 to 1000000", origin, type, value);
        return;
    }
    while (at < cfg->types_len && strcmp(cfg->types[at].type, type) != 0)
        at++;
    if (at == CONFIG_TYPES_MAX) {
        config_problem(cfg, "%s: weights.%s is one type more than the %d there may be", origin, type, CONFIG_TYPES_MAX);
        return;
    }
    if (at == cfg->types_len)
        cfg->types[cfg->types_len++].type = fr_strdup(type);
    cfg->types[at].weight = weight;
    say_origin(&cfg->type_origin[at], origin);
}

static void put_kafka(struct config *cfg, const char *key, const char *value, const char *origin)
{
    size_t at = 0;

    while (at < cfg->kafka_len && strcmp(cfg->kafka_key[at], key) != 0)
        at++;
    if (at == CONFIG_KAFKA_MAX) {
        config_problem(cfg, "%s: kafka.%.80s is one key more than the %d there may be", origin, key, CONFIG_KAFKA_MAX);
        return;
    }
    if (at == cfg->kafka_len)
        cfg->kafka_key[cfg->kafka_len++] = fr_strdup(key);
    free(cfg->kafka_value[at]);
    cfg->kafka_value[at] = fr_strdup(value);
    say_origin(&cfg->kafka_origin[at], origin);
}

/* ---- one value from one place ---------------------------------------------------------------------------------- */

static int find_key(const char *section, const char *name)
{
    for (int id = 0; id < CONFIG_KEYS; id++)
        if (strcmp(config_keys[id].section, section) == 0 && strcmp(config_keys[id].name, name) == 0)
            return id;
    return -1;
}

void config_put(struct config *cfg, const char *section, const char *key, const char *value, const char *origin)
{
    char room[300];
    int id = find_key(section, key);

    if (id >= 0) {
        if (put_value(cfg, &config_keys[id], value)) {
            say_origin(&cfg->origin[id], origin);
        } else {
            say_wants(&config_keys[id], value, room, sizeof room);
            config_problem(cfg, "%s: %s.%s = '%.200s' is not %s", origin, section, key, value, room);
        }
    } else if (strcmp(section, "weights") == 0) {
        put_weight(cfg, key, value, origin);
    } else if (strcmp(section, "kafka") == 0) {
        put_kafka(cfg, key, value, origin);
    } else if (cfg->problems_len >= CONFIG_PROBLEMS_MAX) {
        cfg->problems_len++; /* a file of nonsense: no more looking for the nearest key */
    } else {
        config_problem(cfg, "%s: unknown key '%.80s.%.80s'; the nearest known key is '%s'", origin, section, key,
                       config_nearest(section, key, room, sizeof room));
    }
}

struct config *config_new(void)
{
    struct config *cfg = fr_zalloc(1, sizeof *cfg);

    fr_writer_init(&cfg->problems, 0);
    fr_writer_init(&cfg->shape, 0);
    for (int id = 0; id < CONFIG_KEYS; id++) {
        bool fits = put_value(cfg, &config_keys[id], config_keys[id].standard);

        assert(fits);
        (void)fits;
    }
#define WEIGHT(type, weight) put_weight(cfg, #type, weight, "default");
#include "config.def"
    assert(cfg->problems_len == 0);
    return cfg;
}

void config_free(struct config *cfg)
{
    if (!cfg)
        return;
    for (int id = 0; id < CONFIG_KEYS; id++) {
        enum config_kind kind = config_keys[id].kind;

        free(cfg->origin[id]);
        if (kind == CONFIG_TEXT || kind == CONFIG_TOPIC || kind == CONFIG_LISTEN || kind == CONFIG_START)
            free(*(char **)((char *)cfg + config_keys[id].at));
    }
    for (size_t i = 0; i < cfg->types_len; i++) {
        free((char *)cfg->types[i].type);
        free(cfg->type_origin[i]);
    }
    for (size_t i = 0; i < cfg->kafka_len; i++) {
        free(cfg->kafka_key[i]);
        free(cfg->kafka_value[i]);
        free(cfg->kafka_origin[i]);
    }
    for (size_t i = 0; i < cfg->models_len; i++)
        free(cfg->models[i]);
    fr_writer_release(&cfg->problems);
    fr_writer_release(&cfg->shape);
    free(cfg);
}
