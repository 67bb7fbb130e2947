# shellcheck shell=bash
#@@ creation | From images and templates

#@ C01 | a container disk from a registry boots, answers, and is thrown away with its instance |
C01() {
	local uid
	DISK=container machine_spec c01 | k apply -f -
	ready c01
	answers c01
	k get vmi c01 -o jsonpath='{.status.phase} {.status.nodeName}' | grep -q '^Running node1$'
	uid=$(uid c01)
	on_node 1 find "/var/lib/hanok/vms/$uid" -name '*.qcow2' | grep -q .
	k delete vm c01 --timeout=$PATIENT
	gone vmi/c01
	not on_node 1 test -e "/var/lib/hanok/vms/$uid"
}

#@ C02 | a qcow2 image by HTTP becomes a disk, with progress, and boots |
C02() {
	ln -f "$(readlink -f "$(stack_disk)")" "$TEST_DIR/web/c02.qcow2" || cp "$(stack_disk)" "$TEST_DIR/web/c02.qcow2"
	import c02 "{\"http\":{\"url\":\"$(web_url c02.qcow2)\"}}"
	[ "$(k_field dv/c02 .status.progress)" = 100.0% ]
	DISK=none machine_spec c02 "$(inner '{"volumes":null}')" "$(inner "{\"volumes\":[{\"name\":\"root\",\"dataVolume\":{\"name\":\"c02\"}}],\"domain\":{\"devices\":{\"disks\":[{\"name\":\"root\",\"disk\":{\"bus\":\"virtio\"}}]}},\"readinessProbe\":null}")" | k apply -f -
	phase_is vmi/c02 Running
	eventually 150 matches '^virtual machine ' page c02
	k delete vm c02 --timeout=$PATIENT
}

#@ C03 | a compressed raw image by HTTP with a checksum is taken; a wrong checksum is refused and named |
C03() {
	local sum
	{ echo 'what came compressed' && head -c 3000000 /dev/urandom; } >"$TEST_DIR/web/c03.img"
	truncate -s 8M "$TEST_DIR/web/c03.img"
	gzip -c "$TEST_DIR/web/c03.img" >"$TEST_DIR/web/c03.img.gz"
	sum=$(sha256sum <"$TEST_DIR/web/c03.img.gz" | cut -d' ' -f1)
	import c03 "{\"http\":{\"url\":\"$(web_url c03.img.gz)\",\"checksum\":\"sha256:$sum\"}}" 16Mi
	disk_io c03 'read -v 0 512' | grep -q 'what.came.compre'
	data_volume c03-bad "{\"http\":{\"url\":\"$(web_url c03.img.gz)\",\"checksum\":\"sha256:${sum//[0-8]/9}\"}}" 16Mi |
		merge '{"apiVersion":"cdi.kubevirt.io/v1beta1","kind":"DataVolume","metadata":{"annotations":{"cdi.kubevirt.io/storage.bind.immediate.requested":"true"}}}' | k apply -f -
	eventually 60 matches "checksum of what came is sha256:$sum" said_of dv/c03-bad
	[ "$(k_field dv/c03-bad .status.phase)" != Succeeded ]
}

# disk_io CLAIM COMMAND: what qemu-io says to COMMAND on the claim's disk, where its node has it.
disk_io() {
	on_node 1 sh -c 'cd "$1" && qemu-io -r -U -f qcow2 -c "$2" "$(sed "s/.*\"top\": *\"\([^\"]*\)\".*/\1/" disk.json)"' sh \
		"/var/lib/hanok/local/$(k_field "pvc/$1" .spec.volumeName)" "$2"
}

#@ C04 | VMDK, VDI, VHDX and VPC images are converted, each with its content |
C04() {
	local format
	truncate -s 8M "$TEST_DIR/web/c04.raw"
	printf 'what is in it' | dd of="$TEST_DIR/web/c04.raw" conv=notrunc status=none
	for format in vmdk vdi vhdx vpc; do
		qemu-img convert -f raw -O $format "$TEST_DIR/web/c04.raw" "$TEST_DIR/web/c04.$format"
		import "c04-$format" "{\"http\":{\"url\":\"$(web_url c04.$format)\"}}" 16Mi
		disk_io "c04-$format" 'read -v 0 512' | grep -q 'what.is.in.it'
	done
}

#@ C05 | a local image is uploaded in virtctl's sequence |
C05() {
	qemu-img create -q -f qcow2 "$TEST_DIR/c05.qcow2" 16M
	qemu-io -f qcow2 -c 'write -P 0x5a 0 1M' "$TEST_DIR/c05.qcow2"
	virt image-upload dv c05 --image-path "$TEST_DIR/c05.qcow2" --insecure --uploadproxy-url "$(upload_url)"
	[ "$(k_field dv/c05 .status.phase)" = Succeeded ]
	[[ $(disk_io c05 'read -P 0x5a 0 1M') == 'read 1048576/1048576 '* ]]
}
# The upload endpoint as this machine reaches it: the API's port is forwarded, what the cluster says may be its own network.
upload_url() { k get cdiconfigs config -o jsonpath='{.status.uploadProxyURL}'; }

#@ C06 | a disk of the host's allowed directory is used; one outside is refused by name |
C06() {
	on_node 1 sh -c 'mkdir -p /var/lib/hanok-disks && truncate -s 16M /var/lib/hanok-disks/c06.img'
	DISK=container machine_spec c06 "$(inner '{"volumes":null,"readinessProbe":null}')" \
		"$(inner '{"volumes":[{"name":"root","hostDisk":{"path":"/var/lib/hanok-disks/c06.img","type":"Disk"}}],"domain":{"devices":{"disks":[{"name":"root","disk":{"bus":"virtio"}}]}}}')" | k apply -f -
	phase_is vmi/c06 Running
	domain_xml c06 | grep -q c06.img
	k delete vm c06 --timeout=$PATIENT
	DISK=container machine_spec c06b "$(inner '{"volumes":null}')" \
		"$(inner '{"volumes":[{"name":"root","hostDisk":{"path":"/etc/shadow","type":"Disk"}}],"domain":{"devices":{"disks":[{"name":"root","disk":{"bus":"virtio"}}]}}}')" | k apply -f -
	eventually 60 matches "hostDisk '/etc/shadow' is outside" said_of vmi/c06b
	no_domain c06b
	k delete vm c06b --timeout=$PATIENT
}

#@ C07 | an OVA archive's disk is found and imported |
C07() {
	mkdir -p "$TEST_DIR/ova"
	truncate -s 16M "$TEST_DIR/ova.raw"
	printf 'out of an archive' | dd of="$TEST_DIR/ova.raw" conv=notrunc status=none
	qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$TEST_DIR/ova.raw" "$TEST_DIR/ova/disk1.vmdk"
	printf '<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References><File ovf:href="disk1.vmdk" ovf:id="file1"/></References><DiskSection><Disk ovf:capacity="16" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="d1" ovf:fileRef="file1"/></DiskSection></Envelope>' >"$TEST_DIR/ova/vm.ovf"
	tar -C "$TEST_DIR/ova" --format=ustar -cf "$TEST_DIR/web/c07.ova" vm.ovf disk1.vmdk
	import c07 "{\"http\":{\"url\":\"$(web_url c07.ova)\"}}" 32Mi
	disk_io c07 'read -v 0 512' | grep -q 'out.of.an.archiv'
}

#@ C08 | an instancetype and a preference give a machine its processors, memory and machine type |
C08() {
	virt create instancetype --name fn-small --cpu 2 --memory "$(stack_memory)" --namespaced | k apply -f -
	virt create preference --name fn-pref --machine-type "$(stack_machine)" --cpu-topology sockets --namespaced | k apply -f -
	DISK=container machine_spec c08 '{"spec":{"instancetype":{"kind":"VirtualMachineInstancetype","name":"fn-small"},"preference":{"kind":"VirtualMachinePreference","name":"fn-pref"}}}' \
		"$(inner '{"domain":{"cpu":null,"memory":null,"machine":null}}')" | k apply -f -
	phase_is vmi/c08 Running
	domain_xml c08 >"$TEST_DIR/xml"
	grep -q "<vcpu.*current='2'" "$TEST_DIR/xml"
	grep -q "machine='pc-$(if [ "$STACK" = A ]; then echo q35; else echo i440fx; fi)" "$TEST_DIR/xml"
	grep -q "<currentMemory unit='KiB'>$(($(stack_memory | tr -dc 0-9) * 1024))<" "$TEST_DIR/xml"
	virt expand --vm c08 | grep -q 'guest:'
	k delete vm c08 --timeout=$PATIENT
}

#@ C09 | an image that names a backing file is refused, and nothing of the host is read |
C09() {
	qemu-img create -q -f qcow2 -u -b /etc/shadow -F raw "$TEST_DIR/web/c09.qcow2" 16M
	image inspect "$TEST_DIR/web/c09.qcow2" | grep -q 'Backing file *//*etc/shadow'
	data_volume c09 "{\"http\":{\"url\":\"$(web_url c09.qcow2)\"}}" 16Mi |
		merge '{"apiVersion":"cdi.kubevirt.io/v1beta1","kind":"DataVolume","metadata":{"annotations":{"cdi.kubevirt.io/storage.bind.immediate.requested":"true"}}}' | k apply -f -
	eventually 60 matches 'backing' said_of dv/c09
	[ "$(k_field dv/c09 .status.phase)" != Succeeded ]
}

#@ C10 | a disk has the size the user gives, and takes no more room than is in it |
C10() {
	local volume used
	import c10 '{"blank":{}}' 2Gi
	volume=$(k_field pvc/c10 .spec.volumeName)
	used=$(on_node 1 du -sk "/var/lib/hanok/local/$volume" | cut -f1)
	echo "$used KiB of 2 GiB"
	[ "$used" -lt 2048 ]
	on_node 1 sh -c "qemu-img info -U /var/lib/hanok/local/$volume/*.qcow2" | grep -q '2 GiB'
}
