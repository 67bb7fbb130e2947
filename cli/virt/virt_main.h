/* virt_main.h - `hanok virt VERB ...`, also called as kubectl-virt: what people do with virtual
 * machines. */
#pragma once

/* argv[0] is "virt" (or the program's name), argv[1] the verb. Returns the exit code. */
int virt_main(int argc, char **argv);
