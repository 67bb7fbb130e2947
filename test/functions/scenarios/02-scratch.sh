# shellcheck shell=bash
#@@ creation | From scratch: ISO, network, kernel, cloud-init

# iso NAME TEXT: an installation CD that boots by El Torito and says TEXT on the serial console; no guest has to come up.
boot_sector() {
	# 16 bit code: prints on COM1 by polling its status, then stops.
	python3 - "$1" <<-'END'
		import sys
		text = ("\r\n" + sys.argv[1] + "\r\n").encode() + b"\0"
		code = bytes([0xFA, 0x31, 0xC0, 0x8E, 0xD8, 0xBE, 0, 0x7C])
		loop = bytes([0xAC, 0x84, 0xC0, 0x74, 0x10, 0x88, 0xC3, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x20, 0x74, 0xFB, 0x88, 0xD8, 0xBA, 0xF8, 0x03, 0xEE])
		jump = bytes([0xEB, 0x100 - len(loop) - 2])
		# The read loop jumps back to its AC; a NUL jumps behind the jump: to hlt.
		body = loop[:4] + bytes([len(loop) + len(jump) - 5]) + loop[5:] + jump + bytes([0xF4, 0xEB, 0xFD])
		at = 0x7C00 + len(code) + len(body)
		code = code[:6] + at.to_bytes(2, "little")
		sector = (code + body + text).ljust(510, b"\0") + b"\x55\xaa"
		sys.stdout.buffer.write(sector)
	END
}

#@ C11 | an installation ISO in the CD-ROM drive boots first; without it the disk does |
C11() {
	mkdir -p "$TEST_DIR/iso"
	boot_sector 'the installer runs' >"$TEST_DIR/iso/boot.img"
	truncate -s 2048 "$TEST_DIR/iso/boot.img"
	xorriso -as mkisofs -quiet -o "$TEST_DIR/web/c11.iso" -b boot.img -no-emul-boot -boot-load-size 4 "$TEST_DIR/iso"
	import c11-iso "{\"http\":{\"url\":\"$(web_url c11.iso)\"}}" 16Mi
	boot_sector 'the disk runs' >"$TEST_DIR/web/c11.img"
	truncate -s 16M "$TEST_DIR/web/c11.img"
	import c11-root "{\"http\":{\"url\":\"$(web_url c11.img)\"}}" 16Mi
	DISK=none machine_spec c11 "$(inner '{"volumes":null,"readinessProbe":null,"domain":{"firmware":null}}')" \
		"$(inner '{"volumes":[{"name":"cd","dataVolume":{"name":"c11-iso"}},{"name":"root","dataVolume":{"name":"c11-root"}}],"domain":{"devices":{"disks":[{"name":"cd","cdrom":{"bus":"sata"},"bootOrder":1},{"name":"root","disk":{"bus":"virtio"},"bootOrder":2}]}}}')" \
		'{"spec":{"runStrategy":"Manual"}}' | k apply -f -
	virt start c11 --paused
	phase_is vmi/c11 Running
	console_says c11 'the installer runs'
	virt stop c11 --force
	gone vmi/c11
	k patch vm c11 --type=json -p '[{"op":"remove","path":"/spec/template/spec/volumes/0"},{"op":"remove","path":"/spec/template/spec/domain/devices/disks/0"}]'
	virt start c11 --paused
	phase_is vmi/c11 Running
	console_says c11 'the disk runs'
	k delete vm c11 --timeout=$PATIENT
}
# console_says NAME REGEX: of a guest that stands still at its start.
console_says() {
	: >"$TEST_DIR/said"
	(
		eventually 60 grep -q Connected "$TEST_DIR/said"
		virt unpause "$1"
	) &
	python3 -u "$TEST_ROOT/test/terminal.py" 240 "expect:$2" 'send:\x1d' end:0 -- \
		"$LAB/bin/hanok" virt console "$1" --kubeconfig "$KUBECONFIG_FILE" "${TEST_NAMESPACE[@]}" >"$TEST_DIR/said" || {
		cat "$TEST_DIR/said"
		return 1
	}
}

#@ C12 | a machine without a disk tries the network first, and says so |
C12() {
	DISK=none machine_spec c12 "$(inner '{"volumes":null,"readinessProbe":null,"domain":{"firmware":{"kernelBoot":null,"bootloader":{"bios":{"useSerial":true}}},"devices":{"disks":null}}}')" \
		"$(inner '{"domain":{"devices":{"interfaces":[{"name":"default","bridge":{},"bootOrder":1}]}}}')" '{"spec":{"runStrategy":"Manual"}}' | k apply -f -
	virt start c12 --paused
	phase_is vmi/c12 Running
	console_says c12 'iPXE|PXE'
	k delete vm c12 --timeout=$PATIENT
}

#@ C13 | a kernel and its initrd out of an image boot directly, with their arguments |
C13() {
	DISK=none machine_spec c13 "$(domain "{\"firmware\":{\"kernelBoot\":{\"kernelArgs\":\"console=ttyS0 loglevel=4 no_timer_check c13=yes\",\"container\":{\"image\":\"$REGISTRY_IN_LAB/vm-kernel:latest\",\"kernelPath\":\"/boot/vmlinuz\",\"initrdPath\":\"/boot/initrd.img\"}}}}")" | k apply -f -
	ready c13
	answers c13
	in_guest c13 'grep -q c13=yes /proc/cmdline'
	k delete vm c13 --timeout=$PATIENT
}

#@ C14 | an empty disk is made, and the guest finds it with its size |
C14() {
	import c14 '{"blank":{}}' 96Mi
	DISK=container machine_spec c14 "$(inner '{"+volumes":[{"name":"data","dataVolume":{"name":"c14"}}],"domain":{"devices":{"+disks":[{"name":"data","disk":{"bus":"virtio"},"serial":"C14DATA"}]}}}')" | k apply -f -
	ready c14
	in_guest c14 'grep -q 196608 /sys/block/vdc/size'
	k delete vm c14 --timeout=$PATIENT
}

#@ C15 | cloud-init NoCloud sets name, password, files and commands |
C15() {
	DISK=container RUN='sh -c "mkdir -p /www; hostname > /www/name"' machine_spec c15 | k apply -f -
	ready c15
	eventually 150 matches '^c15$' page c15 name
	in_guest c15 'hostname | grep -q c15'
	k delete vm c15 --timeout=$PATIENT
}

#@ C16 | cloud-init ConfigDrive does the same |
C16() {
	DISK=container machine_spec c16 "$(inner '{"volumes":null}')" "$(inner "{\"volumes\":[{\"name\":\"root\",\"containerDisk\":{\"image\":\"$REGISTRY_IN_LAB/$(stack_image):latest\"}},{\"name\":\"seed\",\"cloudInitConfigDrive\":{\"userData\":\"#cloud-config\\nchpasswd: {expire: false, list: \\\"root:hanok\\\\n\\\"}\\nruncmd:\\n- sh -c 'mkdir -p /www; echo drive > /www/by'\\n\"}}]}")" | k apply -f -
	ready c16
	eventually 150 matches '^drive$' page c16 by
	k delete vm c16 --timeout=$PATIENT
}

#@ C17 | network data is handed to the guest unchanged |
C17() {
	local at
	at=$(python3 -c 'import random; print("10.99.%d.%d" % (random.randrange(1, 250), random.randrange(1, 250)))')
	DISK=container machine_spec c17 "$(inner '{"readinessProbe":null}')" | python3 -c '
import json, sys
vm = json.load(sys.stdin)
for v in vm["spec"]["template"]["spec"]["volumes"]:
    if "cloudInitNoCloud" in v:
        v["cloudInitNoCloud"]["networkData"] = "version: 2\nethernets:\n  eth0:\n    match: {name: \"e*\"}\n    addresses: [\"%s/24\"]\n" % sys.argv[1]
print(json.dumps(vm))' "$at" | k apply -f -
	phase_is vmi/c17 Running
	in_guest c17 "ip addr | grep -q $at"
	k delete vm c17 --timeout=$PATIENT
}

#@ C18 | a sysprep volume carries the answer file on a CD |
C18() {
	k create configmap c18 --from-literal=unattend.xml='<unattend/>'
	DISK=container machine_spec c18 "$(inner '{"+volumes":[{"name":"answers","sysprep":{"configMap":{"name":"c18"}}}],"domain":{"devices":{"+disks":[{"name":"answers","cdrom":{"bus":"sata"}}]}}}')" | k apply -f -
	phase_is vmi/c18 Running
	on_node 1 grep -aq '<unattend/>' "$(domain_xml c18 | sed -n "/device='cdrom'/,/<\/disk>/s/.*<source file='\([^']*\)'.*/\1/p")"
	k delete vm c18 --timeout=$PATIENT
}

#@ C19 | hanok image build makes an image and a disk of one recipe; built again it is the same, from the cache | image_build
C19() {
	local cache=$TEST_ROOT/.cache/images/debian first
	first=$("$LAB/bin/hanok" image build "$FUNCTIONS/debian.yaml" --cache "$cache")
	[ "$first" = "$("$LAB/bin/hanok" image build "$FUNCTIONS/debian.yaml" --cache "$cache")" ]
	image inspect "$(sed -n 's/^disk //p' <<<"$first")" | grep -q 'qcow2'
	image inspect "$(sed -n 's/^image //p' <<<"$first")" | grep -q 'linux/amd64'
}

#@ C20 | what can't be is refused with the field's name, and more memory than there is stays unscheduled |
C20() {
	machine_spec c20 "$(domain '{"devices":{"disks":[{"name":"nothing","disk":{"bus":"virtio"}}]}}')" | not k apply -f - >"$TEST_DIR/c20" 2>&1
	cat "$TEST_DIR/c20"
	grep -q 'disks' "$TEST_DIR/c20"
	DISK=container machine_spec c20 "$(domain '{"memory":{"guest":"4Ti"}}')" | k apply -f -
	eventually 60 matches '[Ii]nsufficient memory' said_of vmi/c20
	status_is c20 ErrorUnschedulable
	k delete vm c20 --timeout=$PATIENT
}
