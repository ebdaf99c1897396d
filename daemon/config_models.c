/*
 * config_models.c -- config_finish for who knows the models there are: the daemon, and who runs its engine elsewhere.
 */
#include "config.h"

#include "freshet/model.h"

void config_finish_with_models(struct config *cfg, const struct config_host *host)
{
    struct config_host whole = *host;
    struct fr_writer models;

    fr_writer_init(&models, 0);
    for (size_t i = 0; registry_at(i); i++)
        fr_put_text(&models, "%s%s", i ? " " : "", registry_at(i)->name);
    fr_put_text(&models, " " ENGINE_BLEND);
    fr_put_u8(&models, 0);
    whole.models = models.at;
    config_finish(cfg, &whole);
    fr_writer_release(&models);
}
