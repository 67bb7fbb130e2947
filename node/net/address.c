#include "node/net/address.h"

#include <arpa/inet.h>
#include <stdio.h>

int net_address_parse(const char *text, struct net_address *ret)
{
	struct net_address a = {.family = AF_INET};

	if (!text)
		return -EINVAL;
	if (inet_pton(AF_INET, text, a.bytes) != 1) {
		a.family = AF_INET6;
		if (inet_pton(AF_INET6, text, a.bytes) != 1)
			return -EINVAL;
	}
	*ret = a;
	return 0;
}

const char *net_address_format(const struct net_address *a, char ret[NET_ADDRESS_TEXT])
{
	if (!inet_ntop((int)a->family, a->bytes, ret, NET_ADDRESS_TEXT))
		*ret = '\0';
	return ret;
}

struct net_address net_address_v4(uint32_t network_order)
{
	struct net_address a = {.family = AF_INET};

	memcpy(a.bytes, &network_order, sizeof(network_order));
	return a;
}

uint32_t net_address_to_v4(const struct net_address *a)
{
	uint32_t v = 0;

	if (a->family == AF_INET)
		memcpy(&v, a->bytes, sizeof(v));
	return v;
}

bool net_address_is_valid(const struct net_address *a)
{
	static const uint8_t zero[12];

	return a->family == AF_INET6 ||
	       (a->family == AF_INET && !memcmp(a->bytes + 4, zero, sizeof(zero)));
}

bool net_address_is_unicast(const struct net_address *a)
{
	static const uint8_t loopback[16] = {[15] = 1}, unspecified[16];

	if (!net_address_is_valid(a))
		return false;
	if (a->family == AF_INET)
		return a->bytes[0] != 0 && a->bytes[0] != 127 && a->bytes[0] < 224;
	return a->bytes[0] != 0xff && memcmp(a->bytes, loopback, 16) != 0 &&
	       memcmp(a->bytes, unspecified, 16) != 0;
}

struct net_address net_address_plus(const struct net_address *a, uint32_t n)
{
	struct net_address out = *a;
	uint64_t carry = n;

	for (size_t i = net_address_size(a); i > 0 && carry; i--) {
		carry += out.bytes[i - 1];
		out.bytes[i - 1] = (uint8_t)carry;
		carry >>= 8;
	}
	return out;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
	uint8_t mask = (uint8_t)(0xff00 >> bits % 8);

	return !memcmp(a, b, bits / 8) && (!(bits % 8) || !((a[bits / 8] ^ b[bits / 8]) & mask));
}

bool net_range_has(const struct net_range *r, const struct net_address *a)
{
	return r->address.family && r->address.family == a->family &&
	       same_bits(r->address.bytes, a->bytes, r->prefix);
}

bool net_range_is_valid(const struct net_range *r)
{
	if (!net_address_is_valid(&r->address) || r->prefix > net_address_size(&r->address) * 8)
		return false;
	for (uint32_t bit = r->prefix; bit < net_address_size(&r->address) * 8; bit++)
		if (r->address.bytes[bit / 8] & 0x80 >> bit % 8)
			return false;
	return true;
}

static int parse_range(const char *text, struct net_range *ret)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	char address[NET_ADDRESS_TEXT];
	struct net_range r;
	uint64_t prefix;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (net_address_parse(address, &r.address) < 0 ||
		parse_u64(str_from(slash + 1), &prefix) < 0 ||
		prefix > net_address_size(&r.address) * 8)
		return -EINVAL;
	r.prefix = (uint32_t)prefix;
	*ret = r;
	return 0;
}

int net_range_parse(const char *text, struct net_range *ret)
{
	struct net_range r;

	if (parse_range(text, &r) < 0 || !net_range_is_valid(&r))
		return -EINVAL;
	*ret = r;
	return 0;
}

int net_range_parse_loose(const char *text, struct net_range *ret)
{
	struct net_range r;

	if (parse_range(text, &r) < 0)
		return -EINVAL;
	for (uint32_t bit = r.prefix; bit < net_address_size(&r.address) * 8; bit++)
		r.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	*ret = r;
	return 0;
}

const char *net_range_format(const struct net_range *r, char ret[NET_ADDRESS_TEXT + 4])
{
	char text[NET_ADDRESS_TEXT];

	snprintf(ret, NET_ADDRESS_TEXT + 4, "%s/%u", net_address_format(&r->address, text),
		r->prefix);
	return ret;
}
