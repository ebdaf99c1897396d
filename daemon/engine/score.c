/*
 * score.c -- what a model says of given items, what that is made of, and why an item would not be listed.
 *
 *     one model   score  =  what explain tells, item by item of the history  +  the rest
 *     the blend   score  =  sum over models  weight * (value - mean) * factor               mean and factor: over its candidates (blend.h)
 *                        =  sum over items of the history  (weight * factor * what explain tells, summed over models)
 *                         + per model  weight * factor * (the rest - mean)
 *
 * The rest is the score less the parts that are told, so all together are the score, whatever a model leaves out and whatever it has
 * learned between the two questions. A model without explain is all rest.
 *
 * Thread: each reader its own.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blend.h"
#include "engine_private.h"

enum { PARTS_MAX = 100, TEXT_MAX = 160 }; /* of one model; what is beyond them is among the rest */
#define ROUNDING 1e-13

/* What is asked, and what the answer goes by. */
struct opinion {
    const struct learner *learner;
    struct query query;
    struct ballot ballot; /* of the blend */
    struct affine map;    /* of one model's scores */
    bool known, parity;
    double *values[ENGINE_MODELS_MAX]; /* what each model says of the items in question, in their order; the first alone if one is asked */
};

/* What is said of one item. */
struct said {
    bool scored;
    double score;
    const struct learner *source; /* of the blend: whose share is the largest */
    double value[ENGINE_MODELS_MAX]; /* what each model says; the first alone if one is asked. -0.0: nothing */
};

static struct opinion opinion_begin(struct reader *reader, const struct ask *ask)
{
    const struct learner *learner = models_find(reader->engine, ask->model);
    struct opinion opinion = {.learner = learner, .query = reader_prepare(reader, ask)};

    opinion.known = reader_knows(reader->engine, &opinion.query, learner);
    opinion.parity = opinion.known && reader_in_parity(reader->engine, learner);
    return opinion;
}

static bool blends(const struct reader *reader, const struct opinion *opinion)
{
    return opinion->learner == &reader->engine->blended;
}

/* ---- scores ---- */

/* What each model says of items that there are; of one model that has no score of its own, reader->scores is what it has said. */
static void hear_items(struct reader *reader, struct opinion *opinion, const uint32_t *items, size_t len)
{
    const struct learner *learner = opinion->learner;
    size_t models = blends(reader, opinion) ? opinion->ballot.models : 1;

    for (size_t m = 0; m < models; m++)
        opinion->values[m] = fr_arena_take(&reader->arena, (len + 1) * sizeof(double));
    for (size_t m = 0; m < models && blends(reader, opinion); m++)
        blend_values(reader, &opinion->query, m, items, len, opinion->values[m]);
    if (!blends(reader, opinion) && learner->ops->score)
        learner->ops->score(learner->model, &opinion->query, items, len, opinion->values[0]);
    else
        for (size_t i = 0; i < len && !blends(reader, opinion); i++)
            opinion->values[0][i] = reader->scores.value[items[i]];
}

static void add_shares(const struct reader *reader, const struct opinion *opinion, struct said *said)
{
    double most = -INFINITY;

    said->score = 0;
    for (size_t m = 0; m < opinion->ballot.models; m++) {
        double share = blend_share(&opinion->ballot, m, said->value[m]);
        said->score += share;
        said->scored = said->scored || !scores_untouched(said->value[m]);
        said->source = share > most ? &reader->engine->learners[m] : said->source;
        most = share > most ? share : most;
    }
}

/* Of the item at `at` of those heard; `item` DICT_NONE: there is none. */
static struct said said_of(const struct reader *reader, const struct opinion *opinion, uint32_t item, size_t at)
{
    struct said said = {.source = opinion->learner};

    if (item == DICT_NONE || !opinion->known || !(users_of(reader->engine, item) || catalogue_item(reader->engine->catalogue, item)))
        return said;
    for (size_t m = 0; m < ENGINE_MODELS_MAX && opinion->values[m]; m++)
        said.value[m] = opinion->values[m][at];
    if (blends(reader, opinion)) {
        add_shares(reader, opinion, &said);
    } else {
        double value = said.value[0];
        said.scored = (opinion->parity && users_of(reader->engine, item)) || !scores_untouched(value);
        said.score = said.scored ? (value + 0.0 - opinion->map.shift) * opinion->map.scale + opinion->map.base : 0;
    }
    if (!said.scored)
        said.score = 0;
    return said;
}

/* ---- reasons ---- */

static size_t parts_of(struct reader *reader, const struct learner *learner, const struct query *query, uint32_t item,
                       struct reason_part *parts)
{
    if (!learner->ops->explain)
        return 0;
    return learner->ops->explain(learner->model, query, item, &reader->scratch, parts, PARTS_MAX);
}

static void add_item(struct why *reasons, size_t *len, struct fr_bytes id, double contribution)
{
    size_t at = 0;

    while (at < *len && !fr_bytes_equal(reasons[at].item, id))
        at++;
    if (at == *len)
        reasons[(*len)++] = (struct why){.item = id};
    reasons[at].contribution += contribution;
}

static int largest_first(const void *left, const void *right)
{
    const struct why *a = left, *b = right;
    double x = fabs(a->contribution), y = fabs(b->contribution);

    if (x != y)
        return x < y ? 1 : -1;
    return fr_bytes_order(a->item, b->item);
}

/* Whose word it is, if several have theirs. */
static const char *rest_text(struct reader *reader, const struct opinion *opinion, const struct learner *learner, size_t parts_len)
{
    const char *rest = learner->ops->rest && parts_len < PARTS_MAX ? learner->ops->rest : "other items of the history";
    char *text = fr_arena_take(&reader->arena, TEXT_MAX);

    if (blends(reader, opinion))
        snprintf(text, TEXT_MAX, "%s: how it stands among the candidates%s%s", learner->ops->name, learner->ops->rest ? "; " : "",
                 learner->ops->rest ? learner->ops->rest : "");
    else
        snprintf(text, TEXT_MAX, "%s", rest);
    return text;
}

/* What one model adds to the score, `share` in all; what it says itself counts `factor` times. */
static void add_model(struct reader *reader, const struct opinion *opinion, const struct learner *learner, uint32_t item, double share,
                      double factor, struct why *reasons, size_t *len)
{
    struct reason_part parts[PARTS_MAX];
    size_t parts_len = factor != 0 ? parts_of(reader, learner, &opinion->query, item, parts) : 0;
    double rest = share, size = fabs(share);

    for (size_t i = 0; i < parts_len; i++) {
        struct fr_bytes id = dict_id(reader->engine->items, parts[i].item);
        double contribution = factor * parts[i].contribution;
        if (!id.len)
            continue; /* one that is being forgotten has no name: it is among the rest */
        add_item(reasons, len, id, contribution);
        rest -= contribution;
        size += fabs(contribution);
    }
    if (fabs(rest) > ROUNDING * size)
        reasons[(*len)++] = (struct why){.contribution = rest, .text = rest_text(reader, opinion, learner, parts_len)};
}

static const struct why *reasons_of(struct reader *reader, const struct opinion *opinion, const struct said *said, uint32_t item,
                                    size_t *ret_len)
{
    const struct engine *engine = reader->engine;
    size_t models = blends(reader, opinion) ? opinion->ballot.models : 1;
    struct why *reasons = fr_arena_take(&reader->arena, models * (PARTS_MAX + 1) * sizeof(*reasons));

    *ret_len = 0;
    if (!said->scored)
        return reasons;
    for (size_t m = 0; m < models; m++) {
        if (blends(reader, opinion)) {
            const struct yardstick *by = &opinion->ballot.by[m];
            bool says = !scores_untouched(said->value[m]);
            add_model(reader, opinion, &engine->learners[m], item, blend_share(&opinion->ballot, m, said->value[m]),
                      says ? by->weight * by->factor : 0, reasons, ret_len);
        } else {
            add_model(reader, opinion, opinion->learner, item, said->score, opinion->map.scale, reasons, ret_len);
        }
    }
    qsort(reasons, *ret_len, sizeof(*reasons), largest_first);
    return reasons;
}

/* ---- Score ---- */

/* The items of `ids` that there are, each with its place: handles[at[i]] is ids[i], DICT_NONE if it is unknown. */
static size_t resolve(const struct reader *reader, const struct fr_bytes *ids, size_t len, uint32_t *handles, size_t *at)
{
    size_t known = 0;

    for (size_t i = 0; i < len; i++) {
        uint32_t item = reader_item_of(reader, ids[i]);
        at[i] = item == DICT_NONE ? SIZE_MAX : known;
        if (item != DICT_NONE)
            handles[known++] = item;
    }
    return known;
}

void reader_score(struct reader *reader, const struct ask *ask, const struct fr_bytes *items, size_t len,
                  struct recommendation_list *ret_list)
{
    struct opinion opinion = opinion_begin(reader, ask);
    struct recommended *room = fr_arena_take(&reader->arena, (len + 1) * sizeof(*room));
    uint32_t *handles = fr_arena_take(&reader->arena, (len + 1) * sizeof(*handles));
    size_t *at = fr_arena_take(&reader->arena, (len + 1) * sizeof(*at)), known = resolve(reader, items, len, handles, at);

    if (opinion.known && blends(reader, &opinion)) { /* the candidates are those of a list, which hold nothing that the catalogue hides */
        const struct choice choice = reader_filter(reader, &(struct ask){.user = ask->user});
        reader_mark_seen(reader, ask, &opinion.query);
        opinion.ballot = blend_hear(reader, &opinion.query, &choice, 0);
        reader_unmark_all(reader);
    } else if (opinion.known) {
        if (!opinion.learner->ops->score)
            opinion.learner->ops->retrieve(opinion.learner->model, &opinion.query, &reader->scores);
        opinion.map = reader_normal_map(reader, opinion.learner, &opinion.query);
    }
    if (opinion.known)
        hear_items(reader, &opinion, handles, known);
    for (size_t i = 0; i < len; i++) {
        uint32_t item = at[i] == SIZE_MAX ? DICT_NONE : handles[at[i]];
        struct said said = said_of(reader, &opinion, item, at[i]);
        room[i] = (struct recommended){.item = items[i], .score = said.score, .source = said.scored ? said.source->ops->name : ""};
    }
    *ret_list = (struct recommendation_list){room, len, opinion.learner->ops->name, false};
}

/* ---- Explain ---- */

/* What there is to know of why an item is left out. */
struct subject {
    const struct opinion *opinion;
    uint32_t item;
    struct fr_bytes asker;
    bool filtered, scored;
};

static bool unknown(const struct reader *reader, const struct subject *subject)
{
    (void)reader;
    return subject->item == DICT_NONE;
}

/* The model has nothing to say: if it is listed, then among the popular items that fill up the list. */
static bool without_evidence(const struct reader *reader, const struct subject *subject)
{
    (void)reader;
    return subject->item != DICT_NONE && !subject->scored;
}

static bool seen(const struct reader *reader, const struct subject *subject)
{
    const struct history *history = &subject->opinion->query.history;

    (void)reader;
    for (uint32_t slot = 0; slot < history->len; slot++)
        if (history->item[slot] == subject->item)
            return true;
    return false;
}

static bool seed(const struct reader *reader, const struct subject *subject)
{
    const struct query *query = &subject->opinion->query;

    (void)reader;
    for (size_t s = 0; s < query->seeds_len; s++)
        if (query->seeds[s].item == subject->item)
            return true;
    return false;
}

static bool filtered(const struct reader *reader, const struct subject *subject)
{
    (void)reader;
    return subject->filtered;
}

/* ---- what the catalogue says ---- */

static const struct catalogue_item *record_of(const struct reader *reader, const struct subject *subject)
{
    return subject->item == DICT_NONE ? NULL : catalogue_item(reader->engine->catalogue, subject->item);
}

static bool hidden(const struct reader *reader, const struct subject *subject)
{
    const struct catalogue_item *record = record_of(reader, subject);

    return record && record->hidden;
}

static bool unavailable(const struct reader *reader, const struct subject *subject)
{
    const struct catalogue_item *record = record_of(reader, subject);
    when_ms now = reader->engine->options.clock ? reader->engine->options.clock() : fr_wall_ms();

    return record && (now < record->from || (record->until && now >= record->until));
}

static bool owned(const struct reader *reader, const struct subject *subject)
{
    const struct catalogue_item *record = record_of(reader, subject);

    return record && record->owner.len && fr_bytes_equal(record->owner, subject->asker);
}

static bool uncatalogued(const struct reader *reader, const struct subject *subject)
{
    return reader->engine->options.require_catalogue && subject->item != DICT_NONE && !record_of(reader, subject);
}

/* Every reason there is to leave an item out. */
static const struct exclusion {
    const char *name;
    bool (*holds)(const struct reader *reader, const struct subject *subject);
} exclusions[] = {
    {"unknown item", unknown}, {"no evidence", without_evidence}, {"seen", seen},   {"seed", seed},          {"filter", filtered},
    {"hidden", hidden},        {"unavailable", unavailable},      {"owner", owned}, {"not in catalogue", uncatalogued},
};
enum { EXCLUSIONS = sizeof(exclusions) / sizeof(*exclusions) };

static void tell_exclusions(struct reader *reader, const struct subject *subject, struct explanation *explanation)
{
    const char **names = fr_arena_take(&reader->arena, EXCLUSIONS * sizeof(*names));

    explanation->excluded_by = names;
    for (size_t i = 0; i < EXCLUSIONS; i++)
        if (exclusions[i].holds(reader, subject))
            names[explanation->excluded_by_len++] = exclusions[i].name;
}

void reader_explain(struct reader *reader, const struct ask *ask, struct fr_bytes id, struct explanation *ret_explanation)
{
    struct opinion opinion = opinion_begin(reader, ask);
    struct choice choice = reader_filter(reader, ask);
    uint32_t item = reader_item_of(reader, id);
    struct subject subject = {
        .opinion = &opinion, .item = item, .asker = ask->user, .filtered = item != DICT_NONE && !filter_lets(reader, ask, item)};
    struct rank rank = {0};

    *ret_explanation = (struct explanation){0};
    reader_mark_seen(reader, ask, &opinion.query);
    if (opinion.known) {
        opinion.ballot = ranks_hear(reader, opinion.learner, &opinion.query, &choice, 0);
        opinion.map = reader_normal_map(reader, opinion.learner, &opinion.query);
    }
    rank.listed = ranks_candidate(reader, &choice, &reader->scores, item);
    if (rank.listed) {
        rank.users = users_of(reader->engine, item);
        ranks_count(reader, &choice, opinion.parity, &item, 1, &rank);
        ret_explanation->rank = rank.before + rank.ahead + 1;
    }
    if (rank.listed && ask->max_per_category) {
        ret_explanation->rank =
            ranks_under_caps(reader, &choice, opinion.parity, ask->max_per_category, item, ret_explanation->rank);
        subject.filtered = !ret_explanation->rank;
    }
    if (opinion.known && item != DICT_NONE)
        hear_items(reader, &opinion, &item, 1);
    struct said said = said_of(reader, &opinion, item, 0);
    ret_explanation->score = said.score;
    ret_explanation->reasons = reasons_of(reader, &opinion, &said, item, &ret_explanation->reasons_len);
    subject.scored = said.scored;
    tell_exclusions(reader, &subject, ret_explanation);
    reader_unmark_all(reader);
}
