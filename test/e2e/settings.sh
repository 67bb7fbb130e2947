#!/bin/bash
# What a container is given: user, groups, rights, kernel settings, names, resolver, control groups.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-settings

cat >"$TEST_DIR/pods.yaml" <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {good_one: "1", "2bad": "2"}
---
apiVersion: v1
kind: Pod
metadata: {name: show}
spec:
  hostname: inside
  subdomain: sub
  setHostnameAsFQDN: true
  terminationGracePeriodSeconds: 0
  hostAliases: [{ip: 10.9.8.7, hostnames: [alias.one, alias.two]}]
  dnsConfig: {nameservers: [10.1.1.1, 10.1.1.2, 10.1.1.3], searches: [own.example], options: [{name: ndots, value: "2"}]}
  securityContext:
    runAsUser: 1000
    runAsGroup: 3000
    fsGroup: 2000
    supplementalGroups: [4000]
    sysctls: [{name: net.ipv4.tcp_syncookies, value: "0"}]
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    command: [sh, -c, "while :; do sleep 1; done"]
    envFrom: [{configMapRef: {name: words}}]
    env:
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}
    - {name: DISK, valueFrom: {resourceFieldRef: {resource: limits.ephemeral-storage}}}
    - {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
    resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 300m, memory: 64Mi}}
    securityContext:
      capabilities: {drop: [ALL], add: [CAP_NET_BIND_SERVICE]}
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      seccompProfile: {type: RuntimeDefault}
---
apiVersion: v1
kind: Pod
metadata: {name: eats}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    command: [sh, -c, "head -c 100m /dev/zero | tail"]
    resources: {requests: {cpu: 300m, memory: 16Mi}, limits: {cpu: 300m, memory: 16Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  hostAliases: [{ip: 10.9.8.7, hostnames: [alias.one]}]
  containers: [{name: c, image: "registry.lab:5000/web:latest", command: [sh, -c, "while :; do sleep 1; done"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: unsafe}
spec:
  securityContext: {sysctls: [{name: kernel.msgmax, value: "65536"}]}
  containers: [{name: c, image: "registry.lab:5000/web:latest"}]
---
apiVersion: v1
kind: Pod
metadata: {name: confined}
spec:
  securityContext: {appArmorProfile: {type: RuntimeDefault}}
  containers: [{name: c, image: "registry.lab:5000/web:latest"}]
---
apiVersion: v1
kind: Pod
metadata: {name: root}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "registry.lab:5000/web:latest", securityContext: {runAsNonRoot: true}}]
---
apiVersion: v1
kind: Pod
metadata: {name: profile}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: registry.lab:5000/web:latest
    securityContext: {seccompProfile: {type: Localhost, localhostProfile: none.json}}
---
apiVersion: v1
kind: Pod
metadata: {name: users}
spec:
  hostUsers: false
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "registry.lab:5000/web:latest"}]
YAML
check "apply" k apply -f "$TEST_DIR/pods.yaml"
check "the pod that shows runs" k wait pod/show pod/host --for=condition=Ready --timeout=120s
in_show() { k exec show -- "$@"; }
status() { in_show sed -n "s/^$1:\s*//p" /proc/self/status; }
check_output "user and groups" '^uid=1000 gid=3000 groups=2000,3000,4000$' in_show id
check_output "no capabilities but the one it may have" '^0000000000000400$' status CapBnd
check_output "no new privileges" '^1$' status NoNewPrivs
check_output "a seccomp filter" '^2$' status Seccomp
check_refused "the root file system is read only" 'Read-only file system' in_show touch /x
check_output "sysctl" '^0$' in_show cat /proc/sys/net/ipv4/tcp_syncookies
check_refused "the kernel's files are read only" 'Read-only|Permission' in_show sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_syncookies'
check_output "host name with its domain" '^inside\.sub\.e2e-settings\.svc\.cluster\.local$' in_show hostname
check_output "hosts file" $'^# Kubernetes-managed hosts file\\.\n127.0.0.1\tlocalhost\n.*[0-9.]+\tinside\\.sub\\.e2e-settings\\.svc\\.cluster\\.local\tinside\n\n# Entries added by HostAliases\\.\n10\\.9\\.8\\.7\talias\\.one\talias\\.two$' \
	in_show cat /etc/hosts
check_output "resolver: servers" 'nameserver 10\.96\.0\.10.*nameserver 10\.1\.1\.1.*nameserver 10\.1\.1\.2' in_show cat /etc/resolv.conf
check_output "resolver: search paths, options" 'search e2e-settings\.svc\.cluster\.local svc\.cluster\.local cluster\.local .*own\.example.*options ndots:2' \
	in_show cat /etc/resolv.conf
check "a fourth server is left out, and told of" eventually 10 matches 'DNSConfigForming.*Nameserver limits were exceeded' k events --for pod/show
check "names that can't be variables are told of" eventually 10 matches 'Keys \[2bad\] from the EnvFrom configMap e2e-settings/words were skipped' \
	k events --for pod/show
check_output "environment: amounts and addresses" '^1 100 [1-9][0-9]+ [0-9.]+$' in_show sh -c 'echo "$good_one $CPU $DISK $IPS"'

uid=$(k_field pod/show .metadata.uid)
# group CONTROLLER FILE-OF-V1 FILE-OF-V2 PATH: of the node's tree.
group() {
	on_node 1 sh -c "cat /sys/fs/cgroup/$1/kubepods$4/$2 2>/dev/null || cat /sys/fs/cgroup/kubepods$4/$3"
}
check_output "the pod's group: shares" '^(102|4)$' group cpu cpu.shares cpu.weight "/burstable/pod$uid"
check_output "the pod's group: quota" '^30000' group cpu cpu.cfs_quota_us cpu.max "/burstable/pod$uid"
check_output "the pod's group: memory" '^67108864$' group memory memory.limit_in_bytes memory.max "/burstable/pod$uid"
check_output "the class of best effort gets what is left" '^[12]$' group cpu cpu.shares cpu.weight /besteffort
all_memory=$(group memory memory.limit_in_bytes memory.max "")
check "all pods together are limited" test "$all_memory" -gt 1000000 -a "$all_memory" -lt 9000000000000000000
check_output "oom_score_adj of burstable" '^99[0-9]$' in_show cat /proc/self/oom_score_adj
check "what eats more than its limit is killed" eventually 30 matches '^OOMKilled 137$' k_field pod/eats \
	'.status.containerStatuses[0].state.terminated.reason' '.status.containerStatuses[0].state.terminated.exitCode'
check_output "hosts file in the host's network" '^# Kubernetes-managed hosts file \(host network\)\..*# Entries added by HostAliases\.' \
	k exec host -- cat /etc/hosts
check_output "host name in the host's network" '^node1$' k exec host -- hostname

check "an unsafe sysctl is refused" eventually 20 matches '^Failed SysctlForbidden Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted$' \
	k_field pod/unsafe .status.phase .status.reason .status.message
if [ ! -e /sys/module/apparmor/parameters/enabled ]; then
	check "AppArmor on a host without is refused" eventually 20 matches '^Failed AppArmor Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host$' \
		k_field pod/confined .status.phase .status.reason .status.message
fi
waiting() { k_field "pod/$1" '.status.containerStatuses[0].state.waiting.reason' '.status.containerStatuses[0].state.waiting.message'; }
check "root where it must not be" eventually 30 matches '^CreateContainerConfigError container has runAsNonRoot and image will run as root \(pod: "root_e2e-settings\(.*\)", container: c\)$' waiting root
check "a seccomp profile that is not there" eventually 30 matches '^CreateContainerConfigError cannot load seccomp profile "/.*/seccomp/none.json"' waiting profile
check "users of its own on a runtime that can't" eventually 20 matches "can't set \`spec.hostUsers: false\`, runtime does not support user namespaces" k events --for pod/users

check "delete" k delete pod --all --timeout=120s
groups_left() { on_node 1 find /sys/fs/cgroup -maxdepth 5 -type d -name "pod$uid"; }
check "no control group is left of it" eventually 20 matches "^$" groups_left
finish
