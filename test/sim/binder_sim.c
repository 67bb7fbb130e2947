#include <stdio.h>

#include "test/sim/sim.h"

static void volume(struct sim *s, const char *name, const char *size, const char *more)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'PersistentVolume','metadata':{'name':'%s','labels':{"
		"'size':'%s'}},'spec':{'capacity':{'storage':'%s'},'accessModes':['ReadWriteOnce'],"
		"'hostPath':{'path':'/srv/%s'}%s}}",
		name, size, size, name, more);
}

static void claim(struct sim *s, const char *name, const char *size, const char *more)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'PersistentVolumeClaim','metadata':{'name':'%s',"
		"'namespace':'default'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{"
		"'requests':{'storage':'%s'}}%s}}",
		name, size, more);
}

static const char *volume_of(struct sim *s, struct arena *a, const char *name)
{
	return json_str_or(
		json_path(sim_doc(s, a, "PersistentVolumeClaim", name), "spec.volumeName"), "");
}

static bool in_phase(struct sim *s, const char *kind, const char *name, const char *phase)
{
	struct object *o =
		fake_api_get(s->api, kind, streq(kind, "PersistentVolume") ? "" : "default", name);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return o && streq(json_path_str(object_doc(o, &a), "status.phase"), phase);
}

/* Both sides agree, and nobody shares. */
static bool all_bound(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **claims;
	size_t count = fake_api_list(s->api, "PersistentVolumeClaim", "default", &a, &claims);
	for (size_t i = 0; i < count; i++) {
		const char *name = volume_of(s, &a, claims[i]->name);
		struct object *v =
			*name ? fake_api_get(s->api, "PersistentVolume", "", name) : NULL;
		if (!v || !in_phase(s, "PersistentVolumeClaim", claims[i]->name, "Bound") ||
			!in_phase(s, "PersistentVolume", name, "Bound") ||
			!streq(json_path_str(object_doc(v, &a), "spec.claimRef.uid"),
				claims[i]->uid))
			return false;
	}
	return count > 0;
}

/* A volume's claim never changes but over nobody, and a claim's volume never. */
static void changed(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	if (!old || !new)
		return;
	bool is_volume = streq(new->kind->kind, "PersistentVolume");
	if (!is_volume && !streq(new->kind->kind, "PersistentVolumeClaim"))
		return;
	const char *path = is_volume ? "spec.claimRef.uid" : "spec.volumeName";
	const char *was = json_str_or(json_path(object_doc(old, &a), path), "");
	const char *is = json_str_or(json_path(object_doc(new, &a), path), "");
	if (*was && *is && !streq(was, is))
		fail_msg("seed %d: %s %s went from %s to %s", (int)s->seed, new->kind->kind,
			new->name, was, is);
}

static void test_binds(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		char name[16];
		sim_begin(&s, seed, "persistentvolume-binder", false);
		fake_api_on_change(s.api, changed, &s);
		sim_faults(&s, true);
		for (int i = 0; i < 12; i++) {
			snprintf(name, sizeof(name), "v%d", i);
			volume(&s, name, i % 3 == 0 ? "1Gi" : i % 3 == 1 ? "5Gi" : "20Gi", "");
		}
		for (int i = 0; i < 12; i++) {
			snprintf(name, sizeof(name), "c%d", i);
			claim(&s, name, i % 3 == 0 ? "20Gi" : i % 3 == 1 ? "1Gi" : "4Gi", "");
			sim_run_ms(&s, 300);
		}
		sim_run_ms(&s, 60000);
		sim_faults(&s, false);
		sim_until(&s, all_bound, 120000);
		sim_holds(&s, all_bound, 60000);
		/* Its claim goes: it is kept as it is, for nobody else. */
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const char *had = volume_of(&s, &a, "c1");
		fake_api_delete(s.api, "PersistentVolumeClaim", "default", "c1", 0, NULL);
		claim(&s, "late", "1Gi", "");
		sim_run_ms(&s, 60000);
		assert_true(in_phase(&s, "PersistentVolume", had, "Released"));
		assert_true(in_phase(&s, "PersistentVolumeClaim", "late", "Pending"));
		/* Given back by hand. */
		fake_api_patch_text(
			s.api, "PersistentVolume", "", had, "{'spec':{'claimRef':null}}");
		sim_until(&s, all_bound, 60000);
		sim_end(&s);
	}
}

static void test_rules(void **state)
{
	struct sim s;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	sim_begin(&s, 1, "persistentvolume-binder", false);
	fake_api_on_change(s.api, changed, &s);
	fake_api_create_text(s.api, "{'apiVersion':'storage.k8s.io/"
				    "v1','kind':'StorageClass','metadata':{'name':'slow'},"
				    "'provisioner':'example.com/disks'}");
	fake_api_create_text(s.api,
		"{'apiVersion':'storage.k8s.io/"
		"v1','kind':'StorageClass','metadata':{'name':'later'},"
		"'provisioner':'example.com/disks','volumeBindingMode':'WaitForFirstConsumer'}");
	volume(&s, "big", "20Gi", "");
	volume(&s, "kept", "2Gi", ",'claimRef':{'namespace':'default','name':'mine'}");
	volume(&s, "of-class", "2Gi", ",'storageClassName':'later'");
	claim(&s, "other", "1Gi", ",'selector':{'matchLabels':{'size':'20Gi'}}");
	claim(&s, "mine", "1Gi", "");
	claim(&s, "named", "50Gi", ",'volumeName':'big'");
	claim(&s, "asks", "1Gi", ",'storageClassName':'slow'");
	claim(&s, "waits", "1Gi", ",'storageClassName':'later'");
	sim_run_ms(&s, 20000);
	assert_string_equal(volume_of(&s, &a, "other"), "big");
	assert_string_equal(volume_of(&s, &a, "mine"), "kept");
	assert_true(in_phase(&s, "PersistentVolumeClaim", "named", "Pending"));
	struct json *asks = sim_doc(&s, &a, "PersistentVolumeClaim", "asks");
	assert_string_equal(json_str(json_get(json_path(asks, "metadata.annotations"),
				    "volume.kubernetes.io/storage-provisioner")),
		"example.com/disks");
	assert_true(in_phase(&s, "PersistentVolumeClaim", "waits", "Pending"));
	assert_true(in_phase(&s, "PersistentVolume", "of-class", "Available"));
	/* The scheduler has chosen a node. */
	fake_node_add(s.nodes, "n1", "8", "8Gi", 110);
	fake_api_patch_text(s.api, "PersistentVolumeClaim", "default", "waits",
		"{'metadata':{'annotations':{'volume.kubernetes.io/selected-node':'n1'}}}");
	sim_run_ms(&s, 20000);
	assert_string_equal(volume_of(&s, &a, "waits"), "of-class");
	/* A node that nobody knows: no volume is taken for it. */
	volume(&s, "spare", "2Gi", ",'storageClassName':'later'");
	claim(&s, "stray", "1Gi", ",'storageClassName':'later'");
	fake_api_patch_text(s.api, "PersistentVolumeClaim", "default", "stray",
		"{'metadata':{'annotations':{'volume.kubernetes.io/selected-node':'n2'}}}");
	sim_run_ms(&s, 20000);
	assert_true(in_phase(&s, "PersistentVolumeClaim", "stray", "Pending"));
	fake_node_add(s.nodes, "n2", "8", "8Gi", 110);
	sim_run_ms(&s, 60000);
	assert_string_equal(volume_of(&s, &a, "stray"), "spare");
	/* What it stood on goes away. */
	fake_api_delete(s.api, "PersistentVolume", "", "big", 0, NULL);
	sim_run_ms(&s, 20000);
	assert_true(in_phase(&s, "PersistentVolumeClaim", "other", "Lost"));
	/* Deleted while it is bound it stays; it is let go when its claim is gone. */
	fake_api_patch_text(s.api, "PersistentVolume", "", "kept",
		"{'metadata':{'finalizers':['kubernetes.io/pv-protection']}}");
	fake_api_delete(s.api, "PersistentVolume", "", "kept", 0, NULL);
	sim_run_ms(&s, 20000);
	assert_true(in_phase(&s, "PersistentVolume", "kept", "Bound"));
	fake_api_delete(s.api, "PersistentVolumeClaim", "default", "mine", 0, NULL);
	sim_run_ms(&s, 20000);
	assert_true(in_phase(&s, "PersistentVolume", "kept", "Released"));
	sim_end(&s);
}

static void pod_of(struct sim *s, const char *name, const char *volume)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'default'},"
		"'spec':{'containers':[{'name':'c','image':'i'}],'volumes':[{'name':'%s',"
		"'ephemeral':{'volumeClaimTemplate':{'metadata':{'labels':{'of':'it'}},'spec':{"
		"'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'}}}}}},"
		"{'name':'plain','emptyDir':{}}]}}",
		name, volume);
}

/* The pod's, made from its template. */
static bool has_its_claim(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *pod = fake_api_get(s->api, "Pod", "default", "p");
	struct object *o = fake_api_get(s->api, "PersistentVolumeClaim", "default", "p-v");
	if (!pod || !o)
		return false;
	struct json *doc = object_doc(o, &a);
	struct json *ref = json_at(json_path(doc, "metadata.ownerReferences"), 0);
	return streq(json_str(json_get(ref, "uid")), pod->uid) &&
	       json_bool_or(json_get(ref, "controller"), false) &&
	       streq(json_path_str(doc, "metadata.labels.of"), "it") &&
	       streq(json_path_str(doc, "spec.resources.requests.storage"), "1Gi");
}

static bool told_of_foreign(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "Event", NULL, &a, &all);
	for (size_t n = 0; n < count; n++) {
		struct json *doc = object_doc(all[n], &a);
		const char *message = json_str_or(json_path(doc, "message"), "");
		if (streq(json_path_str(doc, "reason"), "FailedBinding") &&
			strstr(message, "ephemeral volume v: PVC \"default/q-v\" (uid: ") &&
			strstr(message, "was not created for the pod"))
			return true;
	}
	return false;
}

static void test_ephemeral(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "ephemeral-volume", false);
		sim_faults(&s, true);
		pod_of(&s, "p", "v");
		sim_until(&s, has_its_claim, 120000);
		/* Somebody deletes it, and the pod is still there. */
		fake_api_delete(s.api, "PersistentVolumeClaim", "default", "p-v", 0, NULL);
		sim_until(&s, has_its_claim, 120000);
		sim_faults(&s, false);
		/* Another's claim stays another's. */
		claim(&s, "q-v", "3Gi", "");
		pod_of(&s, "q", "v");
		sim_until(&s, told_of_foreign, 60000);
		assert_true(sim_text_is(&s, "PersistentVolumeClaim", "q-v",
			"spec.resources.requests.storage", "3Gi"));
		assert_int_equal(sim_count(&s, "PersistentVolumeClaim"), 2);
		/* Until it goes. */
		fake_api_delete(s.api, "PersistentVolumeClaim", "default", "q-v", 0, NULL);
		sim_run_ms(&s, 400000);
		assert_true(sim_text_is(&s, "PersistentVolumeClaim", "q-v",
			"spec.resources.requests.storage", "1Gi"));
		sim_end(&s);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_binds),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_ephemeral),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
