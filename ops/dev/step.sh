# One line per step, its log shown when it fails; to be sourced by the scripts of ops/. FR_LOGS is the folder of the logs.

# What a to z are, how a number is written and what an error is called do not depend on the caller's language.
export LC_ALL=C.UTF-8

# step NAME WORDS... -- COMMAND...: NAME names the log file.
step() {
    local name=$1 words="" began=$SECONDS
    shift
    while [ "$1" != -- ]; do
        words="$words $1"
        shift
    done
    shift
    mkdir -p "$FR_LOGS"
    printf '%-58s' "${words# }"
    if "$@" >"$FR_LOGS/$name.log" 2>&1 </dev/null; then
        printf 'ok    %4d s\n' $((SECONDS - began))
    else
        printf 'FAILED\n'
        grep -nE 'error|warning|FAILED|CMake Error' "$FR_LOGS/$name.log" | head -n 30 >&2 || true
        printf -- '---- the end of %s\n' "$FR_LOGS/$name.log" >&2
        tail -n 60 "$FR_LOGS/$name.log" >&2
        return 1
    fi
}

# configure_and_build FOLDER TARGETS OPTIONS...: TARGETS "" is all. A folder that was configured with another compiler begins anew.
configure_and_build() {
    local folder=$1 targets=$2 name
    shift 2
    name=$(basename "$folder")
    if [ "$(cat "$folder/options" 2>/dev/null)" != "$PWD $*" ]; then
        rm -rf "$folder/options" "$folder/CMakeCache.txt" "$folder/CMakeFiles" # the options first: they are those of a cache that is whole
    fi
    step "$name-configure" "configure $folder" -- cmake -S . -B "$folder" -G Ninja "$@" || return 1
    printf '%s\n' "$PWD $*" >"$folder/options"
    # shellcheck disable=SC2086 # several targets are several words
    step "$name-build" "build $folder" -- cmake --build "$folder" ${targets:+--target $targets} || return 1
}
