# shellcheck shell=bash
# What runs in the cluster itself: DNS, and the images that the node needs before any other.

# system_image NAME: the reference of the image that holds nothing but this one program.
system_image() {
  printf '%s/system/%s:%s' "$LOCAL_REGISTRY" "$1" "$(cut -c1-12 "$BIN/.$1.sources")"
}

system_images() {
  local program image container
  for program in pause coredns; do
    image=$(system_image "$program")
    in_registry "system/$program" "${image##*:}" && continue
    say "making the $program image"
    container=$(builder from scratch)
    builder copy --quiet "$container" "$BIN/$program" "/$program" >/dev/null
    builder config --entrypoint "[\"/$program\"]" --user "$WORKLOAD_ID:$WORKLOAD_ID" "$container"
    builder commit --quiet --rm "$container" "$image" >/dev/null
    builder push --quiet --tls-verify=false "$image" "docker://$image"
  done
}

addons_up() {
  local file
  for file in "$TOOL"/manifests/*.yaml; do
    sed -e "s|@COREDNS_IMAGE@|$(system_image coredns)|" -e "s|@DNS_IP@|$DNS_IP|" \
      -e "s|@FORWARD@|$(grep -q '^nameserver' "$STATE/resolv.conf" && echo 'forward . /etc/resolv.conf')|" "$file" |
      local_kubectl apply --server-side --force-conflicts -f - >/dev/null
  done
}
