import { expect, test } from "bun:test";
import { requestText } from "../../../../src/agent/server/request-text.ts";
import { decodeChannelRequest } from "../../../../src/protocols/agent/channel-requests.ts";

test.each([
  [{ op: "exec", argv: ["ls", "-l"] }, "exec ls -l"],
  [{ op: "logs", id: "0a1b" }, "logs 0a1b"],
  [{ op: "attach", id: "web" }, "attach web"],
  [{ op: "kill", id: "web" }, "kill web"],
  [{ op: "dial", host: "::1", port: 80 }, "dial [::1]:80"],
  [{ op: "listen", path: "/run/x.sock" }, "listen unix:/run/x.sock"],
  [{ op: "stat", path: "/etc/hosts" }, "stat /etc/hosts"],
  [{ op: "glob", pattern: "/etc/*" }, "glob /etc/*"],
  [{ op: "put", path: "/srv" }, "put /srv"],
  [{ op: "info" }, "info"],
  [{ op: "connections" }, "connections"],
  [{ op: "home", user: "root" }, "home"],
])("the text of %j", (request, text) => {
  expect(requestText(decodeChannelRequest(request))).toBe(text);
});

test("a long command is cut to 200 characters", () => {
  const text = requestText(decodeChannelRequest({ op: "exec", argv: ["x".repeat(500)] }));
  expect(text).toBe(`exec ${"x".repeat(194)}…`);
  const fits = requestText(decodeChannelRequest({ op: "exec", argv: ["x".repeat(195)] }));
  expect(fits).toBe(`exec ${"x".repeat(195)}`);
});
