import { describe, expect, test } from "bun:test";
import { parseSocketOwners } from "../../../src/config/socket-owners.ts";

const database = () => ({
  passwd: "root:x:0:0::/root:/bin/sh\nfc:x:123:100::/:/bin/sh\n",
  group: "",
});
const parse = (text: string) => parseSocketOwners(text, "--allow-socket-owner", database);

describe("users of sockets", () => {
  test("are names and uids, or any", () => {
    expect(parse("fc")).toEqual([123]);
    expect(parse("fc,4711,root")).toEqual([123, 4711, 0]);
    expect(parse("any")).toBe("any");
  });

  test.each([
    ["nobody-of-that-name", "no such user"],
    ["fc,", "user names and uids"],
    ["", "user names and uids"],
    ["fc:100", "user names and uids"],
    ["any,fc", "no such user"],
  ])("refuses %j", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});
