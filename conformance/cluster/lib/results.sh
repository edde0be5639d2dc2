# shellcheck shell=bash
# Running parts and writing down what came out. Sourced by `cluster`.

part_names() {
    local path
    for path in "$here"/parts/* "$here"/*/part; do
        [ -x "$path" ] || continue
        [ "$(basename "$path")" = part ] && path=$(dirname "$path")
        basename "$path"
    done
}

# wish PART NAME: what the first lines of a part say that it needs.
wish() {
    sed -n "1,12{s/^# $2: //p}" "$1"
}

# run_parts PART...: each on a cluster of its own, so that none sees what another left.
run_parts() {
    local part path releases=("$release") scratch table code worst=0 began asked_gates=$gates asked_controllers=$controller_flags
    [ $# -gt 0 ] || { echo "error: which part? \`cluster parts\` lists them" >&2 && exit 2; }
    [ -n "$release_given" ] || [ $length = short ] || releases=(1.36 1.37)
    [ -z "$folder" ] || { echo "error: parts take clusters of their own, without --folder" >&2 && exit 2; }
    scratch=$(mktemp -d)
    tidy=$scratch
    table=$scratch/table
    trap 'down_on_failure' EXIT
    trap 'exit 130' INT TERM
    for release in "${releases[@]}"; do
        options --release "$release"
        for part in "$@"; do
            path=$here/parts/$part
            [ -x "$path" ] || path=$here/$part/part
            [ -x "$path" ] || { echo "error: unknown part \`$part\`, \`cluster parts\` lists them" >&2 && exit 2; }
            echo "==> $part, Kubernetes $version" >&2
            began=$SECONDS folder='' scheduler_config=''
            gates=${asked_gates:-$(wish "$path" "gates-$release")}
            controller_flags=${asked_controllers:-$(wish "$path" controller-flags)}
            : >"$scratch/rows"
            build
            up
            code=0
            # In a process group of its own, which is ended as a whole when we are.
            set -m
            (set -a && . "$folder/env" && DRAYAGE_CLUSTER_ROWS=$scratch/rows DRAYAGE_CLUSTER_LENGTH=$length exec "$path") &
            running=$!
            set +m
            wait $running || code=$?
            kill -KILL -- -$running 2>/dev/null || true
            running=''
            down || { code=1 && echo "the cluster | stopped | something is left" >>"$scratch/rows"; }
            folder=''
            case $code in
                0) ;;
                "$cannot_code") [ -s "$scratch/rows" ] || echo "all of it | nothing | not run here" >>"$scratch/rows" ;;
                *)
                    worst=1
                    echo "all of it | ended with $code | FAILED" >>"$scratch/rows"
                    ;;
            esac
            # A part that compared nothing did not pass.
            [ -s "$scratch/rows" ] || { worst=1 && echo "all of it | nothing | FAILED: no rows" >>"$scratch/rows"; }
            sed "s/^/| $part | $version | /; s/\$/ | $((SECONDS - began)) s | $(date --utc +%F) |/" "$scratch/rows" >>"$table"
            echo "<== $part: exit code $code after $((SECONDS - began)) s" >&2
        done
    done
    trap - EXIT INT TERM
    printf '\n%s\n' "$(cat "$table")"
    if [ -n "$results" ]; then
        write_results "$table" >"$scratch/results"
        cp "$scratch/results" "$results"
    fi
    rm -rf "$scratch"
    exit $worst
}

# What was not run this time keeps its rows.
write_results() {
    cat <<TEXT
# Results on a real control plane

Written by \`conformance/cluster/cluster\`, last by \`$command\` on $(date --utc +%F), on $(nproc) cores with Linux $(uname -r | cut -d- -f1) and
$(go version | cut -d' ' -f3). What is compared, and how, is in [README.md](README.md).

| part | Kubernetes | what | compared | result | time of the part | date |
|---|---|---|---|---|---|---|
TEXT
    {
        [ ! -f "$results" ] || awk -F ' [|] ' 'NR == FNR { ran[$1, $2] = 1; next }
            /^[|] / && $2 != "Kubernetes" && !(($1, $2) in ran)' "$1" "$results"
        cat "$1"
    } | sort -s -t '|' -k 2,3
}
