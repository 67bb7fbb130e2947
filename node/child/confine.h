/* confine.h - `hanok confine`: what a program that works for others is shut in before it starts.
 * The agent starts programs by it (child.h: network, files); it is not meant to be started by hand.
 *
 *   hanok confine --network NAMESPACE [--file SOURCE TARGET]... -- PROGRAM [ARGUMENT]...
 *
 * The program sees the network of that namespace, and SOURCE in the place of TARGET; a TARGET that
 * the host does not have is left out. Exits with 126 when it can't be shut in, and 127 when there
 * is no such program: never is it started with less. */
#pragma once

int confine_main(int argc, char **argv);
