#include "node/vm/libvirt/libvirt_event.h"

#include "lib/base/str.h"

const enum libvirt_event_id libvirt_event_ids[] = {
	LIBVIRT_EVENT_ID_LIFECYCLE,
	LIBVIRT_EVENT_ID_REBOOT,
	LIBVIRT_EVENT_ID_WATCHDOG,
	LIBVIRT_EVENT_ID_IO_ERROR_REASON,
	LIBVIRT_EVENT_ID_CONTROL_ERROR,
	LIBVIRT_EVENT_ID_BALLOON_CHANGE,
	LIBVIRT_EVENT_ID_DEVICE_REMOVED,
	LIBVIRT_EVENT_ID_BLOCK_JOB_2,
	LIBVIRT_EVENT_ID_TUNABLE,
	LIBVIRT_EVENT_ID_AGENT_LIFECYCLE,
	LIBVIRT_EVENT_ID_DEVICE_ADDED,
	LIBVIRT_EVENT_ID_DEVICE_REMOVAL_FAILED,
	LIBVIRT_EVENT_ID_METADATA_CHANGE,
	LIBVIRT_EVENT_ID_BLOCK_THRESHOLD,
};
const size_t libvirt_event_id_count = ARRAY_LEN(libvirt_event_ids);

/* Each begins with the number of the subscription and the domain. */
bool libvirt_event_read(int32_t proc, struct xdr_reader payload, struct libvirt_event *ret)
{
	struct xdr_reader *r = &payload;
	struct libvirt_event e = {0};

	xdr_get_u32(r);
	xdr_get_domain(r, &e.domain);
	switch ((enum libvirt_proc)proc) {
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_LIFECYCLE:
		e.id = LIBVIRT_EVENT_ID_LIFECYCLE;
		e.what = (int)xdr_get_u32(r);
		e.detail = (int)xdr_get_u32(r);
		break;
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_REBOOT:
		e.id = LIBVIRT_EVENT_ID_REBOOT;
		break;
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_WATCHDOG:
		e.id = LIBVIRT_EVENT_ID_WATCHDOG;
		e.what = (int)xdr_get_u32(r);
		break;
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_IO_ERROR_REASON:
		e.id = LIBVIRT_EVENT_ID_IO_ERROR_REASON;
		xdr_get_text(r, e.path, sizeof(e.path));
		xdr_get_text(r, e.device, sizeof(e.device));
		e.what = (int)xdr_get_u32(r);
		xdr_get_text(r, e.reason, sizeof(e.reason));
		break;
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_CONTROL_ERROR:
		e.id = LIBVIRT_EVENT_ID_CONTROL_ERROR;
		break;
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_BALLOON_CHANGE:
		e.id = LIBVIRT_EVENT_ID_BALLOON_CHANGE;
		e.bytes = xdr_get_u64(r) * 1024;
		break;
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED:
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_DEVICE_ADDED:
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVAL_FAILED:
		e.id = proc == LIBVIRT_DOMAIN_EVENT_CALLBACK_DEVICE_ADDED
			       ? LIBVIRT_EVENT_ID_DEVICE_ADDED
		       : proc == LIBVIRT_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED
			       ? LIBVIRT_EVENT_ID_DEVICE_REMOVED
			       : LIBVIRT_EVENT_ID_DEVICE_REMOVAL_FAILED;
		xdr_get_text(r, e.device, sizeof(e.device));
		break;
	case LIBVIRT_DOMAIN_EVENT_BLOCK_JOB_2:
		e.id = LIBVIRT_EVENT_ID_BLOCK_JOB_2;
		xdr_get_text(r, e.device, sizeof(e.device));
		e.what = (int)xdr_get_u32(r);
		e.detail = (int)xdr_get_u32(r);
		break;
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_TUNABLE:
		e.id = LIBVIRT_EVENT_ID_TUNABLE; /* what was tuned follows: nobody needs it */
		break;
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_AGENT_LIFECYCLE:
		e.id = LIBVIRT_EVENT_ID_AGENT_LIFECYCLE;
		e.what = (int)xdr_get_u32(r);
		e.detail = (int)xdr_get_u32(r);
		break;
	case LIBVIRT_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE:
		e.id = LIBVIRT_EVENT_ID_METADATA_CHANGE;
		e.what = (int)xdr_get_u32(r);
		if (xdr_get_optional(r))
			xdr_get_text(r, e.path, sizeof(e.path));
		break;
	case LIBVIRT_DOMAIN_EVENT_BLOCK_THRESHOLD:
		e.id = LIBVIRT_EVENT_ID_BLOCK_THRESHOLD;
		xdr_get_text(r, e.device, sizeof(e.device));
		if (xdr_get_optional(r))
			xdr_get_text(r, e.path, sizeof(e.path));
		e.bytes = xdr_get_u64(r);
		break;
	default:
		return false;
	}
	if (r->bad)
		return false;
	*ret = e;
	return true;
}
