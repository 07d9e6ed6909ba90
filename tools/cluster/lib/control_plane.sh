# shellcheck shell=bash
# etcd, the API server, the controller manager and the scheduler.

control_plane_up() {
  keep etcd etcd --name flywheel --data-dir "$STATE/etcd" --logger zap --log-outputs stderr \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
    --initial-cluster "flywheel=http://127.0.0.1:$ETCD_PEER_PORT"
  wait_for 30 etcd curl -sf "http://127.0.0.1:$ETCD_PORT/health"
  api_server_up
  keep kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$PKI/controller-manager.conf" \
    --bind-address=127.0.0.1 --secure-port="$CONTROLLER_MANAGER_PORT" --leader-elect=false \
    --use-service-account-credentials --service-account-private-key-file="$PKI/service-accounts.key" \
    --root-ca-file="$PKI/ca.crt" --cluster-cidr="$POD_CIDR"
  keep kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$PKI/scheduler.conf" \
    --bind-address=127.0.0.1 --secure-port="$SCHEDULER_PORT" --leader-elect=false
}

# kubelet-preferred-address-types: without it `kubectl logs` looks the node's name up in DNS.
api_server_up() {
  keep kube-apiserver "$BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$ETCD_PORT" \
    --bind-address="$NODE_IP" --advertise-address="$NODE_IP" --secure-port="$API_PORT" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
    --service-cluster-ip-range="$SERVICE_CIDR" --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PKI/service-accounts.pub" --service-account-signing-key-file="$PKI/service-accounts.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-client-certificate="$PKI/admin.crt" \
    --kubelet-client-key="$PKI/admin.key" --kubelet-preferred-address-types=InternalIP \
    --profiling=false
  wait_for 60 kube-apiserver local_kubectl get --raw /readyz
}

local_kubectl() { "$BIN/kubectl" --kubeconfig "$ADMIN_KUBECONFIG" "$@"; }
