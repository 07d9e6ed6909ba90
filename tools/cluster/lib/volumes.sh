# shellcheck shell=bash
# Persistent volumes. There is no provisioner: a fixed set of `local` volumes is made at `up` (hostPath would ignore
# fsGroup, which every workload relies on), StorageClass flywheel-local, the default class. A claim that is deleted
# leaves its volume Released; the watcher below empties it and makes it Available again.

VOLUMES=$STATE/volumes
VOLUME_COUNT=32
VOLUME_SIZE=20Gi              # a label: nothing enforces it

volumes_up() {
  local number
  for ((number = 1; number <= VOLUME_COUNT; number++)); do
    fresh_folder "$VOLUMES/$(printf 'flywheel-%02d' "$number")"
  done
  volume_manifests | local_kubectl apply --server-side --force-conflicts -f - >/dev/null
  keep volumes bash "$TOOL/lib/volume_watcher" "$BIN/kubectl" "$ADMIN_KUBECONFIG" "$TOOL/cluster"
}

# Group-writable with the group inherited: the kubelet gives the folders that it makes in there the same mode.
fresh_folder() {
  mkdir -p "$1"
  chown "$WORKLOAD_ID:$WORKLOAD_ID" "$1"
  chmod 2770 "$1"
}

volume_manifests() {
  local number name
  for ((number = 1; number <= VOLUME_COUNT; number++)); do
    name=$(printf 'flywheel-%02d' "$number")
    cat <<TEXT
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec:
  capacity: {storage: $VOLUME_SIZE}
  accessModes: [ReadWriteOnce, ReadWriteMany, ReadOnlyMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: flywheel-local
  local: {path: "$VOLUMES/$name"}
  nodeAffinity:
    required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$NODE]}]}]}
TEXT
  done
}

# Empties every Released volume and offers it again.
local_volumes() {
  as_root volumes
  local name
  # Two at once could empty a volume that the other has just given away.
  alone volumes
  for name in $(local_kubectl get persistentvolumes -o \
    'jsonpath={range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}'); do
    [[ $name == flywheel-* && -d $VOLUMES/$name ]] || continue
    find "$VOLUMES/$name" -mindepth 1 -delete
    fresh_folder "$VOLUMES/$name"
    local_kubectl patch persistentvolume "$name" --type json -p '[{"op": "remove", "path": "/spec/claimRef"}]' >/dev/null
    say "volume $name is empty and available again"
  done
}
