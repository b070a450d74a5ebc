/** The profiles of this user, and the files of their tokens. */
import { configPath, loadProfiles, type Profile } from "../../config/profiles.ts";
import { type TokenFileProblem, tokenFileProblem } from "../../config/token.ts";
import { toVsockboxError, type VsockboxError } from "../../errors.ts";
import type { SystemFiles } from "./system-files.ts";

/** A profile's token file that other commands refuse. */
export interface BadTokenFile {
  profile: string;
  path: string;
  /** Undefined if the file does not exist. */
  problem: TokenFileProblem | undefined;
  /** Whether it belongs to neither this user nor root. */
  isForeign: boolean;
}

/** The configuration file. */
export type ProfileFacts =
  | { path: string; error: VsockboxError }
  | { path: string; names: readonly string[]; badTokenFiles: readonly BadTokenFile[] };

/** Reads the profiles; no file counts as none. */
export function readProfiles(files: SystemFiles, uid: number): ProfileFacts {
  const path = configPath();
  let profiles: Map<string, Profile>;
  try {
    profiles = loadProfiles(path);
  } catch (thrown) {
    return { path, error: toVsockboxError(thrown) };
  }
  const badTokenFiles = [...profiles].flatMap(([profile, { tokenFile }]): BadTokenFile[] => {
    if (tokenFile === undefined) return [];
    const status = files.status(tokenFile);
    if (status === undefined)
      return [{ profile, path: tokenFile, problem: undefined, isForeign: false }];
    const problem = tokenFileProblem(tokenFile, status, uid);
    const isForeign = status.uid !== uid && status.uid !== 0;
    return problem === undefined ? [] : [{ profile, path: tokenFile, problem, isForeign }];
  });
  return { path, names: [...profiles.keys()], badTokenFiles };
}
