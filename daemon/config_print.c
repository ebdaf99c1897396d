/*
 * config_print.c -- the configuration for people: effective values, --help, ops/docs/configuration.md, and what a
 * reload would change.
 *
 * Thread: main's.
 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char masked[] = "********";

/* Keys of librdkafka that hold a secret, by parts of their names: passwords, PEM keys, tokens and their like. */
bool config_secret(const char *kafka_key)
{
    static const char *const parts[] = {"password",           "secret", "key.pem", "jaas", "token",
                                        "oauthbearer.config", "ssl_key"};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(kafka_key, parts[i]))
            return true;
    return false;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

void config_real_text(double value, struct fr_writer *out)
{
    char text[40];

    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fr_put_text(out, "%s", text);
}

static void put_size(int64_t bytes, struct fr_writer *out)
{
    int unit = 0;

    while (unit < 3 && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    fr_put_text(out, "%lld%s", (long long)bytes, (const char *const[]){"", "K", "M", "G"}[unit]);
}

static void put_choice(const char *names, int index, struct fr_writer *out)
{
    for (; index > 0; index--)
        names += strcspn(names, " ") + 1;
    fr_put_text(out, "%.*s", (int)strcspn(names, " "), names);
}

void config_value_text(const struct config *cfg, enum config_id id, struct fr_writer *out)
{
    const struct config_key *key = &config_keys[id];
    const void *field = (const char *)cfg + key->at;

    switch (key->kind) {
    case CONFIG_INT:
    case CONFIG_SPAN:
        fr_put_text(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case CONFIG_SIZE:
        put_size(*(const int64_t *)field, out);
        break;
    case CONFIG_REAL:
        config_real_text(*(const double *)field, out);
        break;
    case CONFIG_FLAG:
        fr_put_text(out, "%s", *(const bool *)field ? "yes" : "no");
        break;
    case CONFIG_CHOICE:
        put_choice(key->names, *(const int *)field, out);
        break;
    case CONFIG_TEXT:
    case CONFIG_TOPIC:
    case CONFIG_LISTEN:
    case CONFIG_START:
        fr_put_text(out, "%s", *(char *const *)field);
        break;
    }
}

/* ---- --print-config -------------------------------------------------------------------------------------------- */

static void put_line(struct fr_writer *out, const char *key, struct fr_bytes value, const char *origin)
{
    size_t start = out->len;
    int width;

    fr_put_text(out, "%s = %.*s", key, (int)value.len, value.at);
    width = (int)(out->len - start);
    fr_put_text(out, "%*s ; %s\n", width < 42 ? 42 - width : 0, "", origin);
}

static void print_types(const struct config *cfg, struct fr_writer *value, struct fr_writer *out)
{
    for (size_t i = 0; i < cfg->types_len; i++) {
        fr_writer_reset(value);
        config_real_text(cfg->types[i].weight, value);
        put_line(out, cfg->types[i].type, fr_written(value), cfg->type_origin[i]);
    }
}

void config_print(const struct config *cfg, struct fr_writer *out)
{
    struct fr_writer value;

    fr_writer_init(&value, 0);
    fr_put_text(out, "# The effective configuration; behind each value where it comes from.\n\n[kafka]\n");
    for (size_t i = 0; i < cfg->kafka_len; i++)
        put_line(out, cfg->kafka_key[i], fr_bytes_of(config_secret(cfg->kafka_key[i]) ? masked : cfg->kafka_value[i]),
                 cfg->kafka_origin[i]);
    for (int id = 0; id < CONFIG_KEYS; id++) {
        const struct config_key *key = &config_keys[id];

        if (id == 0 || strcmp(key->section, config_keys[id - 1].section) != 0)
            fr_put_text(out, "\n[%s]\n", key->section);
        fr_writer_reset(&value);
        config_value_text(cfg, id, &value);
        put_line(out, key->name, fr_written(&value),
                 cfg->origin[id]           ? cfg->origin[id]
                 : cfg->parity_default[id] ? "default of sar.mode = parity"
                                           : "default");
        if (id == CONFIG_weights_use_value)
            print_types(cfg, &value, out);
    }
    fr_writer_release(&value);
}

/* ---- --help ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *sentence;
} sections[] = {
#define VERBATIM(name, sentence) {#name, sentence},
#define SECTION(name, sentence) {#name, sentence},
#include "config.def"
};

void config_help(struct fr_writer *out)
{
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        fr_put_text(out, "\n[%s] %s\n", sections[i].name, sections[i].sentence);
        for (int id = 0; id < CONFIG_KEYS; id++) {
            const struct config_key *key = &config_keys[id];
            char left[80];

            if (strcmp(key->section, sections[i].name) != 0)
                continue;
            snprintf(left, sizeof left, "%s = %s", key->name, key->standard);
            fr_put_text(out, "  %-42s  %s\n", left, key->sentence);
        }
    }
}

/* ---- ops/docs/configuration.md --------------------------------------------------------------------------------- */

static void put_range(const struct config_key *key, struct fr_writer *out)
{
    switch (key->kind) {
    case CONFIG_INT:
    case CONFIG_SPAN:
        fr_put_text(out, "%.0f to %.0f", key->low, key->high);
        break;
    case CONFIG_SIZE:
        put_size((int64_t)key->low, out);
        fr_put_text(out, " to ");
        put_size((int64_t)key->high, out);
        break;
    case CONFIG_REAL:
        fr_put_text(out, "%g to %g", key->low, key->high);
        break;
    case CONFIG_FLAG:
        fr_put_text(out, "yes, no");
        break;
    case CONFIG_CHOICE:
        for (const char *at = key->names; *at; at++)
            fr_put_text(out, *at == ' ' ? ", " : "%c", *at);
        break;
    case CONFIG_TEXT:
        fr_put_text(out, "text");
        break;
    case CONFIG_TOPIC:
        fr_put_text(out, "topic name");
        break;
    case CONFIG_LISTEN:
        fr_put_text(out, "host:port");
        break;
    case CONFIG_START:
        fr_put_text(out, "earliest, latest, time");
        break;
    }
}

static void put_weight_rows(struct fr_writer *out)
{
    static const struct {
        const char *type, *weight;
    } rows[] = {
#define WEIGHT(type, weight) {#type, weight},
#include "config.def"
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        fr_put_text(out, "| `%s` | %s | | -1000000 to 1000000 | shapes | An event of this type. |\n", rows[i].type,
                    rows[i].weight);
}

static void put_section(const char *section, struct fr_writer *out)
{
    fr_put_text(out, "| key | default | under parity | values | | meaning |\n|---|---|---|---|---|---|\n");
    for (int id = 0; id < CONFIG_KEYS; id++) {
        const struct config_key *key = &config_keys[id];
        const char *parity = config_parity(id);

        if (strcmp(key->section, section) != 0)
            continue;
        fr_put_text(out, "| `%s` | %s | %s | ", key->name, key->standard, parity ? parity : "");
        put_range(key, out);
        fr_put_text(out, " | %s | %s |\n",
                    key->flags & CONFIG_SHAPES    ? "shapes"
                    : key->flags & CONFIG_RELOADS ? "reloads"
                                                  : "",
                    key->sentence);
    }
    if (strcmp(section, "weights") == 0)
        put_weight_rows(out);
}

static const char docs_head[] =
    "# Configuration\n\n"
    "<!-- Written by `freshetd --print-docs` from daemon/config.def; change it there. -->\n\n"
    "An INI file: `[section]`, `key = value`, comments after `;` or `#` at the start of a line, or after a space and "
    "`;`\n"
    "behind a value. `freshetd --config FILE` names it; without that `/etc/freshet/freshet.conf` is read when it "
    "exists (not under `--dev`); one that cannot be read is an error (78).\n\n"
    "A value comes from the strongest source that has one:\n\n"
    "| | source | example |\n|---|---|---|\n"
    "| 1 | the default | |\n"
    "| 2 | the file | `[sar]`, then `window = 5` |\n"
    "| 3 | the environment: `FRESHET_<SECTION>__<KEY>` in capitals | `FRESHET_SAR__WINDOW=5` |\n"
    "| 4 | the command line | `--set sar.window=5` |\n\n"
    "An unknown key, or a value out of its range, keeps the daemon from starting (exit 78); the message names the "
    "place and the nearest known\n"
    "key. `freshetd --check-config` looks without starting anything (exit 0 or 78); `freshetd --print-config` shows "
    "every\n"
    "effective value and where it comes from, with secrets masked.\n\n"
    "In the tables, *shapes* marks a key that shapes the state: under another value the numbers already stored would "
    "mean something\n"
    "else. These are recorded in the store; starting with others is refused (exit 78, naming both values), and "
    "`freshetd --rebuild` replays\n"
    "from `feed.start` into a new store. Those of a model are recorded when it first runs, and bind from then on. All "
    "others may change\n"
    "from one start to the next, also those that decide what is refused (`feed.format`, `feed.max_future_ms`, the ceilings of "
    "users and items and of what is said of them):\n"
    "a replay goes by the values of its own start, so that under others it may take what was a dead letter before, or refuse "
    "what was not. *reloads* marks what SIGHUP applies to a\n"
    "running daemon; what else has changed by then is logged as waiting for a restart. *Under parity* is the default "
    "when\n"
    "`sar.mode = parity`. Sizes take K, M and G (1024-fold).\n";

static const char docs_kafka[] = "In the environment each `_` of a `[kafka]` key stands for a dot: "
                                 "`FRESHET_KAFKA__BOOTSTRAP_SERVERS` is `bootstrap.servers`. Where librdkafka\n"
                                 "has no such key, but one with each `_` as it is, it is that: `FRESHET_KAFKA__LOG_LEVEL` is `log_level`. Keep passwords off "
                                 "the command line: other users see it.\n";

void config_docs(struct fr_writer *out)
{
    fr_put_bytes(out, docs_head, sizeof docs_head - 1);
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        fr_put_text(out, "\n## [%s]\n\n%s\n\n", sections[i].name, sections[i].sentence);
        if (strcmp(sections[i].name, "kafka") == 0)
            fr_put_bytes(out, docs_kafka, sizeof docs_kafka - 1);
        else
            put_section(sections[i].name, out);
    }
}

/* ---- what a reload would change -------------------------------------------------------------------------------- */

static const char *as_string(struct fr_writer *writer)
{
    fr_put_u8(writer, 0);
    return writer->at;
}

static void compare_types(const struct config *old, const struct config *new, struct fr_writer *values, config_say *say,
                          void *context)
{
    /* Each side's types against the other's; a type both have is looked at once. */
    for (int side = 0; side < 2; side++) {
        const struct config *here = side ? new : old, *there = side ? old : new;

        for (size_t i = 0; i < here->types_len; i++) {
            size_t at = 0;
            char key[80];

            while (at < there->types_len && strcmp(there->types[at].type, here->types[i].type) != 0)
                at++;
            if (at < there->types_len && (side || there->types[at].weight == here->types[i].weight))
                continue;
            snprintf(key, sizeof key, "weights.%s", here->types[i].type);
            fr_writer_reset(&values[0]);
            fr_writer_reset(&values[1]);
            config_real_text(here->types[i].weight, &values[side]);
            if (at < there->types_len)
                config_real_text(there->types[at].weight, &values[!side]);
            say(context, key, false, values[0].len ? as_string(&values[0]) : NULL,
                values[1].len ? as_string(&values[1]) : NULL);
        }
    }
}

static const char *kafka_value(const struct config *cfg, const char *key)
{
    for (size_t i = 0; i < cfg->kafka_len; i++)
        if (strcmp(cfg->kafka_key[i], key) == 0)
            return cfg->kafka_value[i];
    return NULL;
}

static void compare_kafka(const struct config *old, const struct config *new, config_say *say, void *context)
{
    for (int side = 0; side < 2; side++) {
        const struct config *here = side ? new : old;

        for (size_t i = 0; i < here->kafka_len; i++) {
            const char *name = here->kafka_key[i], *was = kafka_value(old, name), *is = kafka_value(new, name);
            bool both = was && is;
            char key[200];

            if (both && (side || strcmp(was, is) == 0))
                continue;
            snprintf(key, sizeof key, "kafka.%s", name);
            if (config_secret(name))
                say(context, key, false, was ? masked : NULL, is ? masked : NULL);
            else
                say(context, key, false, was, is);
        }
    }
}

void config_compare(const struct config *old, const struct config *new, config_say *say, void *context)
{
    struct fr_writer values[2];

    fr_writer_init(&values[0], 0);
    fr_writer_init(&values[1], 0);
    for (int id = 0; id < CONFIG_KEYS; id++) {
        const char *was, *is;
        char key[80];

        fr_writer_reset(&values[0]);
        fr_writer_reset(&values[1]);
        config_value_text(old, id, &values[0]);
        config_value_text(new, id, &values[1]);
        was = as_string(&values[0]);
        is = as_string(&values[1]);
        snprintf(key, sizeof key, "%s.%s", config_keys[id].section, config_keys[id].name);
        if (strcmp(was, is) != 0)
            say(context, key, config_keys[id].flags & CONFIG_RELOADS, was, is);
    }
    compare_types(old, new, values, say, context);
    compare_kafka(old, new, say, context);
    fr_writer_release(&values[0]);
    fr_writer_release(&values[1]);
}
