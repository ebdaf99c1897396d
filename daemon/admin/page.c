/*
 * page.c -- the page's life: its engine comes and goes, and a thread samples the metrics (page.h).
 *
 *     sampler --collect--> registry --gather--> history <-- HTTP, when it is asked
 *
 * Thread: main's; `history` runs the sampler.
 */
#include "page.h"

#include <stdlib.h>
#include <time.h>

#include "freshet/alloc.h"
#include "freshet/metric.h"
#include "json.h"
#include "page_private.h"

/* False: it is to end. */
static bool rest(struct page *page, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000)};

    pthread_mutex_lock(&page->lock);
    while (!page->stopping && fr_mono_ns() < until_ns)
        pthread_cond_timedwait(&page->changed, &page->lock, &until);
    bool goes_on = !page->stopping;
    pthread_mutex_unlock(&page->lock);
    return goes_on;
}

static void sample(void *arg)
{
    struct page *page = arg;
    uint64_t next = fr_mono_ns();

    while (rest(page, next)) {
        fr_metric_collect(); /* asks others, who have locks of their own: outside of ours */
        pthread_mutex_lock(&page->lock);
        history_sample(page->history, fr_wall_ms(), fr_mono_ns());
        pthread_mutex_unlock(&page->lock);
        next += (uint64_t)page->step * 1000000;
        if (next < fr_mono_ns()) /* it was suspended: no sample twice */
            next = fr_mono_ns() + (uint64_t)page->step * 1000000;
    }
}

struct page *page_new(span_ms history_step)
{
    struct page *page = fr_zalloc(1, sizeof(*page));
    pthread_condattr_t monotonic;

    json_begin();
    pthread_mutex_init(&page->asking, NULL);
    pthread_mutex_init(&page->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&page->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    page->status = fr_zalloc(1, sizeof(*page->status));
    page->step = history_step;
    page->history = history_new(history_step);
    page->sampler = fr_thread_start("history", sample, page);
    return page;
}

void page_free(struct page *page)
{
    if (!page)
        return;
    pthread_mutex_lock(&page->lock);
    page->stopping = true;
    pthread_cond_broadcast(&page->changed);
    pthread_mutex_unlock(&page->lock);
    fr_thread_join(page->sampler);
    history_free(page->history);
    free(page->status);
    pthread_cond_destroy(&page->changed);
    pthread_mutex_destroy(&page->lock);
    pthread_mutex_destroy(&page->asking);
    free(page);
}

void page_attach(struct page *page, struct engine *engine, const struct admin_about *about)
{
    pthread_mutex_lock(&page->asking);
    page->engine = engine;
    page->reader = reader_new(engine);
    page->about = *about;
    pthread_mutex_unlock(&page->asking);
}

void page_detach(struct page *page)
{
    pthread_mutex_lock(&page->asking);
    if (page->reader)
        reader_free(page->reader);
    page->reader = NULL;
    page->engine = NULL;
    pthread_mutex_unlock(&page->asking);
}
