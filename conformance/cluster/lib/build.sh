# shellcheck shell=bash
# Building the programs of a release. Sourced by `cluster`.

# Builds what conformance/go/cluster-RELEASE names as tools, once for each state of that module; sets `bin`.
build() {
    local module=$repository/conformance/go/cluster-$release cache key start=$SECONDS
    if ! command -v go >/dev/null; then
        echo "SKIPPED: the real control plane needs Go, which is not installed" >&2
        exit "$cannot_code"
    fi
    command -v openssl >/dev/null || { echo "SKIPPED: certificates need openssl, which is not installed" >&2 && exit "$cannot_code"; }
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/drayage/cluster
    key=$(cat "$module/go.mod" "$module/go.sum" <(go version) | sha256sum | cut -c1-12)
    bin=$cache/$version-$key
    [ -d "$bin" ] && return
    mkdir -p "$cache"
    exec 8>"$cache/.lock"
    flock 8 # two that need the same build it once
    if [ ! -d "$bin" ]; then
        echo "building Kubernetes $version and etcd, which takes minutes the first time" >&2
        rm -rf "$bin.part"
        # All at once, so that packages are shared. Versions as the release's own build sets them.
        local versions=k8s.io/component-base/version
        (cd "$module" && go build -mod=readonly -trimpath -o "$bin.part/" -ldflags "-s -w \
            -X $versions.gitVersion=v$version -X $versions.gitMajor=${release%.*} -X $versions.gitMinor=${release#*.} \
            -X $versions.gitTreeState=clean" tool)
        mv "$bin.part/server" "$bin.part/etcd"
        mv "$bin.part" "$bin"
        echo "built in $((SECONDS - start)) s: $bin" >&2
    fi
    exec 8>&-
}
