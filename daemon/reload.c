/*
 * reload.c -- the configuration from its sources, at the start and again on SIGHUP or Admin.ReloadConfig.
 *
 * log.level is all that changes in a running daemon, and what is in the files of certificates and tokens (security.h); the rest
 * is compared and reported. A configuration with problems, in itself or in one of those files, changes no setting. Of those files
 * the good ones are taken all the same: a certificate that is about to end need not wait for the tokens.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "freshetd.h"

#include "freshet/log.h"

extern char **environ;

/* Where nobody has named one. Only one that is not there is no file: a setting that cannot be read is no standard. Nor does one go
 * that was read before. */
static const char *default_file(struct freshetd *d)
{
    if (access(OPTIONS_DEFAULT_FILE, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR))
        d->has_default_file = true;
    return d->has_default_file ? OPTIONS_DEFAULT_FILE : NULL;
}

struct config *read_config(struct freshetd *d)
{
    struct config *cfg = config_new();
    struct config_host host = {.kafka_problem = feed_kafka_key_problem, .own_broker = d->options.dev,
                               .offline = d->options.task == TASK_RESTORE || d->options.task == TASK_VERIFY};
    const char *file = d->options.config;

    if (d->options.dev)
        config_put(cfg, "store", "path", "./freshet-data", "--dev");
    else if (!file)
        file = default_file(d);
    if (file)
        config_read_file(cfg, file);
    config_read_environment(cfg, environ, feed_kafka_key_known);
    for (size_t i = 0; i < d->options.settings_len; i++)
        config_read_setting(cfg, d->options.settings[i]);
    config_finish_with_models(cfg, &host);
    return cfg;
}

void use_own_broker(const struct freshetd *d, struct config *cfg)
{
    if (!d->broker)
        return;
    config_put(cfg, "kafka", "bootstrap.servers", feed_broker_address(d->broker), "--dev");
    /* The mock knows no other way, and librdkafka would say so again and again. */
    config_put(cfg, "kafka", "allow.auto.create.topics", "true", "--dev");
}

struct telling {
    config_say *say;
    void *to;
};

static void say_change(void *context, const char *key, bool reloads, const char *old, const char *new)
{
    const struct telling *telling = context;

    fr_log(reloads ? FR_INFO : FR_WARN, "main", reloads ? "reload.applied" : "reload.needs_restart",
           FR_FIELDS(FR_TEXT("key", key), FR_TEXT("old", old ? old : ""), FR_TEXT("new", new ? new : "")), "%s %s", key,
           reloads ? "has a new value" : "has changed and waits for a restart");
    if (telling->say)
        telling->say(telling->to, key, reloads, old, new);
}

/* What is a list, a line each, is told in one: "a; b". */
static int refuse(struct config *fresh, struct fr_err *err)
{
    const char *problems = config_problems(fresh);
    struct fr_writer line;

    fr_writer_init(&line, 0);
    for (const char *end; (end = strchr(problems, '\n')); problems = end + 1)
        fr_put_text(&line, "%s%.*s", line.len ? "; " : "", (int)(end - problems), problems);
    fr_put_u8(&line, 0);
    fr_log(FR_ERROR, "main", "reload.refused", FR_FIELDS(FR_TEXT("problems", line.at)),
           "the configuration has problems; the old one stays");
    fr_fail(err, FR_CONFIG, "%s", line.at);
    fr_writer_release(&line);
    return FR_CONFIG;
}

static int compare_and_take(struct freshetd *d, struct config *fresh, struct telling *telling, struct fr_err *err)
{
    struct fr_writer level;

    if (fresh->problems_len)
        return refuse(fresh, err);
    if (security_read(&d->security, err) != FR_OK) { /* it has logged what is wrong */
        fr_log(FR_ERROR, "main", "reload.refused", FR_NO_FIELDS, "a file the configuration names has problems; the old one stays");
        return FR_CONFIG;
    }
    use_own_broker(d, fresh);
    config_compare(d->cfg, fresh, say_change, telling);
    /* log.level is all that can change in a running daemon; the modules hold on to the other values of the old one. */
    fr_writer_init(&level, 0);
    config_value_text(fresh, CONFIG_log_level, &level);
    fr_put_u8(&level, 0);
    config_put(d->cfg, "log", "level", level.at, "reload");
    fr_log_level((enum fr_level)d->cfg->log.level);
    fr_log(FR_INFO, "main", "reload.done", FR_NO_FIELDS, "configuration read again");
    fr_writer_release(&level);
    return FR_OK;
}

int reload(struct freshetd *d, config_say *say, void *to, struct fr_err *err)
{
    /* A signal is main's, a call the Admin service's: one after the other. */
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    struct telling telling = {say, to};
    struct config *fresh;
    int status;

    pthread_mutex_lock(&one);
    fresh = read_config(d);
    status = compare_and_take(d, fresh, &telling, err);
    config_free(fresh);
    pthread_mutex_unlock(&one);
    return status;
}
