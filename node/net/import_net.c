#include "node/net/import_net.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "lib/base/list.h"
#include "lib/json/json.h"
#include "node/net/lease.h"
#include "node/net/net.h"

#define HOLDER "hanok-imports" /* in CNI's stores, where pods have their sandbox */
#define SWITCH "hosts: files dns\npasswd: files\ngroup: files\n"

enum state { NONE, CLEARING, MAKING, ADDING, THERE };

struct import_net {
	uv_loop_t *loop;
	enum state state;
	char *directory, *path, *names; /* the namespace; its nsswitch.conf */
	char *range, *range6;		/* NULL = the bridge is not there yet */
	bool stale;			/* its address may be one of ranges before */
	struct child *child;
	struct list calls;
};

struct import_net_call {
	struct list link;
	struct import_net *n;
	uv_timer_t timer; /* answers are never given within the question */
	import_net_done *done;
	void *user;
};

static void call_freed(uv_handle_t *h)
{
	free(h->data);
}

void import_net_cancel(struct import_net_call *c)
{
	if (!c)
		return;
	list_remove(&c->link);
	uv_close((uv_handle_t *)&c->timer, call_freed);
}

static void answer(struct import_net_call *c, const struct err *err)
{
	struct child_network network = {.namespace = c->n->path, .name_switch = c->n->names};
	import_net_done *done = c->done;
	void *user = c->user;

	import_net_cancel(c);
	done(user, err ? NULL : &network, err);
}

static void answer_all(struct import_net *n, const struct err *err)
{
	struct list now;

	/* One that asks again at once is none of these. */
	list_init(&now);
	while (!list_empty(&n->calls)) {
		struct list *first = n->calls.next;

		list_remove(first);
		list_append(&now, first);
	}
	while (!list_empty(&now))
		answer(CONTAINER_OF(now.next, struct import_net_call, link), err);
}

static void fail(struct import_net *n, struct err *err)
{
	n->state = NONE;
	err_context(err, err->code, "the network that imports are made in");
	answer_all(n, err);
}

static bool is_namespace(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == NSFS_MAGIC;
}

static void run_bridge(struct import_net *n, const char *command,
	void (*done)(void *user, const struct child_result *r, const struct err *err))
{
	_cleanup_(buf_finish) struct buf input = BUF_INIT;
	char path[256], command_env[32], path_env[300];
	const char *directory = lease_plugin("bridge", path, sizeof(path));
	_cleanup_(free_p) char *space =
		xasprintf("CNI_NETNS=%s", is_namespace(n->path) ? n->path : "");
	const char *argv[] = {path, NULL};
	const char *env[] = {
		command_env, "CNI_CONTAINERID=" HOLDER, space, "CNI_IFNAME=eth0", path_env, NULL};

	snprintf(command_env, sizeof(command_env), "CNI_COMMAND=%s", command);
	snprintf(path_env, sizeof(path_env), "CNI_PATH=%s", directory ? directory : "");
	lease_write_bridge(&input, NET_BRIDGE, n->range, n->range6);
	n->child = child_run(&(struct child_options){
		.loop = n->loop,
		.argv = argv,
		.env = env,
		.input = input.data,
		.input_size = input.size,
		.done = done,
		.user = n,
	});
}

static void on_cleared(void *user, const struct child_result *r, const struct err *failure);

static void begin(struct import_net *n)
{
	n->state = CLEARING;
	n->stale = false;
	run_bridge(n, "DEL", on_cleared);
}

static void on_added(void *user, const struct child_result *r, const struct err *failure)
{
	struct import_net *n = user;
	struct err err = ERR_INIT;

	n->child = NULL;
	if (failure) {
		/* CNI plugins explain themselves in JSON on standard output. */
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct json *doc = NULL;
		const char *text;

		if (json_parse(&a, r->out, r->out_size, NULL, &doc, NULL) < 0)
			doc = NULL;
		text = json_str(json_get(doc, "msg"));
		err_set(&err, failure->code, "bridge: %s", text ? text : failure->msg);
		fail(n, &err);
		return;
	}
	n->state = THERE;
	if (n->stale)
		begin(n);
	else
		answer_all(n, NULL);
}

static void on_made(void *user, const struct child_result *r, const struct err *failure)
{
	struct import_net *n = user;
	struct err err = ERR_INIT;

	n->child = NULL;
	if (failure) {
		err = *failure;
		fail(n, &err);
		return;
	}
	n->state = ADDING;
	run_bridge(n, "ADD", on_added);
}

static int give_file(const char *path, const char *text, struct err *err)
{
	_cleanup_(close_p) int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return err_errno(err, -errno, "write '%s'", path);
	return 0;
}

/* Whether there was one is of no matter: who can't be given back is told by ADD. */
static void on_cleared(void *user, const struct child_result *r, const struct err *failure)
{
	struct import_net *n = user;
	_cleanup_(free_p) char *option = xasprintf("--net=%s", n->path);
	const char *argv[] = {"unshare", option, "true", NULL};
	struct err err = ERR_INIT;

	n->child = NULL;
	/* One on top of another, if agents were killed at the wrong time. */
	while (is_namespace(n->path))
		if (umount2(n->path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			break;
	(void)mkdir(n->directory, 0755);
	if (give_file(n->path, "", &err) < 0 || give_file(n->names, SWITCH, &err) < 0) {
		fail(n, &err);
		return;
	}
	n->state = MAKING;
	n->child = child_run(
		&(struct child_options){.loop = n->loop, .argv = argv, .done = on_made, .user = n});
}

static void on_asked(uv_timer_t *t)
{
	struct import_net_call *c = t->data;
	struct import_net *n = c->n;
	struct err err = ERR_INIT;

	if (n->state == THERE && !n->stale && is_namespace(n->path)) {
		answer(c, NULL);
	} else if (!n->range) {
		err_set(&err, -EAGAIN, "the node's network is not ready");
		answer(c, &err);
	} else if (n->state == NONE || n->state == THERE) {
		begin(n);
	}
}

struct import_net_call *import_net_ask(struct import_net *n, import_net_done *done, void *user)
{
	struct import_net_call *c = xcalloc(1, sizeof(*c));

	c->n = n;
	c->done = done;
	c->user = user;
	uv_timer_init(n->loop, &c->timer);
	c->timer.data = c;
	uv_timer_start(&c->timer, on_asked, 0, 0);
	list_append(&n->calls, &c->link);
	return c;
}

void import_net_set_ranges(struct import_net *n, const char *range, const char *range6)
{
	if (n->range && streq(n->range, range) && streq(n->range6, range6))
		return;
	free(n->range);
	free(n->range6);
	n->range = xstrdup(range);
	n->range6 = xstrdup(range6);
	n->stale = true;
}

struct import_net *import_net_create(uv_loop_t *loop, const char *directory)
{
	struct import_net *n = xcalloc(1, sizeof(*n));

	n->loop = loop;
	n->directory = xstrdup(directory);
	n->path = xasprintf("%s/imports.net", directory);
	n->names = xasprintf("%s/imports.nsswitch", directory);
	list_init(&n->calls);
	return n;
}

void import_net_destroy(struct import_net *n)
{
	if (!n)
		return;
	child_cancel(n->child);
	while (!list_empty(&n->calls))
		import_net_cancel(CONTAINER_OF(n->calls.next, struct import_net_call, link));
	free(n->directory);
	free(n->path);
	free(n->names);
	free(n->range);
	free(n->range6);
	free(n);
}
