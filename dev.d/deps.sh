# shellcheck shell=bash
# Debian packages, and which of them are missing.

DEPS_BUILD="gcc libc6-dev meson ninja-build pkg-config libuv1-dev libssl-dev libyaml-dev libsqlite3-dev libnghttp2-dev
	libwslay-dev libprotobuf-c-dev protobuf-c-compiler zlib1g-dev libisal-dev libcmocka-dev libmnl-dev libpcre2-dev libknot-dev libsystemd-dev libnfs-dev"
# What hanok node works with, on a lab host and on an installation.
DEPS_NODE="containerd runc containernetworking-plugins libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu
	qemu-system-x86 qemu-utils qemu-block-extra libnfs13 ovmf swtpm swtpm-tools nftables iproute2 xorriso dnsmasq-base skopeo zstd xz-utils curl"
# What a lab and its sample images need besides.
DEPS_LAB="docker-registry skopeo busybox-static cpio kmod e2fsprogs curl util-linux libdevmapper1.02.1 liblzma5"
# What hanok image build works with.
DEPS_IMAGE="mmdebstrap debian-archive-keyring e2fsprogs fdisk grub-common grub-pc-bin grub-efi-amd64-bin dosfstools mtools qemu-utils skopeo"
DEPS_TEST="python3 curl dbus-daemon nfs-ganesha nfs-ganesha-vfs rpcbind"
# What hanok server works with besides its libraries: time zones of cron jobs.
DEPS_SERVER="tzdata"
DEPS_LINT="clang-format shellcheck"
DEPS_FUZZ="clang llvm libclang-rt-14-dev"

# deps_missing PACKAGE...: those not installed. kubernetes-client only stands for a kubectl of any origin.
deps_missing() {
	local package
	comm -23 <(printf '%s\n' "$@" | sort -u) \
		<(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | awk '/^ii/ { print $2 }' | sort -u) |
		while read -r package; do
			[ "$package" = kubernetes-client ] && command -v kubectl >/dev/null && continue
			echo "$package"
		done
}

# deps_install PACKAGE...: a step. Services that come with a package are neither started nor enabled: a lab
# starts its own inside its hosts, and trying hanok should not change the machine.
deps_install() {
	local missing
	mapfile -t missing < <(deps_missing "$@")
	[ ${#missing[@]} -gt 0 ] || { progress 1 1 "nothing missing"; return 0; }
	echo "missing: ${missing[*]}"
	[ "$(id -u)" = 0 ] || fail "these packages are missing: ${missing[*]}" "sudo ./dev deps"
	command -v apt-get >/dev/null || fail "this is not a Debian system, and these are missing: ${missing[*]}" \
		"install them by the system's own means"
	if ! apt-get -s install --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
		progress 0 100 "apt-get update"
		deps_apt update || fail "apt-get update failed" "check the network and /etc/apt/sources.list, then run again"
	fi
	# A list that is old names files that are gone: once more with a fresh one.
	deps_install_quietly "${missing[@]}" && return
	deps_apt update || fail "apt-get update failed" "check the network and /etc/apt/sources.list, then run again"
	deps_install_quietly "${missing[@]}" ||
		fail "apt-get could not install: ${missing[*]}" "sudo apt-get install ${missing[*]}"
	progress 100 100 "${#missing[@]} packages installed"
}

deps_install_quietly() {
	local policy=/usr/sbin/policy-rc.d status
	if [ -e $policy ]; then
		deps_apt install --no-install-recommends "$@"
		return
	fi
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
	deps_apt install --no-install-recommends "$@"
	status=$?
	rm -f $policy
	if [ -d /run/systemd/system ]; then
		deps_services "$@" | xargs -r systemctl --quiet disable 2>/dev/null
	fi
	return $status
}

# deps_services PACKAGE...: units of these packages that a fresh installation would start at boot.
deps_services() {
	dpkg -L "$@" 2>/dev/null | sed -n 's|^\(/usr\)\?/lib/systemd/system/\(.*\.\(service\|socket\)\)$|\2|p' |
		grep -E '^(containerd|docker-registry|libvirt|virtlog|virtlock|rpcbind|nfs)'
}

# deps_apt ARG...: apt-get, whose report on descriptor 8 becomes progress.
deps_apt() {
	local kind percent text
	DEBIAN_FRONTEND=noninteractive apt-get -y -q -o APT::Status-Fd=8 -o Dpkg::Use-Pty=0 "$@" 8> >(
		while IFS=: read -r kind _ percent text; do
			case $kind in
			dlstatus) progress "${percent%.*}" 100 "downloading: $text" ;;
			pmstatus) progress "${percent%.*}" 100 "$text" ;;
			esac
		done
	)
}

cmd_deps() {
	ui_begin 1
	# shellcheck disable=SC2086
	step packages deps_install $DEPS_BUILD $DEPS_SERVER $DEPS_NODE $DEPS_LAB $DEPS_IMAGE $DEPS_TEST $DEPS_LINT $DEPS_FUZZ kubernetes-client
}
