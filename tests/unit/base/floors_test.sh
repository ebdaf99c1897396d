#!/usr/bin/env bash
# floors_test.sh -- ops/dev/floors finds what is wrong, where it is, and nothing else.
#
#   floors_test.sh FLOORS
set -euo pipefail
floors=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/daemon/{base,access,model,engine,feed,serve,admin,cli} "$root"/storage "$root"/include/freshet

# A file of these lines; a line "! ..." is one to be found.
expected=
file() { # path, lines...
    local path=$1 n=0 line
    shift
    for line in "$@"; do
        n=$((n + 1))
        case $line in '! '*) expected+="$path:$n"$'\n' && line=${line#! } ;; esac
        printf '%s\n' "$line" >>"$root/$path"
    done
}

file daemon/base/slab_private.h '/* nothing */'
file daemon/base/slab.c '#include "slab_private.h"' '#include <stdlib.h>' '#include "freshet/alloc.h"' \
    '! #include "freshet/store.h"' '! #  include "freshet/model.h"' '! #include "../model/sar.h"'
file daemon/model/sar.h '#include "freshet/rows.h"' '#include "freshet/event.h"'
file daemon/model/sar.c '#include "sar.h"' '! #include "freshet/store.h"' '! #include "freshet/engine.h"' \
    '! #include "config.h"'
file storage/rocks.c '#include "freshet/store.h"' '#include <rocksdb/c.h>' '! #include "freshet/model.h"'
file storage/memory.c '#include "freshet/format.h"' '! #include <rocksdb/c.h>'
file daemon/access/tokens.c '#include "freshet/tokens.h"' '#include <openssl/evp.h>' '! #include "freshet/model.h"'
file daemon/engine/engine.c '#include "freshet/model.h"' '#include "freshet/store.h"' '! #include "freshet/feed.h"' \
    '! #include "freshet/v1/events.pb-c.h"' '! #include <librdkafka/rdkafka.h>'
file daemon/feed/kafka.c '#include <librdkafka/rdkafka.h>' '#include "freshet/engine.h"' \
    '#include "freshet/v1/events.pb-c.h"' '! #include "freshet/serve.h"' '! #include <grpc/grpc.h>'
file daemon/serve/grpc.c '#include <grpc/grpc.h>' '#include "freshet/serve.h"' '! #include "freshet/admin.h"' '#include "freshet/tokens.h"' '! #include <openssl/evp.h>' \
    '! #include <microhttpd.h>' \
    '#include "made_by_the_build.h"' '! #include "slab_private.h"'
file daemon/admin/http.c '#include <microhttpd.h>' '#include "freshet/admin.h"' '! #include "freshet/feed.h"'
file daemon/cli/main.c '#include <librdkafka/rdkafka.h>' '#include <grpc/grpc.h>' '! #include "freshet/serve.h"' \
    '! #include <rocksdb/c.h>'
file daemon/config.h '#include "config.def"' '#include "freshet/serve.h"'
file daemon/config.def '/* nothing */'
file daemon/main.c '#include "config.h"' '#include "freshet/feed.h"' '#include "freshet/admin.h"' \
    '! #include <grpc/grpc.h>'
file include/freshet/alloc.h '#include <stddef.h>' '! #include "freshet/event.h"'
file include/freshet/model.h '#include "freshet/epoch.h"' '! #include "freshet/store.h"'
file include/freshet/serve.h '#include "freshet/engine.h"' '! #include "freshet/feed.h"'

if found=$("$floors" "$root"); then
    echo "floors finds nothing wrong" >&2
    exit 1
fi
diff <(printf '%s' "$expected" | sort) <(sed -E 's/^([^:]*:[0-9]+):.*/\1/' <<<"$found" | sort -u)

# And a tree without the wrong lines passes in silence.
find "$root" -type f -exec sed -i '/#/d' {} +
[ -z "$("$floors" "$root")" ]
