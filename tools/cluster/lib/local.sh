# shellcheck shell=bash
# The sub-commands for a cluster on this machine.

local_up() {
  # The long builds run as the user, so that the caches stay the user's.
  ((EUID == 0)) || { check_root && check_system && check_disk && with_packages build_binaries; }
  as_root up
  preflight
  install_packages
  build_binaries
  alone cluster
  local started=$SECONDS
  mkdir -p "$STATE"
  after_reboot
  registry_up
  system_images
  ensure_pki
  network_up
  control_plane_up
  node_up
  say "node $NODE is Ready ($((SECONDS - started)) s)"
  volumes_up
  addons_up
  wait_for 90 kubelet local_kubectl --namespace kube-system rollout status deployment/coredns --timeout 1s
  say "the cluster is up ($((SECONDS - started)) s): eval \"\$($TOOL/cluster env)\""
}

# Where /run is an ordinary folder, sockets and container states of the last boot are still there: they are void.
after_reboot() {
  local boot
  boot=$(</proc/sys/kernel/random/boot_id)
  if [[ -d $RUN && $(cat "$RUN/boot" 2>/dev/null) != "$boot" ]]; then
    unmount_below "$RUN"
    rm -rf "$RUN"
  fi
  mkdir -p "$RUN"
  printf '%s' "$boot" >"$RUN/boot"
}

local_down() {
  local purge=
  case ${1:-} in
    '') ;;
    --purge) purge=yes ;;
    *) die "down knows only --purge" ;;
  esac
  as_root down "$@"
  # Its mounts are about to go.
  alone images
  alone cluster
  stop volumes
  # Its watch survives where the watcher was killed alone.
  pkill -f "^$BIN/kubectl --kubeconfig $ADMIN_KUBECONFIG get persistentvolumes --watch" || true
  node_down
  local name
  for name in kube-scheduler kube-controller-manager kube-apiserver etcd registry; do
    [[ -z $(pid_of $name) ]] || say "stopping $name"
    stop $name
  done
  unmount_below "$CACHE"
  ! command -v ip >/dev/null || network_down
  rm -rf --one-file-system "$RUN"
  [[ -z $purge ]] || purge
  say "the cluster is down; kept: $(kept)"
}

kept() {
  local folder
  for folder in "$BIN" "$STATE" "$REGISTRY_DATA" "$BUILDER"; do [[ ! -d $folder ]] || printf '%s ' "$folder"; done
}

# The built programs stay: they hold no state.
purge() {
  say "deleting cluster state, registry and image builds"
  rm -rf --one-file-system "$STATE" "$REGISTRY_DATA" "$BUILDER" "$IMAGES_FILE"
}

local_status() {
  local name pid missing=
  for name in registry etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy volumes; do
    pid=$(pid_of $name)
    if [[ -n $pid ]]; then
      printf '%-24s running, process %s, %s MB\n' "$name" "$pid" "$(($(awk '/VmRSS/{print $2}' "/proc/$pid/status") / 1024))"
    else
      printf '%-24s not running\n' "$name"
      missing=yes
    fi
  done
  [[ -n $(pid_of kube-apiserver) ]] && local_kubectl get nodes,pods --all-namespaces --output wide
  [[ -z $missing ]] || die "not everything runs: 'cluster up' starts what is missing"
}

local_env() {
  printf 'export KUBECONFIG=%q REGISTRY=%q FLYWHEEL_BIN=%q ETCD=%q\n' \
    "$ADMIN_KUBECONFIG" "$LOCAL_REGISTRY/flywheel" "$BIN" "$(command -v etcd || echo /usr/bin/etcd)"
  printf 'export FLYWHEEL_IMAGES=%q FLYWHEEL_VOLUMES=%q\n' "$IMAGES_FILE" "$VOLUMES"
  # shellcheck disable=SC2016  # the reader's PATH, not ours
  printf 'case ":$PATH:" in *:%s:*) ;; *) export PATH=%q:"$PATH" ;; esac\n' "$BIN" "$BIN"
}
