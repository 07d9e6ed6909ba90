# shellcheck shell=bash
# What an image is made from, read out of its Dockerfile: other images, and files of the repository. The digest of all
# that is the image's tag, so an unchanged image is neither built nor pushed nor pulled again.
# A Dockerfile with a stage `packages` (no code in it) offers that stage, not the whole image, to those that build on it.

# image_names: every image that has a Dockerfile here.
image_names() {
  local file
  for file in "$REPOSITORY"/images/*/Dockerfile "$REPOSITORY"/examples/*/Dockerfile; do
    [[ ! -f $file ]] || basename "$(dirname "$file")"
  done
}

image_file() {
  local folder
  for folder in images examples; do
    [[ ! -f $REPOSITORY/$folder/$1/Dockerfile ]] || { printf '%s/%s/Dockerfile' "$folder" "$1"; return; }
  done
  die "there is no Dockerfile for '$1' in images/ or examples/"
}

# instructions NAME STAGE: one per line, comments left out; with a stage, those up to its end.
instructions() {
  local file
  file=$(image_file "$1")
  sed -e '/^[[:space:]]*#/d' "$REPOSITORY/$file" | sed -e ':join' -e '/\\$/{N;s/\\\n//;b join' -e '}' |
    awk -v stage="$2" 'toupper($1) == "FROM" && ended {exit} toupper($1) == "FROM" && stage != "" && $NF == stage {ended = 1} {print}'
}

has_packages_stage() { instructions "$1" '' | grep -qiE '^FROM .* AS packages$'; }

# parents NAME STAGE: the images named by its `ARG X_IMAGE`, in lower case ("base" is the one from Debian packages).
parents() { instructions "$1" "$2" | sed -nE 's/^ARG ([A-Z]+)_IMAGE.*/\L\1/p' | sort -u; }

parent_stage() { [[ $1 == base ]] || ! has_packages_stage "$1" || printf packages; }

# copied_paths NAME STAGE: what COPY and ADD take from the repository.
copied_paths() {
  instructions "$1" "$2" | awk 'toupper($1) == "COPY" || toupper($1) == "ADD" {
    if ($0 ~ /--from=/) next
    gsub(/[][",]/, " ")
    for (i = 2; i < NF; i++) if ($i !~ /^--/) print $i
  }'
}

# tracked_files PATH...: files that are named, and of folders what git sees, new files with it; all where there is no
# git. The caller stands in the repository's root.
tracked_files() {
  local path
  (($#)) || return 0
  {
    for path in "$@"; do [[ ! -f $path ]] || printf '%s\0' "$path"; done
    if git rev-parse --git-dir >/dev/null 2>&1; then
      git -c safe.directory="$REPOSITORY" ls-files --cached --others --exclude-standard -z -- "$@"
    else
      find "$@" -type f ! -path '*/__pycache__/*' -print0
    fi
  } | sort -zu | while IFS= read -r -d '' file; do [[ ! -f $file ]] || printf '%s\0' "$file"; done
}

# image_digest NAME STAGE
image_digest() {
  local parent
  local -a paths
  if [[ $1 == base ]]; then
    { printf '%s' "${BASE_IMAGE:-}"; declare -f make_base; printf '%s ' "${BASE_PACKAGES[@]}"; } | sha256sum | cut -c1-12
    return
  fi
  mapfile -t paths < <(copied_paths "$1" "$2")
  (
    cd "$REPOSITORY" || exit
    instructions "$1" "$2"
    for parent in $(parents "$1" "$2"); do image_digest "$parent" "$(parent_stage "$parent")"; done
    tracked_files "${paths[@]}" | xargs -0r sha256sum
    tracked_files "${paths[@]}" | xargs -0r stat -c '%A %n'
  ) | sha256sum | cut -c1-12
}
