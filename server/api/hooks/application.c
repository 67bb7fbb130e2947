/* application.c - Application (hanok.io): what the fields must have to do with each other. What is
 * odd but can be run is told by the control loop, in a condition. */
#include "lib/placement/placement.h"
#include "server/api/hooks/workload.h"

/* A virtual machine is named for its application and its number. */
#define NAME_MAX_BYTES 57

static size_t sources(const struct json *object, const char *const names[])
{
	size_t count = 0;
	for (; *names; names++)
		count += present(json_get(object, *names));
	return count;
}

static void check_disk(struct hook *h, const struct json *spec)
{
	static const char *const types[] = {
		"containerDisk", "hostDisk", "persistentVolumeClaim", "dataVolume", NULL};
	const struct json *disk = json_get(spec, "disk");
	if (!present(disk)) {
		if (!*json_str_or(json_get(spec, "image"), ""))
			required(h, "spec",
				"an image (for containers), a disk (for virtual machines), or "
				"both");
		return;
	}
	if (sources(disk, types) != 1)
		invalid(h, "spec.disk", disk,
			"must have exactly one of containerDisk, hostDisk, persistentVolumeClaim "
			"and dataVolume");
}

static void check_replicas(struct hook *h, const struct json *spec)
{
	const struct json *min = json_get(spec, "minReplicas"),
			  *max = json_get(spec, "maxReplicas");
	if (present(min) && !present(max))
		required(h, "spec.maxReplicas", "together with minReplicas");
	else if (present(max) && json_int_or(min, 1) > json_int_or(max, 1))
		invalid(h, "spec.minReplicas", min, "must not be above maxReplicas");
}

static void check_ports(struct hook *h, const struct json *ports, const char *type)
{
	struct json_seen seen = {.arena = h->arena, .by = {"port", "protocol"}};
	size_t i = 0;
	JSON_FOR_EACH_ITEM(p, ports) {
		char *field = at_item(h, "spec.ports", i);
		if (json_count(ports) > 1)
			require_text(h, at_child(h, field, "name"), json_get(p, "name"));
		if (streq(type, "ClusterIP") && present(json_get(p, "nodePort")))
			forbidden(h, at_child(h, field, "nodePort"),
				"only with the serviceType NodePort or LoadBalancer");
		if (json_seen_put(&seen, p))
			duplicate(h, at_child(h, field, "port"), json_get(p, "port"));
		i++;
	}
}

static void check_volumes(struct hook *h, const struct json *volumes)
{
	static const char *const types[] = {"persistentVolumeClaim", "emptyDir", "configMap",
		"secret", "hostPath", "emptyDisk", "hostDisk", "containerDisk", NULL};
	struct json_seen mounts = {.arena = h->arena, .by = {"mountPath"}};
	size_t i = 0;
	JSON_FOR_EACH_ITEM(v, volumes) {
		char *field = at_item(h, "spec.volumes", i);
		const struct json *path = json_get(v, "mountPath");
		if (sources(v, types) != 1)
			invalid(h, field, json_get(v, "name"), "must have exactly one volume type");
		if (present(path) && json_str_or(path, "")[0] != '/')
			invalid(h, at_child(h, field, "mountPath"), path,
				"must be an absolute path");
		else if (present(path) && json_seen_put(&mounts, v))
			duplicate(h, at_child(h, field, "mountPath"), path);
		/* The names of the disks that every virtual machine of an application has. */
		const char *name = json_str_or(json_get(v, "name"), "");
		if (streq(name, "root-disk") || streq(name, "cloud-init"))
			invalid(h, at_child(h, field, "name"), json_get(v, "name"),
				"is the name of a disk that virtual machines have anyway");
		i++;
	}
}

static void check_probe(struct hook *h, const struct json *probe)
{
	static const char *const types[] = {"httpGet", "tcpSocket", "exec", "grpc", NULL};
	if (present(probe) && sources(probe, types) != 1)
		invalid(h, "spec.readinessProbe", probe,
			"must have exactly one of httpGet, tcpSocket, exec and grpc");
}

/* A fixed side must be able to run it. */
static void check_placement(struct hook *h, const struct json *spec)
{
	const struct json *isolation = json_path(spec, "placement.isolation");
	if (!present(isolation))
		return;
	if (!streq(json_path_str(spec, "placement.policy"), "Fixed")) {
		forbidden(h, "spec.placement.isolation", "only with the policy Fixed");
		return;
	}
	struct placement_facts facts = placement_facts_of_application(h->arena, spec);
	struct placement_weights weights = placement_default_weights();
	struct placement_decision d = placement_decide(h->arena, &facts, &weights);
	const struct placement_constraint *c =
		placement_excluded(&d, placement_isolation_from_name(json_str(isolation)));
	if (c)
		invalid(h, "spec.placement.isolation", isolation, "%s: %s", c->name, c->reason);
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	const struct json *name = json_path(doc, "metadata.name");
	if (strlen(json_str_or(name, "")) > NAME_MAX_BYTES)
		invalid(h, "metadata.name", name, "must be no more than %d characters",
			NAME_MAX_BYTES);
	check_disk(h, spec);
	check_replicas(h, spec);
	check_ports(h, json_get(spec, "ports"), json_str(json_get(spec, "serviceType")));
	check_volumes(h, json_get(spec, "volumes"));
	check_probe(h, json_get(spec, "readinessProbe"));
	container_resources_validate(h, json_get(spec, "resources"), NULL, NULL, "spec.resources");
	check_placement(h, spec);
}

/* What is under way, or what should be. */
static struct json *move_cell(const struct table_row *row, const struct json *status)
{
	const char *to = json_path_str(status, "move.to"),
		   *is = json_str_or(json_get(status, "isolation"), ""),
		   *belongs = json_str_or(json_path(status, "decision.isolation"), "");
	if (to)
		return cell_text(
			row, "%s -> %s", json_str_or(json_path(status, "move.phase"), ""), to);
	if (*is && *belongs && !streq(is, belongs))
		return cell_text(row, "not made -> %s", belongs);
	return cell_text(row, "%s", "");
}

static struct json *cell(const struct table_row *row, const char *column)
{
	const struct json *status = json_get(row->doc, "status");
	if (streq(column, "Ready"))
		return cell_text(row, "%lld/%lld",
			(long long)json_path_int(status, "readyReplicas", 0),
			(long long)json_path_int(status, "wantedReplicas", 0));
	if (streq(column, "Move"))
		return move_cell(row, status);
	if (!streq(column, "Reason"))
		return NULL;
	JSON_FOR_EACH_ITEM(c, json_get(status, "conditions"))
		if (streq(json_str(json_get(c, "type")), "Placed") &&
			!streq(json_str(json_get(c, "status")), "True"))
			return cell_text(row, "%s", json_str_or(json_get(c, "reason"), ""));
	return cell_text(
		row, "%s", placement_short_reason(row->arena, json_get(status, "decision")));
}

const struct kind_hooks hooks_application = {
	.group = "hanok.io",
	.kind = "Application",
	.validate = validate,
	.cell = cell,
};
