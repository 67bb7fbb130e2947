# shellcheck shell=bash
#@@ control | Processors, memory, disks in detail

# tuned NAME DOMAIN-PATCH: its domain runs; no guest is waited for.
tuned() {
	DISK=container machine_spec "$1" "$(inner '{"readinessProbe":null}')" "$(domain "$2")" | k apply -f -
	phase_is "vmi/$1" Running
	domain_xml "$1"
}
done_with() { virt delete "$1" --force; }

#@ K43 | model, features and topology of the processor |
K43() {
	tuned k43 '{"cpu":{"cores":2,"sockets":1,"threads":1,"model":"Nehalem","features":[{"name":"aes","policy":"disable"}]}}' >"$TEST_DIR/xml"
	grep -q "sockets='[14]'.* cores='2'" "$TEST_DIR/xml"
	grep -q "<feature policy='disable' name='aes'/>" "$TEST_DIR/xml"
	done_with k43
}

#@ K44 | dedicated processors are pinned, and given back | two_cpus
K44() {
	tuned k44 '{"cpu":{"cores":1,"dedicatedCpuPlacement":true}}' >"$TEST_DIR/xml"
	grep -q '<vcpupin' "$TEST_DIR/xml"
	done_with k44
	tuned k44 '{"cpu":{"cores":1,"dedicatedCpuPlacement":true}}' | grep -q '<vcpupin'
	done_with k44
}

#@ K45 | huge pages are used, or it is said that there are none | hugepages
K45() {
	local free
	free=$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages)
	DISK=container machine_spec k45 "$(inner '{"readinessProbe":null}')" "$(domain '{"memory":{"guest":"128Mi","hugepages":{"pageSize":"2Mi"}}}')" | k apply -f -
	if [ "$free" -ge 64 ]; then
		phase_is vmi/k45 Running
		domain_xml k45 | grep -q '<hugepages'
	else
		eventually 60 matches '[Ii]nsufficient hugepages' said_of vmi/k45
	fi
	done_with k45
}

#@ K46 | same-page merging is switched and its saving shown | ksm
K46() {
	[ "$(cat /sys/kernel/mm/ksm/run)" = 0 ] || not_available "somebody else merges this machine's pages already"
	k get namespace kubevirt >/dev/null 2>&1 || k create namespace kubevirt
	k label --overwrite node node1 fn-ksm=yes
	merging '{"nodeLabelSelector":{"matchLabels":{"fn-ksm":"yes"}}}'
	eventually 60 merging_is true 1
	merging null
	eventually 60 merging_is false 0
}
K46_end() {
	k label node node1 fn-ksm-
	! k get namespace kubevirt >/dev/null 2>&1 || merging null
}
merging() {
	printf '{"apiVersion":"kubevirt.io/v1","kind":"KubeVirt","metadata":{"name":"kubevirt","namespace":"kubevirt"},"spec":{"configuration":{"ksmConfiguration":%s}}}' "$1" |
		HOME=$TEST_DIR "$KUBECTL" --kubeconfig "$KUBECONFIG_FILE" apply -f -
}
merging_is() {
	[ "$(k_field node/node1 '.metadata.labels.kubevirt\.io/ksm-enabled')" = "$1" ] || return 1
	k get --raw /api/v1/nodes/node1/proxy/metrics/resource | grep -q "^node_ksmd_run $2$"
}

#@ K47 | I/O threads, cache, native I/O and limits of a disk |
K47() {
	DISK=container machine_spec k47 '{"spec":{"template":{"metadata":{"annotations":{"io-limits.hanok.io/root":"iops=500"}}}}}' "$(inner '{"readinessProbe":null}')" "$(domain '{"ioThreadsPolicy":"shared"}')" | python3 -c '
import json, sys
vm = json.load(sys.stdin)
disk = vm["spec"]["template"]["spec"]["domain"]["devices"]["disks"][0]
disk.update(cache="none", io="native", dedicatedIOThread=True, serial="K47SERIAL")
print(json.dumps(vm))' | k apply -f -
	phase_is vmi/k47 Running
	domain_xml k47 >"$TEST_DIR/xml"
	grep -q '<iothreads>' "$TEST_DIR/xml"
	grep -q "cache='none'.*io='native'" "$TEST_DIR/xml"
	grep -q "iothread='" "$TEST_DIR/xml"
	grep -q K47SERIAL "$TEST_DIR/xml"
	grep -q '<total_iops_sec>500<' "$TEST_DIR/xml"
	done_with k47
}

#@ K48 | weights and limits of processor time; real-time scheduling is given or refused in words |
K48() {
	local quota
	tuned k48 '{"resources":{"requests":{"cpu":"100m"},"limits":{"cpu":"500m"}}}' >"$TEST_DIR/xml"
	grep -q '<shares>' "$TEST_DIR/xml"
	quota=$(sed -n 's/.*<global_quota>\(.*\)<.*/\1/p' "$TEST_DIR/xml")
	[ $((quota * 2)) = "$(sed -n 's/.*<global_period>\(.*\)<.*/\1/p' "$TEST_DIR/xml")" ]
	done_with k48
	DISK=container machine_spec k48b "$(domain '{"cpu":{"cores":1,"dedicatedCpuPlacement":true,"realtime":{}}}')" | k apply -f -
	eventually 90 realtime_said
	done_with k48b
}
realtime_said() { domain_xml k48b | grep -q '<vcpusched' || matches '[Rr]eal-?time' said_of vmi/k48b; }
