/*
 * resets.c -- a halted partition is read on from where an operator says, and what that leaves out is never left out in silence.
 *
 *     the same log     applied ....[next          to)....            a hole from `next` to `to`; nothing is read twice
 *     another log      ............[low    to)....                   begins anew at `low`; a hole from there to `to`
 *     it was cut       ....high    next                              to = high: what is written from there on is new; no hole
 *     never read       next = -1   [low    to)....                   begins at `low`; a hole from there to `to`
 *
 * Behind `next` nothing is read unless the operator says that it is another log, and that only where we know no better.
 */
#include "resets.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/blackbox.h"
#include "freshet/log.h"

struct resets {
    const struct feed_options *options;
    _Atomic bool waits; /* one is asked and not taken: looked at each round, without the lock */
    pthread_mutex_t lock;
    /* under lock */
    enum { RESET_NONE, RESET_ASKED, RESET_TAKEN, RESET_OVER } stage;
    uint64_t ticket;
    const char *topic; /* of the options */
    struct reset reset;
    struct reset_outcome outcome;
    int status;
    struct fr_err err;
};

/* ---- from outside, to the thread, and back ---------------------------------------------------------------------- */

struct resets *resets_new(const struct feed_options *options)
{
    struct resets *resets = fr_zalloc(1, sizeof(*resets));

    resets->options = options;
    pthread_mutex_init(&resets->lock, NULL);
    return resets;
}

void resets_free(struct resets *resets)
{
    if (!resets)
        return;
    pthread_mutex_destroy(&resets->lock);
    free(resets);
}

/* NULL: it is none of those read. */
static const char *topic_read(const struct feed_options *options, struct fr_bytes name)
{
    const char *const topics[] = {options->topic, options->items_topic, options->users_topic};

    if (!name.len)
        return options->topic;
    for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++)
        if (topics[i] && fr_bytes_equal(fr_bytes_of(topics[i]), name))
            return topics[i];
    return NULL;
}

int resets_ask(struct resets *resets, const struct reset *reset, uint64_t *ret_ticket, struct fr_err *err)
{
    const char *topic = topic_read(resets->options, reset->topic);
    int status = FR_OK;

    if (!topic)
        return fr_fail(err, FR_NOT_FOUND, "topic '%.*s' is not read",
                       (int)(reset->topic.len < TOPIC_BYTES_MAX ? reset->topic.len : TOPIC_BYTES_MAX), reset->topic.at);
    pthread_mutex_lock(&resets->lock);
    if (resets->stage == RESET_ASKED || resets->stage == RESET_TAKEN) {
        status = fr_fail(err, FR_LIMIT, "another partition is being reset; try again");
    } else {
        resets->stage = RESET_ASKED;
        resets->topic = topic;
        resets->reset = *reset;
        resets->reset.topic = fr_bytes_of(topic);
        *ret_ticket = ++resets->ticket;
        atomic_store(&resets->waits, true);
    }
    pthread_mutex_unlock(&resets->lock);
    return status;
}

bool resets_done(struct resets *resets, uint64_t ticket, struct reset_outcome *ret, int *ret_status, struct fr_err *ret_err)
{
    bool done = true;

    pthread_mutex_lock(&resets->lock);
    if (resets->ticket != ticket) { /* its place was needed */
        *ret_status = fr_fail(ret_err, FR_TIMEOUT, "the partition was reset or not, and nobody looked in time; look where it stands");
    } else if ((done = resets->stage == RESET_OVER)) {
        *ret = resets->outcome;
        *ret_status = resets->status;
        *ret_err = resets->err;
    }
    pthread_mutex_unlock(&resets->lock);
    return done;
}

/* ---- may it be, and what follows? Thread: the topic's ------------------------------------------------------------ */

/* Does it stand where it may be told to go on? */
static int check_place(const struct assignment *assignment, const struct assigned *assigned, const struct reset *reset,
                       struct fr_err *err)
{
    const char *state = partition_state_name(assigned->state);

    if (assigned_is_read(assigned))
        return fr_fail(err, FR_CONFIG, "partition %d is not halted (%s): there is nothing to reset", reset->partition, state);
    if (assignment->foreign) /* whatever it was halted for before */
        return fr_fail(err, FR_CONFIG,
                       "partition %d is %s, and the brokers belong to another cluster, where its offsets mean nothing; mend "
                       "bootstrap.servers, or set feed.cluster = any, or learn anew with freshetd --rebuild",
                       reset->partition, state);
    if (reset->applied != assigned->next)
        return fr_fail(err, FR_CONFIG, "partition %d stands at %lld, not at %lld: look again before you reset it", reset->partition,
                       (long long)assigned->next, (long long)reset->applied);
    if (engine_held(assignment->engine))
        return fr_fail(err, FR_CONFIG, "ingest is held, and nothing is read anywhere: resume it first");
    return FR_OK;
}

/* The log holds [low, high): may reading go on at `to`? */
static int check_target(const struct assigned *assigned, const struct reset *reset, int64_t low, int64_t high, int64_t to,
                        struct fr_err *err)
{
    bool maybe_other = assigned->state == PARTITION_HALTED_TRUNCATED || assigned->state == PARTITION_HALTED_OTHER_LOG;

    if (to < low || to > high)
        return fr_fail(err, FR_CONFIG, "partition %d has the offsets from %lld to before %lld: %lld is not among them, nor their end",
                       reset->partition, (long long)low, (long long)high, (long long)to);
    if (reset->new_log && !maybe_other)
        return fr_fail(err, FR_CONFIG, "partition %d is %s: it is the log that was learned, not a new one", reset->partition,
                       partition_state_name(assigned->state));
    if (!reset->new_log && to < assigned->next && to < high)
        return fr_fail(err, FR_CONFIG,
                       "offsets from %lld to before %lld were applied, and what is there now may be the same records, which would count "
                       "twice: go on at the end; or, if the topic was made anew, say that it is a new log; or learn all of it anew with "
                       "freshetd --rebuild",
                       (long long)to, (long long)assigned->next);
    return FR_OK;
}

static void go_on(struct assignment *assignment, struct assigned *assigned, const struct reset *reset, int64_t low, int64_t to,
                  struct reset_outcome *ret)
{
    bool other = reset->new_log || to < assigned->next || assigned->state == PARTITION_HALTED_OTHER_LOG;
    bool first = assigned->next < 0; /* nothing of it was ever read: it begins at `low`, and what is left out is a hole none the less */
    int64_t from = reset->new_log || first ? low : to < assigned->next ? to : assigned->next;

    ret->other_log = other;
    ret->skipped = to - from;
    assigned->anew = other || first ? from : -1;
    assigned->hole = to > from;
    assigned->tell = assigned->anew >= 0 || assigned->hole;
    assigned->next = to;
    if (other) {
        assigned->last = -1;
        fr_box_passed(assigned->index, INT64_MAX); /* what is at an offset that crashed is another record now */
    }
    assigned->check = assigned->lost = false;
    free(assigned->breaker); /* as a restart, it begins a new window */
    assigned->breaker = NULL;
    assigned->state = PARTITION_WAITING;
    assigned->touched = true;
    assignment->stale = true;
    assignment->look_ns = 0;
}

int assignment_reset(struct assignment *assignment, const struct reset *reset, struct reset_outcome *ret, struct fr_err *err)
{
    struct bounds bounds = {.number = reset->partition};
    struct assigned *assigned;
    rd_kafka_resp_err_t code;
    int64_t to;

    if (reset->partition < 0 || (size_t)reset->partition >= assignment->len)
        return fr_fail(err, FR_NOT_FOUND, "there is no partition %d of topic '%s'", reset->partition, assignment->options->topic);
    assigned = &assignment->partitions[reset->partition];
    if (check_place(assignment, assigned, reset, err))
        return err->code;
    code = assignment_bounds(assignment, &bounds, 1);
    if (code || bounds.err)
        return fr_fail(err, FR_IO, "Kafka does not say what partition %d holds: %s", reset->partition,
                       rd_kafka_err2str(code ? code : bounds.err));
    to = reset->to == RESET_TO_EARLIEST ? bounds.low : reset->to == RESET_TO_END ? bounds.high : reset->offset;
    if (check_target(assigned, reset, bounds.low, bounds.high, to, err))
        return err->code;
    *ret = (struct reset_outcome){.partition = reset->partition, .from = assigned->next, .to = to, .end = bounds.high};
    snprintf(ret->topic, sizeof(ret->topic), "%s", assignment->options->topic);
    assigned->end = bounds.high;
    if (assigned->last < bounds.low) /* the log cannot prove itself by it any more */
        assigned->last = -1;
    go_on(assignment, assigned, reset, bounds.low, to, ret);
    fr_log(FR_WARN, "feed", "partition.reset",
           FR_FIELDS(FR_TEXT("topic", ret->topic), FR_INT("partition", ret->partition), FR_INT("from", ret->from), FR_INT("to", to),
                     FR_INT("skipped", ret->skipped)),
           "an operator has the partition read on at %lld, where it was halted at %lld%s; %lld offsets are not read", (long long)to,
           (long long)ret->from, ret->other_log ? ", as another log" : "", (long long)ret->skipped);
    return FR_OK;
}

/* ---- between the two --------------------------------------------------------------------------------------------- */

static bool take(struct resets *resets, const char *topic, struct reset *ret)
{
    bool taken;

    if (!atomic_load_explicit(&resets->waits, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&resets->lock);
    taken = resets->stage == RESET_ASKED && strcmp(resets->topic, topic) == 0;
    if (taken) {
        resets->stage = RESET_TAKEN;
        *ret = resets->reset;
        atomic_store(&resets->waits, false);
    }
    pthread_mutex_unlock(&resets->lock);
    return taken;
}

static void end(struct resets *resets, int status, const struct reset_outcome *outcome, const struct fr_err *err)
{
    pthread_mutex_lock(&resets->lock);
    resets->stage = RESET_OVER;
    resets->status = status;
    if (status)
        resets->err = *err;
    else
        resets->outcome = *outcome;
    pthread_mutex_unlock(&resets->lock);
}

/* Not before the consumer has what stands: what it still gives of before is dropped by that. Where Kafka knows of nothing to be read, there is
 * nothing to wait for: others would find the place taken for ever. */
static bool may_take(const struct assignment *assignment)
{
    return !assignment->resetting && (!assignment->stale || (assignment->answered && !assignment->len));
}

void resets_look(struct resets *resets, struct assignment *assignment)
{
    struct reset reset;
    struct fr_err err;
    int status;

    if (!may_take(assignment) || !take(resets, assignment->options->topic, &reset))
        return;
    status = assignment_reset(assignment, &reset, &assignment->outcome, &err);
    if (status)
        end(resets, status, NULL, &err);
    assignment->resetting = !status;
}

void resets_given(struct resets *resets, struct assignment *assignment)
{
    if (!assignment->resetting || assignment->partitions[assignment->outcome.partition].tell)
        return;
    assignment->resetting = false;
    end(resets, FR_OK, &assignment->outcome, NULL);
}
