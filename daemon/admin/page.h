/*
 * page.h -- what the status page is told: the state of everything, what it was, and what is known of a user or an item. All as JSON.
 *
 *     /api/status.json    how all is: one sentence, then the figures and what lies behind each
 *     /api/history.json   the samples of an hour or a day (history.h)
 *     /api/top.json       the items most users hold
 *     /api/explore        a user with recommendations and reasons, or an item with its neighbours
 *
 * No HTTP here. While no engine is attached (state is loading, or the daemon stops) all but the last two answer as well.
 * Every answer is bounded by constants, whatever the state holds.
 */
#ifndef FR_ADMIN_PAGE_H
#define FR_ADMIN_PAGE_H

#include "freshet/admin.h"
#include "freshet/bytes.h"
#include "freshet/codec.h"
#include "freshet/engine.h"
#include "history.h"

enum { PAGE_PARTITIONS_MAX = 200, PAGE_K_MAX = 50, PAGE_REASONS_MAX = 5, PAGE_AFFINITIES_MAX = 20 };

struct page;
struct page *page_new(span_ms history_step); /* begins to sample: has a thread of its own */
void page_free(struct page *page);

/* From here until page_detach the engine is asked. Detach waits for the question under way. Thread: main. */
void page_attach(struct page *page, struct engine *engine, const struct admin_about *about);
void page_detach(struct page *page);

/* Thread of these four: HTTP. */
void page_status(struct page *page, struct fr_writer *out);
void page_history(struct page *page, enum history_span span, when_ms since, struct fr_writer *out);

/* What a question may say that came by HTTP; NULL bytes where it does not. */
struct page_question {
    struct fr_bytes user, item, model, k;
};
/* Where not answered, *out says why as {"error": ...}. */
enum page_result { PAGE_ANSWERED, PAGE_REFUSED /* the question is bad */, PAGE_AWAY /* no engine is attached */ };
enum page_result page_top(struct page *page, const struct page_question *question, struct fr_writer *out);
enum page_result page_explore(struct page *page, const struct page_question *question, struct fr_writer *out);

#endif
