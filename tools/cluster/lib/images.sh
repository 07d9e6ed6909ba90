# shellcheck shell=bash
# Builds the images with buildah, without a container engine or a public image registry, and pushes those that changed.

BUILDER=$CACHE/buildah
IMAGES_FILE=$CACHE/images.env            # FLYWHEEL_IMAGE_<NAME>=<reference>, one line each
[[ ${CLUSTER:-} != current ]] || IMAGES_FILE=$CACHE/images-current.env
LOCAL_NAME=localhost/flywheel
UNPUSHED=" torch "            # only built upon
# Stands in for python:3.11-slim-bookworm, the default of every ARG BASE_IMAGE.
BASE_SUITE=bookworm
BASE_PACKAGES=(python3 python3-venv libpython3.11 ca-certificates)

builder() {
  mkdir -p "$BUILDER/tmp"
  BUILDAH_ISOLATION=chroot TMPDIR=$BUILDER/tmp \
    buildah --root "$BUILDER/storage" --runroot "$RUN/buildah" --storage-driver overlay "$@"
}

# build_images local|current [NAME...]
build_images() {
  local mode=$1 name
  shift
  [[ $mode == local ]] || current_check
  for name in "$@"; do image_file "$name" >/dev/null; done
  as_root images "$@"
  if [[ $mode == local ]]; then preflight; else check_system && check_disk; fi
  install_packages
  alone images
  mkdir -p "$BUILDER/log" "$CACHE/pip" "$RUN"
  if [[ $mode == local ]]; then
    (alone cluster && registry_up)
    REGISTRY=$LOCAL_REGISTRY/flywheel
  fi
  build_settings
  (($#)) || mapfile -t -- names < <(image_names)
  for name in "${@:-${names[@]}}"; do image "$name"; done
  [[ $mode != local ]] || preload
  say "images: $IMAGES_FILE"
}

# image NAME: builds and pushes it if it is not in the registry yet, and notes its reference.
image() {
  local name=$1 tag reference started=$SECONDS
  tag=$(image_digest "$name" '')
  reference=$REGISTRY/$name:$tag
  if [[ $UNPUSHED == *" $name "* ]]; then
    stage "$name" '' "$LOCAL_NAME/$name:$tag"
    return
  fi
  if is_pushed "$name" "$tag"; then
    say "$(printf '%-18s unchanged   %s' "$name" "$reference")"
  else
    stage "$name" '' "$LOCAL_NAME/$name:$tag"
    push "$name" "$tag" "$reference"
    say "$(printf '%-18s pushed      %s  %s  %s s' "$name" "$reference" "$(builder images --format '{{.Size}}' "$LOCAL_NAME/$name:$tag")" $((SECONDS - started)))"
  fi
  [[ $mode != local ]] || tag_as_dev "$name" "$tag"
  note "$name" "$reference"
}

# stage NAME STAGE IMAGE: has the builder hold this image (localhost/flywheel/NAME[-STAGE]:DIGEST), with all that it is
# built from. The name is passed down, as the sources may change while others are built.
stage() {
  local name=$1 stage=$2 local_image=$3 parent parent_image started
  local -a arguments=()
  ! builder inspect --type image "$local_image" >/dev/null 2>&1 || return 0
  if [[ $name == base ]]; then make_base "$local_image"; return; fi
  for parent in $(parents "$name" "$stage"); do
    parent_image=$(local_reference "$parent" "$(parent_stage "$parent")")
    stage "$parent" "$(parent_stage "$parent")" "$parent_image"
    arguments+=(--build-arg "${parent^^}_IMAGE=$parent_image")
  done
  [[ -z $stage ]] || arguments+=(--target "$stage")
  started=$SECONDS
  say "building $name${stage:+ ($stage)} ..."
  builder bud --layers --network host --ignorefile "$TOOL/context.ignore" "${BUILD_MOUNTS[@]}" "${arguments[@]}" \
    --tag "$local_image" --file "$REPOSITORY/$(image_file "$name")" "$REPOSITORY" >"$BUILDER/log/$name.log" 2>&1 || {
    tail -n 30 "$BUILDER/log/$name.log" >&2
    die "the image $name could not be built; its log is $BUILDER/log/$name.log"
  }
  forget_older "$local_image"
  say "built $name${stage:+ ($stage)} in $((SECONDS - started)) s"
}

local_reference() {
  if [[ $1 == base && -n ${BASE_IMAGE:-} ]]; then printf '%s' "$BASE_IMAGE"; return; fi
  printf '%s/%s%s:%s' "$LOCAL_NAME" "$1" "${2:+-$2}" "$(image_digest "$1" "$2")"
}

# The builder keeps one version of each; the layers of the newest stay as the cache.
forget_older() {
  local image
  while read -r image; do
    [[ $image == "$1" || $image != "${1%:*}":* ]] || builder rmi "$image" >/dev/null 2>&1 || true
  done < <(builder images --format '{{.Name}}:{{.Tag}}')
}

make_base() {
  local container mirror
  if [[ -n ${BASE_IMAGE:-} ]]; then builder pull --quiet "$BASE_IMAGE" >/dev/null; return; fi
  say "making the base image from Debian packages (about 1 min, once) ..."
  mirror=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
    sed -nE 's/^URIs:[[:space:]]*([^ ]+).*/\1/p; s/^deb (\[[^]]*\] )?([^ ]+) .*/\2/p' | sed -n 1p) || true
  mmdebstrap --quiet --variant=minbase --include="$(IFS=,; printf %s "${BASE_PACKAGES[*]}")" \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg $BASE_SUITE "$BUILDER/tmp/base.tar" \
    ${mirror:+"$mirror"} >"$BUILDER/log/base.log" 2>&1 ||
    die "the base image could not be made; its log is $BUILDER/log/base.log"
  container=$(builder from scratch)
  builder add --quiet "$container" "$BUILDER/tmp/base.tar" / >/dev/null
  builder run "$container" -- ln -sf /usr/bin/python3 /usr/local/bin/python
  builder config --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin --cmd python3 "$container"
  builder commit --quiet --rm "$container" "$1" >/dev/null
  rm "$BUILDER/tmp/base.tar"
}

# What a build inside the image needs of this machine: its certificates and how it reaches the package index.
build_settings() {
  BUILD_MOUNTS=(--volume "$CACHE/pip:/root/.cache/pip")
  [[ ! -d /etc/ssl/certs ]] || BUILD_MOUNTS+=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
  pip_configuration | place "$BUILDER/pip.conf"
  BUILD_MOUNTS+=(--volume "$BUILDER/pip.conf:/etc/pip.conf:ro")
  [[ ! -d ${PIP_FIND_LINKS:-} ]] || BUILD_MOUNTS+=(--volume "$PIP_FIND_LINKS:$PIP_FIND_LINKS:ro")
  # A build that was killed leaves its containers and half-written layers.
  rm -rf "${BUILDER:?}"/tmp/*
  builder rm --all >/dev/null 2>&1 || true
}

# The machine's pip configuration, with what its PIP_... variables say set over it.
pip_configuration() {
  local file=/etc/pip.conf option variable settings=
  [[ ! -f $HOME/.config/pip/pip.conf ]] || file=$HOME/.config/pip/pip.conf
  for option in index-url extra-index-url trusted-host find-links retries proxy default-timeout cert; do
    variable=PIP_${option^^}
    variable=${variable//-/_}
    [[ -z ${!variable:-} || ($option == find-links && ! -d ${!variable}) ]] || settings+="$option = ${!variable}"$'\n'
  done
  [[ -f $file ]] || file=/dev/null
  printf '[global]\n%s' "$settings"
  awk -v settings="$settings" '/^\[/ {section = $0; if (section == "[global]") next}
    section == "[global]" && index("\n" settings, "\n" $1 " = ") {next} {print}' "$file"
}

is_pushed() {
  if [[ $mode == local ]]; then in_registry "flywheel/$1" "$2"; else [[ -f $(push_mark "$1" "$2") ]]; fi
}

push_mark() { printf '%s/pushed/%s' "$BUILDER" "$(tr -c 'a-z0-9.\n' - <<<"$REGISTRY/$1:$2")"; }

# push NAME TAG REFERENCE
push() {
  local -a options=(--compression-format zstd)
  [[ $REGISTRY != 127.0.0.1* && $REGISTRY != localhost* ]] || options+=(--tls-verify=false)
  say "pushing $1 ..."
  builder push "${options[@]}" "$LOCAL_NAME/$1:$2" "docker://$3" >"$BUILDER/log/push-$1.log" 2>&1 ||
    die "the image $1 could not be pushed to $3: $(tail -n 1 "$BUILDER/log/push-$1.log")"
  mkdir -p "$BUILDER/pushed"
  [[ $mode == local ]] || touch "$(push_mark "$1" "$2")"
}

# tag_as_dev NAME TAG: a stable name for the newest, for manifests written by hand.
tag_as_dev() {
  local manifests=http://$LOCAL_REGISTRY/v2/flywheel/$1/manifests type=application/vnd.oci.image.manifest.v1+json
  curl -sf -H "Accept: $type" "$manifests/$2" |
    curl -sfo /dev/null -X PUT -H "Content-Type: $type" --data-binary @- "$manifests/dev"
}

# note NAME REFERENCE
note() {
  local variable=FLYWHEEL_IMAGE_${1^^}
  variable=${variable//-/_}
  touch "$IMAGES_FILE"
  { grep -v "^$variable=" "$IMAGES_FILE" || true; printf '%s=%s\n' "$variable" "$2"; } | sort >"$IMAGES_FILE.new"
  mv "$IMAGES_FILE.new" "$IMAGES_FILE"
}
