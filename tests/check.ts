/** `npm run check`: types, format, lint, layers and the fast tests, side by side. */
import { runSteps, TEST } from "./support/steps.ts";

await runSteps([
  { name: "types", command: ["bun", "check", "--no-script"] },
  { name: "format", command: ["bun", "fmt", "--no-script", "--check"] },
  {
    name: "lint",
    command: ["oxlint", "--deny-warnings", "src", "tests", "bench", "packaging", "build.ts"],
  },
  { name: "unit tests", command: [...TEST, "tests/unit"] },
]);
