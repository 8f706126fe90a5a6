#!/usr/bin/env bash
# The image without an engine: image.sh PRISM [DIR]
#
# Makes the root file system that the Dockerfile's last stage makes, of the same packages from the mirror that this
# machine's apt uses, and runs PRISM in it as the image's user: its version, the demo with its health check, and requests
# and streams over TLS, with and without the system's store of certificates. Needs root and debootstrap; exits with 3 where
# the packages cannot be had.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
prism=$(realpath "${1:?the binary}")
root=${2:-$(mktemp -d)/root}
dockerfile=$here/../Dockerfile

fail() { echo "image: $*" >&2; exit 1; }
without() { echo "image: $*" >&2; exit 3; }
[ "$(id -u)" = 0 ] || without "needs root, for chroot"
command -v debootstrap >/dev/null || without "needs debootstrap: apt-get install debootstrap"

base=$(sed -nE 's/^FROM debian:([a-z]+)-slim$/\1/p' "$dockerfile")
# What the last stage installs, and as whom it runs.
last=$(awk '/^FROM debian:/ { on = 1 } on' "$dockerfile")
packages=$(sed -nE 's/.*--no-install-recommends ([a-z0-9 .+-]+[a-z0-9]).*/\1/p' <<<"$last" | tr ' ' ',')
user=$(sed -nE 's/^USER (.*)$/\1/p' <<<"$last")
health=$(sed -nE 's/^ *CMD \["bash", "-c", "(.*)"\]$/\1/p' <<<"$last" | sed 's/\\\\/\\/g; s/\\"/"/g')
[ -n "$base" ] && [ -n "$packages" ] && [ -n "$user" ] && [ -n "$health" ] || fail "the Dockerfile is not as this script reads it"

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
if [ ! -x "$root/bin/bash" ]; then
    debootstrap --variant=minbase --include="$packages" "$base" "$root" "$mirror" >"$root.log" 2>&1 ||
        { tail -n 5 "$root.log" >&2; rm -rf "$root"; without "no packages"; }
fi
chroot "$root" true || without "nothing can be run in a chroot"
chroot "$root" id prism >/dev/null 2>&1 ||
    chroot "$root" useradd --uid "${user%:*}" --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin prism
install -d -o "${user%:*}" -g "${user#*:}" "$root/data"
install -m 755 -s "$prism" "$root/usr/local/bin/prism"

within() { chroot --userspec="$user" "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/data "$@"; }
within prism --version
echo "image: $(du -sh "$root" | cut -f1), of which prism $(du -sh "$root/usr/local/bin/prism" | cut -f1)"

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

port=$(free_port)
within bash -c "cd /data && exec prism demo --for 10s --port $port" >"$work/demo.log" 2>&1 &
demo=$!
healthy=
for _ in $(seq 100); do
    if within bash -c "${health//8000/$port}" 2>/dev/null; then healthy=yes; break; fi
    sleep 0.2
done
[ -n "$healthy" ] || { tail -n 20 "$work/demo.log" >&2; fail "the health check of the Dockerfile does not pass while the demo runs"; }
wait "$demo" || { tail -n 20 "$work/demo.log" >&2; fail "prism demo --for 10s"; }
echo "image: the demo ran, its health check passed"

port=$(free_port)
"$prism" emulate --port "$port" --symbols 3 --tls "$work/ca.pem" >"$work/emulate.log" 2>&1 &
for _ in $(seq 100); do [ -s "$work/ca.pem" ] && break; sleep 0.1; done
install -m 644 "$work/ca.pem" "$root/data/ca.pem"
cat >"$root/data/tls.toml" <<TOML
[feeds]
venues = ["bybit-linear"]
addresses = { bybit-linear = "https://127.0.0.1:$port/bybit-linear" }
fear_greed = ""
ca = "/data/ca.pem"
TOML
asked() { # WHAT: the doctor and a snapshot over TLS
    within bash -c 'cd /data && prism doctor --config tls.toml && prism snapshot BTC/USDT --config tls.toml' >"$work/tls.log" 2>&1 ||
        { tail -n 30 "$work/tls.log" >&2; fail "TLS $1"; }
    echo "image: requests and streams over TLS $1; trusted: $(grep -m1 -i certificates "$work/tls.log" | tr -s ' ')"
}
asked "with the system's store"
mv "$root/etc/ssl/certs" "$root/etc/ssl/certs.away"
asked "without one"
mv "$root/etc/ssl/certs.away" "$root/etc/ssl/certs"
echo "image: all of it works"
