/*
 * defect.h -- mistakes sown on purpose, so that the tests can be seen to find them.
 *
 *     if (fr_defect(DEFECT_OFFSET_LOW)) ...        constant false, unless built with -DFRESHET_DEFECT=offset_low
 *
 * Each stands where somebody might really have made it, and each must make its test fail: ops/test builds the daemon
 * with one of them and runs that test. A mutant that survives says that the test proves nothing.
 */
#ifndef FR_DEFECT_H
#define FR_DEFECT_H

/* One per line: CMake and the tests read the names from here. What goes wrong, and the test that must find it. */
enum fr_defect {
    DEFECT_NONE,
    DEFECT_TWO_WRITES,         /* offsets in one write, the state they stand for in the next: e2e/crash */
    DEFECT_SPLIT_FREEZE,       /* one freeze, a write per table: e2e/crash */
    DEFECT_OFFSET_LOW,         /* the offset saved is that of the last record applied: e2e/crash */
    DEFECT_OFFSET_HIGH,        /* the offset saved is one beyond the next: e2e/crash */
    DEFECT_START_AT_END,       /* after a restart reading goes on at the end of the log: e2e/crash */
    DEFECT_OUTBOX_APART,       /* dead letters in a write of their own, after the offsets: e2e/crash */
    DEFECT_OUTBOX_IN_MEMORY,   /* a dead letter's record is stepped over, the letter is only in memory: e2e/crash */
    DEFECT_DEDUP_IN_MEMORY,    /* event ids seen are not part of the checkpoint: e2e/crash */
    DEFECT_JOURNAL_KEPT,       /* a journal goes on after its write without being emptied: e2e/crash */
    DEFECT_NUMBER_AGAIN,       /* journals are numbered from 1 at each start, so new deltas replace old ones: e2e/crash */
    DEFECT_FOLD_FORGETS,       /* a fold leaves out the newest delta, and deletes it: e2e/crash */
    DEFECT_EVICTION_UNWRITTEN, /* what leaves a history stays in the store: e2e/crash */
    DEFECT_SKIP_ON_ERROR,      /* a journal the store refused is dropped, the next one goes on: e2e/crash, engine/promises */
    DEFECT_TOLD_UNSYNCED,      /* durable offsets and dead letters are shown before the sync: e2e/crash, engine/promises */
    DEFECTS,
};

#ifndef FRESHET_DEFECT
#define FRESHET_DEFECT DEFECT_NONE
#endif
#define fr_defect(which) ((which) == FRESHET_DEFECT)

#endif
