#!/usr/bin/env bash
# Installs what building, running and testing Strongroom need and this machine
# lacks: Debian packages, as root or through sudo, and a Go new enough for
# go.mod. It says what it adds and changes nothing that is there.
#
#   deploy/deps.sh               everything for make run and make test
#   deploy/deps.sh conformance   that, and other people's suites
#   deploy/deps.sh missing       only list what would be added; so with conformance, too
set -euo pipefail
cd "$(dirname "$0")/.."

# The Go to get where there is none, or one too old for go.mod.
go_release=1.26.8
# Where it goes; the Makefile looks there first.
go_home=${XDG_CACHE_HOME:-${HOME:?}/.cache}/strongroom/go

# Where the usual archive of Go is; sudo forgets about it.
PATH=$PATH:/usr/local/go/bin

say() { printf 'deps: %s\n' "$*"; }
die() { printf 'deps: %s\n' "$*" >&2; exit 1; }

# A package, and how to see that what we want of it is there, from Debian or
# from elsewhere.
packages() {
  cat <<'LIST'
make                     command -v make
git                      command -v git
curl                     command -v curl
ca-certificates          test -s /etc/ssl/certs/ca-certificates.crt
gcc                      command -v gcc
libc6-dev                test -e /usr/include/stdlib.h
postgresql               compgen -G '/usr/lib/postgresql/*/bin/initdb'
postgresql-client        command -v psql
mariadb-server-core      test -x /usr/sbin/mariadbd
mariadb-client-core      command -v my_print_defaults
softhsm2                 command -v softhsm2-util
opensc                   command -v pkcs11-tool
python3-openstackclient  command -v openstack
python3-barbicanclient   command -v barbican
python3-castellan        test -d /usr/lib/python3/dist-packages/castellan
python3-keystone         command -v keystone-manage
uwsgi-plugin-python3     command -v uwsgi_python3
LIST
  if [ $conformance = yes ]; then
    cat <<'LIST'
tempest                  command -v tempest
barbican-tempest-plugin  test -d /usr/lib/python3/dist-packages/barbican_tempest_plugin
LIST
  fi
}

missing() {
  local package probe
  packages | while read -r package probe; do
    eval "$probe" >/dev/null 2>&1 || echo "$package"
  done
}

# as_root runs a command as root, which apt-get and /etc need.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "this needs root or sudo: $*"
  fi
}

# apt_get runs apt-get unattended. Somebody else's apt-get may hold a lock, and a
# mirror may have a bad moment.
apt_get() {
  local try
  for try in 1 2 3 4 5; do
    if as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get -q -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@"; then
      return
    fi
    [ "$try" = 5 ] || { say "apt-get $1 did not work, once more in 10 s"; sleep 10; }
  done
  die "apt-get $1 does not work"
}

# Debian's server package makes and starts a cluster of its own, which nobody
# asked for. Strongroom starts private ones. So on a machine that has no
# PostgreSQL yet, the package is told not to, and only for this one time.
no_main_cluster=/etc/postgresql-common/createcluster.d/strongroom-deps.conf

install_debian() {
  local list=("$@")
  command -v apt-get >/dev/null || die "no apt-get here, so please install: ${list[*]}"
  say "adding Debian packages: ${list[*]}"
  apt_get update
  if [[ " ${list[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common ]; then
    apt_get install --no-install-recommends postgresql-common
    trap 'as_root rm -f "$no_main_cluster"' EXIT
    as_root mkdir -p "${no_main_cluster%/*}"
    echo 'create_main_cluster = false' | as_root tee "$no_main_cluster" >/dev/null
  fi
  apt_get install --no-install-recommends "${list[@]}"
}

# go_fits says whether a go command can build what go.mod asks for. Versions
# before 1.21 do not know three-part numbers and never fit.
go_fits() {
  local have want
  have=$(cd / && GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  want=$(awk '$1 == "go" { print $2; exit }' go.mod)
  printf '%s\n' "$want" "${have#go}" | sort -C -V
}

# A module of the toolchain's name has the whole of Go, and any Go can download
# and verify it, even Debian's old one, which cannot switch to it by itself.
# Module archives carry no execute bits.
install_go() {
  local arch toolchain dir
  case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) die "please install Go $go_release: this knows no source of it for $(uname -m)" ;;
  esac
  if ! command -v go >/dev/null; then
    install_debian golang-go
  fi
  toolchain=golang.org/toolchain@v0.0.1-go$go_release.linux-$arch
  say "adding Go $go_release in $go_home, as $(go version | cut -d' ' -f3) is too old for go.mod"
  (cd / && GOFLAGS='' GOTOOLCHAIN=local go mod download "$toolchain") ||
    die "Go $go_release could not be had"
  dir=$(cd / && go env GOMODCACHE)/$toolchain
  mkdir -p "${go_home%/*}"
  rm -rf "$go_home" "$go_home.new"
  cp -r "$dir" "$go_home.new"
  chmod -R u+w "$go_home.new"
  chmod +x "$go_home.new"/bin/* "$go_home.new"/pkg/tool/*/*
  mv "$go_home.new" "$go_home"
  go_fits "$go_home/bin/go" || die "Go $go_release is too old for go.mod, or does not run"
}

conformance=no only_list=no
for word; do
  case $word in
    conformance) conformance=yes ;;
    missing) only_list=yes ;;
    *) die "what is $word?" ;;
  esac
done

mapfile -t lacking < <(missing)
go_missing=yes
for go in "$go_home/bin/go" go; do
  if go_fits "$go"; then go_missing=no; fi
done

if [ $only_list = yes ]; then
  for package in "${lacking[@]}"; do echo "$package"; done
  [ $go_missing = no ] || echo "go $go_release"
  exit 0
fi
[ ${#lacking[@]} = 0 ] || install_debian "${lacking[@]}"
[ $go_missing = no ] || install_go
