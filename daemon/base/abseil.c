/*
 * abseil.c -- see abseil.h. Abseil is C++ and gRPC's, not ours: the function is looked up by the name that it has in the library, if there
 * is one in this process.
 */
#include "freshet/abseil.h"

#include <dlfcn.h>
#include <stddef.h>

enum { IGNORE = 0 }; /* absl::OnDeadlockCycle::kIgnore */

/* absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle), in Debian's namespace, and in none. */
static const char *const names[] = {
    "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE",
    "_ZN4absl29SetMutexDeadlockDetectionModeENS_15OnDeadlockCycleE",
};

void fr_abseil_trust_locks(void)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        void (*set)(int mode);

        *(void **)&set = dlsym(RTLD_DEFAULT, names[i]);
        if (set)
            set(IGNORE);
    }
}
