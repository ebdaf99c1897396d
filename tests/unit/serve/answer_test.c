/* From the bytes of a request to the bytes of its answer, in the small world of fake_reader.h. */
#include "asking.h"

#include <stdlib.h>

#include "freshet/feature.h"
#include "freshet/life.h"

static void assert_as_of(const Freshet__V1__AsOf *as_of)
{
    assert_non_null(as_of);
    assert_int_equal(as_of->n_positions, 1);
    assert_string_equal(as_of->positions[0]->topic, "events");
    assert_int_equal(as_of->positions[0]->partition, 2);
    assert_int_equal(as_of->positions[0]->offset, 40);
    assert_int_equal(as_of->event_time_ms, 400);
}

/* ---- answers ---- */

static void a_known_user_is_answered_with_scores_sources_and_what_was_seen(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__RecommendResponse *response;

    (void)state;
    request.user_id = id("ann");
    engine.staleness_ms = 250;
    response = ASK(RPC_RECOMMEND, request, freshet__v1__recommend_response);
    assert_int_equal(response->n_items, 2);
    assert_id(response->items[0]->item_id, "plum");
    assert_true(response->items[0]->score == 1.5);
    assert_string_equal(response->items[0]->source, "sar");
    assert_int_equal(response->items[0]->n_reasons, 0);
    assert_id(response->items[1]->item_id, "pear");
    assert_string_equal(response->items[1]->source, "popular");
    assert_string_equal(response->model, "sar");
    assert_true(response->fallback);
    assert_as_of(response->as_of);
    assert_true(response->as_of->staleness_seconds == 0.25);
    assert_int_equal(engine.ask.k, 2); /* the default */
    assert_false(engine.ask.explain);
    assert_false(engine.ask.include_seen);
    FREE(response);
}

static void explain_fills_the_reasons(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__RecommendResponse *response;

    (void)state;
    request.user_id = id("ann");
    request.explain = request.include_seen = 1;
    request.k = 1;
    response = ASK(RPC_RECOMMEND, request, freshet__v1__recommend_response);
    assert_int_equal(response->n_items, 1);
    assert_int_equal(response->items[0]->n_reasons, 2);
    assert_id(response->items[0]->reasons[0]->item_id, "apple");
    assert_true(response->items[0]->reasons[0]->contribution == 1);
    assert_id(response->items[0]->reasons[1]->item_id, "pear");
    assert_true(response->items[0]->reasons[1]->contribution == 0.5);
    assert_string_equal(response->items[0]->reasons[0]->text, "because of apple");
    assert_true(engine.ask.include_seen);
    FREE(response);
}

static void a_session_without_a_user_brings_its_seeds_and_filter_to_the_reader(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__Filter filter = FRESHET__V1__FILTER__INIT;
    Freshet__V1__RecommendRequest__ContextEntry device = FRESHET__V1__RECOMMEND_REQUEST__CONTEXT_ENTRY__INIT,
                                                *context[] = {&device, &device};
    Freshet__V1__Seed one = FRESHET__V1__SEED__INIT, two = FRESHET__V1__SEED__INIT, *seeds[] = {&one, &two};
    ProtobufCBinaryData out[] = {id("pear"), id("fig")}, in[] = {id("apple"), id("pear"), id("plum")};
    Freshet__V1__RecommendResponse *response;

    (void)state;
    one.item_id = id("apple");
    one.weight = -1e6;
    one.time_ms = 17592186044415; /* 2^44 - 1 */
    two.item_id = id("a\xc3\xa9"); /* an item nobody knows is no error */
    request.seeds = seeds;
    request.n_seeds = 2;
    filter.exclude_items = out;
    filter.n_exclude_items = 2;
    filter.include_items = in;
    filter.n_include_items = 3;
    request.filter = &filter;
    request.model = wire_text("fm");
    request.k = 5;
    device.key = wire_text("device");
    device.value = wire_text("phone");
    request.context = context;
    request.n_context = 2; /* twice the same is once */
    response = ASK(RPC_RECOMMEND, request, freshet__v1__recommend_response);
    assert_int_equal(response->n_items, 3);
    assert_string_equal(engine.user, "");
    assert_string_equal(engine.model, "fm");
    assert_int_equal(engine.ask.context_len, 1);
    assert_true(engine.context[0] == fr_feature_key(FR_BYTES("device"), FR_BYTES("phone")));
    assert_int_equal(engine.ask.seeds_len, 2);
    assert_true(engine.seeds[0].weight == -1e6);
    assert_int_equal(engine.seeds[0].when, 17592186044415);
    assert_true(engine.seeds[1].weight == 0);
    assert_string_equal(engine.exclude, "pear fig ");
    assert_string_equal(engine.include, "apple pear plum ");
    FREE(response);
}

static void similar_items_and_similar_users_are_neighbours_with_ids(void **state)
{
    Freshet__V1__SimilarRequest request = FRESHET__V1__SIMILAR_REQUEST__INIT;
    Freshet__V1__SimilarResponse *response;

    (void)state;
    request.item_id = id("apple");
    response = ASK(RPC_SIMILAR, request, freshet__v1__similar_response);
    assert_int_equal(response->n_neighbours, 2);
    assert_id(response->neighbours[0]->id, "pear");
    assert_true(response->neighbours[0]->similarity == 0.75);
    assert_as_of(response->as_of);
    FREE(response);

    request.item_id = id("");
    request.user_id = id("ann");
    response = ASK(RPC_SIMILAR, request, freshet__v1__similar_response);
    assert_int_equal(response->n_neighbours, 1);
    assert_id(response->neighbours[0]->id, "bob");
    FREE(response);
}

static void popular_items_carry_their_number_of_users(void **state)
{
    Freshet__V1__PopularRequest request = FRESHET__V1__POPULAR_REQUEST__INIT;
    Freshet__V1__PopularResponse *response;

    (void)state;
    request.by = wire_text("users");
    response = ASK(RPC_POPULAR, request, freshet__v1__popular_response);
    assert_int_equal(response->n_items, 2);
    assert_id(response->items[0]->item_id, "apple");
    assert_true(response->items[0]->score == 3);
    assert_as_of(response->as_of);
    assert_int_equal(engine.ask.by, POPULAR_USERS);
    FREE(response);
    request.by = wire_text("newest");
    response = ASK(RPC_POPULAR, request, freshet__v1__popular_response);
    assert_int_equal(engine.ask.by, POPULAR_NEWEST);
    FREE(response);
}

/* A question that waits keeps its draw; the next one has another; what is not drawn has none. */
static void what_is_drawn_carries_its_propensity(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__RecommendResponse *response;
    uint64_t draws[3];

    (void)state;
    request.user_id = id("ann");
    request.diversity = 0.25;
    response = ASK(RPC_RECOMMEND, request, freshet__v1__recommend_response);
    assert_true(engine.ask.diversity == 0.25 && engine.ask.exploration == 0 && engine.ask.draw == 0);
    assert_true(response->items[0]->propensity == 0);
    FREE(response);
    request.exploration = 0.5;
    for (int i = 0; i < 3; i++) {
        response = ASK(RPC_RECOMMEND, request, freshet__v1__recommend_response);
        assert_true(engine.ask.exploration == 0.5);
        assert_true(response->items[0]->propensity == 0.75 && response->items[1]->propensity == 1);
        FREE(response);
        draws[i] = engine.ask.draw;
        question_answer(answerer, &question, &answer);
        assert_true(engine.ask.draw == draws[i]);
    }
    assert_true(draws[0] != draws[1] && draws[1] != draws[2] && draws[0] != draws[2]);
}

static void a_list_is_scored_in_its_order(void **state)
{
    Freshet__V1__ScoreRequest request = FRESHET__V1__SCORE_REQUEST__INIT;
    Freshet__V1__ScoreRequest__ContextEntry device = FRESHET__V1__SCORE_REQUEST__CONTEXT_ENTRY__INIT, *context[] = {&device};
    Freshet__V1__Seed seed = FRESHET__V1__SEED__INIT, *seeds[] = {&seed};
    ProtobufCBinaryData items[] = {id("fig"), id("plum"), id("fig")};
    Freshet__V1__ScoreResponse *response;

    (void)state;
    request.user_id = id("ann");
    request.item_ids = items;
    request.n_item_ids = 3;
    request.model = wire_text("fm");
    device.key = wire_text("device");
    device.value = wire_text("phone");
    request.context = context;
    request.n_context = 1;
    seed.item_id = id("pear");
    request.seeds = seeds;
    request.n_seeds = 1;
    response = ASK(RPC_SCORE, request, freshet__v1__score_response);
    assert_int_equal(response->n_items, 3);
    assert_id(response->items[0]->item_id, "fig");
    assert_true(response->items[0]->score == 0);
    assert_string_equal(response->items[0]->source, "");
    assert_id(response->items[1]->item_id, "plum");
    assert_true(response->items[1]->score == 1.5);
    assert_string_equal(response->items[1]->source, "sar");
    assert_id(response->items[2]->item_id, "fig");
    assert_as_of(response->as_of);
    assert_string_equal(engine.model, "fm");
    assert_int_equal(engine.ask.seeds_len, 1);
    assert_true(engine.context[0] == fr_feature_key(FR_BYTES("device"), FR_BYTES("phone")));
    FREE(response);
    request.n_item_ids = 0;
    response = ASK(RPC_SCORE, request, freshet__v1__score_response);
    assert_int_equal(response->n_items, 0);
    FREE(response);
}

static void what_cannot_be_scored_is_named(void **state)
{
    Freshet__V1__ScoreRequest request = FRESHET__V1__SCORE_REQUEST__INIT;
    ProtobufCBinaryData items[] = {id("fig"), id(""), id("fig"), id("fig")};

    (void)state;
    request.item_ids = items;
    request.n_item_ids = 2;
    assert_refused(RPC_SCORE, &request.base, RPC_CODE_INVALID_ARGUMENT, "user_id is empty and there are no seeds; one of them is needed");
    request.user_id = id("ann");
    assert_refused(RPC_SCORE, &request.base, RPC_CODE_INVALID_ARGUMENT,
                   "item_ids[1] is empty; an id is 1 to 256 bytes of UTF-8 without NUL");
    request.n_item_ids = 4;
    assert_refused(RPC_SCORE, &request.base, RPC_CODE_INVALID_ARGUMENT, "item_ids has 4 items; limits.max_filter_items is 3");
    request.model = wire_text("lda");
    assert_refused(RPC_SCORE, &request.base, RPC_CODE_INVALID_ARGUMENT, "model \"lda\" is not known; the models are: sar, fm");
}

static void an_explanation_has_sentences_for_people(void **state)
{
    Freshet__V1__ExplainRequest request = FRESHET__V1__EXPLAIN_REQUEST__INIT;
    Freshet__V1__Filter filter = FRESHET__V1__FILTER__INIT;
    ProtobufCBinaryData out[] = {id("pear")};
    Freshet__V1__ExplainResponse *response;

    (void)state;
    request.user_id = id("ann");
    request.item_id = id("plum");
    filter.exclude_items = out;
    filter.n_exclude_items = 1;
    request.filter = &filter;
    response = ASK(RPC_EXPLAIN, request, freshet__v1__explain_response);
    assert_true(response->score == 1.5);
    assert_int_equal(response->rank, 2);
    assert_int_equal(response->n_reasons, 3);
    assert_id(response->reasons[0]->item_id, "apple");
    assert_string_equal(response->reasons[0]->text, "because of apple");
    assert_id(response->reasons[1]->item_id, "");
    assert_string_equal(response->reasons[1]->text, "many hold it");
    assert_true(response->reasons[2]->contribution == -0.5);
    assert_string_equal(response->reasons[2]->text, "in spite of pear");
    assert_int_equal(response->n_excluded_by, 1);
    assert_string_equal(response->excluded_by[0], "seen");
    assert_as_of(response->as_of);
    assert_string_equal(engine.exclude, "pear ");
    FREE(response);
    request.item_id = id("fig");
    response = ASK(RPC_EXPLAIN, request, freshet__v1__explain_response);
    assert_string_equal(response->excluded_by[0], "unknown item"); /* an answer, not an error */
    assert_int_equal(response->rank, 0);
    FREE(response);
    request.item_id = id("");
    assert_refused(RPC_EXPLAIN, &request.base, RPC_CODE_INVALID_ARGUMENT,
                   "item_id is empty; an id is 1 to 256 bytes of UTF-8 without NUL");
}

/* What a digest is of: all that is shown, and nothing of when. */
static void a_watched_list_is_another_if_what_it_shows_is(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    uint64_t first;

    (void)state;
    request.user_id = id("ann");
    FREE((Freshet__V1__RecommendResponse *)ASK(RPC_WATCH, request, freshet__v1__recommend_response));
    first = answer.digest;
    engine.next = 41;
    engine.staleness_ms = 7;
    FREE((Freshet__V1__RecommendResponse *)ASK(RPC_WATCH, request, freshet__v1__recommend_response));
    assert_true(answer.digest == first);
    engine.more = 1;
    FREE((Freshet__V1__RecommendResponse *)ASK(RPC_WATCH, request, freshet__v1__recommend_response));
    assert_true(answer.digest != first);
    request.user_id = id("");
    assert_refused(RPC_WATCH, &request.base, RPC_CODE_INVALID_ARGUMENT, "user_id is empty; Watch follows the events of a user");
}

static void a_user_is_told_by_affinities_and_an_unknown_one_is_empty(void **state)
{
    Freshet__V1__GetUserRequest request = FRESHET__V1__GET_USER_REQUEST__INIT;
    Freshet__V1__GetUserResponse *response;

    (void)state;
    request.user_id = id("ann");
    response = ASK(RPC_GET_USER, request, freshet__v1__get_user_response);
    assert_id(response->user_id, "ann");
    assert_int_equal(response->n_affinities, 2);
    assert_id(response->affinities[1]->item_id, "pear");
    assert_true(response->affinities[0]->affinity == 2.5);
    assert_int_equal(response->affinities[0]->last_event_ms, 400);
    assert_int_equal(response->last_event_ms, 400);
    assert_int_equal(response->events, 4);
    assert_int_equal(response->n_features, 1);
    assert_string_equal(response->features[0]->key, "city");
    assert_string_equal(response->features[0]->value, "Ulm");
    FREE(response);

    request.user_id = id("zoe");
    response = ASK(RPC_GET_USER, request, freshet__v1__get_user_response);
    assert_id(response->user_id, "zoe");
    assert_int_equal(response->n_affinities, 0);
    assert_int_equal(response->events, 0);
    assert_as_of(response->as_of);
    FREE(response);
}

static void an_item_is_told_whole(void **state)
{
    Freshet__V1__GetItemRequest request = FRESHET__V1__GET_ITEM_REQUEST__INIT;
    Freshet__V1__GetItemResponse *response;

    (void)state;
    request.item_id = id("apple");
    response = ASK(RPC_GET_ITEM, request, freshet__v1__get_item_response);
    assert_id(response->item->item_id, "apple");
    assert_int_equal(response->users, 3);
    assert_true(response->trending == 1.25);
    assert_true(response->item->hidden && response->item->available_from_ms == 5 && response->item->available_until_ms == 6);
    assert_id(response->item->owner_user_id, "bob");
    assert_string_equal(response->item->title, "An apple");
    assert_int_equal(response->item->n_categories, 2);
    assert_string_equal(response->item->categories[1], "red");
    assert_int_equal(response->item->n_features, 1);
    assert_string_equal(response->item->features[0]->value, "Boskoop");
    assert_int_equal(response->item->n_embedding, 2);
    assert_true(response->item->embedding[0] == 0.5F && response->item->embedding[1] == -1);
    FREE(response);
}

/* The wire, byte by byte, worked by hand from the .proto. */
static void an_item_has_exactly_these_bytes_on_the_wire(void **state)
{
    static const char want[] = "\x0a\x06\x0a\x04plum" /* item { item_id } */
                               "\x10\x01"              /* users = 1 */
                               "\x20\xac\x02"          /* first_seen_ms = 300 */
                               "\x2a\x11"              /* as_of, 17 bytes */
                               "\x0a\x0c\x0a\x06"      /* positions { topic */
                               "events\x10\x02\x18\x28" /* partition = 2, offset = 40 } */
                               "\x10\x90\x03";         /* event_time_ms = 400; staleness 0 is not sent */

    (void)state;
    assert_true(read_bytes(RPC_GET_ITEM, FR_BYTES("\x0a\x04plum")));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_OK);
    assert_int_equal(answer.bytes.len, sizeof(want) - 1);
    assert_memory_equal(answer.bytes.at, want, sizeof(want) - 1);
}

/* Whatever of it stays from one answer to the next. */
static void the_positions_are_those_of_the_moment(void **state)
{
    static const struct {
        int64_t next, others[2];
    } moments[] = {{40, {0}}, {40, {0}}, {41, {0}}, {41, {7, 0}}, {41, {8, 0}}, {1234567890123, {8, 300}}, {41, {0, 300}}, {41, {0}}};
    Freshet__V1__PopularRequest popular = FRESHET__V1__POPULAR_REQUEST__INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(moments) / sizeof(*moments); i++) {
        size_t at = 1;
        engine.next = moments[i].next;
        memcpy(engine.others, moments[i].others, sizeof(engine.others));
        Freshet__V1__PopularResponse *response = ASK(RPC_POPULAR, popular, freshet__v1__popular_response);
        assert_int_equal(response->as_of->positions[0]->offset, moments[i].next);
        for (int k = 0; k < 2; k++) {
            if (!moments[i].others[k])
                continue;
            assert_true(at < response->as_of->n_positions);
            assert_string_equal(response->as_of->positions[at]->topic, "events");
            assert_int_equal(response->as_of->positions[at]->partition, 3 + k);
            assert_int_equal(response->as_of->positions[at++]->offset, moments[i].others[k]);
        }
        assert_int_equal(response->as_of->n_positions, at);
        assert_int_equal(response->as_of->event_time_ms, 400);
        FREE(response);
    }
}

static void fields_of_a_newer_client_are_ignored(void **state)
{
    (void)state;
    assert_true(read_bytes(RPC_GET_ITEM, FR_BYTES("\x0a\x04plum\x9a\x06\x03new")));
    question_answer(answerer, &question, &answer);
    assert_int_equal(answer.code, RPC_CODE_OK);
}

static void similar_of_an_unknown_user_is_empty(void **state)
{
    Freshet__V1__SimilarRequest request = FRESHET__V1__SIMILAR_REQUEST__INIT;
    Freshet__V1__SimilarResponse *response;

    (void)state;
    request.user_id = id("zoe");
    response = ASK(RPC_SIMILAR, request, freshet__v1__similar_response);
    assert_int_equal(response->n_neighbours, 0);
    FREE(response);
}

static void the_status_tells_every_partition_and_model(void **state)
{
    Freshet__V1__GetStatusRequest request = FRESHET__V1__GET_STATUS_REQUEST__INIT;
    Freshet__V1__GetStatusResponse *response;

    (void)state;
    fr_state_set(FR_RUNNING);
    response = ASK(RPC_GET_STATUS, request, freshet__v1__get_status_response);
    assert_string_equal(response->version, "0.1.0");
    assert_string_equal(response->state, "running");
    assert_string_equal(response->brokers, "one:9092,two:9092");
    assert_int_equal(response->users, 2);
    assert_int_equal(response->items, 3);
    assert_int_equal(response->pairs, 6);
    assert_int_equal(response->n_partitions, 1);
    assert_string_equal(response->partitions[0]->topic, "events");
    assert_int_equal(response->partitions[0]->partition, 2);
    assert_string_equal(response->partitions[0]->state, "running");
    assert_int_equal(response->partitions[0]->applied, 40);
    assert_int_equal(response->partitions[0]->durable, 7);
    assert_int_equal(response->partitions[0]->end, 50);
    assert_int_equal(response->partitions[0]->lag, 10);
    assert_int_equal(response->n_models, 2);
    assert_string_equal(response->models[0]->name, "sar");
    assert_int_equal(response->models[0]->events, 9);
    assert_int_equal(response->models[1]->events, 4); /* it came later */
    assert_int_equal(response->models[0]->bytes, 4096);
    assert_true(response->models[0]->age_seconds == 1.5);
    assert_string_equal(response->models[1]->name, "fm");
    assert_int_equal(response->models[1]->bytes, 512);
    FREE(response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_known_user_is_answered_with_scores_sources_and_what_was_seen),
        TEST(explain_fills_the_reasons),
        TEST(a_session_without_a_user_brings_its_seeds_and_filter_to_the_reader),
        TEST(similar_items_and_similar_users_are_neighbours_with_ids),
        TEST(popular_items_carry_their_number_of_users),
        TEST(a_list_is_scored_in_its_order),
        TEST(what_cannot_be_scored_is_named),
        TEST(an_explanation_has_sentences_for_people),
        TEST(a_watched_list_is_another_if_what_it_shows_is),
        TEST(what_is_drawn_carries_its_propensity),
        TEST(a_user_is_told_by_affinities_and_an_unknown_one_is_empty),
        TEST(an_item_is_told_whole),
        TEST(an_item_has_exactly_these_bytes_on_the_wire),
        TEST(the_positions_are_those_of_the_moment),
        TEST(fields_of_a_newer_client_are_ignored),
        TEST(similar_of_an_unknown_user_is_empty),
        TEST(the_status_tells_every_partition_and_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
