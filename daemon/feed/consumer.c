/*
 * consumer.c -- a consumer's life: it can be thrown away at any time, for every offset is ours.
 *
 * That is done when librdkafka declares itself broken, and when it is silent although the log goes on (it has been seen to fall asleep after
 * a broker's restart).
 */
#include "freshet/log.h"
#include "tap.h"

enum { REBUILD_PAUSE_MS = 1000 };

struct ending *tap_let_go(struct tap *tap)
{
    struct ending *ending;

    if (!tap->consumer)
        return NULL;
    assignment_attach(&tap->assignment, NULL);
    ending = ending_begin(tap->consumer, tap->client.purpose);
    tap->consumer = NULL;
    return ending;
}

void tap_attach(struct tap *tap)
{
    tap->broken = false;
    tap->client.disconnected = false; /* all is compared anyway */
    tap->heard_ns = fr_mono_ns();
    assignment_attach(&tap->assignment, tap->consumer);
}

bool tap_rebuild(struct tap *tap, uint64_t now_ns)
{
    struct ending *ending;
    struct fr_err err;

    if (now_ns < tap->rebuild_ns)
        return false;
    tap->rebuild_ns = now_ns + REBUILD_PAUSE_MS * 1000000ULL;
    ending = tap_let_go(tap);
    endings_wait(&ending, 1);
    if (settings_consumer(&tap->consumer, &tap->options, &tap->client, &err)) {
        fr_log(FR_ERROR, "feed", "consumer.failed", FR_NO_FIELDS, "%s; trying again", err.text);
        return false;
    }
    tap_attach(tap);
    return true;
}

/* Where words come slowly, one that is not there yet is no sleep: the next is given twice as long as the last took. Halved at most, for
 * two may come together. */
static void hear(struct tap *tap)
{
    uint64_t now_ns = fr_mono_ns(), enough_ms = (now_ns - tap->heard_ns) / 1000000 * 2;

    if (enough_ms < (uint64_t)tap->options.silence)
        enough_ms = (uint64_t)tap->options.silence;
    if (enough_ms < tap->silence_ms)
        tap->silence_ms = enough_ms > tap->silence_ms / 2 ? enough_ms : tap->silence_ms / 2;
    tap->heard = false;
    tap->heard_ns = now_ns;
    client_reached(&tap->client);
}

static void throw_away(struct tap *tap)
{
    fr_count(tap->rebuilt_silent, 1);
    tap->rebuild_ns = 0;
    tap->broken = true;
}

/* Silent for long: is there really nothing? Each time that a new consumer hears no more than the old one, the next is
 * asked for later. */
static void watch_silence(struct tap *tap, uint64_t now_ns)
{
    if (tap->heard)
        hear(tap);
    /* One that was made in this round is younger than the round: it has its time, too. */
    if (now_ns < tap->heard_ns || now_ns - tap->heard_ns < tap->silence_ms * 1000000ULL)
        return;
    tap->heard_ns = now_ns;
    if (!assignment_behind(&tap->assignment))
        return;
    fr_log(FR_WARN, "feed", "consumer.silent", FR_FIELDS(FR_TEXT("topic", tap->options.topic)),
           "the log goes on but nothing came for %g s; making a new consumer", tap->silence_ms / 1000.0);
    throw_away(tap);
    if (tap->silence_ms < SILENCE_MAX_MS)
        tap->silence_ms = tap->silence_ms * 2 < SILENCE_MAX_MS ? tap->silence_ms * 2 : SILENCE_MAX_MS;
}

void tap_listen(struct tap *tap, uint64_t now_ns)
{
    size_t number;

    quiet_heard(&tap->assignment, now_ns);
    watch_silence(tap, now_ns);
    if (tap->broken || !tap->drained || !quiet_asleep(&tap->assignment, now_ns, &number))
        return;
    fr_log(FR_WARN, "feed", "consumer.silent", FR_FIELDS(FR_TEXT("topic", tap->options.topic), FR_INT("partition", number)),
           "partition %zu goes on but nothing of it came, as of others; making a new consumer", number);
    throw_away(tap);
}
