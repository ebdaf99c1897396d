/*
 * learner_checks.h -- what is asked of every factor model in the same way: of each width of vector, and by askers beside the learner.
 * For after event_driver.h and cmocka.
 */
#ifndef FR_TEST_LEARNER_CHECKS_H
#define FR_TEST_LEARNER_CHECKS_H

#include <math.h>
#include <pthread.h>

#include "event_driver.h"
#include "kernels_vector.h"

/* ---- widths ---- */

static inline void assert_answers_near(struct driver *a, struct driver *b)
{
    for (uint32_t user = 0; user < USERS; user++) {
        struct query query = driver_query(a, user);
        driver_ask(a, &query);
        driver_ask(b, &query);
        for (uint32_t item = 0; item < ITEMS; item++) {
            double one = a->scores.value[item], other = b->scores.value[item];
            assert_int_equal(scores_untouched(one), scores_untouched(other));
            assert_true(fabs(one - other) < 1e-3);
        }
    }
}

/* The widths round differently, and a stream amplifies it; a few hundred events keep them together. `make`: a driver whose model has
 * these kernels (vector_kernels_at(0): the plain ones). */
static inline void assert_widths_learn_the_same(struct driver *(*make)(const struct vector_kernels *kernels))
{
    struct driver *plain = make(vector_kernels_at(0));

    driver_events(plain, 0, 500);
    driver_publish(plain);
    for (size_t which = 1; vector_kernels_at(which); which++) {
        struct driver *wide = make(vector_kernels_at(which));
        driver_events(wide, 0, 500);
        driver_publish(wide);
        assert_answers_near(plain, wide);
        driver_free(wide);
    }
    driver_free(plain);
}

/* ---- askers ---- */

struct asking {
    struct driver *driver;
    uint32_t (*ask)(const struct driver *driver, struct scores *scores); /* how many numbers were wrong */
    _Atomic bool stop;
    _Atomic uint32_t asked, wrong;
};

static inline uint32_t numbers_not_finite(const struct scores *scores)
{
    uint32_t wrong = 0;

    for (uint32_t item = 0; item < ITEMS; item++)
        wrong += !isfinite(scores->value[item]);
    return wrong;
}

static inline void *keep_asking(void *arg)
{
    struct asking *asking = arg;
    struct fr_epoch_reader *reader = fr_epoch_join(asking->driver->epoch);
    struct scores scores;

    scores_init(&scores);
    while (!atomic_load(&asking->stop)) {
        fr_epoch_enter(reader);
        atomic_fetch_add(&asking->wrong, asking->ask(asking->driver, &scores));
        fr_epoch_leave(reader);
        atomic_fetch_add(&asking->asked, 1);
    }
    scores_release(&scores);
    fr_epoch_part(reader);
    return NULL;
}

/* Two threads ask while 5,000 events, or more until 200 questions were answered, are learned and shown. Frees the driver. */
static inline void assert_asked_beside_the_learner(struct driver *driver,
                                                   uint32_t (*ask)(const struct driver *driver, struct scores *scores))
{
    struct asking asking = {.driver = driver, .ask = ask};
    pthread_t askers[2];

    driver_publish(driver);
    for (int k = 0; k < 2; k++)
        assert_int_equal(pthread_create(&askers[k], NULL, keep_asking, &asking), 0);
    for (uint64_t number = 0; number < 5000 || atomic_load(&asking.asked) < 200; number++) {
        driver_event_at(driver, number);
        if (number % 50 == 0)
            driver_publish(driver);
    }
    atomic_store(&asking.stop, true);
    for (int k = 0; k < 2; k++)
        pthread_join(askers[k], NULL);
    assert_int_equal(asking.wrong, 0);
    driver_free(driver);
}

#endif
