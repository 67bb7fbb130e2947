# shellcheck shell=bash
#@@ cloning | Copies out, copies in

link_of() { k get vmexport "$1" -o jsonpath="{.status.links.$2.volumes[0].formats[?(@.format=='$3')].url}"; }
token_of() { k get secret "$(k_field "vmexport/$1" .status.tokenSecretRef)" -o jsonpath='{.data.token}' | base64 -d; }
# Links name the server as its clients know it.
ask() { curl -sk --max-time 120 "$@"; }
# Stopped, with the mark on its disk; booted for that once.
outside() {
	if [ ! -e "$TEST_DIR/outside" ]; then
		machine outside
		mark outside exported-from-outside
		touch "$TEST_DIR/outside"
	fi
	stopped outside
}

#@ L22 | a machine's disk is exported raw, with a token |
L22() {
	outside
	virt export create l22 --vm outside
	[ "$(k_field vmexport/l22 .status.phase)" = Ready ]
	[ "$(ask -o "$TEST_DIR/l22.raw" -w '%{http_code}' -H "x-kubevirt-export-token: $(token_of l22)" "$(link_of l22 internal raw)")" = 200 ]
	[ "$(stat -c %s "$TEST_DIR/l22.raw")" -ge 16777216 ]
	grep -aq exported-from-outside "$TEST_DIR/l22.raw"
	rm -f "$TEST_DIR/l22.raw"
	virt export delete l22
}

#@ L23 | compressed, by hanok virt export download |
L23() {
	outside
	virt export download l23 --vm outside --format gzip --output "$TEST_DIR/l23.gz" --insecure
	gzip -t "$TEST_DIR/l23.gz"
	zcat "$TEST_DIR/l23.gz" | grep -aq exported-from-outside
	rm -f "$TEST_DIR/l23.gz"
	not exists vmexport/l23
}

#@ L24 | without the token, or with another, there is nothing |
L24() {
	outside
	virt export create l24 --vm outside
	[ -n "$(link_of l24 internal raw)" ]
	[ "$(ask -o /dev/null -w '%{http_code}' "$(link_of l24 internal raw)")" -ge 400 ]
	[ "$(ask -o /dev/null -w '%{http_code}' -H 'x-kubevirt-export-token: no' "$(link_of l24 internal raw)")" -ge 400 ]
	virt export delete l24
	gone vmexport/l24
}

#@ L25 | of a snapshot |
L25() {
	outside
	virt snapshot-create outside l25s
	virt export create l25 --snapshot l25s
	ask -f -o "$TEST_DIR/l25.gz" -H "x-kubevirt-export-token: $(token_of l25)" "$(link_of l25 internal gzip)"
	zcat "$TEST_DIR/l25.gz" | grep -aq exported-from-outside
	rm -f "$TEST_DIR/l25.gz"
	virt export delete l25
	virt snapshot-delete l25s
}

#@ L26 | what was exported is imported, and boots as it was |
L26() {
	outside
	# The layers of the snapshot that was deleted before are being merged: the disk is in use for a moment.
	eventually 30 virt export download l26 --vm outside --format gzip --output "$TEST_DIR/web/l26.img.gz" --insecure
	import l26 "{\"http\":{\"url\":\"$(web_url l26.img.gz)\"}}"
	DISK=none machine_spec l26vm "$(inner '{"+volumes":[{"name":"root","dataVolume":{"name":"l26"}}],"domain":{"devices":{"+disks":[{"name":"root","disk":{"bus":"virtio"},"bootOrder":1}]}}}')" | k apply -f -
	ready l26vm
	marked l26vm exported-from-outside
	virt delete l26vm --force --with-disks
}

#@ L27 | the guest's memory is dumped into a claim |
L27() {
	local directory
	machine outside
	virt memory-dump get outside --claim-name l27 --create-claim --size 1Gi
	k wait --for=jsonpath='{.status.memoryDumpRequest.phase}'=Completed vm/outside --timeout=$PATIENT
	directory=/var/lib/hanok/local/$(k_field pvc/l27 .spec.volumeName)
	[ "$(on_node 1 head -c 4 "$directory/$(k_field vm/outside .status.memoryDumpRequest.fileName)")" = $'\x7fELF' ]
	virt memory-dump remove outside
	k delete pvc l27 --timeout=$PATIENT
}

#@ L28 | a DataVolume is made from another claim |
L28() {
	outside
	import l28 "{\"pvc\":{\"namespace\":\"$(k_namespace)\",\"name\":\"outside-root\"}}"
	DISK=none machine_spec l28vm "$(inner '{"+volumes":[{"name":"root","dataVolume":{"name":"l28"}}],"domain":{"devices":{"+disks":[{"name":"root","disk":{"bus":"virtio"},"bootOrder":1}]}}}')" | k apply -f -
	ready l28vm
	marked l28vm exported-from-outside
	virt delete l28vm --force --with-disks
}
