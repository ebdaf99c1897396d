/*
 * learners.h -- models without daemon, for their benchmarks: a stream of events as the engine would hand them over, with
 * histories of 50, and a few models that learn each of them. Seconds are the thread's own.
 */
#ifndef FR_BENCH_LEARNERS_H
#define FR_BENCH_LEARNERS_H

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "freshet/model.h"

enum { LONG = 50, EVENTS = 300000, AHEAD = 2, LEARNERS_MOST = 4 };
enum { JOURNAL_MOST = 64 << 20, KEYS = 50, CONTEXT = 2 };

/* Events as the engine would hand them over. */
struct stream {
    uint32_t *item;    /* [events] */
    uint32_t *past;    /* [events][LONG], oldest first */
    uint64_t *context; /* [events][CONTEXT] */
    uint16_t step[LONG];
    uint64_t stamp[LONG];
    double affinity[LONG];
};

static inline void stream_init(struct stream *stream, uint32_t items, uint64_t *random)
{
    struct bench_zipf zipf;

    bench_zipf_init(&zipf, items, random);
    stream->item = fr_alloc(EVENTS * sizeof(*stream->item));
    stream->past = fr_alloc((size_t)EVENTS * LONG * sizeof(*stream->past));
    stream->context = fr_alloc((size_t)EVENTS * CONTEXT * sizeof(*stream->context));
    for (size_t k = 0; k < EVENTS; k++)
        stream->item[k] = bench_zipf_draw(&zipf, random);
    for (size_t k = 0; k < (size_t)EVENTS * LONG; k++)
        stream->past[k] = bench_zipf_draw(&zipf, random);
    for (size_t k = 0; k < (size_t)EVENTS * CONTEXT; k++)
        stream->context[k] = 1 + (k % CONTEXT) * 1000 + bench_random(random) % KEYS;
    for (uint32_t k = 0; k < LONG; k++) {
        stream->step[k] = 1;
        stream->stamp[k] = stamp_of(1000 + k, 1);
        stream->affinity[k] = 1;
    }
    bench_zipf_release(&zipf);
}

static inline void stream_release(struct stream *stream)
{
    free(stream->item);
    free(stream->past);
    free(stream->context);
}

static inline struct touch touch_of(const struct stream *stream, uint32_t k)
{
    return (struct touch){
        .item = stream->item[k],
        .at = LONG,
        .behind = 1,
        .fresh = true,
        .when = 2000,
        .weight = 1,
        .draw = k,
        .context = stream->context + (size_t)k * CONTEXT,
        .context_len = CONTEXT,
        .history = {stream->past + (size_t)k * LONG, stream->step, stream->stamp, stream->affinity, NULL, LONG}};
}

/* Of this thread: others on the machine do not count. */
static inline uint64_t cpu_ns(void)
{
    struct timespec spent;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * 1000000000 + (uint64_t)spent.tv_nsec;
}

struct learner {
    const struct model_ops *ops;
    struct model *model;
};

struct bench {
    struct fr_epoch *epoch;
    struct journal *journal;
    struct learner learners[LEARNERS_MOST];
    unsigned learners_len;
    uint32_t items;
    _Atomic uint32_t *users_of_item, items_held;
};

static inline void bench_open(struct bench *bench, uint32_t items)
{
    *bench = (struct bench){.epoch = fr_epoch_new(), .journal = journal_new(), .items = items, .items_held = items};
    bench->users_of_item = fr_zalloc(items, sizeof(*bench->users_of_item));
    for (uint32_t item = 0; item < items; item++)
        bench->users_of_item[item] = 1;
}

static inline void bench_learner(struct bench *bench, const struct model_ops *ops, const void *options)
{
    const struct model_host host = {bench->epoch, &bench->journal, bench->users_of_item, &bench->items_held,
                                    bench->items, NULL, NULL, NULL, NULL};
    struct model *model = ops->open(options, &host);

    ops->extend(model, bench->items);
    bench->learners[bench->learners_len++] = (struct learner){ops, model};
}

static inline void bench_close(struct bench *bench)
{
    for (unsigned l = 0; l < bench->learners_len; l++)
        bench->learners[l].ops->close(bench->learners[l].model);
    fr_epoch_free(bench->epoch);
    journal_free(bench->journal);
    free(bench->users_of_item);
}

/* Events per second. */
static inline double learn_all(struct bench *bench, const struct stream *stream)
{
    uint64_t begin = cpu_ns();

    for (uint32_t k = 0; k < EVENTS; k++) {
        for (uint32_t ahead = AHEAD; ahead > 0; ahead--) {
            struct touch soon = touch_of(stream, (k + ahead) % EVENTS);
            for (unsigned l = 0; l < bench->learners_len; l++)
                bench->learners[l].ops->prepare(bench->learners[l].model, &soon, (int)(AHEAD - ahead));
        }
        struct touch touch = touch_of(stream, k);
        for (unsigned l = 0; l < bench->learners_len; l++)
            bench->learners[l].ops->learn(bench->learners[l].model, &touch);
        if (k % 256 == 0) {
            fr_epoch_reclaim(bench->epoch);
            if (journal_bytes(bench->journal) > JOURNAL_MOST)
                journal_reset(bench->journal);
        }
    }
    return EVENTS / ((double)(cpu_ns() - begin) / 1e9);
}

#endif
