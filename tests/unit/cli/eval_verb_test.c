/*
 * eval_verb_test.c -- freshet eval as a program, on files small enough to know the answer by hand.
 */
#include "eval_calls.h"

#include <sys/stat.h>

static int run(const char *arguments, char *said, size_t room)
{
    return run_verb("eval", arguments, said, room);
}

/* Given out of order. x is new for ann, the only choice for bob; y is new for bob, ann's only choice. What ann has is no test. */
static void prequential_by_hand(void **state)
{
    char *path = file_of("bob\tx\t5\t20\nann\tx\t5\t10\nbob\ty\t5\t30\nann\ty\t5\t40\nann\tx\t5\t50\n"), call[200];

    (void)state;
    snprintf(call, sizeof(call), "%s -f movielens -m popular,sar -k 1", path);
    json_t *document = eval(call);
    expect(document, "popular", "hit_rate@1", 0.5, 4);
    expect(document, "popular", "ndcg@1", 0.5, 4);
    expect(document, "popular", "new_items", 0.5, 4);
    expect(document, "sar", "hit_rate@1", 0.5, 4);
    expect(document, "sar", "hit_rate@1.cold", 0.5, 4);
    assert_int_equal(json_integer_value(json_object_get(document, "outcomes")), 4);
    json_decref(document);
    snprintf(call, sizeof(call), "%s -f movielens -m popular -k 1 --every 2", path);
    document = eval(call); /* the second and the fourth */
    expect(document, "popular", "hit_rate@1", 1, 2);
    json_decref(document);
    file_gone(path);
}

/* Of twenty items, each less held than the one before, X has had ten and takes the eleventh: of all it is not among the tenth most held,
 * though it would be of those X has not had. */
static void head_and_tail_are_of_all_items(void **state)
{
    enum { ITEMS = 20, MOST = 40 };
    static char text[ITEMS * MOST * 24 + 400];
    char *path, *at = text, call[300];
    int when = 1000;

    (void)state;
    for (int item = 0; item < ITEMS; item++)
        for (int user = 0; user < MOST - item; user++)
            at += sprintf(at, "u%d\ti%d\t5\t%d\n", user, item, when++);
    for (int item = 0; item <= 10; item++)
        at += sprintf(at, "X\ti%d\t5\t%d\n", item, when++);
    path = file_of(text);
    snprintf(call, sizeof(call), "%s -f movielens -m popular --every %d", path, when - 1000); /* X's last alone */
    json_t *document = eval(call);
    expect(document, "popular", "hit_rate@10.tail", 1, 1);
    expect(document, "popular", "hit_rate@10.head", 0, 0);
    json_decref(document);
    /* One before takes i1, the second of twenty: of nineteen a tenth would be one. */
    sprintf(at, "Y\ti1\t5\t%d\n", when++);
    file_gone(path);
    path = file_of(text);
    snprintf(call, sizeof(call), "%s -f movielens -m popular --every %d", path, when - 1000);
    document = eval(call);
    expect(document, "popular", "hit_rate@10.head", 1, 1);
    expect(document, "popular", "hit_rate@10.tail", 0, 0);
    json_decref(document);
    file_gone(path);
}

/* bob is offered y alone, and takes it; ann has all there is, so her list is empty; z nobody knows; cat is in no test. */
static void split_by_hand(void **state)
{
    char *train = file_of("ann\tx\t5\t1\nann\ty\t5\t2\nbob\tx\t5\t3\ncat\ty\t5\t4\n");
    char *test = file_of("bob\ty\t1\t5\nann\tz\t1\t6\n"), *dump = file_of(""), call[300], line[100];

    (void)state;
    snprintf(call, sizeof(call), "%s --test %s -p split -f movielens -m popular --dump %s", train, test, dump);
    json_t *document = eval(call);
    expect(document, "popular", "map", 1, 1);
    expect(document, "popular", "precision@10", 0.1, 1);
    expect(document, "popular", "recall@10", 1, 1);
    expect(document, "popular", "ndcg@10", 0.5, 2);
    expect(document, "popular", "coverage@10", 0.5, 2);
    json_decref(document);
    FILE *file = fopen(dump, "r");
    assert_non_null(fgets(line, sizeof(line), file));
    assert_string_equal(line, "model\tuser\trank\titem\tscore\tsource\n");
    assert_non_null(fgets(line, sizeof(line), file));
    assert_memory_equal(line, "popular\tbob\t1\ty\t", 16);
    assert_null(fgets(line, sizeof(line), file));
    fclose(file);
    file_gone(train);
    file_gone(test);
    file_gone(dump);
}

/* Users 2 and 1 hold 10, user 1 holds 11, nobody 12. Of 2 x 3 pairs of the test all are right but two of equals; what a user has had is
 * asked for all the same. 12 and 13 are new to everybody: with odds, 2 choices and 1 that was none say what to expect, and one of each. */
static void context_by_hand(void **state)
{
    char *train = file_of("1 1:1 10:1 90:1\n1 2:1 10:1 91:1\n1 1:1 11:1 90:1\n-1 2:1 12:1 91:1\n");
    char *test = file_of("1 2:1 10:1 90:1\n-1 1:1 11:1 90:1\n-1 1:1 12:1 90:1\n1 1:1 10:1 90:1\n-1 2:1 10:1 90:1\n");
    char *unknown = file_of("-1 1:1 12:1 90:1\n1 1:1 13:1 90:1\n"), *alike = file_of("1 1:1 10:1\n"), call[300], said[4096];

    (void)state;
    snprintf(call, sizeof(call), "%s --test %s -p context -f libfm -m popular", train, test);
    json_t *document = eval(call);
    expect(document, "popular", "auc", 5 / 6., 5);
    expect(document, "popular", "log_loss", 0, 0);
    assert_int_equal(json_integer_value(json_object_get(document, "events")), 3); /* what was no choice is not learned */
    json_decref(document);
    snprintf(call, sizeof(call), "%s --test %s -p context -f libfm -m fm --set fm.loss=logistic", train, unknown);
    document = eval(call);
    expect(document, "fm", "auc", .5, 2);
    expect(document, "fm", "log_loss", (log(1 + 1.5) + log(1 + 1 / 1.5)) / 2, 2);
    json_decref(document);
    snprintf(call, sizeof(call), "%s --test %s -p context -f libfm 2>&1", train, alike);
    assert_int_equal(run(call, said, sizeof(said)), 1);
    assert_non_null(strstr(said, "not both choices and others"));
    file_gone(train);
    file_gone(test);
    file_gone(unknown);
    file_gone(alike);
}

/* By their times x was passed over before it was chosen, whichever line comes first: of lines on new items one was a choice, one none. */
static void newness_goes_by_the_order_of_learning(void **state)
{
    char *forth = file_of("a\tx\t0\t1\nb\tx\t1\t2\n"), *back = file_of("b\tx\t1\t2\na\tx\t0\t1\n");
    char *test = file_of("a\tz\t1\t5\nb\tz\t0\t6\n"), call[300];
    const char *const files[] = {forth, back};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        snprintf(call, sizeof(call), "%s --test %s -p context -f movielens -m fm --set fm.loss=logistic", files[i], test);
        json_t *document = eval(call);
        expect(document, "fm", "log_loss", log(2), 2);
        json_decref(document);
        snprintf(call, sizeof(call), "%s --test %s -p context -f movielens -m fm --set fm.loss=logistic --order file", files[i], test);
        document = eval(call);
        expect(document, "fm", "log_loss", i ? (log(1 + 2.) + log(1 + 1 / 2.)) / 2 : log(2), 2);
        json_decref(document);
    }
    file_gone(forth);
    file_gone(back);
    file_gone(test);
}

/* Item 3 is taken in context 90, item 4 in 91, by users who are otherwise alike: so asks who asks in that context. */
static void context_is_learned_and_asked_with(void **state)
{
    char train_text[20000] = "", call[300];

    (void)state;
    for (int i = 0; i < 400; i++)
        sprintf(train_text + strlen(train_text), "1 1%02d:1 %d:1 9%d:1\n", i % 100, 3 + i % 2, i % 2);
    char *train = file_of(train_text), *test = file_of("1 100:1 3:1 90:1\n-1 100:1 3:1 91:1\n1 101:1 4:1 91:1\n-1 101:1 4:1 90:1\n");
    snprintf(call, sizeof(call), "%s --test %s -p context -f libfm -m fm --order mixed --seeds 3 --set fm.loss=logistic", train, test);
    json_t *document = eval(call);
    expect(document, "fm", "auc", 1, 4);
    json_decref(document);
    file_gone(train);
    file_gone(test);
}

/* With next to no steps, ratings are their mean 3 and the user's leaning: ann's (1 + 0) / 7, bob's -1 / 6. Nobody knows cat. */
static void ratings_by_hand(void **state)
{
    char *train = file_of("ann\tx\t4\t1\nbob\tx\t2\t2\nann\ty\t3\t3\n"), *test = file_of("bob\ty\t3\t4\ncat\ty\t3\t5\n"), call[300];

    (void)state;
    snprintf(call, sizeof(call), "%s --test %s -p ratings -f movielens -m fm,sar --set fm.loss=squared --set fm.eta=.0001", train, test);
    json_t *document = eval(call);
    const json_t *models = json_object_get(document, "models"), *rmse = json_object_get(json_object_get(models, "fm"), "rmse");
    assert_float_equal(json_number_value(json_object_get(rmse, "value")), 1 / 6., .01);
    assert_int_equal(json_integer_value(json_object_get(rmse, "over")), 1);
    expect(document, "sar", "rmse", 0, 0); /* its scores are no ratings */
    json_decref(document);
    file_gone(train);
    file_gone(test);
}

static double rmse_of(const char *call)
{
    json_t *document = eval(call);
    double value = json_number_value(json_object_get(
        json_object_get(json_object_get(json_object_get(document, "models"), "fm"), "rmse"), "value"));

    json_decref(document);
    return value;
}

/* Again is not the same again, though the events have ids; the same command finds the same; and however wild a model, its ratings are
 * those that people give. */
static void passes_learn_again_and_ratings_stay_in_range(void **state)
{
    char train_text[60000] = "", test_text[20000] = "", call[400], once[600], twice[500];

    (void)state;
    for (int i = 0; i < 400; i++)
        sprintf(i % 7 != 3 ? train_text + strlen(train_text) : test_text + strlen(test_text),
                "{\"user_id\":\"u%d\",\"item_id\":\"i%d\",\"type\":\"rating\",\"value\":%d,\"event_id\":\"e%d\",\"time_ms\":%d}\n", i % 20, i % 37,
                1 + (i * 7 + i / 20) % 5, i, 1000 + i);
    char *train = file_of(train_text), *test = file_of(test_text);
    snprintf(call, sizeof(call), "%s --test %s -p ratings -m fm --set fm.loss=squared --set fm.user_rows=yes", train, test);
    snprintf(once, sizeof(once), "%s --passes 1", call);
    snprintf(twice, sizeof(twice), "%s --passes 2", call);
    assert_true(rmse_of(once) == rmse_of(once));
    assert_true(rmse_of(twice) == rmse_of(twice));
    assert_true(rmse_of(once) != rmse_of(twice));
    snprintf(once, sizeof(once), "%s --seed 2", twice);
    assert_true(rmse_of(once) != rmse_of(twice));
    snprintf(once, sizeof(once), "%s --passes 3 --set fm.eta=10", call);
    assert_true(rmse_of(once) <= 4);
    file_gone(train);
    file_gone(test);
}

/* Else a row would have more columns than the header, or be two lines. */
/* Before all is learned where that can be known; later the figures are at least told. */
static void a_dump_that_cannot_be_written_costs_no_figures(void **state)
{
    char *train = file_of("ann\tx\t1\t1\nbob\tx\t1\t2\nbob\ty\t1\t3\n"), *test = file_of("ann\ty\t1\t4\n"), *old = file_of("old\n");
    char call[600], said[4096];
    struct stat facts;

    (void)state;
    for (int folder = 0; folder < 2; folder++) {
        snprintf(call, sizeof(call), "%s --test %s -p split -f movielens -m popular --dump %s 2>&1", train, test, folder ? "/tmp" : "/nowhere/x");
        assert_int_equal(run_verb("eval", call, said, sizeof(said)), 1);
        assert_non_null(strstr(said, "freshet: cannot write '/"));
        assert_null(strstr(said, "learning"));
    }
    snprintf(call, sizeof(call), "%s --test %s -p split -f movielens -m popular --dump /dev/full 2>&1", train, test);
    assert_int_equal(run_verb("eval", call, said, sizeof(said)), 1);
    assert_non_null(strstr(said, "freshet: cannot write '/dev/full': No space left on device\n"));
    assert_non_null(strstr(said, "recall@10"));
    snprintf(call, sizeof(call), "/nowhere --test %s -p split -f movielens -m popular --dump %s 2>&1", test, old);
    assert_int_equal(run_verb("eval", call, said, sizeof(said)), 1);
    assert_int_equal(stat(old, &facts), 0);
    assert_int_equal(facts.st_size, 4); /* nothing has come that could take its place */
    file_gone(train);
    file_gone(test);
    file_gone(old);
}

/* Under no name of it; and what is no file may well be both. */
static void a_dump_never_takes_the_place_of_what_is_read(void **state)
{
    static const char train[] = "ann\tx\t1\t1\nbob\tx\t1\t2\nbob\ty\t1\t3\n", test[] = "ann\ty\t1\t4\n";
    char *files[] = {file_of(train), file_of(test), file_of("{\"item_id\":\"x\"}\n"), file_of("[sar]\nwindow = 2\n")}, other[80], call[600], said[4096];

    (void)state;
    for (size_t f = 0; f < 4; f++) {
        struct stat before, after;
        snprintf(other, sizeof(other), "%s-other", files[f]);
        assert_int_equal(symlink(files[f], other), 0);
        assert_int_equal(stat(files[f], &before), 0);
        snprintf(call, sizeof(call), "%s --test %s --items %s --config %s -p split -f movielens -m popular --dump %s 2>&1", files[0], files[1], files[2],
                 files[3], other);
        assert_int_equal(run_verb("eval", call, said, sizeof(said)), 2);
        assert_non_null(strstr(said, "is a file that is read; name another\n"));
        assert_int_equal(stat(files[f], &after), 0);
        assert_int_equal(after.st_size, before.st_size);
        unlink(other);
    }
    snprintf(call, sizeof(call), "%s --test /dev/stdin -p split -f movielens -m popular --dump /dev/null <%s 2>&1", files[0], files[1]);
    assert_int_equal(run_verb("eval", call, said, sizeof(said)), 0);
    for (size_t f = 0; f < 4; f++)
        file_gone(files[f]);
}

static void ids_of_a_dump_are_escaped(void **state)
{
    char *train = file_of("{\"user_id\":\"a\\tb\",\"item_id\":\"x\"}\n{\"user_id\":\"c\",\"item_id\":\"y\\n\\\\z\"}\n");
    char *test = file_of("{\"user_id\":\"a\\tb\",\"item_id\":\"y\"}\n"), *dump = file_of(""), call[300], line[100];

    (void)state;
    snprintf(call, sizeof(call), "%s --test %s -p split -m popular --dump %s", train, test, dump);
    json_decref(eval(call));
    FILE *file = fopen(dump, "r");
    assert_non_null(fgets(line, sizeof(line), file));
    assert_non_null(fgets(line, sizeof(line), file));
    assert_memory_equal(line, "popular\ta\\tb\t1\ty\\n\\\\z\t", 22);
    assert_null(fgets(line, sizeof(line), file));
    fclose(file);
    file_gone(train);
    file_gone(test);
    file_gone(dump);
}

/*
 * Kept back: D, C, D, and of dan, whose last is a repeat, nothing. Learned: one A B C, two B, three A C, dan A B A: A 3, B 3, C 2.
 * two's C stands behind A. D nobody has.
 */
static void loo_by_hand(void **state)
{
    char *path = file_of("one A B C D\ntwo B C\nthree A C D\ndan A B A\n"), call[300];
    char *named = file_of("(two,C)\tD\tA\none\tB\tnobody\ndan\tA\tC\n");

    (void)state;
    snprintf(call, sizeof(call), "%s -p loo -f sequences -m popular -k 2 --sampled 1", path);
    json_t *document = eval(call);
    expect(document, "popular", "hit_rate@2", 1 / 3.0, 3);
    expect(document, "popular", "ndcg@2", 1 / log2(3) / 3, 3);
    expect(document, "popular", "mrr@2", 0.5 / 3, 3);
    expect(document, "popular", "hit_rate@2.sampled", 1 / 3.0, 3);
    assert_int_equal(json_integer_value(json_object_get(document, "leftOut")), 1);
    json_decref(document);
    /* Kept back: C of two, B of one, A of dan, both times. Learned: one A C D, two B, three A C D, dan B: two users each. */
    snprintf(call, sizeof(call), "%s -p loo -f sequences -m popular -k 2 --negatives %s", path, named);
    document = eval(call);
    expect(document, "popular", "hit_rate@2", 1, 3);
    expect(document, "popular", "mrr@2", (0.5 + 1 + 0.5) / 3, 3);              /* C of A C D, B alone, A of A C D */
    expect(document, "popular", "mrr@2.sampled", (0.5 + 1 + 1 / 1.5) / 3, 3); /* C of D A C, B and nobody's, A of C A */
    json_decref(document);
    file_gone(path);
    file_gone(named);
}

static void the_same_command_prints_the_same(void **state)
{
    static char first[65536], second[65536];
    char *path = file_of("a A B C D\nb B C A\nc A C D\nd D B A\ne B A D C\n"), call[300];

    (void)state;
    snprintf(call, sizeof(call), "%s -p loo -f sequences -m sar,popular,fm,ncf,auto -k 1 --sampled 1 --seeds 3 --set engine.evaluate_every=1 2>/dev/null", path);
    assert_int_equal(run(call, first, sizeof(first)), 0);
    assert_int_equal(run(call, second, sizeof(second)), 0);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "between seeds"));
    assert_non_null(strstr(first, "hit_rate@1.sampled"));
    file_gone(path);
}

/* A name of a file is any bytes; JSON is UTF-8. And what nothing tells of is null. */
static void json_of_what_is_no_json(void **state)
{
    enum { LINES = 40 };
    char text[LINES * 16] = "", said[4096], call[300], *at = text, *path;

    (void)state;
    for (int i = 0; i < LINES; i++)
        at += sprintf(at, "a\t%d\t-1\t%d\n", i, i);
    path = file_of(text);
    snprintf(call, sizeof(call), "%s-\xff", path);
    assert_int_equal(link(path, call), 0);
    snprintf(call, sizeof(call), "%s-\xff -f movielens -o json 2>&1 >/dev/null", path);
    assert_int_equal(run(call, said, sizeof(said)), 2);
    assert_non_null(strstr(said, "not UTF-8"));
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 2);
    snprintf(call, sizeof(call), "%s-\xff -f movielens 2>/dev/null", path);
    assert_int_equal(run(call, said, sizeof(said)), 0);
    snprintf(call, sizeof(call), "%s-\xff", path);
    unlink(call);
    /* Nothing of positive weight: nothing is ranked. */
    snprintf(call, sizeof(call), "%s -f movielens --trials 2 -o json 2>/dev/null", path);
    assert_int_equal(run_verb("tune", call, said, sizeof(said)), 0);
    assert_non_null(strstr(said, "\"after\": null"));
    file_gone(path);
}

/* A file without line ends is not taken into memory; what is bad is counted in both files, and nothing of such a line is kept. */
static void lines_have_a_ceiling_and_are_whole(void **state)
{
    static char said[65536];
    char *path = file_of("a x y\nb x \xff z\nc x\n"), *train = file_of("a\tx\t5\t1\n"), *test = file_of("a\ty\t5\t2\nbad\n"), call[300];

    (void)state;
    snprintf(call, sizeof(call), "%s -f sequences -m popular --order file", path);
    json_t *document = eval(call);
    assert_int_equal(json_integer_value(json_object_get(document, "badLines")), 1);
    assert_int_equal(json_integer_value(json_object_get(document, "events")), 3);
    assert_int_equal(json_integer_value(json_object_get(document, "users")), 2);
    json_decref(document);
    snprintf(call, sizeof(call), "%s -f movielens -m popular -p split --test %s", train, test);
    document = eval(call);
    assert_int_equal(json_integer_value(json_object_get(document, "badLines")), 1);
    json_decref(document);
    assert_int_equal(truncate(path, 100 << 20), 0);
    snprintf(call, sizeof(call), "- 2>&1 >/dev/null <%s", path);
    assert_int_equal(run(call, said, sizeof(said)), 1);
    assert_non_null(strstr(said, "-:4 is longer than any line may be"));
    snprintf(call, sizeof(call), "- --brokers 127.0.0.1:1 2>&1 <%s", path);
    assert_int_equal(run_verb("publish", call, said, sizeof(said)), 1);
    assert_non_null(strstr(said, "-:4 is longer than any line may be"));
    file_gone(path);
    file_gone(train);
    file_gone(test);
}

/* All that nobody else has had, which is all there is: the sample is the full ranking. And more than there is cannot be drawn. */
static void a_sample_of_all_is_the_full_ranking(void **state)
{
    enum { USERS = 40, ITEMS = 3000 };
    static char text[USERS * 6 * 8 + ITEMS * 8];
    char *at = text, *path, call[300], said[4096];

    (void)state;
    for (int u = 0; u < USERS; u++)
        at += sprintf(at, "%d %d %d %d %d\n", u, u % 7, u % 5 + 7, u % 3 + 12, (u + 1) % 7);
    at += sprintf(at, "all");
    for (int i = 0; i < ITEMS; i++)
        at += sprintf(at, " %d", i);
    sprintf(at, "\n");
    path = file_of(text);
    snprintf(call, sizeof(call), "%s -p loo -f sequences --order file -m popular -k 20 --sampled %d", path, ITEMS);
    json_t *document = eval(call);
    const json_t *figures = json_object_get(json_object_get(document, "models"), "popular");
    double full = json_number_value(json_object_get(json_object_get(figures, "mrr@20"), "value"));
    assert_true(full > 0);
    expect(document, "popular", "mrr@20.sampled", full, USERS + 1);
    json_decref(document);
    snprintf(call, sizeof(call), "%s -p loo -f sequences -m popular --sampled %d 2>&1 >/dev/null", path, ITEMS + 1);
    assert_int_equal(run(call, said, sizeof(said)), 1);
    assert_non_null(strstr(said, "has 3000 items"));
    file_gone(path);
}

/* The blend needs recommend.models, however it is written; without them it could only be SAR. */
static void a_blank_behind_a_comma_changes_nothing(void **state)
{
    char *path = file_of("a A B C D\nb B C A\nc A C D\nd D B A\ne B A D C\n"), call[300], close[65536], wide[65536];

    (void)state;
    snprintf(call, sizeof(call), "%s -p loo -f sequences -m sar,auto -k 1 2>/dev/null", path);
    assert_int_equal(run(call, close, sizeof(close)), 0);
    snprintf(call, sizeof(call), "%s -p loo -f sequences -m 'sar, auto' -k 1 2>/dev/null", path);
    assert_int_equal(run(call, wide, sizeof(wide)), 0);
    assert_string_equal(close, wide);
    file_gone(path);
}

/* Two halves of the catalogue, told apart by a category alone: z is of the half that ann and eve like, and nobody has had it. */
static void what_is_said_of_items_finds_new_ones(void **state)
{
    enum { EVENTS = 400 };
    static char events[EVENTS * 24 + 200], said[8192], call[600];
    size_t at = 0, len = 0;

    (void)state;
    for (int k = 0; k < EVENTS; k++)
        at += (size_t)sprintf(events + at, "u%d\ti%d\t5\t%d\n", k % 8, k * 7 / 8 % 20 * 2 + k % 2, 100 + k);
    sprintf(events + at, "u0\tz\t5\t9000\n");
    for (int item = 0; item < 40; item++)
        len += (size_t)sprintf(said + len, "{\"item_id\":\"i%d\",\"categories\":[\"half%d\"]}\n", item, item % 2);
    sprintf(said + len, "{\"itemId\":\"z\",\"categories\":[\"half0\"],\"features\":{\"a\":\"b\"},\"title\":\"Z\"}\n");
    char *log = file_of(events), *items = file_of(said);
    snprintf(call, sizeof(call), "%s -f movielens -m fm -k 20 --items %s --set fm.item_features=no", log, items);
    json_t *without = eval(call);
    snprintf(call, sizeof(call), "%s -f movielens -m fm -k 20 --items %s", log, items);
    json_t *with = eval(call);
    json_t *found = json_object_get(json_object_get(json_object_get(with, "models"), "fm"), "hit_rate@20.new");
    int over = (int)json_integer_value(json_object_get(found, "over"));
    expect(without, "fm", "hit_rate@20.new", 0, over);
    assert_true(json_number_value(json_object_get(found, "value")) * over >= 1);
    json_decref(without);
    json_decref(with);
    file_gone(items);
    static const char *const bad[] = {"nonsense", "{\"item_id\":\"x\",\"categories\":7}", "{\"item_id\":\"x\",\"features\":{\"a\":1}}"};
    for (size_t i = 0; i < 3; i++) {
        items = file_of(bad[i]);
        snprintf(call, sizeof(call), "%s -f movielens -m fm --items %s 2>&1 >/dev/null", log, items);
        assert_int_equal(run(call, said, sizeof(said)), 1);
        assert_non_null(strstr(said, ":1 "));
        file_gone(items);
    }
    file_gone(log);
}

/* Ten items that somebody holds, and fifty that are only said: fm lists these too, and covers no more than all of the ten. */
static void coverage_is_of_what_is_held(void **state)
{
    enum { EVENTS = 600, USERS = 60, ITEMS = 10, SAID = 60 };
    static char events[EVENTS * 24], said[SAID * 60], call[600];
    char *at = events, *path, *items;
    uint32_t random = 1;

    (void)state;
    for (int i = 0; i < EVENTS; i++) {
        uint32_t user = (random = random * 1664525 + 1013904223) >> 16, item = (random = random * 1664525 + 1013904223) >> 16;
        at += sprintf(at, "u%u\ti%u\t5\t%d\n", user % USERS, item % ITEMS, 100 + i);
    }
    at = said;
    for (int i = 0; i < SAID; i++)
        at += sprintf(at, "{\"itemId\":\"i%d\",\"features\":{\"g\":\"g%d\"}}\n", i, i % 5);
    path = file_of(events);
    items = file_of(said);
    snprintf(call, sizeof(call), "%s -f movielens -m fm,sar --items %s --set fm.features_admit=1", path, items);
    json_t *document = eval(call);
    double covered = json_number_value(json_object_get(
        json_object_get(json_object_get(json_object_get(document, "models"), "fm"), "coverage@10"), "value"));
    assert_true(covered > 0 && covered <= 1);
    expect(document, "sar", "coverage@10", 1, USERS);
    json_decref(document);
    file_gone(path);
    file_gone(items);
}

/* More dead letters than a megabyte holds, and no feed to take them: where nobody did, there would be no batch ever. */
static void what_the_engine_refuses_is_counted(void **state)
{
    enum { USERS = 12000, FEW = 1000, SAID = 12000 };
    static const char users_bound[] = "user_id is new and engine.users_max users have been known";
    static const char items_bound[] = "item_id is new and engine.items_max items have been known";
    static char events[USERS * 32], said[SAID * 50], told[65536];
    char *at = events, *path, *items, call[600];

    (void)state;
    for (int u = 0; u < USERS; u++)
        at += sprintf(at, "u%d\ti%d\t5\t%d\n", u, u % 7, 1000 + u);
    at = said;
    for (int i = 0; i < SAID; i++)
        at += sprintf(at, "{\"itemId\":\"i%d\",\"categories\":[\"c\"]}\n", i);
    path = file_of(events);
    items = file_of(said);
    for (int mb = 1; mb <= 64; mb += 63) { /* overflowing and not */
        snprintf(call, sizeof(call), "%s -f movielens -m popular --every 100 --refresh 100000 --set engine.users_max=%d --set engine.outbox_mb=%d", path,
                 FEW, mb);
        json_t *document = eval(call);
        assert_int_equal(json_integer_value(json_object_get(document, "refused")), USERS - FEW);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(document, "refusals"), users_bound)), USERS - FEW);
        json_decref(document);
    }
    snprintf(call, sizeof(call), "%s -f movielens -m popular --every 100 --set engine.items_max=100 --set engine.outbox_mb=1 --items %s", path, items);
    json_t *document = eval(call);
    assert_int_equal(json_integer_value(json_object_get(document, "refused")), SAID - 100);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(document, "refusals"), items_bound)), SAID - 100);
    json_decref(document);
    snprintf(call, sizeof(call), "%s -f movielens -m popular --every 100 --set engine.users_max=%d 2>&1", path, FEW);
    assert_int_equal(run(call, told, sizeof(told)), 0);
    assert_non_null(strstr(told, "freshet: the engine refuses"));
    assert_non_null(strstr(told, "11000 refused, and figures are of the rest: user_id is new and engine.users_max"));
    snprintf(call, sizeof(call), "%s -f movielens -m popular --every 100", path);
    document = eval(call);
    assert_int_equal(json_integer_value(json_object_get(document, "refused")), 0);
    assert_int_equal(json_object_size(json_object_get(document, "refusals")), 0);
    json_decref(document);
    file_gone(path);
    file_gone(items);
}

static void wrong_use_is_status_2_and_a_bad_file_1(void **state)
{
    static const char *const wrong[] = {
        "", "/dev/null --protocol fly", "/dev/null --models sar,nobody", "/dev/null --models ,", "/dev/null -p split", "/dev/null -t /dev/null",
        "/dev/null --sampled 9", "/dev/null --order up", "/dev/null -k 0", "/dev/null --set sar.windw=3", "/dev/null --output xml",
        "/dev/null --dump x", "/dev/null -p loo --ratings", "/dev/null -p ratings", "/dev/null -p context", "/dev/null --passes 2",
        "/dev/null -p ratings -t /dev/null --passes 0", "/dev/null -p ratings -t /dev/null --ratings", "/dev/null -p ratings -t /dev/null --seeds 2", "a b", "/dev/null --seeds 0", "/dev/null --seeds 2", "/dev/null -f sequences --order file -p loo --seeds 2",
         "/dev/null -p loo --sampled 9 --negatives x",
    };
    static const char *const bad[] = {"/nowhere", "/", "/dev/null", "/dev/null -f fly"};
    char call[300], said[4096];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        snprintf(call, sizeof(call), "%s 2>/dev/null", wrong[i]);
        if (run(call, said, sizeof(said)) != 2)
            fail_msg("eval %s is no usage error", wrong[i]);
        assert_string_equal(said, "");
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(call, sizeof(call), "%s 2>&1 >/dev/null", bad[i]);
        assert_int_equal(run(call, said, sizeof(said)), 1);
        assert_memory_equal(said, "freshet: ", 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prequential_by_hand),
        cmocka_unit_test(head_and_tail_are_of_all_items),
        cmocka_unit_test(split_by_hand),
        cmocka_unit_test(context_by_hand),
        cmocka_unit_test(newness_goes_by_the_order_of_learning),
        cmocka_unit_test(context_is_learned_and_asked_with),
        cmocka_unit_test(ratings_by_hand),
        cmocka_unit_test(passes_learn_again_and_ratings_stay_in_range),
        cmocka_unit_test(a_dump_that_cannot_be_written_costs_no_figures),
        cmocka_unit_test(a_dump_never_takes_the_place_of_what_is_read),
        cmocka_unit_test(ids_of_a_dump_are_escaped),
        cmocka_unit_test(loo_by_hand),
        cmocka_unit_test(the_same_command_prints_the_same),
        cmocka_unit_test(json_of_what_is_no_json),
        cmocka_unit_test(lines_have_a_ceiling_and_are_whole),
        cmocka_unit_test(a_sample_of_all_is_the_full_ranking),
        cmocka_unit_test(a_blank_behind_a_comma_changes_nothing),
        cmocka_unit_test(what_is_said_of_items_finds_new_ones),
        cmocka_unit_test(coverage_is_of_what_is_held),
        cmocka_unit_test(what_the_engine_refuses_is_counted),
        cmocka_unit_test(wrong_use_is_status_2_and_a_bad_file_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
