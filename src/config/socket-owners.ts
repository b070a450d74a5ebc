/** Users whose Unix sockets may be connected to, as options, profiles and the environment name them. */
import { invalidValue } from "../errors.ts";
import type { SocketOwners } from "../net/socket-owner.ts";
import { resolveUser, systemUsers, type UserDatabase } from "../process/users.ts";

/** Names the users for all commands. */
export const SOCKET_OWNER_VARIABLE = "VSOCKBOX_ALLOW_SOCKET_OWNER";

/**
 * Reads `any`, or names and uids with commas between.
 *
 * @param where the option, key or variable, for errors.
 * @throws {VsockboxError} CONFIG for a name that no user has.
 */
export function parseSocketOwners(
  text: string,
  where: string,
  database: () => UserDatabase = systemUsers,
): SocketOwners {
  if (text === "any") return "any";
  return text.split(",").map((word) => {
    if (word === "" || word.includes(":")) {
      throw invalidValue({
        code: "CONFIG",
        value: text,
        name: where,
        message: "expected `any`, or user names and uids with commas between",
      });
    }
    return resolveUser(word, database()).uid;
  });
}
