/*
 * backup_fuzz.c -- any bytes as the list of a backup: never a crash, and what is accepted is exactly what writing it gives again, with
 * no name that leads out of its directory.
 *
 * The seal is put right when the text ends with one, so that the fuzzer gets past it.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "freshet/backup.h"

enum { SEAL = sizeof("seal 0123456789abcdef0123456789abcdef\n") - 1 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + SEAL + 1);
    struct backup backup;
    struct fr_writer again;

    if (size)
        memcpy(text, data, size);
    XXH128_hash_t seal = XXH3_128bits(text, size);
    snprintf(text + size, SEAL + 1, "seal %016" PRIx64 "%016" PRIx64 "\n", seal.high64, seal.low64);
    if (backup_read((struct fr_bytes){text, size + SEAL}, &backup)) {
        fr_writer_init(&again, 0);
        backup_write(&again, &backup);
        assert(again.len == size + SEAL && memcmp(again.at, text, again.len) == 0);
        for (size_t i = 0; i < backup.files_len; i++)
            assert(!strchr(backup.files[i].name, '/') && strcmp(backup.files[i].name, ".."));
        fr_writer_release(&again);
        backup_release(&backup);
    }
    free(text);
    return 0;
}
