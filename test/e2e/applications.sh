#!/bin/bash
# The sample Application, decided both ways and moved there and back on a real containerd and a real libvirt, while a
# client asks its Service all the time and counts what is lost.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-applications
explain() { "$LAB/bin/hanok" explain placement "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-applications; }
profile() { k patch app homepage --type merge -p "{\"spec\":{\"profile\":{$1}}}"; }
state() { k_field app/homepage .status.isolation .status.readyReplicas .status.move.phase; }

check "apply the sample" k apply -f "$TEST_ROOT/samples/application.yaml"
check "it belongs in containers" eventually 60 matches '^Container 1 $' state
check "is Ready" k wait --for=condition=Ready app/homepage --timeout=240s
check_output "and says why" 'Decision: Container.*load variable: its load swings' explain homepage
address=$(k_field service/homepage .spec.clusterIP)
check "it answers" eventually 30 matches '^container homepage-' on_node 1 curl -s --max-time 5 "http://$address/"

# The client: a new connection every time, and a line for each request.
on_node 1 rm -f /tmp/client-stop
on_node 1 sh -c '
	while [ ! -e /tmp/client-stop ]; do
		answer=$(curl -s --max-time 10 "http://$1/") && echo "${answer%% *}" || echo "lost: $? at $(date +%T)"
		sleep 0.05
	done' sh "$address" >"$TEST_DIR/answers" 2>&1 &
client=$!
answers() { grep -c "^$1" "$TEST_DIR/answers"; }
since() { tail -n +"$(($1 + 1))" "$TEST_DIR/answers" | sort | uniq -c; }

check "it becomes mission-critical" profile '"criticality":"mission-critical","load":"steady"'
check "the decision is another one" eventually 20 matches '^VirtualMachine$' k_field app/homepage .status.decision.isolation
check "both sides serve" eventually 120 matches 'Serving|Draining' k_field app/homepage .status.move.phase
check "it has moved" eventually 120 matches '^VirtualMachine 1 $' state
check_output "there are no containers any more" '^virtualmachine.kubevirt.io/homepage-0$' k get deployment,vm,hpa,pdb -o name
lines=$(wc -l <"$TEST_DIR/answers")
check "the machine answers" eventually 20 matches ' virtual' since "$lines"
check_output "and says why" 'Decision: VirtualMachine.*criticality mission-critical: ' explain homepage
check_output "events tell the story" 'Moving to VirtualMachine: criticality mission-critical.*Runs as VirtualMachine, and only there' \
	k get events --sort-by=.metadata.creationTimestamp --field-selector involvedObject.name=homepage

check "its load swings again" profile '"criticality":"standard","load":"variable"'
check "it moves back" eventually 120 matches '^Container 1 $' state
check_output "by then the guest has ended" '^0$' k_count vmi
lines=$(wc -l <"$TEST_DIR/answers")
check "the container answers" eventually 20 matches '^ +[0-9]+ container$' since "$lines"

on_node 1 touch /tmp/client-stop
wait $client
check "many requests were made ($(wc -l <"$TEST_DIR/answers"))" test "$(wc -l <"$TEST_DIR/answers")" -gt 100
check "both sides answered some ($(answers container) and $(answers virtual))" test "$(answers container)" -gt 10 -a "$(answers virtual)" -gt 10
check_output "none was lost" '^0$' bash -c "grep -vc '^\(container\|virtual\)$' '$TEST_DIR/answers' || true"
grep -v '^\(container\|virtual\)$' "$TEST_DIR/answers" | head -n 5 | sed 's/^/# /'
# Advice about what runs beside it, with what the node has measured.
cat >"$TEST_DIR/ledger.yaml" <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger, annotations: {hanok.io/criticality: mission-critical, hanok.io/data-sensitivity: restricted}}
spec:
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: "registry.lab:5000/web:latest"}]
END
advise() { "$LAB/bin/hanok" advise "$@" --kubeconfig "$KUBECONFIG_FILE" -n e2e-applications; }
check "a Deployment that says what it is" k apply -f "$TEST_DIR/ledger.yaml"
check "runs at its priority" eventually 60 matches '^1000000 Running$' k get pods -l app=ledger -o 'jsonpath={.items[0].spec.priority} {.items[0].status.phase}'
check "is measured, and advised to move" eventually 90 matches '"name": "ledger",.*"samples": [1-9].*"memoryPeakBytes": [1-9].*"recommended": "VirtualMachine".*"reasons".*mission-critical' \
	advise -o json --moves
check "delete it" k delete deployment ledger --timeout=120s

check "delete the application" k delete app homepage --timeout=120s
check "all goes with it" eventually 60 matches '^0$' k_count deployment,vm,vmi,service,pod
finish
