#include "node/vm/live/live_internal.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "node/disk/disks.h"
#include "node/vm/control/control.h"
#include "node/vm/vm_networks.h"
#include "node/vm/vm_nfs.h"

/* A guest may take its time to let a device go; it is asked again after this. */
#define ASK_AGAIN_NS (15 * NS_PER_S)
#define RETRY_FIRST_NS (2 * NS_PER_S)
#define RETRY_MOST_NS (60 * NS_PER_S)
/* Each specification that is taken has texts in the worker's memory; with so many it is made anew.
 */
#define SPEC_BYTES_MAX (4u << 20)

static int64_t now_of(const struct vm_live *l)
{
	return l->w->m->node->clock->mono_ns(l->w->m->node->clock);
}

static void read_domain(struct vm_live *l);

/* ---- the life of it ---- */

static void end_openings(struct vm_live *l)
{
	for (size_t i = 0; i < l->opening_count; i++)
		claim_disk_cancel(TAKE_PTR(l->openings[i].call));
	l->opening_count = 0;
}

static void freed(uv_handle_t *h)
{
	struct vm_live *l = h->data;

	arena_finish(&l->arena);
	free(l);
}

void vm_live_end(struct vm_worker *w)
{
	struct vm_live *l = TAKE_PTR(w->live);

	if (!l)
		return;
	if (l->call)
		libvirt_call_cancel(l->call);
	end_openings(l);
	uv_close((uv_handle_t *)&l->timer, freed);
}

static struct vm_live *live_of(struct vm_worker *w)
{
	if (!w->live) {
		w->live = xcalloc(1, sizeof(*w->live));
		w->live->w = w;
		uv_timer_init(w->m->node->loop, &w->live->timer);
		w->live->timer.data = w->live;
	}
	return w->live;
}

static void on_timer(uv_timer_t *t)
{
	struct vm_live *l = t->data;

	if (l->state == LIVE_WAITING)
		read_domain(l);
}

/* ---- tries ---- */

static struct live_try *try_of(struct vm_live *l, const struct live_step *s, bool make)
{
	const struct live_try *there = live_try_find(l, s);

	if (there)
		return &l->tries[there - l->tries];
	if (!make || l->try_count == LIVE_TRIES_MAX)
		return NULL;
	struct live_try *t = &l->tries[l->try_count++];

	*t = (struct live_try){.kind = s->kind};
	snprintf(t->name, sizeof(t->name), "%s", s->name);
	return t;
}

static void say_detached(struct vm_live *l, enum live_kind kind, const char *name)
{
	bool disk = kind == LIVE_DISK_DETACH;

	vm_say(l->w, "Normal", disk ? "VolumeDetached" : "InterfaceUnplugged",
		"%s '%s' was detached from the guest", disk ? "Volume" : "Interface", name);
}

static bool has_interface(const struct live_domain *d, const char *name)
{
	for (size_t i = 0; i < d->interface_count; i++)
		if (streq(d->interfaces[i].name, name))
			return true;
	return false;
}

/* Those whose step is not to be done any more are forgotten. What a guest was asked to let go is
 * told when it is seen to have gone: libvirt's word of it may come before its answer. */
static void drop_old_tries(struct vm_live *l)
{
	for (size_t i = 0; i < l->try_count;) {
		const struct live_try *t = &l->tries[i];
		bool wanted = false;

		for (size_t k = 0; k < l->plan.count; k++)
			wanted |= l->plan.steps[k].kind == t->kind &&
				  streq(l->plan.steps[k].name, t->name);
		if (wanted) {
			i++;
			continue;
		}
		if ((t->kind == LIVE_DISK_DETACH && !live_domain_disk(&l->now, t->name)) ||
			(t->kind == LIVE_NIC_DETACH && !has_interface(&l->now, t->name)))
			say_detached(l, t->kind, t->name);
		l->tries[i] = l->tries[--l->try_count];
	}
}

/* What an earlier agent asked for, and the guest let go while none ran. */
static void tell_detached_meanwhile(struct vm_live *l)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *status = json_get(object_doc(l->w->object, &a), "status");

	JSON_FOR_EACH_ITEM(v, json_get(status, "volumeStatus")) {
		const char *name = json_str_or(json_get(v, "name"), "");

		if (streq(json_str(json_get(v, "phase")), "Detaching") &&
			!live_domain_disk(&l->now, name))
			say_detached(l, LIVE_DISK_DETACH, name);
	}
}

/* What fails shows in the condition Synchronized until it is done. */
static void show_problem(struct vm_live *l)
{
	struct vm_worker *w = l->w;
	const struct live_try *bad = NULL;

	for (size_t i = 0; i < l->try_count && !bad; i++)
		if (*l->tries[i].problem)
			bad = &l->tries[i];
	if (bad) {
		err_set(&w->problem, -EIO, "%s", bad->problem);
		snprintf(w->problem_reason, sizeof(w->problem_reason), "HotplugFailed");
	} else if (l->said_problem && streq(w->problem_reason, "HotplugFailed")) {
		w->problem = ERR_INIT;
		w->problem_reason[0] = '\0';
	}
	l->said_problem = bad != NULL;
}

/* What libvirt's words leave open. */
static const char *advice(const char *why)
{
	return strstr(why, "No more available PCI slots")
		       ? " (no port is free: unplug another device, use a disk of bus scsi, or "
			 "restart the machine)"
		       : "";
}

static void failed(struct vm_live *l, const struct live_step *s, const char *why)
{
	struct live_try *t = try_of(l, s, true);
	char what[160], problem[512];

	live_step_words(s, what, sizeof(what));
	snprintf(problem, sizeof(problem), "%s: %.240s%s", what, why, advice(why));
	if (!t)
		return;
	int64_t pause = RETRY_FIRST_NS << MIN(t->failures, 5u);

	t->failures++;
	t->asked = false;
	t->again_ns = now_of(l) + MIN(pause, RETRY_MOST_NS);
	/* Once for each reason, not with every try. */
	if (!streq(t->problem, problem))
		vm_say(l->w, "Warning", "HotplugFailed", "%s", problem);
	snprintf(t->problem, sizeof(t->problem), "%s", problem);
}

static void succeeded(struct vm_live *l, const struct live_step *s)
{
	static const char *const done[LIVE_KINDS] = {
		[LIVE_MEMORY] = "The guest was asked to make do with %s",
		[LIVE_MODULE] = "Plugged %s of memory into the guest",
		[LIVE_VCPUS] = "The guest has %s now",
		[LIVE_DISK_ATTACH] = "Successfully attach hotplugged volume %s to VM",
		[LIVE_DISK_DETACH] = "The guest was asked to let volume %s go",
		[LIVE_MEDIUM] = "Changed the medium of CD-ROM drive %s",
		[LIVE_NIC_ATTACH] = "Attached interface %s",
		[LIVE_NIC_DETACH] = "The guest was asked to let interface %s go",
		[LIVE_LINK] = "Changed the link of interface %s",
	};
	static const char *const reasons[LIVE_KINDS] = {
		[LIVE_MEMORY] = "MemoryChanged",
		[LIVE_MODULE] = "MemoryPlugged",
		[LIVE_VCPUS] = "ProcessorsPlugged",
		[LIVE_DISK_ATTACH] = "VolumeReady",
		[LIVE_DISK_DETACH] = "VolumeDetaching",
		[LIVE_MEDIUM] = "MediumChanged",
		[LIVE_NIC_ATTACH] = "InterfacePlugged",
		[LIVE_NIC_DETACH] = "InterfaceUnplugging",
		[LIVE_LINK] = "LinkChanged",
	};
	bool waits =
		s->kind == LIVE_DISK_DETACH || s->kind == LIVE_NIC_DETACH || s->kind == LIVE_MEMORY;
	struct live_try *t = try_of(l, s, waits);
	bool again = t && t->asked;
	char name[64];

	if (t) {
		t->problem[0] = '\0';
		t->asked = waits;
		t->failures = MIN(t->failures + 1, 5u);
		t->again_ns = now_of(l) + MIN(ASK_AGAIN_NS * t->failures, RETRY_MOST_NS);
	}
	if (s->kind == LIVE_MEMORY || s->kind == LIVE_MODULE)
		snprintf(name, sizeof(name), "%lld MiB", (long long)(s->bytes >> 20));
	else if (s->kind == LIVE_VCPUS)
		snprintf(name, sizeof(name), "%u processors", s->count);
	else
		snprintf(name, sizeof(name), "%s", s->name);
	if (done[s->kind] && !again) {
		char text[256];
		const char *at = strstr(done[s->kind], "%s");

		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - done[s->kind]), done[s->kind],
			name, at + 2);
		vm_say(l->w, "Normal", reasons[s->kind], "%s", text);
	}
}

/* ---- steps ---- */

static void step_done(void *user, const struct libvirt_reply *r)
{
	struct vm_live *l = user;
	struct live_step s = l->step;

	l->call = NULL;
	l->state = LIVE_WAITING;
	if (r->ok) {
		succeeded(l, &s);
		if (s.kind == LIVE_NIC_ATTACH)
			net_ports_changed(l->w->m->node->net);
	} else if (r->code > 0) {
		failed(l, &s, r->message);
	}
	if (r->ok || r->code > 0) {
		read_domain(l);
		return;
	}
	/* Without libvirt nothing can be done; it is begun anew when that is back. But it may have
	 * taken too long, and nobody tells of the end of that. */
	l->spec_hash = 0;
	uv_timer_start(&l->timer, on_timer, RETRY_FIRST_NS / NS_PER_MS, 0);
}

static void call_device(struct vm_live *l, enum libvirt_proc proc, const char *xml, uint32_t flags)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	xdr_put_domain(&args, &l->w->domain);
	xdr_put_string(&args, xml);
	xdr_put_u32(&args, flags);
	/* A tray that the guest locked, a device that it holds: libvirt waits for some time. */
	l->call = libvirt_call(l->w->m->libvirt, proc, &args, 120000, step_done, l);
}

static void call_number(struct vm_live *l, enum libvirt_proc proc, uint64_t n, bool wide)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	xdr_put_domain(&args, &l->w->domain);
	if (wide)
		xdr_put_u64(&args, n);
	else
		xdr_put_u32(&args, (uint32_t)n);
	xdr_put_u32(&args, LIBVIRT_AFFECT_LIVE);
	l->call = libvirt_call(l->w->m->libvirt, proc, &args, 0, step_done, l);
}

static void room_here(void *user, const struct libvirt_reply *r)
{
	struct vm_live *l = user;
	struct xdr_reader body = r->body;
	_cleanup_(free_p) char *said = NULL;
	struct live_step s = l->step;
	const char *text;
	size_t size;

	if (!r->ok) {
		step_done(user, r);
		return;
	}
	l->call = NULL;
	text = xdr_get_string(&body, &size);
	said = xcalloc(1, size + 1);
	memcpy(said, text, size);
	if (live_plan_has_room(&l->now, s.count, said)) {
		call_number(l, LIBVIRT_DOMAIN_SET_VCPUS_FLAGS, s.count, false);
		return;
	}
	l->state = LIVE_WAITING;
	failed(l, &s,
		"QEMU has no room for another one's translated code at this moment, and would not "
		"survive it");
	read_domain(l);
}

/* An emulated guest: see live_plan_has_room. */
static void ask_for_room(struct vm_live *l)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	xdr_put_domain(&args, &l->w->domain);
	xdr_put_string(&args, "info jit");
	xdr_put_u32(&args, LIBVIRT_QEMU_MONITOR_HUMAN);
	l->call = libvirt_call(
		l->w->m->libvirt, LIBVIRT_QEMU_DOMAIN_MONITOR_COMMAND, &args, 0, room_here, l);
}

static void add_escaped(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '&')
			buf_add_str(out, "&amp;");
		else if (*s == '<')
			buf_add_str(out, "&lt;");
		else if (*s == '\'')
			buf_add_str(out, "&apos;");
		else
			buf_add_char(out, *s);
	}
}

static void detach_disk(struct vm_live *l, const struct live_disk *d)
{
	_cleanup_(buf_finish) struct buf xml = BUF_INIT;

	buf_printf(&xml, "<disk type='%s' device='%s'>",
		d->nfs_host   ? "network"
		: d->is_block ? "block"
			      : "file",
		d->device);
	if (d->nfs_host) {
		buf_add_str(&xml, "<source protocol='nfs' name='");
		add_escaped(&xml, d->nfs_name);
		buf_add_str(&xml, "'><host name='");
		add_escaped(&xml, d->nfs_host);
		buf_add_str(&xml, "'/></source>");
	} else if (*d->source) {
		buf_printf(&xml, "<source %s='", d->is_block ? "dev" : "file");
		add_escaped(&xml, d->source);
		buf_add_str(&xml, "'/>");
	}
	buf_printf(&xml, "<target dev='%s' bus='%s'/></disk>", d->target, d->bus);
	call_device(l, LIBVIRT_DOMAIN_DETACH_DEVICE_FLAGS, xml.data, LIBVIRT_AFFECT_LIVE);
}

static void detach_interface(struct vm_live *l, const struct live_interface *i)
{
	_cleanup_(buf_finish) struct buf xml = BUF_INIT;

	buf_printf(&xml,
		"<interface type='bridge'><mac address='%s'/><source bridge='%s'/></interface>",
		i->mac, i->bridge);
	call_device(l, LIBVIRT_DOMAIN_DETACH_DEVICE_FLAGS, xml.data, LIBVIRT_AFFECT_LIVE);
}

static void start_step(struct vm_live *l, const struct live_step *s)
{
	struct vm_worker *w = l->w;
	_cleanup_(buf_finish) struct buf xml = BUF_INIT;
	struct err err = ERR_INIT;
	const struct live_try *before = try_of(l, s, false);
	int r = 0;

	l->step = *s;
	l->state = LIVE_CALLING;
	switch (s->kind) {
	case LIVE_MEMORY:
		call_number(l, LIBVIRT_DOMAIN_SET_MEMORY_FLAGS, (uint64_t)s->bytes / 1024, true);
		break;
	case LIVE_MODULE:
		buf_printf(&xml,
			"<memory model='dimm'><target><size unit='KiB'>%lld</size><node>0</node>"
			"</target></memory>",
			(long long)s->bytes >> 10);
		call_device(l, LIBVIRT_DOMAIN_ATTACH_DEVICE_FLAGS, xml.data, LIBVIRT_AFFECT_LIVE);
		break;
	case LIVE_VCPUS:
		if (w->m->host.kvm)
			call_number(l, LIBVIRT_DOMAIN_SET_VCPUS_FLAGS, s->count, false);
		else
			ask_for_room(l);
		break;
	case LIVE_CONTROLLER:
		call_device(l, LIBVIRT_DOMAIN_ATTACH_DEVICE_FLAGS,
			"<controller type='scsi' index='0' model='virtio-scsi'/>",
			LIBVIRT_AFFECT_LIVE);
		break;
	case LIVE_DISK_ATTACH:
	case LIVE_MEDIUM:
		r = domain_xml_disk(&xml, &w->spec, s->disk, &err);
		if (r == 0)
			call_device(l,
				s->kind == LIVE_MEDIUM ? LIBVIRT_DOMAIN_UPDATE_DEVICE_FLAGS
						       : LIBVIRT_DOMAIN_ATTACH_DEVICE_FLAGS,
				xml.data,
				s->kind == LIVE_MEDIUM && before && before->failures
					? LIBVIRT_AFFECT_LIVE | LIBVIRT_DEVICE_FORCE
					: LIBVIRT_AFFECT_LIVE);
		break;
	case LIVE_DISK_DETACH:
		detach_disk(l, s->old_disk);
		break;
	case LIVE_NIC_ATTACH:
	case LIVE_LINK:
		if (s->kind == LIVE_NIC_ATTACH || s->interface->network)
			r = vm_networks_attach(w->m->node->net, &w->spec, &err);
		w->attached |= r == 0;
		if (r == 0)
			r = domain_xml_interface(&xml, &w->spec, s->interface, &w->m->host, &err);
		if (r == 0)
			call_device(l,
				s->kind == LIVE_LINK ? LIBVIRT_DOMAIN_UPDATE_DEVICE_FLAGS
						     : LIBVIRT_DOMAIN_ATTACH_DEVICE_FLAGS,
				xml.data, LIBVIRT_AFFECT_LIVE);
		break;
	case LIVE_NIC_DETACH:
		detach_interface(l, s->old_interface);
		break;
	case LIVE_KINDS:
		break;
	}
	if (r < 0) {
		failed(l, s, err.msg);
		l->state = LIVE_WAITING;
	}
}

/* ---- claims ---- */

static struct vm_disk *disk_of(struct vm_worker *w, const char *name)
{
	for (size_t i = 0; i < w->spec.disk_count; i++)
		if (streq(w->spec.disks[i].name, name))
			return &w->spec.disks[i];
	return NULL;
}

static void claim_here(void *user, const struct claim_place *place, const struct disk_chain *chain,
	const char *reason, const struct err *failure)
{
	struct live_opening *o = user;
	struct vm_live *l = o->l;
	struct vm_worker *w = l->w;
	struct vm_disk *d = disk_of(w, o->name);
	struct live_step s = {.kind = LIVE_DISK_ATTACH, .name = o->name};

	o->call = NULL;
	o->waits[0] = '\0';
	if (failure) {
		failed(l, &s, failure->msg);
	} else if (d && place->nfs) {
		struct err err = ERR_INIT;

		if (vm_nfs_take(w->m->node, &w->spec, d, &w->arena, place, &err) < 0)
			failed(l, &s, err.msg);
	} else if (d) {
		d->path = place->device ? place->device : chain->layers[0].path;
		d->format = place->device ? "raw" : chain->layers[0].format;
		d->is_block = place->device != NULL;
		if (chain && chain->count > 1) {
			struct vm_layer *layers =
				arena_zalloc(&w->arena, sizeof(*layers) * chain->count);

			for (size_t i = 1; i < chain->count; i++)
				layers[i - 1] = (struct vm_layer){
					chain->layers[i].path, chain->layers[i].format, false};
			d->backing = layers;
			d->backing_count = chain->count - 1;
		}
	}
	if (l->state == LIVE_WAITING || l->state == LIVE_SETTLED)
		read_domain(l);
	else
		l->again = true;
}

static void claim_waits(void *user, const char *reason, const struct err *err)
{
	struct live_opening *o = user;

	snprintf(o->waits, sizeof(o->waits), "%.250s", err->msg);
	vm_worker_step(o->l->w);
}

/* True while one is under way, or must not be tried yet. */
static bool open_claim(struct vm_live *l, const struct vm_disk *d)
{
	struct vm_worker *w = l->w;
	struct live_opening *o = NULL;
	struct live_step s = {.kind = LIVE_DISK_ATTACH, .name = d->name};
	const struct live_try *t = try_of(l, &s, false);

	for (size_t i = 0; i < l->opening_count; i++)
		if (streq(l->openings[i].name, d->name))
			o = &l->openings[i];
	if (o && o->call)
		return true;
	if (t && t->again_ns > now_of(l))
		return true;
	if (!o && l->opening_count < VM_DISKS_MAX) {
		o = &l->openings[l->opening_count++];
		*o = (struct live_opening){.l = l};
		snprintf(o->name, sizeof(o->name), "%s", d->name);
	}
	if (!o)
		return false;
	o->call = claim_disk_open(w->m->node->disks, &(struct claim_disk_options){
							     .namespace = w->spec.namespace,
							     .claim = d->claim,
							     .arena = &w->arena,
							     .read_only = d->readonly,
							     .waits = claim_waits,
							     .done = claim_here,
							     .user = o,
						     });
	return true;
}

/* ---- the loop ---- */

/* Networks let go of what was unplugged: its address, its MAC, the network itself. */
static void drop_old_networks(const struct vm_live *l)
{
	const struct vm_worker *w = l->w;
	const char *keep[LIVE_INTERFACES_MAX + VM_INTERFACES_MAX];
	size_t count = 0;

	for (size_t i = 0; i < w->spec.interface_count; i++)
		keep[count++] = w->spec.interfaces[i].name;
	for (size_t i = 0; i < l->now.interface_count; i++)
		keep[count++] = l->now.interfaces[i].name;
	net_detach(w->m->node->net, w->uid, keep, count);
}

static void go_on(struct vm_live *l)
{
	struct vm_worker *w = l->w;
	int64_t now = now_of(l), wake = INT64_MAX;
	bool waits = false;

	for (size_t i = 0; i < w->spec.disk_count; i++)
		if (live_plan_wants_path(&w->spec.disks[i], &l->now))
			waits |= open_claim(l, &w->spec.disks[i]);
	drop_old_networks(l);
	live_plan_targets(&w->spec, &l->now);
	live_plan_make(&w->spec, &l->now, &l->plan);
	/* What could not be opened has no step yet. */
	for (size_t i = 0; i < w->spec.disk_count && l->plan.count < LIVE_STEPS_MAX; i++) {
		const struct vm_disk *d = &w->spec.disks[i];
		struct live_step s = {.kind = LIVE_DISK_ATTACH, .name = d->name, .disk = d};

		if (live_plan_wants_path(d, &l->now) && try_of(l, &s, false))
			l->plan.steps[l->plan.count++] = s;
	}
	drop_old_tries(l);
	show_problem(l);
	for (size_t i = 0; i < l->plan.count; i++) {
		const struct live_step *s = &l->plan.steps[i];
		const struct live_try *t = try_of(l, s, false);

		if (t && t->again_ns > now) {
			wake = MIN(wake, t->again_ns);
			continue;
		}
		if (s->disk && live_plan_wants_path(s->disk, &l->now))
			continue;
		start_step(l, s);
		if (l->state == LIVE_CALLING)
			return;
		t = try_of(l, s, false);
		if (t)
			wake = MIN(wake, t->again_ns);
	}
	l->state = waits || l->plan.count ? LIVE_WAITING : LIVE_SETTLED;
	if (wake != INT64_MAX)
		uv_timer_start(&l->timer, on_timer,
			wake <= now ? 1 : (uint64_t)((wake - now) / NS_PER_MS + 1), 0);
}

static void xml_here(void *user, const struct libvirt_reply *r)
{
	struct vm_live *l = user;
	struct xdr_reader body = r->body;
	struct err err = ERR_INIT;
	const char *text;
	size_t size;

	l->call = NULL;
	l->state = LIVE_WAITING;
	if (!r->ok) {
		l->spec_hash = 0; /* with the next step of the worker */
		uv_timer_start(&l->timer, on_timer, RETRY_FIRST_NS / NS_PER_MS, 0);
		return;
	}
	if (l->again) {
		l->again = false;
		read_domain(l);
		return;
	}
	text = xdr_get_string(&body, &size);
	arena_finish(&l->arena);
	bool was_known = l->known;
	l->known = live_domain_read(&l->arena, text ? text : "", size, &l->now, &err) == 0;
	if (!l->known) {
		log_warn("the description of a domain can't be read", "vmi", l->w->core.sm.label,
			"error", err.msg, NULL);
		l->state = LIVE_SETTLED;
		return;
	}
	if (!was_known && l->w->object)
		tell_detached_meanwhile(l);
	go_on(l);
	vm_worker_step(l->w);
}

static void read_domain(struct vm_live *l)
{
	struct vm_worker *w = l->w;

	uv_timer_stop(&l->timer);
	if (l->call) {
		l->again = true;
		return;
	}
	if (w->core.sm.state != VM_RUNNING || !vm_core_alive(&w->core) ||
		!libvirt_is_up(w->m->libvirt) || !w->has_spec) {
		l->state = LIVE_SETTLED;
		l->spec_hash = 0;
		return;
	}
	l->state = LIVE_READING;
	l->again = false;
	l->call = libvirt_call_domain(
		w->m->libvirt, LIBVIRT_DOMAIN_GET_XML_DESC, &w->domain, 0, xml_here, l);
}

static const char *copy_text(struct arena *a, const char *s)
{
	return s ? arena_strdup(a, s) : NULL;
}

/* What no object says of a disk: where it is. */
static void keep_place(struct arena *a, struct vm_disk *d, const struct vm_disk *was)
{
	struct vm_layer *layers = arena_zalloc(a, sizeof(*layers) * (was->backing_count + 1));
	struct nfs_place *nfs = arena_zalloc(a, sizeof(*nfs));

	memcpy(d->target, was->target, sizeof(d->target));
	d->readonly = was->readonly;
	d->error_policy = copy_text(a, was->error_policy);
	d->logical_block = was->logical_block;
	d->physical_block = was->physical_block;
	d->path = copy_text(a, was->path);
	d->format = copy_text(a, was->format);
	d->is_block = was->is_block;
	if (was->nfs) {
		*nfs = *was->nfs;
		nfs->server = copy_text(a, was->nfs->server);
		nfs->path = copy_text(a, was->nfs->path);
		d->nfs = nfs;
	}
	d->nfs_file = copy_text(a, was->nfs_file);
	for (size_t i = 0; i < was->backing_count; i++)
		layers[i] = (struct vm_layer){copy_text(a, was->backing[i].path),
			copy_text(a, was->backing[i].format), was->backing[i].relabel};
	d->backing = was->backing ? layers : NULL;
	d->backing_count = was->backing_count;
}

static bool is_opening(const struct vm_live *l)
{
	for (size_t i = 0; i < l->opening_count; i++)
		if (l->openings[i].call)
			return true;
	return false;
}

/* Takes over what can change; the rest of the running guest's specification stays as it was
 * started. */
static bool take_spec(struct vm_live *l)
{
	struct vm_worker *w = l->w;
	_cleanup_(free_p) struct vm_spec *fresh = xcalloc(1, sizeof(*fresh));
	struct vm_spec *s = &w->spec;
	/* Calls that are under way, of libvirt's or for a claim, have texts of the old one. */
	bool anew = w->arena.used_bytes > SPEC_BYTES_MAX && !l->call && !is_opening(l);
	struct arena made = ARENA_INIT, *a = anew ? &made : &w->arena;
	struct json *doc = object_doc(w->object, a);
	struct err err = ERR_INIT;

	if (vm_spec_read(a, doc, fresh, &err) < 0) {
		arena_finish(&made);
		vm_say(w, "Warning", "HotplugFailed", "the changed specification: %s", err.msg);
		return false;
	}
	for (size_t i = 0; i < fresh->disk_count; i++) {
		struct vm_disk *d = &fresh->disks[i];
		const struct vm_disk *was = disk_of(w, d->name);

		if (!was || was->volume != d->volume ||
			(d->volume == VM_VOLUME_CLAIM && !streq(d->claim, was->claim)))
			continue;
		if (anew) {
			keep_place(a, d, was);
			continue;
		}
		struct vm_disk kept = *was;

		kept.hotpluggable = d->hotpluggable;
		*d = kept;
	}
	for (size_t i = 0; i < fresh->interface_count; i++) {
		struct vm_interface *n = &fresh->interfaces[i];

		for (size_t k = 0; k < s->interface_count; k++) {
			if (!streq(n->name, s->interfaces[k].name))
				continue;
			struct vm_interface told = *n;

			*n = s->interfaces[k];
			n->link_down = told.link_down;
			if (anew) {
				n->name = told.name;
				n->model = told.model;
				n->network = told.network;
			}
		}
	}
	if (anew) {
		*s = *fresh;
		w->doc = doc;
		l->plan.count = 0;
		arena_finish(&w->arena);
		w->arena = made;
		return true;
	}
	memcpy(s->disks, fresh->disks, sizeof(s->disks));
	s->disk_count = fresh->disk_count;
	memcpy(s->interfaces, fresh->interfaces, sizeof(s->interfaces));
	s->interface_count = fresh->interface_count;
	s->sockets = fresh->sockets;
	s->memory_bytes = fresh->memory_bytes;
	s->object = doc;
	w->doc = doc;
	return true;
}

void vm_live_follow(struct vm_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	struct vm_live *l;
	uint64_t hash;

	if (w->core.sm.state != VM_RUNNING || !vm_core_alive(&w->core) || !w->object ||
		!w->has_spec || w->core.deleting || !libvirt_is_up(w->m->libvirt)) {
		if (w->live && !w->live->call)
			w->live->spec_hash = 0;
		return;
	}
	l = live_of(w);
	if (l->spec_hash && l->revision == w->object->revision)
		return;
	l->revision = w->object->revision;
	json_write(&text, json_get(object_doc(w->object, &a), "spec"));
	hash = fnv1a_64(text.data, text.size) | 1;
	if (hash == l->spec_hash)
		return;
	/* The first time, w->spec is what was prepared, or what an earlier agent's guest has. */
	l->spec_hash = hash;
	end_openings(l);
	l->try_count = 0;
	if (!take_spec(l))
		return;
	read_domain(l);
}

void vm_live_removed(struct vm_worker *w, const char *alias, bool failed_to)
{
	struct vm_live *l = w->live;
	const char *name = str_has_prefix(alias, "ua-") ? alias + 3 : alias;

	if (!l || !l->spec_hash)
		return;
	for (size_t i = 0; i < l->try_count; i++) {
		struct live_try *t = &l->tries[i];

		if ((t->kind != LIVE_DISK_DETACH && t->kind != LIVE_NIC_DETACH) ||
			!streq(t->name, name))
			continue;
		if (failed_to)
			failed(l, &(struct live_step){.kind = t->kind, .name = t->name},
				"the guest did not let it go; it is asked again");
	}
	read_domain(l);
}

bool vm_live_known(const struct vm_worker *w)
{
	return w->live && w->live->known;
}

bool vm_live_lacks(const struct vm_worker *w, const char *name)
{
	return vm_live_known(w) && !live_domain_disk(&w->live->now, name);
}

bool vm_live_has(const struct vm_worker *w, const char *path)
{
	const struct vm_live *l = w->live;
	size_t size = strlen(path);

	for (size_t i = 0; l && l->known && i < l->now.disk_count; i++) {
		const char *source = l->now.disks[i].source;

		if (strncmp(source, path, size) == 0 && (!source[size] || source[size] == '/'))
			return true;
	}
	return false;
}
