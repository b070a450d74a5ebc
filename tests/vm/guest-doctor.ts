/** `vsockbox doctor` in the shared guest. */
import { parseFindings } from "../support/doctor-run.ts";
import { inGuest } from "./support.ts";

/** Runs doctor in the shared guest; `before` is put in front of it in the same shell line. */
export async function guestDoctor(words: string, before = "") {
  const { status, stdout, stderr } = await inGuest(`${before} vsockbox doctor --json ${words}`);
  return { status, stderr, ...parseFindings(stdout) };
}
