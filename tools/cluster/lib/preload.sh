# shellcheck shell=bash
# Has the node pull new images at once, where a cluster is up: the first pull of a torch layer takes a minute or two,
# which belongs to `images` and not to the first step of a run. A pull as any other, by a pod that does nothing.

preload() {
  local reference
  local -a missing=()
  [[ -n $(pid_of kubelet) && -n $(pid_of kube-apiserver) ]] || return 0
  while IFS='=' read -r _ reference; do
    [[ -n $(ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io images list --quiet "name==$reference") ]] ||
      missing+=("$reference")
  done <"$IMAGES_FILE"
  ((${#missing[@]})) || return 0
  say "the node pulls ${#missing[@]} new images ..."
  local_kubectl --namespace kube-system delete pod preload --ignore-not-found --grace-period 0 --force >/dev/null 2>&1
  preload_pod "${missing[@]}" | local_kubectl apply -f - >/dev/null
  local_kubectl --namespace kube-system wait pod/preload --for 'jsonpath={.status.phase}=Succeeded' --timeout 900s >/dev/null ||
    say "note: not every image was pulled: kubectl --namespace kube-system describe pod preload"
  local_kubectl --namespace kube-system delete pod preload --ignore-not-found --wait=false >/dev/null
}

preload_pod() {
  local reference number=0
  cat <<TEXT
apiVersion: v1
kind: Pod
metadata: {name: preload, namespace: kube-system}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: {runAsNonRoot: true, runAsUser: $WORKLOAD_ID, runAsGroup: $WORKLOAD_ID, seccompProfile: {type: RuntimeDefault}}
  containers:
TEXT
  for reference in "$@"; do
    number=$((number + 1))
    cat <<TEXT
  - name: image-$number
    image: $reference
    command: ["true"]
    resources: {requests: {cpu: 1m}}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
TEXT
  done
}
