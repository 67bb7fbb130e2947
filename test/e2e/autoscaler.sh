#!/bin/bash
# A HorizontalPodAutoscaler that follows the real load of real containers, up and down.
. "$(dirname "$0")/../lib.sh"
use_lab
use_namespace e2e-autoscaler

k create -f - >/dev/null <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: load}
spec:
  selector: {matchLabels: {app: load}}
  template:
    metadata: {labels: {app: load}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: works
        image: registry.lab:5000/web:latest
        # Busy until it is told to stop.
        command: [sh, -c, "until [ -e /tmp/stop ]; do :; done; exec sleep 1000"]
        resources: {requests: {cpu: 50m}, limits: {cpu: 100m}}
END
check "kubectl autoscale" k autoscale deployment load --cpu-percent=50 --min=1 --max=3
# A window of five minutes is long for a test.
check "a short window downwards" k patch hpa load --type=merge -p '{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":5}}}}'
check "it scales up to its limit" eventually 150 matches '^3$' k get deployment load -o 'jsonpath={.spec.replicas}'
check "three pods are there" k rollout status deployment/load --timeout=120s
check_output "kubectl get hpa" 'load +Deployment/load +(cpu: )?[0-9]+%/50% +1 +3 +[123]' k get hpa load
check "its conditions" eventually 20 matches 'AbleToScale +True.*ScalingActive +True +ValidMetricFound +the HPA was able to successfully calculate a replica count from cpu resource utilization \(percentage of request\).*ScalingLimited' k describe hpa load
check "an event" eventually 20 matches 'SuccessfulRescale .*horizontal-pod-autoscaler +New size: [23]; reason: cpu resource utilization \(percentage of request\) above target' k describe hpa load

# Whoever comes while this goes on is told, too.
stop_all() {
	local pod
	for pod in $(k get pods -l app=load -o name); do k exec "$pod" -- touch /tmp/stop; done
	[ "$(k get deployment load -o 'jsonpath={.spec.replicas}')" = 1 ]
}
check "without load it scales down to one" eventually 150 stop_all
check "and says why" eventually 20 matches 'New size: 1; reason: All metrics below target' k describe hpa load
k delete hpa/load deployment/load --timeout=120s >/dev/null
finish
