/*
 * ending.h -- the end of a librdkafka client, which may never come.
 *
 * rd_kafka_destroy of 2.0.2 waits for threads of the library's own that may go on for ever, where a topic was deleted under a consumer, or a
 * broker went and came back (its issues 3954, 4362, 4674). So each client is ended by a thread of its own, which is waited for, but not longer
 * than an end takes. One that does not come is left to itself: it holds memory, and nobody's callbacks or records.
 *
 * Thread: any; one for each ending.
 */
#ifndef FR_ENDING_H
#define FR_ENDING_H

#include <librdkafka/rdkafka.h>
#include <stddef.h>

enum { ENDING_MS = 4000 };

struct ending;
/* Nobody may use the client any more. `purpose`: a literal. */
struct ending *ending_begin(rd_kafka_t *kafka, const char *purpose);
/* For all of them together ENDING_MS at most, then logged; NULLs are skipped. They are gone then. */
void endings_wait(struct ending *const *endings, size_t len);
/* Both, of one; NULL: there is none. */
void ending_of(rd_kafka_t *kafka, const char *purpose);

#endif
