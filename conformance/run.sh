#!/usr/bin/env bash
# Runs other people's clients and suites against servers of its own, on free
# loopback ports, with their state in a folder that goes at the end. Each client
# is a module of its own below this folder, reads STRONGROOM_ENV and shares one
# `strongroom dev` with the others; tempest brings its own servers.
#
#   conformance/run.sh            all of them
#   conformance/run.sh huawei     one
set -euo pipefail
cd "$(dirname "$0")"

top=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  rm -rf "$top"
}
trap finish EXIT

# start_server runs `strongroom dev` once, for the clients that share it.
start_server() {
  local free=127.0.0.1:0 tenths
  [ -z "$server" ] || return 0
  ../bin/strongroom dev --dir "$top/state" --key-manager-addr $free --csms-addr $free \
    --identity-addr $free --identity-tls-addr $free --admin-addr $free >"$top/log" 2>&1 &
  server=$!
  for ((tenths = 600; tenths > 0; tenths--)); do
    if [ -e "$top/state/ready" ]; then return; fi
    if ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.1
  done
  echo "conformance: strongroom dev does not get ready; it said:" >&2
  cat "$top/log" >&2
  exit 1
}

go_client() {
  start_server
  (cd "$1" && STRONGROOM_ENV="$top/state/env.sh" go test -count=1 ./...) && return
  echo "conformance: the server's last words:" >&2
  tail -n 40 "$top/log" >&2
  return 1
}

if [ $# = 0 ]; then
  for mod in */go.mod; do set -- "$@" "${mod%/go.mod}"; done
  set -- "$@" tempest
fi
failed=
for client; do
  echo "== $client"
  case $client in
    tempest) ../bin/tempest -bin ../bin/strongroom ;;
    *) go_client "$client" ;;
  esac || failed="$failed $client"
done
if [ -n "$failed" ]; then
  echo "conformance:$failed failed" >&2
  exit 1
fi
