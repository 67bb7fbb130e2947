# shellcheck shell=bash
# bench_machines: a node with 40 tiny guests: memory of the agent for each, and what it spends while nothing happens.
# bench_import, bench_clone: disks of 2 GiB that come from a web server, and that another disk begins as.
#
# Guests that are started paused (startStrategy) cost no CPU, so that 40 of them fit on a small machine; the agent has
# the same work with them as with others, but for what guests do of themselves. Some are let run in the end. They ask for
# little of a processor (vmi_tiny.json): by the default policy, a tenth of one each, two processors have room for 20.

BENCH_MACHINES=${BENCH_MACHINES:-40}
BENCH_MACHINES_RUNNING=${BENCH_MACHINES_RUNNING:-8}
BENCH_DISK_MIB=${BENCH_DISK_MIB:-2048}
BENCH_IMPORT_MIB=${BENCH_IMPORT_MIB:-512}

bench_machines() {
	local node empty count had=0 before seconds=${BENCH_MACHINES_IDLE:-60}
	bench_title machines "$BENCH_MACHINES guests of 128 MiB: the agent's memory for each, its CPU while they only are there"
	bench_lab || { bench_failed machines "the lab did not come up"; return; }
	bench_machines_made 0 1 && bench_machines_end || { bench_failed machines "a virtual machine did not start"; return; }
	node=$(bench_lab_pid /run/lab/hanok-node.pid) || { bench_failed machines "no node agent"; return; }
	bench_machines_settled "$node"
	empty=$(bench_node_memory "$node" RssAnon)
	bench_note "agent without guests: resident $(bench_node_memory "$node" VmRSS) kB, its own $empty kB"
	for count in $((BENCH_MACHINES / 4)) $BENCH_MACHINES; do
		bench_machines_made "$had" "$count" || { bench_failed machines "$count virtual machines did not start"; return; }
		bench_machines_settled "$node"
		bench_bound "machines-$count-memory" "kB a machine" 2048 <<<"hanok $((($(bench_node_memory "$node" RssAnon) - empty) / count))"
		had=$count
	done
	bench_resident "machines-$count" "$node" 30
	before=$(bench_cpu_ticks "$node")
	sleep "$seconds"
	bench_machines_cpu paused "$before" "$node" "$seconds"

	bench_machines_unpause "$BENCH_MACHINES_RUNNING" || { bench_failed machines "guests were not unpaused"; return; }
	bench_machines_settled "$node"
	before=$(bench_cpu_ticks "$node")
	sleep "$seconds"
	bench_machines_cpu "$BENCH_MACHINES_RUNNING-running" "$before" "$node" "$seconds"
	bench_machines_end || bench_failed machines "the virtual machines did not go"
}

# bench_machines_cpu NAME TICKS_BEFORE PROCESS SECONDS
bench_machines_cpu() {
	bench_bound "machines-$1-cpu" "% of a core" 1 <<<"hanok $(awk -v ticks=$(($(bench_cpu_ticks "$3") - $2)) -v all=$(($(getconf CLK_TCK) * $4)) \
		'BEGIN { printf "%.3f", ticks * 100 / all }')"
}

# bench_machines_settled PROCESS: what follows from a start is over when five seconds take less than 50 ms of CPU.
bench_machines_settled() {
	local before tries
	for ((tries = 0; tries < 24; tries++)); do
		before=$(bench_cpu_ticks "$1")
		sleep 5
		[ $(($(bench_cpu_ticks "$1") - before)) -ge $(($(getconf CLK_TCK) / 20)) ] || return 0
	done
}

# bench_machines_made HAD COUNT: so many are there, the first HAD already, and started, paused.
bench_machines_made() {
	python3 - "$ROOT/bench/vmi_tiny.json" "$1" "$2" <<-'END' | bench_kubectl create -f - >/dev/null || return
		import copy, json, sys
		vmi = json.load(open(sys.argv[1]))
		vmi["spec"]["startStrategy"] = "Paused"
		items = []
		for n in range(int(sys.argv[2]), int(sys.argv[3])):
		    one = copy.deepcopy(vmi)
		    one["metadata"]["name"] = f"tiny-{n}"
		    items.append(one)
		print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
	END
	bench_kubectl wait --for=jsonpath='{.status.phase}'=Running vmi -l app=tiny --timeout=600s >/dev/null
}

bench_machines_unpause() {
	local n
	for ((n = 0; n < $1; n++)); do
		bench_kubectl replace --raw "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachineinstances/tiny-$n/unpause" \
			-f - <<<'{}' >/dev/null || return
	done
}

bench_machines_end() { bench_kubectl delete vmi -l app=tiny --wait --timeout=600s >/dev/null; }

# ---- disks ----

# The file is made of what does not compress, without holes: HTTP knows none, and both sides have the same to do. Its
# server sends it by sendfile(), from the page cache; the peer reads it from there.
bench_import() {
	local format
	bench_title import "a DataVolume of $BENCH_IMPORT_MIB MiB by HTTP, from its creation to Succeeded, against qemu-img convert of the same file to qcow2, written through to the disk in the end as the DataVolume is"
	bench_lab || { bench_failed import "the lab did not come up"; return; }
	bench_disk_files "$BENCH_IMPORT_MIB" vmdk vdi vhdx && bench_disk_virtualbox || { bench_failed import "the disks could not be made"; return; }
	bench_disk_server || { bench_failed import "no web server"; return; }
	for format in ${BENCH_IMPORT_FORMATS:-qcow2 raw vmdk vdi vdi-virtualbox vhdx}; do
		bench_import_format "$format"
	done
	bench_import_latency
	bench_disk_end
}

# What the figures above have in them that does not grow with the disk.
bench_import_latency() {
	local round out=$BENCH_DIR/import-latency
	head -c 1048576 "$BENCH_DISKS/disk.raw" >"$BENCH_DISKS/disk.tiny" || { bench_failed import-latency "no disk"; return; }
	for ((round = 1; round <= ${BENCH_DISK_ROUNDS:-5}; round++)); do
		bench_import_hanok tiny "import-tiny-$round" || { bench_broken import-latency; break; }
	done >"$out"
	bench_note "of which a disk of 1 MiB takes:"
	bench_spread hanok ms <"$out" 3>/dev/null
}

bench_import_format() {
	local round out=$BENCH_DIR/import-$1
	bench_note "$1 of $(du -m "$BENCH_DISKS/disk.$1" | cut -f1) MiB"
	# One round does not count: what was made or measured before is still on its way to the disk.
	{ bench_import_hanok "$1" "import-$1-0" && bench_import_peer "$1"; } >/dev/null || { bench_broken "import-$1"; return; }
	for ((round = 1; round <= ${BENCH_DISK_ROUNDS:-5}; round++)); do
		sync -f "$BENCH_DISKS"
		bench_import_hanok "$1" "import-$1-$round" || { bench_broken "import-$1"; break; }
		sync -f "$BENCH_DISKS"
		bench_import_peer "$1" || { bench_broken "import-$1"; break; }
	done >"$out"
	# The bound is a rate of 0.9, which is 1/0.9 of the time.
	bench_compare "import-$1" ms 1.11 <"$out"
}

bench_disk_now() { echo "$(($(date +%s%N) / 100000))"; }
# bench_disk_line SIDE SINCE: in milliseconds.
bench_disk_line() { awk -v side="$1" -v tenths=$(($(bench_disk_now) - $2)) 'BEGIN { printf "%s %.1f\n", side, tenths / 10 }'; }

# bench_disk_volume NAME SOURCE: to stdout.
bench_disk_volume() {
	cat <<-END
		{"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": {"name": "$1", "namespace": "default",
		 "annotations": {"cdi.kubevirt.io/storage.bind.immediate.requested": ""}},
		 "spec": {"source": $2, "storage": {"resources": {"requests": {"storage": "$((BENCH_DISK_MIB + 64))Mi"}}}}}
	END
}

bench_import_hanok() {
	local file=$BENCH_DIR/$2.json
	bench_disk_volume "$2" "{\"http\": {\"url\": \"$BENCH_DISK_URL/disk.$1\"}}" >"$file"
	"$BENCH_BUILD/bench/create-bench" "$LAB/kubeconfig" "$file" "$2" Succeeded || return
	lab_await 60 "the claim goes with its volume" bench_disk_gone "$2"
}
bench_disk_gone() { ! bench_kubectl get pvc "$1" >/dev/null 2>&1; }

# In the same host, with the share of the machine that it has.
bench_import_peer() {
	local since there=/var/lib/hanok-bench/disks
	since=$(bench_disk_now)
	lab_exec 1 sh -c "qemu-img convert -t writeback -T writeback -O qcow2 $there/disk.$1 $there/out.qcow2 && sync $there/out.qcow2" || return
	bench_disk_line peer "$since"
	rm -f "$BENCH_DISKS/out.qcow2"
}

# bench_disk_files MIB [FORMAT...]: disk.raw, disk.qcow2 and those. In the node's file system: both sides write to the same.
bench_disk_files() {
	BENCH_DISKS=$LAB/node1/var/lib/hanok-bench/disks
	mkdir -p "$BENCH_DISKS" && python3 - "$BENCH_DISKS/disk.raw" "$1" <<-'END' || return
		import random, sys
		random.seed(6)
		with open(sys.argv[1], "wb") as f:
		    for _ in range(int(sys.argv[2])):
		        f.write(random.randbytes(1 << 20))
	END
	local format
	for format in qcow2 "${@:2}"; do
		qemu-img convert -f raw -O "$format" "$BENCH_DISKS/disk.raw" "$BENCH_DISKS/disk.$format" || return
	done
}

# bench_disk_virtualbox: disk.vdi once more, as VirtualBox lays it out: its data begin at a whole MiB, while qemu-img has them
# right behind the map (header of version 1.1: offset of the data at 0x158).
bench_disk_virtualbox() {
	python3 - "$BENCH_DISKS/disk.vdi" "$BENCH_DISKS/disk.vdi-virtualbox" <<-'END'
		import shutil, struct, sys
		at, data_at = 0x158, 1 << 20
		with open(sys.argv[1], "rb") as vdi, open(sys.argv[2], "wb") as out:
		    head = bytearray(vdi.read(512))
		    data, = struct.unpack_from("<I", head, at)
		    assert 512 < data <= data_at
		    struct.pack_into("<I", head, at, data_at)
		    out.write(head + vdi.read(data - 512))
		    out.seek(data_at)
		    shutil.copyfileobj(vdi, out, 1 << 20)
	END
}

bench_disk_server() {
	nsenter -t "$(lab_pid fabric)" -n python3 - "$BENCH_DISKS" "$LAB_FABRIC_ADDRESS" "$BENCH_DIR/disk.port" <<-'END' &
		import http.server, os, sys
		root, address, port = sys.argv[1:]
		class Web(http.server.BaseHTTPRequestHandler):
		    protocol_version = "HTTP/1.1"
		    def do_GET(self):
		        with open(os.path.join(root, os.path.basename(self.path)), "rb") as f:
		            self.send_response(200)
		            self.send_header("ETag", '"one"')
		            self.send_header("Content-Length", str(os.fstat(f.fileno()).st_size))
		            self.end_headers()
		            self.wfile.flush()
		            self.connection.sendfile(f)
		    def log_message(self, *a):
		        pass
		s = http.server.ThreadingHTTPServer((address, 0), Web)
		with open(port + ".new", "w") as f:
		    f.write(str(s.server_address[1]))
		os.rename(port + ".new", port)
		s.serve_forever()
	END
	BENCH_DISK_SERVER=$!
	lab_await 20 "the web server listens" test -s "$BENCH_DIR/disk.port" || return
	BENCH_DISK_URL=http://$LAB_FABRIC_ADDRESS:$(cat "$BENCH_DIR/disk.port")
}

bench_disk_end() {
	[ -z "${BENCH_DISK_SERVER:-}" ] || kill "$BENCH_DISK_SERVER"
	BENCH_DISK_SERVER=
	rm -f "$BENCH_DIR/disk.port"
	[ -z "${BENCH_DISKS:-}" ] || rm -rf "$BENCH_DISKS"
	BENCH_DISKS=
}

# A stopped machine whose disk has that much data, as an import made it. The clone is the whole of it: a machine of its own
# with a claim of its own, by VirtualMachineClone.
bench_clone() {
	local round out=$BENCH_DIR/clone
	bench_title clone "a linked clone of a stopped machine with $BENCH_DISK_MIB MiB, from the clone's creation to Succeeded"
	bench_lab || { bench_failed clone "the lab did not come up"; return; }
	bench_disk_files "$BENCH_DISK_MIB" && bench_disk_server || { bench_failed clone "the disk could not be made"; return; }
	bench_disk_volume golden "{\"http\": {\"url\": \"$BENCH_DISK_URL/disk.raw\"}}" | bench_kubectl apply -f - >/dev/null &&
		bench_kubectl apply -f "$ROOT/bench/vm_golden.json" >/dev/null &&
		bench_kubectl wait --for=jsonpath='{.status.phase}'=Succeeded dv/golden --timeout=300s >/dev/null ||
		{ bench_failed clone "the machine to be cloned did not become ready"; return; }
	for ((round = 0; round <= ${BENCH_CLONE_ROUNDS:-10}; round++)); do
		bench_settle
		bench_clone_round "clone-$round" || { bench_broken clone; break; }
	done >"$out"
	# The first one freezes what the machine wrote last; each of them is what a user sees.
	bench_bound clone ms 300 <"$out"
	bench_kubectl delete vm golden --wait --timeout=60s >/dev/null
	bench_kubectl delete dv golden --wait --timeout=60s >/dev/null
	bench_disk_end
}

bench_clone_round() {
	local file=$BENCH_DIR/$1.json
	cat >"$file" <<-END
		{"apiVersion": "clone.kubevirt.io/v1beta1", "kind": "VirtualMachineClone", "metadata": {"name": "$1", "namespace": "default"},
		 "spec": {"source": {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "golden"},
		          "target": {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "$1"}}}
	END
	"$BENCH_BUILD/bench/create-bench" "$LAB/kubeconfig" "$file" "$1" Succeeded || return
	bench_kubectl delete vm "$1" --wait --timeout=60s >/dev/null
}
