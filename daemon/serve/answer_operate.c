/*
 * answer_operate.c -- PauseIngest, ResumeIngest, Drain, SetLogLevel and ReloadConfig.
 *
 * Each is done on the Admin's one thread; draining is only begun. Pausing begins when the question is read and is answered when what feed had
 * in hand is applied: from then on the state stands still. Each leaves a line in the log, for those who wonder later.
 */
#include "answer_operate.h"

#include <freshet/v1/admin.pb-c.h>
#include <string.h>

#include "freshet/log.h"
#include "wire.h"

static void say(struct question *question, const ProtobufCMessage *message, struct answer *answer)
{
    answer->code = RPC_CODE_OK;
    answer->message[0] = '\0';
    answer->bytes = wire_pack(&question->arena, message);
}

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

static void pause_ingest(struct engine *engine, struct question *question, struct answer *answer)
{
    Freshet__V1__PauseIngestResponse response = FRESHET__V1__PAUSE_INGEST_RESPONSE__INIT;

    response.n_held = held_of(&question->arena, engine, &response.held);
    say(question, &response.base, answer);
}

static void resume_ingest(struct engine *engine, struct question *question, struct answer *answer)
{
    Freshet__V1__ResumeIngestResponse response = FRESHET__V1__RESUME_INGEST_RESPONSE__INIT;

    engine_hold(engine, HOLD_ASKED, false);
    response.n_held = held_of(&question->arena, engine, &response.held);
    say(question, &response.base, answer);
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
    say(question, &response.base, answer);
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
    say(question, &response.base, answer);
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

static char *kept(struct fr_arena *arena, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    char *copy = fr_arena_take(arena, len + 1);

    memcpy(copy, text ? text : "", len + 1);
    return copy;
}

static void note_change(void *to, const char *key, bool applied, const char *before, const char *after)
{
    struct changes *changes = to;
    struct change *change = fr_arena_take(changes->arena, sizeof(*change));

    freshet__v1__config_change__init(&change->message);
    change->message.key = kept(changes->arena, key);
    change->message.before = kept(changes->arena, before);
    change->message.after = kept(changes->arena, after);
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
        answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, "the configuration has problems, and nothing has changed: %s", err.text);
        return;
    }
    response.changes = fr_arena_take(&question->arena, (changes.len + 1) * sizeof(*response.changes));
    for (struct change *change = changes.first; change; change = change->next)
        response.changes[response.n_changes++] = &change->message;
    say(question, &response.base, answer);
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
    default:
        reload_config(control, question, answer);
    }
}
