# shellcheck shell=bash
# Starting etcd and the control plane. Sourced by `cluster`.

# Certificates of one authority. The administrator and the components have tokens.
make_certificates() {
    (
        umask 077
        cd "$folder/certificates"
        openssl ecparam -name prime256v1 -genkey -noout -out ca.key
        openssl req -x509 -new -key ca.key -out ca.crt -days 30 -subj /CN=drayage-conformance
        openssl ecparam -name prime256v1 -genkey -noout -out server.key
        openssl req -new -key server.key -subj /CN=kube-apiserver |
            openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 30 \
                -extfile <(echo subjectAltName=IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc)
        openssl genrsa -out service-accounts.key 2048
        openssl rsa -in service-accounts.key -pubout -out service-accounts.pub
    ) >/dev/null 2>"$folder/log/openssl.log"
}

# make_kubeconfig USER GROUP FILE: a token for a user, and the configuration that names it. The API server reads tokens
# when it starts, so a user that is made later is impersonated by the administrator.
make_kubeconfig() {
    local user=$1 group=$2 file=$3 token as=''
    token=$(awk -F, -v user="$user" '$2 == user { print $1 }' "$folder/certificates/tokens.csv")
    if [ -z "$token" ] && [ -f "$folder/env" ]; then
        token=$(awk -F, '$2 == "admin" { print $1 }' "$folder/certificates/tokens.csv")
        as=", as: \"$user\", as-groups: [\"$group\", \"system:authenticated\"]"
    elif [ -z "$token" ]; then
        token=$(openssl rand -hex 16)
        echo "$token,$user,$user,\"$group\"" >>"$folder/certificates/tokens.csv"
    fi
    cat >"$file" <<TEXT
apiVersion: v1
kind: Config
clusters:
- name: conformance
  cluster: {server: "$server", certificate-authority: "$folder/certificates/ca.crt"}
users:
- name: user
  user: {token: "$token"$as}
contexts:
- name: conformance
  context: {cluster: conformance, user: user}
current-context: conformance
TEXT
}

# await SECONDS NAME TEST...: until the test succeeds; at once an error if the process of that name is dead.
await() {
    local patience=$((SECONDS + $1)) name=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ! alive "$name" || [ $SECONDS -ge $patience ]; then
            echo "error: $name is not ready, the end of its log:" >&2
            tail -n 15 "$folder/log/$name.log" | cut -c1-300 >&2
            return 1
        fi
        sleep 0.1
    done
}

answers() {
    curl --silent --fail --max-time 2 --cacert "$folder/certificates/ca.crt" --header "Authorization: Bearer $token" "$@"
}

# Starts everything and waits until it answers. Sets `folder` and all that FOLDER/env has.
up() {
    local began=$SECONDS component flags
    mkdir -p "$base"
    chmod 700 "$base"
    [ -n "$folder" ] || folder=$(mktemp -d "$base/cluster-XXXXXX")
    if [ -n "$(ls -A "$folder")" ]; then
        echo "error: \`$folder\` is not empty" >&2
        folder='' # it is not ours to remove
        exit 2
    fi
    claim_ports
    mkdir -p "$folder"/{certificates,log,pid,down.d}
    server=https://127.0.0.1:$((ports + 2))
    make_certificates
    : >"$folder/certificates/tokens.csv"
    make_kubeconfig admin system:masters "$folder/admin.kubeconfig"
    for component in kube-controller-manager kube-scheduler; do
        make_kubeconfig "system:$component" system:authenticated "$folder/$component.kubeconfig"
    done
    token=$(awk -F, '$2 == "admin" { print $1 }' "$folder/certificates/tokens.csv")
    flags=(--feature-gates="$gates" --v=2)

    start etcd env GOMAXPROCS=2 "$bin/etcd" --name=conformance --data-dir="$folder/etcd" --unsafe-no-fsync --log-level=warn \
        --listen-client-urls="http://127.0.0.1:$ports" --advertise-client-urls="http://127.0.0.1:$ports" \
        --listen-peer-urls="http://127.0.0.1:$((ports + 1))" --initial-advertise-peer-urls="http://127.0.0.1:$((ports + 1))" \
        --initial-cluster="conformance=http://127.0.0.1:$((ports + 1))"
    # shellcheck disable=SC2086 # flags are words
    start kube-apiserver "$bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$ports" --bind-address=127.0.0.1 \
        --secure-port=$((ports + 2)) --advertise-address=127.0.0.1 --endpoint-reconciler-type=none \
        --tls-cert-file="$folder/certificates/server.crt" --tls-private-key-file="$folder/certificates/server.key" \
        --client-ca-file="$folder/certificates/ca.crt" --token-auth-file="$folder/certificates/tokens.csv" \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged \
        --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range=10.96.0.0/24 \
        --service-account-key-file="$folder/certificates/service-accounts.pub" \
        --service-account-signing-key-file="$folder/certificates/service-accounts.key" \
        --runtime-config=api/all=true \
        --max-requests-inflight=3000 --max-mutating-requests-inflight=1000 "${flags[@]}" $api_flags
    await 90 kube-apiserver answers "$server/readyz" || exit 1
    # Nodes without a kubelet send no heartbeat, which must not make them unreachable.
    # shellcheck disable=SC2086
    [[ ,$without, == *,kube-controller-manager,* ]] || start kube-controller-manager "$bin/kube-controller-manager" \
        --kubeconfig="$folder/kube-controller-manager.kubeconfig" --bind-address=127.0.0.1 --secure-port=$((ports + 3)) \
        --leader-elect=false --use-service-account-credentials --root-ca-file="$folder/certificates/ca.crt" \
        --service-account-private-key-file="$folder/certificates/service-accounts.key" --node-monitor-grace-period=24h \
        --kube-api-qps=1000 --kube-api-burst=2000 "${flags[@]}" $controller_flags
    if [ -z "$scheduler_config" ]; then
        scheduler_config=$folder/kube-scheduler.yaml
        cat >"$scheduler_config" <<TEXT
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection: {kubeconfig: "$folder/kube-scheduler.kubeconfig", qps: 5000, burst: 5000}
TEXT
    fi
    # shellcheck disable=SC2086
    [[ ,$without, == *,kube-scheduler,* ]] || start kube-scheduler "$bin/kube-scheduler" --config="$scheduler_config" \
        --authentication-kubeconfig="$folder/kube-scheduler.kubeconfig" --authorization-kubeconfig="$folder/kube-scheduler.kubeconfig" \
        --bind-address=127.0.0.1 --secure-port=$((ports + 4)) "${flags[@]}" $scheduler_flags
    cat >"$folder/env" <<TEXT
export DRAYAGE_CLUSTER='$folder'
export DRAYAGE_CLUSTER_COMMAND='$here/cluster'
export DRAYAGE_CLUSTER_RELEASE='$release'
export DRAYAGE_CLUSTER_VERSION='$version'
export DRAYAGE_CLUSTER_BIN='$bin'
export DRAYAGE_CLUSTER_SERVER='$server'
export DRAYAGE_CLUSTER_TOKEN='$token'
export DRAYAGE_CLUSTER_CA='$folder/certificates/ca.crt'
export DRAYAGE_CLUSTER_PORTS='$ports'
export DRAYAGE_CLUSTER_GATES='$gates'
export KUBECONFIG='$folder/admin.kubeconfig'
TEXT
    # A pod needs its namespace's service account, which the controller manager makes.
    [[ ,$without, == *,kube-controller-manager,* ]] ||
        await 60 kube-controller-manager answers "$server/api/v1/namespaces/default/serviceaccounts/default" || exit 1
    [[ ,$without, == *,kube-scheduler,* ]] ||
        await 60 kube-scheduler curl --silent --fail --insecure "https://127.0.0.1:$((ports + 4))/readyz" || exit 1
    make_nodes
    echo "ready after $((SECONDS - began)) s: Kubernetes $version at $server" >&2
}

make_nodes() {
    local number
    for ((number = 0; number < nodes; number++)); do
        cat <<TEXT
---
apiVersion: v1
kind: Node
metadata: {name: node-$number, labels: {kubernetes.io/hostname: node-$number, kubernetes.io/os: linux}}
status:
  allocatable: {cpu: "16", memory: 64Gi, pods: "110"}
  capacity: {cpu: "16", memory: 64Gi, pods: "110"}
  conditions: [{type: Ready, status: "True", reason: NoKubelet, message: there is no kubelet}]
TEXT
    done >"$folder/nodes.yaml"
    [ "$nodes" = 0 ] || "$bin/kubectl" --kubeconfig "$folder/admin.kubeconfig" create -f "$folder/nodes.yaml" >/dev/null
}
