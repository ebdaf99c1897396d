/*
 * answer_reset.c -- ResetPartition: the feed says where it goes on, the engine steps there, the store has it; then it is answered.
 *
 *     SETTLES ──feed: given to the engine──> APPLIES ──that batch is applied──> SYNCS ──checkpoint──> answered
 *        '── refused, or Kafka does not answer ──> FAILED
 */
#include "answer_reset.h"

#include <freshet/v1/admin.pb-c.h>
#include <string.h>

#include "answer_operate.h"
#include "answer_parts.h"
#include "wire.h"

bool read_reset_partition(struct check *check, const void *message)
{
    const Freshet__V1__ResetPartitionRequest *request = message;
    struct reset *reset = &check->question->reset;

    *reset = (struct reset){.topic = fr_bytes_of(request->topic),
                            .partition = request->partition,
                            .applied = request->applied,
                            .new_log = request->new_log};
    if (request->to_case == FRESHET__V1__RESET_PARTITION_REQUEST__TO_OFFSET && request->offset >= 0)
        reset->offset = request->offset;
    else if (request->to_case == FRESHET__V1__RESET_PARTITION_REQUEST__TO_EARLIEST && request->earliest)
        reset->to = RESET_TO_EARLIEST;
    else if (request->to_case == FRESHET__V1__RESET_PARTITION_REQUEST__TO_END && request->end)
        reset->to = RESET_TO_END;
    else
        return answer_refuse(check->answer, RPC_CODE_INVALID_ARGUMENT, "say where to go on: offset (0 or more), earliest or end");
    return true;
}

bool reset_begin(const struct serve_control *control, struct question *question, struct answer *answer)
{
    struct fr_err err;

    if (question->rpc != RPC_RESET_PARTITION)
        return true;
    if (!control->reset)
        return answer_refuse(answer, RPC_CODE_FAILED_PRECONDITION, "this daemon reads no log");
    if (control->reset(control->context, &question->reset, &question->ticket, &err))
        return answer_refuse(answer, operate_code(err.code), "%s", err.text);
    return true;
}

bool reset_ready(const struct serve_control *control, struct engine *engine, struct question *question)
{
    struct fr_err err;
    int status;

    if (question->resetting == RESET_SETTLES) {
        if (!control->reset_done(control->context, question->ticket, &question->outcome, &status, &err))
            return false;
        question->resetting = status ? RESET_FAILED : RESET_APPLIES;
        question->failure_code = status ? operate_code(err.code) : RPC_CODE_OK;
        question->failure = status ? part_text(&question->arena, err.text, strlen(err.text)) : NULL;
        question->ticket = engine_given(engine);
    }
    if (question->resetting == RESET_APPLIES) {
        if (!engine_applied(engine, question->ticket))
            return false;
        question->resetting = RESET_SYNCS;
        question->ticket = engine_checkpoint_ask(engine);
    }
    return question->resetting == RESET_FAILED || engine_checkpoint_done(engine, question->ticket, NULL);
}

void reset_answer(struct question *question, struct answer *answer)
{
    Freshet__V1__ResetPartitionResponse response = FRESHET__V1__RESET_PARTITION_RESPONSE__INIT;
    const struct reset_outcome *outcome = &question->outcome;
    char *remains[] = {
        wire_text("state: what was learned of the log before; who wants none of it learns anew with freshetd --rebuild"),
        wire_text("state: event ids of the last feed.dedup_window_ms, whose repeats are dropped"),
    };

    if (question->resetting == RESET_FAILED) {
        answer_refuse(answer, question->failure_code, "%s", question->failure);
        return;
    }
    response.topic = wire_text(outcome->topic);
    response.partition = outcome->partition;
    response.from_offset = outcome->from;
    response.to_offset = outcome->to;
    response.skipped = outcome->skipped;
    response.end = outcome->end;
    response.remains = remains;
    response.n_remains = outcome->other_log ? sizeof(remains) / sizeof(*remains) : 0;
    part_say(question, &response.base, answer);
}
