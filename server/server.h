/* server.h - the roles `hanok server` and `hanok kubeconfig`. Exit codes: 0 ok, 1 failed, 2 usage.
 */
#pragma once

int server_main(int argc, char **argv);
int kubeconfig_main(int argc, char **argv);
