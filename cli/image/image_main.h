/* image_main.h - `hanok image VERB ...`: images of machines made, looked at, brought in. */
#pragma once

/* argv[0] is "image", argv[1] the verb. Returns the exit code. */
int image_main(int argc, char **argv);
