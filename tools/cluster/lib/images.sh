# shellcheck shell=bash
BUILDER=$CACHE/buildah
IMAGES_FILE=$CACHE/images.env
builder() {
  mkdir -p "$BUILDER/tmp"
  BUILDAH_ISOLATION=chroot TMPDIR=$BUILDER/tmp buildah --root "$BUILDER/storage" --runroot "$RUN/buildah" --storage-driver overlay "$@"
}
