# shellcheck shell=bash
# Daemons without pid files: each carries its name and the digest of its set-up as argv[0]
# ("flywheel:etcd:1a2b3c4d"), so that `ps` is the only truth and nothing can be stale.

# pids PGREP-ARGUMENTS...: none is an answer too, and so is a machine where nothing was installed yet.
pids() { pgrep "$@" 2>/dev/null || true; }
pid_of() { pids -f "^flywheel:$1:" | sed -n 1p; }

# setup_digest COMMAND...: the words, and the time and size of every file that they name.
setup_digest() {
  local word
  {
    printf '%s\n' "$@"
    for word in "$@"; do
      word=${word#*=}
      [[ ! -f $word ]] || stat -c '%n %i %Y %s' "$word"
    done
  } | sha256sum | cut -c1-8
}

# keep NAME COMMAND...: lets it run if it does so already in the same way, else (re)starts it.
keep() {
  local name=$1 digest
  shift
  digest=$(setup_digest "$@")
  [[ -z $(pids -f "^flywheel:$name:$digest") ]] || return 0
  stop "$name"
  mkdir -p "$LOG"
  say "starting $name"
  # A clean environment: nothing of the caller's secrets; and the locks stay here.
  (
    cd "$STATE" || exit
    local variable descriptor
    for descriptor in "${LOCKS[@]}"; do exec {descriptor}>&-; done
    for variable in $(compgen -e); do [[ $variable =~ ^(PATH|HOME|HTTPS?_PROXY|NO_PROXY)$ ]] || unset "$variable"; done
    # shellcheck disable=SC2016
    setsid bash -c 'exec -a "$0" "$@"' "flywheel:$name:$digest" "$@" >"$LOG/$name.log" 2>&1 </dev/null &
  )
}

# stop NAME [SECONDS]: asks, waits, kills.
stop() {
  local pid
  for pid in $(pids -f "^flywheel:$1:"); do end_process "$pid" "${2:-10}"; done
}

# Each daemon leads its own process group: what it started ends with it.
end_process() {
  local pid=$1 tries=$(($2 * 10))
  kill -TERM -- "-$pid" 2>/dev/null || return 0
  while ((tries-- > 0)); do
    is_running "$pid" || return 0
    sleep 0.1
  done
  kill -KILL -- "-$pid" 2>/dev/null || true
  while is_running "$pid"; do sleep 0.05; done
}

# A zombie that its parent has not collected yet no longer runs.
is_running() {
  local state
  state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 1
  [[ -n $state && $state != Z ]]
}

# any_running PIDS
any_running() {
  local pid
  for pid in $1; do ! is_running "$pid" || return 0; done
  return 1
}
