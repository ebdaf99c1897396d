/*
 * answer.h -- from the bytes of a request to the bytes of its answer; no gRPC here.
 *
 *     question_read      unpack, check every field against its limit: a question, or the answer that says what is wrong
 *     question_begin     if it asks for something that takes its time (Checkpoint, ForgetUser ...): begin it
 *     question_ready     may it be answered yet? (not_before, Checkpoint)
 *     question_answer    ask the reader, pack
 *
 * A question owns an arena in which its request, its parts and its answer live, so that one that has to wait is set
 * aside by moving the struct. Thread: each answerer its own.
 */
#ifndef FR_ANSWER_H
#define FR_ANSWER_H

#include "freshet/alloc.h"
#include "freshet/engine.h"
#include "freshet/serve.h"
#include "rpc.h"

struct answer {
    enum rpc_code code;
    char message[512];     /* what is wrong; empty when OK */
    struct fr_bytes bytes; /* OK: the packed message, in the question's arena */
    uint64_t digest;       /* OK, Watch: of all but as_of */
};

struct question { /* a zeroed one is empty and may be read into again and again */
    enum rpc rpc;
    struct fr_arena arena;
    struct ask ask;
    bool drawn; /* ask.draw is set, if it explores: not when it is read, which it may be more than once */
    struct fr_bytes item;
    const struct fr_bytes *items; /* to be scored */
    size_t items_len;
    const struct position_asked {
        struct fr_bytes topic;
        int32_t partition;
        int64_t next;
    } *not_before;
    size_t not_before_len, reached; /* the first `reached` of them have been reached */
    uint32_t max_staleness_ms;
    uint64_t ticket; /* of a checkpoint, or of a job on backups */
    uint64_t backup; /* to verify; 0: all */
    int level;       /* enum fr_level, of SetLogLevel */
    /* ForgetUser, ForgetItem: first `ticket` is the tombstone's, then it is written and awaited, then the ticket is a checkpoint's */
    enum { FORGET_WRITES, FORGET_APPLIES, FORGET_SYNCS, FORGET_FAILED } forgetting;
    struct tombstone tombstone;
    /* ResetPartition: likewise; RESET_APPLIES waits for the batch that it was given in, whose number is `ticket` then */
    enum { RESET_SETTLES, RESET_APPLIES, RESET_SYNCS, RESET_FAILED } resetting;
    struct reset reset;
    struct reset_outcome outcome;
    const char *failure; /* in the arena */
    enum rpc_code failure_code;
};

struct answerer;
/* Options and engine are borrowed and must outlive it. */
struct answerer *answerer_new(const struct serve_options *options, struct engine *engine);
void answerer_free(struct answerer *answerer);

/* `rpc` is one of kind ONE of the Recommender or Admin service. False: *ret_answer is the answer. */
bool question_read(struct answerer *answerer, struct question *question, enum rpc rpc, struct fr_bytes request,
                   struct answer *ret_answer);
bool question_begins(enum rpc rpc); /* something that question_ready waits for, and that is not undone: question_begin, once */
bool question_begin(struct answerer *answerer, struct question *question, struct answer *ret_answer); /* false: as question_read */
bool question_ready(struct answerer *answerer, struct question *question);
bool question_waits_for_records(const struct question *question); /* as far as question_ready has looked */
const char *question_unready(const struct question *question); /* "the checkpoint was not done": a part of a sentence */
void question_answer(struct answerer *answerer, struct question *question, struct answer *ret_answer);
void question_release(struct question *question);

/* Returns false: return answer_refuse(answer, RPC_CODE_INVALID_ARGUMENT, "k is %u; ...", k); */
__attribute__((format(printf, 3, 4))) bool answer_refuse(struct answer *answer, enum rpc_code code, const char *format,
                                                         ...);

#endif
