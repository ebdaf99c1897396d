/*
 * base_private.h -- what the files of base share, and the seams at which their tests hand in the time.
 */
#ifndef FR_BASE_PRIVATE_H
#define FR_BASE_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/log.h"

enum { HUGE_PAGE = 2 << 20 };

/* Says what was asked for and ends the process with 70 (alloc.h says why). */
__attribute__((noreturn)) void base_out_of_memory(const char *what, size_t size);

/* Zeroed memory of the system, aligned to `align`, a power of two and at least a page. `protection` as for mmap. */
void *base_map(size_t size, size_t align, int protection);
void base_unmap(void *at, size_t size);

/* log.c: may a line of this event be written at this time? Then *ret_suppressed says how many were not. */
enum { LOG_LINES_PER_SECOND = 10, LOG_EVENTS_MAX = 256 };
bool log_admits(const char *event, uint64_t now_ns, uint32_t *ret_suppressed);

/* log_write.c: writes a line and waits for nobody; without room it and the `lines` it stands for are counted. Returns
 * how many it has told of, with a line before this one. */
uint64_t log_write(const char *at, size_t len, uint64_t lines);
/* log.c: the line that tells of them. */
struct fr_writer;
void log_put_dropped(struct fr_writer *out, uint64_t lines);

/* log_kept.c: keeps a line; `text` is clean, and cut where it is too long. */
void log_keep(enum fr_level level, const char *component, const char *event, const char *text, size_t len, uint64_t times,
              int64_t now_ms);

/* utf8.c: length of the well-formed sequence at `at`, which has `len` >= 1 bytes; 0 if there is none. */
size_t utf8_sequence(const unsigned char *at, size_t len);

/* life.c: fr_pulse_all as of `now_ns` on the clock of fr_mono_ns. */
bool life_pulses_at(uint64_t now_ns, const char **ret_stuck);

/* AddressSanitizer knows malloc; these tell it which parts of our own regions nobody may touch. */
#if defined(__SANITIZE_ADDRESS__)
#define BASE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BASE_ASAN 1
#endif
#endif
#ifdef BASE_ASAN
#include <sanitizer/asan_interface.h>
#define base_poison(at, size) __asan_poison_memory_region((at), (size))
#define base_unpoison(at, size) __asan_unpoison_memory_region((at), (size))
#else
#define base_poison(at, size) ((void)(at), (void)(size))
#define base_unpoison(at, size) ((void)(at), (void)(size))
#endif

#endif
