/* file_work.c - see file_work.h. */
#include "node/volume/file_work.h"

#include <pthread.h>
#include <signal.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

enum {
	STACK_BYTES = 1 << 20,
	IDLE_S = 10,	    /* a thread without work ends after this */
	TELL_S = 60,	    /* what hangs is told to the log after this */
	LOOK_MS_MIN = 10,   /* how often it is seen to who has become slow */
	LOOK_MS_MAX = 1000, /* ... */
};

struct file_job {
	struct list link; /* in queued, running or ended */
	struct file_work *f;
	char *key;
	file_job_run *run;
	file_job_done *done;
	void *user;
	int64_t started_ns; /* monotonic; 0 = not yet */
	bool cancelled, told;
};

struct file_work {
	pthread_mutex_t lock;
	pthread_cond_t wanted; /* there is work, or nobody is needed any more */
	uv_async_t async;      /* something ended */
	uv_timer_t look;
	unsigned at_once, slow_ms;
	struct list queued, running, ended;
	unsigned threads, idle;
	unsigned handles; /* of the loop, still open */
	bool closed;
};

static int64_t now_ns(void)
{
	struct clock *c = clock_system();

	return c->mono_ns(c);
}

static void job_free(struct file_job *j)
{
	free(j->key);
	free(j);
}

/* Without the lock. */
static void job_end(struct file_job *j, bool cancelled)
{
	j->done(j->user, cancelled);
	job_free(j);
}

/* One user (a thread, a handle of the loop) less, with the lock, which it gives back. */
static void release(struct file_work *f, unsigned *users)
{
	(*users)--;
	bool last = f->closed && f->threads == 0 && f->handles == 0;
	pthread_mutex_unlock(&f->lock);
	if (!last)
		return;
	pthread_cond_destroy(&f->wanted);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/* ---- with the lock ---- */

static bool key_runs(const struct file_work *f, const char *key)
{
	LIST_FOR_EACH(j, &f->running, struct file_job, link)
		if (streq(j->key, key))
			return true;
	return false;
}

static unsigned running_well(const struct file_work *f)
{
	int64_t slow_ns = now_ns() - f->slow_ms * NS_PER_MS;
	unsigned n = 0;

	LIST_FOR_EACH(j, &f->running, struct file_job, link)
		n += j->started_ns > slow_ns;
	return n;
}

/* The first that may run, NULL when none may. */
static struct file_job *next_job(const struct file_work *f)
{
	if (list_empty(&f->queued) || running_well(f) >= f->at_once)
		return NULL;
	LIST_FOR_EACH(j, &f->queued, struct file_job, link)
		if (!key_runs(f, j->key))
			return j;
	return NULL;
}

static void *thread_main(void *user);

static void want_thread(struct file_work *f)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;

	if (!next_job(f))
		return;
	if (f->idle > 0) {
		pthread_cond_signal(&f->wanted);
		return;
	}
	if (f->threads >= FILE_WORK_THREADS_MAX)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* Without a thread the next look tries again. */
	if (pthread_create(&thread, &attr, thread_main, f) == 0)
		f->threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
}

/* ---- threads ---- */

/* False when it came to nothing for so long that the thread may end. */
static bool wait_for_work(struct file_work *f)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_S;
	f->idle++;
	int r = pthread_cond_timedwait(&f->wanted, &f->lock, &until);
	f->idle--;
	return r == 0;
}

static void *thread_main(void *user)
{
	struct file_work *f = user;

	pthread_mutex_lock(&f->lock);
	for (;;) {
		struct file_job *j = f->closed ? NULL : next_job(f);
		if (f->closed || (!j && !wait_for_work(f) && !next_job(f)))
			break;
		if (!j)
			continue;
		list_remove(&j->link);
		list_append(&f->running, &j->link);
		j->started_ns = now_ns();
		/* More than one may have become possible. */
		want_thread(f);
		pthread_mutex_unlock(&f->lock);
		j->run(j->user);
		pthread_mutex_lock(&f->lock);
		list_remove(&j->link);
		if (f->closed) {
			pthread_mutex_unlock(&f->lock);
			job_end(j, true);
			pthread_mutex_lock(&f->lock);
		} else {
			list_append(&f->ended, &j->link);
			uv_async_send(&f->async);
		}
	}
	release(f, &f->threads);
	return NULL;
}

/* ---- loop ---- */

static void on_ended(uv_async_t *async)
{
	struct file_work *f = async->data;
	struct list ended;

	list_init(&ended);
	pthread_mutex_lock(&f->lock);
	while (!list_empty(&f->ended)) {
		struct list *first = f->ended.next;
		list_remove(first);
		list_append(&ended, first);
	}
	pthread_mutex_unlock(&f->lock);
	/* One by one: done may cancel others of these. */
	while (!list_empty(&ended)) {
		struct file_job *j = CONTAINER_OF(ended.next, struct file_job, link);
		list_remove(&j->link);
		job_end(j, j->cancelled);
	}
}

static void on_look(uv_timer_t *timer)
{
	struct file_work *f = timer->data;
	int64_t told_ns = now_ns() - TELL_S * NS_PER_S;

	pthread_mutex_lock(&f->lock);
	LIST_FOR_EACH(j, &f->running, struct file_job, link) {
		if (j->told || j->started_ns > told_ns)
			continue;
		j->told = true;
		log_warn("file operations take long; a file system may not answer", "of", j->key,
			NULL);
	}
	want_thread(f);
	if (list_empty(&f->queued) && list_empty(&f->running))
		uv_timer_stop(timer);
	pthread_mutex_unlock(&f->lock);
}

struct file_work *file_work_create(uv_loop_t *loop, unsigned at_once, unsigned slow_ms)
{
	struct file_work *f = xcalloc(1, sizeof(*f));
	pthread_condattr_t attr;

	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wanted, &attr);
	pthread_condattr_destroy(&attr);
	f->at_once = at_once;
	f->slow_ms = slow_ms;
	list_init(&f->queued);
	list_init(&f->running);
	list_init(&f->ended);
	uv_async_init(loop, &f->async, on_ended);
	uv_timer_init(loop, &f->look);
	f->async.data = f->look.data = f;
	f->handles = 2;
	return f;
}

static void on_closed(uv_handle_t *h)
{
	struct file_work *f = h->data;

	pthread_mutex_lock(&f->lock);
	release(f, &f->handles);
}

void file_work_destroy(struct file_work *f)
{
	struct list left;

	if (!f)
		return;
	list_init(&left);
	pthread_mutex_lock(&f->lock);
	f->closed = true;
	LIST_FOR_EACH(j, &f->queued, struct file_job, link) {
		list_remove(&j->link);
		list_append(&left, &j->link);
	}
	LIST_FOR_EACH(j, &f->ended, struct file_job, link) {
		list_remove(&j->link);
		list_append(&left, &j->link);
	}
	pthread_cond_broadcast(&f->wanted);
	pthread_mutex_unlock(&f->lock);
	LIST_FOR_EACH(j, &left, struct file_job, link) {
		list_remove(&j->link);
		job_end(j, true);
	}
	uv_close((uv_handle_t *)&f->async, on_closed);
	uv_close((uv_handle_t *)&f->look, on_closed);
}

struct file_job *file_work_queue(
	struct file_work *f, const char *key, file_job_run *run, file_job_done *done, void *user)
{
	struct file_job *j = xcalloc(1, sizeof(*j));
	unsigned look_ms = MIN(MAX(f->slow_ms / 2, (unsigned)LOOK_MS_MIN), (unsigned)LOOK_MS_MAX);

	j->f = f;
	j->key = xstrdup(key);
	j->run = run;
	j->done = done;
	j->user = user;
	pthread_mutex_lock(&f->lock);
	list_append(&f->queued, &j->link);
	want_thread(f);
	pthread_mutex_unlock(&f->lock);
	if (!uv_is_active((uv_handle_t *)&f->look))
		uv_timer_start(&f->look, on_look, look_ms, look_ms);
	return j;
}

void file_job_cancel(struct file_job *j)
{
	if (!j)
		return;
	struct file_work *f = j->f;
	pthread_mutex_lock(&f->lock);
	j->cancelled = true;
	bool waiting = j->started_ns == 0;
	if (waiting)
		list_remove(&j->link);
	pthread_mutex_unlock(&f->lock);
	if (waiting)
		job_end(j, true);
}
