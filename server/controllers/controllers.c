#include "server/controllers/controllers.h"

#include "lib/base/log.h"
#include "server/controllers/controller.h"

static const struct controller_class *const classes[] = {
	&namespace_controller,
	&service_account_controller,
	&root_ca_controller,
	&resource_quota_controller,
	&claim_protection_controller,
	&volume_protection_controller,
	&volume_binder_controller,
	&ephemeral_volume_controller,
	&replica_set_controller,
	&replication_controller,
	&deployment_controller,
	&stateful_set_controller,
	&daemon_set_controller,
	&disruption_budget_controller,
	&job_controller,
	&job_ttl_controller,
	&cron_job_controller,
	&endpoints_controller,
	&endpoint_slice_controller,
	&endpoint_slice_mirroring_controller,
	&cluster_dns_controller,
	&garbage_collector_controller,
	&node_lifecycle_controller,
	&node_ttl_controller,
	&pod_gc_controller,
	&data_source_controller,
	&upload_claims_controller,
	&cdi_settings_controller,
	&data_volume_controller,
	&kubevirt_controller,
	&cdi_controller,
	&virtual_machine_controller,
	&virtual_machine_instance_controller,
	&virtual_machine_pool_controller,
	&virtual_machine_replica_set_controller,
	&virtual_machine_clone_controller,
	&virtual_machine_export_controller,
	&memory_dump_controller,
	&virtual_machine_restore_controller,
	&virtual_machine_snapshot_controller,
	&application_controller,
	&annotated_workload_controller,
	&cluster_role_aggregation_controller,
	&certificate_approving_controller,
	&certificate_cleaner_controller,
	&certificate_signing_controller,
	&service_account_token_controller,
	&token_cleaner_controller,
	&autoscaler_controller,
};

struct controllers {
	struct shared shared;
	void *selves[ARRAY_LEN(classes)]; /* NULL = not chosen */
	bool running;
};

const char *const *controller_names(void)
{
	static const char *names[ARRAY_LEN(classes) + 1];
	for (size_t n = 0; n < ARRAY_LEN(classes); n++)
		names[n] = classes[n]->name;
	return names;
}

struct pod_views *shared_pod_views(struct shared *sh)
{
	if (!sh->pod_views)
		sh->pod_views = pod_views_create(shared_informer(sh, "", "v1", "Pod"));
	return sh->pod_views;
}

struct informer *shared_informer(
	struct shared *sh, const char *group, const char *version, const char *kind)
{
	return informers_get(sh->informers, group, version, kind);
}

/* A name beats "*", whatever their order. */
static int choose(const char *list, bool chosen[], struct err *err)
{
	bool all = false, named[ARRAY_LEN(classes)] = {0};
	struct str rest = str_from(list), part;
	while (str_split(&rest, ',', &part)) {
		bool on = true;
		if (part.size && part.p[0] == '-') {
			on = false;
			part.p++;
			part.size--;
		}
		if (!part.size)
			continue;
		if (str_eq(part, "*")) {
			all = on;
			continue;
		}
		size_t n = 0;
		while (n < ARRAY_LEN(classes) && !str_eq(part, classes[n]->name))
			n++;
		if (n == ARRAY_LEN(classes))
			return err_set(err, -EINVAL, "there is no controller '" STR_FMT "'",
				STR_ARG(part));
		named[n] = true;
		chosen[n] = on;
	}
	for (size_t n = 0; n < ARRAY_LEN(classes); n++)
		if (!named[n])
			chosen[n] = all;
	return 0;
}

int controllers_check(const char *list, struct err *err)
{
	bool chosen[ARRAY_LEN(classes)];
	return choose(list, chosen, err);
}

static void on_synced(void *user)
{
	struct controllers *c = user;
	c->running = true;
	for (size_t n = 0; n < ARRAY_LEN(classes); n++)
		if (c->selves[n])
			classes[n]->start(c->selves[n]);
	log_info("controllers run", NULL);
}

struct controllers *controllers_create(
	struct client *client, const char *list, const struct cluster_ca *ca, struct err *err)
{
	bool chosen[ARRAY_LEN(classes)];
	if (choose(list, chosen, err) < 0)
		return NULL;
	struct controllers *c = xcalloc(1, sizeof(*c));
	c->shared.client = client;
	if (ca)
		c->shared.ca = *ca;
	c->shared.informers = informers_create(client);
	for (size_t n = 0; n < ARRAY_LEN(classes); n++)
		if (chosen[n])
			c->selves[n] = classes[n]->create(&c->shared);
	informers_on_synced(c->shared.informers, on_synced, c);
	informers_start(c->shared.informers);
	return c;
}

void controllers_destroy(struct controllers *c)
{
	if (!c)
		return;
	for (size_t n = 0; n < ARRAY_LEN(classes); n++)
		if (c->selves[n])
			classes[n]->destroy(c->selves[n]);
	informers_destroy(c->shared.informers);
	pod_views_destroy(c->shared.pod_views);
	free(c);
}

bool controllers_running(const struct controllers *c)
{
	return c->running;
}
