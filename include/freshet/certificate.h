/*
 * certificate.h -- what one side of TLS shows for itself, and whom it believes: PEM files that may be read again at any
 * time, checked as a whole before they are used.
 *
 *               a listener                                       a client
 *     cert      its certificate, the chain after it              the same, or none
 *     key       the private key of that, without a passphrase    the same, or none
 *     ca        who must have signed a caller's certificate;     who must have signed the listener's
 *               none: callers need none
 */
#ifndef FR_CERTIFICATE_H
#define FR_CERTIFICATE_H

#include <stdint.h>

#include "freshet/clock.h"
#include "freshet/err.h"

enum { CERTIFICATE_FILE_MAX = 1 << 20 };

struct certificate_file {
    const char *key;  /* "serve.tls_cert": what errors call it */
    const char *path; /* "": none */
};
struct certificate_files {
    struct certificate_file cert, key, ca;
};

struct certificate;
/* Copies. FR_CONFIG: a file cannot be read, is no such thing, or the key is another certificate's; FR_IO: one cannot be read now,
 * but perhaps later (read_file.h). The text names key and file. Thread: main. */
int certificate_open(struct certificate **ret_certificate, const struct certificate_files *files, struct fr_err *err);
/* Reads the files again. A failure leaves what was. Thread: one at a time. */
int certificate_read(struct certificate *certificate, struct fr_err *err);
when_ms certificate_starts(const struct certificate *certificate);  /* the cert of the last reading; 0: none. Thread: main */
when_ms certificate_expires(const struct certificate *certificate); /* the same */
bool certificate_asks_callers(const struct certificate *certificate); /* for theirs. Thread: any */
void certificate_free(struct certificate *certificate); /* NULL is nothing */

struct certificate_texts {
    char *cert, *key, *ca; /* PEM; NULL: none */
};
/* If there has been a reading since *seen (0: never): true, copies of what it found, and its number in *seen. Thread: any. */
bool certificate_newer(struct certificate *certificate, uint64_t *seen, struct certificate_texts *ret_texts);
void certificate_texts_release(struct certificate_texts *texts);

#endif
