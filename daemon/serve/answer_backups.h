/* answer_backups.h -- Backup, ListBackups and VerifyBackup: what answer.c asks of backups. Thread: each answerer its own. */
#ifndef FR_ANSWER_BACKUPS_H
#define FR_ANSWER_BACKUPS_H

#include "check.h"
#include "freshet/backup.h"

bool read_verify_backup(struct check *check, const void *message);
/* Begins what the question asks for, if it is about backups; false: *answer says why not. `backups` may be NULL. */
bool backups_begin(struct backups *backups, struct question *question, struct answer *answer);
/* Of one that is ready. */
void backups_answer(struct backups *backups, struct question *question, struct answer *answer);

#endif
