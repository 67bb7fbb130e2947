/* netd.h - `hanok netd`: the one process that changes the kernel's packet rules.
 *
 * It has no API credentials and believes nothing: the agent hands it typed messages over a
 * socketpair (descriptor 3), each is bounded and checked here, and only then becomes part of an
 * nftables transaction on the tables `ip hanok` and `ip6 hanok`. Not meant to be started by hand.
 */
#pragma once

int netd_main(int argc, char **argv);
