/*
 * topk.c -- a binary heap of the k best so far, the worst of them on top.
 *
 *                 worst
 *               /       \          parent is worse than (or equal to) its children
 *           better     better
 */
#include "freshet/topk.h"

void fr_topk_init(struct fr_topk *top, struct fr_ranked *room, size_t k,
                  bool (*before)(void *context, uint32_t a, uint32_t b), void *context)
{
    *top = (struct fr_topk){.room = room, .k = k, .before = before, .context = context};
}

/* Is `a` worse than `b`: does it come later in the answer? */
static bool worse(const struct fr_topk *top, const struct fr_ranked *a, const struct fr_ranked *b)
{
    if (a->score != b->score)
        return a->score < b->score;
    return top->before(top->context, b->id, a->id);
}

static void swap(struct fr_ranked *a, struct fr_ranked *b)
{
    struct fr_ranked kept = *a;

    *a = *b;
    *b = kept;
}

static void sink(struct fr_topk *top, size_t at, size_t len)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= len)
            return;
        if (child + 1 < len && worse(top, &top->room[child + 1], &top->room[child]))
            child++;
        if (!worse(top, &top->room[child], &top->room[at]))
            return;
        swap(&top->room[at], &top->room[child]);
        at = child;
    }
}

void fr_topk_take(struct fr_topk *top, uint32_t id, double score)
{
    struct fr_ranked offered = {score, id};

    if (top->len < top->k) {
        size_t at = top->len++;
        top->room[at] = offered;
        while (at && worse(top, &top->room[at], &top->room[(at - 1) / 2])) {
            swap(&top->room[at], &top->room[(at - 1) / 2]);
            at = (at - 1) / 2;
        }
        return;
    }
    if (!worse(top, &top->room[0], &offered))
        return;
    top->room[0] = offered;
    sink(top, 0, top->len);
}

void fr_topk_finish(struct fr_topk *top)
{
    /* Heap sort: the worst goes to the end, again and again. */
    for (size_t left = top->len; left > 1; left--) {
        swap(&top->room[0], &top->room[left - 1]);
        sink(top, 0, left - 1);
    }
}
