/* DenyServiceExternalIPs: whoever may write services could otherwise draw traffic for any address
 * to them (CVE-2020-8554). Addresses that are there may stay and be taken away. */
#include "server/api/admission/admission_internal.h"

static int validate(const struct admission_review *r)
{
	if (r->kind != admission_of(r)->kinds.services || *r->part)
		return 0;
	const struct json *was = json_path(r->old, "spec.externalIPs");
	JSON_FOR_EACH_ITEM(ip, json_path(r->doc, "spec.externalIPs")) {
		bool had = false;
		JSON_FOR_EACH_ITEM(old, was)
			had |= json_equal(ip, old);
		if (!had)
			return admission_forbid(
				r, "Use of external IPs is denied by admission control.");
	}
	return 0;
}

const struct admission_plugin admission_deny_service_external_ips = {
	.name = "DenyServiceExternalIPs",
	.off = true,
	.validate = validate,
};
