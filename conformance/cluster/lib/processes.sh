# shellcheck shell=bash
# Folders, ports and processes of clusters, and their end. Sourced by `cluster`.

base=${TMPDIR:-/tmp}/drayage-clusters-$(id -u)

# Folders of clusters that are up, or that something was left of.
folders_up() {
    local claim
    for claim in "$base"/ports-*/folder; do
        [ -f "$claim" ] && cat "$claim"
    done
}

the_one_up() {
    [ -n "$folder" ] && return
    case $(folders_up | wc -l) in
        1) folder=$(folders_up) ;;
        0) echo "error: no cluster is up" >&2 && exit 2 ;;
        *) echo "error: several are up, name one with --folder" >&2 && folders_up >&2 && exit 2 ;;
    esac
}

# Ten ports in a row that nobody listens on. The claim on them is a folder, which only one can make.
claim_ports() {
    local used claim try
    used=" $(awk '$4 == "0A" { split($2, at, ":"); print at[2] }' /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        while read -r port; do echo $((16#$port / 10)); done | sort -u | tr '\n' ' ')"
    for try in {1..200}; do
        ports=$((20000 + (RANDOM * 7 + try) % 1200 * 10)) # below what the system gives to clients
        claim=$base/ports-$ports
        if [[ $used != *" $((ports / 10)) "* ]] && mkdir "$claim" 2>/dev/null; then
            echo "$folder" >"$claim/folder"
            return
        fi
    done
    echo "error: no ten free ports in a row" >&2
    exit 1
}

# When a process started, so that its number, given anew, is not mistaken for it.
started_at() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) } # the name may hold anything
    set -- $stat
    [ "$1" != Z ] && echo "${20}"
}

# start NAME COMMAND...: in a session of its own, so that a Ctrl-C of ours does not reach it. One that comes meanwhile waits
# until it is written down what was started, or nobody would stop it.
start() {
    local name=$1 pid='' at='' interrupted='' try=0
    shift
    trap 'interrupted=yes' INT TERM
    # shellcheck disable=SC2016 # expanded by the inner shell
    setsid --fork bash -c 'echo $$ >"$0" || exit; exec "$@"' "$folder/pid/$name.new" "$@" >>"$folder/log/$name.log" 2>&1 </dev/null 8>&- 9>&-
    until [ -s "$folder/pid/$name.new" ]; do
        # It may have ended by the same Ctrl-C, before it had its session.
        [ -z "$interrupted" ] || [ $((try += 1)) -lt 100 ] || break
        sleep 0.01 || true
    done
    if [ -s "$folder/pid/$name.new" ]; then
        read -r pid <"$folder/pid/$name.new"
        # What looks may itself be ended by the Ctrl-C. One that is dead already is found by whoever waits for it.
        until at=$(started_at "$pid") || ! kill -0 "$pid" 2>/dev/null; do :; done
        echo "$pid ${at:-gone}" >"$folder/pid/$name"
        rm -f "$folder/pid/$name.new" || true
    fi
    trap 'exit 130' INT TERM
    [ -z "$interrupted" ] || exit 130
}

alive() {
    local pid at
    read -r pid at <"$folder/pid/$1" && [ "$(started_at "$pid")" = "$at" ]
}

# stop NAME: by its number, and only if that is still it.
stop() {
    local pid at signal=TERM try
    [ -f "$folder/pid/$1" ] || return 0
    read -r pid at <"$folder/pid/$1"
    for try in {1..60}; do
        [ "$(started_at "$pid")" = "$at" ] || break
        [ "$try" -gt 30 ] && signal=KILL
        [ "$try" = 1 ] || [ "$try" = 31 ] && kill -$signal "$pid" 2>/dev/null
        sleep 0.1
    done
    if [ "$(started_at "$pid")" = "$at" ]; then
        echo "error: process $pid ($1) does not end" >&2
        return 1
    fi
    rm -f "$folder/pid/$1"
}

# Ends everything of a cluster, however little of it there is, and says what it could not end.
down() {
    local name hook mount ended=0 claim
    for hook in "$folder"/down.d/*; do
        [ -x "$hook" ] || continue
        (set -a && . "$folder/env" && "$hook") || { echo "error: $hook failed" >&2 && ended=1; }
    done
    # Clients before servers; nothing that is stored is kept, so the API server and etcd need not end in peace.
    for name in $(cd "$folder/pid" 2>/dev/null && ls -t | grep -vxE 'etcd|kube-apiserver|.*\.new'); do
        stop "$name" || ended=1
    done
    for name in kube-apiserver etcd; do
        [ -f "$folder/pid/$name" ] && alive "$name" && kill -KILL "$(cut -d' ' -f1 "$folder/pid/$name")" 2>/dev/null
        stop "$name" || ended=1
    done
    awk -v folder="$folder/" 'index($2, folder) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r mount; do
        umount "$mount" || umount --lazy "$mount"
    done
    if grep -qF " $folder/" /proc/self/mounts; then
        echo "error: something is still mounted in $folder" >&2
        ended=1
    fi
    [ $ended = 0 ] || return 1
    rm -rf --one-file-system "$folder"
    for claim in "$base"/ports-*; do
        if [ "$(cat "$claim/folder" 2>/dev/null)" = "$folder" ]; then
            rm -rf "$claim"
        fi
    done
    rmdir "$base" 2>/dev/null || true
}

down_on_failure() {
    local code=$?
    [ $code = 0 ] && return
    trap '' INT TERM
    [ -z "${running-}" ] || kill -KILL -- "-$running" 2>/dev/null || true
    [ -z "${tidy-}" ] || rm -rf "$tidy"
    if [ -n "${KEEP_LOGS-}" ] && [ -d "$folder/log" ]; then
        mkdir -p "$KEEP_LOGS" && cp -r "$folder/log/." "$KEEP_LOGS"
    fi
    [ -n "$folder" ] && [ -d "$folder" ] && { down || code=1; }
    exit "$code"
}
