/*
 * fake_reader.h -- an engine that knows a world small enough to hold in the head: the question side of engine.h under
 * the same names, so that serve can be linked against it. It notes what it was asked.
 *
 *     items   apple (3 users, first seen at 100)   pear (2, 200)   plum (1, 300)
 *     users   ann: apple 2.5 (last at 400), pear 1 (last at 350), 4 events
 *     ann     is recommended plum 1.5 by "sar" because of apple (1) and pear (.5), then pear 0 by "popular"
 *     others  are not known and get apple, pear and plum by "popular"
 *     apple   is like pear (.75) and plum (.5)      ann is like bob (6)
 *     ann     has plum scored 1.5; explained it is 1.5 because of apple (1), many who hold it (1) and pear (-.5), 2nd, seen
 *     other   items score 0, and nothing is known of them
 *     models  sar (4096 bytes), fm (512 bytes; knows no similar items)
 */
#ifndef FR_FAKE_READER_H
#define FR_FAKE_READER_H

#include <stdatomic.h>

#include "freshet/engine.h"

struct engine {
    _Atomic int64_t next;         /* of partition 2 of topic "events" */
    int64_t others[2];            /* likewise of 3 and 4; 0: not there */
    _Atomic uint64_t looks;       /* how often engine_reached was asked */
    _Atomic uint64_t looks_vain;  /* so many looks find nothing reached */
    _Atomic uint64_t look_takes;  /* and each takes so many nanoseconds */
    _Atomic uint64_t asked, done; /* checkpoints */
    _Atomic int staleness_ms; /* negative: of any age */
    const char *untold;       /* of as_of */
    _Atomic int similar_users;    /* the status that reader_similar_users returns */
    _Atomic unsigned holds;       /* a bit per enum engine_hold */
    _Atomic bool busy;            /* not at rest */
    _Atomic int broken;           /* not 0: reader_user and reader_item fail with this */
    _Atomic int more_partitions;  /* of topic "more", in the status: all applied */
    /* what was asked last, if somebody wants to know; for tests of one thread */
    bool notes;
    struct ask ask;
    struct ask_seed seeds[4];
    char user[300], exclude[300], include[300], model[80];
    uint64_t context[4];
    _Atomic int open; /* readers between begin and end */
    _Atomic uint32_t moves;  /* of ann, who is watched; fake_move */
    _Atomic int more;        /* quarters that ann's plum scores more */
    _Atomic uint32_t watched, unwatched;
    _Atomic bool long_name; /* what is popular is one item, whose name has 100,000 bytes */
    _Atomic int came_for_one; /* questions with k = 1 */
    _Atomic uint64_t drawn_by; /* the draw of the last one that explores; */
    _Atomic bool by_history;   /* was it to be drawn by the history, too? */
    /* a gate before reader_recommend: while it is shut, only who finds a pass goes through */
    _Atomic bool shut;
    _Atomic int passes, came; /* came: how many have come to the gate so far */
};

/* Events of ann's are applied: her plum scores `more` quarters more. */
void fake_move(struct engine *engine, int more);

#endif
