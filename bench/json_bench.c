/* json_bench.c - parse and write speed on a Pod of about 5.4 KB, against json-c in the same run.
 *
 *     json-bench [FILE]     FILE: another JSON text, for instance a stored object */
#include "bench/json_bench.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"

#include <fcntl.h>
#include <stdio.h>

#define RUN_NS (NS_PER_S / 4) /* a round; the best of ROUNDS counts */
#define ROUNDS 5

/* A Pod as a busy cluster has it: managed by a ReplicaSet, three containers, probes, a status. */
static void make_pod(struct buf *out)
{
	static const char *const names[] = {"frontend", "sidecar-proxy", "log-shipper"};

	buf_add_str(out,
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{"
		"\"name\":\"web-frontend-7d4b9c6f58-x2k9q\","
		"\"generateName\":\"web-frontend-7d4b9c6f58-\",\"namespace\":\"production\","
		"\"uid\":\"5b0c3b4e-8f4b-4f0e-9d38-2f1f6a7f0c11\","
		"\"resourceVersion\":\"1048576\","
		"\"creationTimestamp\":\"2024-03-01T12:34:56Z\","
		"\"labels\":{\"app\":\"web-frontend\",\"pod-template-hash\":\"7d4b9c6f58\","
		"\"tier\":\"frontend\",\"version\":\"v2.14.3\"},\"annotations\":{"
		"\"description\":\"Serves the \\\"shop\\\" pages\\nand nothing else\","
		"\"checksum/config\":"
		"\"b1946ac92492d2347c6235b4d2611184a7d3e0f5c6b8a9d0e1f2a3b4c5d6e7f8\"},"
		"\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\","
		"\"name\":\"web-frontend-7d4b9c6f58\","
		"\"uid\":\"d2719e2c-6e9a-4f1c-bd1b-6a0e7a9f3a52\",\"controller\":true,"
		"\"blockOwnerDeletion\":true}]},\"spec\":{\"volumes\":[{\"name\":\"config\","
		"\"configMap\":{\"name\":\"web-frontend\",\"defaultMode\":420}},"
		"{\"name\":\"cache\",\"emptyDir\":{\"sizeLimit\":\"1Gi\"}}],"
		"\"containers\":[");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		buf_printf(out,
			"%s{\"name\":\"%s\",\"image\":\"registry.example.com/shop/%s:v2.14.3\","
			"\"command\":[\"/usr/bin/%s\"],\"args\":[\"--listen=0.0.0.0:80%zu0\","
			"\"--config=/etc/web/config.yaml\",\"--verbosity=2\"],"
			"\"ports\":[{\"name\":\"http\",\"containerPort\":80%zu0,\"protocol\":"
			"\"TCP\"}],"
			"\"env\":[{\"name\":\"LOG_LEVEL\",\"value\":\"info\"},"
			"{\"name\":\"POD_IP\",\"valueFrom\":{\"fieldRef\":{\"apiVersion\":\"v1\","
			"\"fieldPath\":\"status.podIP\"}}},{\"name\":\"DB_PASSWORD\",\"valueFrom\":"
			"{\"secretKeyRef\":{\"name\":\"db\",\"key\":\"password\"}}}],"
			"\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":\"512Mi\"},"
			"\"requests\":{\"cpu\":\"250m\",\"memory\":\"256Mi\"}},"
			"\"volumeMounts\":[{\"name\":\"config\",\"readOnly\":true,"
			"\"mountPath\":\"/etc/web\"},{\"name\":\"cache\",\"mountPath\":\"/var/"
			"cache\"}],"
			"\"livenessProbe\":{\"httpGet\":{\"path\":\"/healthz\",\"port\":80%zu0,"
			"\"scheme\":\"HTTP\"},\"initialDelaySeconds\":10,\"timeoutSeconds\":1,"
			"\"periodSeconds\":10,\"successThreshold\":1,\"failureThreshold\":3},"
			"\"terminationMessagePath\":\"/dev/termination-log\","
			"\"terminationMessagePolicy\":\"File\",\"imagePullPolicy\":"
			"\"IfNotPresent\"}",
			i ? "," : "", names[i], names[i], names[i], i, i, i);
	buf_add_str(out, "],\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,"
			 "\"dnsPolicy\":\"ClusterFirst\",\"serviceAccountName\":\"default\","
			 "\"nodeName\":\"node-17\",\"securityContext\":{},"
			 "\"schedulerName\":\"default-scheduler\",\"tolerations\":[{"
			 "\"key\":\"node.kubernetes.io/not-ready\",\"operator\":\"Exists\","
			 "\"effect\":\"NoExecute\",\"tolerationSeconds\":300}],\"priority\":0},"
			 "\"status\":{\"phase\":\"Running\",\"conditions\":[");
	for (size_t i = 0; i < 4; i++)
		buf_printf(out,
			"%s{\"type\":\"%s\",\"status\":\"True\",\"lastProbeTime\":null,"
			"\"lastTransitionTime\":\"2024-03-01T12:35:0%zuZ\"}",
			i ? "," : "",
			((const char *[]){
				"Initialized", "Ready", "ContainersReady", "PodScheduled"})[i],
			i);
	buf_add_str(out,
		"],\"hostIP\":\"192.0.2.17\",\"podIP\":\"10.42.3.7\","
		"\"podIPs\":[{\"ip\":\"10.42.3.7\"}],\"startTime\":\"2024-03-01T12:34:56Z\","
		"\"containerStatuses\":[");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		buf_printf(out,
			"%s{\"name\":\"%s\",\"state\":{\"running\":{\"startedAt\":"
			"\"2024-03-01T12:35:01Z\"}},\"lastState\":{},\"ready\":true,"
			"\"restartCount\":0,"
			"\"image\":\"registry.example.com/shop/%s:v2.14.3\",\"imageID\":"
			"\"registry.example.com/shop/%s@sha256:"
			"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\","
			"\"containerID\":\"containerd://"
			"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752\","
			"\"started\":true}",
			i ? "," : "", names[i], names[i], names[i]);
	buf_add_str(out, "],\"qosClass\":\"Burstable\"}}");
}

static int read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char room[65536];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, room, sizeof(room))) > 0)
		buf_add(out, room, (size_t)n);
	close(fd);
	return n < 0 ? -EIO : 0;
}

static int64_t now_ns(void)
{
	struct clock *c = clock_system();

	return c->mono_ns(c);
}

double bench_measure(void (*step)(void *user), void *user, size_t size)
{
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		int64_t start = now_ns(), spent;
		size_t count = 0;

		do {
			for (int i = 0; i < 32; i++)
				step(user);
			count += 32;
			spent = now_ns() - start;
		} while (spent < RUN_NS);
		best = MAX(best, (double)(count * size) * 1e3 / (double)spent);
	}
	return best;
}

struct job {
	struct arena arena;
	struct buf text, out;
	struct json *v;
};

static void step_parse(void *user)
{
	struct job *job = user;

	arena_reset(&job->arena);
	if (json_parse(&job->arena, job->text.data, job->text.size, NULL, &job->v, NULL) < 0)
		abort();
}

static void step_write(void *user)
{
	struct job *job = user;

	buf_clear(&job->out);
	json_write(&job->out, job->v);
}

static void step_lookup(void *user)
{
	struct job *job = user;

	if (!json_path_str(job->v, "status.phase"))
		abort();
}

int main(int argc, char **argv)
{
	struct job job = {0};
	double lookups;

	if (argc > 1) {
		if (read_file(argv[1], &job.text) < 0) {
			fprintf(stderr, "%s: can't read\n", argv[1]);
			return 1;
		}
	} else {
		make_pod(&job.text);
	}
	step_parse(&job);
	printf("text of %zu bytes\n", job.text.size);
	printf("hanok   parse %7.1f MB/s", bench_measure(step_parse, &job, job.text.size));
	printf("   write %7.1f MB/s", bench_measure(step_write, &job, job.text.size));
	printf("   memory %.2fx of the text\n",
		(double)job.arena.used_bytes / (double)job.text.size);
	if (json_path_str(job.v, "status.phase")) {
		lookups = bench_measure(step_lookup, &job, 1);
		printf("hanok   lookup of status.phase %.1f ns\n", 1e3 / lookups);
	}
#ifdef HAVE_JSON_C
	bench_json_c(job.text.data, job.text.size);
#else
	printf("json-c  not built in (libjson-c-dev)\n");
#endif
	buf_finish(&job.text);
	buf_finish(&job.out);
	arena_finish(&job.arena);
	return 0;
}
