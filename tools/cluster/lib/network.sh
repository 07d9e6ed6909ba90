# shellcheck shell=bash
# The node's fixed address, the pods' network (CNI ptp: one veth pair per pod, so no bridge and no br_netfilter),
# and the way out for pods.

network_up() {
  [[ -n $(ip -o addr show dev lo to "$NODE_IP") ]] || ip addr add "$NODE_IP/32" dev lo
  [[ -f $RUN/ip_forward ]] || cp /proc/sys/net/ipv4/ip_forward "$RUN/ip_forward"
  echo 1 >/proc/sys/net/ipv4/ip_forward
  nft -f - <<TEXT
table ip flywheel
delete table ip flywheel
table ip flywheel {
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr $POD_CIDR ip daddr != { $POD_CIDR, $SERVICE_CIDR } masquerade
  }
}
TEXT
  place "$STATE/cni/10-flywheel.conflist" <<TEXT
{"cniVersion": "0.4.0", "name": "flywheel", "plugins": [{"type": "ptp", "mtu": $(outside_mtu), "ipam": {
  "type": "host-local", "dataDir": "$RUN/addresses", "ranges": [[{"subnet": "$NODE_POD_CIDR"}]],
  "routes": [{"dst": "0.0.0.0/0"}]}}]}
TEXT
  resolver_configuration
}

outside_mtu() {
  local device
  device=$(ip -o route show default | sed -n '1s/.* dev \([^ ]*\).*/\1/p')
  cat "/sys/class/net/${device:-lo}/mtu" 2>/dev/null || echo 1500
}

# What pods resolve outside names with: a name server on the host's own loopback is out of their reach.
resolver_configuration() {
  local source=/etc/resolv.conf
  [[ ! -f /run/systemd/resolve/resolv.conf ]] || source=/run/systemd/resolve/resolv.conf
  grep -vE '^nameserver[[:space:]]+(127\.|::1)' "$source" 2>/dev/null | place "$STATE/resolv.conf" || true
}

network_down() {
  local table
  for table in "ip flywheel" "ip kube-proxy" "ip6 kube-proxy"; do
    # shellcheck disable=SC2086  # two words: family and name
    nft delete table $table 2>/dev/null || true
  done
  ip addr del "$NODE_IP/32" dev lo 2>/dev/null || true
  [[ ! -f $RUN/ip_forward ]] || cat "$RUN/ip_forward" >/proc/sys/net/ipv4/ip_forward
}
