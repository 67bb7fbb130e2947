/* Sharing, turns, tokens and credentials of pulls, on a runtime that is played, under a virtual
 * clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/base/vec.h"
#include "lib/client/wakeup.h"
#include "node/image/image_puller.h"

/* ---- the runtime that is played ---- */

struct grpc_call {
	char image[64], user[32];
	bool gone;
	grpc_done *done;
	void *done_user;
};
static VEC(struct grpc_call *) calls;
static unsigned downloads_asked;
static struct grpc_call downloads_call;
static struct cri_downloads downloads;

struct grpc_call *cri_pull_image(struct cri *c, const char *image, Cri__AuthConfig *auth,
	Cri__PodSandboxConfig *config, grpc_done *done, void *user)
{
	struct grpc_call *call = xcalloc(1, sizeof(*call));

	snprintf(call->image, sizeof(call->image), "%s", image);
	snprintf(call->user, sizeof(call->user), "%s", auth ? auth->username : "-");
	call->done = done;
	call->done_user = user;
	VEC_PUSH(&calls, call);
	return call;
}

struct grpc_call *cri_list_downloads(struct cri *c, grpc_done *done, void *user)
{
	downloads_asked++;
	downloads_call = (struct grpc_call){.done = done, .done_user = user};
	return &downloads_call;
}

void cri_downloads_read(const struct grpc_result *r, struct cri_downloads *ret)
{
	*ret = downloads;
}

void grpc_call_cancel(struct grpc_call *call)
{
	if (call)
		call->gone = true;
}

/* ---- the clock ---- */

static int64_t time_ns;

static int64_t virtual_now(struct clock *c)
{
	return time_ns;
}

static struct clock virtual_clock = {.wall_ns = virtual_now, .mono_ns = virtual_now};

static void pass(int64_t ms)
{
	int64_t end = time_ns + ms * NS_PER_MS;

	for (;;) {
		int64_t next = wakeup_run_due(&virtual_clock);
		if (next > end)
			break;
		time_ns = MAX(time_ns, next);
	}
	time_ns = end;
	wakeup_run_due(&virtual_clock);
}

/* ---- those who wait ---- */

struct waiter {
	struct image_pull_wait *wait;
	unsigned done, told;
	char error[256], text[256];
	int64_t pull_ns;
	struct waiter *cancels; /* when it is told */
};

static void on_done(void *user, const struct image_pulled *r)
{
	struct waiter *w = user;

	w->wait = NULL;
	w->done++;
	w->pull_ns = r->pull_ns;
	snprintf(w->error, sizeof(w->error), "%s", r->error ? r->error : "");
	if (w->cancels) {
		image_pull_cancel(w->cancels->wait);
		w->cancels->wait = NULL;
	}
}

static void on_progress(void *user, const char *text)
{
	struct waiter *w = user;

	w->told++;
	snprintf(w->text, sizeof(w->text), "%s", text);
}

static struct node_config config;
static struct image_puller *p;
static char dir[64];

static int setup(void **state)
{
	config = (struct node_config){
		.max_parallel_image_pulls = 2, .registry_pull_qps = 0, .registry_burst = 1};
	snprintf(dir, sizeof(dir), "/tmp/image_puller_test.%d", getpid());
	mkdir(dir, 0700);
	time_ns = NS_PER_S;
	downloads_asked = 0;
	p = image_puller_create(&(struct image_puller_options){
		.clock = &virtual_clock, .config = &config, .data_dir = dir});
	return 0;
}

static int teardown(void **state)
{
	char path[128];

	image_puller_destroy(p);
	for (size_t i = 0; i < calls.count; i++)
		free(calls.items[i]);
	VEC_FINISH(&calls);
	snprintf(path, sizeof(path), "%s/images.json", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/config.json", dir);
	unlink(path);
	rmdir(dir);
	return 0;
}

static void ask(struct waiter *w, const char *image, const char *user1, const char *user2)
{
	struct image_auth auths[2] = {{.username = user1,
					      .password = "p",
					      .identity_token = "",
					      .secret_namespace = "n",
					      .secret_name = user1,
					      .secret_uid = user1},
		{.username = user2, .password = "p", .identity_token = ""}};
	size_t count = (user1 != NULL) + (user2 != NULL);

	for (size_t i = 0; i < count; i++)
		snprintf(auths[i].hash, sizeof(auths[i].hash), "%s", auths[i].username);
	w->wait = image_pull(p, &(struct image_pull_request){
					.image = image,
					.auths = auths,
					.auth_count = count,
					.progress = on_progress,
					.done = on_done,
					.user = w,
				});
}

static void answer(size_t i, const char *error, int status)
{
	Cri__PullImageResponse ok = CRI__PULL_IMAGE_RESPONSE__INIT;
	struct grpc_call *c = calls.items[i];

	ok.image_ref = (char *)(uintptr_t) "sha256:id";
	assert_false(c->gone);
	c->gone = true;
	c->done(c->done_user, error ? &(struct grpc_result){.status = status, .message = error}
				    : &(struct grpc_result){.message = "", .response = &ok});
}

static void one_pull_for_many(void **state)
{
	struct waiter w[10] = {0};

	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		ask(&w[i], "h.example/x:1", NULL, NULL);
	assert_int_equal(calls.count, 1);
	w[2].cancels = &w[5];
	image_pull_cancel(w[9].wait);
	pass(1234);
	answer(0, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		assert_int_equal(w[i].done, i == 5 || i == 9 ? 0 : 1);
		assert_string_equal(w[i].error, "");
	}
	assert_int_equal(w[0].pull_ns, 1234 * NS_PER_MS);
	/* Who comes later asks anew; other credentials are another pull. */
	ask(&w[0], "h.example/x:1", NULL, NULL);
	ask(&w[1], "h.example/x:1", "alice", NULL);
	assert_int_equal(calls.count, 3);
	assert_string_equal(calls.items[2]->user, "alice");
}

static void turns(void **state)
{
	struct waiter w[4] = {0};
	char name[32];

	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		snprintf(name, sizeof(name), "h.example/x%zu", i);
		ask(&w[i], name, NULL, NULL);
	}
	assert_int_equal(calls.count, 2);
	answer(1, "no", GRPC_UNKNOWN);
	assert_int_equal(calls.count, 3);
	assert_string_equal(calls.items[2]->image, "h.example/x2");
	/* Nobody waits for it any more: it makes room. */
	image_pull_cancel(w[0].wait);
	assert_true(calls.items[0]->gone);
	assert_int_equal(calls.count, 4);
	assert_string_equal(w[1].error, "no");
	assert_int_equal(w[0].done, 0);
}

static void one_at_a_time(void **state)
{
	struct waiter a = {0}, b = {0};

	config.serialize_image_pulls = true;
	ask(&a, "h.example/a", NULL, NULL);
	ask(&b, "h.example/b", NULL, NULL);
	assert_int_equal(calls.count, 1);
	answer(0, NULL, 0);
	assert_int_equal(calls.count, 2);
}

static void tokens(void **state)
{
	struct waiter w[8] = {0};
	char name[32];

	config.max_parallel_image_pulls = 0;
	config.registry_pull_qps = 2;
	config.registry_burst = 3;
	image_puller_destroy(p);
	p = image_puller_create(&(struct image_puller_options){
		.clock = &virtual_clock, .config = &config, .data_dir = dir});
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		snprintf(name, sizeof(name), "h.example/x%zu", i);
		ask(&w[i], name, NULL, NULL);
	}
	assert_int_equal(calls.count, 3);
	pass(499);
	assert_int_equal(calls.count, 3);
	pass(3);
	assert_int_equal(calls.count, 4);
	pass(2100);
	assert_int_equal(calls.count, 8);
}

static void credentials_in_turn(void **state)
{
	struct waiter w = {0};

	ask(&w, "h.example/x", "alice", "bob");
	assert_string_equal(calls.items[0]->user, "alice");
	answer(0, "denied", GRPC_UNKNOWN);
	assert_int_equal(w.done, 0);
	assert_string_equal(calls.items[1]->user, "bob");
	answer(1, "no such tag", GRPC_NOT_FOUND);
	assert_string_equal(w.error, "[denied, rpc error: code = NotFound desc = no such tag]");
	assert_false(image_records_restricted(image_puller_records(p), "sha256:id", "h.example/x"));

	ask(&w, "h.example/x", "alice", "bob");
	answer(2, "denied", GRPC_UNKNOWN);
	answer(3, "denied", GRPC_UNKNOWN);
	assert_string_equal(w.error, "denied");

	ask(&w, "h.example/x", "alice", "bob");
	answer(4, NULL, 0);
	assert_true(image_records_restricted(image_puller_records(p), "sha256:id", "h.example/x"));
}

static void broken_off_stays_restricted(void **state)
{
	struct waiter w = {0};

	ask(&w, "h.example/x", "alice", NULL);
	image_pull_cancel(w.wait);
	assert_true(image_records_restricted(image_puller_records(p), "sha256:id", "h.example/x"));
}

static void finish_downloads(void)
{
	downloads_call.done(downloads_call.done_user, &(struct grpc_result){.message = ""});
}

static void tells_of_long_pulls(void **state)
{
	struct waiter w = {0}, other = {0};

	ask(&w, "h.example/x", NULL, NULL);
	pass(9900);
	assert_int_equal(downloads_asked, 0);
	pass(200);
	assert_int_equal(downloads_asked, 1);
	downloads = (struct cri_downloads){2, 3 << 20, 12 << 20};
	finish_downloads();
	assert_string_equal(
		w.text, "Pulling image \"h.example/x\": 10s so far, 3.0 MiB of 12.0 MiB");
	pass(19000);
	assert_int_equal(downloads_asked, 1);
	ask(&other, "h.example/y", NULL, NULL);
	pass(1100);
	assert_int_equal(downloads_asked, 2);
	finish_downloads();
	assert_string_equal(w.text, "Pulling image \"h.example/x\": 30s so far, 3.0 MiB of "
				    "12.0 MiB of the 2 images under way");
	downloads = (struct cri_downloads){0};
	for (int i = 0; i < 600; i++) {
		unsigned before = downloads_asked;
		pass(1000);
		if (downloads_asked > before)
			finish_downloads();
	}
	/* Every minute, of both. */
	assert_in_range(w.told, 10, 14);
	answer(0, NULL, 0);
	answer(1, NULL, 0);
	unsigned before = downloads_asked;
	pass(600 * 1000);
	assert_int_equal(downloads_asked, before);
}

static void credentials_of_the_node(void **state)
{
	struct arena a = ARENA_INIT;
	struct image_keyring k;
	struct image_auth found[2];
	char path[128];

	image_keyring_init(&k, &a);
	image_puller_add_node_auths(p, &k);
	assert_int_equal(k.count, 0);
	snprintf(path, sizeof(path), "%s/config.json", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs("{\"auths\":{\"h.example\":{\"username\":\"n\",\"password\":\"p\"}}}", f);
	fclose(f);
	image_puller_add_node_auths(p, &k);
	assert_int_equal(image_keyring_find(&k, "h.example/x", found, 2), 1);
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_pull_for_many, setup, teardown),
		cmocka_unit_test_setup_teardown(turns, setup, teardown),
		cmocka_unit_test_setup_teardown(one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(tokens, setup, teardown),
		cmocka_unit_test_setup_teardown(credentials_in_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_off_stays_restricted, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_of_long_pulls, setup, teardown),
		cmocka_unit_test_setup_teardown(credentials_of_the_node, setup, teardown),
	};

	return cmocka_run_group_tests_name("image_puller", tests, NULL, NULL);
}
