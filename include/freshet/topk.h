/*
 * topk.h -- the k best of a stream, best first; equal scores by a tie rule of the caller.
 *
 * A heap with the worst on top: an offer that does not qualify costs one comparison.
 * Thread: the owner's.
 */
#ifndef FR_TOPK_H
#define FR_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fr_ranked {
    double score;
    uint32_t id;
};

struct fr_topk {
    struct fr_ranked *room; /* k entries, not owned */
    size_t k, len;
    /* Does `a` come before `b` at equal scores? */
    bool (*before)(void *context, uint32_t a, uint32_t b);
    void *context;
};

void fr_topk_init(struct fr_topk *top, struct fr_ranked *room, size_t k,
                  bool (*before)(void *context, uint32_t a, uint32_t b), void *context);
void fr_topk_take(struct fr_topk *top, uint32_t id, double score); /* an offer that is not plainly worse than all there are */
/* Worth taking, as far as the score can say: for asking what else must hold only of the few it may matter to. */
static inline bool fr_topk_wants(const struct fr_topk *top, double score)
{
    return top->len < top->k || (top->k && score >= top->room[0].score);
}
static inline void fr_topk_offer(struct fr_topk *top, uint32_t id, double score) /* score is not NaN */
{
    if (fr_topk_wants(top, score))
        fr_topk_take(top, id, score);
}
void fr_topk_finish(struct fr_topk *top);                            /* sorts room[0..len), best first */

#endif
