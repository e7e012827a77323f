#!/bin/bash
# install-rgw.sh PREFIX   Unpacks Ceph 20 (radosgw, mon, osd) and its libraries from Debian's packages into PREFIX.
# apt-get resolves and verifies in an apt root of its own, dpkg -x unpacks: no root, nothing installed on the host.
# Needs amd64, apt-get, dpkg, debian-archive-keyring. MIRROR: a Debian mirror to use instead of the host's own.
# Older Debian releases have a Ceph that knows only some of the conditional writes.
set -euo pipefail
SUITE=forky

mkdir -p "$(dirname "$1")"
P=$(mktemp -d "$1-XXXXXX") # renamed when complete, so that PREFIX is never half-installed
trap 'rm -rf "$P"' EXIT
trap 'exit 1' HUP INT TERM

A=$P/apt
mkdir -p "$A"/{etc/apt.conf.d,etc/preferences.d,etc/sources.list.d,etc/trusted.gpg.d,state/lists/partial,cache/archives/partial,debs} "$P/root"
: >"$A/status"
mirrors() {
  if [ -n "${MIRROR:-}" ]; then echo "$MIRROR"; return; fi
  apt-get indextargets --no-release-info --format '$(REPO_URI)' || true
  cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' | grep -oE '[a-z+]+:/[^ ]+' || true
}
MIRRORS=$(mirrors | sed 's#/*$#/#' | awk '!/security/ && !seen[$0]++')
# What the host says of proxies and dates holds here too.
apt-config dump | grep -E '^Acquire::(https?|Check|Force)' >"$A/apt.conf" || true
cat >>"$A/apt.conf" <<C
Dir "$A";
Dir::Etc "$A/etc";
Dir::State "$A/state";
Dir::State::status "$A/status";
Dir::Cache "$A/cache";
Dir::Log "$A/log";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Debug::NoLocking "1";
${CHECK_VALID_UNTIL:+Acquire::Check-Valid-Until "$CHECK_VALID_UNTIL";}
C
export APT_CONFIG=$A/apt.conf
KEYS=$(ls /usr/share/keyrings/debian-archive-keyring.* | head -n 1)
FOUND=
for mirror in $MIRRORS; do
  echo "deb [signed-by=$KEYS] $mirror $SUITE main" >"$A/etc/sources.list"
  if apt-get -qq update; then FOUND=$mirror; break; fi
done
if [ -z "$FOUND" ]; then echo "no source of apt has Debian $SUITE: ${MIRRORS:-none known}; MIRROR=URL names another" >&2; exit 1; fi

# Of what they depend on, only what the three binaries load.
PACKAGES=$(apt-get install -s --no-install-recommends radosgw ceph-mon ceph-osd | awk '$1 == "Inst" { print $2 }' |
  grep -E '^(lib|zlib1g|radosgw|ceph-(mon|osd|base|common)$)' |
  grep -vE '^lib(perl|python|pam|systemd-shared|lvm2cmd|glib|cephfs|apt|seccomp|json-c|cryptsetup|semanage|sepol)')
(cd "$A/debs" && apt-get -qq download $PACKAGES && for deb in *.deb; do dpkg -x "$deb" "$P/root"; done)
rm -rf "$A" "$P"/root/usr/share/{doc,man,locale}

cat >"$P/exec" <<'C'
#!/bin/sh
# exec TOOL ARGS...   Runs a Ceph binary with the libraries next to it, wherever this folder was moved to.
R=$(cd "$(dirname "$0")" && pwd)/root; tool=$1; shift
LD=$R/usr/lib64/ld-linux-x86-64.so.2; [ -e "$LD" ] || LD=$R/lib64/ld-linux-x86-64.so.2
exec "$LD" --library-path "$R/usr/lib/x86_64-linux-gnu:$R/usr/lib/x86_64-linux-gnu/ceph:$R/lib/x86_64-linux-gnu" --argv0 "$tool" "$R/usr/bin/$tool" "$@"
C
chmod +x "$P/exec"
"$P/exec" radosgw --version
mv -T "$P" "$1" || [ -x "$1/exec" ] # who comes second throws its own away
