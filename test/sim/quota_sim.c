#include <stdio.h>

#include "lib/object/quantity.h"
#include "test/sim/sim.h"

static void create_quota(struct sim *s, const char *name, const char *hard)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'ResourceQuota','metadata':{'name':'%s','namespace':"
		"'default'},'spec':{'hard':{%s}}}",
		name, hard);
}

static void create_pod(struct sim *s, const char *name, const char *cpu)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'default'},"
		"'spec':{'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'%s'}"
		"}}]}}",
		name, cpu);
}

static void create_map(struct sim *s, const char *name)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'%s','namespace':"
		"'default'}}",
		name);
}

/* status.used of the quota is what the store holds. */
static bool adds_up(struct sim *s, const char *quota)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **list;
	struct json *doc = sim_doc(s, &a, "ResourceQuota", quota);
	struct json *used = json_path(doc, "status.used"), *hard = json_path(doc, "spec.hard");
	if (!used || !json_equal(json_path(doc, "status.hard"), hard) ||
		json_count(used) != json_count(hard))
		return false;
	int64_t pods = 0, milli = 0;
	size_t all = fake_api_list(s->api, "Pod", "default", &a, &list);
	for (size_t i = 0; i < all; i++) {
		const struct json *pod = object_doc(list[i], &a);
		if (streq(json_path_str(pod, "status.phase"), "Succeeded"))
			continue;
		pods++;
		milli += quantity_json_milli(
			json_path(pod, "spec.containers[0].resources.requests.cpu"), 0);
	}
	int64_t maps = (int64_t)fake_api_list(s->api, "ConfigMap", "default", &a, &list);
	const struct {
		const char *name;
		int64_t milli;
	} wanted[] = {
		{"pods", pods * 1000},
		{"count/pods", (int64_t)all * 1000},
		{"requests.cpu", milli},
		{"count/configmaps", maps * 1000},
	};
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		const struct json *v = json_get(used, wanted[i].name);
		if (v && quantity_json_milli(v, -1) != wanted[i].milli)
			return false;
	}
	return true;
}

static bool first_adds_up(struct sim *s)
{
	return adds_up(s, "first");
}

static bool both_add_up(struct sim *s)
{
	return adds_up(s, "first") && adds_up(s, "second");
}

static void end_pod(struct sim *s, const char *name)
{
	if (fake_api_get(s->api, "Pod", "default", name))
		fake_api_patch_text(
			s->api, "Pod", "default", name, "{'status':{'phase':'Succeeded'}}");
}

/* Objects come, end and go while events are lost, repeated and late: the status ends up right. */
static void test_converges(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "resourcequota", false);
		create_map(&s, "before");
		create_quota(&s, "first", "'pods':'9','count/pods':'20','requests.cpu':'8'");
		sim_until(&s, first_adds_up, 10000);
		sim_faults(&s, true);
		for (unsigned step = 0; step < 60; step++) {
			char name[16];
			snprintf(name, sizeof(name), "o%u", (unsigned)random_below(&s.random, 12));
			bool there = fake_api_get(s.api, "Pod", "default", name);
			bool map = fake_api_get(s.api, "ConfigMap", "default", name);
			switch (random_below(&s.random, 5)) {
			case 0:
			case 1:
				if (!there)
					create_pod(&s, name, step % 2 ? "250m" : "1");
				break;
			case 2:
				if (there)
					fake_api_delete(s.api, "Pod", "default", name, 0, NULL);
				break;
			case 3:
				end_pod(&s, name);
				break;
			case 4:
				if (map)
					fake_api_delete(
						s.api, "ConfigMap", "default", name, 0, NULL);
				else
					create_map(&s, name);
				break;
			}
			if (step == 30)
				create_quota(&s, "second", "'count/configmaps':'3','pods':'1'");
			sim_run_ms(&s, (int64_t)random_below(&s.random, 400));
		}
		sim_faults(&s, false);
		sim_until(&s, both_add_up, 400000);
		sim_end(&s);
	}
}

/* Other bounds: the status follows, and loses what is no longer bounded. */
static void test_bounds_change(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "resourcequota", false);
	create_quota(&s, "first", "'pods':'9','requests.cpu':'8'");
	create_pod(&s, "p", "250m");
	sim_until(&s, first_adds_up, 10000);
	fake_api_patch_text(s.api, "ResourceQuota", "default", "first",
		"{'spec':{'hard':{'requests.cpu':null,'count/configmaps':'3'}}}");
	sim_until(&s, first_adds_up, 10000);
	/* Nothing more is written while nothing happens. */
	uint64_t revision = fake_api_get(s.api, "ResourceQuota", "default", "first")->revision;
	sim_run_ms(&s, 20 * 60 * 1000);
	assert_int_equal(
		fake_api_get(s.api, "ResourceQuota", "default", "first")->revision, revision);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_converges),
		cmocka_unit_test(test_bounds_change),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
