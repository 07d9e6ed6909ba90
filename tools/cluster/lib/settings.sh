# shellcheck shell=bash
# Names, places, addresses and ports of the cluster, and how it talks to the user.

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin   # a user's PATH lacks them
REPOSITORY=$(readlink -f "$TOOL/../..")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/flywheel
BIN=$CACHE/bin                # the built programs
STATE=$CACHE/cluster          # what outlives `down`: etcd, certificates, unpacked images, volumes
LOG=$STATE/log
RUN=/run/flywheel             # what must not outlive a reboot: sockets, running containers

NODE=flywheel
# On the loopback device: stays the same when the machine's own address changes, and nothing listens to the outside.
NODE_IP=10.95.0.1
POD_CIDR=10.244.0.0/16
NODE_POD_CIDR=10.244.0.0/24
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
DNS_IP=10.96.0.10

# None of these is a default port: another etcd, registry or cluster may run here.
ETCD_PORT=12379
ETCD_PEER_PORT=12380
API_PORT=16443
CONTROLLER_MANAGER_PORT=16257
SCHEDULER_PORT=16259
KUBELET_PORT=16250
KUBELET_HEALTH_PORT=16248
PROXY_HEALTH_PORT=16256
PROXY_METRICS_PORT=16249
REGISTRY_PORT=15000

LOCAL_REGISTRY=127.0.0.1:$REGISTRY_PORT
ADMIN_KUBECONFIG=$STATE/kubeconfig
CONTAINERD_SOCKET=$RUN/containerd/containerd.sock
WORKLOAD_ID=65532             # user and group of every workload pod

say() { printf '%s\n' "$*" >&2; }
die() { printf 'cluster: %s\n' "$*" >&2; exit 1; }

# place FILE: writes stdin there unless it says so already, so that a file's time tells when it changed.
place() {
  local text
  mkdir -p "$(dirname "$1")"
  text=$(cat; printf x)
  [[ -f $1 && "$(cat "$1"; printf x)" == "$text" ]] || printf '%s' "${text%x}" >"$1"
}

# alone NAME: one such command at a time; the others wait. The lock ends with this process.
LOCKS=()
alone() {
  local descriptor
  mkdir -p "$CACHE"
  exec {descriptor}>"$CACHE/$1.lock"
  LOCKS+=("$descriptor")
  flock --nonblock "$descriptor" && return
  say "waiting for another '$1' to finish ..."
  flock "$descriptor"
}

# wait_for SECONDS NAME COMMAND...: until the command succeeds; else shows the end of NAME's log.
wait_for() {
  local deadline=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then
      [[ ! -f $LOG/$name.log ]] || tail -n 15 "$LOG/$name.log" >&2
      die "$name did not become ready; its log is $LOG/$name.log"
    fi
    sleep 0.2
  done
}
