/** The agent protocol's readers against broken input, as a program. */
import { fuzzReaders } from "./readers.ts";
import { TARGETS } from "./targets.ts";

await fuzzReaders("tests/fuzz/agent.ts", TARGETS);
