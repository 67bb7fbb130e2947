# shellcheck shell=bash
# A lab: lab hosts on one machine, each with its own containerd, libvirtd and hanok node, one hanok server
# for them, and a registry. Library of ./dev and of the tests.
#
#            root network namespace                 fabric (a namespace without any way out)
#   kubectl -> 127.0.0.1:PORT [hanok server] 172.31.0.254:6443 --+-- bridge --+-- node1 172.31.0.1
#                              registry.lab  172.31.0.254:5000 --+            +-- node2 172.31.0.2 ...
#
# Nothing is added to the root network namespace, nor any mount to the machine: every namespace is held only
# by the PID 1 of its host, and is gone with it. Several labs can run side by side: each is known by
# its directory, and what the kernel must know by name carries an id made from that.
#
#   $LAB/bin/         lab-proc, and the hanok that this lab runs
#   $LAB/port         the API's port on 127.0.0.1
#   $LAB/server/      data of hanok server; $LAB/kubeconfig its admin's
#   $LAB/fabric/      etc, var (the registry's blobs), tmp: what the fabric keeps
#   $LAB/nodeN/       the same of lab host N
#   $LAB/log/  $LAB/run/   logs and pidfiles of what runs outside the hosts (hosts' own: nodeN/var/log)

LAB_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_FABRIC_ADDRESS=172.31.0.254
# With LAB_DUAL=1 a lab has IPv6 beside IPv4: in its fabric (fd00:172:31::/64), for pods and for services.
LAB_SERVICES=10.96.0.0/16,fd00:10:96::/112
LAB_PODS=10.244.0.0/16,fd00:10:244::/48
LAB_REGISTRY=registry.lab:5000

# shellcheck source=test/lab/cgroup.sh
. "$LAB_SOURCE/cgroup.sh"

# lab_use [DIR]: sets what the other functions work on.
lab_use() {
	LAB=${1:-${HANOK_LAB:-/var/lib/hanok-lab}}
	LAB=$(realpath -m "$LAB")
	LAB_ID=$(printf %s "$LAB" | sha1sum | cut -c1-6)
	LAB_CGROUP=hanok-lab-$LAB_ID
	LAB_PROC=$LAB/bin/lab-proc
	cgroup_hierarchies >/dev/null
}

# lab_await SECONDS WHAT COMMAND...: until COMMAND succeeds, or exits with 99: "it never will". For conditions
# that the other side does not announce.
lab_await() {
	local seconds=$1 what=$2 deadline status output tries=0 begun pause
	shift 2
	deadline=$((SECONDS + seconds))
	while :; do
		begun=${EPOCHREALTIME//[!0-9]/}
		output=$("$@" 2>&1) && return
		status=$?
		if [ $status = 99 ] || [ $SECONDS -ge "$deadline" ]; then
			echo "not so after $((SECONDS - deadline + seconds)) s: $what. The last try said: $output" >&2
			return 1
		fi
		# What takes long is not asked for all the time: what asks would take the processor from it. Nor is asked more than
		# half of the time, on a machine that is so busy that the question takes long.
		tries=$((tries + 1))
		if [ $tries -lt 40 ]; then pause=50000; else pause=250000; fi
		begun=$((${EPOCHREALTIME//[!0-9]/} - begun))
		[ $begun -le $pause ] || pause=$((begun < 3000000 ? begun : 3000000))
		printf -v pause '%d.%06d' $((pause / 1000000)) $((pause % 1000000))
		sleep "$pause"
	done
}

lab_prepare() {
	mkdir -p "$LAB"/{bin,log,run} || return
	chmod 755 "$LAB"
	if [ ! -x "$LAB_PROC" ] || [ "$LAB_SOURCE/proc.c" -nt "$LAB_PROC" ]; then
		cc -std=c11 -D_GNU_SOURCE -O2 -static -o "$LAB_PROC.new" "$LAB_SOURCE/proc.c" || return
		mv "$LAB_PROC.new" "$LAB_PROC"
	fi
	if [ ! -s "$LAB/port" ]; then
		lab_choose_port >"$LAB/port" || return
	fi
	# Compiled in or already there on most machines; what is truly missing shows where it is used.
	if command -v modprobe >/dev/null; then
		modprobe -qa bridge veth br_netfilter overlay nf_tables nft_chain_nat tun vxlan 2>/dev/null || true
	fi
}

# The API's port: 6443 for the lab of ./dev up, another free one for labs beside it.
lab_choose_port() {
	local port=${HANOK_PORT:-6443}
	if [ -z "${HANOK_PORT:-}" ] && [ "$LAB" != /var/lib/hanok-lab ]; then
		port=16443
		while ss -Hltn "sport = :$port" | grep -q .; do port=$((port + 1)); done
	fi
	echo "$port"
}

lab_port() { cat "$LAB/port"; }

# lab_hosts: the numbers of the hosts that were ever made here.
lab_hosts() {
	local dir
	for dir in "$LAB"/node*/; do
		[ -d "$dir" ] && basename "$dir" | tr -dc '0-9\n'
	done | sort -n
}

# lab_pid HOST: PID of its first process, as the machine sees it. HOST: fabric or nodeN.
lab_pid() {
	"$LAB_PROC" alive "$LAB/run/$1.pid" && cut -d' ' -f1 "$LAB/run/$1.pid"
}

# lab_in HOST CMD...: runs CMD in the host.
lab_in() {
	local host=$1 pid
	shift
	pid=$(lab_pid "$host") || { echo "lab host $host does not run (see: ./dev lab status)" >&2; return 1; }
	(
		cgroup_join "$host" || exit 1
		cd / || exit 1
		exec nsenter -t "$pid" -m -p -u -i -n -C -- env -i \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/lab/bin \
			HOME=/tmp LANG=C.UTF-8 TERM="${TERM:-dumb}" "$@"
	)
}

# lab_exec N CMD...
lab_exec() {
	local number=$1
	shift
	lab_in "node$number" "$@"
}

# What a host needs of the machine's /etc: names, users, libraries, and the distribution's own
# configuration of libvirt. Not its addresses, its secrets, its services.
lab_host_etc() {
	local host=$1 number=$2 etc=$LAB/$1/etc item n
	mkdir -p "$etc"
	for item in passwd group nsswitch.conf ld.so.cache ld.so.conf ld.so.conf.d alternatives protocols services \
		ethertypes localtime ssl libnl-3 libvirt sasl2 qemu login.defs os-release debian_version profile shells \
		swtpm_setup.conf swtpm-localca.conf swtpm-localca.options; do
		[ -e "/etc/$item" ] && [ ! -e "$etc/$item" ] && cp -a "/etc/$item" "$etc/"
	done
	rm -rf "$etc"/libvirt/qemu/networks/autostart "$etc"/libvirt/qemu/networks/*.xml
	echo "$host" >"$etc/hostname"
	: >"$etc/resolv.conf"
	{
		echo "127.0.0.1 localhost"
		echo "$LAB_FABRIC_ADDRESS ${LAB_REGISTRY%:*} fabric"
		for n in 1 2 3 4 5 6 7 8 9; do echo "172.31.0.$n node$n"; done
	} >"$etc/hosts"
	[ "$number" = 0 ] && return
	# Differs between labs as between hosts: libvirt refuses to migrate to what it takes for itself.
	printf '%s%026x\n' "$LAB_ID" "$number" >"$etc/machine-id"
	cat >"$etc/libvirt/libvirtd.conf" <<-END
		host_uuid = "$(printf '%s00-0000-4000-8000-%012x' "$LAB_ID" "$number")"
		auth_unix_ro = "none"
		auth_unix_rw = "none"
		unix_sock_rw_perms = "0770"
	END
	# AppArmor and SELinux are the machine's, not a namespace's: a lab host must load nothing there.
	echo 'security_driver = "none"' >"$etc/libvirt/qemu.conf"
	mkdir -p "$etc/containerd/certs.d/$LAB_REGISTRY" "$etc/cni/net.d"
	lab_containerd_config >"$etc/containerd/config.toml"
	cat >"$etc/containerd/certs.d/$LAB_REGISTRY/hosts.toml" <<-END
		server = "http://$LAB_REGISTRY"
		[host."http://$LAB_REGISTRY"]
		capabilities = ["pull", "resolve"]
	END
}

# restrict_oom_score_adj, disable_*: a lab may itself run where not every privilege is there to hand on.
lab_containerd_config() {
	cat <<-END
		version = 2
		disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
			"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
		[plugins."io.containerd.grpc.v1.cri"]
		sandbox_image = "$LAB_REGISTRY/pause:latest"
		disable_apparmor = true
		stream_server_address = "127.0.0.1"
		stream_server_port = "0"
		restrict_oom_score_adj = true
		tolerate_missing_hugetlb_controller = true
		disable_hugetlb_controller = true
		[plugins."io.containerd.grpc.v1.cri".registry]
		config_path = "/etc/containerd/certs.d"
		[plugins."io.containerd.grpc.v1.cri".cni]
		bin_dir = "/usr/lib/cni"
		conf_dir = "/etc/cni/net.d"
		[plugins."io.containerd.grpc.v1.cri".containerd]
		snapshotter = "overlayfs"
		default_runtime_name = "runc"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		runtime_type = "io.containerd.runc.v2"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		SystemdCgroup = false
	END
}

lab_host_var() {
	local var=$LAB/$1/var owner
	mkdir -p "$LAB/$1/tmp" "$var"/{tmp,log/libvirt/qemu,cache/libvirt/qemu,spool} \
		"$var"/lib/{containerd,cni,hanok,docker-registry,libvirt/{boot,images,qemu,sanlock}}
	chmod 1777 "$LAB/$1/tmp" "$var/tmp"
	chmod 711 "$var/lib/libvirt/images" "$var/lib/libvirt/boot"
	chmod 750 "$var/lib/libvirt/qemu" "$var/cache/libvirt/qemu"
	if owner=$(stat -c %u:%g /var/lib/libvirt/qemu 2>/dev/null); then
		chown "$owner" "$var/lib/libvirt/qemu" "$var/cache/libvirt/qemu"
	fi
	# Who signs the certificates of emulated TPMs: swtpm's user must be able to write there.
	if owner=$(stat -c %u:%g /var/lib/swtpm-localca 2>/dev/null); then
		mkdir -p "$var/lib/swtpm-localca" && chmod 750 "$var/lib/swtpm-localca" || return
		chown "$owner" "$var/lib/swtpm-localca"
	fi
	ln -sfn /run "$var/run"
	ln -sfn /run/lock "$var/lock"
}

# lab_host_boot HOST NUMBER: the namespaces and their PID 1; what was left of a host that died goes first.
lab_host_boot() {
	local host=$1 number=$2
	lab_host_etc "$host" "$number" && lab_host_var "$host" && cgroup_create "$host" || return
	(
		cgroup_join "$host" || exit 1
		: >"$LAB/log/$host.log"
		exec "$LAB_PROC" host "$LAB/run/$host.pid" "$LAB/log/$host.log" \
			"$LAB_SOURCE/host-setup.sh" "$host" "$LAB/$host" "$LAB"
	) || { tail -n 5 "$LAB/log/$host.log" >&2; return 1; }
}

lab_fabric_up() {
	lab_pid fabric >/dev/null && return
	lab_host_boot fabric 0 || return
	lab_in fabric sh -ec "
		echo 0 >/proc/sys/net/ipv4/ip_forward
		ip link add br0 type bridge
		ip addr add $LAB_FABRIC_ADDRESS/24 dev br0
		${LAB_DUAL:+ip addr add fd00:172:31::fe/64 dev br0 nodad}
		ip link set br0 up
		if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
			echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables
		fi"
}

# lab_registry_up: plain HTTP inside the fabric.
lab_registry_up() {
	cat >"$LAB/fabric/etc/registry.yml" <<-END
		version: 0.1
		log: {level: warn}
		storage:
		  filesystem: {rootdirectory: /var/lib/docker-registry}
		  delete: {enabled: true}
		http: {addr: "$LAB_FABRIC_ADDRESS:5000"}
	END
	lab_service fabric registry docker-registry serve /etc/registry.yml || return
	lab_await 20 "the registry answers" lab_in fabric curl -sf "http://$LAB_REGISTRY/v2/"
}

# lab_service HOST NAME CMD...: a background process of the host, unless it runs already. LAB_HOW=keep: for good.
lab_service() {
	local host=$1 name=$2
	shift 2
	lab_in "$host" lab-proc alive "/run/lab/$name.pid" && return
	lab_in "$host" lab-proc "${LAB_HOW:-daemon}" "/run/lab/$name.pid" "/var/log/$name.log" "$@"
}

# lab_service_end HOST NAME [GRACE_MS]
lab_service_end() {
	lab_in "$1" lab-proc end "/run/lab/$2.pid" "${3:-10000}"
}

# lab_host_up N: boots host N where it does not run, plugs it into the fabric, starts what it lacks.
lab_host_up() {
	local number=$1 host=node$1 pid fabric
	fabric=$(lab_pid fabric) || return
	if ! pid=$(lab_pid "$host"); then
		lab_host_boot "$host" "$number" || return
		pid=$(lab_pid "$host") || return
	fi
	if ! lab_in "$host" ip link show eth0 >/dev/null 2>&1; then
		nsenter -t "$fabric" -n ip link add "$host" type veth peer name eth0 netns "$pid" || return
	fi
	nsenter -t "$fabric" -n ip link set "$host" master br0 up || return
	lab_in "$host" sh -ec "
		ip addr replace 172.31.0.$number/24 dev eth0
		${LAB_DUAL:+ip addr replace fd00:172:31::$number/64 dev eth0 nodad}
		ip link set eth0 up
		ip route replace default via $LAB_FABRIC_ADDRESS" || return
	lab_containerd_up "$number" && lab_libvirt_up "$number"
}

lab_containerd_up() {
	lab_service "node$1" containerd containerd || return
	lab_await 30 "containerd of node$1 answers" lab_exec "$1" ctr version
}

# libvirt's daemons return from -d when they serve.
lab_libvirt_up() {
	lab_service "node$1" virtlogd virtlogd || return
	# 9.0 crashes now and then ("corrupted double-linked list"); what a host's systemd does then is done here, too.
	LAB_HOW=keep lab_service "node$1" libvirtd libvirtd || return
	lab_await 30 "libvirtd of node$1 answers" lab_exec "$1" virsh -c qemu:///system version
}

# lab_use_binary FILE: what the lab runs. A copy, so that a build does not change running hosts.
lab_use_binary() {
	cmp -s "$1" "$LAB/bin/hanok" && cmp -s "$1-dns" "$LAB/bin/hanok-dns" && return
	cp "$1" "$LAB/bin/hanok.new" && mv "$LAB/bin/hanok.new" "$LAB/bin/hanok" || return
	cp "$1-dns" "$LAB/bin/hanok-dns.new" && mv "$LAB/bin/hanok-dns.new" "$LAB/bin/hanok-dns" || return
	lab_node_end_all
	lab_server_end
}

lab_server_up() {
	local fabric port
	port=$(lab_port)
	fabric=$(lab_pid fabric) || return
	if ! "$LAB_PROC" alive "$LAB/run/server.pid"; then
		if ss -Hltn "sport = :$port" | grep -q .; then
			echo "port $port of 127.0.0.1 is taken by another program; choose another: echo N >$LAB/port" >&2
			return 1
		fi
		cgroup_create server || return
		(
			cgroup_join server || exit 1
			cd / || exit 1
			exec "$LAB_PROC" daemon "$LAB/run/server.pid" "$LAB/log/server.log" \
				"$LAB/bin/hanok" server --data "$LAB/server" --listen "127.0.0.1:$port" \
				--node-netns "/proc/$fabric/ns/net" --node-listen "$LAB_FABRIC_ADDRESS:6443" \
				${LAB_DUAL:+--service-cidr "$LAB_SERVICES" --pod-cidr "$LAB_PODS"}
		) || return
	fi
	lab_await 20 "hanok server is ready" lab_server_ready "$port" || { tail -n 5 "$LAB/log/server.log" >&2; return 1; }
	lab_kubeconfig_write
}

lab_server_ready() {
	"$LAB_PROC" alive "$LAB/run/server.pid" || { echo "hanok server ended"; return 99; }
	curl -sSf --cacert "$LAB/server/pki/ca.crt" "https://127.0.0.1:$1/readyz"
}

lab_server_end() { "$LAB_PROC" end "$LAB/run/server.pid" 15000; }

# A copy for the one who called sudo; the server's own stays private.
lab_kubeconfig_write() {
	install -m 600 "$LAB/server/admin.kubeconfig" "$LAB/kubeconfig" || return
	[ -z "${SUDO_UID:-}" ] || chown "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$LAB/kubeconfig"
}

# lab_thresholds: for a KubeletConfiguration of one's own, when a node of a lab is short of something (kubelet.yaml).
lab_thresholds() { sed -n '/^evictionHard:/,$p' "$LAB_SOURCE/kubelet.yaml"; }

# lab_node_up N: the node agent in host N, with $LAB/nodeN/kubelet.yaml, or the lab's own where there is none.
lab_node_up() {
	local number=$1 config=kubelet.yaml
	if [ ! -e "$LAB/node$number/kubelet.yaml" ]; then
		config=kubelet.default.yaml
		install -m 644 "$LAB_SOURCE/kubelet.yaml" "$LAB/node$number/$config" || return
	fi
	if [ ! -s "$LAB/node$number/node.kubeconfig" ]; then
		(umask 077 && "$LAB/bin/hanok" kubeconfig --data "$LAB/server" --node "node$number" \
			--server "https://$LAB_FABRIC_ADDRESS:6443" >"$LAB/node$number/node.kubeconfig") ||
			{ rm -f "$LAB/node$number/node.kubeconfig"; return 1; }
	fi
	lab_service "node$number" hanok-node hanok node --data /var/lib/hanok \
		--kubeconfig /run/lab/host/node.kubeconfig --name "node$number" \
		--cri unix:///run/containerd/containerd.sock --libvirt qemu:///system \
		--config "/run/lab/host/$config" ${LAB_DUAL:+--service-cidr "$LAB_SERVICES"}
}

lab_node_end() { lab_service_end "node$1" hanok-node 15000; }

lab_node_end_all() {
	local n
	for n in $(lab_hosts); do
		lab_pid "node$n" >/dev/null && lab_node_end "$n"
	done
}

# lab_host_down N: like pulling the plug, which containerd and libvirt must bear anyway.
lab_host_down() { "$LAB_PROC" end "$LAB/run/node$1.pid" 0; }

# lab_down: everything that runs. What is kept on disk stays, for the next lab_up.
lab_down() {
	local n status=0
	[ -x "$LAB_PROC" ] || return 0
	lab_node_end_all
	for n in $(lab_hosts); do lab_host_down "$n" || status=1; done
	lab_server_end || status=1
	"$LAB_PROC" end "$LAB/run/fabric.pid" 0 || status=1
	cgroup_remove || status=1
	lab_leftovers || status=1
	return $status
}

# lab_leftovers: says what of the lab is still on the machine, and fails if anything is.
lab_leftovers() {
	local found
	found=$(
		cgroup_processes | sed 's/^/process /'
		awk -v lab="$LAB/" 'index($5, lab) == 1 || index($4, lab) == 1 { print "mount " $5 }' /proc/self/mountinfo
		find "$LAB/run" -name '*.pid' -printf 'pidfile %p\n'
		cgroup_hierarchies | while read -r _ mountpoint _; do
			[ -d "$mountpoint/$LAB_CGROUP" ] && echo "control group $mountpoint/$LAB_CGROUP"
		done
	)
	[ -z "$found" ] && return 0
	echo "left over from the lab:" >&2
	echo "$found" >&2
	return 1
}

# lab_status: one line for each part.
lab_status() {
	local n service state
	lab_status_line server "$("$LAB_PROC" alive "$LAB/run/server.pid" && echo "running, https://127.0.0.1:$(lab_port)")"
	lab_status_line fabric "$(lab_pid fabric >/dev/null && echo "running, $LAB_FABRIC_ADDRESS")"
	for n in $(lab_hosts); do
		state=
		if lab_pid "node$n" >/dev/null; then
			state="running, 172.31.0.$n:"
			for service in containerd libvirtd hanok-node; do
				lab_exec "$n" lab-proc alive "/run/lab/$service.pid" &&
					state="$state $service" || state="$state (no $service)"
			done
		fi
		lab_status_line "node$n" "$state"
	done
}

lab_status_line() { printf '%-8s %s\n' "$1" "${2:-stopped}"; }
