# shellcheck shell=bash
#@@ control | Change of what runs

# Room for memory to come costs the guest some of what it has: 128 MiB would not be enough to boot.
roomy_memory() { if [ "$STACK" = A ]; then echo 384Mi; else echo 256Mi; fi; }
roomy() { machine live "$(domain '{"cpu":{"sockets":1,"maxSockets":4},"memory":{"guest":"'"$(roomy_memory)"'","maxGuest":"1Gi"}}')"; }

#@ K22 | memory is given and taken while it runs |
K22() {
	roomy
	virt set live --memory 512Mi
	eventually 60 matches 512Mi k_field vmi/live .status.memory.guestCurrent
	in_guest live 'read -r _ size _ </proc/meminfo; test $size -gt 400000'
	virt set live --memory "$(roomy_memory)"
	eventually 60 matches "^$(roomy_memory)$" k_field vmi/live .status.memory.guestCurrent
	in_guest live 'read -r _ size _ </proc/meminfo; test $size -lt 400000'
}

#@ K23 | a processor is plugged in |
K23() {
	roomy
	virt set live --sockets 2
	eventually 60 matches '^2$' k_field vmi/live .status.currentCPUTopology.sockets
	in_guest live 'test $(ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l) = 2'
}

#@ K24 | a processor is taken away: not while it runs, and at the next start it is gone |
K24() {
	roomy
	virt set live --sockets 2
	eventually 60 matches '^2$' k_field vmi/live .status.currentCPUTopology.sockets
	virt set live --sockets 1
	condition_is vm/live RestartRequired
	answers live
	domain_xml live | grep -q "<vcpu[^>]*current='2'"
	restarted live "$(uid live)"
	domain_xml live | grep -q "<vcpu[^>]*current='1'"
}

#@ K25 | a disk is plugged in and out while the guest runs |
K25() {
	roomy
	exists dv/k25 || import k25 '{"blank":{}}' 32Mi
	virt addvolume live --volume-name k25 --persist
	eventually 60 matches '^Ready$' k_field vmi/live '.status.volumeStatus[?(@.name=="k25")].phase'
	domain_xml live | grep -q k25
	eventually 20 in_guest live 'grep -qx 65536 /sys/block/*/size'
	virt removevolume live --volume-name k25 --persist
	eventually 60 unplugged k25
	answers live
}
unplugged() { ! domain_xml live | grep -q "$1"; }

#@ K26 | a network card is plugged in and out |
K26() {
	roomy
	network_object isolated '{"cniVersion":"0.3.1","type":"bridge","bridge":"fn-iso0"}'
	virt attach-interface live isolated
	eventually 90 interfaces live 2
	virt detach-interface live isolated
	eventually 90 interfaces live 1
}
network_object() {
	printf '{"apiVersion":"k8s.cni.cncf.io/v1","kind":"NetworkAttachmentDefinition","metadata":{"name":"%s"},"spec":{"config":%s}}' \
		"$1" "$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$2")" | k apply -f -
}
interfaces() { [ "$(domain_xml "$1" | grep -c '<interface ')" = "$2" ]; }

#@ K27 | a CD is put into the drive and taken out |
K27() {
	xorriso -as mkisofs -quiet -o "$TEST_DIR/web/k27.iso" "$FUNCTIONS/scenarios"
	exists dv/k27 || import k27 "{\"http\":{\"url\":\"$(web_url k27.iso)\"}}" 16Mi
	DISK=container machine_spec k27vm "$(domain '{"devices":{"+disks":[{"name":"cd","cdrom":{"bus":"sata"}}]}}')" | k apply -f -
	phase_is vmi/k27vm Running
	virt cdrom insert k27vm cd --data-volume k27
	eventually 60 cd_in
	virt cdrom eject k27vm cd
	eventually 60 cd_out
	virt delete k27vm --force
}
cd_in() { domain_xml k27vm | grep -A4 "device='cdrom'" | grep -q '<source file'; }
cd_out() { ! cd_in; }

#@ K28 | a network card's cable is pulled and put back |
K28() {
	roomy
	virt link live default down
	eventually 60 link_is down
	not page live
	virt link live default up
	eventually 60 link_is up
	answers live
}
link_is() { domain_xml live | grep -q "<link state='$1'" || { [ "$1" = up ] && ! domain_xml live | grep -q '<link state'; }; }
