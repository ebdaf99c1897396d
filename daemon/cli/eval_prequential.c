/*
 * eval_prequential.c -- test, then train: each event is ranked as if it were not known yet, then learned.
 *
 *     event:   a user's first with an item, of positive weight?  every n-th: rank the item among all the user has not had
 *              then learn it, whatever it is
 *
 *     .new     nobody has had the item: a miss, but of a model that knows it by its features (--items)
 *     .cold    the user has had fewer than COLD events
 *     .head    the item is among the tenth of all items that most users hold
 *     .tail    it is not, but somebody has it
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

#include "freshet/alloc.h"

enum { COLD = 5 };

struct outcomes {
    struct standing all, cold, head, tail, new;
    struct mean new_items;
    struct errors errors;
};

static void score(struct outcomes *outcomes, const struct rank *rank, uint32_t events, uint32_t k)
{
    bool known = rank->users != 0;

    standing_add(&outcomes->all, rank, k);
    mean_add(&outcomes->new_items, !known);
    if (events < COLD)
        standing_add(&outcomes->cold, rank, k);
    if (!known)
        standing_add(&outcomes->new, rank, k);
    else
        standing_add(item_is_head(rank->above, rank->held) ? &outcomes->head : &outcomes->tail, rank, k);
}

static void tell(const struct eval *eval, const struct outcomes *outcomes, double coverage, struct figures *ret)
{
    uint32_t k = (uint32_t)eval->k;

    *ret = (struct figures){0};
    figures_add_standing(ret, &outcomes->all, k, "");
    figures_add_standing(ret, &outcomes->cold, k, ".cold");
    figures_add_standing(ret, &outcomes->head, k, ".head");
    figures_add_standing(ret, &outcomes->tail, k, ".tail");
    if (eval->said)
        figures_add_standing(ret, &outcomes->new, k, ".new");
    figures_add(ret, &outcomes->new_items, "new_items");
    char name[FIGURE_NAME];
    snprintf(name, sizeof(name), "coverage@%u", k);
    figures_add_value(ret, name, eval->users.len, coverage);
    if (eval->ratings)
        figures_add_errors(ret, &outcomes->errors);
}

bool eval_prequential_has(const struct eval *eval, const char *figure)
{
    const struct outcomes none = {0};
    struct figures figures;
    size_t f = 0;

    tell(eval, &none, 0, &figures);
    while (f < figures.len && strcmp(figures.at[f].name, figure) != 0)
        f++;
    return f < figures.len;
}

/* Learns events [*from, to), asks about event `to` before it is learned. */
static void rank_one(struct eval *eval, struct replay *replay, size_t *from, size_t to, const uint32_t *events,
                     struct outcomes *outcomes)
{
    const struct eval_event *event = &eval->log.events[to];

    replay_learn(replay, eval->log.events + *from, to - *from);
    *from = to;
    replay_await(replay);
    replay_begin(replay);
    for (size_t m = 0; m < eval->models_len; m++) {
        struct rank rank = replay_rank(replay, eval->models[m], event, NULL, 0);
        score(&outcomes[m], &rank, events[event->user], (uint32_t)eval->k);
        errors_add(&outcomes[m].errors, rank.scored ? rank.score : NAN, event->weight);
    }
    replay_end(replay);
    eval->outcomes++;
}

static bool replay_all(struct eval *eval, struct replay *replay, const struct eval_seen *seen, struct outcomes *outcomes)
{
    size_t len = eval->upto;
    struct progress *progress = progress_new(eval->progress, len);
    uint32_t *events = fr_zalloc(eval->users.len, sizeof(*events)); /* by user, so far */
    uint64_t until_next = eval->every;
    size_t from = 0;
    bool good = true;

    for (size_t i = 0; good && i < len; i++) {
        const struct eval_event *event = &eval->log.events[i];
        if (i >= eval->rank_from && seen->first[i] && event->positive && !--until_next) {
            until_next = eval->every;
            rank_one(eval, replay, &from, i, events, outcomes);
        }
        events[event->user]++;
        progress_show(progress, i);
        if ((i + 1) % eval->refresh == 0 || i + 1 == len) {
            replay_learn(replay, eval->log.events + from, i + 1 - from);
            from = i + 1;
            good = replay_refresh(replay);
        }
    }
    progress_end(progress, len);
    free(events);
    return good;
}

bool eval_prequential(struct eval *eval, uint64_t seed, struct figures *ret_figures)
{
    struct outcomes *outcomes = fr_zalloc(eval->models_len, sizeof(*outcomes));
    bool *everybody = fr_alloc(eval->users.len + 1);
    struct eval_seen seen;
    struct replay replay;
    bool good;

    eval_sort(&eval->log, eval->users.len, eval->order, seed);
    eval_seen_init(&seen, &eval->log, eval->users.len);
    memset(everybody, true, eval->users.len);
    eval->outcomes = 0;
    good = replay_open(&replay, eval);
    if (good) {
        good = replay_all(eval, &replay, &seen, outcomes);
        for (size_t m = 0; good && m < eval->models_len; m++)
            tell(eval, &outcomes[m],
                 eval->no_coverage ? NAN : replay_coverage(&replay, eval->models[m], (uint32_t)eval->k, everybody), &ret_figures[m]);
        replay_close(&replay);
    }
    eval_seen_release(&seen);
    free(everybody);
    free(outcomes);
    return good;
}
