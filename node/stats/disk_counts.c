/* disk_counts.c - see disk_counts.h. */
#include "node/stats/disk_counts.h"

#include "lib/base/list.h"
#include "node/volume/file_work.h"

/* Walks keep a disk busy: few at once. */
enum { WALKS = 2 };

struct count {
	struct list link; /* in under_way */
	struct disk_counts *owner;
	struct pod_disk *disk;
	char *log_dir;
	disk_walk *walk;
	_Atomic int64_t began_ns; /* monotonic; 0 = not yet */
	_Atomic bool stop;
	bool awaited; /* by the round */
};

struct disk_counts {
	struct file_work *work;
	unsigned slow_ms;
	disk_walk *walk;
	disk_counted *counted;
	void *user;
	struct list under_way;
	int64_t ended_ns;	  /* monotonic; when one did, or the round began */
	uv_timer_t look;	  /* for who has become slow */
	void (*over)(void *user); /* NULL = no round */
};

static int64_t now_ns(void)
{
	struct clock *c = clock_system();

	return c->mono_ns(c);
}

static void count_free(struct count *c)
{
	pod_disk_destroy(c->disk);
	free(c->log_dir);
	free(c);
}

static void run(void *user)
{
	struct count *c = user;

	c->began_ns = now_ns();
	if (!c->stop)
		c->walk(c->disk, c->log_dir, &c->stop);
}

/* Nothing has begun or ended for so long that all threads hang. */
static bool is_stuck(const struct disk_counts *all, int64_t now)
{
	int64_t last = all->ended_ns;

	LIST_FOR_EACH(c, &all->under_way, struct count, link) {
		int64_t began = c->began_ns;
		last = MAX(last, began);
	}
	return now - last > 3 * all->slow_ms * NS_PER_MS;
}

/* Ends the round when it is time. */
static void look(struct disk_counts *all)
{
	int64_t now = now_ns();
	bool waits = false;

	LIST_FOR_EACH(c, &all->under_way, struct count, link) {
		int64_t began = c->began_ns;
		if (c->awaited && began && now - began <= all->slow_ms * NS_PER_MS)
			return;
		waits |= c->awaited && !began;
	}
	if (waits && !is_stuck(all, now))
		return;
	LIST_FOR_EACH(c, &all->under_way, struct count, link)
		c->awaited = false;
	uv_timer_stop(&all->look);
	void (*over)(void *user) = all->over;
	all->over = NULL;
	if (over)
		over(all->user);
}

static void on_look(uv_timer_t *timer)
{
	look(timer->data);
}

static void on_done(void *user, bool cancelled)
{
	struct count *c = user;

	if (cancelled) {
		count_free(c);
		return;
	}
	struct disk_counts *all = c->owner;
	list_remove(&c->link);
	all->ended_ns = now_ns();
	c->disk->cost_ns = all->ended_ns - c->began_ns;
	all->counted(all->user, TAKE_PTR(c->disk));
	count_free(c);
	look(all);
}

void disk_counts_add(struct disk_counts *all, struct pod_disk *d, const char *log_dir)
{
	LIST_FOR_EACH(other, &all->under_way, struct count, link) {
		if (!streq(other->disk->uid, d->uid))
			continue;
		other->awaited = true;
		pod_disk_destroy(d);
		return;
	}
	struct count *c = xcalloc(1, sizeof(*c));
	c->owner = all;
	c->disk = d;
	c->log_dir = xstrdup(log_dir);
	c->walk = all->walk;
	c->awaited = true;
	list_append(&all->under_way, &c->link);
	file_work_queue(all->work, d->uid, run, on_done, c);
}

void disk_counts_await(struct disk_counts *all, void (*over)(void *user))
{
	all->over = over;
	all->ended_ns = now_ns();
	uv_timer_start(&all->look, on_look, 0, MAX(all->slow_ms / 4, 1u));
}

struct disk_counts *disk_counts_create(
	uv_loop_t *loop, unsigned slow_ms, disk_walk *walk, disk_counted *counted, void *user)
{
	struct disk_counts *all = xcalloc(1, sizeof(*all));

	all->work = file_work_create(loop, WALKS, slow_ms);
	all->slow_ms = slow_ms;
	all->walk = walk;
	all->counted = counted;
	all->user = user;
	list_init(&all->under_way);
	uv_timer_init(loop, &all->look);
	all->look.data = all;
	return all;
}

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

void disk_counts_destroy(struct disk_counts *all)
{
	if (!all)
		return;
	LIST_FOR_EACH(c, &all->under_way, struct count, link)
		c->stop = true;
	file_work_destroy(all->work);
	uv_close((uv_handle_t *)&all->look, on_closed);
}
