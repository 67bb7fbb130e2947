/* pod_hook.c - lifecycle handlers. An HTTP hook has done its work with any answer. */
#include "node/pod/pod_check.h"

struct pod_hook {
	struct pod_check *check;
	void (*done)(void *user, const struct err *err);
	void *user;
};

static void on_checked(void *user, enum check_result result, const char *text)
{
	struct pod_hook *h = user;
	struct err err = ERR_INIT;

	if (result != CHECK_OK)
		err_set(&err, -EIO, "%s", text);
	bool answered = str_has_prefix(text, "HTTP probe failed with statuscode");
	h->done(h->user, result == CHECK_OK || answered ? NULL : &err);
	free(h);
}

struct pod_hook *pod_hook_run(struct pod_worker *w, size_t container, const struct json *handler,
	int64_t timeout_ms, void (*done)(void *user, const struct err *err), void *user)
{
	struct pod_hook *h = xcalloc(1, sizeof(*h));

	h->done = done;
	h->user = user;
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
