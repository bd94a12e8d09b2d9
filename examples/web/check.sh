#!/usr/bin/env bash
# Opens the page of this example in Chromium without a window, and waits until the node logs what the page has seen.
# Usage: examples/web/check.sh [path of the program skynet-rs]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PATIENCE=60 # seconds for each thing that is waited for

browser=
for name in chromium chromium-browser google-chrome; do
	if command -v "$name" >/dev/null; then
		browser=$name
		break
	fi
done
if [ -z "$browser" ]; then
	echo "SKIPPED: no Chromium here"
	exit 0
fi

program=${1:-}
if [ -z "$program" ]; then
	cargo build --release
	program=target/release/skynet-rs
fi

place=$(mktemp -d)
running=()
finish() {
	for pid in "${running[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	# The browser's helpers may still write.
	rm -rf "$place" 2>/dev/null || true
}
trap finish EXIT

wait_for() { # a text in the node's log
	for _ in $(seq $((PATIENCE * 10))); do
		if grep -qF "$1" "$place/log"; then
			return
		fi
		sleep 0.1
	done
	echo "not within $PATIENCE s: $1"
	cat "$place/log" "$place/browser"
	exit 1
}

printf 'include "%s/config/web"\nweb_port = 0\n' "$PWD" >"$place/config"
touch "$place/log" "$place/browser"
"$program" "$place/config" >"$place/log" 2>&1 &
running+=($!)
wait_for "web: http://"
address=$(sed -n 's,.*web: \(http://.*\),\1,p' "$place/log")

"$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
	--disable-component-update --disable-sync --no-proxy-server --user-data-dir="$place/profile" "$address" \
	>"$place/browser" 2>&1 &
running+=($!)
wait_for 'a page has seen "echo: hello from the page, 70000 bytes of 7"'
echo "OK: the page's WebSocket works in $browser"
