#!/bin/bash
# What tokens of accounts a node's credential is good for: those of pods and machines that run on it.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*,serviceaccount' --scheduler=off
use_namespace node-tokens
k create serviceaccount app >/dev/null
k create serviceaccount strong >/dev/null
NS=namespaces/node-tokens
eventually 20 k get serviceaccount default >/dev/null
k create -f - >/dev/null <<'END_OF_OBJECTS'
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec: {serviceAccountName: app, nodeName: n1, containers: [{name: c, image: i}]}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: vm}
spec:
  domain: {devices: {disks: [{name: a, disk: {}}]}, memory: {guest: 64Mi}}
  volumes: [{name: a, serviceAccount: {serviceAccountName: app}}]
END_OF_OBJECTS
k patch vmi vm --subresource=status --type=merge -p '{"status":{"nodeName":"n1"}}' >/dev/null
token() { # USER ACCOUNT [KIND NAME UID]
	local version=v1 bound=
	[ "${3:-}" != VirtualMachineInstance ] || version=kubevirt.io/v1
	[ $# = 2 ] || bound=",\"boundObjectRef\":{\"apiVersion\":\"$version\",\"kind\":\"$3\",\"name\":\"$4\",\"uid\":\"$5\"}"
	raw "/api/v1/$NS/serviceaccounts/$2/token" -H "Impersonate-User: $1" -H 'Impersonate-Group: system:nodes' -H 'Content-Type: application/json' \
		-d "{\"spec\":{\"audiences\":[]$bound}}"
}
pod=$(k_field pod/pod .metadata.uid)
machine=$(k_field vmi/vm .metadata.uid)
check_output "of a pod that it has" '"token": ?"ey' token system:node:n1 app Pod pod "$pod"
check_output "of a machine" '"token": ?"ey' token system:node:n1 app VirtualMachineInstance vm "$machine"
check_output "not of a pod of another" 'serviceaccounts \\"app\\" is forbidden: node requested token bound to a pod scheduled on a different node' token system:node:n2 app Pod pod "$pod"
check_output "nor of a machine of another" 'is forbidden: node requested token bound to a virtual machine instance scheduled on a different node' \
	token system:node:n2 app VirtualMachineInstance vm "$machine"
check_output "nor of an account alone" 'serviceaccounts \\"strong\\" is forbidden: node requested token not bound to a pod' token system:node:n1 strong
check_output "nor of one bound to the node" 'node requested token not bound to a pod|404|not found' token system:node:n1 strong Node n1 ""
check_output "nor of one without a uid" 'node requested token with a pod binding without a uid' token system:node:n1 app Pod pod ""
check_output "who is called after no node has none" 'on a different node' token mallory app Pod pod "$pod"
# Nor does it make itself what has others.
pod_of() { # NODE MORE
	raw "/api/v1/$NS/pods" -H "Impersonate-User: system:node:n1" -H 'Impersonate-Group: system:nodes' -H 'Content-Type: application/yaml' \
		-d "{apiVersion: v1, kind: Pod, metadata: {name: own, ${2:-}}, spec: {nodeName: $1, ${3:-} containers: [{name: c, image: i}]}}"
}
mirror='annotations: {kubernetes.io/config.mirror: x}'
check_output "it makes no pod of an account" 'node \\"n1\\" can only create mirror pods' pod_of n1 '' 'serviceAccountName: strong,'
check_output "nor a mirror of one with an account" 'a mirror pod may not reference service accounts' pod_of n1 "$mirror" 'serviceAccountName: strong,'
check_output "nor one elsewhere" 'can only create pods with spec.nodeName set to itself' pod_of n2 "$mirror"
check_output "a mirror pod of its own it does" '"phase": ?"Pending"' pod_of n1 "$mirror"
take_over() {
	raw "/apis/kubevirt.io/v1/$NS/virtualmachineinstances/vm/status" -X PATCH -H 'Impersonate-User: system:node:n2' -H 'Impersonate-Group: system:nodes' \
		-H 'Content-Type: application/merge-patch+json' -d '{"status":{"nodeName":"n2"}}'
}
check_output "nor does it take a machine over" 'may not say where a virtual machine instance runs' take_over
check_output "others may, by their roles" 'TokenRequest' k create token strong -o yaml
finish
