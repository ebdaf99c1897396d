/*
 * lows.c -- the oldest offset Kafka still holds of each partition: what a backup must not be older than.
 *
 * Asked now and then, all partitions in one call. An answer that does not come leaves what was known; it matters for an alert,
 * not for reading.
 */
#include "assign.h"

enum { LOWS_EVERY_MS = 5000, LOWS_TIMEOUT_MS = 1000 };

void assignment_lows(struct assignment *assignment, uint64_t now_ns)
{
    rd_kafka_topic_partition_list_t *list;

    if (!assignment->consumer || assignment->stale || now_ns < assignment->lows_ns)
        return;
    assignment->lows_ns = now_ns + LOWS_EVERY_MS * 1000000ULL;
    list = rd_kafka_topic_partition_list_new((int)assignment->len + 1);
    for (size_t i = 0; i < assignment->len; i++)
        rd_kafka_topic_partition_list_add(list, assignment->options->topic, (int32_t)i)->offset =
            RD_KAFKA_OFFSET_BEGINNING;
    if (list->cnt && !rd_kafka_offsets_for_times(assignment->consumer, list, LOWS_TIMEOUT_MS)) {
        for (int i = 0; i < list->cnt; i++)
            if (!list->elems[i].err && list->elems[i].offset >= 0)
                engine_partition_low(assignment->engine, assignment->partitions[list->elems[i].partition].index,
                                     list->elems[i].offset);
    }
    rd_kafka_topic_partition_list_destroy(list);
}
