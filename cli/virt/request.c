/* request.c - whom a verb means, and the requests about it. */
#include <stdio.h>
#include <strings.h>

#include "cli/virt/virt.h"

static const char *resource_of(struct str type)
{
	static const struct {
		const char *word, *resource;
	} words[] = {
		{"vm", "virtualmachines"},
		{"vms", "virtualmachines"},
		{"virtualmachine", "virtualmachines"},
		{"virtualmachines", "virtualmachines"},
		{"vmi", "virtualmachineinstances"},
		{"vmis", "virtualmachineinstances"},
		{"virtualmachineinstance", "virtualmachineinstances"},
		{"virtualmachineinstances", "virtualmachineinstances"},
	};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strlen(words[i].word) == type.size &&
			strncasecmp(words[i].word, type.p, type.size) == 0)
			return words[i].resource;
	return NULL;
}

int virt_target(struct virt *v, const char *text, struct virt_target *ret, struct err *err)
{
	struct str rest = str_from(text), part[3];
	unsigned count = 0;
	while (count < 3 && str_split(&rest, '/', &part[count]))
		count++;
	bool whole = rest.p == NULL;
	for (unsigned i = 0; i < count; i++)
		whole = whole && part[i].size > 0;
	const char *resource = count > 1 ? resource_of(part[0]) : "virtualmachines";
	if (!whole || count == 0)
		return virt_misuse(v, err, "'%s': must be NAME or TYPE/NAME[/NAMESPACE]", text);
	if (!resource)
		return virt_misuse(v, err, "'%s': the type must be vm or vmi", text);
	struct str name = count > 1 ? part[1] : part[0];
	*ret = (struct virt_target){
		.resource = resource,
		.name = arena_printf(&v->arena, STR_FMT, STR_ARG(name)),
		.namespace = count == 3 ? arena_printf(&v->arena, STR_FMT, STR_ARG(part[2]))
					: v->namespace,
		.typed = count > 1,
	};
	return 0;
}

int virt_target_args(struct virt *v, struct virt_target *ret, unsigned *ret_used, struct err *err)
{
	const char *resource = v->arg_count > 1 ? resource_of(str_from(v->args[0])) : NULL;
	*ret_used = resource ? 2 : 1;
	int r = virt_target(v, v->args[*ret_used - 1], ret, err);
	if (r == 0 && resource) {
		ret->resource = resource;
		ret->typed = true;
	}
	return r;
}

const char *virt_path(struct virt *v, const char *group_version, const char *namespace,
	const char *resource, const char *name, const char *sub)
{
	struct arena *a = &v->arena;
	const char *root = strchr(group_version, '/') ? "/apis" : "/api";
	const char *path = namespace
				   ? arena_printf(a, "%s/%s/namespaces/%s/%s", root, group_version,
					     percent_encode(a, str_from(namespace)), resource)
				   : arena_printf(a, "%s/%s/%s", root, group_version, resource);
	if (name)
		path = arena_printf(a, "%s/%s", path, percent_encode(a, str_from(name)));
	return sub ? arena_printf(a, "%s/%s", path, sub) : path;
}

const char *virt_vm_path(struct virt *v, const char *resource, const char *name)
{
	return virt_path(v, "kubevirt.io/v1", v->namespace, resource, name, NULL);
}

const char *virt_sub_path(struct virt *v, const struct virt_target *t, const char *sub)
{
	return virt_path(v, "subresources.kubevirt.io/v1", t->namespace, t->resource, t->name, sub);
}

int virt_get(struct virt *v, const char *path, struct json **ret, struct err *err)
{
	return api_session_get(v->session, &v->arena, path, ret, err);
}

int virt_send(struct virt *v, const char *method, const char *path, const char *content_type,
	const struct json *body, struct json **ret, struct err *err)
{
	const char *text = body ? json_text(&v->arena, body) : NULL;
	struct api_session_request request = {
		.method = method,
		.path = path,
		.content_type = content_type,
		.body = text,
		.body_size = text ? strlen(text) : 0,
		.timeout_s = v->answer_s,
	};
	struct api_session_answer answer;
	int r = api_session_call(v->session, &v->arena, &request, &answer, err);
	if (r == 0 && ret)
		*ret = answer.doc;
	return r;
}

int virt_update(struct virt *v, const char *path,
	int (*change)(struct virt *v, struct json *object, void *user, struct err *err), void *user,
	struct err *err)
{
	for (int tries = 0;; tries++) {
		struct json *object;
		struct err mine = ERR_INIT;
		int r = virt_get(v, path, &object, err);
		if (r == 0)
			r = change(v, object, user, err);
		if (r < 0)
			return r;
		const char *text = json_text(&v->arena, object);
		struct api_session_request request = {
			.method = "PUT", .path = path, .body = text, .body_size = strlen(text)};
		struct api_session_answer answer;
		r = api_session_call(v->session, &v->arena, &request, &answer, &mine);
		if (r == 0)
			return 0;
		if (answer.code != 409 || tries == 20)
			return err_set(err, r, "%s", mine.msg);
	}
}

void virt_say(const struct virt_target *t, const char *what)
{
	printf("%s %s/%s: %s\n",
		streq(t->resource, "virtualmachines") ? "virtual machine"
						      : "virtual machine instance",
		t->namespace, t->name, what);
}
