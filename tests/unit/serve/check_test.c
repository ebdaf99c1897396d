/* Every limit of a request, and the words with which it is refused. */
#include "asking.h"

#include <math.h>

#include "freshet/feature.h"

#define INVALID(rpc, request, text) assert_refused((rpc), &(request).base, RPC_CODE_INVALID_ARGUMENT, (text))
#define ID_RULE "; an id is 1 to 256 bytes of UTF-8 without NUL"

static void ids_out_of_bounds_are_refused_by_name(void **state)
{
    Freshet__V1__RecommendRequest recommend = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__GetUserRequest user = FRESHET__V1__GET_USER_REQUEST__INIT;
    Freshet__V1__GetItemRequest item = FRESHET__V1__GET_ITEM_REQUEST__INIT;
    Freshet__V1__SimilarRequest similar = FRESHET__V1__SIMILAR_REQUEST__INIT;
    char long_id[258];

    (void)state;
    memset(long_id, 'x', 257);
    long_id[257] = '\0';
    INVALID(RPC_RECOMMEND, recommend, "user_id is empty and there are no seeds; one of them is needed");
    recommend.user_id = id(long_id);
    INVALID(RPC_RECOMMEND, recommend, "user_id is longer than 256 bytes" ID_RULE);
    recommend.user_id = (ProtobufCBinaryData){3, (uint8_t *)(uintptr_t)"a\0b"};
    INVALID(RPC_RECOMMEND, recommend, "user_id contains a NUL byte" ID_RULE);
    recommend.user_id = id("\xff");
    INVALID(RPC_RECOMMEND, recommend, "user_id is not valid UTF-8" ID_RULE);
    INVALID(RPC_GET_USER, user, "user_id is empty" ID_RULE);
    INVALID(RPC_GET_ITEM, item, "item_id is empty" ID_RULE);
    item.item_id = id("\xed\xa0\x80"); /* a surrogate */
    INVALID(RPC_GET_ITEM, item, "item_id is not valid UTF-8" ID_RULE);
    INVALID(RPC_SIMILAR, similar, "neither item_id nor user_id is given; exactly one is needed");
    similar.item_id = id("apple");
    similar.user_id = id("ann");
    INVALID(RPC_SIMILAR, similar, "item_id and user_id are both given; exactly one is needed");
    similar.user_id = id("");
    similar.item_id = id(long_id);
    INVALID(RPC_SIMILAR, similar, "item_id is longer than 256 bytes" ID_RULE);
}

static void seeds_out_of_bounds_are_refused_by_place(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__Seed good = FRESHET__V1__SEED__INIT, bad = FRESHET__V1__SEED__INIT, *seeds[] = {&good, &bad, &good};

    (void)state;
    good.item_id = bad.item_id = id("apple");
    request.seeds = seeds;
    request.n_seeds = 3;
    INVALID(RPC_RECOMMEND, request, "there are 3 seeds; limits.max_seeds is 2");
    request.n_seeds = 2;
    bad.item_id = id("");
    INVALID(RPC_RECOMMEND, request, "seeds[1].item_id is empty" ID_RULE);
    bad.item_id = id("pear");
    bad.weight = 1000001;
    INVALID(RPC_RECOMMEND, request, "seeds[1].weight is 1e+06; it must lie within -1e6 and 1e6");
    bad.weight = -INFINITY;
    INVALID(RPC_RECOMMEND, request, "seeds[1].weight is -inf; it must lie within -1e6 and 1e6");
    bad.weight = (double)NAN;
    INVALID(RPC_RECOMMEND, request, "seeds[1].weight is nan; it must lie within -1e6 and 1e6");
    bad.weight = 1;
    bad.time_ms = -1;
    INVALID(RPC_RECOMMEND, request, "seeds[1].time_ms is -1; it must lie within 0 and 17592186044415");
    bad.time_ms = 17592186044416;
    INVALID(RPC_RECOMMEND, request, "seeds[1].time_ms is 17592186044416; it must lie within 0 and 17592186044415");
}

static void numbers_and_names_out_of_bounds_are_refused(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__PopularRequest popular = FRESHET__V1__POPULAR_REQUEST__INIT;
    Freshet__V1__RecommendRequest__ContextEntry entry = FRESHET__V1__RECOMMEND_REQUEST__CONTEXT_ENTRY__INIT,
                                                *context[FEATURES_MAX + 1];
    char long_text[FEATURE_BYTES_MAX + 2] = "";

    (void)state;
    request.user_id = id("ann");
    request.k = 6;
    INVALID(RPC_RECOMMEND, request, "k is 6; limits.max_k is 5");
    request.k = 5;
    request.model = wire_text("ncf");
    INVALID(RPC_RECOMMEND, request, "model \"ncf\" is not known; the models are: sar, fm");
    request.model = wire_text("\xff");
    INVALID(RPC_RECOMMEND, request, "model (not UTF-8) is not known; the models are: sar, fm");
    request.model = wire_text("a-name-that-nobody-would-give-to-a-model-if-they-were-in-their-mind");
    INVALID(RPC_RECOMMEND, request, "model (long) is not known; the models are: sar, fm");
    request.model = wire_text("sar");
    request.diversity = 1.5;
    INVALID(RPC_RECOMMEND, request, "diversity is 1.5; it must lie within 0 and 1");
    request.diversity = 0;
    request.exploration = -0.5;
    INVALID(RPC_RECOMMEND, request, "exploration is -0.5; it must lie within 0 and 1");
    request.exploration = (double)NAN;
    INVALID(RPC_RECOMMEND, request, "exploration is nan; it must lie within 0 and 1");
    request.exploration = 0;
    for (size_t i = 0; i <= FEATURES_MAX; i++)
        context[i] = &entry;
    request.context = context;
    request.n_context = FEATURES_MAX + 1;
    INVALID(RPC_RECOMMEND, request, "context has 33 entries; at most 32 are taken");
    memset(long_text, 'x', sizeof(long_text) - 1);
    entry.value = long_text;
    request.n_context = 1;
    INVALID(RPC_RECOMMEND, request, "context[0] has a name or a value of more than 256 bytes");
    popular.by = wire_text("best");
    INVALID(RPC_POPULAR, popular, "by \"best\" is not known; it is one of: users, trending, newest");
    popular.by = wire_text("");
    popular.k = 4000000000U;
    INVALID(RPC_POPULAR, popular, "k is 4000000000; limits.max_k is 5");
}

static void filters_out_of_bounds_are_refused(void **state)
{
    Freshet__V1__SimilarRequest request = FRESHET__V1__SIMILAR_REQUEST__INIT;
    Freshet__V1__Filter filter = FRESHET__V1__FILTER__INIT;
    ProtobufCBinaryData items[] = {id("a"), id("b"), id("c"), id("d")}, bad[] = {id("a"), id("")};
    char *categories[] = {wire_text("a"), wire_text("b"), wire_text("c"), wire_text("")};

    (void)state;
    request.item_id = id("apple");
    request.filter = &filter;
    filter.exclude_items = items;
    filter.n_exclude_items = 4;
    INVALID(RPC_SIMILAR, request, "filter.exclude_items has 4 items; limits.max_filter_items is 3");
    filter.n_exclude_items = 0;
    filter.include_items = items;
    filter.n_include_items = 4;
    INVALID(RPC_SIMILAR, request, "filter.include_items has 4 items; limits.max_filter_items is 3");
    filter.include_items = bad;
    filter.n_include_items = 2;
    INVALID(RPC_SIMILAR, request, "filter.include_items[1] is empty" ID_RULE);
    filter.n_include_items = 1;
    filter.no_category = categories;
    filter.n_no_category = 4;
    INVALID(RPC_SIMILAR, request, "filter.no_category has 4 names; limits.max_filter_items is 3");
    filter.n_no_category = 0;
    filter.any_category = categories + 2;
    filter.n_any_category = 2;
    INVALID(RPC_SIMILAR, request, "filter.any_category[1] is empty; a category is 1 to 256 bytes of UTF-8 without NUL");
    filter.n_any_category = 1;
    filter.all_categories = categories;
    filter.n_all_categories = 1;
    filter.max_per_category = 2;
    assert_true(read_message(RPC_SIMILAR, &request.base));
    assert_true(fr_bytes_equal(question.ask.any[0], FR_BYTES("c")) && question.ask.any_len == 1);
    assert_true(fr_bytes_equal(question.ask.all[0], FR_BYTES("a")) && question.ask.all_len == 1 && !question.ask.none_len);
    assert_int_equal(question.ask.max_per_category, 2);
    request.item_id = id("");
    request.user_id = id("ann");
    INVALID(RPC_SIMILAR, request, "filter is for items; the answer to a user_id has users");
}

static void positions_out_of_bounds_are_refused(void **state)
{
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    Freshet__V1__Position position = FRESHET__V1__POSITION__INIT, *positions[4097];

    (void)state;
    request.user_id = id("ann");
    request.not_before = positions;
    for (int i = 0; i < 4097; i++)
        positions[i] = &position;
    request.n_not_before = 1;
    INVALID(RPC_RECOMMEND, request, "not_before[0].topic is 0 bytes long; it must be 1 to 249");
    position.topic = wire_text("t");
    position.partition = -1;
    INVALID(RPC_RECOMMEND, request, "not_before[0].partition is -1; the smallest is 0");
    position.partition = 0;
    position.offset = -5;
    INVALID(RPC_RECOMMEND, request, "not_before[0].offset is -5; the smallest is 0");
    position.offset = 0;
    request.n_not_before = 4097;
    INVALID(RPC_RECOMMEND, request, "not_before has 4097 positions; at most 4096 partitions are served");
}

static void assert_bytes_refused(enum rpc rpc, struct fr_bytes bytes, const char *text)
{
    assert_false(read_bytes(rpc, bytes));
    assert_string_equal(answer.message, text);
    assert_int_equal(answer.code, RPC_CODE_INVALID_ARGUMENT);
}

/* On the wire, as no C string holds them: what stands before a NUL is not what was asked for. */
static void texts_that_are_no_text_are_refused_by_place(void **state)
{
#define RULE "; text is UTF-8 without NUL"
    (void)state;
    assert_bytes_refused(RPC_RECOMMEND, FR_BYTES("\x0a\x03" "ann\x1a\x07" "sar\0xyz"), "model contains a NUL byte" RULE);
    assert_bytes_refused(RPC_RECOMMEND, FR_BYTES("\x0a\x03" "ann\x2a\x0b\x1a\x02" "ok\x1a\x05" "red\0x"),
                         "filter.any_category[1] contains a NUL byte" RULE);
    assert_bytes_refused(RPC_RECOMMEND, FR_BYTES("\x0a\x03" "ann\x2a\x06\x2a\x04" "red\0"),
                         "filter.no_category[0] contains a NUL byte" RULE);
    assert_bytes_refused(RPC_RECOMMEND,
                         FR_BYTES("\x0a\x03" "ann\x32\x06\x0a\x01k\x12\x01v\x32\x07\x0a\x02k\xff\x12\x01v"),
                         "context[1].key is not valid UTF-8" RULE);
    assert_bytes_refused(RPC_SCORE, FR_BYTES("\x0a\x03" "ann\x12\x01p\x2a\x07\x0a\x01k\x12\x02v\0"),
                         "context[0].value contains a NUL byte" RULE);
    assert_bytes_refused(RPC_RECOMMEND, FR_BYTES("\x0a\x03" "ann\x4a\x04\x0a\x02t\xc3"),
                         "not_before[0].topic is not valid UTF-8" RULE);
    assert_bytes_refused(RPC_POPULAR, FR_BYTES("\x12\x07" "newest\0"), "by contains a NUL byte" RULE);
    assert_bytes_refused(RPC_SET_LOG_LEVEL, FR_BYTES("\x0a\x06" "debug\0"), "level contains a NUL byte" RULE);
    assert_true(read_bytes(RPC_RECOMMEND, FR_BYTES("\x0a\x03" "ann\x9a\x06\x02\xff\0\x1a\x03" "sar"))); /* field 99: who knows */
#undef RULE
}

static void what_needs_a_model_that_does_not_run_is_refused_by_name(void **state)
{
    Freshet__V1__PopularRequest popular = FRESHET__V1__POPULAR_REQUEST__INIT;

    (void)state;
    popular.by = wire_text("trending");
    assert_refused(RPC_POPULAR, &popular.base, RPC_CODE_FAILED_PRECONDITION, "by \"trending\" needs recommend.models to name trending");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ids_out_of_bounds_are_refused_by_name),
        TEST(seeds_out_of_bounds_are_refused_by_place),
        TEST(numbers_and_names_out_of_bounds_are_refused),
        TEST(filters_out_of_bounds_are_refused),
        TEST(positions_out_of_bounds_are_refused),
        TEST(texts_that_are_no_text_are_refused_by_place),
        TEST(what_needs_a_model_that_does_not_run_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
