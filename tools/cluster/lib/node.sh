# shellcheck shell=bash
# containerd, kubelet and kube-proxy: what makes this machine a node; and how all of it is taken away again.

CGROUPS=/sys/fs/cgroup
CGROUP=flywheel               # every pod lives below it

node_up() {
  cgroup_up
  containerd_up
  local since before
  since=$(date -u +%Y-%m-%dT%H:%M:%SZ) before=$(pid_of kubelet)
  kubelet_up
  kube_proxy_up
  [[ $(pid_of kubelet) != "$before" ]] || since=
  wait_for 60 kubelet node_ready_since "$since"
}

# The condition of an earlier life stays in etcd: after a start of the kubelet only a newer heartbeat counts.
node_ready_since() {
  local heartbeat status
  read -r heartbeat status < <(local_kubectl get node "$NODE" -o \
    'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.lastHeartbeatTime} {.status}{"\n"}{end}') || return 1
  [[ $status == True && ! $heartbeat < $1 ]]
}

cgroup_up() {
  local controller
  if [[ -f $CGROUPS/cgroup.controllers ]]; then
    for controller in $(<"$CGROUPS/cgroup.controllers"); do
      echo "+$controller" >"$CGROUPS/cgroup.subtree_control" 2>/dev/null || true
    done
    mkdir -p "$CGROUPS/$CGROUP"
  else
    for controller in "$CGROUPS"/*/; do
      # A new cpuset has no processors until it is given some.
      mkdir -p "$controller$CGROUP" 2>/dev/null || true
      [[ ! -f $controller$CGROUP/cpuset.cpus ]] || cat "${controller}cpuset.cpus" >"$controller$CGROUP/cpuset.cpus"
      [[ ! -f $controller$CGROUP/cpuset.mems ]] || cat "${controller}cpuset.mems" >"$controller$CGROUP/cpuset.mems"
    done
  fi
}

# restrict_oom_score_adj: without CAP_SYS_RESOURCE a negative score is refused and no pod starts.
# discard_unpacked_layers: the registry keeps the compressed layers, once is enough.
containerd_up() {
  place "$STATE/containerd.toml" <<TEXT
version = 2
root = "$STATE/containerd"
state = "$RUN/containerd/state"
[grpc]
  address = "$CONTAINERD_SOCKET"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "$(system_image pause)"
  netns_mounts_under_state_dir = true
  enable_unprivileged_ports = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    discard_unpacked_layers = true
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "$RUN/runc"
TEXT
  keep containerd containerd --config "$STATE/containerd.toml"
  wait_for 30 containerd ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io containers list --quiet
  # It answers a kubelet only once it has found its old containers again, and a kubelet that asks before gives up.
  wait_for 60 containerd grep -q "Start streaming server" "$LOG/containerd.log"
}

# imageMaximumGCAge: disk use never removes an image here, but one that nobody used for days goes; it is in the registry.
kubelet_up() {
  place "$STATE/kubelet.yaml" <<TEXT
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
port: $KUBELET_PORT
healthzPort: $KUBELET_HEALTH_PORT
tlsCertFile: $PKI/node.crt
tlsPrivateKeyFile: $PKI/node.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$CONTAINERD_SOCKET
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
cgroupsPerQOS: true
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
failSwapOn: false
oomScoreAdj: 0
maxOpenFiles: 20000
imageGCHighThresholdPercent: 100
imageMaximumGCAge: 72h
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: $STATE/resolv.conf
podCIDR: $NODE_POD_CIDR
volumePluginDir: $STATE/kubelet/volume-plugins
nodeStatusReportFrequency: 1m
shutdownGracePeriod: 0s
TEXT
  keep kubelet "$BIN/kubelet" --config="$STATE/kubelet.yaml" --kubeconfig="$PKI/node.conf" --hostname-override="$NODE" \
    --node-ip="$NODE_IP" --root-dir="$STATE/kubelet" --cert-dir="$PKI/kubelet"
}

kube_proxy_up() {
  place "$STATE/proxy.yaml" <<TEXT
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $POD_CIDR
clientConnection: {kubeconfig: $PKI/proxy.conf}
conntrack: {maxPerCore: 0}
hostnameOverride: $NODE
healthzBindAddress: 127.0.0.1:$PROXY_HEALTH_PORT
metricsBindAddress: 127.0.0.1:$PROXY_METRICS_PORT
TEXT
  keep kube-proxy "$BIN/kube-proxy" --config="$STATE/proxy.yaml"
}

node_down() {
  stop kubelet
  stop kube-proxy
  end_pods
  stop containerd
  unmount_below "$RUN"
  unmount_below "$STATE"
  remove_cgroups
  remove_fixed_places
}

# Places that containerd, libcni and kubelet use whatever their configuration says. Not while others use them too.
remove_fixed_places() {
  rm -f /var/lib/cni/results/flywheel-*
  if ! any_running "$(pids -f '(^|/)(containerd|dockerd)( |$)')"; then
    rm -rf /run/containerd /var/lib/cni/results/cni-loopback-*
  fi
  any_running "$(pids -x kubelet)" || rm -f /var/lib/kubelet/device-plugins/kubelet.sock
  rmdir /var/lib/cni/results /var/lib/cni /var/lib/kubelet/device-plugins /var/lib/kubelet 2>/dev/null || true
}

# First a request, so that programs can write their last words; then their shims and whatever is left.
end_pods() {
  local pid
  local -a pods
  mapfile -t pods < <(pod_processes)
  if ((${#pods[@]})); then
    say "ending ${#pods[@]} pod processes"
    kill -TERM "${pods[@]}" 2>/dev/null || true
    for ((tries = 30; tries > 0; tries--)); do
      [[ -n $(pod_processes) ]] || break
      sleep 0.1
    done
  fi
  for pid in $(shim_pids) $(pod_processes); do kill -KILL "$pid" 2>/dev/null || true; done
  for pid in $(shim_pids) $(pod_processes); do while is_running "$pid"; do sleep 0.05; done; done
}

shim_pids() { pids -f "containerd-shim-runc-v2 .*-address $CONTAINERD_SOCKET"; }

pod_processes() {
  find "$CGROUPS" -path "*/$CGROUP/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -un
}

# unmount_below FOLDER: the newest mount first, as they may lie over each other.
unmount_below() {
  local target
  while read -r target; do
    umount --lazy "$target" 2>/dev/null || true
  done < <(awk -v below="$1/" 'index($5, below) == 1 {print $5}' /proc/self/mountinfo | tac)
}

remove_cgroups() {
  local tries group
  for tries in 1 2 3 4 5; do
    find "$CGROUPS" -depth -type d \( -path "*/$CGROUP" -o -path "*/$CGROUP/*" \) -exec rmdir {} \; 2>/dev/null || true
    group=$(find "$CGROUPS" -maxdepth 2 -type d -name "$CGROUP")
    [[ -n $group ]] || return 0
    sleep 0.$tries
  done
  say "note: control groups are left: $group"
}
