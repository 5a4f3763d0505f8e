# Runs a command that runs programs of another architecture: emulate EMULATOR MAGIC COMMAND...
# It is meant for a user namespace of its own: since Linux 6.7 each can have its own list of binary formats, which ends with it.
set -eu
emulator=$1 magic=$2
shift 2
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || {
	echo "this kernel has no list of binary formats for a user namespace (Linux 6.7 has): register QEMU for the machine (apt-get install binfmt-support)" >&2
	exit 1
}
# F: the kernel keeps the emulator open, so that it is found in another root, too.
printf '%s' ":cloudjit:M::$magic:\xff\xff\xff\xff\xff\xff\xff\xfc\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$emulator:F" >/proc/sys/fs/binfmt_misc/register
exec "$@"
