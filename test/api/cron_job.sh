#!/bin/bash
# Cron jobs and finished jobs that go by themselves. No test waits for a minute to come: a cron job that has not run
# for an hour is due at once.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=*,-nodelifecycle' --scheduler=off
use_namespace cron

merge() { raw "$1" -X PATCH -H 'Content-Type: application/merge-patch+json' -d "$2" --fail-with-body -o /dev/null; }
api=/apis/batch/v1/namespaces/cron
# due NAME: as if it had last run an hour ago.
due() { merge "$api/cronjobs/$1/status" '{"status": {"lastScheduleTime": "'"$(date -u -d '-1 hour' +%FT%TZ)"'"}}'; }
# Another run in the same minute: of even minutes and then of odd ones.
even='*/2 * * * *' odd='1-59/2 * * * *'
reschedule() { k patch cronjob "$1" -p '{"spec": {"schedule": "'"$odd"'"}}' >/dev/null && due "$1"; }
# cron_job NAME MEMBERS-OF-SPEC
cron_job() {
	k create -f - <<-END
		{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "$1"}, "spec": {"schedule": "$even", $2
		"jobTemplate": {"metadata": {"labels": {"of": "$1"}}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}}
	END
}
end_job() {
	local now
	now=$(date -u +%FT%TZ)
	for pod in $(k get pods -l "job-name=$1" -o name); do
		merge "/api/v1/namespaces/cron/pods/${pod#pod/}/status" '{"status": {"phase": "'"$2"'", "containerStatuses": [{"name": "c", "image": "i",
			"imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 0, "finishedAt": "'"$now"'"}}}]}}'
	done
}
jobs_of() { k get jobs -l "of=$1" -o name | sed 's|.*/||'; }
has_jobs() { [ "$(jobs_of "$1" | wc -l)" = "$2" ]; }

cron_job allow '"timeZone": "Asia/Seoul", "successfulJobsHistoryLimit": 1,' >/dev/null
due allow
check "a run that was missed is made up for" eventually 10 has_jobs allow 1
job=$(jobs_of allow)
check_output "named for its minute" '^allow-[0-9]{8}$' echo "$job"
check_output "by local time" '^20..-..-..T..:..:00\+09:00$' k_field "job/$job" '.metadata.annotations.batch\.kubernetes\.io/cronjob-scheduled-timestamp'
check_output "and told" "^$job Job batch/v1$" k_field cronjob/allow '.status.active[0].name' '.status.active[0].kind' '.status.active[0].apiVersion'
check_output "as kubectl shows it" '^allow +\*/2 \* \* \* \* +(Asia/Seoul +)?False +1 +[0-9]+s' k get cronjob allow --no-headers
has_pod() { [ "$(k_count pods -l "job-name=$1")" = 1 ]; }
eventually 10 has_pod "$job"
end_job "$job" Succeeded
check "its end is seen" eventually 10 matches '^ 20' k_field cronjob/allow '.status.active' '.status.lastSuccessfulTime'
reschedule allow
new_job() { [ "$(jobs_of allow | grep -vc "$job")" = 1 ]; }
check "the next one" eventually 10 new_job
next=$(jobs_of allow | grep -v "$job")
eventually 10 has_pod "$next"
end_job "$next" Succeeded
check "takes the place of the last in history" eventually 10 matches "^$next\$" jobs_of allow
check_output "events say all of it" "SuccessfulCreate.*Created job $job.*SawCompletedJob.*Saw completed job: $job, condition: Complete.*SuccessfulDelete" k describe cronjob allow

cron_job forbid '"concurrencyPolicy": "Forbid",' >/dev/null
due forbid
check "one that forbids a second run" eventually 10 has_jobs forbid 1
reschedule forbid
check "has one only, and says so" eventually 10 matches 'JobAlreadyActive' k describe cronjob forbid

cron_job replace '"concurrencyPolicy": "Replace",' >/dev/null
k patch cronjob replace -p '{"spec": {"suspend": true}}' >/dev/null
due replace
check_output "one that is suspended runs nothing" '^$' jobs_of replace
k patch cronjob replace -p '{"spec": {"suspend": false}}' >/dev/null
check "until it goes on" eventually 10 has_jobs replace 1
job=$(jobs_of replace)
reschedule replace
replaced() { [ "$(jobs_of replace | grep -vc "$job")" = 1 ] && has_jobs replace 1; }
check "and replaces a run by the next" eventually 10 replaced

cron_job never '"schedule": "0 0 30 2 *",' >/dev/null
due never
check_output "a day that never comes" '^$' jobs_of never
k create job by-hand --from=cronjob/allow >/dev/null
check_output "a run by hand" '^allow manual' k_field job/by-hand '.metadata.ownerReferences[0].name' '.metadata.annotations.cronjob\.kubernetes\.io/instantiate'
check_refused "a zone that there is not" 'unknown time zone Asia/Nowhere' cron_job bad '"timeZone": "Asia/Nowhere",'
check_refused "nor is a folder one" 'unknown time zone Asia' cron_job bad '"timeZone": "Asia",'

k create -f - >/dev/null <<-END
	{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "brief"}, "spec": {"ttlSecondsAfterFinished": 1,
	"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}
END
eventually 10 has_pod brief
end_job brief Succeeded
gone() { ! k get job brief; }
check "a finished job goes by itself" eventually 10 gone
no_pod() { [ "$(k_count pods -l job-name=brief)" = 0 ]; }
check "and its pod with it" eventually 10 no_pod
finish
