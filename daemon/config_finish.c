/*
 * config_finish.c -- what concerns several keys: the defaults of parity, the types of events, [kafka], the shape of the
 * state; and then the options struct of each module.
 *
 * Shape. A key shapes the state when a number already stored would mean something else under another value of it: how
 * long a half-life is, how far apart two items were paired, how wide a dedup bucket is. Keys that only decide which
 * records come in from now on (feed.max_future_ms, engine.users_max ...), or how a question is answered (sar.similarity
 * ...), do not: they may change from one start to the next. The shape is one "key=value" line for each key of the first
 * kind and for each weight, sorted bytewise. Keys of a model that does not run are left out: it stores nothing, and a
 * store that recorded them could not be given the model with other values later. What a model that ran has stored, the
 * store itself remembers the shape of (engine/recover.c).
 */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "freshet/alloc.h"

/* ---- feed.start ------------------------------------------------------------------------------------------------ */

static int digits(const char **at, int count)
{
    int value = 0;

    for (int i = 0; i < count; i++, ++*at) {
        if (**at < '0' || **at > '9')
            return -1;
        value = value * 10 + (**at - '0');
    }
    return value;
}

/* Exactly "YYYY-MM-DD" at *at. */
static bool read_date(const char **at, struct tm *tm)
{
    int year = digits(at, 4), month, day;

    if (year < 0 || *(*at)++ != '-' || (month = digits(at, 2)) < 1 || month > 12)
        return false;
    if (*(*at)++ != '-' || (day = digits(at, 2)) < 1)
        return false;
    *tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    timegm(tm); /* turns the 31st of June into another day */
    return tm->tm_mday == day;
}

/* "HH:MM:SS", then maybe ".mmm", then "Z" or "+HH:MM". */
static bool read_clock(const char **at, struct tm *tm, int64_t *ret_ms)
{
    int sign, hours, minutes, scale = 100;

    *ret_ms = 0;
    if ((tm->tm_hour = digits(at, 2)) < 0 || tm->tm_hour > 23 || *(*at)++ != ':')
        return false;
    if ((tm->tm_min = digits(at, 2)) < 0 || tm->tm_min > 59 || *(*at)++ != ':')
        return false;
    if ((tm->tm_sec = digits(at, 2)) < 0 || tm->tm_sec > 59)
        return false;
    if (**at == '.')
        for (++*at; **at >= '0' && **at <= '9'; ++*at, scale /= 10)
            *ret_ms += (**at - '0') * scale;
    if (**at == 'Z' || **at == 'z')
        return *++*at == 0;
    if (**at != '+' && **at != '-')
        return false;
    sign = *(*at)++ == '+' ? -1 : 1;
    if ((hours = digits(at, 2)) < 0 || hours > 23 || *(*at)++ != ':' || (minutes = digits(at, 2)) < 0 || minutes > 59)
        return false;
    *ret_ms += sign * (hours * 60 + minutes) * 60000LL;
    return **at == 0;
}

bool config_start(const char *text, enum feed_start *ret_start, when_ms *ret_time)
{
    bool unix_ms = *text && !text[strspn(text, "0123456789")] && strlen(text) <= 14;
    int64_t ms = 0;
    struct tm tm;

    *ret_time = 0;
    *ret_start = strcmp(text, "earliest") == 0 ? FEED_EARLIEST : strcmp(text, "latest") == 0 ? FEED_LATEST : FEED_TIME;
    if (*ret_start != FEED_TIME)
        return true;
    if (unix_ms) {
        *ret_time = strtoll(text, NULL, 10);
    } else {
        if (!read_date(&text, &tm))
            return false;
        if (*text && ((*text != 'T' && *text != 't' && *text != ' ') || (text++, !read_clock(&text, &tm, &ms))))
            return false;
        *ret_time = (when_ms)timegm(&tm) * 1000 + ms;
    }
    return *ret_time >= 0 && *ret_time <= EVENT_WHEN_MAX;
}

/* ---- what concerns several keys -------------------------------------------------------------------------------- */

/* A default that hangs on other keys. */
static void put_default(struct config *cfg, enum config_id id, const char *value)
{
    config_put(cfg, config_keys[id].section, config_keys[id].name, value, "default");
    free(cfg->origin[id]);
    cfg->origin[id] = NULL;
}

static void apply_parity(struct config *cfg)
{
    for (int id = 0; id < CONFIG_KEYS; id++) {
        const char *standard = config_parity(id);

        if (!standard || cfg->origin[id])
            continue;
        put_default(cfg, (enum config_id)id, standard);
        cfg->parity_default[id] = true;
    }
}

static void mark_use_value(struct config *cfg)
{
    const char *at = cfg->weights.use_value;
    const char *origin = cfg->origin[CONFIG_weights_use_value];

    for (;;) {
        size_t len, i = 0;

        at += strspn(at, ", ");
        len = strcspn(at, ", ");
        if (len == 0)
            break;
        while (i < cfg->types_len && (strlen(cfg->types[i].type) != len || memcmp(cfg->types[i].type, at, len) != 0))
            i++;
        if (i < cfg->types_len)
            cfg->types[i].use_value = true;
        else
            config_problem(cfg,
                           "%s: weights.use_value names the type '%.*s', which has no weight; say weights.%.*s = 1",
                           origin ? origin : "default", (int)len, at, (int)len, at);
        at += len;
    }
    for (size_t i = 0; i < cfg->types_len; i++)
        cfg->type_names[i] = cfg->types[i].type;
    cfg->type_names[cfg->types_len] = "other";
}

/* Vectors of the factor models are whole registers. */
static void check_sixteens(struct config *cfg)
{
    const struct {
        const char *name;
        enum config_id id;
        int64_t value;
    } keys[] = {
        {"fm.dimensions", CONFIG_fm_dimensions, cfg->fm.dimensions}, {"ncf.gmf", CONFIG_ncf_gmf, cfg->ncf.gmf},
        {"ncf.mlp", CONFIG_ncf_mlp, cfg->ncf.mlp},                   {"ncf.layer1", CONFIG_ncf_layer1, cfg->ncf.layer1},
        {"ncf.layer2", CONFIG_ncf_layer2, cfg->ncf.layer2},          {"ncf.layer3", CONFIG_ncf_layer3, cfg->ncf.layer3},
    };

    for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++)
        if (keys[k].value % 16)
            config_problem(cfg, "%s: %s = %lld is not a multiple of 16", cfg->origin[keys[k].id], keys[k].name,
                           (long long)keys[k].value);
}

/* What one key of a listener's is worth nothing without. */
static void check_needs(struct config *cfg, enum config_id id, const char *value, const char *needs_key, const char *needs)
{
    if (*value && !*needs)
        config_problem(cfg, "%s: %s.%s = %s needs %s too", cfg->origin[id], config_keys[id].section, config_keys[id].name, value,
                       needs_key);
}

static void check_security(struct config *cfg)
{
    check_needs(cfg, CONFIG_serve_tls_cert, cfg->serve.tls_cert, "serve.tls_key", cfg->serve.tls_key);
    check_needs(cfg, CONFIG_serve_tls_key, cfg->serve.tls_key, "serve.tls_cert", cfg->serve.tls_cert);
    check_needs(cfg, CONFIG_serve_tls_client_ca, cfg->serve.tls_client_ca, "serve.tls_cert", cfg->serve.tls_cert);
    check_needs(cfg, CONFIG_admin_tls_cert, cfg->admin.tls_cert, "admin.tls_key", cfg->admin.tls_key);
    check_needs(cfg, CONFIG_admin_tls_key, cfg->admin.tls_key, "admin.tls_cert", cfg->admin.tls_cert);
    check_needs(cfg, CONFIG_admin_tls_client_ca, cfg->admin.tls_client_ca, "admin.tls_cert or serve.tls_cert",
                *cfg->admin.tls_cert ? cfg->admin.tls_cert : cfg->serve.tls_cert);
    check_needs(cfg, CONFIG_admin_http_auth, cfg->admin.http_auth ? "yes" : "", "serve.tokens_file", cfg->serve.tokens_file);
}

/* What one topic carries no other may. */
static void check_topics(struct config *cfg)
{
    const struct {
        const char *key, *topic;
    } topics[] = {{"feed.topic", cfg->feed.topic},
                  {"feed.items_topic", cfg->feed.items_topic},
                  {"feed.users_topic", cfg->feed.users_topic},
                  {"feed.dead_letter_topic", cfg->feed.dead_letter_topic}};

    for (size_t a = 0; a < sizeof(topics) / sizeof(*topics); a++)
        for (size_t b = a + 1; b < sizeof(topics) / sizeof(*topics); b++)
            if (*topics[a].topic && strcmp(topics[a].topic, topics[b].topic) == 0)
                config_problem(cfg, b == 3 ? "%s and %s are both '%s'; a dead letter would be read again" : "%s and %s are both '%s'",
                               topics[a].key, topics[b].key, topics[a].topic);
}

static void check_together(struct config *cfg)
{
    enum { SAR_PRODUCT };

    if (cfg->sar.normalize && cfg->sar.mode == SAR_PRODUCT)
        config_problem(cfg, "%s: sar.normalize = yes needs sar.mode = parity", cfg->origin[CONFIG_sar_normalize]);
    if (cfg->sar.half_life_days > 0 && llround(cfg->sar.half_life_days * 86400000) < 1)
        config_problem(cfg, "%s: sar.half_life_days is less than a millisecond; 0 means no decay",
                       cfg->origin[CONFIG_sar_half_life_days]);
    check_sixteens(cfg);
    check_security(cfg);
    if (cfg->recommend.k > cfg->limits.max_k)
        config_problem(cfg, "recommend.k = %lld is more than limits.max_k = %lld", (long long)cfg->recommend.k,
                       (long long)cfg->limits.max_k);
    if (cfg->limits.memory_hard && cfg->limits.memory_soft > cfg->limits.memory_hard)
        config_problem(cfg, "limits.memory_soft = %lld is more than limits.memory_hard = %lld",
                       (long long)cfg->limits.memory_soft, (long long)cfg->limits.memory_hard);
    check_topics(cfg);
}

static bool runs(const struct config *cfg, const char *name, size_t len)
{
    for (size_t i = 0; i < cfg->models_len; i++)
        if (strlen(cfg->models[i]) == len && memcmp(cfg->models[i], name, len) == 0)
            return true;
    return false;
}

/* Is it one of the words of `list`? */
static bool has_word(const char *list, const char *word, size_t len)
{
    for (const char *at = list; *at; at += strspn(at, " ")) {
        size_t known = strcspn(at, " ");
        if (known == len && memcmp(at, word, len) == 0)
            return true;
        at += known;
    }
    return false;
}

/* recommend.models into cfg->models, sar first. */
static void take_models(struct config *cfg, const char *known)
{
    const char *origin = cfg->origin[CONFIG_recommend_models] ? cfg->origin[CONFIG_recommend_models] : "default";
    const char *at = cfg->recommend.models;

    cfg->models[cfg->models_len++] = fr_strdup("sar");
    for (size_t len;; at += len) {
        at += strspn(at, ", ");
        len = strcspn(at, ", ");
        if (len == 0)
            break;
        if (runs(cfg, at, len))
            continue;
        if (known && !has_word(known, at, len))
            config_problem(cfg, "%s: recommend.models names '%.*s'; there are: %s", origin, (int)len, at, known);
        else if (cfg->models_len == ENGINE_MODELS_MAX)
            config_problem(cfg, "%s: recommend.models names more than %d", origin, ENGINE_MODELS_MAX);
        else
            cfg->models[cfg->models_len++] = fr_strndup(at, len);
    }
}

/* The blend answers unless told otherwise; where it does not run, SAR, which always does. */
static void take_default_model(struct config *cfg)
{
    if (!cfg->origin[CONFIG_recommend_default_model] && !runs(cfg, ENGINE_BLEND, strlen(ENGINE_BLEND)))
        put_default(cfg, CONFIG_recommend_default_model, "sar");
}

static void check_model(struct config *cfg)
{
    const char *name = cfg->recommend.default_model, *origin = cfg->origin[CONFIG_recommend_default_model];
    struct fr_writer names;

    if (runs(cfg, name, strlen(name)))
        return;
    fr_writer_init(&names, 0);
    for (size_t i = 0; i < cfg->models_len; i++)
        fr_put_text(&names, "%s%s", i ? " " : "", cfg->models[i]);
    fr_put_u8(&names, 0);
    config_problem(cfg, "%s: recommend.default_model = '%.80s' is not one of recommend.models: %s", origin ? origin : "default",
                   name, names.at);
    fr_writer_release(&names);
}

/* librdkafka has two names for it. */
static bool names_brokers(const char *kafka_key)
{
    return strcmp(kafka_key, "bootstrap.servers") == 0 || strcmp(kafka_key, "metadata.broker.list") == 0;
}

static void check_kafka(struct config *cfg, const struct config_host *host)
{
    const char *brokers = NULL;

    for (size_t i = 0; i < cfg->kafka_len; i++) {
        char room[400];
        const char *problem =
            host->kafka_problem ? host->kafka_problem(cfg->kafka_key[i], cfg->kafka_value[i], room, sizeof room) : NULL;

        if (problem)
            config_problem(cfg, "%s: kafka.%.80s%s %s", cfg->kafka_origin[i], cfg->kafka_key[i],
                           strncmp(problem, "is ", 3) == 0 ? "" : ":", problem);
        if (names_brokers(cfg->kafka_key[i]))
            brokers = cfg->kafka_origin[i];
    }
    if (host->own_broker && brokers)
        config_problem(cfg, "%s: kafka.bootstrap.servers cannot be set with --dev, which brings a broker of its own",
                       brokers);
    else if (!host->own_broker && !host->offline && !brokers)
        config_problem(cfg, "kafka.bootstrap.servers is not set; for a broker to try things with there is --dev");
}

/* ---- the shape ------------------------------------------------------------------------------------------------- */

enum { SHAPE_LINES_MAX = CONFIG_KEYS + CONFIG_TYPES_MAX };

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *take_line(struct fr_writer *line)
{
    char *text = fr_strndup(line->at, line->len);

    fr_writer_reset(line);
    return text;
}

/* use_value in the order of the alphabet: the order and the spaces somebody wrote it with change nothing. */
static void put_use_value(const struct config *cfg, struct fr_writer *line)
{
    const char *names[CONFIG_TYPES_MAX];
    size_t len = 0;

    for (size_t i = 0; i < cfg->types_len; i++)
        if (cfg->types[i].use_value)
            names[len++] = cfg->types[i].type;
    qsort(names, len, sizeof *names, by_text);
    for (size_t i = 0; i < len; i++)
        fr_put_text(line, "%s%s", i ? "," : "", names[i]);
}

/* Is it a model's section, and the model does not run? */
static bool of_a_model_that_rests(const struct config *cfg, const char *section, const char *known)
{
    size_t len = strlen(section);

    return known && has_word(known, section, len) && !runs(cfg, section, len);
}

static void write_shape(struct config *cfg, const char *known)
{
    char *lines[SHAPE_LINES_MAX];
    struct fr_writer line;
    size_t len = 0;

    fr_writer_init(&line, 0);
    for (int id = 0; id < CONFIG_KEYS; id++) {
        if (!(config_keys[id].flags & CONFIG_SHAPES) || of_a_model_that_rests(cfg, config_keys[id].section, known))
            continue;
        fr_put_text(&line, "%s.%s=", config_keys[id].section, config_keys[id].name);
        if (id == CONFIG_weights_use_value)
            put_use_value(cfg, &line);
        else
            config_value_text(cfg, id, &line);
        lines[len++] = take_line(&line);
    }
    for (size_t i = 0; i < cfg->types_len; i++) {
        fr_put_text(&line, "weights.%s=", cfg->types[i].type);
        config_real_text(cfg->types[i].weight, &line);
        lines[len++] = take_line(&line);
    }
    qsort(lines, len, sizeof *lines, by_text);
    for (size_t i = 0; i < len; i++) {
        fr_put_text(&cfg->shape, "%s\n", lines[i]);
        free(lines[i]);
    }
    fr_put_u8(&cfg->shape, 0);
    fr_writer_release(&line);
}

static void set_ncf(struct config *cfg)
{
    cfg->ncf_options = (struct ncf_options){
        .gmf = (uint32_t)cfg->ncf.gmf,
        .mlp = (uint32_t)cfg->ncf.mlp,
        .layers = {(uint32_t)cfg->ncf.layer1, (uint32_t)cfg->ncf.layer2, (uint32_t)cfg->ncf.layer3},
        .negatives = (uint32_t)cfg->ncf.negatives,
        .history = (uint32_t)cfg->ncf.history,
        .recency = cfg->ncf.recency,
        .eta = cfg->ncf.eta,
        .rho = cfg->ncf.rho,
        .g0 = .1, /* this, the next and Adam's constants: as ncf_defaults has them */
        .deviation = .1,
        .batch = (uint32_t)cfg->ncf.batch,
        .rate = cfg->ncf.rate,
        .beta1 = .9,
        .beta2 = .999,
        .epsilon = 1e-8,
        .candidates = (uint32_t)cfg->ncf.candidates,
        .seed = 1,
    };
}

/* What each model that runs beside SAR is opened with. */
static void set_models(struct config *cfg)
{
    const struct {
        const char *name;
        const void *options;
    } known[] = {{"trending", &cfg->trending_options}, {"fm", &cfg->fm_options},
                 {"ncf", &cfg->ncf_options}, {"ease", &cfg->ease_options}};

    cfg->trending_options.half_life = llround(cfg->trending.half_life_days * 86400000);
    cfg->fm_options = (struct fm_options){
        .dimensions = (uint32_t)cfg->fm.dimensions,
        .loss = (enum fm_loss)cfg->fm.loss,
        .negatives = (uint32_t)cfg->fm.negatives,
        .history = (uint32_t)cfg->fm.history,
        .recency = cfg->fm.recency,
        .eta = cfg->fm.eta,
        .rho = cfg->fm.rho,
        .g0 = .1, /* as fm_defaults has it; no key, since nothing was gained by others */
        .deviation = cfg->fm.deviation,
        .shrink = cfg->fm.shrink,
        .user_rows = cfg->fm.user_rows,
        .second_order = cfg->fm.second_order,
        .seed = 1,
        .features_max = (uint32_t)cfg->fm.features_max,
        .features_admit = (uint32_t)cfg->fm.features_admit,
        .features_ttl = cfg->fm.features_ttl_ms,
        .item_features = cfg->fm.item_features,
        .int8_above = (uint32_t)cfg->fm.int8_above,
        .candidates = (uint32_t)cfg->fm.candidates,
    };
    set_ncf(cfg);
    cfg->ease_options = (struct ease_options){
        .lambda = cfg->ease.lambda,
        .recency = cfg->ease.recency,
        .items_max = (uint32_t)cfg->ease.items_max,
        .refresh_percent = (uint32_t)cfg->ease.refresh_percent,
        .refresh_interval = cfg->ease.refresh_interval_ms,
    };
    for (size_t i = 1; i < cfg->models_len; i++) {
        cfg->beside[i - 1] = (struct engine_model){.name = cfg->models[i]};
        for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++)
            if (strcmp(known[k].name, cfg->models[i]) == 0)
                cfg->beside[i - 1].options = known[k].options;
    }
}

void config_finish(struct config *cfg, const struct config_host *host)
{
    enum { SAR_PARITY = 1 };

    if (cfg->sar.mode == SAR_PARITY)
        apply_parity(cfg);
    mark_use_value(cfg);
    check_together(cfg);
    take_models(cfg, host->models);
    take_default_model(cfg);
    check_model(cfg);
    check_kafka(cfg, host);
    set_models(cfg);
    write_shape(cfg, host->models);
}

/* ---- the options of each module -------------------------------------------------------------------------------- */

void config_engine_options(const struct config *cfg, struct engine_options *ret_options)
{
    *ret_options = (struct engine_options){
        .history_max = (uint32_t)cfg->engine.history_max,
        .users_max = (uint32_t)cfg->engine.users_max,
        .items_max = (uint32_t)cfg->engine.items_max,
        .categories_max = (uint32_t)cfg->limits.categories_max,
        .catalogue_mb_max = (uint32_t)cfg->limits.catalogue_mb,
        .require_catalogue = cfg->recommend.require_catalogue,
        .memory_soft = (uint64_t)cfg->limits.memory_soft,
        .memory_hard = (uint64_t)cfg->limits.memory_hard,
        .user_postings = cfg->engine.user_postings,
        .normalize = cfg->sar.normalize,
        .dedup_window = cfg->feed.dedup_window_ms,
        .dedup_max = (uint32_t)cfg->feed.dedup_max,
        .uncommitted_mb_max = (uint32_t)cfg->engine.uncommitted_mb,
        .outbox_mb_max = (uint32_t)cfg->engine.outbox_mb,
        .checkpoint_interval = cfg->store.checkpoint_interval_ms,
        .wal_sync_interval = cfg->store.wal_sync_interval_ms,
        .similar_work_max = (uint64_t)cfg->limits.similar_work,
        .evaluate_every = (uint32_t)cfg->engine.evaluate_every,
        .types = cfg->type_names,
        .types_len = cfg->types_len + 1,
        .sar = {.parity = cfg->sar.mode != 0,
                .similarity = (enum sar_similarity)cfg->sar.similarity,
                .half_life = llround(cfg->sar.half_life_days * 86400000),
                .threshold = (uint32_t)cfg->sar.threshold,
                .window = (uint32_t)cfg->sar.window,
                .score_last = (uint32_t)cfg->sar.score_last,
                .neighbours_max = (uint32_t)cfg->sar.neighbours_max,
                .recency = cfg->sar.recency},
        .models = cfg->beside,
        .models_len = cfg->models_len - 1,
        .default_model = cfg->recommend.default_model,
        .shape = cfg->shape.at,
    };
}

const char *config_backup_path(const struct config *cfg, char *room, size_t room_len)
{
    if (*cfg->store.backup_path)
        return cfg->store.backup_path;
    snprintf(room, room_len, "%s/backups", cfg->store.path);
    return room;
}

void config_feed_options(const struct config *cfg, struct feed_options *ret_options)
{
    *ret_options = (struct feed_options){
        .topic = cfg->feed.topic,
        .items_topic = cfg->feed.items_topic,
        .users_topic = cfg->feed.users_topic,
        .dead_letter_topic = cfg->feed.dead_letter_topic,
        .format = (enum feed_format)cfg->feed.format,
        .on_gap_skip = cfg->feed.on_gap != 0,
        .cluster_any = cfg->feed.cluster != 0,
        .silence = cfg->feed.silence_ms,
        .poison_max_percent = (unsigned)cfg->feed.poison_max_percent,
        .max_future = cfg->feed.max_future_ms,
        .weights = cfg->types,
        .weights_len = cfg->types_len,
        .kafka_keys = (const char *const *)cfg->kafka_key,
        .kafka_values = (const char *const *)cfg->kafka_value,
        .kafka_len = cfg->kafka_len,
    };
    config_start(cfg->feed.start, &ret_options->start, &ret_options->start_time);
}

void config_serve_options(const struct config *cfg, struct serve_options *ret_options)
{
    *ret_options = (struct serve_options){
        .listen = cfg->serve.listen,
        .admin_listen = cfg->admin.grpc_listen,
        .threads = (int)cfg->serve.threads,
        .default_k = (uint32_t)cfg->recommend.k,
        .max_k = (uint32_t)cfg->limits.max_k,
        .max_seeds = (uint32_t)cfg->limits.max_seeds,
        .exploration_seed = (uint64_t)cfg->recommend.exploration_seed,
        .max_filter_items = (uint32_t)cfg->limits.max_filter_items,
        .max_message_bytes = (uint32_t)cfg->limits.max_message_bytes,
        .max_inflight = (uint32_t)cfg->limits.max_inflight,
        .max_queue = cfg->limits.max_queue_ms,
        .max_waiting = (uint32_t)cfg->limits.max_waiting,
        .max_watches = (uint32_t)cfg->limits.max_watches,
        .memory = (uint64_t)cfg->limits.rpc_memory,
        .max_concurrent_streams = (uint32_t)cfg->limits.max_concurrent_streams,
        .slow = cfg->serve.slow_ms,
        .drain_grace = cfg->serve.drain_grace_ms,
        .client_rate = cfg->limits.client_rate,
        .client_burst = (uint32_t)cfg->limits.client_burst,
        .client_inflight = (uint32_t)cfg->limits.client_inflight,
        .early_looks = 50,
    };
}

bool config_certificate(const struct config *cfg, bool admin, struct certificate_files *ret_files)
{
    struct certificate_files files = {{"serve.tls_cert", cfg->serve.tls_cert},
                                      {"serve.tls_key", cfg->serve.tls_key},
                                      {"serve.tls_client_ca", cfg->serve.tls_client_ca}};

    if (admin && *cfg->admin.tls_cert) {
        files.cert = (struct certificate_file){"admin.tls_cert", cfg->admin.tls_cert};
        files.key = (struct certificate_file){"admin.tls_key", cfg->admin.tls_key};
    }
    if (admin && *cfg->admin.tls_client_ca)
        files.ca = (struct certificate_file){"admin.tls_client_ca", cfg->admin.tls_client_ca};
    *ret_files = files;
    return *files.cert.path;
}

const char *config_brokers(const struct config *cfg)
{
    for (size_t i = 0; i < cfg->kafka_len; i++)
        if (names_brokers(cfg->kafka_key[i]))
            return cfg->kafka_value[i];
    return "";
}
