/** `npm test`: everything. Each stage needs the one before it. */
import { runSteps, TEST } from "./support/steps.ts";

await runSteps([{ name: "check", command: ["bun", "run", "tests/check.ts"], echo: true }]);
await runSteps([{ name: "build", command: ["bun", "run", "build.ts"], echo: true }]);
await runSteps([
  { name: "integration tests", command: [...TEST, "tests/integration"], echo: true },
]);
await runSteps([{ name: "fuzzing", command: [...TEST, "tests/fuzz"], echo: true }]);
await runSteps([{ name: "VM tests", command: [...TEST, "tests/vm"], echo: true }]);
