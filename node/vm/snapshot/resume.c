#include "node/vm/snapshot/resume.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "node/disk/layers.h"
#include "node/vm/image/image_files.h"
#include "node/vm/vm_internal.h"

#define NOTE_BYTES_MAX 16384

struct vm_resume {
	struct vm_worker *w;
	char *memory; /* one of the links */
	struct libvirt_call *call;
	struct libvirt_stream *load; /* its answer opens it */
};

static char *note_path(const struct vm_worker *w)
{
	return xasprintf("%s/%s/resuming", w->m->directory, w->uid);
}

/* ---- the links ---- */

static bool is_persistent(const struct vm_disk *d)
{
	return d->volume == VM_VOLUME_CLAIM && !d->ephemeral && !d->is_block && !d->nfs && d->path;
}

static char *memory_path(const struct vm_disk *d)
{
	const char *slash = strrchr(d->path, '/');

	return xasprintf("%.*s/" DISK_MEMORY_NAME, (int)(slash - d->path), d->path);
}

/* Durable before the guest runs: a node that loses power must not find it again. */
static void drop_link(const char *path)
{
	_cleanup_(free_p) char *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	_cleanup_(close_p) int fd = -1;

	/* A file of that name which is not ours stays. */
	if (!layers_memory_marked(path) || unlink(path) < 0)
		return;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		log_warn("memory of a guest", "problem", "a directory can't be synced", "path", dir,
			NULL);
}

static void drop_links(struct vm_worker *w)
{
	for (size_t i = 0; i < w->spec.disk_count; i++) {
		_cleanup_(free_p) char *path = NULL;

		if (!is_persistent(&w->spec.disks[i]))
			continue;
		path = memory_path(&w->spec.disks[i]);
		drop_link(path);
	}
}

static const char *why_unfit(const struct vm_disk *d, const char *path, struct stat *first)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(free_p) char *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct disk_chain chain;
	struct stat st;

	/* libvirt reads it as root, and a pod may have had the directory before. */
	if (!layers_memory_marked(path) || lstat(path, &st) < 0)
		return "not all of its disks came from there";
	if (first->st_ino && (st.st_ino != first->st_ino || st.st_dev != first->st_dev))
		return "its disks are of several snapshots";
	*first = st;
	if (disk_dir_read(&a, dir, &chain, NULL) < 0 || !layers_untouched(&chain))
		return "its disks were written since";
	return NULL;
}

/* NULL: there is none that may be used. */
static char *find_memory(struct vm_worker *w)
{
	_cleanup_(free_p) char *found = NULL;
	const char *unfit = NULL;
	struct stat first = {0};
	bool any = false;

	for (size_t i = 0; i < w->spec.disk_count; i++) {
		const struct vm_disk *d = &w->spec.disks[i];
		char *path;

		if (d->volume != VM_VOLUME_CLAIM || d->ephemeral)
			continue;
		if (!is_persistent(d)) {
			unfit = "not all of its disks came from there";
			continue;
		}
		path = memory_path(d);
		any = any || layers_memory_marked(path);
		if (!unfit)
			unfit = why_unfit(d, path, &first);
		free(found);
		found = path;
	}
	if (any && unfit) {
		vm_say(w, "Warning", "ResumeFailed",
			"The guest boots, its memory in the snapshot is of no use: %s", unfit);
		drop_links(w);
	}
	return any && !unfit ? TAKE_PTR(found) : NULL;
}

/* ---- the note ---- */

static int write_note(struct vm_worker *w, struct err *err)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	_cleanup_(free_p) char *path = note_path(w);

	for (size_t i = 0; i < w->spec.disk_count; i++) {
		_cleanup_(free_p) char *memory = NULL;

		if (!is_persistent(&w->spec.disks[i]))
			continue;
		memory = memory_path(&w->spec.disks[i]);
		buf_add_str(&text, memory);
		buf_add_char(&text, '\n');
	}
	return files_write(path, text.data, text.size, 0600, err);
}

static void drop_note(struct vm_worker *w)
{
	_cleanup_(free_p) char *path = note_path(w);

	(void)unlink(path);
}

/* ---- loading ---- */

static struct vm_worker *finish(struct vm_resume *r)
{
	struct vm_worker *w = r->w;

	w->resume = NULL;
	free(r->memory);
	free(r);
	return w;
}

void vm_resume_end(struct vm_worker *w)
{
	if (!w->resume)
		return;
	if (w->resume->call)
		libvirt_call_cancel(w->resume->call);
	libvirt_stream_close(w->resume->load);
	(void)finish(w->resume);
}

static void boot_instead(struct vm_resume *r, const char *why)
{
	struct vm_worker *w = finish(r);

	vm_say(w, "Warning", "ResumeFailed",
		"The guest boots, its memory in the snapshot can't be loaded: %s", why);
	drop_links(w);
	drop_note(w);
	vm_worker_boot(w);
}

/* Nobody knows how far it came: looked at again, by the note. */
static void try_again(struct vm_resume *r)
{
	vm_worker_done(finish(r), VM_DO_START, false);
}

static void on_running(void *user, const struct libvirt_reply *reply)
{
	struct vm_resume *r = user;
	struct vm_worker *w;

	r->call = NULL;
	if (!reply->ok) {
		try_again(r);
		return;
	}
	w = finish(r);
	drop_note(w);
	vm_say(w, "Normal", "Restored", "The guest goes on from where its snapshot was taken");
	vm_worker_started(w);
}

static void on_loaded(void *user)
{
	struct vm_resume *r = user;
	struct vm_worker *w = r->w;

	libvirt_stream_close(TAKE_PTR(r->load));
	drop_links(w);
	if (w->spec.start_paused) {
		on_running(r, &(struct libvirt_reply){.ok = true});
		return;
	}
	r->call = libvirt_call_domain(
		w->m->libvirt, LIBVIRT_DOMAIN_RESUME, &w->domain, 0, on_running, r);
}

static void on_data(void *user, const char *p, size_t size)
{
}

static void on_load_failed(void *user, const struct err *err)
{
	struct vm_resume *r = user;

	r->load = NULL;
	/* libvirt's own word, or none. */
	if (err && err->code == -EIO)
		boot_instead(r, err->msg);
	else
		try_again(r);
}

static void on_xml(void *user, const struct libvirt_reply *reply)
{
	static const struct libvirt_stream_handler handler = {
		.opened = on_loaded, .data = on_data, .closed = on_load_failed};
	_cleanup_(buf_finish) struct buf args = BUF_INIT;
	_cleanup_(free_p) char *xml = NULL;
	struct vm_resume *r = user;
	struct xdr_reader body = reply->body;
	struct err err = ERR_INIT;
	const char *p;
	size_t size;

	r->call = NULL;
	p = reply->ok ? xdr_get_string(&body, &size) : NULL;
	if (!p || write_note(r->w, &err) < 0) {
		try_again(r);
		return;
	}
	/* The new definition has the disks where they are now. libvirt sees to it that the guest
	 * finds the hardware that it had. */
	xml = xstrndup(p, size);
	xdr_put_string(&args, r->memory);
	xdr_put_optional_string(&args, xml);
	xdr_put_u32(&args, LIBVIRT_RESTORE_PAUSED);
	/* It takes as long as the memory is large: a connection of its own, as for a saved guest.
	 */
	r->load = libvirt_stream_open(r->w->m->node->loop, r->w->m->node->libvirt_address,
		LIBVIRT_DOMAIN_RESTORE_FLAGS, &args, &handler, r);
}

bool vm_resume_start(struct vm_worker *w)
{
	_cleanup_(free_p) char *memory = find_memory(w);
	struct vm_resume *r;

	if (!memory)
		return false;
	r = xcalloc(1, sizeof(*r));
	r->w = w;
	r->memory = TAKE_PTR(memory);
	w->resume = r;
	r->call = libvirt_call_domain(w->m->libvirt, LIBVIRT_DOMAIN_GET_XML_DESC, &w->domain,
		LIBVIRT_XML_SECURE | LIBVIRT_XML_INACTIVE | LIBVIRT_XML_MIGRATABLE, on_xml, r);
	return true;
}

/* ---- left behind ---- */

static void on_left_running(void *user, const struct libvirt_reply *reply)
{
	struct vm_resume *r = user;
	struct vm_worker *w;

	r->call = NULL;
	w = finish(r);
	if (!reply->ok && reply->code != LIBVIRT_ERR_OPERATION_INVALID)
		return; /* with a later step */
	drop_note(w);
	w->resume_looked = true;
	vm_say(w, "Normal", "Restored", "The guest goes on from where its snapshot was taken");
}

void vm_resume_follow(struct vm_worker *w)
{
	_cleanup_(free_p) char *path = NULL;
	char text[NOTE_BYTES_MAX];
	struct str rest, line;
	ssize_t n;

	if (w->core.sm.state != VM_RUNNING || !vm_core_alive(&w->core) || w->resume ||
		w->resume_looked)
		return;
	path = note_path(w);
	n = files_read(path, text, sizeof(text));
	if (n < 0) {
		w->resume_looked = true;
		return;
	}
	for (rest = (struct str){text, (size_t)n}; str_split(&rest, '\n', &line);) {
		_cleanup_(free_p) char *link = xstrndup(line.p, line.size);

		if (*link)
			drop_link(link);
	}
	if (w->core.domain != VM_DOMAIN_PAUSED || w->spec.start_paused) {
		drop_note(w);
		w->resume_looked = true;
		return;
	}
	w->resume = xcalloc(1, sizeof(*w->resume));
	w->resume->w = w;
	w->resume->call = libvirt_call_domain(
		w->m->libvirt, LIBVIRT_DOMAIN_RESUME, &w->domain, 0, on_left_running, w->resume);
}
