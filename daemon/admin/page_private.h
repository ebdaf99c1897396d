/*
 * page_private.h -- the page as its files share it.
 */
#ifndef FR_ADMIN_PAGE_PRIVATE_H
#define FR_ADMIN_PAGE_PRIVATE_H

#include <pthread.h>

#include "freshet/life.h"
#include "page.h"

struct page {
    pthread_mutex_t asking; /* the engine, while it is asked: so that it does not leave meanwhile */
    struct engine *engine;  /* NULL: there is none */
    struct reader *reader;
    struct admin_about about;
    struct engine_status *status; /* large; HTTP's */

    pthread_mutex_t lock; /* history, stopping */
    pthread_cond_t changed;
    struct history *history;
    bool stopping;
    span_ms step;
    struct fr_thread *sampler;
};

#endif
