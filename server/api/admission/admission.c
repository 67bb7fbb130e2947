/* admission.c - which plugins there are, in upstream's order, and running them. */
#include "server/api/admission/admission_internal.h"

static const struct admission_plugin *const plugins[] = {
	&admission_limit_ranger,
	&admission_service_account,
	&admission_taint_nodes_by_condition,
	&admission_placement, /* before Priority */
	&admission_pod_security,
	&admission_priority,
	&admission_default_toleration_seconds,
	&admission_default_storage_class,
	&admission_storage_protection,
	&admission_claim_resize,
	&admission_runtime_class,
	&admission_certificate_approval,
	&admission_certificate_signing,
	&admission_certificate_subject_restriction,
	&admission_default_ingress_class,
	&admission_deny_service_external_ips,
	&admission_node_volumes,
	&admission_node_contents,
	&admission_node_pods,
	&admission_resource_quota,
};

/* True when the comma-separated list names the plugin. */
static bool listed(const char *list, const char *name)
{
	struct str rest = str_from(list), part;
	while (list && str_split(&rest, ',', &part))
		if (str_eq(part, name))
			return true;
	return false;
}

static int check_names(const char *list, const char *option, struct err *err)
{
	struct str rest = str_from(list), part;
	while (list && str_split(&rest, ',', &part)) {
		bool known = part.size == 0;
		for (size_t i = 0; i < ARRAY_LEN(plugins) && !known; i++)
			known = str_eq(part, plugins[i]->name);
		if (!known)
			return err_set(err, -EINVAL,
				"%s: there is no admission plugin '" STR_FMT "'", option,
				STR_ARG(part));
	}
	return 0;
}

static const struct kind *served(struct api *api, const char *group, const char *plural)
{
	const struct kind *k = kind_by_resource(api->kinds, group, "v1", plural);
	return k && k->served ? k : NULL;
}

int admission_options_check(const struct admission_options *options, struct err *err)
{
	int r = check_names(options->enable, "--enable-admission-plugins", err);
	return r == 0 ? check_names(options->disable, "--disable-admission-plugins", err) : r;
}

int admission_create(struct api *api, const struct admission_options *options,
	struct admission **ret, struct err *err)
{
	int r = admission_options_check(options, err);
	if (r < 0)
		return r;
	struct admission *a = xcalloc(1, sizeof(*a));
	a->api = api;
	list_init(&a->waits);
	a->quotas = quota_book_create(api);
	a->kinds = (struct admission_kinds){
		.limit_ranges = served(api, "", "limitranges"),
		.service_accounts = served(api, "", "serviceaccounts"),
		.claims = served(api, "", "persistentvolumeclaims"),
		.volumes = served(api, "", "persistentvolumes"),
		.services = served(api, "", "services"),
		.priority_classes = served(api, "scheduling.k8s.io", "priorityclasses"),
		.runtime_classes = served(api, "node.k8s.io", "runtimeclasses"),
		.storage_classes = served(api, "storage.k8s.io", "storageclasses"),
		.instances = served(api, "kubevirt.io", "virtualmachineinstances"),
	};
	a->mutate = xcalloc(ARRAY_LEN(plugins) + 1, sizeof(admission_step *));
	a->validate = xcalloc(ARRAY_LEN(plugins) + 1, sizeof(admission_step *));
	a->remove = xcalloc(ARRAY_LEN(plugins) + 1, sizeof(admission_step *));
	size_t mutating = 0, validating = 0, removing = 0;
	for (size_t i = 0; i < ARRAY_LEN(plugins); i++) {
		const struct admission_plugin *p = plugins[i];
		if (listed(options->disable, p->name) ||
			(p->off && !listed(options->enable, p->name)))
			continue;
		if (p->mutate)
			a->mutate[mutating++] = p->mutate;
		if (p->validate)
			a->validate[validating++] = p->validate;
		if (p->remove)
			a->remove[removing++] = p->remove;
	}
	*ret = a;
	return 0;
}

void admission_shutdown(struct admission *a)
{
	if (!a)
		return;
	admission_waits_end(a);
	quota_book_close(a->quotas);
}

void admission_destroy(struct admission *a)
{
	if (!a)
		return;
	quota_book_destroy(a->quotas);
	arena_finish(&a->priority_default.arena);
	free(a->mutate);
	free(a->validate);
	free(a->remove);
	free(a);
}

static int run(admission_step **steps, const struct admission_review *r)
{
	for (; *steps; steps++) {
		int result = (*steps)(r);
		if (result < 0)
			return result;
	}
	return 0;
}

int admission_mutate(const struct admission_review *r)
{
	return run(admission_of(r)->mutate, r);
}

int admission_validate(const struct admission_review *r)
{
	return run(admission_of(r)->validate, r);
}

int admission_delete(const struct admission_review *r)
{
	return run(admission_of(r)->remove, r);
}

int admission_forbid(const struct admission_review *r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *detail = arena_vprintf(r->req->arena, fmt, ap);
	va_end(ap);
	return status_forbidden(r->req->arena, &r->req->st, r->kind, r->name, detail);
}

void admission_error(struct admission_errors *e, const char *fmt, ...)
{
	if (e->list.full)
		return;
	va_list ap;
	va_start(ap, fmt);
	char *text = arena_vprintf(e->arena, fmt, ap);
	va_end(ap);
	e->list.between = ", ";
	listing_add(&e->list, "%s", text);
}

int admission_refuse(const struct admission_review *r, struct admission_errors *e)
{
	size_t count = e->list.count;
	if (count == 0)
		return 0;
	return admission_forbid(r, count > 1 ? "[%s]" : "%s", listing_take(&e->list, e->arena));
}
