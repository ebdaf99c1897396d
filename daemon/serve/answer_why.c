/*
 * answer_why.c -- Score and Explain.
 */
#include "answer_why.h"

#include "wire.h"

bool read_score(struct check *check, const void *message)
{
    const Freshet__V1__ScoreRequest *request = message;
    struct question *question = check->question;

    return check_model(check, request->model, false) &&
           check_user_or_seeds(check, wire_bytes(request->user_id), request->seeds, request->n_seeds) &&
           check_items(check, "item_ids", request->item_ids, request->n_item_ids, &question->items, &question->items_len) &&
           check_context(check, (ProtobufCMessage *const *)request->context, request->n_context);
}

void answer_score(struct reader *reader, struct part_as_of *as_of, struct question *question, struct answer *answer)
{
    Freshet__V1__ScoreResponse response = FRESHET__V1__SCORE_RESPONSE__INIT;
    struct recommendation_list list = {0};

    reader_score(reader, &question->ask, question->items, question->items_len, &list);
    response.n_items = list.len;
    response.items = part_recommendations(&question->arena, &list);
    part_as_of(as_of, &question->arena, reader, &response.base);
    part_say(question, &response.base, answer);
}

bool read_explain(struct check *check, const void *message)
{
    const Freshet__V1__ExplainRequest *request = message;

    check->question->item = wire_bytes(request->item_id);
    return check_id(check, "item_id", check->question->item) && check_model(check, request->model, false) &&
           check_user_or_seeds(check, wire_bytes(request->user_id), request->seeds, request->n_seeds) &&
           check_filter(check, request->filter) &&
           check_context(check, (ProtobufCMessage *const *)request->context, request->n_context);
}

void answer_explain(struct reader *reader, struct part_as_of *as_of, struct question *question, struct answer *answer)
{
    Freshet__V1__ExplainResponse response = FRESHET__V1__EXPLAIN_RESPONSE__INIT;
    struct explanation found = {0};

    reader_explain(reader, &question->ask, question->item, &found);
    response.score = found.score;
    response.rank = found.rank;
    response.n_reasons = found.reasons_len;
    response.reasons = part_reasons(&question->arena, found.reasons, found.reasons_len);
    response.n_excluded_by = found.excluded_by_len;
    response.excluded_by = fr_arena_take(&question->arena, (found.excluded_by_len + 1) * sizeof(*response.excluded_by));
    for (size_t i = 0; i < found.excluded_by_len; i++)
        response.excluded_by[i] = wire_text(found.excluded_by[i]);
    part_as_of(as_of, &question->arena, reader, &response.base);
    part_say(question, &response.base, answer);
}
