# shellcheck shell=bash
# The kubectls beside the one on PATH (kubectl.1.27 ...), or that one alone; before them 1.20, where
# record.sh has built it.
commands_kubectls() {
	local default dir found=() file old=${HANOK_PEER_CACHE:-/var/cache/hanok-peer}/bin/kubectl
	default=$(command -v "${KUBECTL:-kubectl}") || return
	dir=$(dirname "$(readlink -f "$default")")
	for file in "$dir"/kubectl.1.*; do [ ! -x "$file" ] || found+=("$file"); done
	[ ${#found[@]} -gt 0 ] || found=("$default")
	[ ! -x "$old" ] || found=("$old" "${found[@]}")
	printf '%s\n' "${found[@]}"
}

# commands_version KUBECTL: "1.33".
commands_version() { "$1" version --client -o json | sed -n 's/.*"gitVersion": *"v\(1\.[0-9]*\).*/\1/p'; }

# The loops that ran beside kube-apiserver when it was recorded, and run when hanok is compared with it.
# shellcheck disable=SC2034
COMMANDS_LOOPS=namespace,serviceaccount,serviceaccount-token,root-ca-cert-publisher,garbagecollector,replicaset,replicationcontroller,deployment,endpoint,endpointslice,resourcequota,clusterrole-aggregation
