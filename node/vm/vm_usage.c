/* vm_usage.c - see vm_usage.h. One call gets the figures of all domains
 * (virConnectGetAllDomainStats); domains that are not ours are passed over. */
#include "node/vm/vm_usage.h"

#include "lib/base/vec.h"
#include "node/net/tap_name.h"
#include "node/vm/vm_internal.h"

#define ANSWER_MS 10000u
#define DEVICES_MAX 4096 /* of a kind, of one guest */

/* Of virDomainStatsTypes and virConnectGetAllDomainStatsFlags. */
enum {
	STATS_CPU = 2,
	STATS_BALLOON = 4,
	STATS_VCPU = 8,
	STATS_INTERFACE = 16,
	STATS_BLOCK = 32,
};
enum { ONLY_ACTIVE = 1, NO_WAIT = 1 << 29 };
/* Of virTypedParameterType. */
enum {
	PARAM_INT = 1,
	PARAM_UINT,
	PARAM_LLONG,
	PARAM_ULLONG,
	PARAM_DOUBLE,
	PARAM_BOOLEAN,
	PARAM_STRING
};

struct vm_usage_call {
	struct vm_manager *m;
	struct libvirt_call *call;
	vm_usage_done *done;
	void *user;
	struct arena arena; /* devices and their names */
};

static struct vm_worker *worker_of_uuid(struct vm_manager *m, const uint8_t *uuid)
{
	for (struct table_iter i = table_iterate(&m->workers); table_next(&i);) {
		struct vm_worker *w = i.value;

		if (memcmp(w->uuid, uuid, LIBVIRT_UUID_BYTES) == 0)
			return w;
	}
	return NULL;
}

/* Of a processor: "vcpu.12.time" is a PREFIX vcpu. and a SUFFIX .time */
static bool is_of(struct str field, const char *prefix, const char *suffix)
{
	size_t p = strlen(prefix), s = strlen(suffix);

	return field.size > p + s && memcmp(field.p, prefix, p) == 0 &&
	       memcmp(field.p + field.size - s, suffix, s) == 0;
}

/* What is one of a processor is added up. */
static const struct {
	const char *prefix, *suffix; /* suffix NULL: the whole name */
	size_t offset;
	unsigned times;
} fields[] = {
#define OF(member) offsetof(struct vm_usage, member)
	{"cpu.time", NULL, OF(cpu_ns), 1},
	{"cpu.user", NULL, OF(cpu_user_ns), 1},
	{"cpu.system", NULL, OF(cpu_system_ns), 1},
	{"vcpu.", ".time", OF(vcpu_ns), 1},
	{"vcpu.", ".wait", OF(vcpu_wait_ns), 1},
	{"vcpu.", ".delay", OF(vcpu_delay_ns), 1},
	{"balloon.rss", NULL, OF(resident_bytes), 1024},
	{"balloon.maximum", NULL, OF(most_bytes), 1024},
	{"balloon.current", NULL, OF(guest_bytes), 1024},
	{"balloon.available", NULL, OF(seen_bytes), 1024},
	{"balloon.unused", NULL, OF(unused_bytes), 1024},
	{"balloon.usable", NULL, OF(usable_bytes), 1024},
	{"balloon.disk_caches", NULL, OF(cached_bytes), 1024},
	{"balloon.swap_in", NULL, OF(swapped_in_bytes), 1024},
	{"balloon.swap_out", NULL, OF(swapped_out_bytes), 1024},
	{"balloon.major_fault", NULL, OF(major_faults), 1},
	{"balloon.minor_fault", NULL, OF(minor_faults), 1},
#undef OF
};

/* "net.12.rx.bytes" is rx.bytes of the 12th interface. */
struct device_field {
	const char *name;
	size_t offset;
};
static const struct device_field interface_fields[] = {
#define OF(member) offsetof(struct vm_interface_usage, member)
	{"rx.bytes", OF(received_bytes)},
	{"rx.pkts", OF(received_packets)},
	{"rx.errs", OF(received_errors)},
	{"rx.drop", OF(received_dropped)},
	{"tx.bytes", OF(sent_bytes)},
	{"tx.pkts", OF(sent_packets)},
	{"tx.errs", OF(sent_errors)},
	{"tx.drop", OF(sent_dropped)},
	{NULL, 0},
#undef OF
};
static const struct device_field disk_fields[] = {
#define OF(member) offsetof(struct vm_disk_usage, member)
	{"rd.bytes", OF(read_bytes)},
	{"rd.reqs", OF(reads)},
	{"rd.times", OF(read_ns)},
	{"wr.bytes", OF(written_bytes)},
	{"wr.reqs", OF(writes)},
	{"wr.times", OF(write_ns)},
	{"fl.reqs", OF(flushes)},
	{"fl.times", OF(flush_ns)},
	{NULL, 0},
#undef OF
};

/* The device that the field is of, and what of it; NULL = of none of these. */
static void *device_of(struct arena *a, struct str field, const char *prefix, void **items,
	size_t *count, size_t size, struct str *ret_rest)
{
	size_t p = strlen(prefix);
	uint64_t index;

	if (field.size <= p || memcmp(field.p, prefix, p) != 0)
		return NULL;
	struct str rest = {field.p + p, field.size - p};
	const char *dot = memchr(rest.p, '.', rest.size);
	if (!dot || parse_u64((struct str){rest.p, (size_t)(dot - rest.p)}, &index) < 0 ||
		index >= DEVICES_MAX)
		return NULL;
	if (index >= *count) {
		*items = arena_grow(a, *items, *count * size, (index + 1) * size);
		memset((char *)*items + *count * size, 0, (index + 1 - *count) * size);
		*count = index + 1;
	}
	*ret_rest = (struct str){dot + 1, rest.size - (size_t)(dot + 1 - rest.p)};
	return (char *)*items + index * size;
}

static void *interface_of(
	struct arena *a, struct vm_usage *u, struct str field, struct str *ret_rest)
{
	void *items = u->interfaces;
	void *found = device_of(
		a, field, "net.", &items, &u->interface_count, sizeof(*u->interfaces), ret_rest);
	u->interfaces = items;
	return found;
}

static void *disk_of(struct arena *a, struct vm_usage *u, struct str field, struct str *ret_rest)
{
	void *items = u->disks;
	void *found =
		device_of(a, field, "block.", &items, &u->disk_count, sizeof(*u->disks), ret_rest);
	u->disks = items;
	return found;
}

static void take_device(
	void *device, const struct device_field *known, struct str name, uint64_t value)
{
	for (; known->name; known++)
		if (str_eq(name, known->name))
			memcpy((char *)device + known->offset, &value, sizeof(value));
}

static void take(struct arena *a, struct vm_usage *u, struct str field, uint64_t value)
{
	struct str rest;
	void *device;

	if ((device = interface_of(a, u, field, &rest))) {
		take_device(device, interface_fields, rest, value);
		return;
	}
	if ((device = disk_of(a, u, field, &rest))) {
		take_device(device, disk_fields, rest, value);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *suffix = fields[i].suffix;
		uint64_t sum;

		if (suffix ? !is_of(field, fields[i].prefix, suffix)
			   : !str_eq(field, fields[i].prefix))
			continue;
		memcpy(&sum, (char *)u + fields[i].offset, sizeof(sum));
		sum += value * fields[i].times;
		memcpy((char *)u + fields[i].offset, &sum, sizeof(sum));
		return;
	}
}

static void take_text(struct arena *a, struct vm_usage *u, struct str field, struct str value)
{
	struct str rest;
	struct vm_interface_usage *n = interface_of(a, u, field, &rest);
	struct vm_disk_usage *d = n ? NULL : disk_of(a, u, field, &rest);

	if ((n || d) && str_eq(rest, "name"))
		*(n ? &n->name : &d->name) = arena_memdup(a, value.p, value.size);
}

/* libvirt's names are those of taps and of drives on the guest's buses. */
static void name_devices(const struct vm_worker *w, struct vm_usage *u)
{
	for (size_t i = 0; i < u->interface_count; i++) {
		struct vm_interface_usage *n = &u->interfaces[i];
		for (size_t k = 0; w->has_spec && k < w->spec.interface_count; k++) {
			const struct vm_interface *v = &w->spec.interfaces[k];
			char tap[IFNAMSIZ];
			if (v->network)
				net_tap_name_of(w->spec.uid, v->name, tap);
			else
				net_tap_name(w->spec.uid, tap);
			if (n->name && streq(n->name, tap)) {
				n->name = v->name;
				break;
			}
		}
	}
	for (size_t i = 0; i < u->disk_count; i++) {
		struct vm_disk_usage *d = &u->disks[i];
		for (size_t k = 0; w->has_spec && k < w->spec.disk_count; k++)
			if (d->name && streq(d->name, w->spec.disks[k].target)) {
				d->name = w->spec.disks[k].name;
				break;
			}
	}
}

static void read_params(struct arena *a, struct xdr_reader *r, struct vm_usage *u)
{
	uint32_t count = xdr_get_u32(r);

	for (uint32_t i = 0; i < count && !r->bad; i++) {
		struct str field;

		field.p = xdr_get_string(r, &field.size);
		switch (xdr_get_u32(r)) {
		case PARAM_INT:
		case PARAM_UINT:
		case PARAM_BOOLEAN:
			xdr_get_u32(r);
			break;
		case PARAM_ULLONG: {
			uint64_t value = xdr_get_u64(r);
			if (!r->bad)
				take(a, u, field, value);
			break;
		}
		case PARAM_LLONG:
		case PARAM_DOUBLE:
			xdr_get_u64(r);
			break;
		case PARAM_STRING: {
			struct str value;
			value.p = xdr_get_string(r, &value.size);
			if (!r->bad)
				take_text(a, u, field, value);
			break;
		}
		default:
			r->bad = true;
		}
	}
}

static void on_answer(void *user, const struct libvirt_reply *reply)
{
	struct vm_usage_call *c = user;
	struct err err = ERR_INIT;
	VEC(struct vm_usage) all = {0};

	c->call = NULL;
	if (!reply->ok) {
		err_set(&err, -EIO, "libvirt: %s", reply->message);
	} else {
		struct xdr_reader r = reply->body;
		uint32_t count = xdr_get_u32(&r);
		for (uint32_t i = 0; i < count && !r.bad; i++) {
			struct libvirt_domain d;
			struct vm_usage u = {0};
			xdr_get_domain(&r, &d);
			read_params(&c->arena, &r, &u);
			struct vm_worker *w = r.bad ? NULL : worker_of_uuid(c->m, d.uuid);
			if (!w || !w->object)
				continue;
			name_devices(w, &u);
			if (u.usable_bytes)
				u.used_bytes = u.seen_bytes - MIN(u.seen_bytes, u.usable_bytes);
			u.ns = w->object->namespace;
			u.name = w->object->name;
			u.uid = w->object->uid;
			VEC_PUSH(&all, u);
		}
		if (r.bad)
			err_set(&err, -EBADMSG, "libvirt's statistics can't be read");
	}
	c->done(c->user,
		err.code    ? NULL
		: all.items ? all.items
			    : &(struct vm_usage){0},
		err.code ? 0 : all.count, &err);
	VEC_FINISH(&all);
	arena_finish(&c->arena);
	free(c);
}

struct vm_usage_call *vm_usage_get(struct vm_manager *m, vm_usage_done *done, void *user)
{
	struct vm_usage_call *c = xcalloc(1, sizeof(*c));
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	*c = (struct vm_usage_call){.m = m, .done = done, .user = user, .arena = ARENA_INIT};
	xdr_put_u32(&args, 0); /* no list of domains: all */
	xdr_put_u32(&args, STATS_CPU | STATS_BALLOON | STATS_VCPU | STATS_INTERFACE | STATS_BLOCK);
	xdr_put_u32(&args, ONLY_ACTIVE | NO_WAIT);
	c->call = libvirt_call(
		m->libvirt, LIBVIRT_CONNECT_GET_ALL_DOMAIN_STATS, &args, ANSWER_MS, on_answer, c);
	return c;
}

void vm_usage_cancel(struct vm_usage_call *c)
{
	if (!c)
		return;
	if (c->call)
		libvirt_call_cancel(c->call);
	arena_finish(&c->arena);
	free(c);
}
