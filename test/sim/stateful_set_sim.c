#include "test/sim/sim.h"

static const char set_text[] =
	"{'apiVersion':'apps/v1','kind':'StatefulSet','metadata':{'name':'web','namespace':"
	"'default'},'spec':{'replicas':%d,'serviceName':'web','selector':{'matchLabels':{'app':"
	"'web'}},'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':"
	"'c','image':'web:1'}]}}%s}}";
static const char claims[] =
	",'volumeClaimTemplates':[{'metadata':{'name':'data'},'spec':{'accessModes':["
	"'ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'}}}}],"
	"'persistentVolumeClaimRetentionPolicy':{'whenScaled':'%s','whenDeleted':'%s'}";

static void begin(struct sim *s, uint64_t seed, int replicas, const char *more)
{
	sim_begin(s, seed, "statefulset,garbagecollector", true);
	fake_node_add(s->nodes, "n1", "32", "32Gi", 200);
	fake_api_create_text(s->api, set_text, replicas, more);
}

static void patch_set(struct sim *s, const char *patch)
{
	fake_api_patch_text(s->api, "StatefulSet", "default", "web", "%s", patch);
}

static void set_image(struct sim *s, const char *image)
{
	fake_api_patch_text(s->api, "StatefulSet", "default", "web",
		"{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'%s'}]}}}}", image);
}

static bool pod_is(struct sim *s, int ordinal, const char *image)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char name[32];
	snprintf(name, sizeof(name), "web-%d", ordinal);
	struct json *pod = sim_doc(s, &a, "Pod", name);
	return pod && !json_path(pod, "metadata.deletionTimestamp") &&
	       streq(json_path_str(pod, "status.phase"), "Running") &&
	       streq(json_path_str(pod, "spec.containers[0].image"), image);
}

static bool all_are(struct sim *s, int from, int count, const char *image)
{
	for (int n = from; n < from + count; n++)
		if (!pod_is(s, n, image))
			return false;
	return sim_count(s, "Pod") == (size_t)count &&
	       sim_int(s, "StatefulSet", "web", "status.replicas", 0) == count &&
	       sim_int(s, "StatefulSet", "web", "status.availableReplicas", 0) == count &&
	       sim_int(s, "StatefulSet", "web", "status.updatedReplicas", 0) == count;
}

static bool five_first(struct sim *s)
{
	return all_are(s, 0, 5, "web:1");
}

static bool three_first(struct sim *s)
{
	return all_are(s, 0, 3, "web:1");
}

static bool five_second(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *status = json_get(sim_doc(s, &a, "StatefulSet", "web"), "status");
	return all_are(s, 0, 5, "web:2") && streq(json_path_str(status, "currentRevision"),
						    json_path_str(status, "updateRevision"));
}

/* At each change: one pod at a time is made or goes, in the right order. */
static unsigned violations;
static bool down[8];
static void watch_order(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	const struct object *o = new ? new : old;
	if (!streq(o->kind->kind, "Pod"))
		return;
	int ordinal = o->name[4] - '0', unavailable = 0;
	for (int n = 0; n < 8; n++) {
		char name[32];
		snprintf(name, sizeof(name), "web-%d", n);
		unavailable += down[n] && n < ordinal;
	}
	/* None is made while one below it is missing or not ready. */
	if (!old && unavailable)
		violations++;
	down[ordinal] = !new || new->deleting ||
			!sim_condition_is(s, "Pod", o->name, "Ready", "True", NULL);
}

static void test_order(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, 5, "");
		violations = 0;
		for (int n = 0; n < 8; n++)
			down[n] = true;
		fake_api_on_change(s.api, watch_order, &s);
		sim_faults(&s, true);
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, five_first, 400000);
		sim_holds(&s, five_first, 20000);
		assert_int_equal(violations, 0);
		assert_int_equal(sim_count(&s, "ControllerRevision"), 1);
		sim_faults(&s, true);
		patch_set(&s, "{'spec':{'replicas':3}}");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, three_first, 400000);
		patch_set(&s, "{'spec':{'replicas':5}}");
		sim_until(&s, five_first, 400000);
		assert_int_equal(violations, 0);
		/* One that ended is made anew. */
		fake_api_patch_text(
			s.api, "Pod", "default", "web-2", "{'status':{'phase':'Failed'}}");
		assert_false(five_first(&s));
		sim_until(&s, five_first, 60000);
		sim_end(&s);
	}
}

static int least_ready;
static bool watching;
static void watch_ready(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	int ready = 0;
	for (int n = 0; watching && n < 5; n++)
		ready += pod_is(s, n, "web:1") || pod_is(s, n, "web:2");
	if (watching)
		least_ready = MIN(least_ready, ready);
}

static int64_t highest_revision(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "ControllerRevision", "default", &a, &all);
	int64_t highest = 0;
	for (size_t n = 0; n < count; n++)
		highest = MAX(highest, json_path_int(object_doc(all[n], &a), "revision", 0));
	return highest;
}

static bool five_first_again(struct sim *s)
{
	return five_first(s) && highest_revision(s) == 3;
}

static void test_rolls_and_undoes(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, 5, ",'podManagementPolicy':'Parallel'");
		sim_until(&s, five_first, 100000);
		least_ready = 5;
		watching = true;
		fake_api_on_change(s.api, watch_ready, &s);
		sim_faults(&s, true);
		set_image(&s, "web:2");
		sim_run_ms(&s, 30000);
		sim_faults(&s, false);
		sim_until(&s, five_second, 400000);
		assert_int_equal(least_ready, 4);
		set_image(&s, "web:1");
		sim_until(&s, five_first_again, 400000);
		assert_int_equal(sim_count(&s, "ControllerRevision"), 2);
		watching = false;
		sim_end(&s);
	}
}

static bool two_updated(struct sim *s)
{
	return pod_is(s, 4, "web:2") && pod_is(s, 3, "web:2") && pod_is(s, 2, "web:1") &&
	       pod_is(s, 1, "web:1") && pod_is(s, 0, "web:1") &&
	       sim_int(s, "StatefulSet", "web", "status.updatedReplicas", 0) == 2 &&
	       sim_int(s, "StatefulSet", "web", "status.currentReplicas", 0) == 3;
}

static void test_partition(void **state)
{
	struct sim s;
	begin(&s, 1, 5,
		",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':3}}");
	sim_until(&s, five_first, 100000);
	set_image(&s, "web:2");
	sim_until(&s, two_updated, 60000);
	/* One below the partition that goes comes back as it was. */
	fake_api_delete(s.api, "Pod", "default", "web-1", 0, NULL);
	assert_false(two_updated(&s));
	sim_until(&s, two_updated, 60000);
	sim_holds(&s, two_updated, 20000);
	patch_set(&s, "{'spec':{'updateStrategy':{'rollingUpdate':{'partition':0}}}}");
	sim_until(&s, five_second, 100000);
	sim_end(&s);
}

static bool one_second(struct sim *s)
{
	return pod_is(s, 2, "web:2") && pod_is(s, 0, "web:1") && pod_is(s, 4, "web:1");
}

static void test_on_delete(void **state)
{
	struct sim s;
	begin(&s, 1, 5, ",'updateStrategy':{'type':'OnDelete'}");
	sim_until(&s, five_first, 100000);
	set_image(&s, "web:2");
	sim_run_ms(&s, 30000);
	assert_true(pod_is(&s, 4, "web:1"));
	fake_api_delete(s.api, "Pod", "default", "web-2", 0, NULL);
	sim_until(&s, one_second, 60000);
	sim_end(&s);
}

static bool three_claims(struct sim *s)
{
	return sim_count(s, "PersistentVolumeClaim") == 3 && sim_count(s, "Pod") == 3;
}

static bool one_claim(struct sim *s)
{
	return sim_count(s, "PersistentVolumeClaim") == 1 && sim_count(s, "Pod") == 1 &&
	       fake_api_get(s->api, "PersistentVolumeClaim", "default", "data-web-0");
}

static bool no_claim(struct sim *s)
{
	return sim_count(s, "PersistentVolumeClaim") == 0;
}

static bool no_pods(struct sim *s)
{
	return sim_count(s, "Pod") == 0;
}

/* As the binder of volumes does it: pods wait for that. */
static void bind_claim(struct sim *s, const char *name)
{
	char volume[64];
	snprintf(volume, sizeof(volume), "pv-%s", name);
	if (!fake_api_get(s->api, "PersistentVolume", "", volume))
		fake_api_create_text(s->api,
			"{'apiVersion':'v1','kind':'PersistentVolume','metadata':{'name':'%s'},"
			"'spec':{'capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOnce'],"
			"'hostPath':{'path':'/v'}},'status':{'phase':'Bound'}}",
			volume);
	fake_api_patch_text(s->api, "PersistentVolumeClaim", "default", name,
		"{'metadata':{'annotations':{'pv.kubernetes.io/bind-completed':'yes'}},'spec':{"
		"'volumeName':'%s'},'status':{'phase':'Bound'}}",
		volume);
}

static void bind_claims(struct sim *s)
{
	for (int step = 0; step < 600; step++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct object **all;
		size_t count = fake_api_list(s->api, "PersistentVolumeClaim", "default", &a, &all);
		for (size_t n = 0; n < count; n++)
			if (!streq(json_path_str(object_doc(all[n], &a), "status.phase"), "Bound"))
				bind_claim(s, arena_strdup(&a, all[n]->name));
		sim_run_ms(s, 100);
	}
}

static void test_claims(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		char more[600];
		snprintf(more, sizeof(more), claims, "Delete", "Delete");
		begin(&s, seed, 3, more);
		bind_claims(&s);
		sim_until(&s, three_claims, 100000);
		sim_faults(&s, true);
		patch_set(&s, "{'spec':{'replicas':1}}");
		sim_run_ms(&s, 30000);
		sim_faults(&s, false);
		sim_until(&s, one_claim, 400000);
		fake_api_delete(s.api, "StatefulSet", "default", "web", -1, NULL);
		sim_until(&s, no_claim, 200000);

		sim_end(&s);
		snprintf(more, sizeof(more), claims, "Retain", "Retain");
		begin(&s, seed, 3, more);
		bind_claims(&s);
		sim_until(&s, three_claims, 100000);
		fake_api_delete(s.api, "StatefulSet", "default", "web", -1, NULL);
		sim_until(&s, no_pods, 200000);
		sim_run_ms(&s, 30000);
		assert_int_equal(sim_count(&s, "PersistentVolumeClaim"), 3);
		sim_end(&s);
	}
}

static bool ordinals_moved(struct sim *s)
{
	return all_are(s, 2, 3, "web:1");
}

static void test_ordinals(void **state)
{
	struct sim s;
	begin(&s, 1, 3, "");
	sim_until(&s, three_first, 60000);
	patch_set(&s, "{'spec':{'ordinals':{'start':2}}}");
	sim_until(&s, ordinals_moved, 60000);
	sim_end(&s);
}

static void test_history(void **state)
{
	struct sim s;
	begin(&s, 1, 1, ",'revisionHistoryLimit':2");
	sim_run_ms(&s, 20000);
	for (int n = 2; n < 8; n++) {
		char image[16];
		snprintf(image, sizeof(image), "web:%d", n);
		set_image(&s, image);
		sim_run_ms(&s, 30000);
	}
	/* The present one and two more. */
	assert_int_equal(sim_count(&s, "ControllerRevision"), 3);
	assert_int_equal(highest_revision(&s), 7);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_rolls_and_undoes),
		cmocka_unit_test(test_partition),
		cmocka_unit_test(test_on_delete),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_ordinals),
		cmocka_unit_test(test_history),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
