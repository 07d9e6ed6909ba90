# shellcheck shell=bash
# What must be true before anything is touched. Each refusal is one sentence that says what to do.

MINIMUM_FREE_GB=30            # packages, binaries, a torch image in the builder, the registry and the node
MINIMUM_FREE_GB_WARM=4        # once those are there

check_root() {
  ((EUID == 0)) || command -v sudo >/dev/null ||
    die "a local cluster and image builds need root: run this as root or install sudo"
}

# as_root COMMAND...: goes on as root, through sudo where needed.
as_root() {
  ((EUID != 0)) || return 0
  check_root
  local -a environment=("HOME=$HOME" "XDG_CACHE_HOME=${CACHE%/flywheel}" "PATH=$PATH")
  local name
  while read -r name; do
    [[ $name =~ ^(CLUSTER|REGISTRY|BASE_IMAGE|KUBECONFIG|PIP_.*|UV_.*|GO.*|SSL_CERT_.*|(http|https|no)_proxy|(HTTP|HTTPS|NO)_PROXY)$ ]] &&
      environment+=("$name=${!name}")
  done < <(compgen -e)
  exec sudo env "${environment[@]}" "$TOOL/cluster" "$@"
}

preflight() {
  check_system
  check_disk
  check_neighbours
  check_firewall
}

check_system() {
  local id version
  id=$(. /etc/os-release 2>/dev/null && printf %s "${ID:-}") || true
  version=$(. /etc/os-release 2>/dev/null && printf %s "${VERSION_ID:-99}") || true
  [[ $(uname -s) == Linux && $id == debian && ${version%%.*} -ge 12 ]] ||
    die "a local cluster needs Debian 12 or newer, this is '${id:-$(uname -s)} ${version:-}': use CLUSTER=current"
  command -v apt-get >/dev/null || die "apt-get is missing, the cluster's packages cannot be installed: use CLUSTER=current"
  [[ $(uname -m) =~ ^(x86_64|aarch64)$ ]] || die "no local cluster on $(uname -m): use CLUSTER=current"
}

check_disk() {
  local place=$CACHE free need=$MINIMUM_FREE_GB
  while [[ ! -d $place ]]; do place=$(dirname "$place"); done
  free=$(($(df --output=avail -k "$place" | tail -n 1) / 1024 / 1024))
  [[ ! -d $STATE/etcd ]] || need=$MINIMUM_FREE_GB_WARM
  ((free >= need)) || die "$place has $free GB free and $need are needed: make room, or set XDG_CACHE_HOME to a larger disk"
}

# Two kubelets or kube-proxies would tear down each other's pods and rules.
check_neighbours() {
  local pid port owner
  for pid in $(pids -x kubelet) $(pids -x kube-proxy) $(pids -x k3s-server); do
    is_running "$pid" || continue
    [[ $(tr '\0' ' ' <"/proc/$pid/cmdline") == flywheel:* ]] ||
      die "another Kubernetes node runs on this machine (process $pid): stop it, or use CLUSTER=current"
  done
  command -v ss >/dev/null || return 0
  for port in etcd:$ETCD_PORT kube-apiserver:$API_PORT kubelet:$KUBELET_PORT registry:$REGISTRY_PORT; do
    owner=${port%%:*} port=${port##*:}
    [[ -n $(ss -Hltn "sport = :$port") && -z $(pid_of "$owner") ]] &&
      die "port $port is taken by another program (ss -ltnp 'sport = :$port' names it): stop that first"
  done
  return 0
}

# Docker, among others, has the machine drop what it forwards; pods would start and reach nothing.
check_firewall() {
  local chain
  command -v nft >/dev/null || return 0
  chain=$(nft list chain ip filter FORWARD 2>/dev/null) || return 0
  [[ $chain != *"policy drop"* || $chain == *"$POD_CIDR"* ]] ||
    die "this machine's firewall drops forwarded packets: let the pods pass, 'for d in s d; do iptables -I FORWARD -\$d $POD_CIDR -j ACCEPT; done', or use CLUSTER=current"
}
