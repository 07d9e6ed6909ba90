# shellcheck shell=bash
# The sub-commands for CLUSTER=current: the cluster of the current kube context, of which nothing is started,
# stopped or changed here.

current_check() {
  [[ -n ${REGISTRY:-} ]] || die "CLUSTER=current needs REGISTRY=host/path, where the cluster pulls images from"
  command -v kubectl >/dev/null || die "CLUSTER=current needs kubectl on the PATH"
  [[ -n $(kubectl config current-context 2>/dev/null) ]] || die "CLUSTER=current, but there is no current kube context (kubectl config use-context NAME)"
}

current_up() {
  current_check
  kubectl version --request-timeout 10s >/dev/null ||
    die "the cluster of context '$(kubectl config current-context)' does not answer"
  say "using the cluster of context '$(kubectl config current-context)' and registry $REGISTRY"
}

current_down() { say "CLUSTER=current: nothing was started here, so nothing is stopped"; }

current_status() {
  current_check
  kubectl get nodes
}

current_env() {
  current_check
  printf 'export REGISTRY=%q FLYWHEEL_BIN=%q ETCD=%q FLYWHEEL_IMAGES=%q\n' \
    "$REGISTRY" "$BIN" "$(command -v etcd || echo /usr/bin/etcd)" "$IMAGES_FILE"
}

current_volumes() { die "CLUSTER=current: the volumes of that cluster are its own"; }
