/*
 * answer_backups.c -- Backup, ListBackups and VerifyBackup.
 *
 * The two that take long are parked like a checkpoint: a ticket when the question is begun, the result when it is ready.
 */
#include "answer_backups.h"

#include <freshet/v1/admin.pb-c.h>
#include <string.h>

#include "answer_parts.h"
#include "wire.h"

#define NO_BACKUPS "this daemon keeps no backups"

bool read_verify_backup(struct check *check, const void *message)
{
    const Freshet__V1__VerifyBackupRequest *request = message;

    check->question->backup = request->id;
    return true;
}

static enum rpc_code code_of(enum fr_status status)
{
    switch (status) {
    case FR_BUSY:
        return RPC_CODE_RESOURCE_EXHAUSTED;
    case FR_NOT_FOUND:
        return RPC_CODE_NOT_FOUND;
    case FR_FULL:
        return RPC_CODE_FAILED_PRECONDITION;
    case FR_CLOSED:
        return RPC_CODE_UNAVAILABLE;
    default:
        return RPC_CODE_INTERNAL;
    }
}

bool backups_begin(struct backups *backups, struct question *question, struct answer *answer)
{
    struct fr_err err;

    if (question->rpc != RPC_BACKUP && question->rpc != RPC_VERIFY_BACKUP)
        return true;
    if (!backups)
        return answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, NO_BACKUPS);
    if (backups_ask(backups, question->rpc == RPC_BACKUP ? BACKUPS_MAKE : BACKUPS_VERIFY, question->backup, &question->ticket,
                    &err))
        return answer_refuse(answer, code_of(err.code), "%s", err.text);
    return true;
}

/* ---- what a backup is ---- */

static void tell(struct fr_arena *arena, const struct backup *backup, Freshet__V1__BackupInfo *info)
{
    Freshet__V1__Position *positions = wire_rooms(arena, backup->positions_len, sizeof(*positions), &info->positions);

    info->id = backup->id;
    info->made_ms = backup->made;
    info->version = part_text(arena, backup->version, strlen(backup->version));
    info->bytes = backup->bytes;
    info->events = backup->events;
    info->event_time_ms = backup->now;
    info->problem = part_text(arena, backup->problem, strlen(backup->problem));
    info->n_positions = backup->positions_len;
    for (size_t i = 0; i < backup->positions_len; i++) {
        freshet__v1__position__init(&positions[i]);
        positions[i].topic = part_text(arena, backup->positions[i].topic, strlen(backup->positions[i].topic));
        positions[i].partition = backup->positions[i].partition;
        positions[i].offset = backup->positions[i].next;
    }
}

struct looking {
    struct fr_arena *arena;
    uint64_t id; /* 0: all */
    Freshet__V1__BackupInfo *infos, **pointers;
    size_t len;
};

static void look(void *context, const struct backup_list *list)
{
    struct looking *looking = context;

    looking->infos = wire_rooms(looking->arena, list->len, sizeof(*looking->infos), &looking->pointers);
    for (size_t i = 0; i < list->len; i++) {
        if (looking->id && list->at[i].id != looking->id)
            continue;
        freshet__v1__backup_info__init(&looking->infos[looking->len]);
        tell(looking->arena, &list->at[i], &looking->infos[looking->len++]);
    }
}

/* ---- the answers ---- */

static void answer_list(struct backups *backups, struct question *question, struct answer *answer)
{
    Freshet__V1__ListBackupsResponse response = FRESHET__V1__LIST_BACKUPS_RESPONSE__INIT;
    struct looking looking = {.arena = &question->arena};

    if (!backups_look(backups, look, &looking)) { /* that there are none would be a lie */
        answer_refuse(answer, RPC_CODE_UNAVAILABLE, "the backups have not been listed since the start: the disk does not answer, or the log says why (backup.list)");
        return;
    }
    response.n_backups = looking.len;
    response.backups = looking.pointers;
    part_say(question, &response.base, answer);
}

static void answer_made(struct backups *backups, struct question *question, const struct backups_result *result,
                        struct answer *answer)
{
    Freshet__V1__BackupResponse response = FRESHET__V1__BACKUP_RESPONSE__INIT;
    struct looking looking = {.arena = &question->arena, .id = result->made.id};

    backups_look(backups, look, &looking);
    response.backup = looking.len ? looking.infos : NULL;
    response.bytes_written = result->made.written;
    response.seconds = result->seconds;
    part_say(question, &response.base, answer);
}

/* The lines of `problems`, one each. */
static size_t split(struct fr_arena *arena, const char *problems, char ***ret_lines)
{
    size_t len = 0, n = 0;

    for (const char *at = problems; *at; at++)
        len += *at == '\n';
    *ret_lines = fr_arena_take(arena, (len + 1) * sizeof(**ret_lines));
    for (const char *at = problems; n < len; at += strcspn(at, "\n") + 1)
        (*ret_lines)[n++] = part_text(arena, at, strcspn(at, "\n"));
    return len;
}

static void answer_verified(struct question *question, const struct backups_result *result, struct answer *answer)
{
    Freshet__V1__VerifyBackupResponse response = FRESHET__V1__VERIFY_BACKUP_RESPONSE__INIT;
    Freshet__V1__BackupCheck *checks =
        wire_rooms(&question->arena, result->checks_len, sizeof(*checks), &response.checks);

    for (size_t i = 0; i < result->checks_len; i++) {
        freshet__v1__backup_check__init(&checks[i]);
        checks[i].id = result->checks[i].id;
        checks[i].n_problems = split(&question->arena, result->checks[i].problems, &checks[i].problems);
        checks[i].good = checks[i].n_problems == 0;
    }
    response.n_checks = result->checks_len;
    response.seconds = result->seconds;
    part_say(question, &response.base, answer);
}

void backups_answer(struct backups *backups, struct question *question, struct answer *answer)
{
    struct backups_result result = {0};

    if (!backups)
        answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, NO_BACKUPS);
    else if (question->rpc == RPC_LIST_BACKUPS)
        answer_list(backups, question, answer);
    else if (!backups_take(backups, question->ticket, &result))
        answer_refuse(answer, RPC_CODE_INTERNAL, "it is done, but what came of it was overtaken by others");
    else if (result.err.code)
        answer_refuse(answer, code_of(result.err.code), "%s", result.err.text);
    else if (question->rpc == RPC_BACKUP)
        answer_made(backups, question, &result, answer);
    else
        answer_verified(question, &result, answer);
    backups_result_release(&result);
}
