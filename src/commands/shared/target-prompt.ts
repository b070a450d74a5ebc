/** The question for a VM: the profiles with their state, and the sockets of VMMs. */
import { autocomplete, intro, outro, select, text } from "@clack/prompts";
import { EXEC_PORT } from "../../agent/ports.ts";
import { findVms, type FoundVm } from "../../config/discover.ts";
import { loadProfiles, resolveAddress } from "../../config/profiles.ts";
import { reasonOf } from "../../errors.ts";
import { quoteArgument } from "../../protocols/agent/shell-quote.ts";
import { sayBlock } from "../../ui/report.ts";
import { answerOf, promptSession } from "./prompts.ts";
import { vmState } from "./vm-state.ts";

/** Stands for an address that is in no list. */
const OTHER = "";

/** More VMs than these are searched by typing. */
const MAX_LISTED = 10;

/** Waits this long for the state of a VM, in milliseconds. */
const STATE_TIMEOUT_MS = 500;

/**
 * Asks for the target of a command, and prints the command line that needs no question.
 *
 * @param complete returns the words after the command's name for a target.
 * @returns these words.
 * @throws {VsockboxError} ABORTED if the user cancels.
 */
export async function promptForTarget(
  name: string,
  complete: (target: string) => readonly string[],
): Promise<readonly string[]> {
  using _session = promptSession();
  intro(`vsockbox ${name}`);
  const states = await profileStates();
  const words = complete(await askForVm(EXEC_PORT, ({ address }) => states.get(address)));
  outro("The same without a question:");
  // Without a frame around it: it is there to be copied.
  sayBlock(`${commandText(["vsockbox", name, ...words])}\n`);
  return words;
}

/** Returns words as a shell reads them. */
export function commandText(words: readonly string[]): string {
  return words.map((word) => quoteArgument(Buffer.from(word))).join(" ");
}

/** The states of the VMs of the profiles, by their names. */
async function profileStates(): Promise<Map<string, string>> {
  const entries = [...loadProfiles()].map(async ([name, profile]) => {
    const { state, detail } = await vmState(profile, STATE_TIMEOUT_MS);
    return [name, `${state}, ${detail}`] as const;
  });
  return new Map(await Promise.all(entries));
}

/**
 * Asks for a VM.
 *
 * @param defaultPort of an address without one, with which the answer is checked.
 * @param stateOf returns the state of a VM as text, if it is known.
 * @returns the address as every command accepts it.
 * @throws {VsockboxError} ABORTED if the user cancels.
 */
export async function askForVm(
  defaultPort: number,
  stateOf: (vm: FoundVm) => string | undefined = () => undefined,
): Promise<string> {
  const found = findVms();
  const options = [
    ...found.map((vm) => {
      const state = stateOf(vm);
      const hint = state === undefined ? vm.detail : `${state}; ${vm.detail}`;
      return { value: vm.address, label: vm.address, hint };
    }),
    { value: OTHER, label: "another one", hint: "a CID, or any address" },
  ];
  const message = "Which VM?";
  const chosen =
    found.length > MAX_LISTED
      ? await answerOf(autocomplete({ message, options, maxItems: MAX_LISTED }))
      : found.length === 0
        ? OTHER
        : await answerOf(select({ message, options }));
  if (chosen !== OTHER) return chosen;
  return answerOf(
    text({
      message: "Its CID or address",
      placeholder: "3",
      validate: (value) => problemWith(value ?? "", defaultPort),
    }),
  );
}

function problemWith(address: string, defaultPort: number): string | undefined {
  try {
    resolveAddress(address, defaultPort);
    return undefined;
  } catch (thrown) {
    return reasonOf(thrown).message;
  }
}
