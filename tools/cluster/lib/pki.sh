# shellcheck shell=bash
# Certificates and kube configurations. The node's address is fixed, so they never have to be made again.

PKI=$STATE/pki
CERTIFICATE_DAYS=3650

ensure_pki() {
  mkdir -p "$PKI"
  chmod 700 "$PKI"
  openssl x509 -checkend 604800 -noout -in "$PKI/proxy.crt" >/dev/null 2>&1 || make_pki
  kube_config admin "$ADMIN_KUBECONFIG"
  local name
  for name in controller-manager scheduler node proxy; do kube_config "$name" "$PKI/$name.conf"; done
  [[ -z ${SUDO_UID:-} ]] || chown "$SUDO_UID" "$ADMIN_KUBECONFIG"
}

make_pki() {
  say "making certificates"
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$PKI/ca.key" -out "$PKI/ca.crt" -subj /CN=flywheel-cluster \
    -days $CERTIFICATE_DAYS 2>/dev/null
  openssl genrsa -out "$PKI/service-accounts.key" 2048 2>/dev/null
  openssl rsa -in "$PKI/service-accounts.key" -pubout -out "$PKI/service-accounts.pub" 2>/dev/null
  certificate apiserver /CN=kube-apiserver \
    "IP:$NODE_IP,IP:127.0.0.1,IP:$API_SERVICE_IP,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  certificate admin /O=system:masters/CN=admin
  certificate controller-manager /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate node "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$NODE_IP"
  # The last one: where it is, all are.
  certificate proxy /CN=system:kube-proxy
}

# certificate NAME SUBJECT [ALTERNATIVE NAMES]
certificate() {
  openssl req -newkey rsa:2048 -nodes -keyout "$PKI/$1.key" -out "$PKI/$1.csr" -subj "$2" 2>/dev/null
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${3:-DNS:$1}" >"$PKI/$1.extensions"
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -out "$PKI/$1.crt" \
    -days $CERTIFICATE_DAYS -extfile "$PKI/$1.extensions" 2>/dev/null
  rm "$PKI/$1.csr" "$PKI/$1.extensions"
}

# kube_config USER FILE: with everything inside, so that the file can be copied.
kube_config() {
  place "$2" <<TEXT
apiVersion: v1
kind: Config
clusters:
- name: flywheel
  cluster: {server: "https://$NODE_IP:$API_PORT", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$PKI/$1.crt"), client-key-data: $(base64 -w0 "$PKI/$1.key")}
contexts:
- name: flywheel
  context: {cluster: flywheel, user: $1}
current-context: flywheel
TEXT
  chmod 600 "$2"
}
