/*
 * sanitized.h -- SANITIZED: this is built for ASan or TSan, where all is five to twenty times slower and memory is not what it is; a test
 * may then do less of the same.
 */
#ifndef FR_SANITIZED_H
#define FR_SANITIZED_H

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

#endif
