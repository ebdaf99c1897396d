/*
 * answer_operate.c -- PauseIngest, ResumeIngest, Drain, SetLogLevel, ReloadConfig, ForgetUser and ForgetItem (ResetPartition: answer_reset.c).
 *
 * Each is done on the Admin's one thread; draining is only begun. Pausing begins with question_begin and is answered when what feed had
 * in hand is applied: from then on the state stands still. Each leaves a line in the log, for those who wonder later.
 */
#include "answer_operate.h"

#include <freshet/v1/admin.pb-c.h>
#include <string.h>

#include "answer_parts.h"
#include "answer_reset.h"
#include "freshet/log.h"
#include "wire.h"

/* ---- ingest ---- */

size_t held_of(struct fr_arena *arena, const struct engine *engine, char ***ret_names)
{
    const char *names[HOLDS];
    size_t len = engine_holds(engine, names);

    *ret_names = fr_arena_take(arena, HOLDS * sizeof(**ret_names));
    for (size_t i = 0; i < len; i++)
        (*ret_names)[i] = wire_text(names[i]);
    return len;
}

bool pause_ready(struct engine *engine)
{
    return engine_at_rest(engine) || !engine_holds_for(engine, HOLD_ASKED);
}

static void pause_ingest(struct engine *engine, struct question *question, struct answer *answer)
{
    Freshet__V1__PauseIngestResponse response = FRESHET__V1__PAUSE_INGEST_RESPONSE__INIT;

    if (!engine_holds_for(engine, HOLD_ASKED)) { /* what is at rest may move again at once */
        answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, "ingest was resumed by another call before it stood still");
        return;
    }
    response.n_held = held_of(&question->arena, engine, &response.held);
    part_say(question, &response.base, answer);
}

static void resume_ingest(struct engine *engine, struct question *question, struct answer *answer)
{
    Freshet__V1__ResumeIngestResponse response = FRESHET__V1__RESUME_INGEST_RESPONSE__INIT;

    engine_hold(engine, HOLD_ASKED, false);
    response.n_held = held_of(&question->arena, engine, &response.held);
    part_say(question, &response.base, answer);
}

/* ---- the daemon ---- */

static void drain(const struct serve_control *control, struct question *question, struct answer *answer)
{
    Freshet__V1__DrainResponse response = FRESHET__V1__DRAIN_RESPONSE__INIT;

    if (!control->drain) {
        answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, "this daemon cannot be drained by a call");
        return;
    }
    control->drain(control->context);
    part_say(question, &response.base, answer);
}

bool read_set_log_level(struct check *check, const void *message)
{
    const Freshet__V1__SetLogLevelRequest *request = message;
    enum fr_level level;

    if (!fr_level_of(request->level, &level))
        return answer_refuse(check->answer, RPC_CODE_INVALID_ARGUMENT, "level is none of debug, info, warn and error");
    check->question->level = (int)level;
    return true;
}

static void set_log_level(struct question *question, struct answer *answer)
{
    Freshet__V1__SetLogLevelResponse response = FRESHET__V1__SET_LOG_LEVEL_RESPONSE__INIT;
    const char *now = fr_level_name((enum fr_level)question->level);

    response.before = wire_text(fr_level_name(fr_log_level((enum fr_level)question->level)));
    fr_log(FR_INFO, "serve", "log.level", FR_FIELDS(FR_TEXT("before", response.before), FR_TEXT("level", now)),
           "lines of this level and above are logged");
    part_say(question, &response.base, answer);
}

/* ---- forgetting ---- */

bool read_forget_user(struct check *check, const void *message)
{
    const Freshet__V1__ForgetUserRequest *request = message;

    check->question->item = wire_bytes(request->user_id);
    return check_id(check, "user_id", check->question->item);
}

bool read_forget_item(struct check *check, const void *message)
{
    const Freshet__V1__ForgetItemRequest *request = message;

    check->question->item = wire_bytes(request->item_id);
    return check_id(check, "item_id", check->question->item);
}

enum rpc_code operate_code(enum fr_status status)
{
    switch (status) {
    case FR_NOT_FOUND:
        return RPC_CODE_NOT_FOUND;
    case FR_CONFIG:
        return RPC_CODE_FAILED_PRECONDITION;
    case FR_LIMIT:
        return RPC_CODE_RESOURCE_EXHAUSTED;
    default:
        return RPC_CODE_UNAVAILABLE; /* Kafka did not take it: the same call may succeed later */
    }
}

bool forget_begin(const struct serve_control *control, struct question *question, struct answer *answer)
{
    struct fr_err err;

    if (question->rpc != RPC_FORGET_USER && question->rpc != RPC_FORGET_ITEM)
        return true;
    if (!control->forget)
        return answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, "this daemon reads no log that a tombstone could be written to");
    if (control->forget(control->context, question->rpc == RPC_FORGET_ITEM, question->item, &question->ticket, &err))
        return answer_refuse(answer, operate_code(err.code), "%s", err.text);
    return true;
}

/* The offset is behind us; was it that record? Where the topic was made anew its offsets have begun again, and what stands behind the old
 * position is read by nobody. */
static void look_if_applied(struct engine *engine, struct question *question)
{
    const struct tombstone *tombstone = &question->tombstone;
    struct fr_err err;

    if (engine_cutoff(engine, question->rpc == RPC_FORGET_ITEM, question->item) >= tombstone->logged) {
        question->forgetting = FORGET_SYNCS;
        question->ticket = engine_checkpoint_ask(engine);
        return;
    }
    fr_fail(&err, FR_CONFIG,
            "the tombstone is written to partition %d of topic '%s', at %lld, but was passed unread: a topic made anew, a reset, a gap. See what "
            "becomes of the partition (freshet status, freshet reset), then ask again",
            tombstone->partition, tombstone->topic, (long long)tombstone->offset);
    question->forgetting = FORGET_FAILED;
    question->failure_code = operate_code(err.code);
    question->failure = part_text(&question->arena, err.text, strlen(err.text));
}

bool forget_ready(const struct serve_control *control, struct engine *engine, struct question *question)
{
    struct fr_err err;
    int status;

    if (question->forgetting == FORGET_WRITES) {
        if (!control->forgotten(control->context, question->ticket, &question->tombstone, &status, &err))
            return false;
        question->forgetting = status ? FORGET_FAILED : FORGET_APPLIES;
        question->failure_code = status ? operate_code(err.code) : RPC_CODE_OK;
        question->failure = status ? part_text(&question->arena, err.text, strlen(err.text)) : NULL;
    }
    if (question->forgetting == FORGET_APPLIES) {
        const struct tombstone *tombstone = &question->tombstone;
        if (!engine_reached(engine, fr_bytes_of(tombstone->topic), tombstone->partition, tombstone->offset + 1))
            return false;
        look_if_applied(engine, question);
    }
    return question->forgetting == FORGET_FAILED || engine_checkpoint_done(engine, question->ticket, NULL);
}

/* What stays of an id that is forgotten, as a message has it. */
static size_t remains_of(struct fr_arena *arena, const struct engine *engine, bool item, char ***ret_texts)
{
    size_t len = 0;

    *ret_texts = fr_arena_take(arena, (ENGINE_MODELS_MAX + 4) * sizeof(**ret_texts));
    for (size_t m = 0; engine_model(engine, m); m++) {
        const char *remains = engine_model_remains(engine, m);
        if (!remains)
            continue;
        struct fr_writer text;
        fr_writer_init(&text, 0);
        fr_put_text(&text, "model %s: %s", engine_model(engine, m), remains);
        fr_put_u8(&text, 0);
        (*ret_texts)[len++] = part_text(arena, text.at, strlen(text.at));
        fr_writer_release(&text);
    }
    (*ret_texts)[len++] = wire_text("state: a hash of the id and the cut-off, so that older events stay ignored");
    (*ret_texts)[len++] = wire_text(item ? "Kafka: records that name it, until their topic's retention takes them"
                                         : "Kafka: the user's records, until their topic's retention takes them");
    (*ret_texts)[len++] = wire_text("backups made before: all of it; who restores one has it forgotten again at the start");
    return len;
}

static void forget_answer(struct engine *engine, struct question *question, struct answer *answer)
{
    /* The two messages are alike, field by field. */
    Freshet__V1__ForgetUserResponse user = FRESHET__V1__FORGET_USER_RESPONSE__INIT;
    Freshet__V1__ForgetItemResponse item = FRESHET__V1__FORGET_ITEM_RESPONSE__INIT;
    Freshet__V1__Position position = FRESHET__V1__POSITION__INIT;
    bool of_item = question->rpc == RPC_FORGET_ITEM;

    if (question->forgetting == FORGET_FAILED) {
        answer_refuse(answer, question->failure_code, "%s", question->failure);
        return;
    }
    position.topic = wire_text(question->tombstone.topic);
    position.partition = question->tombstone.partition;
    position.offset = question->tombstone.offset + 1;
    user.tombstone = item.tombstone = &position;
    user.cutoff_ms = item.cutoff_ms = engine_cutoff(engine, of_item, question->item);
    user.n_remains = item.n_remains = remains_of(&question->arena, engine, of_item, &user.remains);
    item.remains = user.remains;
    fr_log(FR_INFO, "serve", of_item ? "item.forgotten" : "user.forgotten",
           FR_FIELDS(FR_TEXT("topic", position.topic), FR_INT("partition", position.partition),
                     FR_INT("offset", question->tombstone.offset)),
           "%s was forgotten by a call", of_item ? "an item" : "a user");
    part_say(question, of_item ? &item.base : &user.base, answer);
}

/* ---- the configuration ---- */

struct changes {
    struct fr_arena *arena;
    struct change {
        Freshet__V1__ConfigChange message;
        struct change *next;
    } *first, **last;
    size_t len;
};

static void note_change(void *to, const char *key, bool applied, const char *before, const char *after)
{
    struct changes *changes = to;
    struct change *change = fr_arena_take(changes->arena, sizeof(*change));

    freshet__v1__config_change__init(&change->message);
    change->message.key = part_text(changes->arena, key, strlen(key));
    change->message.before = part_text(changes->arena, before, before ? strlen(before) : 0);
    change->message.after = part_text(changes->arena, after, after ? strlen(after) : 0);
    change->message.applied = applied;
    change->next = NULL;
    *changes->last = change;
    changes->last = &change->next;
    changes->len++;
}

static void reload_config(const struct serve_control *control, struct question *question, struct answer *answer)
{
    Freshet__V1__ReloadConfigResponse response = FRESHET__V1__RELOAD_CONFIG_RESPONSE__INIT;
    struct changes changes = {.arena = &question->arena, .last = &changes.first};
    struct fr_err err = {0};

    if (!control->reload) {
        answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, "this daemon has no configuration to read again");
        return;
    }
    if (control->reload(control->context, note_change, &changes, &err)) {
        answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, "the configuration has problems, and nothing in it has changed: %s", err.text);
        return;
    }
    response.changes = fr_arena_take(&question->arena, (changes.len + 1) * sizeof(*response.changes));
    for (struct change *change = changes.first; change; change = change->next)
        response.changes[response.n_changes++] = &change->message;
    part_say(question, &response.base, answer);
}

void operate_answer(const struct serve_control *control, struct engine *engine, struct question *question, struct answer *answer)
{
    switch (question->rpc) {
    case RPC_PAUSE_INGEST:
        pause_ingest(engine, question, answer);
        break;
    case RPC_RESUME_INGEST:
        resume_ingest(engine, question, answer);
        break;
    case RPC_DRAIN:
        drain(control, question, answer);
        break;
    case RPC_SET_LOG_LEVEL:
        set_log_level(question, answer);
        break;
    case RPC_FORGET_USER:
    case RPC_FORGET_ITEM:
        forget_answer(engine, question, answer);
        break;
    case RPC_RESET_PARTITION:
        reset_answer(question, answer);
        break;
    default:
        reload_config(control, question, answer);
    }
}
