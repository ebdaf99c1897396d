/*
 * exemplar.c -- one observation of each bucket, with what it was of: a trace, a record of Kafka.
 *
 *     slot    version 4 | labels, value, time        a writer makes the version odd, writes, makes it even again
 *             version 5 | being written              a second writer goes its way: any recent one will do
 *             version 6 | labels, value, time        a reader that saw the version move reads again, a few times
 *
 * Nobody waits for anybody, and there is room for one exemplar a bucket, whatever is observed. The words are atomics: stored
 * with release after the odd version, loaded with acquire before the version is looked at again, so who has seen a word of a
 * later writer sees that the version has moved.
 *
 * Thread: any.
 */
#include "metric_private.h"

#include <string.h>

enum { ATTEMPTS = 4 };

_Static_assert(sizeof(struct exemplar) % sizeof(uint64_t) == 0, "an exemplar is whole words");

void exemplar_put(struct exemplar_slot *slot, const struct exemplar *exemplar)
{
    uint64_t words[EXEMPLAR_WORDS];
    uint64_t version = atomic_load_explicit(&slot->version, memory_order_relaxed);

    if (version % 2 || !atomic_compare_exchange_strong_explicit(&slot->version, &version, version + 1, memory_order_acq_rel,
                                                                memory_order_relaxed))
        return;
    memcpy(words, exemplar, sizeof(words));
    for (int i = 0; i < EXEMPLAR_WORDS; i++)
        atomic_store_explicit(&slot->word[i], words[i], memory_order_release);
    atomic_store_explicit(&slot->version, version + 2, memory_order_release);
}

bool exemplar_get(struct exemplar_slot *slot, struct exemplar *ret_exemplar)
{
    uint64_t words[EXEMPLAR_WORDS];

    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint64_t version = atomic_load_explicit(&slot->version, memory_order_acquire);
        if (!version)
            return false;
        for (int i = 0; i < EXEMPLAR_WORDS; i++)
            words[i] = atomic_load_explicit(&slot->word[i], memory_order_acquire);
        if (version % 2 == 0 && atomic_load_explicit(&slot->version, memory_order_acquire) == version) {
            memcpy(ret_exemplar, words, sizeof(words));
            return true;
        }
    }
    return false;
}
