# bash completion for freshet. What there is it asks the program itself, so that it is never out of date.
_freshet()
{
    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words
    local -x LC_ALL=C # in some languages an i is not within a-z
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words=$(freshet --help 2>/dev/null | sed -n 's/^  \([a-z-]*\)  .*/\1/p')
        words+=" --help --version"
    elif [[ $word == -* ]]; then
        words=$(freshet "$verb" --help 2>/dev/null | sed -n 's/^  [^ ]* *\(--[a-z][a-z-]*\).*/\1/p' | sort -u)
    else
        local option=${COMP_WORDS[COMP_CWORD - 1]}
        case $option in
        --format)
            words="movielens csv tsv jsonl online-retail libfm"
            [ "$verb" = publish ] && words+=" items-jsonl items-tsv users-jsonl" || words+=" sequences" ;;
        --*) # of "--to earliest|end|OFFSET" what is not in capitals
            words=$(freshet "$verb" --help 2>/dev/null | sed -n "s/^.* $option \([^ ]*|[^ ]*\) .*/\1/p" | tr '|' '\n' | grep -v '[A-Z]') ;;
        esac
        case ${words:+known}$verb in
        known*) ;;
        log-level) words="debug info warn error" ;;
        forget) [ "$COMP_CWORD" -eq 2 ] && words="user item" ;;
        *) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o filenames -F _freshet freshet
