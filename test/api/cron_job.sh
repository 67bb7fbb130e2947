#!/bin/bash
# Cron jobs and finished jobs that go by themselves. No test waits for a minute to come: a cron job that has not run
# for an hour is due at once. Nor does one come by itself: all are due at minutes of the hour that have just passed.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=*,-nodelifecycle' --scheduler=off
use_namespace cron

merge() { raw "$1" -X PATCH -H 'Content-Type: application/merge-patch+json' -d "$2" --fail-with-body -o /dev/null; }
api=/apis/batch/v1/namespaces/cron
# due NAME: as if it had last run an hour ago.
due() { merge "$api/cronjobs/$1/status" '{"status": {"lastScheduleTime": "'"$(date -u -d '-1 hour' +%FT%TZ)"'"}}'; }
# Two runs of the last hour that were missed: one 20 minutes ago and, with another schedule, one 10 minutes ago.
minute_ago() { date -u -d "-$1 minutes" +%-M; }
schedule="$(minute_ago 20) * * * *" later="$(minute_ago 10) * * * *"
reschedule() { k patch cronjob "$1" -p '{"spec": {"schedule": "'"$later"'"}}' >/dev/null; }
# cron_job NAME MEMBERS-OF-SPEC
cron_job() {
	k create -f - <<-END
		{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "$1"}, "spec": {"schedule": "$schedule", $2
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
check "a run that was missed is made up for" eventually 20 has_jobs allow 1
job=$(jobs_of allow)
check_output "named for its minute" '^allow-[0-9]{8}$' echo "$job"
check_output "by local time" '^20..-..-..T..:..:00\+09:00$' k_field "job/$job" '.metadata.annotations.batch\.kubernetes\.io/cronjob-scheduled-timestamp'
check "and told" eventually 20 matches "^$job Job batch/v1$" k_field cronjob/allow '.status.active[0].name' '.status.active[0].kind' '.status.active[0].apiVersion'
check_output "as kubectl shows it" "^allow +${schedule//\*/\\*} +(Asia/Seoul +)?False +1 +2[0-9]m" k get cronjob allow --no-headers
has_pod() { [ "$(k_count pods -l "job-name=$1")" = 1 ]; }
eventually 20 has_pod "$job"
end_job "$job" Succeeded
check "its end is seen" eventually 20 matches '^ 20' k_field cronjob/allow '.status.active' '.status.lastSuccessfulTime'
reschedule allow
new_job() { [ "$(jobs_of allow | grep -vc "$job")" = 1 ]; }
check "the next one" eventually 20 new_job
next=$(jobs_of allow | grep -v "$job")
eventually 20 has_pod "$next"
end_job "$next" Succeeded
check "takes the place of the last in history" eventually 20 matches "^$next\$" jobs_of allow
check "events say all of it" eventually 20 matches "SuccessfulCreate.*Created job $job.*SawCompletedJob.*Saw completed job: $job, condition: Complete.*SuccessfulDelete" k describe cronjob allow

cron_job forbid '"concurrencyPolicy": "Forbid",' >/dev/null
due forbid
check "one that forbids a second run" eventually 20 has_jobs forbid 1
reschedule forbid
check "has one only, and says so" eventually 20 matches 'JobAlreadyActive' k describe cronjob forbid

cron_job replace '"concurrencyPolicy": "Replace",' >/dev/null
k patch cronjob replace -p '{"spec": {"suspend": true}}' >/dev/null
due replace
check_output "one that is suspended runs nothing" '^$' jobs_of replace
k patch cronjob replace -p '{"spec": {"suspend": false}}' >/dev/null
check "until it goes on" eventually 20 has_jobs replace 1
job=$(jobs_of replace)
reschedule replace
replaced() { [ "$(jobs_of replace | grep -vc "$job")" = 1 ] && has_jobs replace 1; }
check "and replaces a run by the next" eventually 20 replaced

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
eventually 20 has_pod brief
end_job brief Succeeded
gone() { ! k get job brief; }
check "a finished job goes by itself" eventually 20 gone
no_pod() { [ "$(k_count pods -l job-name=brief)" = 0 ]; }
check "and its pod with it" eventually 20 no_pod
finish
