#include "node/vm/spec/spec_internal.h"

/* QEMU's own number of tries. */
#define SPINLOCKS_DEFAULT 4096

const struct vm_hyperv_name vm_hyperv_names[VM_HYPERV_COUNT] = {
	[VM_HYPERV_RELAXED] = {"relaxed", "relaxed"},
	[VM_HYPERV_VAPIC] = {"vapic", "vapic"},
	[VM_HYPERV_SPINLOCKS] = {"spinlocks", "spinlocks"},
	[VM_HYPERV_VPINDEX] = {"vpindex", "vpindex"},
	[VM_HYPERV_RUNTIME] = {"runtime", "runtime"},
	[VM_HYPERV_SYNIC] = {"synic", "synic"},
	[VM_HYPERV_SYNICTIMER] = {"synictimer", "stimer"},
	[VM_HYPERV_RESET] = {"reset", "reset"},
	[VM_HYPERV_VENDORID] = {"vendorid", "vendor_id"},
	[VM_HYPERV_FREQUENCIES] = {"frequencies", "frequencies"},
	[VM_HYPERV_REENLIGHTENMENT] = {"reenlightenment", "reenlightenment"},
	[VM_HYPERV_TLBFLUSH] = {"tlbflush", "tlbflush"},
	[VM_HYPERV_IPI] = {"ipi", "ipi"},
	[VM_HYPERV_EVMCS] = {"evmcs", "evmcs"},
};

/* A FeatureState: being there means on, unless it says enabled: false. */
static enum vm_switch feature(const struct json *features, const char *name)
{
	const struct json *f = json_get(features, name);

	if (!json_is(f, JSON_OBJECT))
		return VM_UNSET;
	return json_bool_or(json_get(f, "enabled"), true) ? VM_ON : VM_OFF;
}

static int read_hyperv(const struct json *features, struct vm_features *f, struct err *err)
{
	static const char at[] = "spec.domain.features.hyperv";
	const struct json *hyperv = json_get(features, "hyperv"), *part;

	f->hyperv_passthrough = feature(features, "hypervPassthrough") == VM_ON;
	if (f->hyperv_passthrough && json_count(hyperv))
		return err_set(err, -EINVAL,
			"%s: hyperv and hypervPassthrough cannot be used at the same time", at);
	for (size_t i = 0; i < VM_HYPERV_COUNT; i++)
		f->hyperv[i] = feature(hyperv, vm_hyperv_names[i].field);
	f->synictimer_direct = feature(json_get(hyperv, "synictimer"), "direct") == VM_ON;
	part = json_get(hyperv, "tlbflush");
	if (feature(part, "direct") == VM_ON || feature(part, "extended") == VM_ON)
		return err_set(err, -EOPNOTSUPP,
			"%s.tlbflush: direct and extended are not supported by this node agent",
			at);
	f->spinlocks = json_path_int(hyperv, "spinlocks.spinlocks", SPINLOCKS_DEFAULT);
	if (f->hyperv[VM_HYPERV_SPINLOCKS] == VM_ON &&
		(f->spinlocks < 4095 || f->spinlocks > UINT32_MAX))
		return err_set(err, -EINVAL, "%s.spinlocks.spinlocks: must be at least 4095", at);
	f->vendor_id = json_path_str(hyperv, "vendorid.vendorid");
	if (f->hyperv[VM_HYPERV_VENDORID] == VM_ON &&
		(!f->vendor_id || !*f->vendor_id || strlen(f->vendor_id) > 12))
		return err_set(
			err, -EINVAL, "%s.vendorid.vendorid: must be 1 to 12 characters", at);
	/* What each needs of the others (QEMU refuses it in words of its own). */
	static const struct {
		enum vm_hyperv what, needs;
	} needs[] = {
		{VM_HYPERV_SYNIC, VM_HYPERV_VPINDEX},
		{VM_HYPERV_SYNICTIMER, VM_HYPERV_SYNIC},
		{VM_HYPERV_TLBFLUSH, VM_HYPERV_VPINDEX},
		{VM_HYPERV_IPI, VM_HYPERV_VPINDEX},
		{VM_HYPERV_EVMCS, VM_HYPERV_VAPIC},
	};
	for (size_t i = 0; i < ARRAY_LEN(needs); i++)
		if (f->hyperv[needs[i].what] == VM_ON && f->hyperv[needs[i].needs] == VM_OFF)
			return err_set(err, -EINVAL, "%s.%s needs %s, which is disabled", at,
				vm_hyperv_names[needs[i].what].field,
				vm_hyperv_names[needs[i].needs].field);
		else if (f->hyperv[needs[i].what] == VM_ON)
			f->hyperv[needs[i].needs] = VM_ON;
	if (f->hyperv[VM_HYPERV_SYNIC] == VM_ON) /* a synictimer brought it along */
		f->hyperv[VM_HYPERV_VPINDEX] = VM_ON;
	return 0;
}

static int read_timer(const struct json *timers, const char *name, const char *const *policies,
	struct vm_timer *t, struct err *err)
{
	const struct json *it = json_get(timers, name);

	if (!json_is(it, JSON_OBJECT))
		return 0;
	t->present = json_bool_or(json_get(it, "present"), true) ? VM_ON : VM_OFF;
	t->tick_policy = json_str(json_get(it, "tickPolicy"));
	t->track = json_str(json_get(it, "track"));
	if (t->tick_policy && (!policies || !spec_one_of(t->tick_policy, policies)))
		return err_set(err, -EINVAL,
			"spec.domain.clock.timer.%s.tickPolicy: '%s' is not known", name,
			t->tick_policy);
	if (t->track && !streq(t->track, "guest") && !streq(t->track, "wall"))
		return err_set(err, -EINVAL,
			"spec.domain.clock.timer.%s.track: '%s' is not guest or wall", name,
			t->track);
	return 0;
}

static int read_clock(const struct json *domain, struct vm_clock *c, struct err *err)
{
	static const char *const all[] = {"delay", "catchup", "merge", "discard", NULL};
	static const char *const pit[] = {"delay", "catchup", "discard", NULL};
	static const char *const rtc[] = {"delay", "catchup", NULL};
	const struct json *clock = json_get(domain, "clock"), *timers = json_get(clock, "timer");
	int r;

	c->timezone = json_str(json_get(clock, "timezone"));
	if (c->timezone && !*c->timezone)
		c->timezone = NULL;
	if (c->timezone && json_get(clock, "utc"))
		return err_set(err, -EINVAL,
			"spec.domain.clock: only one of utc and timezone can be given");
	c->offset_s = json_path_int(clock, "utc.offsetSeconds", 0);
	if (c->offset_s < INT32_MIN || c->offset_s > INT32_MAX)
		return err_set(err, -EINVAL, "spec.domain.clock.utc.offsetSeconds: out of range");
	if ((r = read_timer(timers, "hpet", all, &c->hpet, err)) < 0 ||
		(r = read_timer(timers, "kvm", NULL, &c->kvm, err)) < 0 ||
		(r = read_timer(timers, "pit", pit, &c->pit, err)) < 0 ||
		(r = read_timer(timers, "rtc", rtc, &c->rtc, err)) < 0 ||
		(r = read_timer(timers, "hyperv", NULL, &c->hyperv, err)) < 0)
		return r;
	return 0;
}

int spec_read_features(const struct json *domain, struct vm_spec *s, struct err *err)
{
	const struct json *features = json_get(domain, "features");
	struct vm_features *f = &s->features;
	int r;

	f->acpi = feature(features, "acpi") != VM_OFF;
	f->apic = feature(features, "apic") != VM_OFF;
	f->apic_eoi = f->apic && json_path_bool(features, "apic.endOfInterrupt", false);
	f->smm = feature(features, "smm");
	f->pvspinlock = feature(features, "pvspinlock");
	f->kvm_hidden = json_path_bool(features, "kvm.hidden", false);
	r = read_hyperv(features, f, err);
	return r < 0 ? r : read_clock(domain, &s->clock, err);
}

static void write_hyperv(struct xml *x, const struct vm_features *f)
{
	bool any = false;

	if (f->hyperv_passthrough)
		xml_add(x, "    <hyperv mode='passthrough'/>\n");
	for (size_t i = 0; i < VM_HYPERV_COUNT; i++)
		any |= f->hyperv[i] != VM_UNSET;
	if (!any)
		return;
	xml_add(x, "    <hyperv mode='custom'>\n");
	for (size_t i = 0; i < VM_HYPERV_COUNT; i++) {
		bool on = f->hyperv[i] == VM_ON;

		if (f->hyperv[i] == VM_UNSET)
			continue;
		xml_add(x, "      <%s state='%s'", vm_hyperv_names[i].libvirt, on ? "on" : "off");
		if (on && i == VM_HYPERV_SPINLOCKS)
			xml_add(x, " retries='%lld'", (long long)f->spinlocks);
		if (on && i == VM_HYPERV_VENDORID)
			xml_add(x, " value='%s'", f->vendor_id);
		if (on && i == VM_HYPERV_SYNICTIMER && f->synictimer_direct)
			xml_add(x, ">\n        <direct state='on'/>\n      </stimer>\n");
		else
			xml_add(x, "/>\n");
	}
	xml_add(x, "    </hyperv>\n");
}

void xml_write_features(struct xml *x, const struct vm_spec *s, const struct domain_host *host)
{
	const struct vm_features *f = &s->features;

	xml_add(x, "  <features>\n");
	if (f->acpi)
		xml_add(x, "    <acpi/>\n");
	if (f->apic)
		xml_add(x, f->apic_eoi ? "    <apic eoi='on'/>\n" : "    <apic/>\n");
	write_hyperv(x, f);
	if (f->kvm_hidden)
		xml_add(x, "    <kvm>\n      <hidden state='on'/>\n    </kvm>\n");
	if (f->pvspinlock != VM_UNSET)
		xml_add(x, "    <pvspinlock state='%s'/>\n", f->pvspinlock == VM_ON ? "on" : "off");
	if (s->cpu_tuning.realtime)
		xml_add(x, "    <pmu state='off'/>\n    <vmport state='off'/>\n");
	if (f->smm != VM_UNSET)
		xml_add(x, "    <smm state='%s'/>\n", f->smm == VM_ON ? "on" : "off");
	if (!host->kvm)
		xml_add(x, "    <tcg>\n      <tb-cache unit='MiB'>%lld</tb-cache>\n    </tcg>\n",
			(long long)(spec_tcg_cache_bytes(s) >> 20));
	xml_add(x, "  </features>\n");
}

static void write_timer(struct xml *x, const char *name, const struct vm_timer *t)
{
	if (t->present == VM_UNSET)
		return;
	xml_add(x, "    <timer name='%s' present='%s'", name, t->present == VM_ON ? "yes" : "no");
	if (t->tick_policy)
		xml_add(x, " tickpolicy='%s'", t->tick_policy);
	if (t->track)
		xml_add(x, " track='%s'", t->track);
	xml_add(x, "/>\n");
}

void xml_write_clock(struct xml *x, const struct vm_spec *s)
{
	const struct vm_clock *c = &s->clock;

	if (c->timezone)
		xml_add(x, "  <clock offset='timezone' timezone='%s'>\n", c->timezone);
	else if (c->offset_s)
		xml_add(x, "  <clock offset='variable' adjustment='%lld' basis='utc'>\n",
			(long long)c->offset_s);
	else
		xml_add(x, "  <clock offset='utc'>\n");
	write_timer(x, "rtc", &c->rtc);
	write_timer(x, "pit", &c->pit);
	write_timer(x, "hpet", &c->hpet);
	write_timer(x, "kvmclock", &c->kvm);
	write_timer(x, "hypervclock", &c->hyperv);
	xml_add(x, "  </clock>\n");
}
