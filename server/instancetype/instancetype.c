#include "server/instancetype/instancetype.h"

#include <errno.h>
#include <strings.h>

#define GROUP "instancetype.kubevirt.io"

static const struct {
	const char *kind;
	enum instancetype_role role;
	bool cluster;
} kinds[] = {
	{"VirtualMachineClusterInstancetype", ROLE_INSTANCETYPE, true},
	{"VirtualMachineInstancetype", ROLE_INSTANCETYPE, false},
	{"VirtualMachineClusterPreference", ROLE_PREFERENCE, true},
	{"VirtualMachinePreference", ROLE_PREFERENCE, false},
};

struct json *instancetype_matcher(const struct json *vm, enum instancetype_role role)
{
	struct json *m =
		json_path(vm, role == ROLE_INSTANCETYPE ? "spec.instancetype" : "spec.preference");
	return json_is(m, JSON_OBJECT) ? m : NULL;
}

const char *instancetype_kind(const char *kind, enum instancetype_role role)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t size = strlen(kinds[i].kind);
		if (kinds[i].role != role)
			continue;
		/* The first of a role is the default. */
		if (!kind || !*kind)
			return kinds[i].kind;
		if (strncasecmp(kind, kinds[i].kind, size) == 0 &&
			(!kind[size] || strcasecmp(kind + size, "s") == 0))
			return kinds[i].kind;
	}
	return NULL;
}

bool instancetype_is_cluster(const char *kind)
{
	return str_has_prefix(kind, "VirtualMachineCluster");
}

/* The revision that the machine is bound to; NULL = none. */
static const char *bound_revision(
	const struct json *vm, const struct json *matcher, enum instancetype_role role)
{
	const char *named = json_str(json_get(matcher, "revisionName"));
	if (named && *named)
		return named;
	const struct json *ref = json_path(
		vm, role == ROLE_INSTANCETYPE ? "status.instancetypeRef" : "status.preferenceRef");
	const char *kind = instancetype_kind(json_str(json_get(matcher, "kind")), role);
	/* Of what the machine named before it is no help. */
	if (!kind ||
		!streq(json_str(json_get(ref, "name")),
			json_str_or(json_get(matcher, "name"), "")) ||
		!streq(instancetype_kind(json_str(json_get(ref, "kind")), role), kind))
		return NULL;
	named = json_path_str(ref, "controllerRevisionRef.name");
	return named && *named ? named : NULL;
}

static const char *plural(struct arena *a, const char *kind)
{
	char *p = arena_printf(a, "%ss", kind);
	for (char *c = p; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + 'a' - 'A');
	return p;
}

int instancetype_find(const struct instancetype_source *source, struct arena *a,
	const struct json *vm, const char *namespace, enum instancetype_role role,
	const struct json **ret, const char **ret_revision, struct err *err)
{
	const struct json *matcher = instancetype_matcher(vm, role);
	*ret = NULL;
	*ret_revision = NULL;
	if (!matcher)
		return 0;
	const char *name = json_str_or(json_get(matcher, "name"), "");
	const char *kind = instancetype_kind(json_str(json_get(matcher, "kind")), role);
	if (!kind)
		return err_set(err, -EINVAL, "got unexpected kind in %s: %s",
			role == ROLE_INSTANCETYPE ? "InstancetypeMatcher" : "PreferenceMatcher",
			json_str(json_get(matcher, "kind")));
	const char *revision = bound_revision(vm, matcher, role);
	if (revision) {
		*ret_revision = revision;
		const struct json *doc = source->get(
			source->user, a, "apps", "ControllerRevision", namespace, revision);
		if (!json_path(doc, "data.spec"))
			return err_set(err, -ENOENT, "controllerrevisions.apps \"%s\" not found",
				revision);
		*ret = json_get(doc, "data");
		return 0;
	}
	*ret = source->get(
		source->user, a, GROUP, kind, instancetype_is_cluster(kind) ? "" : namespace, name);
	if (!*ret)
		return err_set(
			err, -ENOENT, "%s." GROUP " \"%s\" not found", plural(a, kind), name);
	return 0;
}

/* ---- inferFromVolume ---- */

struct inference {
	const struct instancetype_source *source;
	struct arena *a;
	const struct json *vm;
	const char *namespace;
	const char *name_label, *kind_label;
	const char *name, *kind; /* found */
	struct err *err;
};

/* -ENODATA: there is nothing to infer from, which a machine may want to be ignored. */
static int from_labels(struct inference *i, const struct json *object)
{
	const struct json *labels = json_path(object, "metadata.labels");
	i->name = json_str(json_get(labels, i->name_label));
	if (!i->name || !*i->name)
		return err_set(i->err, -ENODATA, "unable to find required %s label on the volume",
			i->name_label);
	i->kind = json_str(json_get(labels, i->kind_label));
	return 0;
}

static int from_claim(struct inference *i, const char *namespace, const char *name)
{
	const struct json *pvc =
		i->source->get(i->source->user, i->a, "", "PersistentVolumeClaim", namespace, name);
	if (!pvc)
		return err_set(i->err, -ENOENT, "persistentvolumeclaims \"%s\" not found", name);
	return from_labels(i, pvc);
}

static int from_data_source(struct inference *i, const char *namespace, const char *name)
{
	const struct json *ds = i->source->get(
		i->source->user, i->a, "cdi.kubevirt.io", "DataSource", namespace, name);
	if (!ds)
		return err_set(
			i->err, -ENOENT, "datasources.cdi.kubevirt.io \"%s\" not found", name);
	if (from_labels(i, ds) == 0)
		return 0;
	const char *claim = json_path_str(ds, "spec.source.pvc.name");
	if (!claim)
		return err_set(i->err, -ENODATA,
			"unable to infer defaults from DataSource that doesn't provide "
			"DataVolumeSourcePVC");
	const char *in = json_path_str(ds, "spec.source.pvc.namespace");
	return from_claim(i, in ? in : namespace, claim);
}

static int from_data_volume_spec(struct inference *i, const struct json *spec)
{
	const char *claim = json_path_str(spec, "source.pvc.name");
	const char *in = json_path_str(spec, "source.pvc.namespace");
	if (claim)
		return from_claim(i, in ? in : i->namespace, claim);
	const char *kind = json_path_str(spec, "sourceRef.kind");
	if (!kind)
		return err_set(i->err, -ENODATA,
			"unable to infer defaults from DataVolumeSpec as DataVolumeSource is not "
			"supported");
	if (!streq(kind, "DataSource"))
		return err_set(i->err, -ENODATA,
			"unable to infer defaults from DataVolumeSourceRef as Kind %s is not "
			"supported",
			kind);
	in = json_path_str(spec, "sourceRef.namespace");
	const char *name = json_path_str(spec, "sourceRef.name");
	return from_data_source(i, in ? in : i->namespace, name ? name : "");
}

static int from_data_volume(struct inference *i, const char *name)
{
	JSON_FOR_EACH_ITEM(t, json_path(i->vm, "spec.dataVolumeTemplates")) {
		if (!streq(json_path_str(t, "metadata.name"), name))
			continue;
		return from_labels(i, t) == 0 ? 0 : from_data_volume_spec(i, json_get(t, "spec"));
	}
	const struct json *dv = i->source->get(
		i->source->user, i->a, "cdi.kubevirt.io", "DataVolume", i->namespace, name);
	if (!dv)
		return from_claim(i, i->namespace, name); /* it may be gone, its claim not */
	return from_labels(i, dv) == 0 ? 0 : from_data_volume_spec(i, json_get(dv, "spec"));
}

static int from_volume(struct inference *i, const char *volume)
{
	JSON_FOR_EACH_ITEM(v, json_path(i->vm, "spec.template.spec.volumes")) {
		if (!streq(json_str(json_get(v, "name")), volume))
			continue;
		const char *claim = json_path_str(v, "persistentVolumeClaim.claimName");
		const char *dv = json_path_str(v, "dataVolume.name");
		if (claim)
			return from_claim(i, i->namespace, claim);
		if (dv)
			return from_data_volume(i, dv);
		return err_set(i->err, -ENODATA,
			"unable to infer defaults from volume %s as type is not supported", volume);
	}
	return err_set(i->err, -ENOENT, "unable to find volume %s to infer defaults", volume);
}

int instancetype_infer(const struct instancetype_source *source, struct arena *a, struct json *vm,
	const char *namespace, enum instancetype_role role, struct err *err)
{
	bool size = role == ROLE_INSTANCETYPE;
	const struct json *matcher = instancetype_matcher(vm, role);
	const char *volume = json_str(json_get(matcher, "inferFromVolume"));
	if (!volume || !*volume)
		return 0;
	bool ignore = streq(json_str(json_get(matcher, "inferFromVolumeFailurePolicy")), "Ignore");
	struct err why = ERR_INIT;
	struct inference i = {
		.source = source,
		.a = a,
		.vm = vm,
		.namespace = namespace,
		.name_label = size ? GROUP "/default-instancetype" : GROUP "/default-preference",
		.kind_label = size ? GROUP "/default-instancetype-kind"
				   : GROUP "/default-preference-kind",
		.err = &why,
	};
	int r = from_volume(&i, volume);
	struct json *spec = json_get(vm, "spec");
	const char *member = size ? "instancetype" : "preference";
	if (r == -ENODATA && ignore) {
		json_remove(spec, member);
		return 0;
	}
	if (r < 0)
		return err_set(err, r, "%s", why.msg);
	/* Who says "Ignore" has put in a memory for the case that nothing is found. */
	if (size && ignore)
		json_remove(json_path(spec, "template.spec.domain"), "memory");
	struct json *found = json_new_object(a);
	json_set_str(a, found, "name", i.name);
	if (i.kind && *i.kind)
		json_set_str(a, found, "kind", i.kind);
	json_set(a, spec, member, found);
	return 0;
}
