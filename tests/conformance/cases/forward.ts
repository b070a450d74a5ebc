/** PortForward (13): a TCP connection inside the guest. */
import { randomBytes } from "node:crypto";
import { onlyReason, same } from "../expect.ts";
import { type Guest, Skip } from "../guest.ts";
import { casesOf } from "../runner.ts";
import { header, jsonFrame, Type, type Wire } from "../wire.ts";

/** Listens once and gives the connection to a script, with what the guest has. */
function listenLine(port: number, script: string): string {
  return `for nc in nc "busybox nc"; do
  if $nc --help 2>&1 | grep -q -e '-e PROG'; then echo using $nc; exec $nc -l -p ${port} -e ${script}; fi
done
echo no nc with -e`;
}

/** A TCP server in the guest that runs a shell line for one connection; gives its port. */
async function server(guest: Guest, line: string): Promise<number> {
  const scratch = await guest.scratch();
  const script = `${scratch}/serve`;
  await guest.sh(`printf '%s\\n' '#!/bin/sh' 'exec ${line}' > ${script} && chmod 755 ${script}`);
  const port = 20_000 + Math.floor(Math.random() * 12_000);
  const wire = await guest.start(Type.ExecPipe, { command: listenLine(port, script) });
  if ((await wire.until(Type.Stdout, "\n")).startsWith("no nc")) {
    throw new Skip("the guest has no nc that can listen and run a program (-e)");
  }
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  await guest.eventually(`a listener on port ${port}`, async () => {
    const table = await guest.sh("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null; :");
    return new RegExp(`:${hex} 0+:0000 0A `).test(table);
  });
  return port;
}

/** Asks for a port and takes the Ready frame. */
async function forwarded(guest: Guest, request: Record<string, unknown>): Promise<Wire> {
  const wire = await guest.open();
  await wire.send(jsonFrame(Type.PortForward, request));
  same("answer", await wire.readExactly(5), header(Type.Ready, 0));
  return wire;
}

async function counts(guest: Guest, host: Record<string, unknown>): Promise<void> {
  const port = await server(guest, "wc -c");
  const wire = await forwarded(guest, { ...host, port });
  await wire.send(Buffer.alloc(300_000));
  await wire.endOutput();
  same("bytes that came", (await wire.readAll()).toString().trim(), "300000");
}

export const forwardCases = [
  ...casesOf("PortForward (13)", "required", {
    "Ready, then raw bytes with half-close": (guest) => counts(guest, { host: "127.0.0.1" }),
    "an empty host is 127.0.0.1": (guest) => counts(guest, { host: "" }),
    "a left-out host is 127.0.0.1": (guest) => counts(guest, {}),
    "bytes both ways": async (guest) => {
      const bytes = randomBytes(2_000_000);
      const wire = await forwarded(guest, { host: "127.0.0.1", port: await server(guest, "cat") });
      void wire.send(bytes).then(() => wire.endOutput());
      same("the same bytes", (await wire.readAll()).equals(bytes), true);
    },
    "the guest's end of output comes through": async (guest) => {
      const port = await server(guest, "echo bye");
      const wire = await forwarded(guest, { host: "127.0.0.1", port });
      same("bytes", (await wire.readAll()).toString(), "bye\n");
    },
    "port 0 is refused with a reason": async (guest) => {
      onlyReason(await guest.ask(Type.PortForward, { host: "127.0.0.1", port: 0 }));
      await guest.alive();
    },
    "a port where nobody listens: a Stderr frame and a close": async (guest) => {
      onlyReason(await guest.ask(Type.PortForward, { host: "127.0.0.1", port: 1 }));
      await guest.alive();
    },
  }),
  ...casesOf("PortForward (13)", "strict", {
    "a left-out port is refused with a reason": async (guest) => {
      onlyReason(await guest.ask(Type.PortForward, { host: "127.0.0.1" }));
    },
    "a port above 65535 is refused with a reason": async (guest) => {
      onlyReason(await guest.ask(Type.PortForward, { host: "127.0.0.1", port: 70_000 }));
    },
    "bytes sent behind the request, before Ready": async (guest) => {
      const port = await server(guest, "wc -c");
      const wire = await guest.open();
      await wire.send(
        Buffer.concat([jsonFrame(Type.PortForward, { host: "", port }), Buffer.from("early")]),
      );
      await wire.endOutput();
      const answer = await wire.readAll();
      same("answer", answer.subarray(0, 5), header(Type.Ready, 0));
      same("bytes that came", answer.subarray(5).toString().trim(), "5");
    },
    "a host that leaves ends the guest's connection": async (guest) => {
      const scratch = await guest.scratch();
      const port = await server(guest, `sh -c "cat; echo end > ${scratch}/end"`);
      const wire = await forwarded(guest, { host: "127.0.0.1", port });
      await wire.send(Buffer.from("x"));
      same("echo", (await wire.readExactly(1)).toString(), "x");
      wire.close();
      await guest.eventually("the end of the connection", async () =>
        (await guest.sh(`ls ${scratch}`)).includes("end"),
      );
    },
  }),
];
