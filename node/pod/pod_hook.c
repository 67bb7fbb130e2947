/* pod_hook.c - lifecycle handlers. An HTTP hook has done its work with any answer. */
#include "node/pod/pod_check.h"

struct pod_hook {
	struct pod_check *check;
	struct pod_worker *w;
	size_t container;
	bool http, exec;
	void (*done)(void *user, const struct err *err);
	void *user;
};

static void on_checked(void *user, enum check_result result, const char *text)
{
	struct pod_hook *h = user;
	struct err err = ERR_INIT;

	bool fine = result == CHECK_OK || result == CHECK_WARNING ||
		    (h->http && str_has_prefix(text, "HTTP probe failed with statuscode"));
	if (!fine)
		err_set(&err, -EIO,
			"%s lifecycle hook for Container \"%s\" in Pod \"%s_%s(%s)\" failed - "
			"error: "
			"%s",
			h->exec	  ? "Exec"
			: h->http ? "HTTP"
				  : "TCP",
			h->w->containers[h->container].name, h->w->name, h->w->ns, h->w->uid, text);
	h->done(h->user, fine ? NULL : &err);
	free(h);
}

struct pod_hook *pod_hook_run(struct pod_worker *w, size_t container, const struct json *handler,
	int64_t timeout_ms, void (*done)(void *user, const struct err *err), void *user)
{
	struct pod_hook *h = xcalloc(1, sizeof(*h));

	h->done = done;
	h->user = user;
	h->w = w;
	h->container = container;
	h->http = json_get(handler, "httpGet");
	h->exec = json_get(handler, "exec");
	h->check = pod_check_run(w, container, handler, timeout_ms, on_checked, h);
	return h;
}

void pod_hook_cancel(struct pod_hook *h)
{
	if (!h)
		return;
	pod_check_cancel(h->check);
	free(h);
}
