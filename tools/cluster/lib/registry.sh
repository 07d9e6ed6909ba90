# shellcheck shell=bash
# The local image registry, plain http on the loopback device. Images reach the node as they do in the field: by a pull.

REGISTRY_DATA=$CACHE/registry

registry_up() {
  mkdir -p "$STATE" "$REGISTRY_DATA"
  place "$STATE/registry.yaml" <<TEXT
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $REGISTRY_DATA}, delete: {enabled: true}}
http: {addr: "$LOCAL_REGISTRY", net: tcp}
TEXT
  keep registry docker-registry serve "$STATE/registry.yaml"
  wait_for 20 registry curl -sf "http://$LOCAL_REGISTRY/v2/"
}

# in_registry NAME TAG
in_registry() {
  curl -sfo /dev/null -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$LOCAL_REGISTRY/v2/$1/manifests/$2"
}
