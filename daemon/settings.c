/*
 * settings.c -- the configuration for who runs the engine outside the daemon.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "freshet/alloc.h"
#include "freshet/model.h"
#include "freshet/settings.h"

struct settings {
    struct config *cfg;
    char *file, *text, *models; /* the file's name and what was in it; each may be NULL */
    size_t text_len;
};

static bool names(const char *models, const char *model)
{
    for (size_t len;; models += len) {
        models += strspn(models, ", "); /* as take_models of config_finish.c */
        len = strcspn(models, ", ");
        if (!len)
            return false;
        if (fr_bytes_equal((struct fr_bytes){models, len}, fr_bytes_of(model)))
            return true;
    }
}

/* Who is to answer where nobody is named need not run now, and here somebody is always named. A name that the configuration's own models do
 * not have stays, and is a problem as in the daemon. */
static void run_models(struct config *cfg, const char *models)
{
    bool answers = names(cfg->recommend.models, cfg->recommend.default_model);
    struct fr_writer all;

    fr_writer_init(&all, 0);
    fr_put_text(&all, "%s,%s", names(models, ENGINE_BLEND) ? cfg->recommend.models : "", models);
    fr_put_u8(&all, 0);
    config_put(cfg, "recommend", "models", all.at, "the models asked for");
    if (answers && !names(cfg->recommend.models, cfg->recommend.default_model))
        config_put(cfg, "recommend", "default_model", "sar", "the models asked for");
    fr_writer_release(&all);
}

/* Takes over `settings`, of which all but cfg's values is there. */
static struct settings *settle(struct settings *settings, const char *const *sets, size_t sets_len, char **ret_problems)
{
    struct config *cfg = settings->cfg;

    if (settings->text)
        config_read_text(cfg, settings->file, settings->text, settings->text_len);
    for (size_t i = 0; i < sets_len; i++)
        config_read_setting(cfg, sets[i]);
    if (settings->models)
        run_models(cfg, settings->models);
    config_finish_with_models(cfg, &(struct config_host){.offline = true});
    *ret_problems = NULL;
    if (cfg->problems_len == 0)
        return settings;
    *ret_problems = fr_strdup(config_problems(cfg));
    settings_free(settings);
    return NULL;
}

struct settings *settings_new(const char *file, const char *const *sets, size_t sets_len, const char *models, char **ret_problems)
{
    struct settings *settings = fr_zalloc(1, sizeof *settings);

    settings->cfg = config_new();
    settings->models = models ? fr_strdup(models) : NULL;
    if (file) {
        settings->file = fr_strdup(file);
        settings->text = config_file_text(settings->cfg, file, &settings->text_len);
    }
    return settle(settings, sets, sets_len, ret_problems);
}

struct settings *settings_again(const struct settings *settings, const char *const *sets, size_t sets_len, char **ret_problems)
{
    struct settings *again = fr_zalloc(1, sizeof *again);

    again->cfg = config_new();
    again->models = settings->models ? fr_strdup(settings->models) : NULL;
    if (settings->text) {
        again->file = fr_strdup(settings->file);
        again->text = fr_strndup(settings->text, settings->text_len); /* no NUL is in it: that would be a problem */
        again->text_len = settings->text_len;
    }
    return settle(again, sets, sets_len, ret_problems);
}

void settings_free(struct settings *settings)
{
    if (!settings)
        return;
    config_free(settings->cfg);
    free(settings->file);
    free(settings->text);
    free(settings->models);
    free(settings);
}

void settings_engine(const struct settings *settings, struct engine_options *ret_options)
{
    config_engine_options(settings->cfg, ret_options);
}

static enum setting_kind kind_of(enum config_kind kind)
{
    switch (kind) {
    case CONFIG_INT:
    case CONFIG_SPAN:
    case CONFIG_SIZE:
        return SETTING_WHOLE;
    case CONFIG_REAL:
        return SETTING_REAL;
    default:
        return SETTING_OTHER;
    }
}

enum setting_kind settings_kind(const char *key, size_t key_len)
{
    static const char weights[] = "weights.";
    struct fr_bytes asked = {key, key_len};

    for (int id = 0; id < CONFIG_KEYS; id++) {
        char name[128];
        snprintf(name, sizeof name, "%s.%s", config_keys[id].section, config_keys[id].name);
        if (fr_bytes_equal(asked, fr_bytes_of(name)))
            return kind_of(config_keys[id].kind);
    }
    return key_len >= strlen(weights) && memcmp(key, weights, strlen(weights)) == 0 ? SETTING_REAL : SETTING_OTHER;
}

bool settings_weigh(const struct settings *settings, struct fr_bytes type, bool has_value, double value, double *ret_weight,
                    uint32_t *ret_type)
{
    const struct config *cfg = settings->cfg;
    uint32_t t = 0;

    while (t < cfg->types_len && !fr_bytes_equal(fr_bytes_of(cfg->types[t].type), type))
        t++;
    *ret_type = t;
    bool known = t < cfg->types_len;
    return event_weigh(known ? cfg->types[t].weight : 1, known && cfg->types[t].use_value, has_value ? value : 1, ret_weight);
}
