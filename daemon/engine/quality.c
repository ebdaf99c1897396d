/*
 * quality.c -- outcomes into windows, windows into figures, and both through the store.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "adwin.h"
#include "freshet/alloc.h"
#include "freshet/log.h"
#include "freshet/metric.h"
#include "quality.h"

enum { VERSION = 2, WITHOUT_LOSSES = 1, WINDOWS = 2, RING = 100000, ROW_CELLS = 256, SETS = 4, METRICS = 3 };
static const uint32_t window_len[WINDOWS] = {10000, RING};
static const char *const window_name[WINDOWS] = {"10000", "100000"};
/* What is told of all events, and of each kind: sets of outcomes. */
static const unsigned set_kinds[SETS] = {0, KIND_COLD_USER, KIND_HEAD, KIND_TAIL};
static const char *const metric_name[SETS][METRICS] = {
    {"hit_rate_10", "ndcg_10", "mrr_10"},
    {"hit_rate_10_cold_user", "ndcg_10_cold_user", "mrr_10_cold_user"},
    {"hit_rate_10_head", "ndcg_10_head", "mrr_10_head"},
    {"hit_rate_10_tail", "ndcg_10_tail", "mrr_10_tail"},
};
static const struct {
    unsigned kind;
    const char *name;
} kinds_told[] = {{KIND_NEW_ITEM, "new_item"}, {KIND_COLD_USER, "cold_user"}, {KIND_HEAD, "head"}, {KIND_TAIL, "tail"}};
enum { KINDS = sizeof(kinds_told) / sizeof(*kinds_told) };

/* McNemar's test says that two models differ, with an error of 1 %, above this; and nothing below so many events on which they did. */
#define MCNEMAR_DIFFERENT 6.63
enum { MCNEMAR_LEAST = 100 };

#define NO_LOSS SIZE_MAX
static const char *const loss_name[] = {[SCORE_LOG_ODDS] = "log_loss", [SCORE_WEIGHT] = "rmse"};

struct outcome {
    uint8_t kinds, places[QUALITY_MODELS];
};

struct rated { /* a model */
    const char *name;
    enum score_unit unit;
    size_t loss; /* which of an outcome's losses is its; NO_LOSS: none */
    struct adwin adwin;
    struct {
        uint32_t tally[SETS][QUALITY_PLACES];
        uint32_t alone, behind; /* events that it hit and the answering model did not; the other way round */
        bool differs;
        uint64_t losses, lost; /* how many, and their sum */
        struct fr_series *series[SETS][METRICS], *mcnemar, *loss;
    } windows[WINDOWS];
    struct fr_series *drifts;
};

struct quality {
    struct rated models[QUALITY_MODELS];
    size_t len, answering, losses_len;
    struct outcome *ring;
    uint32_t *losses; /* [RING][losses_len] */
    uint32_t at, filled; /* where the next goes; how many there are */
    bool unsaved, renamed;
    /* While loading: where a stored model is now, PLACE_UNKNOWN: nowhere; and which loss is the loss of each stored one, NO_LOSS: none
     * any more. */
    uint8_t stored[QUALITY_MODELS];
    size_t stored_len, stored_loss[QUALITY_MODELS], stored_losses;
    struct fr_series *kinds[KINDS], *measured;
};

struct quality *quality_new(const char *const *names, const enum score_unit *units, size_t len, size_t answering)
{
    struct quality *quality = fr_zalloc(1, sizeof(*quality));

    assert(len <= QUALITY_MODELS && answering < len);
    quality->len = len;
    quality->answering = answering;
    quality->ring = fr_zalloc(RING, sizeof(*quality->ring));
    quality->measured = fr_series(FR_M_EVALUATED, "all", "", "");
    for (size_t k = 0; k < KINDS; k++)
        quality->kinds[k] = fr_series(FR_M_EVALUATED, kinds_told[k].name, "", "");
    for (size_t m = 0; m < len; m++) {
        struct rated *model = &quality->models[m];
        model->name = names[m];
        model->unit = units[m];
        model->loss = units[m] == SCORE_ORDERS ? NO_LOSS : quality->losses_len++;
        model->drifts = fr_series(FR_M_MODEL_DRIFT, names[m], "", "");
        for (int w = 0; w < WINDOWS; w++) {
            model->windows[w].mcnemar = fr_series(FR_M_MODEL_MCNEMAR, names[m], window_name[w], "");
            if (model->loss != NO_LOSS)
                model->windows[w].loss = fr_series(FR_M_MODEL_QUALITY, names[m], loss_name[units[m]], window_name[w]);
            for (int s = 0; s < SETS; s++)
                for (int t = 0; t < METRICS; t++)
                    model->windows[w].series[s][t] = fr_series(FR_M_MODEL_QUALITY, names[m], metric_name[s][t], window_name[w]);
        }
    }
    quality->losses = fr_alloc((RING * quality->losses_len + 1) * sizeof(*quality->losses));
    memset(quality->losses, 0xFF, RING * quality->losses_len * sizeof(*quality->losses));
    return quality;
}

void quality_free(struct quality *quality)
{
    if (!quality)
        return;
    free(quality->ring);
    free(quality->losses);
    free(quality);
}

/* ---- windows ---- */

static uint32_t *losses_at(const struct quality *quality, uint32_t at)
{
    return quality->losses + at * quality->losses_len;
}

/* `by`: 1, or less 1. */
static void count(struct quality *quality, int w, const struct outcome *outcome, const uint32_t *losses, uint32_t by)
{
    uint8_t base = outcome->places[quality->answering];

    for (size_t m = 0; m < quality->len; m++) {
        uint8_t place = outcome->places[m];
        size_t loss = quality->models[m].loss;
        if (loss != NO_LOSS && losses[loss] != LOSS_UNKNOWN) {
            quality->models[m].windows[w].losses += (uint64_t)(int32_t)by;
            quality->models[m].windows[w].lost += (uint64_t)(int32_t)by * losses[loss];
        }
        if (place == PLACE_UNKNOWN)
            continue;
        for (int s = 0; s < SETS; s++)
            if (!set_kinds[s] || outcome->kinds & set_kinds[s])
                quality->models[m].windows[w].tally[s][place] += by;
        if (base == PLACE_UNKNOWN)
            continue;
        quality->models[m].windows[w].alone += place && !base ? by : 0;
        quality->models[m].windows[w].behind += !place && base ? by : 0;
    }
}

static void enter(struct quality *quality, const struct outcome *outcome, const uint32_t *losses)
{
    for (int w = 0; w < WINDOWS; w++) {
        uint32_t oldest = (quality->at + RING - window_len[w]) % RING;
        if (quality->filled >= window_len[w])
            count(quality, w, &quality->ring[oldest], losses_at(quality, oldest), (uint32_t)-1);
        count(quality, w, outcome, losses, 1);
    }
    quality->ring[quality->at] = *outcome;
    memcpy(losses_at(quality, quality->at), losses, quality->losses_len * sizeof(*losses));
    quality->at = (quality->at + 1) % RING;
    quality->filled += quality->filled < RING;
}

/* ---- figures ---- */

static void tell_set(const uint32_t tally[QUALITY_PLACES], struct fr_series *const series[METRICS])
{
    double hits = 0, ndcg = 0, mrr = 0;

    for (int place = 1; place < QUALITY_PLACES; place++) {
        double rank = (place - 1) / 2.;
        hits += tally[place];
        ndcg += tally[place] / log2(rank + 2);
        mrr += tally[place] / (rank + 1);
    }
    double all = hits + tally[0];
    fr_gauge(series[0], all > 0 ? hits / all : 0);
    fr_gauge(series[1], all > 0 ? ndcg / all : 0);
    fr_gauge(series[2], all > 0 ? mrr / all : 0);
}

static void tell_loss(const struct rated *model, int w)
{
    double losses = (double)model->windows[w].losses, mean = losses > 0 ? (double)model->windows[w].lost / losses / 65536 : 0;

    if (model->loss != NO_LOSS)
        fr_gauge(model->windows[w].loss, model->unit == SCORE_WEIGHT ? sqrt(mean) : mean);
}

/* Positive: it is better than the answering model; 0 as long as there is too little to tell. */
static void tell_mcnemar(const struct quality *quality, struct rated *model, int w)
{
    double alone = model->windows[w].alone, behind = model->windows[w].behind, apart = fabs(alone - behind) - 1;
    double square = alone + behind >= MCNEMAR_LEAST && apart > 0 ? apart * apart / (alone + behind) : 0;
    bool differs = square > MCNEMAR_DIFFERENT;

    fr_gauge(model->windows[w].mcnemar, alone < behind ? -square : square);
    if (differs && !model->windows[w].differs)
        fr_log(FR_INFO, "engine", "model.differs",
               FR_FIELDS(FR_TEXT("model", model->name), FR_TEXT("from", quality->models[quality->answering].name),
                         FR_TEXT("window", window_name[w]), FR_INT("alone", (int64_t)alone), FR_INT("behind", (int64_t)behind)),
               "it finds %s than the model that answers, by more than chance", alone > behind ? "more" : "less");
    model->windows[w].differs = differs;
}

static void tell(struct quality *quality)
{
    for (size_t m = 0; m < quality->len; m++)
        for (int w = 0; w < WINDOWS; w++) {
            struct rated *model = &quality->models[m];
            for (int s = 0; s < SETS; s++)
                tell_set(model->windows[w].tally[s], model->windows[w].series[s]);
            tell_loss(model, w);
            if (m != quality->answering)
                tell_mcnemar(quality, model, w);
        }
}

static void watch_drift(struct rated *model, bool hit)
{
    struct adwin_change change;

    if (!adwin_add(&model->adwin, hit, &change))
        return;
    fr_count(model->drifts, 1);
    fr_log(FR_WARN, "engine", "model.drift",
           FR_FIELDS(FR_TEXT("model", model->name), FR_REAL("before", change.before), FR_REAL("after", change.after)),
           "its share of hits has changed by more than chance");
}

/* The outcome's cell. */
static void put(const struct quality *quality, uint32_t at, struct journal *journal)
{
    char cell[sizeof(struct outcome) + QUALITY_MODELS * sizeof(uint32_t)];
    size_t len = 1 + quality->len, losses = quality->losses_len * sizeof(uint32_t);

    memcpy(cell, &quality->ring[at], len);
    memcpy(cell + len, losses_at(quality, at), losses);
    journal_put(journal, TABLE_QUALITY, 1 + at / ROW_CELLS, at % ROW_CELLS, cell, len + losses);
}

void quality_take(struct quality *quality, unsigned kinds, const uint8_t *places, const uint32_t *losses, struct journal *journal)
{
    struct outcome outcome = {.kinds = (uint8_t)kinds};
    uint32_t at = quality->at, own[QUALITY_MODELS];

    memcpy(outcome.places, places, quality->len);
    for (size_t m = 0; m < quality->len; m++)
        if (quality->models[m].loss != NO_LOSS)
            own[quality->models[m].loss] = losses[m];
    enter(quality, &outcome, own);
    put(quality, at, journal);
    quality->unsaved = true;
    fr_count(quality->measured, 1);
    for (size_t k = 0; k < KINDS; k++)
        if (kinds & kinds_told[k].kind)
            fr_count(quality->kinds[k], 1);
    for (size_t m = 0; m < quality->len; m++)
        if (places[m] != PLACE_UNKNOWN)
            watch_drift(&quality->models[m], places[m] != 0);
    tell(quality);
}

/* ---- the store ---- */

void quality_save(struct quality *quality, struct journal *journal)
{
    struct fr_writer out;

    if (!quality->unsaved)
        return;
    quality->unsaved = false;
    fr_writer_init(&out, 0);
    fr_put_u8(&out, VERSION);
    fr_put_u32(&out, quality->at);
    fr_put_u32(&out, quality->filled);
    for (size_t m = 0; m < quality->len; m++) {
        fr_put_blob(&out, quality->models[m].name, strlen(quality->models[m].name));
        fr_put_u8(&out, (uint8_t)quality->models[m].unit);
    }
    journal_put(journal, TABLE_QUALITY, 0, 0, out.at, out.len);
    for (size_t m = 0; m < quality->len; m++) {
        fr_writer_reset(&out);
        adwin_write(&quality->models[m].adwin, &out);
        journal_put(journal, TABLE_QUALITY, 0, (uint32_t)(1 + m), out.at, out.len);
    }
    fr_writer_release(&out);
}

static bool load_head(struct quality *quality, struct fr_bytes cell)
{
    struct fr_reader in = fr_reader_of(cell.at, cell.len);
    uint8_t version = fr_get_u8(&in);

    quality->at = fr_get_u32(&in);
    quality->filled = fr_get_u32(&in);
    if ((version != VERSION && version != WITHOUT_LOSSES) || quality->at >= RING || quality->filled > RING)
        return false;
    while (fr_left(&in) && quality->stored_len < QUALITY_MODELS) {
        struct fr_bytes name = fr_get_blob(&in);
        size_t now = 0;
        while (now < quality->len && !fr_bytes_equal(name, fr_bytes_of(quality->models[now].name)))
            now++;
        unsigned unit = version == WITHOUT_LOSSES ? SCORE_ORDERS : fr_get_u8(&in);
        bool same = now < quality->len && unit == (unsigned)quality->models[now].unit;
        quality->renamed = quality->renamed || now != quality->stored_len || !same;
        if (unit != SCORE_ORDERS)
            quality->stored_loss[quality->stored_losses++] = same ? quality->models[now].loss : NO_LOSS;
        quality->stored[quality->stored_len++] = now < quality->len ? (uint8_t)now : PLACE_UNKNOWN;
    }
    quality->renamed = quality->renamed || quality->stored_len != quality->len;
    return !in.failed && !fr_left(&in);
}

static bool load_cell(struct quality *quality, uint32_t at, struct fr_bytes cell)
{
    struct outcome *outcome = &quality->ring[at];

    if (cell.len != 1 + quality->stored_len + quality->stored_losses * sizeof(uint32_t))
        return false;
    memset(outcome->places, PLACE_UNKNOWN, sizeof(outcome->places));
    outcome->kinds = (uint8_t)cell.at[0];
    for (size_t i = 0; i < quality->stored_len; i++) {
        uint8_t place = (uint8_t)cell.at[1 + i];
        if (place >= QUALITY_PLACES && place != PLACE_UNKNOWN)
            return false;
        if (quality->stored[i] != PLACE_UNKNOWN)
            outcome->places[quality->stored[i]] = place;
    }
    for (size_t i = 0; i < quality->stored_losses; i++)
        if (quality->stored_loss[i] != NO_LOSS)
            memcpy(&losses_at(quality, at)[quality->stored_loss[i]], cell.at + 1 + quality->stored_len + i * sizeof(uint32_t),
                   sizeof(uint32_t));
    return true;
}

bool quality_load(struct quality *quality, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    bool good = row || (len && columns[0] == 0 && load_head(quality, cells[0]));

    for (size_t i = 0; good && i < len; i++) {
        struct fr_reader in = fr_reader_of(cells[i].at, cells[i].len);
        if (row) {
            good = quality->stored_len && columns[i] < ROW_CELLS && (row - 1) * (uint64_t)ROW_CELLS + columns[i] < RING &&
                   load_cell(quality, (row - 1) * ROW_CELLS + columns[i], cells[i]);
        } else if (columns[i] && columns[i] <= quality->stored_len && quality->stored[columns[i] - 1] != PLACE_UNKNOWN) {
            good = adwin_read(&quality->models[quality->stored[columns[i] - 1]].adwin, &in);
        }
    }
    return good;
}

void quality_loaded(struct quality *quality, struct journal *journal)
{
    uint32_t filled = quality->filled, first = (quality->at + RING - filled) % RING;

    quality->at = first;
    quality->filled = 0;
    for (uint32_t i = 0; i < filled; i++) {
        const struct outcome outcome = quality->ring[quality->at];
        uint32_t losses[QUALITY_MODELS];
        memcpy(losses, losses_at(quality, quality->at), quality->losses_len * sizeof(*losses));
        if (quality->renamed)
            put(quality, quality->at, journal);
        enter(quality, &outcome, losses);
    }
    quality->unsaved = quality->renamed;
    if (filled)
        tell(quality);
}
