# shellcheck shell=bash
# The lab for people: up, down, images, exec, kubectl. What a lab is: test/lab/lab.sh.

# shellcheck source=test/lab/lab.sh
. "$ROOT/test/lab/lab.sh"
# shellcheck source=guest/images.sh
. "$ROOT/guest/images.sh"
lab_use

SAMPLES="$ROOT/samples"

lab_binary() { echo "${HANOK_BIN:-$ROOT/build/hanok}"; }

# Up and down of one lab don't run at the same time.
lab_lock() {
	mkdir -p "$LAB"
	exec {LAB_LOCK}>"$LAB/lock"
	flock -w 1 "$LAB_LOCK" || ui_die "another ./dev works on the lab in $LAB" "wait for it to end"
}

# The steps of bringing up a lab, for ./dev up and ./dev test.

lab_step_network() {
	lab_prepare || fail "the lab's directory $LAB could not be prepared" "is there room and a writable file system?"
	lab_fabric_up || fail "the lab's network did not come up" "the kernel must allow namespaces, bridges and veth"
	lab_registry_up || fail "the registry did not come up" "see $LAB/fabric/var/log/registry.log"
}

lab_step_images() {
	local name count=0
	images_use "$ROOT/.cache/images"
	for name in $IMAGES; do
		progress $count 8 "building $name"
		images_build "$name" || fail "image $name could not be built" "the log says which command failed"
		count=$((count + 1))
		progress $count 8 "pushing $name"
		images_push "$name" || fail "image $name could not be pushed" "see $LAB/fabric/var/log/registry.log"
		count=$((count + 1))
	done
	progress 8 8 "$IMAGES"
}

# images_push NAME: unless the registry has exactly that.
images_push() {
	local digest fabric url=http://$LAB_FABRIC_ADDRESS:5000/v2/$1/manifests/latest
	digest=$(oci_digest "$IMAGES_CACHE/$1")
	fabric=$(lab_pid fabric) || return
	nsenter -t "$fabric" -n curl -sfI -H 'Accept: application/vnd.oci.image.manifest.v1+json' "$url" |
		grep -qi "^docker-content-digest: $digest" && return
	nsenter -t "$fabric" -n skopeo --insecure-policy copy -q --dest-tls-verify=false \
		"oci:$IMAGES_CACHE/$1:latest" "docker://$LAB_FABRIC_ADDRESS:5000/$1:latest"
}

lab_step_hosts() {
	local n
	for ((n = 1; n <= $1; n++)); do
		progress $((n - 1)) "$1" "node$n: containerd, libvirtd"
		lab_host_up "$n" || fail "lab host node$n did not come up" "logs: $LAB/log/node$n.log, $LAB/node$n/var/log/"
	done
	progress "$1" "$1" "containerd, libvirtd on $1 host(s)"
}

lab_step_server() {
	lab_use_binary "$(lab_binary)" || fail "no binary to run at $(lab_binary)" "./dev build"
	lab_server_up || fail "hanok server did not become ready" "its log: $LAB/log/server.log"
	progress 1 1 "https://127.0.0.1:$(lab_port)"
}

lab_step_nodes() {
	local n
	for ((n = 1; n <= $1; n++)); do
		progress $((n - 1)) "$1" "node$n"
		lab_node_up "$n" || fail "hanok node did not start on node$n" "its log: $LAB/node$n/var/log/hanok-node.log"
		lab_await 30 "node$n is registered" lab_kubectl get node "node$n" || lab_node_failed "$n"
		lab_kubectl wait --for=condition=Ready "node/node$n" --timeout=60s || lab_node_failed "$n"
	done
	progress "$1" "$1" "$1 Ready"
}

lab_node_failed() {
	tail -n 8 "$LAB/node$1/var/log/hanok-node.log"
	fail "node$1 did not become Ready" "its log: $LAB/node$1/var/log/hanok-node.log"
}

# kubectl's cache of discovery goes with the lab, not into anyone's home.
lab_kubectl() {
	kubectl --kubeconfig "$LAB/kubeconfig" --cache-dir "$LAB/kubectl-cache" "$@"
}

up_step_samples() {
	progress 0 4 "kubectl apply"
	lab_kubectl apply -f "$SAMPLES" || fail "the samples were not accepted" "the log holds the server's answer"
	progress 1 4 "deployment web"
	lab_kubectl rollout status deployment/web --timeout=120s || up_sample_failed deployment/web
	progress 2 4 "virtual machine web-vm"
	lab_kubectl wait --for=condition=Ready vm/web-vm --timeout=180s || up_sample_failed vm/web-vm
	progress 3 4 "service web"
	lab_await 120 "the service answers from containers and the virtual machine" up_service_answers_both || up_sample_failed service/web
	progress 4 4 "ready"
}

up_sample_failed() {
	lab_kubectl describe "$1"
	lab_kubectl get all,vm,vmi -o wide
	lab_kubectl get events --sort-by=.lastTimestamp | tail -n 15
	fail "$1 did not become ready" "./dev kubectl describe $1; node logs: $LAB/node*/var/log/hanok-node.log"
}

up_service_address() { lab_kubectl get service web -o 'jsonpath={.spec.clusterIP}'; }

# up_service_ask COUNT URL: what the service answers, from inside the first host.
up_service_ask() {
	lab_exec 1 sh -c 'i=0; while [ $i -lt '"$1"' ]; do curl -s --max-time 5 "'"$2"'" || echo "no answer"; i=$((i + 1)); done'
}

up_service_answers_both() {
	local answers
	answers=$(up_service_ask 12 "http://$(up_service_address)/")
	echo "$answers"
	grep -q '^container ' <<<"$answers" && grep -q '^virtual machine ' <<<"$answers"
}

up_summary() {
	local address
	address=$(up_service_address)
	# sudo drops the environment: what named this lab has to be named to it again.
	local lab_is=
	[ -z "${HANOK_LAB:-}" ] || lab_is+="HANOK_LAB=$(printf %q "$LAB") "
	[ -z "${HANOK_PORT:-}" ] || lab_is+="HANOK_PORT=$HANOK_PORT "
	echo
	echo "${UI_BOLD}What runs${UI_PLAIN}"
	lab_kubectl get nodes,deployments,pods,vm,vmi,services -o wide
	echo
	echo "${UI_BOLD}The service web at http://$address/ (inside the lab) answers from containers and from the virtual machine${UI_PLAIN}"
	up_service_ask 8 "http://$address/" | sort | uniq -c
	echo "and at http://172.31.0.1:30080/, its NodePort"
	up_service_ask 8 "http://172.31.0.1:30080/" | sort | uniq -c
	cat <<-END

		${UI_BOLD}Where to go on${UI_PLAIN}
		  export KUBECONFIG=$LAB/kubeconfig PATH=$LAB/bin:\$PATH
		  kubectl get pods -o wide                       any kubectl will do
		  kubectl scale deployment web --replicas=4
		  hanok explain placement homepage               why an Application runs where it runs
		  hanok virt console web-vm                      log in as root, password hanok; leave by Ctrl-]
		  sudo ${lab_is}./dev lab exec 1 curl -s http://$address/
		  sudo ${lab_is}./dev lab exec 1 virsh list               what libvirt itself says
		  sudo ${lab_is}./dev down                                ends it all
	END
}

cmd_up() {
	local nodes=1 host=
	while [ $# -gt 0 ]; do
		case $1 in
		--nodes)
			nodes=${2:-}
			shift
			;;
		--nodes=*) nodes=${1#*=} ;;
		--host) host=1 ;;
		*) ui_usage "up: unknown option $1" ;;
		esac
		shift
	done
	[[ $nodes =~ ^[1-9]$ ]] || ui_usage "up: --nodes takes a number from 1 to 9"
	need_root up
	if [ -n "$host" ]; then
		up_host
		return
	fi
	lab_lock
	ui_begin 8
	# shellcheck disable=SC2086
	step packages deps_install $DEPS_BUILD $DEPS_SERVER $DEPS_NODE $DEPS_LAB kubernetes-client
	if [ -z "${HANOK_BIN:-}" ]; then step build build_directory "$ROOT/build"; else UI_STEP=$((UI_STEP + 1)); fi
	step "network and registry" lab_step_network
	step images lab_step_images
	step "lab hosts" lab_step_hosts "$nodes"
	step "hanok server" lab_step_server
	step "hanok nodes" lab_step_nodes "$nodes"
	step samples up_step_samples
	up_summary
}

# On the machine itself: nothing of its containerd and libvirt is changed, they only must be there.
up_host() {
	ui_begin 3
	# shellcheck disable=SC2086
	step packages deps_install $DEPS_BUILD $DEPS_SERVER $DEPS_NODE kubernetes-client
	step build build_directory "$ROOT/build"
	step "containerd and libvirt" up_host_check
	echo "hanok up --data /var/lib/hanok; in another terminal: export KUBECONFIG=/var/lib/hanok/server/admin.kubeconfig"
	exec "$(lab_binary)" up --data /var/lib/hanok --listen "127.0.0.1:${HANOK_PORT:-6443}"
}

up_host_check() {
	timeout 10 ctr version || fail "containerd does not answer at /run/containerd/containerd.sock" \
		"systemctl enable --now containerd"
	timeout 10 virsh -c qemu:///system version || fail "libvirt does not answer at qemu:///system" \
		"systemctl enable --now libvirtd (or virtqemud.socket)"
	progress 1 1 "both answer"
}

cmd_down() {
	local purge=
	case ${1:-} in
	'') ;;
	--purge) purge=1 ;;
	*) ui_usage "down: unknown option $1" ;;
	esac
	need_root down
	[ -d "$LAB" ] || {
		echo "no lab in $LAB"
		return 0
	}
	lab_lock
	ui_begin 1
	step "ending the lab" down_step
	if [ -n "$purge" ]; then
		rm -rf "$LAB"
		echo "its data is gone too"
	else
		echo "its data stays in $LAB for the next ./dev up (./dev down --purge removes it)"
	fi
}

down_step() {
	lab_down || fail "something of the lab is left over" "the log names it; end or unmount it by hand, then run ./dev down again"
	progress 1 1 "no process, mount, interface or control group is left"
}

cmd_images() {
	need_root images
	lab_lock
	ui_begin 3
	# shellcheck disable=SC2086
	step packages deps_install $DEPS_LAB
	step "network and registry" lab_step_network
	step images lab_step_images
	local name
	for name in $IMAGES; do
		echo "$LAB_REGISTRY/$name:latest  $(images_use "$ROOT/.cache/images" && oci_digest "$IMAGES_CACHE/$name")"
	done
}

cmd_lab() {
	local verb=${1:-}
	shift
	need_root lab
	[ -x "$LAB_PROC" ] || ui_die "there is no lab in $LAB" "sudo ./dev up"
	case $verb in
	status) lab_status ;;
	exec)
		[[ ${1:-} =~ ^[1-9]$|^fabric$ ]] && [ $# -gt 1 ] || ui_usage "lab exec: the number of a host, and a command"
		if [ "$1" = fabric ]; then lab_in "$@"; else lab_exec "$@"; fi
		;;
	*) ui_usage "lab: exec or status" ;;
	esac
}

cmd_kubectl() {
	[ -r "$LAB/kubeconfig" ] || ui_die "no kubeconfig at $LAB/kubeconfig" "sudo ./dev up"
	lab_kubectl "$@"
}
