/* outside_disks.c - disks of a running guest that others gave another file: virsh snapshot-create,
 * blockcopy, blockcommit, change-media, virt-manager. libvirt tells of block jobs, but not of
 * snapshots of disks, nor of media: so its description of the domain is looked at now and then as
 * well.
 *
 *          30 s, or a block job ended                 all as in disk.json
 *   WAITING --------------------------> LOOKING --------------------------> WAITING
 *      ^                                   |  one is not: 2 s later again
 *      +-----------------------------------+  and still: it is told
 *
 * A disk that hanok itself works on at that moment (disks_held) is between two files. */
#include "node/vm/control/control.h"

#include <stdio.h>

#include "lib/base/file.h"
#include "lib/client/wakeup.h"
#include "node/disk/disk_dir.h"
#include "node/disk/disks.h"
#include "node/vm/live/live_domain.h"

#define LOOK_MS 30000
#define AGAIN_MS 2000
#define RECORD_MAX_BYTES 4096

struct vm_outside_disks {
	struct vm_worker *w;
	struct wakeup *timer;
	struct libvirt_call *call;
	bool doubted; /* as it was last seen */
};

/* Whether a new start would take this file, too. */
static bool is_known(const char *path)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *slash = strrchr(path, '/');
	const char *dir = arena_printf(&a, "%.*s", (int)(slash ? slash - path : 0), path);
	const char *record = arena_printf(&a, "%s/" DISK_RECORD_NAME, dir);
	struct json *doc;
	struct str text;

	if (!slash)
		return true;
	if (file_load(&a, record, RECORD_MAX_BYTES, &text, NULL) == 0)
		return json_parse(&a, text.p, text.size, NULL, &doc, NULL) < 0 ||
		       streq(json_str(json_get(doc, "top")), slash + 1);
	return access(arena_printf(&a, "%s/" DISK_IMAGE_NAME, dir), F_OK) < 0
		       ? false
		       : streq(slash + 1, DISK_IMAGE_NAME);
}

static bool is_held(const struct vm_worker *w, const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(free_p) char *dir = xasprintf("%.*s", (int)(slash ? slash - path : 0), path);

	return disks_held(w->m->node->disks, dir);
}

/* Of a claim, and written. */
static bool is_kept(const struct vm_disk *d)
{
	return d->volume == VM_VOLUME_CLAIM && !d->ephemeral && !d->readonly && !d->is_block &&
	       streq(d->device, "disk");
}

/* A CD-ROM drive whose medium is the same until the guest stops. Those of claims and empty ones are
 * changed, and put right, while it runs (node/vm/live). */
static bool is_fixed_drive(const struct vm_disk *d)
{
	return streq(d->device, "cdrom") && d->volume != VM_VOLUME_CLAIM &&
	       d->volume != VM_VOLUME_NONE;
}

/* A guest that an agent before this one started has its media where that one made them. */
static bool has_own_medium(
	const struct vm_worker *w, const struct vm_disk *d, const struct live_disk *has)
{
	_cleanup_(free_p) char *home = xasprintf("%s/%s/", w->m->directory, w->uid);

	if (d->path || d->volume == VM_VOLUME_HOST_DISK)
		return !d->path || streq(d->path, has->source);
	return str_has_prefix(has->source, home);
}

static void compare_media(struct vm_worker *w, const struct live_domain *live)
{
	const struct live_disk *strange = NULL;

	for (size_t i = 0; i < w->spec.disk_count; i++) {
		const struct vm_disk *d = &w->spec.disks[i];
		const struct live_disk *has = live_domain_disk(live, d->name);

		if (has && is_fixed_drive(d) && (!has->source[0] || !has_own_medium(w, d, has)))
			strange = has;
	}
	const char *message, *told = vm_outside_changed(w, &message);
	if (!strange)
		vm_outside_untell(w, "MediumChanged");
	/* There is one condition: a disk that others write is the worse thing, and not to be told
	 * in turns with this. */
	else if (!streq(told, "MediumChanged") && !streq(told, "DiskChanged"))
		vm_outside_tell(w, "MediumChanged",
			"The medium of CD-ROM drive '%s' was %s outside of hanok (virsh "
			"change-media, virt-manager): the next start has the one of the machine's "
			"volume",
			strange->name, strange->source[0] ? "changed" : "taken out");
}

static void compare(struct vm_outside_disks *o, const struct live_domain *live)
{
	struct vm_worker *w = o->w;
	const struct live_disk *strange = NULL;

	compare_media(w, live);
	for (size_t i = 0; i < w->spec.disk_count; i++) {
		const struct live_disk *d = live_domain_disk(live, w->spec.disks[i].name);

		if (!d || d->is_block || d->source[0] != '/' || !is_kept(&w->spec.disks[i]))
			continue;
		if (is_held(w, d->source)) {
			o->doubted = false;
			wakeup_in(o->timer, AGAIN_MS);
			return;
		}
		if (!is_known(d->source))
			strange = d;
	}
	wakeup_in(o->timer, strange && !o->doubted ? AGAIN_MS : LOOK_MS);
	if (!strange)
		vm_outside_untell(w, "DiskChanged");
	else if (o->doubted)
		vm_outside_tell(w, "DiskChanged",
			"Disk '%s' of the domain was changed outside of hanok (virsh snapshot, "
			"block job): it is written to '%s', which the next start does not use. "
			"`virsh blockcommit %s %s --active --pivot` puts a snapshot back into "
			"the disk",
			strange->name, strange->source, w->domain.name, strange->target);
	o->doubted = strange != NULL;
}

static void xml_here(void *user, const struct libvirt_reply *r)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct vm_outside_disks *o = user;
	struct xdr_reader body = r->body;
	struct live_domain live;
	const char *text;
	size_t size;

	o->call = NULL;
	wakeup_in(o->timer, LOOK_MS);
	if (!r->ok)
		return;
	text = xdr_get_string(&body, &size);
	if (!body.bad && live_domain_read(&a, text, size, &live, NULL) == 0)
		compare(o, &live);
}

static void look(void *user)
{
	struct vm_outside_disks *o = user;
	struct vm_worker *w = o->w;

	if (o->call)
		return;
	if (w->core.sm.state != VM_RUNNING || !vm_core_alive(&w->core) || !w->has_spec ||
		!libvirt_is_up(w->m->libvirt)) {
		wakeup_in(o->timer, LOOK_MS);
		return;
	}
	o->call = libvirt_call_domain(
		w->m->libvirt, LIBVIRT_DOMAIN_GET_XML_DESC, &w->domain, 0, xml_here, o);
}

void vm_outside_disks_follow(struct vm_worker *w)
{
	struct vm_outside_disks *o = w->outside_disks;
	bool any = false;

	if (o || w->core.sm.state != VM_RUNNING)
		return;
	for (size_t i = 0; w->has_spec && i < w->spec.disk_count; i++)
		any |= is_kept(&w->spec.disks[i]) || is_fixed_drive(&w->spec.disks[i]);
	if (!any)
		return;
	o = w->outside_disks = xcalloc(1, sizeof(*o));
	o->w = w;
	o->timer = wakeup_create(w->m->node->loop, w->m->node->clock, look, o);
	wakeup_in(o->timer, LOOK_MS);
}

void vm_outside_disks_job(struct vm_worker *w)
{
	if (w->outside_disks)
		wakeup_in(w->outside_disks->timer, AGAIN_MS);
}

void vm_outside_disks_end(struct vm_worker *w)
{
	struct vm_outside_disks *o = TAKE_PTR(w->outside_disks);

	if (!o)
		return;
	if (o->call)
		libvirt_call_cancel(o->call);
	wakeup_destroy(o->timer);
	free(o);
}
