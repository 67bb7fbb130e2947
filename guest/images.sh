# shellcheck shell=bash
# The images that samples and tests run, built from Debian packages:
#
#   pause       the sandbox process
#   web         busybox; its httpd answers "container HOSTNAME"
#   vm-web      KubeVirt containerDisk: /disk/disk.qcow2, a bootable guest (GRUB, Debian's cloud kernel,
#               busybox) whose httpd answers "virtual machine HOSTNAME"
#               (it has QEMU's guest agent, which runs where /etc/guest-agent exists, by cloud-init's write_files
#               say, or "guest-agent" is on the kernel's command line)
#   vm-kernel   the same guest's /boot/vmlinuz and /boot/initrd.img, for kernelBoot.container
#
# And, only for the test of booting: vm-install, a containerDisk with /disk/install.iso, which boots and puts the same guest
# onto the first disk.
#
# Packages that only lend files (kernel, GRUB) are unpacked, not installed: the machine is not changed.
# Each image is rebuilt only if something that it is made of changed.

IMAGES_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # for those who source this
IMAGES="pause web vm-web vm-kernel"
# QEMU's guest agent and the libraries it is linked with.
IMAGES_AGENT_PACKAGES="qemu-guest-agent libc6 libglib2.0-0 libpcre2-8-0 libnuma1 libudev1 liburing2"
IMAGES_SSH_PACKAGES="dropbear-bin libtomcrypt1 libtommath1 libgmp10 zlib1g libcrypt1 openssh-sftp-server"

# shellcheck source=guest/oci.sh
. "$IMAGES_SOURCE/oci.sh"

# images_use CACHE
images_use() {
	IMAGES_CACHE=$1
	mkdir -p "$IMAGES_CACHE"
}

# images_versions: asks apt once for all; it takes its time for each question.
images_versions() {
	[ -z "${IMAGES_VERSIONS:-}" ] || return 0
	IMAGES_KERNEL=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
	# shellcheck disable=SC2086
	IMAGES_VERSIONS=$(apt-cache policy $IMAGES_KERNEL $IMAGES_AGENT_PACKAGES $IMAGES_SSH_PACKAGES grub-pc-bin grub-common)
}

# images_unpacked PACKAGE: the directory with its files; downloaded once a version, by one process at a time.
images_unpacked() {
	local package=$1 version dir
	images_versions
	version=$(awk -v name="$package:" '/^[^ ]/ { found = $0 == name } found && /Candidate:/ { print $2; exit }' <<<"$IMAGES_VERSIONS")
	if [ -z "$version" ] || [ "$version" = "(none)" ]; then
		echo "apt knows no package $package (apt-get update?)" >&2
		return 1
	fi
	dir=$IMAGES_CACHE/packages/${package}_${version//:/%3a}
	if [ ! -d "$dir" ]; then
		mkdir -p "$IMAGES_CACHE/packages"
		(flock 8 && { [ -d "$dir" ] || images_unpack "$package" "$dir"; }) 8>"$IMAGES_CACHE/packages/lock" || return
	fi
	echo "$dir"
}
images_unpack() {
	rm -rf "$2.new"
	mkdir -p "$2.new/download"
	(cd "$2.new/download" && apt-get -qq -o APT::Sandbox::User=root download "$1") >&2 || return
	dpkg-deb -x "$2.new"/download/*.deb "$2.new" || return
	rm -r "$2.new/download"
	mv "$2.new" "$2"
}

images_kernel_package() {
	images_versions
	echo "$IMAGES_KERNEL"
}

# images_inputs NAME: a line for each thing that the image is made of.
images_inputs() {
	case $1 in
	pause) sha256sum "$IMAGES_SOURCE/pause.c" ;;
	web) sha256sum "$IMAGES_SOURCE/web-entrypoint" && sha256sum /bin/busybox ;;
	vm-*)
		find "$IMAGES_SOURCE/vm" -type f -exec sha256sum {} + | sort
		sha256sum /bin/busybox
		images_unpacked "$(images_kernel_package)"
		for package in $IMAGES_AGENT_PACKAGES; do images_unpacked "$package" || return; done
		;;
	esac
	sha256sum "$IMAGES_SOURCE/images.sh" "$IMAGES_SOURCE/oci.sh"
}

# images_build NAME: $IMAGES_CACHE/NAME is its OCI layout afterwards. Two that want the same do not get into each other's way.
images_build() {
	local name=$1 key work=$IMAGES_CACHE/work.$1
	images_versions
	(flock 9 && images_build_locked) 9>"$IMAGES_CACHE/lock.$name"
}
images_build_locked() {
	key=$(images_inputs "$name" | sha256sum | cut -d' ' -f1)
	[ "$(cat "$IMAGES_CACHE/$name/inputs" 2>/dev/null)" = "$key" ] && return
	rm -rf "$work"
	mkdir -p "$work/root"
	"images_make_${name/-/_}" "$work" || return
	echo "$key" >"$work/layout/inputs"
	rm -rf "${IMAGES_CACHE:?}/$name"
	mv "$work/layout" "$IMAGES_CACHE/$name"
	rm -rf "$work"
}

images_make_pause() {
	cc -std=c11 -D_GNU_SOURCE -Os -static -s -o "$1/root/pause" "$IMAGES_SOURCE/pause.c" || return
	oci_image "$1/layout" "$1/root" 0:0 '{"Entrypoint":["/pause"]}'
}

images_make_web() {
	images_busybox "$1/root" || return
	mkdir -p "$1/root"/{etc,tmp,proc,sys,dev}
	echo 'root:x:0:0:root:/:/bin/sh' >"$1/root/etc/passwd"
	echo 'root:x:0:' >"$1/root/etc/group"
	install -m 755 "$IMAGES_SOURCE/web-entrypoint" "$1/root/bin/web"
	oci_image "$1/layout" "$1/root" 0:0 \
		'{"Entrypoint":["/bin/web"],"Env":["PATH=/bin"],"ExposedPorts":{"80/tcp":{}},"WorkingDir":"/"}'
}

images_make_vm_web() {
	images_guest "$1" || return
	images_disk "$1" "$1/root/disk/disk.qcow2" || return
	# 107 is the user of KubeVirt's QEMU; its own images are so.
	oci_image "$1/layout" "$1/root" 107:107 '{}'
}

images_make_vm_kernel() {
	images_guest "$1" || return
	mkdir -p "$1/root/boot"
	cp "$1/vmlinuz" "$1/initrd.img" "$1/root/boot/"
	oci_image "$1/layout" "$1/root" 107:107 '{}'
}

# images_busybox ROOT: the static busybox and a link for each of its commands.
images_busybox() {
	local command
	mkdir -p "$1/bin"
	cp /bin/busybox "$1/bin/busybox" || return
	for command in $(/bin/busybox --list); do
		[ "$command" = busybox ] || ln -s busybox "$1/bin/$command"
	done
}

# images_agent ROOT: the guest agent, and of the packages' libraries those that it needs.
images_agent() {
	local root=$1 package dir library
	mkdir -p "$root/sbin" "$root/lib64" "$root/lib/x86_64-linux-gnu" "$root/var/run"
	for package in $IMAGES_AGENT_PACKAGES; do
		dir=$(images_unpacked "$package") || return
		[ ! -e "$dir/usr/sbin/qemu-ga" ] || install -m 755 "$dir/usr/sbin/qemu-ga" "$root/sbin/qemu-ga" || return
		for library in "$dir"{,/usr}/lib/x86_64-linux-gnu/lib{udev.so.1,numa.so.1,uring.so.2,glib-2.0.so.0,gmodule-2.0.so.0,m.so.6,c.so.6,pcre2-8.so.0} \
			"$dir"{,/usr}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2; do
			[ ! -e "$library" ] || cp -L "$library" "$root/lib/x86_64-linux-gnu/" || return
		done
	done
	ln -sfn ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$root/lib64/ld-linux-x86-64.so.2"
}

# images_ssh_server ROOT: an ssh server (dropbear, with sftp) for a sample guest that wants one, as a tree for its root.
# It is in no image.
images_ssh_server() {
	local root=$1 package dir file
	mkdir -p "$root/sbin" "$root/lib/x86_64-linux-gnu" "$root/usr/lib" "$root/etc/dropbear"
	for package in $IMAGES_SSH_PACKAGES; do
		dir=$(images_unpacked "$package") || return
		for file in "$dir"{,/usr}/lib/x86_64-linux-gnu/lib{tomcrypt,tommath,gmp,z,crypt}.so.?*; do
			[ ! -e "$file" ] || cp -d "$file" "$root/lib/x86_64-linux-gnu/" || return
		done
		[ ! -e "$dir/usr/sbin/dropbear" ] || cp "$dir/usr/sbin/dropbear" "$root/sbin/" || return
		[ ! -e "$dir/usr/lib/openssh/sftp-server" ] || cp "$dir/usr/lib/openssh/sftp-server" "$root/usr/lib/" || return
	done
}

# images_guest WORK: vmlinuz, initrd.img and guest/ (the user land that both the disk and initrd.img hold).
images_guest() { (flock 7 && images_guest_locked "$1") 7>"$IMAGES_CACHE/lock.guest"; }
images_guest_locked() {
	local work=$1 guest=$1/guest made=$IMAGES_CACHE/guest package kernel version module file
	# Two images have the same guest, made of the same.
	if [ "$(cat "$made/inputs" 2>/dev/null)" = "$key" ]; then
		cp -a "$made"/{guest,vmlinuz,initrd.img} "$work/"
		return
	fi
	package=$(images_kernel_package)
	kernel=$(images_unpacked "$package") || return
	version=${package#linux-image-}
	images_busybox "$guest" || return
	mkdir -p "$guest"/{dev,proc,sys,run,tmp,mnt,root,www,var/log,var/lib/cloud,lib/modules}
	cp -a "$IMAGES_SOURCE/vm/root/." "$guest/"
	images_agent "$guest" || return
	ln -sfn ../bin/busybox "$guest/sbin/init"
	for file in getty acpid reboot; do ln -sfn ../bin/busybox "$guest/sbin/$file"; done
	ln -sfn /run/resolv.conf "$guest/etc/resolv.conf"
	printf 'root:%s:19000:0:99999:7:::\n' "$(/bin/busybox mkpasswd -m sha512 -S hanoksample hanok)" >"$guest/etc/shadow"
	chmod 600 "$guest/etc/shadow"

	[ -e "$kernel/lib/modules/$version/modules.dep" ] || depmod -b "$kernel" "$version" || return
	while read -r module; do
		modprobe -d "$kernel" -S "$version" --show-depends "$module" 2>/dev/null
	done <"$guest/etc/modules" | awk -v prefix="$kernel/" '
		/^insmod/ { sub(/\/\/*/, "/", $2); at = index($2, "/lib/modules/"); print substr($2, at + 1) }' | sort -u |
		(cd "$kernel" && cpio -pdm --quiet "$guest") || return
	cp "$kernel/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} "$guest/lib/modules/$version/"
	depmod -b "$guest" "$version" || return
	cp "$kernel/boot/vmlinuz-$version" "$work/vmlinuz"
	find "$guest" -exec touch -h -d @0 {} +
	(cd "$guest" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet --reproducible) | gzip -n -9 >"$work/initrd.img"
	rm -rf "$made"
	mkdir "$made" && cp -a "$guest" "$work/vmlinuz" "$work/initrd.img" "$made/" && echo "$key" >"$made/inputs"
}

# images_loader WORK: core.img, GRUB that loads the kernel of the first partition of the first disk.
images_loader() {
	local work=$1 grub tools
	grub=$(images_unpacked grub-pc-bin) && tools=$(images_unpacked grub-common) || return
	cat >"$work/grub.cfg" <<-'END'
		set root=(hd0,msdos1)
		linux /boot/vmlinuz console=tty0 console=ttyS0,115200 loglevel=4 no_timer_check mitigations=off net.ifnames=0
		initrd /boot/initrd.img
		boot
	END
	"$tools/usr/bin/grub-mkimage" -O i386-pc -d "$grub/usr/lib/grub/i386-pc" -p '(hd0,msdos1)/boot/grub' \
		-c "$work/grub.cfg" -o "$work/core.img" biosdisk part_msdos ext2 linux boot
}

images_make_vm_install() {
	local work=$1 grub tools iso=$1/iso layer
	images_build vm-kernel && images_loader "$work" || return
	for layer in "$IMAGES_CACHE"/vm-kernel/blobs/sha256/*; do
		tar -xf "$layer" -C "$work" --strip-components=2 ./boot 2>/dev/null # not all are layers
	done
	[ -s "$work/vmlinuz" ] && [ -s "$work/initrd.img" ] || return
	grub=$(images_unpacked grub-pc-bin) && tools=$(images_unpacked grub-common) || return
	mkdir -p "$iso" "$work/root/disk"
	cat >"$work/install.cfg" <<-'END'
		set root=(cd)
		linux /vmlinuz console=tty0 console=ttyS0,115200 loglevel=4 no_timer_check mitigations=off install
		initrd /initrd.img
		boot
	END
	"$tools/usr/bin/grub-mkimage" -O i386-pc-eltorito -d "$grub/usr/lib/grub/i386-pc" -p '(cd)/boot/grub' \
		-c "$work/install.cfg" -o "$iso/eltorito.img" biosdisk iso9660 linux boot || return
	cp "$work/vmlinuz" "$work/initrd.img" "$work/core.img" "$grub/usr/lib/grub/i386-pc/boot.img" "$iso/"
	xorriso -as mkisofs -quiet -output "$work/root/disk/install.iso" -volid hanok-install -rock \
		-b eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table "$iso" || return
	oci_image "$work/layout" "$work/root" 107:107 '{}'
}

# images_disk WORK TARGET: a disk with a boot loader in front of one ext4 partition, made as files only: no
# loop device, no mount.
images_disk() {
	local work=$1 target=$2 grub
	grub=$(images_unpacked grub-pc-bin) || return
	images_loader "$work" || return
	mkdir -p "$work/guest/boot" "$(dirname "$target")"
	cp "$work/vmlinuz" "$work/initrd.img" "$work/guest/boot/"

	rm -f "$work/root.ext4" "$work/disk.raw"
	truncate -s 63M "$work/root.ext4"
	mke2fs -q -F -t ext4 -L hanok-root -U 68616e6f-6b00-4000-8000-000000000001 \
		-E hash_seed=68616e6f-6b00-4000-8000-000000000002,root_owner=0:0 -O '^has_journal' -m 0 \
		-d "$work/guest" "$work/root.ext4" || return
	truncate -s 64M "$work/disk.raw"
	# The partition table's one entry: bootable, type 83, from sector 2048 (1 MiB) on, 0x1f800 sectors (63 MiB).
	printf '\x80\xfe\xff\xff\x83\xfe\xff\xff\x00\x08\x00\x00\x00\xf8\x01\x00' |
		dd of="$work/disk.raw" bs=1 seek=446 conv=notrunc status=none
	printf '\x55\xaa' | dd of="$work/disk.raw" bs=1 seek=510 conv=notrunc status=none
	# boot.img looks for the rest of GRUB in the sectors right behind it, before the first partition.
	dd if="$grub/usr/lib/grub/i386-pc/boot.img" of="$work/disk.raw" bs=440 count=1 conv=notrunc status=none &&
		dd if="$work/core.img" of="$work/disk.raw" bs=512 seek=1 conv=notrunc status=none &&
		dd if="$work/root.ext4" of="$work/disk.raw" bs=1M seek=1 conv=notrunc,sparse status=none || return
	qemu-img convert -q -f raw -O qcow2 -c "$work/disk.raw" "$target"
}
