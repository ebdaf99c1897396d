/*
 * trending.c -- popularity that fades.
 *
 *     score(j) = sum over the users who hold j of  2^-((now - t) / half_life)        t: the user's last event on j
 *
 * All items fade alike, so each sum is kept as of one landmark, and only the question brings it to its own time:
 *
 *     S_j = sum of 2^((t - landmark) / half_life)        score = S_j * 2^-((now - landmark) / half_life)
 *
 * When the newest event is FAR half-lives behind the landmark, the landmark moves up by FAR of them, and every sum is multiplied by
 * 2^-FAR, which is exact: so sums depend on the log alone, not on when somebody stopped in between. (algorithms.md 1.2 b; Cormode et al.,
 * Forward Decay, 2009.)
 *
 * What enters a history is added, what leaves is taken away, what is touched again moves: the sum is always that of the held histories,
 * but for rounding. An item that nobody holds is 0 again, exactly. The sums note how many events they stand for, and how many slots of
 * histories: in a store that has learned, or forgotten, without them, they are made of its histories first. Both numbers are needed, and
 * enough: who is forgotten is no event; and without an event slots only leave, so that where there are as many, all are the same.
 *
 * Each page of items has a peak that no sum in it exceeds, so that who looks for the highest needs not look at all. It rises with the sums; since
 * what is touched later counts for more, it does not stay far above them for long, and when the landmark moves it is found anew.
 *
 * Threads: learning is the engine's, asking anybody's. While the landmark moves `moves` is odd, and who has asked meanwhile asks again.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "debt.h"
#include "freshet/model.h"
#include "freshet/trending.h"
#include "sieve.h"

enum { FAR = 512, PER_ROW = 64, LANDMARK_COLUMN = PER_ROW, CELL_BYTES = 8, LANDMARK_BYTES = 36, VERSION = 2 };
enum { LANDMARK_BYTES_SLOTLESS = 28, VERSION_SLOTLESS = 1 }; /* written before slots were counted */
enum { BACK_MOST = 1023 - FAR - 32 };   /* half-lives: by so many even 2^512 times 2^32 users is a number */
enum { STEPS_MOST = 5 }; /* then every sum is 0: 2^512 times 2^32 users is below 2^-1074 after five */

struct model {
    struct model_host host;
    span_ms half_life;
    struct fr_array sums;      /* _Atomic double, by item */
    struct fr_array peaks;     /* _Atomic double: no sum in the page of TRENDING_PAGE items is above it */
    struct debt debt;          /* items */
    _Atomic uint32_t items;    /* the engine's thread writes, whoever asks for figures reads */
    _Atomic int64_t landmark;  /* -1: no event yet */
    _Atomic uint32_t moves;
    bool landmark_unsaved;
    uint64_t slots;            /* of histories, that the sums stand for */
    uint64_t saved_events;     /* applied ever, as of the last save; */
    uint64_t saved_slots;      /* and slots */
};

static struct model *trending_open(const void *options, const struct model_host *host)
{
    struct model *model = fr_zalloc(1, sizeof(*model));

    model->host = *host;
    model->half_life = ((const struct trending_options *)options)->half_life;
    atomic_init(&model->landmark, -1);
    fr_array_init(&model->sums, sizeof(_Atomic double), host->items_max);
    fr_array_init(&model->peaks, sizeof(_Atomic double), host->items_max / TRENDING_PAGE + 1);
    debt_init(&model->debt, host->items_max);
    return model;
}

static void trending_close(struct model *model)
{
    if (!model)
        return;
    fr_array_release(&model->sums);
    fr_array_release(&model->peaks);
    debt_release(&model->debt);
    free(model);
}

static void trending_extend(struct model *model, uint32_t items)
{
    fr_array_grow(&model->sums, items);
    fr_array_grow(&model->peaks, items / TRENDING_PAGE + 1);
    if (items <= atomic_load_explicit(&model->items, memory_order_relaxed))
        return;
    atomic_store_explicit(&model->items, items, memory_order_relaxed);
    debt_extend(&model->debt, items);
}

static _Atomic double *sum_of(const struct model *model, uint32_t item)
{
    return fr_array_at(&model->sums, item);
}

static _Atomic double *peak_of(const struct model *model, uint32_t item)
{
    return fr_array_at(&model->peaks, item / TRENDING_PAGE);
}

/* Before the sum is shown: a peak may never be below. Thread: engine, loaders. */
static void raise_peak(struct model *model, uint32_t item, double sum)
{
    _Atomic double *peak = peak_of(model, item);
    double known = atomic_load_explicit(peak, memory_order_relaxed);

    while (known < sum && !atomic_compare_exchange_weak_explicit(peak, &known, sum, memory_order_release, memory_order_relaxed))
        ;
}

/* ---- learning ---- */

static void put_sum(const struct model *model, uint32_t item, struct journal *journal)
{
    double sum = atomic_load_explicit(sum_of(model, item), memory_order_relaxed);

    journal_put(journal, TABLE_TRENDING, item / PER_ROW, item % PER_ROW, &sum, sizeof(sum));
}

static void change(struct model *model, uint32_t item, double sum)
{
    if (debt_change(&model->debt, item))
        put_sum(model, item, model->debt.to);
    raise_peak(model, item, sum);
    atomic_store_explicit(sum_of(model, item), sum, memory_order_release);
}

/* Before every sum is set anew. */
static void peaks_anew(struct model *model)
{
    for (uint32_t item = 0; item < model->items; item += TRENDING_PAGE)
        atomic_store_explicit(peak_of(model, item), 0, memory_order_relaxed);
}

static void move_landmark(struct model *model, when_ms to)
{
    int64_t landmark = atomic_load_explicit(&model->landmark, memory_order_relaxed);

    atomic_fetch_add(&model->moves, 1);
    int64_t steps = landmark < 0 ? 0 : (to - landmark - 1) / (FAR * model->half_life);
    landmark = landmark < 0 ? to : landmark + steps * FAR * model->half_life;
    int by = -FAR * (int)(steps < STEPS_MOST ? steps : STEPS_MOST);
    if (steps)
        peaks_anew(model);
    for (uint32_t item = 0; steps && item < model->items; item++) {
        double sum = atomic_load_explicit(sum_of(model, item), memory_order_relaxed);
        if (sum > 0)
            change(model, item, ldexp(sum, by));
    }
    atomic_store_explicit(&model->landmark, landmark, memory_order_release);
    atomic_fetch_add(&model->moves, 1);
    model->landmark_unsaved = true;
}

/* What a user counts whose last event on the item was at `when`; exponents beyond a double's are nothing, or so old that they are. */
static double share(const struct model *model, when_ms when)
{
    return exp2((double)(when - atomic_load_explicit(&model->landmark, memory_order_relaxed)) / (double)model->half_life);
}

/* Brings the landmark near enough to `when`. */
static void reach(struct model *model, when_ms when)
{
    int64_t landmark = atomic_load_explicit(&model->landmark, memory_order_relaxed);

    if (landmark < 0 || when - landmark > FAR * model->half_life)
        move_landmark(model, when);
}

static void trending_learn(struct model *model, const struct touch *touch)
{
    reach(model, touch->when);
    double sum = atomic_load_explicit(sum_of(model, touch->item), memory_order_relaxed);
    if (!touch->fresh) {
        when_ms last = stamp_last(touch->history.stamp[touch->at]);
        if (touch->when <= last)
            return;
        sum -= share(model, last);
        sum = sum > 0 ? sum : 0;
    }
    model->slots += touch->fresh;
    change(model, touch->item, sum + share(model, touch->when));
}

static void trending_forget(struct model *model, const struct touch *touch)
{
    uint32_t users = atomic_load_explicit(&model->host.users_of_item[touch->item], memory_order_relaxed);
    double sum = atomic_load_explicit(sum_of(model, touch->item), memory_order_relaxed) - share(model, touch->when);

    model->slots--;
    change(model, touch->item, users && sum > 0 ? sum : 0);
}

static void trending_recall(struct model *model, const struct history *history)
{
    if (!history)
        peaks_anew(model);
    model->slots = history ? model->slots + history->len : 0;
    for (uint32_t item = 0; !history && item < model->items; item++)
        change(model, item, 0);
    for (uint32_t slot = 0; history && slot < history->len; slot++) {
        when_ms last = stamp_last(history->stamp[slot]);
        reach(model, last);
        double sum = atomic_load_explicit(sum_of(model, history->item[slot]), memory_order_relaxed);
        change(model, history->item[slot], sum + share(model, last));
    }
}

/* What was forgotten since it was loaded has left both counts, and they differ as before. */
static bool trending_current(const struct model *model)
{
    uint64_t held = 0;

    for (uint32_t item = 0; item < model->items; item++)
        held += atomic_load_explicit(&model->host.users_of_item[item], memory_order_relaxed);
    return model->saved_events == atomic_load_explicit(model->host.events, memory_order_relaxed) && model->slots == held;
}

/* ---- asking ---- */

/*
 * Brings a sum from the landmark to `now`. The landmark may be ahead of a question that began before it leapt: farther than BACK_MOST the
 * sums are not brought back, so that they stay numbers, in their order.
 */
static double factor_at(const struct model *model, when_ms now)
{
    double span = (double)(now - atomic_load_explicit(&model->landmark, memory_order_acquire));

    return exp2(fmin(-span / (double)model->half_life, BACK_MOST));
}

/* Of an item that nobody holds, and that has never been met, there is nothing to say. */
static double value_of(const struct model *model, uint32_t item, double value)
{
    return value == 0 && !atomic_load_explicit(&model->host.users_of_item[item], memory_order_relaxed) ? -0.0 : value;
}

/* For those named, or (`items` NULL) all from `first` on. */
static void look(const struct model *model, when_ms now, uint32_t first, const uint32_t *items, size_t len, double *values)
{
    uint32_t before;

    do {
        before = atomic_load_explicit(&model->moves, memory_order_acquire);
        double factor = factor_at(model, now);
        for (size_t i = 0; i < len; i++) {
            uint32_t item = items ? items[i] : first + (uint32_t)i;
            values[i] = value_of(model, item, factor * atomic_load_explicit(sum_of(model, item), memory_order_acquire));
        }
    } while (before % 2 || atomic_load_explicit(&model->moves, memory_order_relaxed) != before);
}

void trending_peaks(const struct model *model, when_ms now, size_t pages, double *peaks)
{
    uint32_t before;

    do {
        before = atomic_load_explicit(&model->moves, memory_order_acquire);
        double factor = factor_at(model, now);
        for (size_t p = 0; p < pages; p++)
            peaks[p] = factor * atomic_load_explicit((const _Atomic double *)fr_array_at(&model->peaks, p), memory_order_acquire);
    } while (before % 2 || atomic_load_explicit(&model->moves, memory_order_relaxed) != before);
}

static void look_on(const struct model *model, const struct query *query, uint32_t first, uint32_t len, double *values)
{
    look(model, query->now, first, NULL, len, values);
}

static void trending_retrieve(const struct model *model, const struct query *query, struct scores *scores)
{
    if (sieve_best(model, query, look_on, scores))
        return;
    scores->dense = true;
    look_on(model, query, 0, query->items, scores->value);
}

static void trending_score(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values)
{
    look(model, query->now, 0, items, len, values);
}

static void trending_stats(const struct model *model, struct model_stats *ret_stats)
{
    *ret_stats = (struct model_stats){
        .bytes = fr_array_bytes(&model->sums) + fr_array_bytes(&model->peaks) + debt_bytes(atomic_load_explicit(&model->items, memory_order_relaxed))};
}

/* ---- the store ---- */

static void put_landmark(struct model *model)
{
    const uint32_t version = VERSION;
    const int64_t numbers[2] = {model->half_life, atomic_load_explicit(&model->landmark, memory_order_relaxed)};
    char cell[LANDMARK_BYTES];

    memcpy(cell, &version, 4);
    memcpy(cell + 4, numbers, 16);
    memcpy(cell + 20, &model->saved_events, 8);
    memcpy(cell + 28, &model->saved_slots, 8);
    journal_put(*model->host.journal, TABLE_TRENDING, 0, LANDMARK_COLUMN, cell, sizeof(cell));
}

static void trending_save(struct model *model)
{
    uint64_t events = atomic_load_explicit(model->host.events, memory_order_relaxed);

    if (model->landmark_unsaved || events != model->saved_events || model->slots != model->saved_slots) {
        model->saved_events = events;
        model->saved_slots = model->slots;
        put_landmark(model);
    }
    model->landmark_unsaved = false;
    debt_freeze(&model->debt, *model->host.journal);
}

static bool trending_pay(struct model *model, size_t cells)
{
    struct journal *journal = model->debt.to;

    for (size_t item; cells && (item = debt_next(&model->debt)) != DEBT_NONE; cells--)
        put_sum(model, (uint32_t)item, journal);
    return cells > 0;
}

/* Of a cell without slots nothing says whether somebody was forgotten since, so what is loaded counts as out of date. */
static bool load_landmark(struct model *model, struct fr_bytes cell)
{
    uint32_t version;
    int64_t numbers[2];
    bool slotless = cell.len == LANDMARK_BYTES_SLOTLESS;

    if (cell.len != LANDMARK_BYTES && !slotless)
        return false;
    memcpy(&version, cell.at, 4);
    memcpy(numbers, cell.at + 4, 16);
    memcpy(&model->saved_events, cell.at + 20, 8);
    model->saved_slots = UINT64_MAX;
    if (!slotless)
        memcpy(&model->saved_slots, cell.at + 28, 8);
    model->slots = model->saved_slots;
    if (version != (slotless ? VERSION_SLOTLESS : VERSION) || numbers[0] <= 0 || numbers[1] < -1)
        return false;
    atomic_store(&model->landmark, numbers[1]);
    return numbers[0] == model->half_life; /* or the shape would have been refused */
}

static bool trending_load(struct model *model, uint32_t row, const uint32_t *columns, const int64_t *sums,
                          const struct fr_bytes *cells, size_t len)
{
    (void)sums;
    bool good = true;

    for (size_t i = 0; good && i < len; i++) {
        uint64_t item = (uint64_t)row * PER_ROW + columns[i];
        double sum;
        if (columns[i] == LANDMARK_COLUMN && row == 0) {
            good = load_landmark(model, cells[i]);
            continue;
        }
        good = columns[i] < PER_ROW && item < model->items && cells[i].len == CELL_BYTES;
        if (!good)
            break;
        memcpy(&sum, cells[i].at, sizeof(sum));
        good = sum >= 0 && !isinf(sum);
        raise_peak(model, (uint32_t)item, sum);
        atomic_store_explicit(sum_of(model, (uint32_t)item), sum, memory_order_relaxed);
    }
    return good;
}

static const struct model_table tables[] = {{TABLE_TRENDING, trending_load}};

const struct model_ops trending_ops = {
    .name = "trending",
    .anybody = true,
    .tables = tables,
    .tables_len = sizeof(tables) / sizeof(*tables),
    .open = trending_open,
    .close = trending_close,
    .extend = trending_extend,
    .learn = trending_learn,
    .forget = trending_forget,
    .save = trending_save,
    .pay = trending_pay,
    .current = trending_current,
    .recall = trending_recall,
    .retrieve = trending_retrieve,
    .score = trending_score,
    .rest = "many have met it lately",
    .stats = trending_stats,
};
