/*
 * registry.c -- the models there are. A new one is a row here.
 */
#include <string.h>

#include "freshet/model.h"

static const struct model_ops *const models[] = {
    &sar_ops,
    &popular_ops,
    &trending_ops,
    &fm_ops,
    &ncf_ops,
    &ease_ops,
};
enum { MODELS = sizeof(models) / sizeof(*models) };

const struct model_ops *registry_at(size_t index)
{
    return index < MODELS ? models[index] : NULL;
}

const struct model_ops *registry_find(const char *name, size_t len)
{
    for (size_t i = 0; i < MODELS; i++) {
        if (strlen(models[i]->name) == len && memcmp(models[i]->name, name, len) == 0)
            return models[i];
    }
    return NULL;
}
