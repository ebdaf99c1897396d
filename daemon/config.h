/*
 * config.h -- the whole configuration, from one table (config.def).
 *
 *     defaults  <  file  <  environment  <  --set          each later source overrides; every value knows where it came
 * from
 *        \________________________________/
 *                   config_put             checks one value: kind, range, known key
 *                   config_finish          fills in what sar.mode decides, checks what concerns several keys
 *                   config_*_options       hands each module its own struct; no module reads the configuration
 *
 * A problem does not stop the reading: all are collected, each with its place and the nearest known key, so that one
 * start shows them all. Thread: main's.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/certificate.h"
#include "freshet/codec.h"
#include "freshet/ease.h"
#include "freshet/engine.h"
#include "freshet/feed.h"
#include "freshet/fm.h"
#include "freshet/log.h"
#include "freshet/ncf.h"
#include "freshet/serve.h"
#include "freshet/trending.h"

enum config_kind {
    CONFIG_INT,
    CONFIG_SPAN,
    CONFIG_SIZE,
    CONFIG_REAL,
    CONFIG_FLAG,
    CONFIG_TEXT,
    CONFIG_TOPIC,
    CONFIG_LISTEN,
    CONFIG_START,
    CONFIG_CHOICE,
};

/* One number per key: CONFIG_feed_topic, CONFIG_feed_format ... */
enum config_id {
#define KEY(section, key, ...) CONFIG_##section##_##key,
#define CHOICE(section, key, ...) CONFIG_##section##_##key,
#include "config.def"
    CONFIG_KEYS
};

#define CONFIG_FIELD_INT int64_t
#define CONFIG_FIELD_SPAN span_ms
#define CONFIG_FIELD_SIZE int64_t
#define CONFIG_FIELD_REAL double
#define CONFIG_FIELD_FLAG bool
#define CONFIG_FIELD_TEXT char *
#define CONFIG_FIELD_TOPIC char *
#define CONFIG_FIELD_LISTEN char *
#define CONFIG_FIELD_START char *

enum { CONFIG_TYPES_MAX = 100, CONFIG_KAFKA_MAX = 500, CONFIG_PROBLEMS_MAX = 50 };

struct config {
/* cfg->feed.topic, cfg->store.path, cfg->sar.window ... */
#define SECTION(name, sentence) struct {
#define KEY(section, key, kind, ...) CONFIG_FIELD_##kind key;
#define CHOICE(section, key, ...) int key;
#define END(name)                                                                                                      \
    }                                                                                                                  \
    name;
#include "config.def"

    char *origin[CONFIG_KEYS]; /* NULL: the default */
    bool parity_default[CONFIG_KEYS];

    struct feed_weight types[CONFIG_TYPES_MAX]; /* [weights]; owned texts */
    char *type_origin[CONFIG_TYPES_MAX];
    const char *type_names[CONFIG_TYPES_MAX + 1]; /* after config_finish: as in types, then "other" */
    size_t types_len;

    char *models[ENGINE_MODELS_MAX]; /* after config_finish: those that run, sar first */
    size_t models_len;
    struct engine_model beside[ENGINE_MODELS_MAX]; /* the same but sar, for the engine */
    struct trending_options trending_options;      /* which these point to */
    struct fm_options fm_options;
    struct ncf_options ncf_options;
    struct ease_options ease_options;

    char *kafka_key[CONFIG_KAFKA_MAX], *kafka_value[CONFIG_KAFKA_MAX], *kafka_origin[CONFIG_KAFKA_MAX];
    size_t kafka_len;

    struct fr_writer shape;    /* after config_finish: a string */
    struct fr_writer problems; /* one line each */
    size_t problems_len;
};

struct config *config_new(void); /* the defaults */
void config_free(struct config *cfg);

/* ---- sources, the weakest first -------------------------------------------------------------------------------- */

enum { CONFIG_LINE_MAX = 4000, CONFIG_FILE_MAX = 1 << 20 };
/* `name` is what problems call the text. Lines longer than CONFIG_LINE_MAX and NUL bytes are problems. */
void config_read_text(struct config *cfg, const char *name, const char *text, size_t len);
void config_read_file(struct config *cfg, const char *path); /* not readable, or above CONFIG_FILE_MAX: a problem */
char *config_file_text(struct config *cfg, const char *path, size_t *ret_len); /* what is in it, the caller's to free; NULL: a problem */
/* FRESHET_<SECTION>__<KEY>, in capitals; for [kafka] each _ stands for a dot, unless kafka_known (feed_kafka_key_known; NULL: always a dot)
 * knows only the key with each _ as it is. Others are not looked at. */
void config_read_environment(struct config *cfg, char *const *environment, bool (*kafka_known)(const char *key));
bool config_is_setting(const char *setting); /* has it the form section.key=value? */
void config_read_setting(struct config *cfg, const char *setting); /* section.key=value, from --set */

/* One value from one place. */
void config_put(struct config *cfg, const char *section, const char *key, const char *value, const char *origin);

/* What is not the table's to know. */
struct config_host {
    /* feed_kafka_key_problem; NULL: [kafka] is not checked */
    const char *(*kafka_problem)(const char *key, const char *value, char *room, size_t room_len);
    const char *models; /* the names there are, with spaces between; NULL: recommend.models is not checked */
    bool offline;       /* no Kafka is spoken to: it need not be named */
    bool own_broker;    /* --dev: bootstrap.servers must not be set; otherwise it must be */
};
void config_finish(struct config *cfg, const struct config_host *host);
void config_finish_with_models(struct config *cfg, const struct config_host *host); /* with all that this program has */
/* All problems so far, one per line; "" if there are none. */
const char *config_problems(struct config *cfg);
__attribute__((format(printf, 2, 3))) void config_problem(struct config *cfg, const char *format, ...);

/* ---- for the modules, after config_finish; texts are borrowed from cfg ----------------------------------------- */

void config_engine_options(const struct config *cfg, struct engine_options *ret_options);
void config_feed_options(const struct config *cfg, struct feed_options *ret_options);
void config_serve_options(const struct config *cfg, struct serve_options *ret_options);
/* What a gRPC listener shows for itself: the Recommender's, or the Admin's, which takes from the other what it has not itself.
 * False: nothing, it is plain. */
bool config_certificate(const struct config *cfg, bool admin, struct certificate_files *ret_files);
const char *config_brokers(const struct config *cfg); /* bootstrap.servers */
/* store.backup_path, or what stands for it when it is empty: made in `room`. */
const char *config_backup_path(const struct config *cfg, char *room, size_t room_len);
/* earliest, latest, Unix milliseconds, 2026-11-23, 2026-11-23T10:11:12.123Z or +01:00 */
bool config_start(const char *text, enum feed_start *ret_start, when_ms *ret_time);

/* ---- for people ------------------------------------------------------------------------------------------------ */

void config_print(const struct config *cfg,
                  struct fr_writer *out); /* effective values as a file, with origins, secrets masked */
void config_help(struct fr_writer *out);  /* every key, a line each */
void config_docs(struct fr_writer *out);  /* ops/docs/configuration.md */
bool config_secret(const char *kafka_key);
/* Calls say() for each key that differs, also of [weights] and [kafka] (secrets masked); NULL: not set there. */
typedef void config_say(void *context, const char *key, bool reloads, const char *old, const char *new);
void config_compare(const struct config *old, const struct config *new, config_say *say, void *context);

/* ---- the table ------------------------------------------------------------------------------------------------- */

enum { CONFIG_SHAPES = 1, CONFIG_RELOADS = 2 };

struct config_key {
    const char *section, *name;
    enum config_kind kind;
    const char *standard; /* default, as text */
    double low, high;
    const char *names; /* CHOICE: separated by spaces */
    unsigned flags;
    const char *sentence;
    size_t at; /* of the field in struct config */
};
extern const struct config_key config_keys[CONFIG_KEYS];
const char *config_parity(enum config_id id); /* the default under sar.mode = parity, or NULL */

/* The value of one key as it would stand in a file. */
void config_value_text(const struct config *cfg, enum config_id id, struct fr_writer *out);
void config_real_text(double value, struct fr_writer *out); /* the shortest that reads back the same */
/* The known "section.key" that is most like this one, for messages. [kafka] and [weights] take any key: where only
 * the section has a slip, it is the same key there. What [kafka] takes, librdkafka knows (config_host). */
const char *config_nearest(const char *section, const char *key, char *room, size_t room_len);

#endif
