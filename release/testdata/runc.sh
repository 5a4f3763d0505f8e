#!/bin/bash
# Runs the image under runc with no more capabilities than it needs: runc.sh IMAGE.tar ROOT CLOUDJIT JAR
# ROOT is the image's base, unpacked already; the image's last layer goes on top. Run it under unshare --mount.
set -euo pipefail
image=$1 lower=$2 client=$3 jar=$4
work=$(mktemp -d) id=cloudjit-test-$$
finish() {
	runc --root "$work/runc" delete --force "$id" >/dev/null 2>&1 || true
	cd /
	umount -l -R "$work/layers" && rm -rf "$work"
}
trap finish EXIT
mkdir "$work/layers" "$work/image"
mount -t tmpfs none "$work/layers"
bundle=$work/layers/bundle
mkdir -p "$work/layers/upper" "$work/layers/work" "$bundle/rootfs"
tar -xf "$image" -C "$work/image" manifest.json
layer=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[0]["Layers"][-1])' "$work/image/manifest.json")
config=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[0]["Config"])' "$work/image/manifest.json")
tar -xf "$image" -C "$work/image" "$layer" "$config"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/layers/upper,workdir=$work/layers/work" "$bundle/rootfs"
tar -xzf "$work/image/$layer" -C "$bundle/rootfs"
(cd "$bundle" && runc spec)
export CLOUDJIT_RUNC_CAPS="${CLOUDJIT_RUNC_CAPS:-CAP_SYS_ADMIN CAP_SETUID CAP_SETGID CAP_NET_ADMIN CAP_CHOWN CAP_DAC_OVERRIDE CAP_KILL CAP_MKNOD CAP_SETPCAP CAP_SETFCAP}"
spec() { # ARGS... as a JSON list: what the image says, with the capabilities above
	python3 - "$work/image/$config" "$bundle/config.json" "$@" <<-'PY'
		import json, os, sys
		image, path, args = json.load(open(sys.argv[1]))["config"], sys.argv[2], sys.argv[3:]
		spec = json.load(open(path))
		caps = os.environ["CLOUDJIT_RUNC_CAPS"].split()
		p = spec["process"]
		p.update(terminal=False, env=image["Env"], args=image["Entrypoint"] + args, rlimits=[],
		         capabilities={k: caps for k in ("bounding", "effective", "permitted", "inheritable")})
		spec["root"]["readonly"] = False
		# The host's network, so that the test reaches it; a writable group, so that limits are enforced.
		spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] not in ("network", "cgroup")]
		spec["linux"]["maskedPaths"] = spec["linux"]["readonlyPaths"] = []
		for m in spec["mounts"]:
		    if m["type"] == "cgroup":
		        m["options"] = [o for o in m["options"] if o != "ro"]
		json.dump(spec, open(path, "w"))
	PY
}
echo "== doctor"
spec doctor
(cd "$bundle" && runc --root "$work/runc" run "$id" </dev/null) || true
runc --root "$work/runc" delete --force "$id" 2>/dev/null || true
echo "== a function serves"
spec serve --config /etc/cloudjit/cloudjit.yaml --listen 127.0.0.1:0
(cd "$bundle" && exec runc --root "$work/runc" run "$id" </dev/null >"$work/url" 2>"$work/log") &
for _ in $(seq 600); do
	[ ! -s "$work/url" ] || break
	kill -0 $! || { cat "$work/log"; exit 1; }
	sleep 0.1
done
CLOUDJIT_ENDPOINT=$(cat "$work/url")
export CLOUDJIT_ENDPOINT
"$client" deploy orders "$jar"
"$client" invoke orders '{"id":"o-1","customer":{"name":"Ada"},"items":[{"product":"tea","quantity":2,"cents":450}],"payment":{"type":"invoice","days":30}}'
echo
runc --root "$work/runc" kill "$id" TERM
wait $! || true
tail -1 "$work/log"
echo "== done"
