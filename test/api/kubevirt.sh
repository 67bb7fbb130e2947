#!/bin/bash
# The KubeVirt and CDI objects: what virtctl and installers look for, and what a user sets there.
. "$(dirname "$0")/../lib.sh"
start_server --scheduler=off

check "the platform is there from the start" k wait kv kubevirt -n kubevirt --for condition=Available --timeout=60s
check_output "its columns" 'NAME +AGE +PHASE.*kubevirt +[0-9a-z]+ +Deployed' k get kubevirt -A
versions() { k get kv kubevirt -n kubevirt -o jsonpath='{.status.observedKubeVirtVersion} {.status.operatorVersion} {.status.targetKubeVirtVersion}'; }
version=$(raw /apis/subresources.kubevirt.io/v1/version | sed -n 's/.*"gitVersion":"\([^"]*\)".*/\1/p')
check "its version" test "$(versions)" = "$version $version $version"
check_output "is one of KubeVirt's" '^v1[.][0-9]+[.][0-9]+[+]hanok-' versions
generation() { k get kv kubevirt -n kubevirt -o jsonpath='{.metadata.generation} {.status.observedGeneration}'; }
check_output "its generation" '^1 1$' generation
check_output "its conditions" '^True False False True$' k get kv kubevirt -n kubevirt -o \
	jsonpath='{.status.conditions[?(@.type=="Available")].status} {.status.conditions[?(@.type=="Progressing")].status} {.status.conditions[?(@.type=="Degraded")].status} {.status.conditions[?(@.type=="Created")].status}'
check "CDI is there" k wait cdi cdi --for condition=Available --timeout=60s
check_output "its version" '^Deployed v1[.]' k_field cdi/cdi .status.phase .status.observedVersion

another() { k create -f - <<<'{apiVersion: kubevirt.io/v1, kind: KubeVirt, metadata: {name: another}, spec: {}}'; }
check_refused "a second one" 'Kubevirt is already created' another
settings() { k patch kv kubevirt -n kubevirt --type=merge -p "{\"spec\": {\"configuration\": $1}}" 2>&1; }
check_output "settings that nothing follows" 'Warning: .*no effect here: .*migrations' settings '{"migrations": {"parallelMigrationsPerCluster": 2}, "cpuModel": "Haswell"}'
check "are named" k wait kv kubevirt -n kubevirt --for condition=ConfigurationIgnored --timeout=60s
check_output "and only those" ': migrations$' k get kv kubevirt -n kubevirt -o jsonpath='{.status.conditions[?(@.type=="ConfigurationIgnored")].message}'
quiet() { ! settings '{"migrations": null}' | grep -q Warning; }
check "those that are followed are not warned of" quiet
check "nor named" k wait kv kubevirt -n kubevirt --for 'jsonpath={.status.observedGeneration}=3' --timeout=60s
check_output "any more" '^$' k get kv kubevirt -n kubevirt -o jsonpath='{.status.conditions[?(@.type=="ConfigurationIgnored")].message}'

# Who deletes it means it.
check "it may go" k delete kv kubevirt -n kubevirt
stop_server
start_server --scheduler=off
check_refused "and does not come back" 'not found' k get kv kubevirt -n kubevirt
check "but may be made again" another
check "anywhere" k wait kv another --for condition=Available --timeout=60s
finish
