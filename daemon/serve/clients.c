/*
 * clients.c -- a bucket and a count for each client, in a table of a fixed size.
 */
#include "clients.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "freshet/alloc.h"

enum { SETS = 1024, PLACES = 16 };

struct client {
    uint64_t hash; /* 128 bits of it, in place of the name */
    uint64_t more;
    uint64_t at_ns; /* when `tokens` was counted; 0: nobody is here */
    double tokens;
    uint32_t inflight, waiting;
    uint32_t set;
};

struct clients {
    struct clients_options options;
    double burst;
    struct set {
        pthread_mutex_t lock;
        struct client client[PLACES];
    } set[SETS];
};

struct clients *clients_new(const struct clients_options *options)
{
    struct clients *clients;

    if (options->rate <= 0 && !options->inflight)
        return NULL;
    clients = fr_zalloc(1, sizeof *clients);
    clients->options = *options;
    clients->burst = options->burst ? options->burst : options->rate < 1 ? 1 : options->rate;
    for (uint32_t s = 0; s < SETS; s++) {
        pthread_mutex_init(&clients->set[s].lock, NULL);
        for (int i = 0; i < PLACES; i++)
            clients->set[s].client[i].set = s;
    }
    return clients;
}

void clients_free(struct clients *clients)
{
    if (!clients)
        return;
    for (uint32_t s = 0; s < SETS; s++)
        pthread_mutex_destroy(&clients->set[s].lock);
    free(clients);
}

/* What is in the bucket by now. */
static double tokens_at(const struct clients *clients, const struct client *client, uint64_t now_ns)
{
    double passed = now_ns > client->at_ns ? (double)(now_ns - client->at_ns) * 1e-9 : 0; /* lanes look at their clocks apart */
    double tokens = client->tokens + passed * clients->options.rate;

    return tokens < clients->burst ? tokens : clients->burst;
}

static bool is_full(const struct clients *clients, const struct client *client, uint64_t now_ns)
{
    return clients->options.rate <= 0 || tokens_at(clients, client, now_ns) >= clients->burst;
}

static bool is_its(const struct client *client, XXH128_hash_t hash)
{
    return client->at_ns && client->hash == hash.low64 && client->more == hash.high64;
}

/* The client's place: its own, or one that was made free for it. NULL: all have calls in flight. */
static struct client *place_of(const struct clients *clients, struct set *set, XXH128_hash_t hash, uint64_t now_ns)
{
    struct client *best = NULL;
    bool best_full = false;

    for (int i = 0; i < PLACES; i++) {
        struct client *client = &set->client[i];
        if (is_its(client, hash))
            return client;
        if (client->inflight || client->waiting)
            continue;
        bool full = !client->at_ns || is_full(clients, client, now_ns);
        if (!best || full > best_full || (full == best_full && client->at_ns < best->at_ns)) {
            best = client;
            best_full = full;
        }
    }
    if (best)
        *best = (struct client){.hash = hash.low64, .more = hash.high64, .at_ns = now_ns, .tokens = clients->burst, .set = best->set};
    return best;
}

static enum rejection take(const struct clients *clients, struct client *client, uint64_t now_ns)
{
    if (!client)
        return REJECTED_CLIENTS;
    if (clients->options.inflight && client->inflight >= clients->options.inflight)
        return REJECTED_CLIENT_INFLIGHT;
    if (clients->options.rate > 0) {
        client->tokens = tokens_at(clients, client, now_ns);
        client->at_ns = now_ns > client->at_ns ? now_ns : client->at_ns;
        if (client->tokens < 1)
            return REJECTED_CLIENT_RATE;
        client->tokens -= 1;
    }
    client->inflight++;
    return NOT_REJECTED;
}

static XXH128_hash_t hash_of(const struct clients *clients, struct fr_bytes name)
{
    return XXH3_128bits_withSeed(name.at, name.len, clients->options.seed);
}

enum rejection clients_enter(struct clients *clients, struct fr_bytes name, uint64_t now_ns, struct client **ret_client)
{
    XXH128_hash_t hash = hash_of(clients, name);
    struct set *set = &clients->set[hash.low64 % SETS];
    struct client *client;
    enum rejection rejection;

    pthread_mutex_lock(&set->lock);
    client = place_of(clients, set, hash, now_ns);
    rejection = take(clients, client, now_ns);
    pthread_mutex_unlock(&set->lock);
    if (rejection == NOT_REJECTED)
        *ret_client = client;
    return rejection;
}

void clients_leave(struct clients *clients, struct client *client)
{
    struct set *set = &clients->set[client->set];

    pthread_mutex_lock(&set->lock);
    assert(client->inflight > 0);
    client->inflight--;
    pthread_mutex_unlock(&set->lock);
}

struct client *clients_wait(struct clients *clients, struct fr_bytes name, uint32_t most)
{
    XXH128_hash_t hash = hash_of(clients, name);
    struct set *set = &clients->set[hash.low64 % SETS];
    struct client *found = NULL;

    pthread_mutex_lock(&set->lock);
    for (int i = 0; i < PLACES && !found; i++)
        if (is_its(&set->client[i], hash))
            found = &set->client[i];
    if (found && found->waiting < clients->options.inflight && found->waiting < most)
        found->waiting++;
    else
        found = NULL;
    pthread_mutex_unlock(&set->lock);
    return found;
}

void clients_wait_over(struct clients *clients, struct client *client)
{
    struct set *set = &clients->set[client->set];

    pthread_mutex_lock(&set->lock);
    assert(client->waiting > 0);
    client->waiting--;
    pthread_mutex_unlock(&set->lock);
}
