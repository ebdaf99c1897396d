/*
 * tune_space.c -- what tune may set to what.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

#include "freshet/alloc.h"

static bool complain(const char *text)
{
    cli_fail("--vary is '%s'; it may be section.key=LOW..HIGH or section.key=A|B|C", text);
    return false;
}

/* Exactly a number in `text`, `len` bytes of it. */
static bool number(const char *text, size_t len, double *ret)
{
    char *copy = fr_strndup(text, len);
    bool good = cli_real(copy, ret);

    free(copy);
    return good;
}

bool dimension_read(struct dimension *ret, const char *text)
{
    const char *equals = strchr(text, '='), *dots = equals ? strstr(equals, "..") : NULL, *low, *high;
    char *key;
    size_t key_len;

    if (!equals || equals == text || !equals[1] || !memchr(text, '.', (size_t)(equals - text)))
        return complain(text);
    key_len = (size_t)(equals - text);
    key = cli_take(key_len + 1, 1);
    memcpy(key, text, key_len);
    *ret = (struct dimension){.key = key, .choices = dots ? NULL : equals + 1};
    if (!dots)
        return true;
    low = equals + 1;
    high = dots + 2;
    if (!number(low, (size_t)(dots - low), &ret->low) || !number(high, strlen(high), &ret->high) || !(ret->low < ret->high))
        return complain(text);
    ret->whole = settings_kind(text, key_len) == SETTING_WHOLE;
    if (ret->whole && (ret->low != floor(ret->low) || ret->high != floor(ret->high))) {
        cli_fail("--vary is '%s'; %s takes whole numbers", text, ret->key);
        return false;
    }
    ret->ratio = ret->low > 0 && ret->high >= 10 * ret->low;
    return true;
}

static void pick_choice(const struct dimension *dimension, uint64_t random, char *room, size_t room_len)
{
    const char *at = dimension->choices;
    size_t len = 1;

    for (const char *bar = at; (bar = strchr(bar, '|')); bar++)
        len++;
    for (uint64_t skip = random % len; skip; skip--)
        at = strchr(at, '|') + 1;
    snprintf(room, room_len, "%s=%.*s", dimension->key, (int)strcspn(at, "|"), at);
}

void dimension_pick(const struct dimension *dimension, uint64_t random, char *room, size_t room_len)
{
    double part = (double)(random >> 11) * 0x1p-53, low = dimension->low, high = dimension->high, value;

    if (dimension->choices) {
        pick_choice(dimension, random, room, room_len);
        return;
    }
    if (dimension->whole && !dimension->ratio) /* the ends as likely as the others */
        value = low + floor(part * (high - low + 1));
    else
        value = dimension->ratio ? low * pow(high / low, part) : low + part * (high - low);
    snprintf(room, room_len, dimension->whole ? "%s=%.0f" : "%s=%.6g", dimension->key, value);
}

const char *dimension_usual(const char *model, size_t index)
{
    static const struct {
        const char *model, *text;
    } usual[] = {
        {"sar", "sar.window=3..50"},       {"sar", "sar.score_last=5..50"},   {"sar", "sar.recency=0.6..0.95"},
        {"sar", "sar.half_life_days=1..365"}, {"sar", "sar.similarity=shrunk_cosine|jaccard|cosine"},
        {"fm", "fm.eta=0.02..0.5"},        {"fm", "fm.history=5..40"},        {"fm", "fm.recency=0.6..0.95"},
        {"fm", "fm.negatives=8..128"},     {"fm", "fm.dimensions=32|64"},     {"ease", "ease.lambda=10..3000"},
        {"ease", "ease.recency=0.5..1.0"}, {"trending", "trending.half_life_days=0.5..90.0"},
    };

    for (size_t i = 0; i < sizeof(usual) / sizeof(*usual); i++)
        if (!strcmp(usual[i].model, model) && !index--)
            return usual[i].text;
    return NULL;
}
