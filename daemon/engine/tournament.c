/*
 * tournament.c -- a tree over a row, each node with the best of those below and their number.
 */
#include "tournament.h"

#include <string.h>

#define NOBODY UINT32_MAX

static struct tournament_node below(const struct tournament *tournament, size_t node)
{
    if (node < tournament->width)
        return tournament->nodes[node];
    size_t at = node - tournament->width;
    bool in = at < tournament->len && tournament->in[at];
    return (struct tournament_node){in ? (uint32_t)at : NOBODY, in};
}

static void play(struct tournament *tournament, size_t node)
{
    struct tournament_node a = below(tournament, 2 * node), b = below(tournament, 2 * node + 1);
    bool later = b.left && (!a.left || tournament->better(tournament->context, a.best, b.best));

    tournament->nodes[node] = (struct tournament_node){later ? b.best : a.best, a.left + b.left};
}

void tournament_init(struct tournament *tournament, struct fr_arena *arena, size_t len, tournament_better *better, const void *context)
{
    *tournament = (struct tournament){.better = better, .context = context, .len = len, .width = 1};
    while (tournament->width < len)
        tournament->width *= 2;
    tournament->in = fr_arena_take(arena, len + 1);
    memset(tournament->in, true, len);
    tournament->nodes = fr_arena_take(arena, tournament->width * sizeof(*tournament->nodes));
    for (size_t node = tournament->width - 1; node; node--)
        play(tournament, node);
}

void tournament_fell(struct tournament *tournament, uint32_t at)
{
    for (size_t node = (tournament->width + at) / 2; node && tournament->nodes[node].best == at; node /= 2)
        play(tournament, node);
}

void tournament_out(struct tournament *tournament, uint32_t at)
{
    if (!tournament->in[at])
        return;
    tournament->in[at] = false;
    for (size_t node = (tournament->width + at) / 2; node; node /= 2)
        if (tournament->nodes[node].best == at)
            play(tournament, node);
        else
            tournament->nodes[node].left--;
}

size_t tournament_left(const struct tournament *tournament)
{
    return below(tournament, 1).left;
}

uint32_t tournament_best(const struct tournament *tournament)
{
    return below(tournament, 1).best;
}

uint32_t tournament_at(const struct tournament *tournament, size_t skip)
{
    size_t node = 1;

    while (node < tournament->width) {
        size_t first = below(tournament, 2 * node).left;
        node = 2 * node + (skip >= first);
        skip -= skip >= first ? first : 0;
    }
    return (uint32_t)(node - tournament->width);
}
