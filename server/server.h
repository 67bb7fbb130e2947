/* server.h - the roles `hanok server`, `hanok kubeconfig`, `hanok backup` and `hanok restore`. Exit
 * codes: 0 ok, 1 failed, 2 usage. */
#pragma once

int server_main(int argc, char **argv);
int kubeconfig_main(int argc, char **argv);
int backup_main(int argc, char **argv);
int restore_main(int argc, char **argv);
