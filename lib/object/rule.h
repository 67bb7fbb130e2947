/* rule.h - the checks of text that have words of their own in Kubernetes (names, labels, ports,
 * ...). A kind file names one by `x-hanok-rule`. Hand-written: no regular expressions at run time.
 */
#pragma once

#include "lib/json/json.h"

enum rule {
	RULE_NONE,
	RULE_DNS_LABEL,	    /* RFC 1123 label, 63 bytes: names of containers, volumes, namespaces */
	RULE_DNS_LABEL_OPT, /* the same, or empty */
	RULE_DNS_SUBDOMAIN, /* RFC 1123 subdomain, 253 bytes: names of most objects */
	RULE_DNS_1035_LABEL, /* begins with a letter: names of services */
	RULE_PATH_SEGMENT,   /* anything that may stand in a URL path: no / or %, not . or .. */
	RULE_QUALIFIED_NAME, /* "example.com/name": label keys, taint keys, conditions */
	RULE_LABEL_VALUE,
	RULE_CONFIG_KEY, /* keys of config maps and secrets */
	RULE_ENV_NAME,
	RULE_PORT_NAME,	       /* IANA service name, 15 bytes */
	RULE_PORT,	       /* number 1..65535 or port name */
	RULE_COUNT_OR_PERCENT, /* 3 or "25%" */
	RULE_IP,
	RULE_MAC,
	RULE_LABELS,	  /* map: keys are qualified names, values label values */
	RULE_CONFIG_KEYS, /* map: keys are config keys */
	RULE_MICRO_TIME,  /* date-time that keeps microseconds */
	RULE_CHECKSUM,	  /* of a download: "sha256:HEX" (md5, sha1, sha256, sha512), or empty */
};

int rule_from_name(const char *name, enum rule *ret) _must_check_; /* "dns-label"; -EINVAL */

#define RULE_MESSAGES_MAX 4
/* What is wrong with the text, in Kubernetes' words; 0 = nothing. Rules for maps and numbers accept
 * any text here. */
size_t rule_check(enum rule rule, const char *s, size_t size, const char *ret[RULE_MESSAGES_MAX]);
bool rule_holds(enum rule rule, const char *s);
