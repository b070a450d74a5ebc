/** Arbitrary VMs of hybrid-proxy. */
import fc from "fast-check";
import type { HybridBackend, VmConfig } from "../../src/config/hybrid.ts";

const u32 = (min: number, max = 0xffff_fffe) => fc.integer({ min, max });

/** Any characters that a path, or a group's name, can have in every form. */
const text = fc
  .string({ minLength: 1, maxLength: 20, unit: "grapheme" })
  .filter((name) => !/[\0+/]/.test(name) && name !== "." && name !== "..");

const vm = fc.record({
  guestCid: u32(3),
  name: text,
  backend: fc.oneof(
    fc.constant(undefined),
    fc.record({
      forwardCid: u32(0),
      forwardListen: fc.uniqueArray(u32(0), { maxLength: 3 }),
    }),
  ),
  txBufferSize: u32(1, 0xffff_ffff),
  queueExponent: fc.integer({ min: 1, max: 15 }),
  groups: fc.uniqueArray(text, { minLength: 1, maxLength: 3 }),
  capture: fc.option(fc.record({ payloadBytes: fc.option(u32(0, 262_068), { nil: undefined }) }), {
    nil: undefined,
  }),
});

/** VMs that do not clash. */
export const vmList: fc.Arbitrary<VmConfig[]> = fc
  .uniqueArray(vm, { minLength: 1, maxLength: 3, selector: ({ guestCid }) => guestCid })
  .map((list) => {
    const ports = new Set<number>();
    const fresh = (port: number) => !ports.has(port) && ports.add(port).has(port);
    return list.map(
      ({ guestCid, name, backend, txBufferSize, queueExponent, groups, capture }): VmConfig => {
        const unix: HybridBackend = { kind: "unix", udsPath: `/run/${guestCid}/${name}.vsock` };
        return {
          guestCid,
          socket: `/run/${guestCid}/${name}.socket`,
          backend:
            backend === undefined
              ? unix
              : {
                  kind: "vsock",
                  forwardCid: backend.forwardCid,
                  forwardListen: backend.forwardListen.filter(fresh),
                },
          txBufferSize,
          queueSize: 2 ** queueExponent,
          groups,
          ...(capture === undefined
            ? {}
            : { capture: { file: `/run/${guestCid}/${name}.pcap`, ...capture } }),
        };
      },
    );
  })
  .filter((vms) =>
    vms.every(({ socket }) => Buffer.byteLength(socket) <= 107 && socket.isWellFormed()),
  );
