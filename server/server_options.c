#include "server/server_options.h"

#include <getopt.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/object/rule.h"
#include "server/api/machines/mac_pool.h"

static void usage(FILE *to)
{
	fprintf(to,
		"usage: hanok server --data DIR [OPTIONS]\n\n"
		"  --data DIR             certificates, kubeconfig and the store live here\n"
		"  --listen ADDR:PORT     where the API is served (default 127.0.0.1:6443)\n"
		"  --store sqlite         the store (default and only one: sqlite, in "
		"DIR/hanok.db)\n"
		"  --controllers LIST     control loops to run: '*', 'a,b', '*,-a', '-*' for none "
		"(default *)\n"
		"  --scheduler on|off     place pods and virtual machines on nodes (default on)\n"
		"  --service-cidr CIDR[,CIDR]\n"
		"                         range of service addresses (default 10.96.0.0/16); the\n"
		"                         second of IPv6, for dual stack: fd00:10:96::/112\n"
		"  --pod-cidr CIDR[,CIDR] range cut into a /24 a node (default 10.244.0.0/16); "
		"the\n"
		"                         second into a /64: fd00:10:244::/48\n"
		"  --mac-range FIRST-LAST MAC addresses for virtual machines (default\n"
		"                         02:00:00:00:00:00-02:ff:ff:ff:ff:ff)\n"
		"  --event-ttl DURATION   how long events are kept after their last change "
		"(default "
		"1h)\n"
		"  --tls-san NAME         one more name or address for the serving certificate "
		"(may be repeated)\n"
		"  --token-auth-file F    users with fixed tokens, for tests: lines "
		"token,user,uid,\"group,group\"\n"
		"  --service-account-issuer URL\n"
		"                         who service account tokens are from (default\n"
		"                         https://kubernetes.default.svc.cluster.local)\n"
		"  --node-listen A:P      one more address, for the nodes\n"
		"  --node-netns PATH      network namespace in which that address and the nodes "
		"are\n"
		"  --enable-admission-plugins A,B   plugins beside the usual ones\n"
		"  --disable-admission-plugins A,B  usual plugins that are left out\n"
		"  --max-requests-inflight N        reading requests under way at once (default "
		"400; "
		"0 = no limit)\n"
		"  --max-mutating-requests-inflight N  writing ones (default 200; 0 = no limit)\n"
		"  --request-timeout DURATION       within which requests are answered, but what "
		"lasts by its\n"
		"                         nature (watches, logs, exec, ...); 0 = no limit (default "
		"1m)\n"
		"  --log-format FORMAT    logfmt (default) or json\n"
		"  --log-level LEVEL      debug, info (default), warn or error\n");
}

static int bad(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "hanok server: %s '%s': want %s\n", option, value, want);
	return 2;
}

static bool is_host(const char *s)
{
	return rule_holds(RULE_IP, s) || rule_holds(RULE_DNS_SUBDOMAIN, s);
}

#define COUNT_WANTED "a number from 0 (no limit) to 1000000"

static bool parse_count(const char *text, unsigned *ret)
{
	uint64_t n;
	if (parse_u64(str_from(text), &n) < 0 || n > 1000000)
		return false;
	*ret = (unsigned)n;
	return true;
}

/* "A,B": ends the first and returns it. */
static const char *split(char *text, const char **ret_second)
{
	char *comma = strchr(text, ',');
	*ret_second = comma ? comma + 1 : NULL;
	if (comma)
		*comma = '\0';
	return text;
}

int server_options_parse(int argc, char **argv, struct server_options *ret)
{
	enum {
		DATA = 256,
		LISTEN,
		STORE,
		CONTROLLERS,
		SCHEDULER,
		SERVICE_CIDR,
		POD_CIDR,
		MAC_RANGE,
		EVENT_TTL,
		NODE_LISTEN,
		NODE_NETNS,
		ENABLE_ADMISSION,
		DISABLE_ADMISSION,
		MAX_READING,
		MAX_WRITING,
		REQUEST_TIMEOUT,
		TLS_SAN,
		TOKEN_FILE,
		ISSUER,
		LOG_FORMAT,
		LOG_LEVEL
	};
	static const struct option options[] = {
		{"data", required_argument, NULL, DATA},
		{"listen", required_argument, NULL, LISTEN},
		{"store", required_argument, NULL, STORE},
		{"controllers", required_argument, NULL, CONTROLLERS},
		{"scheduler", required_argument, NULL, SCHEDULER},
		{"service-cidr", required_argument, NULL, SERVICE_CIDR},
		{"pod-cidr", required_argument, NULL, POD_CIDR},
		{"mac-range", required_argument, NULL, MAC_RANGE},
		{"event-ttl", required_argument, NULL, EVENT_TTL},
		{"node-listen", required_argument, NULL, NODE_LISTEN},
		{"node-netns", required_argument, NULL, NODE_NETNS},
		{"enable-admission-plugins", required_argument, NULL, ENABLE_ADMISSION},
		{"disable-admission-plugins", required_argument, NULL, DISABLE_ADMISSION},
		{"max-requests-inflight", required_argument, NULL, MAX_READING},
		{"max-mutating-requests-inflight", required_argument, NULL, MAX_WRITING},
		{"request-timeout", required_argument, NULL, REQUEST_TIMEOUT},
		{"tls-san", required_argument, NULL, TLS_SAN},
		{"token-auth-file", required_argument, NULL, TOKEN_FILE},
		{"service-account-issuer", required_argument, NULL, ISSUER},
		{"log-format", required_argument, NULL, LOG_FORMAT},
		{"log-level", required_argument, NULL, LOG_LEVEL},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct server_options o = {
		.listen = "127.0.0.1:6443",
		.controllers = "*",
		.scheduler = true,
		.service_cidr = "10.96.0.0/16",
		.pod_cidr = "10.244.0.0/16",
		.event_ttl_ns = 3600 * NS_PER_S,
		.max_reading = 400,
		.max_writing = 200,
		.request_timeout_ns = 60 * NS_PER_S,
	};
	enum log_level level;
	struct mac_range macs;
	size_t sans = 0;
	int c;
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case DATA:
			o.data = optarg;
			break;
		case LISTEN:
			o.listen = optarg;
			break;
		case STORE:
			if (!streq(optarg, "sqlite"))
				return bad("--store", optarg, "sqlite");
			break;
		case CONTROLLERS:
			o.controllers = optarg;
			break;
		case SCHEDULER:
			if (!streq(optarg, "on") && !streq(optarg, "off"))
				return bad("--scheduler", optarg, "on or off");
			o.scheduler = streq(optarg, "on");
			break;
		case SERVICE_CIDR:
			o.service_cidr = split(optarg, &o.service_cidr6);
			break;
		case POD_CIDR:
			o.pod_cidr = split(optarg, &o.pod_cidr6);
			break;
		case MAC_RANGE:
			if (mac_range_parse(optarg, &macs) < 0)
				return bad("--mac-range", optarg,
					"two MAC addresses with the same first byte, such as "
					"02:00:00:00:00:00-02:00:00:ff:ff:ff");
			o.mac_range = optarg;
			break;
		case EVENT_TTL:
			if (duration_parse(optarg, &o.event_ttl_ns) < 0 ||
				o.event_ttl_ns < NS_PER_S)
				return bad("--event-ttl", optarg,
					"a duration of a second or more, such as 30m");
			break;
		case NODE_LISTEN:
			o.node_listen = optarg;
			break;
		case NODE_NETNS:
			o.node_netns = optarg;
			break;
		case ENABLE_ADMISSION:
			o.enable_admission = optarg;
			break;
		case DISABLE_ADMISSION:
			o.disable_admission = optarg;
			break;
		case MAX_READING:
			if (!parse_count(optarg, &o.max_reading))
				return bad("--max-requests-inflight", optarg, COUNT_WANTED);
			break;
		case MAX_WRITING:
			if (!parse_count(optarg, &o.max_writing))
				return bad(
					"--max-mutating-requests-inflight", optarg, COUNT_WANTED);
			break;
		case REQUEST_TIMEOUT:
			if (duration_parse(optarg, &o.request_timeout_ns) < 0 ||
				o.request_timeout_ns < 0 ||
				(o.request_timeout_ns && o.request_timeout_ns < NS_PER_MS))
				return bad(
					"--request-timeout", optarg, "a duration such as 1m, or 0");
			break;
		case TLS_SAN:
			if (!is_host(optarg) || sans == SERVER_TLS_SANS_MAX)
				return bad("--tls-san", optarg,
					"a DNS name or an IP address, at most 8 times");
			o.tls_sans[sans++] = optarg;
			break;
		case TOKEN_FILE:
			o.token_file = optarg;
			break;
		case ISSUER:
			if (!str_has_prefix(optarg, "https://") || strpbrk(optarg, " \"\n?#"))
				return bad("--service-account-issuer", optarg,
					"a URL https://... without query");
			o.issuer = optarg;
			break;
		case LOG_FORMAT:
			if (!streq(optarg, "logfmt") && !streq(optarg, "json"))
				return bad("--log-format", optarg, "logfmt or json");
			log_set_json(streq(optarg, "json"));
			break;
		case LOG_LEVEL:
			if (log_level_parse(optarg, &level) < 0)
				return bad("--log-level", optarg, "debug, info, warn or error");
			log_set_level(level);
			break;
		case 'h':
			usage(stdout);
			return -1;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (!o.data || optind < argc) {
		if (!o.data)
			fprintf(stderr, "hanok server: --data DIR is missing\n");
		else
			fprintf(stderr, "hanok server: unknown argument '%s'\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	if (o.node_netns && !o.node_listen) {
		fprintf(stderr, "hanok server: --node-netns needs --node-listen: nodes could not "
				"reach the API\n");
		return 2;
	}
	*ret = o;
	return 0;
}
