/*
 * blend.c -- candidates, their scores, and learning what each model's word is worth.
 */
#include "blend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quality.h"

#define ETA .05
#define WEIGHT_MOST 20.
#define SAME 1e-6 /* of the largest value: who says no more than that of how candidates differ says nothing of it, but rounding */
enum { VERSION = 1, CANDIDATE = 4 };
_Static_assert(!(CANDIDATE & (SCORES_EXCLUDED | SCORES_INCLUDED)), "a mark of its own");

/* How a model takes part. */
static const struct part {
    const char *name;
    double weight;  /* to begin with */
    uint32_t quota; /* candidates it brings */
} parts[] = {{"sar", .65, 200}, {"fm", .2, 300}, {"popular", .05, 50}, {"trending", .05, 50}},
  another = {NULL, .05, 300};

struct blend {
    struct engine *engine;
    struct model_ops ops;
    struct {
        const struct part *part;
        _Atomic double weight;
        double squares; /* engine's thread */
        struct fr_series *series;
    } of[ENGINE_MODELS_MAX];
    bool unsaved;
};

static const struct part *part_of(const char *name)
{
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (strcmp(parts[i].name, name) == 0)
            return &parts[i];
    return &another;
}

struct blend *blend_new(struct engine *engine)
{
    struct blend *blend = fr_zalloc(1, sizeof(*blend));

    blend->engine = engine;
    blend->ops.name = ENGINE_BLEND;
    for (size_t m = 0; m < engine->learners_len; m++) {
        blend->of[m].part = part_of(engine->learners[m].ops->name);
        atomic_init(&blend->of[m].weight, blend->of[m].part->weight);
        blend->of[m].series = fr_series(FR_M_BLEND_WEIGHT, engine->learners[m].ops->name, "", "");
        fr_gauge(blend->of[m].series, blend->of[m].part->weight);
    }
    return blend;
}

void blend_free(struct blend *blend)
{
    free(blend);
}

const struct model_ops *blend_ops(const struct blend *blend)
{
    return &blend->ops;
}

double blend_weight(const struct blend *blend, size_t m)
{
    return atomic_load_explicit(&blend->of[m].weight, memory_order_relaxed);
}

/* ---- candidates ---- */

/* As many as are asked for, if that is more: else items with evidence would be left out for popular ones that fill in. */
uint32_t blend_quota(const struct blend *blend, size_t m, size_t k)
{
    uint32_t quota = blend->of[m].part->quota;

    return quota > k ? quota : (uint32_t)k;
}

struct ballot blend_begin(struct reader *reader, const struct choice *choice, size_t k)
{
    const struct blend *blend = reader->engine->blend;
    size_t most = choice->included_len + 1;

    for (size_t m = 0; m < reader->engine->learners_len; m++)
        most += blend_quota(blend, m, k);
    return (struct ballot){.items = fr_arena_take(&reader->arena, most * sizeof(uint32_t)), .models = reader->engine->learners_len};
}

void blend_nominate(struct reader *reader, const struct choice *choice, size_t m, size_t k, const struct scores *scores,
                    struct ballot *ballot)
{
    size_t quota = blend_quota(reader->engine->blend, m, k);
    struct fr_ranked *room = fr_arena_take(&reader->arena, quota * sizeof(*room));
    struct fr_topk top;

    fr_topk_init(&top, room, quota, item_before, reader);
    reader_offer(reader, scores, choice, &top);
    fr_topk_finish(&top); /* in an order that hangs on nothing but the scores: sums over candidates are then the same to the last bit */
    for (size_t i = 0; i < top.len; i++) {
        if (reader->scores.mark[room[i].id] & CANDIDATE)
            continue;
        reader_mark(reader, room[i].id, CANDIDATE);
        ballot->items[ballot->len++] = room[i].id;
    }
}

/* ---- scores ---- */

void blend_values(struct reader *reader, const struct query *query, size_t m, const uint32_t *items, size_t len, double *values)
{
    const struct learner *learner = &reader->engine->learners[m];

    if (learner->ops->score && reader_knows(reader->engine, query, learner))
        learner->ops->score(learner->model, query, items, len, values);
    else
        for (size_t i = 0; i < len; i++)
            values[i] = learner->ops->score ? -0.0 : reader->heard[m].value[items[i]];
}

/*
 * What model `m` says of each candidate, made comparable: where it says nothing, 0 for sums of evidence, and for points on a scale what it
 * says of the least. Of a model that says practically the same of all it is 0 for all: divided by next to nothing, rounding would decide the
 * order. The scores as they are: their logarithms, which algorithms.md proposes for SAR, were worse on MovieLens 100K (hit rate .203 to .207 with floors from .001 to .05 of
 * the largest, against .208).
 */
static void column(struct reader *reader, const struct query *query, size_t m, const struct ballot *ballot, double *z)
{
    struct yardstick *by = &ballot->by[m];
    const struct learner *learner = &reader->engine->learners[m];
    double least = INFINITY, largest = 0, mean = 0, variance = 0;

    blend_values(reader, query, m, ballot->items, ballot->len, z);
    for (size_t i = 0; i < ballot->len; i++) {
        z[i] = scores_untouched(z[i]) ? NAN : z[i];
        least = z[i] < least ? z[i] : least;
    }
    by->nothing = learner->ops->relative && !isinf(least) ? least : 0;
    for (size_t i = 0; i < ballot->len; i++) {
        if (isnan(z[i]))
            z[i] = by->nothing;
        mean += z[i];
        largest = fabs(z[i]) > largest ? fabs(z[i]) : largest;
    }
    mean /= (double)ballot->len;
    for (size_t i = 0; i < ballot->len; i++)
        variance += (z[i] - mean) * (z[i] - mean);
    by->mean = mean;
    double deviation = sqrt(variance / (double)ballot->len);
    by->factor = deviation > SAME * largest ? 1 / deviation : 0;
    for (size_t i = 0; i < ballot->len; i++)
        z[i] = (z[i] - mean) * by->factor;
}

double blend_share(const struct ballot *ballot, size_t m, double value)
{
    const struct yardstick *by = &ballot->by[m];

    return by->weight * (((scores_untouched(value) ? by->nothing : value) - by->mean) * by->factor);
}

void blend_count(struct reader *reader, const struct query *query, struct ballot *ballot)
{
    const struct blend *blend = reader->engine->blend;

    for (size_t i = 0; i < ballot->len; i++) /* the next ballot of the question, if there is one, begins anew */
        reader->scores.mark[ballot->items[i]] &= (uint8_t)~CANDIDATE;
    ballot->z = fr_arena_take(&reader->arena, (ballot->models * ballot->len + 1) * sizeof(*ballot->z));
    ballot->score = fr_arena_take(&reader->arena, (ballot->len + 1) * sizeof(*ballot->score));
    ballot->by = fr_arena_take(&reader->arena, ballot->models * sizeof(*ballot->by));
    memset(ballot->by, 0, ballot->models * sizeof(*ballot->by));
    for (size_t i = 0; i < ballot->len; i++)
        ballot->score[i] = 0;
    for (size_t m = 0; m < ballot->models && ballot->len; m++) {
        double weight = ballot->by[m].weight = blend_weight(blend, m), *z = ballot->z + m * ballot->len;
        column(reader, query, m, ballot, z);
        for (size_t i = 0; i < ballot->len; i++)
            ballot->score[i] += weight * z[i];
    }
    scores_reset(&reader->scores, reader->items); /* what the last model has said */
    for (size_t i = 0; i < ballot->len; i++)
        scores_add(&reader->scores, ballot->items[i], ballot->score[i]);
}

struct ballot blend_hear(struct reader *reader, const struct query *query, const struct choice *choice, size_t k)
{
    struct ballot ballot = blend_begin(reader, choice, k);

    for (size_t m = 0; m < ballot.models; m++) {
        const struct scores *scores = reader_hear(reader, m, query, choice, blend_quota(reader->engine->blend, m, k));
        blend_nominate(reader, choice, m, k, scores, &ballot);
    }
    blend_count(reader, query, &ballot);
    return ballot;
}

static size_t find(const struct ballot *ballot, uint32_t item)
{
    size_t at = 0;

    while (at < ballot->len && ballot->items[at] != item)
        at++;
    return at;
}

static const struct learner *source_of(const struct engine *engine, const struct ballot *ballot, size_t i)
{
    size_t best = 0;
    double most = -INFINITY;

    for (size_t m = 0; m < ballot->models; m++) {
        double contribution = blend_weight(engine->blend, m) * ballot->z[m * ballot->len + i];
        best = contribution > most ? m : best;
        most = contribution > most ? contribution : most;
    }
    return &engine->learners[best];
}

size_t blend_pick(struct reader *reader, const struct query *query, const struct choice *choice, size_t k, struct fr_ranked *room,
                  const struct learner **sources)
{
    struct engine *engine = reader->engine;
    struct fr_topk top;

    const struct ballot ballot = blend_hear(reader, query, choice, k);
    fr_topk_init(&top, room, k, item_before, reader);
    for (size_t i = 0; i < ballot.len; i++)
        fr_topk_offer(&top, ballot.items[i], ballot.score[i]);
    fr_topk_finish(&top);
    for (size_t i = 0; i < top.len; i++)
        sources[i] = source_of(engine, &ballot, find(&ballot, room[i].id));
    return top.len;
}

/* ---- learning; thread: engine ---- */

void blend_learn(struct blend *blend, const struct ballot *ballot, uint32_t item)
{
    size_t at = find(ballot, item);
    double most = -INFINITY, sum = 0;

    if (at == ballot->len)
        return;
    for (size_t i = 0; i < ballot->len; i++)
        most = ballot->score[i] > most ? ballot->score[i] : most;
    for (size_t i = 0; i < ballot->len; i++)
        sum += ballot->score[i] = exp(ballot->score[i] - most); /* the scores have done their work */
    for (size_t m = 0; m < ballot->models; m++) {
        const double *z = ballot->z + m * ballot->len;
        double expected = 0;
        for (size_t i = 0; i < ballot->len; i++)
            expected += ballot->score[i] * z[i];
        double step = z[at] - expected / sum;
        blend->of[m].squares += step * step;
        double weight = blend_weight(blend, m) + ETA * step / sqrt(1 + blend->of[m].squares);
        weight = weight < 0 ? 0 : weight > WEIGHT_MOST ? WEIGHT_MOST : weight;
        atomic_store_explicit(&blend->of[m].weight, weight, memory_order_relaxed);
        fr_gauge(blend->of[m].series, weight);
    }
    blend->unsaved = true;
}

/* ---- the store ---- */

void blend_save(struct blend *blend, struct journal *journal)
{
    struct fr_writer out;

    if (!blend->unsaved)
        return;
    blend->unsaved = false;
    fr_writer_init(&out, 0);
    fr_put_u8(&out, VERSION);
    for (size_t m = 0; m < blend->engine->learners_len; m++) {
        const char *name = blend->engine->learners[m].ops->name;
        fr_put_blob(&out, name, strlen(name));
        fr_put_real(&out, blend_weight(blend, m));
        fr_put_real(&out, blend->of[m].squares);
    }
    journal_put(journal, TABLE_QUALITY, 0, QUALITY_OTHERS, out.at, out.len);
    fr_writer_release(&out);
}

bool blend_load(struct blend *blend, struct fr_bytes cell)
{
    struct fr_reader in = fr_reader_of(cell.at, cell.len);

    if (fr_get_u8(&in) != VERSION)
        return false;
    while (fr_left(&in)) {
        struct fr_bytes name = fr_get_blob(&in);
        double weight = fr_get_real(&in), squares = fr_get_real(&in);
        if (in.failed || !(weight >= 0 && weight <= WEIGHT_MOST) || !(squares >= 0) || isinf(squares))
            return false;
        for (size_t m = 0; m < blend->engine->learners_len; m++) {
            if (!fr_bytes_equal(name, fr_bytes_of(blend->engine->learners[m].ops->name)))
                continue;
            atomic_store(&blend->of[m].weight, weight);
            blend->of[m].squares = squares;
            fr_gauge(blend->of[m].series, weight);
        }
    }
    return !in.failed;
}
