# Task runner: https://just.systems. `just` lists the recipes; .ci/run runs all checks without needing `just`.

default:
    @just --list --unsorted

# format the code
fmt:
    cargo fmt --all

# lint with warnings denied, as CI does
clippy:
    cargo clippy --workspace --all-targets -- -D warnings

# run all tests
test *ARGS:
    cargo test --workspace {{ARGS}}

# build the API documentation with warnings denied
docs:
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

# check licences, duplicate versions, sources and advisories of the dependencies
deny:
    .ci/run dependencies advisories

# everything CI checks, or only the named steps
ci *STEPS:
    .ci/run {{STEPS}}

# check every folder in examples/ against its expected output
examples:
    cargo test --package drayage-simulator --test examples

# write the expected output of examples/ anew; read the difference before you commit it
examples-update:
    DRAYAGE_UPDATE_EXAMPLES=1 cargo test --package drayage-simulator --test examples

# run one fuzz target for SECONDS (needs the nightly toolchain and cargo-fuzz)
fuzz TARGET SECONDS='60':
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}}

# run the benchmarks
bench *ARGS:
    cargo bench --workspace {{ARGS}}

# the long checks: COUNT random problems of every release against Kubernetes' own allocator (needs Go)
long COUNT='20000' SEED='1':
    conformance/long {{COUNT}} {{SEED}}

# times of our allocator and of Kubernetes' own, in turn (needs Go)
bench-upstream *ARGS:
    conformance/bench {{ARGS}}

# compare with a real control plane and kubelet, for a quarter of an hour (needs Go, openssl; parts that cannot run say so)
e2e *ARGS:
    conformance/cluster/cluster all {{ARGS}}

# the same for both releases at full length
e2e-nightly *ARGS:
    conformance/cluster/cluster nightly {{ARGS}}
