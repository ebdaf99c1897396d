/*
 * settings.c -- the configuration for who runs the engine outside the daemon.
 */
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "freshet/alloc.h"
#include "freshet/model.h"
#include "freshet/settings.h"

struct settings {
    struct config *cfg;
};

static bool has_blend(const char *models)
{
    for (size_t len;; models += len) {
        models += strspn(models, ", "); /* as take_models of config_finish.c */
        len = strcspn(models, ", ");
        if (!len)
            return false;
        if (fr_bytes_equal((struct fr_bytes){models, len}, FR_BYTES(ENGINE_BLEND)))
            return true;
    }
}

static void run_models(struct config *cfg, const char *models)
{
    struct fr_writer all;

    fr_writer_init(&all, 0);
    fr_put_text(&all, "%s,%s", has_blend(models) ? cfg->recommend.models : "", models);
    fr_put_u8(&all, 0);
    config_put(cfg, "recommend", "models", all.at, "the models asked for");
    fr_writer_release(&all);
}

struct settings *settings_new(const char *file, const char *const *sets, size_t sets_len, const char *models, char **ret_problems)
{
    struct settings *settings = fr_zalloc(1, sizeof *settings);

    settings->cfg = config_new();
    if (file)
        config_read_file(settings->cfg, file);
    for (size_t i = 0; i < sets_len; i++)
        config_read_setting(settings->cfg, sets[i]);
    if (models)
        run_models(settings->cfg, models);
    config_finish_with_models(settings->cfg, &(struct config_host){.offline = true});
    *ret_problems = NULL;
    if (settings->cfg->problems_len == 0)
        return settings;
    *ret_problems = fr_strdup(config_problems(settings->cfg));
    settings_free(settings);
    return NULL;
}

void settings_free(struct settings *settings)
{
    if (!settings)
        return;
    config_free(settings->cfg);
    free(settings);
}

void settings_engine(const struct settings *settings, struct engine_options *ret_options)
{
    config_engine_options(settings->cfg, ret_options);
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
