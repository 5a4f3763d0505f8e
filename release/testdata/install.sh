#!/bin/bash
# Installs, upgrades, removes and purges a package in a root of its own: install.sh ROOT OLD NEW CLOUDJIT JAR
# ROOT is an unpacked Debian that stays as it is; the mounts are this process's alone (run it under unshare --mount).
set -euo pipefail
lower=$1 old=$2 new=$3 client=$4 jar=$5
work=$(mktemp -d)
server=
finish() {
	[ -z "$server" ] || { kill "$server" && wait "$server"; } || true
	cd /
	umount -l -R "$work/layers" && rm -rf "$work"
}
trap finish EXIT
mkdir "$work/layers"
mount -t tmpfs none "$work/layers"
root=$work/layers/root
mkdir "$work/layers/upper" "$work/layers/work" "$root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/layers/upper,workdir=$work/layers/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t tmpfs none "$root/run"
cp "$old" "$root/tmp/old.deb"
cp "$new" "$root/tmp/new.deb"
# enter runs a command with the root as its own: chroot would not do, since the kernel refuses user namespaces in one.
enter() { exec unshare --mount --propagation private sh -c 'cd "$1" && shift && pivot_root . mnt && cd / && umount -l /mnt && exec "$@"' enter "$root" "$@"; }
in_root() { (enter /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 CLOUDJIT_CACHE=/var/cache/cloudjit "$@"); }
say() { echo "== $*"; }
serve() { # as the unit does, as the user $1
	: >"$work/url"
	(enter /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/var/lib/cloudjit LC_ALL=C.UTF-8 CLOUDJIT_CACHE=/var/cache/cloudjit \
		setpriv --reuid "$1" --regid "$1" --init-groups --no-new-privs $2 \
		cloudjit serve --config /etc/cloudjit/cloudjit.yaml --listen 127.0.0.1:0 >"$work/url" 2>"$work/log") &
	server=$!
	for _ in $(seq 600); do
		[ ! -s "$work/url" ] || break
		kill -0 "$server" || { cat "$work/log"; exit 1; }
		sleep 0.1
	done
	CLOUDJIT_ENDPOINT=$(cat "$work/url")
	export CLOUDJIT_ENDPOINT
}
stop() { kill "$server" && wait "$server"; server=; }

say install
in_root dpkg -i /tmp/old.deb
in_root cloudjit version
in_root getent passwd cloudjit
[ "$(in_root stat -c '%U %a' /var/lib/cloudjit)" = "root 750" ]
[ -e "$root/usr/share/man/man1/cloudjit-deploy.1.gz" ]
[ "$(in_root env COMP_LINE='cloudjit dep' cloudjit)" = deploy ]
in_root dpkg-query --showformat='conffiles:${Conffiles}\n' --show cloudjit

say the unit
in_root test -e /usr/lib/systemd/system/cloudjit.service
mkdir "$work/unit"
sed "s#^ExecStart=/usr/bin/cloudjit#ExecStart=$client#" "$root/usr/lib/systemd/system/cloudjit.service" >"$work/unit/cloudjit.service"
systemd-analyze verify --man=no "$work/unit/cloudjit.service"
systemd-analyze security --offline=yes --no-pager "$work/unit/cloudjit.service" | tail -1

say doctor
in_root cloudjit doctor || true

say a function serves
bounding=$(sed -n 's/^CapabilityBoundingSet=//p' "$root/usr/lib/systemd/system/cloudjit.service" | tr 'A-Z' 'a-z' | sed 's/cap_/+/g; s/ /,/g')
serve root "--bounding-set=-all,$bounding"
"$client" deploy orders "$jar"
"$client" invoke orders '{"id":"o-1","customer":{"name":"Ada"},"items":[{"product":"tea","quantity":2,"cents":450}],"payment":{"type":"invoice","days":30}}'
echo
stop
echo '# mine' >>"$root/etc/cloudjit/cloudjit.yaml"

say upgrade
in_root dpkg -i /tmp/new.deb
in_root cloudjit version
tail -1 "$root/etc/cloudjit/cloudjit.yaml"
serve root "--bounding-set=-all,$bounding"
"$client" list
"$client" invoke orders '{"id":"o-2","customer":{"name":"Ada"},"items":[{"product":"tea","quantity":2,"cents":450}],"payment":{"type":"invoice","days":30}}'
echo
stop

say a user of its own
chown -R --reference="$root/var/lib/cloudjit" "$root/var/cache/cloudjit"
in_root chown -R cloudjit:cloudjit /var/lib/cloudjit /var/cache/cloudjit
in_root chgrp cloudjit /etc/cloudjit/cloudjit.yaml
serve cloudjit "--bounding-set=-all"
"$client" invoke orders '{"id":"o-3","customer":{"name":"Ada"},"items":[{"product":"tea","quantity":2,"cents":450}],"payment":{"type":"invoice","days":30}}'
echo
stop

say remove
in_root dpkg -r cloudjit
[ ! -e "$root/usr/bin/cloudjit" ]
[ -e "$root/etc/cloudjit/cloudjit.yaml" ]
[ -n "$(ls "$root/var/lib/cloudjit")" ]

say purge
in_root dpkg -P cloudjit
for left in /etc/cloudjit /var/lib/cloudjit /var/cache/cloudjit /usr/share/doc/cloudjit; do
	[ ! -e "$root$left" ] || { echo "left behind: $left"; exit 1; }
done
! in_root getent passwd cloudjit
say done
