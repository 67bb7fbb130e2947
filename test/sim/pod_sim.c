/* pod_sim.c - the pods of a node on a runtime that hangs, fails and answers nonsense: the real pod
 * manager under a virtual clock, beside fake_api.h and fake_runtime.h. Logs go to /var/log/pods, so
 * the test sees a /var/log of its own or is skipped. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/log.h"
#include "lib/client/wakeup.h"
#include "node/net/net.h"
#include "node/net/policy/policies.h"
#include "node/pod/pod_internal.h"
#include "node/resources/cgroup.h"
#include "node/resources/resources.h"
#include "node/volume/file_work.h"
#include "node/volume/volume.h"
#include "test/sim/fake_api.h"
#include "test/sim/fake_runtime.h"

#define S INT64_C(1000)

struct world {
	struct sim_clock clock;
	struct random random;
	struct kind_registry *kinds;
	struct fake_api *api;
	struct fake_runtime *runtime;
	struct node node;
	char dir[64];
	/* the script: this method of this pod answers so; NULL = any */
	const char *method, *pod;
	enum fake_answer answer;
	bool no_image; /* it must be pulled */
	unsigned trouble_percent;
	unsigned failed_sandboxes; /* events */
};

/* ---- what the manager needs of a node ---- */

void node_report(
	struct node *n, const char *part, bool ready, const char *reason, const char *message)
{
}

void net_pods_listed(struct node_net *net)
{
}

void net_pod_changed(struct node_net *net, const struct object *old, const struct object *new)
{
}

/* Control groups would be the host's. */
struct resources_call {
	void (*done)(void *user, const struct err *err);
	void *user;
	struct wakeup *at;
};
static struct clock *resources_clock;
static const struct node_amounts amounts = {.cpu_milli = 4000, .memory_bytes = INT64_C(8) << 30};
static const struct qos_rules rules = {.node_memory = INT64_C(8) << 30};
static const struct cgroup_tree cgroups = {.version = 2};

void resources_set_driver(struct resources *r, bool systemd)
{
}

const struct node_amounts *resources_capacity(const struct resources *r)
{
	return &amounts;
}

const struct node_amounts *resources_allocatable(const struct resources *r)
{
	return &amounts;
}

const struct qos_rules *resources_rules(const struct resources *r)
{
	return &rules;
}

const struct cgroup_tree *resources_cgroups(const struct resources *r)
{
	return &cgroups;
}

void resources_pod_adopt(struct resources *r, const struct json *pod)
{
}

void resources_pod_cgroup_remove(struct resources *r, const char *uid)
{
}

void resources_sweep(struct resources *r, bool (*known)(void *user, const char *uid), void *user)
{
}

int resources_pod_cgroup_update(struct resources *r, const struct json *pod, struct err *err)
{
	return 0;
}

const char *resources_pod_cgroup_parent(
	struct resources *r, struct arena *a, const struct json *pod)
{
	return "";
}

void resources_call_cancel(struct resources_call *c)
{
	if (!c)
		return;
	wakeup_destroy(c->at);
	free(c);
}

static void on_group(void *user)
{
	struct resources_call c = *(struct resources_call *)user;

	resources_call_cancel(user);
	c.done(c.user, NULL);
}

struct resources_call *resources_pod_cgroup_make(struct resources *r, const struct json *pod,
	void (*done)(void *user, const struct err *err), void *user)
{
	struct resources_call *c = xcalloc(1, sizeof(*c));

	*c = (struct resources_call){done, user, NULL};
	c->at = wakeup_create(NULL, resources_clock, on_group, c);
	wakeup_in(c->at, 1);
	return c;
}

/* Network policies know an address a little later. Which pod they heard of last, and whose
 * addresses. */
static char told[64], admitted[64];

struct policies {
	struct clock *clock;
};
struct policy_admission {
	struct wakeup *at;
	policy_admitted *done;
	void *user;
};

static void on_admitted(void *user)
{
	struct policy_admission a = *(struct policy_admission *)user;

	wakeup_destroy(a.at);
	free(user);
	a.done(a.user, NULL);
}

struct policy_admission *policies_admit(struct policies *p, const char *uid,
	const struct net_port *port, const struct net_address *addresses, size_t count,
	policy_admitted *done, void *user)
{
	struct policy_admission *a;

	snprintf(admitted, sizeof(admitted), "%s", uid);
	if (!done)
		return NULL;
	a = xcalloc(1, sizeof(*a));
	*a = (struct policy_admission){wakeup_create(NULL, p->clock, on_admitted, a), done, user};
	wakeup_in(a->at, 2);
	return a;
}

int ports_read_cni(
	const char *directory, const char *network, const char *sandbox, struct net_port *ret)
{
	return -ENOENT;
}

void policies_admit_cancel(struct policy_admission *a)
{
	if (!a)
		return;
	wakeup_destroy(a->at);
	free(a);
}

void net_mirror_changed(struct node_net *net, const struct object *old, const struct object *new)
{
}

void policies_changed(struct policies *p, const struct object *old, const struct object *new)
{
	snprintf(told, sizeof(told), "%s", new->uid);
}

void policies_ended(struct policies *p, const char *uid)
{
}

struct file_work {
	struct clock *clock;
};
struct file_job {
	file_job_run *run;
	file_job_done *done;
	void *user;
	struct wakeup *at;
};

static void on_job(void *user)
{
	struct file_job j = *(struct file_job *)user;

	wakeup_destroy(j.at);
	free(user);
	j.run(j.user);
	j.done(j.user, false);
}

struct file_job *file_work_queue(
	struct file_work *f, const char *key, file_job_run *run, file_job_done *done, void *user)
{
	struct file_job *j = xcalloc(1, sizeof(*j));

	*j = (struct file_job){run, done, user, NULL};
	j->at = wakeup_create(NULL, f->clock, on_job, j);
	wakeup_in(j->at, 1);
	return j;
}

void file_job_cancel(struct file_job *j)
{
	if (!j)
		return;
	j->done(j->user, true);
	wakeup_destroy(j->at);
	free(j);
}

/* ---- the world ---- */

static enum fake_answer script(void *user, const char *method, const char *pod)
{
	struct world *w = user;

	if (w->no_image && streq(method, "ImageStatus"))
		return FAKE_NONSENSE;
	if (w->method && !streq(w->method, method))
		return FAKE_RIGHT;
	if (w->pod && !streq(w->pod, pod))
		return FAKE_RIGHT;
	if (w->trouble_percent) {
		if (random_below(&w->random, 100) >= w->trouble_percent)
			return FAKE_RIGHT;
		/* Who is told at its start that nothing runs must believe it. */
		return (enum fake_answer)(1 + random_below(&w->random, FAKE_NONSENSE));
	}
	return w->answer;
}

static void on_change(void *user, const struct object *old, const struct object *new)
{
	struct world *w = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (!new || !streq(new->kind->kind, "Event"))
		return;
	const struct json *doc = object_doc(new, &a);
	if (streq(json_path_str(doc, "reason"), "FailedCreatePodSandBox"))
		w->failed_sandboxes++;
}

static void agent_begin(struct world *w)
{
	struct err err = ERR_INIT;

	w->node.client = fake_api_client(w->api, "kubelet");
	if (pod_manager_create(&w->node, &w->node.pods, &err) < 0)
		fail_msg("%s", err.msg);
}

static void agent_end(struct world *w)
{
	pod_manager_destroy(w->node.pods);
	client_destroy(w->node.client);
}

static void begin(struct world *w, uint64_t seed)
{
	struct err err = ERR_INIT;
	static struct file_work files;
	static struct policies policies;

	*w = (struct world){.random = random_seeded(seed)};
	log_set_level(LOG_ERROR + 1);
	sim_clock_init(&w->clock);
	files.clock = resources_clock = policies.clock = &w->clock.clock;
	w->kinds = kind_registry_create();
	if (kind_registry_load_builtin(w->kinds, &err) < 0)
		fail_msg("%s", err.msg);
	w->api = fake_api_create(w->kinds, &w->clock.clock, &w->random);
	fake_api_on_change(w->api, on_change, w);
	fake_api_create_text(
		w->api, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'default'}}");
	w->runtime = fake_runtime_create(&w->clock.clock);
	fake_runtime_script(w->runtime, script, w);
	snprintf(w->dir, sizeof(w->dir), "/tmp/pod_sim.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->node = (struct node){
		.clock = &w->clock.clock,
		.kinds = w->kinds,
		.config = node_config_default(),
		.name = "node1",
		.data_dir = w->dir,
		.cri_address = "unix:///fake",
		.host_ip = "10.0.0.1",
		.files = &files,
		.policies = &policies,
		.object = fake_api_create_text(w->api,
			"{'apiVersion':'v1','kind':'Node','metadata':{'name':'node1'},'status':{"
			"'allocatable':{'cpu':'4','memory':'8Gi','pods':'110'}}}"),
	};
	agent_begin(w);
}

static void end(struct world *w)
{
	agent_end(w);
	fake_runtime_destroy(w->runtime);
	fake_api_destroy(w->api);
	kind_registry_destroy(w->kinds);
	if (volumes_remove(w->dir, NULL) < 0)
		fail_msg("%s could not be removed", w->dir);
}

static void create(struct world *w, const char *name, const char *args, const char *more)
{
	fake_api_create_text(w->api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'default'},"
		"'spec':{'nodeName':'node1','terminationGracePeriodSeconds':5,'containers':[{'name'"
		":"
		"'main','image':'x:1','imagePullPolicy':'IfNotPresent','args':[%s]}]%s}}",
		name, args, more);
}

/* The rule of rules: nothing runs twice. */
static void rule(struct world *w)
{
	static const char *const names[] = {"a", "b", "c", "d"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_true(fake_runtime_containers(w->runtime, names[i], true) <= 1);
}

static void run(struct world *w, int64_t ms)
{
	int64_t end_ns = w->clock.now_ns + ms * NS_PER_MS;

	for (;;) {
		int64_t next_ns = wakeup_run_due(&w->clock.clock);
		rule(w);
		if (next_ns > end_ns)
			break;
		w->clock.now_ns = next_ns;
	}
	w->clock.now_ns = end_ns;
}

static bool has(struct world *w, const char *pod, const char *path, const char *value)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *o = fake_api_get(w->api, "Pod", "default", pod);

	if (!o)
		return value == NULL;
	return streq(json_path_str(object_doc(o, &a), path), value);
}

static bool running(struct world *w, const char *pod)
{
	return has(w, pod, "status.phase", "Running") &&
	       fake_runtime_containers(w->runtime, pod, true) == 1;
}

static bool gone(struct world *w, const char *pod)
{
	return !fake_api_get(w->api, "Pod", "default", pod) &&
	       fake_runtime_sandboxes(w->runtime, pod, false) == 0 &&
	       fake_runtime_containers(w->runtime, pod, true) == 0;
}

static int64_t restarts(struct world *w, const char *pod)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *o = fake_api_get(w->api, "Pod", "default", pod);
	const struct json *s = json_at(json_path(object_doc(o, &a), "status.containerStatuses"), 0);

	return json_int_or(json_get(s, "restartCount"), -1);
}

/* ---- tests ---- */

static void a_life(void **state)
{
	struct world w;

	begin(&w, 1);
	create(&w, "a", "", "");
	create(&w, "b", "'exit','0','2000'", ",'restartPolicy':'Never'");
	create(&w, "c", "'exit','3','1000'", "");
	run(&w, S);
	assert_true(running(&w, "a") && running(&w, "b"));
	run(&w, 60 * S);
	assert_true(has(&w, "b", "status.phase", "Succeeded"));
	/* At once, then after 10 s, 20 s: three more within the minute. */
	assert_int_equal(restarts(&w, "c"), 3);
	/* Another agent finds it all, and the back-off goes on: 40 s. */
	agent_end(&w);
	agent_begin(&w);
	run(&w, 10 * S);
	assert_int_equal(restarts(&w, "c"), 3);
	assert_int_equal(fake_runtime_containers(w.runtime, "a", false), 1);
	run(&w, 30 * S);
	assert_int_equal(restarts(&w, "c"), 4);
	/* The machine is switched off and on. */
	fake_runtime_crash(w.runtime);
	run(&w, 20 * S);
	assert_true(running(&w, "a"));
	assert_int_equal(restarts(&w, "a"), 1);
	assert_true(has(&w, "b", "status.phase", "Succeeded"));
	for (const char *p = "abc"; *p; p++)
		fake_api_delete(w.api, "Pod", "default", (char[]){*p, 0}, -1, NULL);
	run(&w, 10 * S);
	assert_true(gone(&w, "a") && gone(&w, "b") && gone(&w, "c"));
	end(&w);
}

static bool has_file(struct world *w, const char *pod, const char *path)
{
	struct object *o = fake_api_get(w->api, "Pod", "default", pod);
	_cleanup_(free_p) char *file = xasprintf("%s/pods/%s/%s", w->dir, o->uid, path);

	return access(file, F_OK) == 0;
}

/* Who is over keeps containers and logs, not volumes, whoever asks later. */
static void over_without_volumes(void **state)
{
	static const char *const more =
		",'restartPolicy':'Never','volumes':[{'name':'v','emptyDir':{}}]";
	struct world w;

	begin(&w, 7);
	create(&w, "a", "'exit','0','2000'", more);
	create(&w, "b", "'exit','3','2000'", more);
	create(&w, "c", "", more);
	run(&w, S);
	for (const char *p = "abc"; *p; p++)
		assert_true(has_file(&w, (char[]){*p, 0}, "volumes/v"));
	run(&w, 30 * S);
	assert_true(has(&w, "a", "status.phase", "Succeeded"));
	assert_true(has(&w, "b", "status.phase", "Failed"));
	assert_true(running(&w, "c"));
	for (int agents = 0; agents < 2; agents++) {
		for (const char *p = "ab"; *p; p++) {
			char *pod = (char[]){*p, 0};
			assert_true(has_file(&w, pod, "") && !has_file(&w, pod, "volumes"));
			assert_int_equal(fake_runtime_containers(w.runtime, pod, false), 1);
		}
		assert_true(has_file(&w, "c", "volumes/v"));
		agent_end(&w);
		agent_begin(&w);
		run(&w, 20 * S);
	}
	/* It ends while no agent is there; the one that finds it has its volumes to remove. */
	create(&w, "d", "'exit','0','2000'", more);
	run(&w, S);
	assert_true(has_file(&w, "d", "volumes/v"));
	agent_end(&w);
	w.clock.now_ns += 10 * S * NS_PER_MS;
	agent_begin(&w);
	run(&w, 20 * S);
	assert_true(has(&w, "d", "status.phase", "Succeeded"));
	assert_false(has_file(&w, "d", "volumes"));
	for (const char *p = "abcd"; *p; p++)
		fake_api_delete(w.api, "Pod", "default", (char[]){*p, 0}, -1, NULL);
	run(&w, 10 * S);
	for (const char *p = "abcd"; *p; p++)
		assert_true(gone(&w, (char[]){*p, 0}));
	end(&w);
}

/* A pod that was deleted by force while no agent was there has its volumes until it is removed. */
static void what_is_left_has_its_volumes(void **state)
{
	struct world w;
	struct object *o;

	begin(&w, 11);
	create(&w, "a", "", ",'volumes':[{'name':'v','emptyDir':{}}]");
	run(&w, 2 * S);
	assert_true(running(&w, "a"));
	o = fake_api_get(w.api, "Pod", "default", "a");
	_cleanup_(free_p) char *link = xasprintf("%s/pods/%s/volumes/disk", w.dir, o->uid);
	assert_int_equal(symlink("/local/pvc-1", link), 0); /* as claim_volume.c makes it */
	assert_false(pod_manager_left_with(w.node.pods, "/local/pvc-1")); /* it is a pod here */
	agent_end(&w);
	fake_api_delete(w.api, "Pod", "default", "a", 0, NULL);
	assert_int_equal(fake_runtime_containers(w.runtime, "a", true), 1);
	agent_begin(&w);
	assert_true(pod_manager_left_with(w.node.pods, "/local/pvc-1"));
	assert_false(pod_manager_left_with(w.node.pods, "/local/pvc-2"));
	run(&w, 40 * S);
	assert_int_equal(fake_runtime_containers(w.runtime, "a", true), 0);
	assert_false(pod_manager_left_with(w.node.pods, "/local/pvc-1"));
	end(&w);
}

static void one_hangs_others_run(void **state)
{
	static const char *const methods[] = {
		"RunPodSandbox", "PodSandboxStatus", "CreateContainer", "StartContainer"};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		struct world w;
		begin(&w, 2);
		w.method = methods[i];
		w.pod = "a";
		w.answer = FAKE_HANG;
		create(&w, "a", "", "");
		create(&w, "b", "", "");
		run(&w, 2 * S);
		assert_true(running(&w, "b") && !running(&w, "a"));
		run(&w, 300 * S);
		assert_true(running(&w, "b"));
		assert_int_equal(fake_runtime_containers(w.runtime, "b", false), 1);
		assert_int_equal(w.failed_sandboxes > 0, i == 0);
		w.answer = FAKE_RIGHT;
		run(&w, 250 * S);
		assert_true(running(&w, "a"));
		end(&w);
	}
}

/* Policies could not hold for it. */
static void without_an_address_nothing_starts(void **state)
{
	struct world w;

	begin(&w, 9);
	w.method = "PodSandboxStatus";
	w.answer = FAKE_NOTHING;
	create(&w, "a", "", "");
	create(&w, "b", "", "");
	create(&w, "host", "", ",'hostNetwork':true");
	run(&w, 60 * S);
	assert_int_equal(fake_runtime_containers(w.runtime, "a", false), 0);
	assert_true(w.failed_sandboxes > 0);
	assert_true(running(&w, "host"));
	/* It can be deleted. */
	fake_api_delete(w.api, "Pod", "default", "b", -1, NULL);
	run(&w, 20 * S);
	assert_true(gone(&w, "b"));
	w.answer = FAKE_RIGHT;
	run(&w, 5 * S);
	assert_true(running(&w, "a"));
	/* One that runs is not ended for it. */
	agent_end(&w);
	w.answer = FAKE_NOTHING;
	agent_begin(&w);
	run(&w, 10 * S);
	assert_true(running(&w, "a"));
	assert_int_equal(fake_runtime_containers(w.runtime, "a", false), 1);
	end(&w);
}

static void what_can_not_be_stopped(void **state)
{
	static const char *const methods[] = {
		"StopContainer", "StopPodSandbox", "RemoveContainer", "RemovePodSandbox"};

	for (size_t i = 0; i < 2 * ARRAY_LEN(methods); i++) {
		struct world w;
		begin(&w, 3);
		create(&w, "a", "'stubborn'", "");
		create(&w, "b", "", "");
		run(&w, 2 * S);
		w.method = methods[i / 2];
		w.pod = "a";
		w.answer = i % 2 ? FAKE_HANG : FAKE_FAIL;
		fake_api_delete(w.api, "Pod", "default", "a", -1, NULL);
		fake_api_delete(w.api, "Pod", "default", "b", -1, NULL);
		run(&w, 20 * S);
		assert_true(gone(&w, "b"));
		/* As long as something is left the object is, too. */
		assert_non_null(fake_api_get(w.api, "Pod", "default", "a"));
		run(&w, 600 * S);
		assert_non_null(fake_api_get(w.api, "Pod", "default", "a"));
		w.answer = FAKE_RIGHT;
		run(&w, 300 * S);
		assert_true(gone(&w, "a"));
		end(&w);
	}
}

static void too_many_containers(void **state)
{
	_cleanup_(buf_finish) struct buf list = BUF_INIT;
	struct world w;

	begin(&w, 6);
	for (int i = 0; i <= 256; i++)
		buf_printf(&list, "%s{'name':'c%d','image':'x:1'}", i ? "," : "", i);
	fake_api_create_text(w.api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','namespace':'default'},'"
		"spec':{"
		"'nodeName':'node1','containers':[%s]}}",
		list.data);
	run(&w, 2 * S);
	assert_true(has(&w, "a", "status.phase", "Failed"));
	assert_true(has(&w, "a", "status.reason", "UnexpectedAdmissionError"));
	assert_int_equal(fake_runtime_sandboxes(w.runtime, "a", false), 0);
	fake_api_delete(w.api, "Pod", "default", "a", -1, NULL);
	run(&w, 5 * S);
	assert_true(gone(&w, "a"));
	end(&w);
}

/* The time it has to end in is one, however many agents see to it. */
static void grace_is_given_once(void **state)
{
	struct world w;

	begin(&w, 8);
	fake_api_create_text(w.api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','namespace':'default'},"
		"'spec':{'nodeName':'node1','terminationGracePeriodSeconds':40,'containers':[{"
		"'name':'main','image':'x:1','imagePullPolicy':'IfNotPresent','args':['stubborn']}]"
		"}}");
	run(&w, 2 * S);
	assert_true(running(&w, "a"));
	/* Nobody was there to ask it to end: the time begins with who does. */
	agent_end(&w);
	fake_api_delete(w.api, "Pod", "default", "a", -1, NULL);
	run(&w, 60 * S);
	agent_begin(&w);
	for (int i = 0; i < 3; i++) {
		run(&w, 10 * S);
		assert_true(running(&w, "a"));
		agent_end(&w);
		agent_begin(&w);
	}
	run(&w, 15 * S);
	assert_true(gone(&w, "a"));
	end(&w);
}

/* Policies know a pod of a file by the uid that its addresses come under, not by its mirror's. */
static void policies_know_static_pods(void **state)
{
	static const char text[] =
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"s-node1\","
		"\"namespace\":\"default\",\"uid\":\"of-a-file\"},\"spec\":{\"nodeName\":\"node1\","
		"\"containers\":[{\"name\":\"main\",\"image\":\"x:1\",\"imagePullPolicy\":"
		"\"IfNotPresent\"}]}}";
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc;
	struct world w;

	begin(&w, 9);
	run(&w, 1 * S);
	assert_int_equal(json_parse(&a, text, sizeof(text) - 1, NULL, &doc, NULL), 0);
	struct object *pod = object_new(kind_by_resource(w.kinds, "", "v1", "pods"), &a, doc, 0);
	told[0] = admitted[0] = '\0';
	pod_manager_offer(w.node.pods, pod);
	run(&w, 3 * S);
	assert_int_equal(fake_runtime_containers(w.runtime, "s-node1", true), 1);
	assert_string_equal(told, "of-a-file");
	assert_string_equal(admitted, "of-a-file");
	object_unref(pod);
	end(&w);
}

/* A pull or a hook that takes for ever is no reason to stay. */
static void leaving_gives_up(void **state)
{
	static const char *const methods[] = {"PullImage", "ExecSync"};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		struct world w;
		begin(&w, 5);
		w.no_image = i == 0;
		w.method = methods[i];
		w.answer = FAKE_HANG;
		fake_api_create_text(w.api,
			"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','namespace':"
			"'default'},'spec':{'nodeName':'node1','terminationGracePeriodSeconds':5,"
			"'containers':[{'name':'main','image':'x:1','imagePullPolicy':'"
			"IfNotPresent',"
			"'lifecycle':{'postStart':{'exec':{'command':['x']}}}}]}}");
		run(&w, 20 * S);
		/* Not before the hook has ended. */
		assert_true(has(&w, "a", "status.phase", "Pending"));
		assert_int_equal(fake_runtime_containers(w.runtime, "a", true), i);
		fake_api_delete(w.api, "Pod", "default", "a", -1, NULL);
		run(&w, 3 * S);
		assert_true(gone(&w, "a"));
		end(&w);
	}
}

static void nonsense_is_not_believed(void **state)
{
	static const char *const methods[] = {"ListPodSandbox", "ListContainers",
		"PodSandboxStatus", "ContainerStatus", "RunPodSandbox", "CreateContainer",
		"ImageStatus", NULL};

	for (size_t i = 0; i < 2 * ARRAY_LEN(methods); i++) {
		struct world w;
		begin(&w, 4);
		create(&w, "a", "", "");
		run(&w, 2 * S);
		assert_true(running(&w, "a"));
		w.method = methods[i / 2];
		w.answer = i % 2 ? FAKE_NONSENSE : FAKE_NOTHING;
		create(&w, "b", "", "");
		run(&w, 100 * S);
		/* What ran still does, and was not made anew. */
		assert_int_equal(fake_runtime_containers(w.runtime, "a", true), 1);
		assert_int_equal(fake_runtime_containers(w.runtime, "a", false), 1);
		w.answer = FAKE_RIGHT;
		run(&w, 200 * S);
		assert_true(running(&w, "a") && running(&w, "b"));
		assert_int_equal(fake_runtime_containers(w.runtime, "a", false), 1);
		end(&w);
	}
}

static void anything_may_happen(void **state)
{
	for (uint64_t seed = 10; seed < 30; seed++) {
		struct world w;
		begin(&w, seed);
		w.trouble_percent = 15;
		create(&w, "a", "", "");
		create(&w, "b", "'exit','1','30000'", "");
		create(&w, "c", "'stubborn'", ",'restartPolicy':'OnFailure'");
		create(&w, "d", "'exit','0','5000'", ",'restartPolicy':'Never'");
		for (int n = 0; n < 10; n++) {
			run(&w, (int64_t)random_below(&w.random, 100) * S);
			if (random_below(&w.random, 3) == 0) {
				agent_end(&w);
				agent_begin(&w);
			}
			if (random_below(&w.random, 10) == 0)
				fake_runtime_crash(w.runtime);
		}
		w.trouble_percent = 0;
		run(&w, 900 * S);
		if (!running(&w, "a") || !running(&w, "c"))
			fail_msg("seed %llu", (unsigned long long)seed);
		assert_true(has(&w, "b", "status.phase", "Running"));
		assert_true(has(&w, "d", "status.phase", "Succeeded") ||
			    has(&w, "d", "status.phase", "Failed"));
		for (const char *p = "abcd"; *p; p++)
			fake_api_delete(w.api, "Pod", "default", (char[]){*p, 0}, -1, NULL);
		run(&w, 60 * S);
		for (const char *p = "abcd"; *p; p++)
			assert_true(gone(&w, (char[]){*p, 0}));
		end(&w);
	}
}

static bool own_logs(void)
{
	if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("logs", "/var/log", "tmpfs", 0, NULL) == 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_life),
		cmocka_unit_test(over_without_volumes),
		cmocka_unit_test(what_is_left_has_its_volumes),
		cmocka_unit_test(one_hangs_others_run),
		cmocka_unit_test(without_an_address_nothing_starts),
		cmocka_unit_test(what_can_not_be_stopped),
		cmocka_unit_test(too_many_containers),
		cmocka_unit_test(leaving_gives_up),
		cmocka_unit_test(grace_is_given_once),
		cmocka_unit_test(policies_know_static_pods),
		cmocka_unit_test(nonsense_is_not_believed),
		cmocka_unit_test(anything_may_happen),
	};

	if (!own_logs()) {
		puts("1..0 # SKIP this host lets nobody have a /var/log of their own: mount "
		     "namespaces");
		return 77;
	}
	return cmocka_run_group_tests_name("pods", tests, NULL, NULL);
}
