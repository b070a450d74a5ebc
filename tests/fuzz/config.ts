/** Readers of configuration, images and kernel packages against broken input, as a program. */
import { CONFIG_TARGETS } from "./config-targets.ts";
import { fuzzReaders } from "./readers.ts";

await fuzzReaders("tests/fuzz/config.ts", CONFIG_TARGETS);
