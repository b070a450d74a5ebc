/** Names, patterns of names and paths on a command line. */
import { invalidValue } from "../../errors.ts";
import { EXPORT_NAME_RULE, isExportName } from "../../protocols/vfs/export-name.ts";
import { type ValueKind, word } from "../../ui/value-kind.ts";

/** A path from the root. */
export const ABSOLUTE_PATH: ValueKind<string> = {
  ...word("PATH", "an absolute path"),
  parse: (given) => (given.startsWith("/") ? given : undefined),
};

/** The name of an export. */
export const EXPORT_NAME: ValueKind<string> = {
  ...word("NAME", EXPORT_NAME_RULE),
  parse: (given) => (isExportName(given) ? given : undefined),
};

/**
 * Returns the kind of a pattern of names.
 *
 * @param option its name, such as `--hide`.
 * @param reason why a pattern has no slash, for the hint.
 */
function namePattern(option: string, reason: string): ValueKind<string> {
  const message = "expected a name without a slash";
  return {
    ...word("PATTERN"),
    parse(given) {
      if (given.includes("/"))
        throw invalidValue({ value: given, name: option, message, hint: reason });
      return given === "" ? undefined : given;
    },
  };
}

/** A pattern of `--hide`. */
export const HIDDEN_NAME = namePattern(
  "--hide",
  "a renamed directory would reveal what is in it; hide names, such as .env or *.pem",
);

/** A pattern of `--exclude`. */
export const EXCLUDED_NAME = namePattern(
  "--exclude",
  "patterns match the names of files and directories at every depth, such as node_modules or '*.tmp'",
);
