#include "node/vm/host/cluster_settings.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "node/vm/host/ksm.h"
#include "node/vm/host/pci.h"

#define LOOK_MS 30000
#define STATS_PERIOD_MAX_S 86400
#define ENABLED_LABEL "kubevirt.io/ksm-enabled"
#define MANAGED_ANNOTATION "kubevirt.io/ksm-handler-managed"
#define SAVED_ANNOTATION "hanok.io/ksm-saved"
#define DEVICES_ANNOTATION "hanok.io/host-devices" /* why there are none of those permitted */

struct cluster_settings {
	struct node *n;
	struct informer *kubevirts;
	uv_timer_t timer;
	char *record; /* file: it was us who switched KSM on */
	struct client_call *call, *devices_call, *reasons_call;
	char told[80]; /* to the Node last */
	bool failed;   /* to switch; told once */
};

static const struct json *configuration(const struct cluster_settings *c, struct arena *a)
{
	struct object **all;

	if (!c->kubevirts || informer_list(c->kubevirts, NULL, a, &all) == 0)
		return NULL;
	return json_path(object_doc(all[0], a), "spec.configuration");
}

static void told(void *user, const struct client_result *r)
{
	struct cluster_settings *c = user;

	c->call = NULL;
	if (!client_ok(r))
		c->told[0] = '\0'; /* again at the next look */
}

/* Savings change all the time: told in steps of 16 MiB. */
static void tell_node(struct cluster_settings *c, bool on, const struct ksm *k)
{
	const struct kind *kind = kind_by_name(c->n->kinds, "", "v1", "Node");
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *patch = json_new_object(&a), *meta = json_object_at(&a, patch, "metadata");
	struct json *labels = json_object_at(&a, meta, "labels"),
		    *annotations = json_object_at(&a, meta, "annotations");
	int64_t saved = k->saved_bytes >> 24 << 4;
	char now[80], text[32];

	snprintf(now, sizeof(now), "%d %" PRId64, on, on ? saved : 0);
	if (c->call || streq(now, c->told) || !c->n->object || (!on && !*c->told))
		return;
	snprintf(text, sizeof(text), "%" PRId64 "Mi", saved);
	json_set_str(&a, labels, ENABLED_LABEL, on ? "true" : "false");
	json_set_str(&a, annotations, MANAGED_ANNOTATION, on ? "true" : "false");
	if (on)
		json_set_str(&a, annotations, SAVED_ANNOTATION, text);
	else
		json_set(&a, annotations, SAVED_ANNOTATION, json_new_null(&a));
	snprintf(c->told, sizeof(c->told), "%s", now);
	c->call = client_patch(c->n->client, kind, NULL, c->n->name, NULL,
		"application/merge-patch+json", patch, told, c);
}

static void devices_told(void *user, const struct client_result *r)
{
	((struct cluster_settings *)user)->devices_call = NULL;
}

static void reasons_told(void *user, const struct client_result *r)
{
	((struct cluster_settings *)user)->reasons_call = NULL;
}

/* What the scheduler counts by: as many as are fit for machines, whoever has them. What the Node
 * says already is not said again. */
static void tell_devices(struct cluster_settings *c)
{
	const struct kind *kind = kind_by_name(c->n->kinds, "", "v1", "Node");
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf reasons = BUF_INIT;
	struct json *node = object_doc(c->n->object, &a), *patch = json_new_object(&a),
		    *status = json_object_at(&a, patch, "status"),
		    *capacity = json_object_at(&a, status, "capacity"),
		    *allocatable = json_object_at(&a, status, "allocatable");
	const char *had =
		json_str(json_get(json_path(node, "metadata.annotations"), DEVICES_ANNOTATION));

	JSON_FOR_EACH_ITEM(
		it, json_path(configuration(c, &a), "permittedHostDevices.pciHostDevices")) {
		const char *name = json_str(json_get(it, "resourceName")),
			   *selector = json_str(json_get(it, "pciVendorSelector"));
		const struct json *now;
		struct err why = ERR_INIT;
		char count[16];
		unsigned fit;

		if (!name || !selector ||
			json_bool_or(json_get(it, "externalResourceProvider"), false))
			continue;
		fit = pci_count("", name, selector, &why);
		if (!fit)
			buf_printf(&reasons, "%s%s", reasons.size ? "; " : "", why.msg);
		snprintf(count, sizeof(count), "%u", fit);
		now = json_get(json_path(node, "status.capacity"), name);
		if (now ? streq(json_str(now), count) : !fit)
			continue;
		json_set_str(&a, capacity, name, count);
		json_set_str(&a, allocatable, name, count);
	}
	if (json_count(capacity) && !c->devices_call)
		c->devices_call = client_patch(c->n->client, kind, NULL, c->n->name, "status",
			"application/merge-patch+json", patch, devices_told, c);
	if (!c->reasons_call && !streq(had ? had : "", reasons.size ? reasons.data : "")) {
		struct json *p = json_new_object(&a),
			    *list = json_object_at(
				    &a, json_object_at(&a, p, "metadata"), "annotations");

		json_set(&a, list, DEVICES_ANNOTATION,
			reasons.size ? json_new_string(&a, reasons.data) : json_new_null(&a));
		c->reasons_call = client_patch(c->n->client, kind, NULL, c->n->name, NULL,
			"application/merge-patch+json", p, reasons_told, c);
	}
}

static void look(struct cluster_settings *c)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *labels;
	struct ksm k;
	bool on;
	int r;

	if (!c->n->object || !informer_synced(c->kubevirts))
		return;
	labels = json_path(object_doc(c->n->object, &a), "metadata.labels");
	on = ksm_wanted(configuration(c, &a), labels);
	/* What an agent before this one said is taken back, too. */
	if (!*c->told && streq(json_str(json_get(labels, ENABLED_LABEL)), "true"))
		snprintf(c->told, sizeof(c->told), "?");
	r = ksm_switch("", c->record, on);
	if (r < 0 && !c->failed)
		log_warn("equal pages can't be merged on this host", "error", strerror(-r), NULL);
	c->failed = r < 0;
	ksm_read("", &k);
	tell_node(c, on && r == 0, &k);
	tell_devices(c);
}

static void on_timer(uv_timer_t *t)
{
	look(t->data);
}

static void changed(void *user, const struct object *old, const struct object *new)
{
	look(user);
}

static void synced(void *user)
{
	look(user);
}

struct cluster_settings *cluster_settings_create(struct node *n)
{
	static const struct informer_handler on = {.changed = changed, .synced = synced};
	const struct kind *kind = kind_by_name(n->kinds, "kubevirt.io", "v1", "KubeVirt");
	struct cluster_settings *c = xcalloc(1, sizeof(*c));

	c->n = n;
	c->record = xasprintf("%s/ksm-managed", n->data_dir);
	uv_timer_init(n->loop, &c->timer);
	c->timer.data = c;
	if (!kind)
		return c;
	c->kubevirts = informer_create(n->client, kind, NULL, NULL, NULL);
	informer_add_handler(c->kubevirts, &on, c);
	informer_start(c->kubevirts);
	uv_timer_start(&c->timer, on_timer, LOOK_MS, LOOK_MS);
	return c;
}

static void freed(uv_handle_t *h)
{
	struct cluster_settings *c = h->data;

	free(c->record);
	free(c);
}

void cluster_settings_destroy(struct cluster_settings *c)
{
	if (!c)
		return;
	struct client_call *calls[] = {c->call, c->devices_call, c->reasons_call};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (calls[i])
			client_cancel(c->n->client, calls[i]);
	if (c->kubevirts)
		informer_destroy(c->kubevirts);
	uv_close((uv_handle_t *)&c->timer, freed);
}

static bool lists(const struct json *list, const char *device_name)
{
	JSON_FOR_EACH_ITEM(it, list)
		if (streq(json_str(json_get(it, "resourceName")), device_name))
			return true;
	return false;
}

int cluster_settings_device(const struct cluster_settings *c, struct arena *a, const char *asked,
	const char *device_name, const char **ret_selector, struct err *err)
{
	const struct json *permitted = json_get(configuration(c, a), "permittedHostDevices");

	JSON_FOR_EACH_ITEM(it, json_get(permitted, "pciHostDevices")) {
		const char *selector = json_str(json_get(it, "pciVendorSelector"));

		if (selector && streq(json_str(json_get(it, "resourceName")), device_name)) {
			*ret_selector = selector;
			return 0;
		}
	}
	if (lists(json_get(permitted, "mediatedDevices"), device_name) ||
		lists(json_get(permitted, "usb"), device_name))
		return err_set(err, -EOPNOTSUPP,
			"%s: '%s' is a mediated or USB device; this node agent gives PCI devices "
			"only",
			asked, device_name);
	return err_set(err, -EOPNOTSUPP,
		"%s: HostDevice %s is not permitted in permittedHostDevices configuration", asked,
		device_name);
}

void cluster_settings_memory(const struct cluster_settings *c, struct vm_memory *m)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *settings = configuration(c, &a);
	int64_t period = json_path_int(settings, "memBalloonStatsPeriod", m->stats_period_s);

	if (period >= 0 && period <= STATS_PERIOD_MAX_S)
		m->stats_period_s = (unsigned)period;
	if (json_path(settings, "virtualMachineOptions.disableFreePageReporting"))
		m->free_page_reporting = false;
}
