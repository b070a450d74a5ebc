/** `npm test`: everything. Each stage needs the one before it. */
import { runSteps } from "./support/steps.ts";

await runSteps([{ name: "check", command: ["bun", "run", "tests/check.ts"], echo: true }]);
await runSteps([{ name: "build", command: ["bun", "run", "build.ts"], echo: true }]);
await runSteps([
  { name: "integration tests", command: ["bun", "test", "tests/integration"], echo: true },
]);
await runSteps([{ name: "VM tests", command: ["bun", "test", "tests/vm"], echo: true }]);
