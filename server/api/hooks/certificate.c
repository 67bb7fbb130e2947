/* certificate.c - CertificateSigningRequest. What is requested never changes; approval and status
 * are written through subresources of their own, each its own part. */
#include "lib/base/clock.h"
#include "server/api/hooks/certificate_pem.h"
#include "server/api/hooks/validate.h"

#define EXPIRATION_SECONDS_MIN 600
#define DOMAIN_SIZE_MAX 253
#define SIGNER_SIZE_MAX (DOMAIN_SIZE_MAX + 1 + 63 + 1 + 253)

static const char *const decisions[] = {"Approved", "Denied"};

/* ---- before the checks ---- */

/* Who asks is what the server knows, not what the client says. */
static void set_requester(struct hook *h, struct json *spec)
{
	static const char *const ours[] = {"username", "uid", "groups", "extra"};
	struct json *user = user_info(h->arena, &h->req->user);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		json_remove(spec, ours[i]);
		if (json_get(user, ours[i]))
			json_set(h->arena, spec, ours[i], json_get(user, ours[i]));
	}
}

static int prepare_create(struct hook *h, struct json *doc)
{
	if (h->req)
		set_requester(h, json_get(doc, "spec"));
	return 0;
}

static bool is_type(const struct json *condition, const char *type)
{
	return streq(json_str(json_get(condition, "type")), type);
}

static size_t count_type(const struct json *doc, const char *type)
{
	size_t count = 0;
	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions"))
		count += is_type(c, type);
	return count;
}

static struct json *nth_of_type(const struct json *doc, const char *type, size_t n)
{
	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions"))
		if (is_type(c, type) && n-- == 0)
			return c;
	return NULL;
}

/* Decisions that are there stay as they are; one more or less is found by the checks. */
static void keep_decisions(struct hook *h, struct json *doc, const struct json *old)
{
	for (size_t d = 0; d < ARRAY_LEN(decisions); d++) {
		size_t count = count_type(old, decisions[d]);
		if (count != count_type(doc, decisions[d]))
			continue;
		for (size_t n = 0; n < count; n++)
			*nth_of_type(doc, decisions[d], n) =
				*json_copy(h->arena, nth_of_type(old, decisions[d], n));
	}
}

static void set_times(struct hook *h, struct json *doc, const struct json *old)
{
	char now[TIME_RFC3339_ROOM];
	struct json_seen had = {.arena = h->arena, .by = {"type", "status"}};
	JSON_FOR_EACH_ITEM(was, json_path(old, "status.conditions"))
		json_seen_put(&had, was);
	time_format_rfc3339(h->now_ns, now);
	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions")) {
		if (!json_get(c, "lastUpdateTime"))
			json_set_str(h->arena, c, "lastUpdateTime", now);
		if (json_get(c, "lastTransitionTime"))
			continue;
		const struct json *was = json_seen_put(&had, c);
		json_set_str(h->arena, c, "lastTransitionTime",
			json_str_or(json_get(was, "lastTransitionTime"), now));
	}
}

static int prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	json_set(h->arena, doc, "spec", json_copy(h->arena, json_get(old, "spec")));
	if (streq(h->part, "status"))
		keep_decisions(h, doc, old);
	if (*h->part)
		set_times(h, doc, old);
	return 0;
}

/* An approval is the conditions. */
static void keep_part(struct arena *a, const char *part, struct json *doc, const struct json *old)
{
	if (!streq(part, "approval"))
		return;
	const struct json *was = json_get(old, "status");
	struct json *conditions = json_path(doc, "status.conditions");
	struct json *status = was ? json_copy(a, was) : json_new_object(a);
	if (conditions)
		json_set(a, status, "conditions", conditions);
	else
		json_remove(status, "conditions");
	json_set(a, doc, "status", status);
	json_set(a, doc, "spec", json_copy(a, json_get(old, "spec")));
}

/* ---- checks ---- */

static void check_labels_of(struct hook *h, enum rule rule, const char *segment, size_t size)
{
	const struct json *shown = json_new_string_n(h->arena, segment, size);
	const char *p = segment, *end = segment + size;
	while (p <= end) {
		const char *dot = memchr(p, '.', (size_t)(end - p));
		const char *stop = dot ? dot : end;
		const char *label = arena_memdup(h->arena, p, (size_t)(stop - p));
		const char *messages[RULE_MESSAGES_MAX];
		size_t n = rule_check(rule, label, (size_t)(stop - p), messages);
		for (size_t i = 0; i < n; i++)
			invalid(h, "spec.signerName", shown, "validating label \"%s\": %s", label,
				messages[i]);
		p = stop + 1;
	}
}

static void check_signer(struct hook *h, const struct json *signer)
{
	static const char field[] = "spec.signerName";
	if (streq(json_str(signer), "kubernetes.io/legacy-unknown")) {
		invalid(h, field, signer,
			"the legacy signerName is not allowed via this API version");
		return;
	}
	if (!require_text(h, field, signer))
		return;
	const char *slash = strchr(signer->s, '/');
	if (!slash || strchr(slash + 1, '/')) {
		invalid(h, field, signer,
			"must be a fully qualified domain and path of the form "
			"'example.com/signer-name'");
		return;
	}
	size_t domain = (size_t)(slash - signer->s);
	if (domain > DOMAIN_SIZE_MAX)
		field_error(h->errors, FIELD_TOO_LONG, field, NULL, "may not be more than %d bytes",
			DOMAIN_SIZE_MAX);
	check_labels_of(h, RULE_DNS_LABEL, signer->s, domain);
	if (!memchr(signer->s, '.', domain))
		invalid(h, field, json_new_string_n(h->arena, signer->s, domain),
			"should be a domain with at least two segments separated by dots");
	check_labels_of(h, RULE_DNS_SUBDOMAIN, slash + 1, strlen(slash + 1));
	if (signer->count > SIGNER_SIZE_MAX)
		field_error(h->errors, FIELD_TOO_LONG, field, NULL, "may not be more than %d bytes",
			SIGNER_SIZE_MAX);
}

static void check_usages(struct hook *h, const struct json *usages)
{
	static const char *const known[] = {"any", "cert sign", "client auth", "code signing",
		"content commitment", "crl sign", "data encipherment", "decipher only",
		"digital signature", "email protection", "encipher only", "ipsec end system",
		"ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc",
		"netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping",
		NULL};
	if (json_count(usages) == 0)
		required(h, "spec.usages", NULL);
	for (size_t i = 0; i < json_count(usages); i++)
		check_one_of(h, at(h, "spec.usages[%zu]", i), json_at(usages, i), known);
	struct json_seen seen = {.arena = h->arena};
	for (size_t i = 0; i < json_count(usages); i++)
		if (json_seen_put(&seen, json_at(usages, i)))
			duplicate(h, at(h, "spec.usages[%zu]", i), json_at(usages, i));
}

static void check_conditions(struct hook *h, const struct json *conditions)
{
	static const char *const any[] = {"False", "True", "Unknown", NULL};
	static const char *const only_true[] = {"True", NULL};
	bool approved = false, denied = false;
	struct json_seen types = {.arena = h->arena, .by = {"type"}};
	for (size_t i = 0; i < json_count(conditions); i++) {
		const struct json *c = json_at(conditions, i), *type = json_get(c, "type");
		const char *path = at(h, "status.conditions[%zu]", i);
		const char *type_field = at(h, "%s.type", path), *name = json_str_or(type, "");
		bool final =
			streq(name, "Approved") || streq(name, "Denied") || streq(name, "Failed");
		require_text(h, type_field, type);
		if (require_text(h, at(h, "%s.status", path), json_get(c, "status")))
			check_one_of(h, at(h, "%s.status", path), json_get(c, "status"),
				final ? only_true : any);
		approved |= streq(name, "Approved");
		denied |= streq(name, "Denied");
		if ((streq(name, "Approved") && denied) || (streq(name, "Denied") && approved))
			invalid(h, type_field, type,
				"Approved and Denied conditions are mutually exclusive");
		if (json_seen_put(&types, c))
			duplicate(h, type_field, type);
	}
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec"), *request = json_get(spec, "request");
	const struct json *seconds = json_get(spec, "expirationSeconds");
	const char *certificate = json_path_str(doc, "status.certificate");
	/* What is stored was looked at when it came. */
	bool new = !*h->part || !h->req;
	const char *problem =
		new ? certificate_request_problem(h->arena, json_str_or(request, "")) : NULL;
	if (problem)
		invalid(h, "spec.request", request, "%s", problem);
	check_usages(h, json_get(spec, "usages"));
	check_signer(h, json_get(spec, "signerName"));
	if (json_is(seconds, JSON_INT) && seconds->i < EXPIRATION_SECONDS_MIN)
		invalid(h, "spec.expirationSeconds", seconds,
			"may not specify a duration less than 600 seconds (10 minutes)");
	check_conditions(h, json_path(doc, "status.conditions"));
	problem = certificate && *certificate ? certificates_problem(h->arena, certificate) : NULL;
	if (problem)
		invalid(h, "status.certificate", json_new_string(h->arena, "<certificate data>"),
			"%s", problem);
}

static void check_decision(
	struct hook *h, const struct json *doc, const struct json *old, const char *type)
{
	static const char field[] = "status.conditions";
	size_t now = count_type(doc, type), was = count_type(old, type);
	if (now > was)
		forbidden(h, field, at(h, "updates may not add a condition of type \"%s\"", type));
	for (size_t n = 0; now == was && n < now; n++)
		if (!json_equal(nth_of_type(doc, type, n), nth_of_type(old, type, n))) {
			forbidden(h, field,
				at(h, "updates may not modify a condition of type \"%s\"", type));
			break;
		}
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	static const char *const lasting[] = {"Approved", "Denied", "Failed"};
	const char *now = json_str_or(json_path(doc, "status.certificate"), "");
	const char *was = json_str_or(json_path(old, "status.certificate"), "");
	if (streq(h->part, "status"))
		validate(h, doc);
	for (size_t i = 0; i < ARRAY_LEN(lasting); i++)
		if (count_type(doc, lasting[i]) < count_type(old, lasting[i]))
			forbidden(h, "status.conditions",
				at(h, "updates may not remove a condition of type \"%s\"",
					lasting[i]));
	for (size_t i = 0; i < ARRAY_LEN(decisions) && !streq(h->part, "approval"); i++)
		check_decision(h, doc, old, decisions[i]);
	if (streq(now, was))
		return;
	if (!streq(h->part, "status"))
		forbidden(h, "status.certificate", "updates may not set certificate content");
	else if (*was)
		forbidden(h, "status.certificate",
			"updates may not modify existing certificate content");
}

/* ---- table ---- */

static struct json *cell(const struct table_row *row, const char *column)
{
	const struct json *seconds = json_path(row->doc, "spec.expirationSeconds");
	const char *signer = json_str_or(json_path(row->doc, "spec.signerName"), "");
	if (streq(column, "SignerName"))
		return cell_text(row, "%s", *signer ? signer : "<none>");
	if (streq(column, "Requestor"))
		return cell_text(row, "%s", json_str_or(json_path(row->doc, "spec.username"), ""));
	if (streq(column, "RequestedDuration"))
		return json_is(seconds, JSON_INT)
			       ? cell_text(row, "%s",
					 duration_human(row->arena, seconds->i * NS_PER_S))
			       : cell_text(row, "<none>");
	if (!streq(column, "Condition"))
		return NULL;
	return cell_text(row, "%s%s%s",
		count_type(row->doc, "Denied")	   ? "Denied"
		: count_type(row->doc, "Approved") ? "Approved"
						   : "Pending",
		count_type(row->doc, "Failed") ? ",Failed" : "",
		*json_str_or(json_path(row->doc, "status.certificate"), "") ? ",Issued" : "");
}

const struct kind_hooks hooks_certificate_signing_request = {
	.group = "certificates.k8s.io",
	.kind = "CertificateSigningRequest",
	.prepare_create = prepare_create,
	.prepare_update = prepare_update,
	.keep_part = keep_part,
	.validate = validate,
	.validate_update = validate_update,
	.cell = cell,
};
