/** Readers of files and options that a user, an image or a kernel's package wrote. */
import { parseYamlTree, type YamlNode } from "../../src/config/yaml-tree.ts";
import { VsockboxError } from "../../src/errors.ts";
import { configYaml } from "../../src/device/config/print-config.ts";
import { vmsFromYaml } from "../../src/device/config/device-config.ts";
import { parseConfiguration } from "../../src/config/profiles.ts";
import { ElfFile } from "../../src/elf/elf-file.ts";
import { parseElfHead } from "../../src/elf/elf-head.ts";
import {
  archiveBytes,
  CPIO_HEADER_BYTES,
  type CpioEntry,
  padding,
} from "../../src/initramfs/cpio.ts";
import {
  decodeInitConfig,
  DEFAULT_INIT_CONFIG,
  encodeInitConfig,
} from "../../src/initramfs/init-config.ts";
import { moduleName, parseModuleIndex } from "../../src/initramfs/module-index.ts";
import { orderModules } from "../../src/initramfs/modules.ts";
import { splitLine } from "../../src/initramfs/words.ts";
import { decodeManifest, encodeManifest, type Manifest } from "../../src/install/manifest.ts";
import { formatEndpoint } from "../../src/text/endpoint.ts";
import { parseHttpAddress } from "../../src/net/http.ts";
import { formatAddress, parseAddress } from "../../src/net/address.ts";
import { packetJson } from "../../src/monitor/packet-json.ts";
import { packetLines } from "../../src/monitor/packet-line.ts";
import {
  encodeFileHeader,
  encodeRecords,
  MAX_SNAP_BYTES,
} from "../../src/protocols/pcap/file-format.ts";
import { ChunkedBodyReader } from "../../src/protocols/http/chunked-body.ts";
import { decodeLink, encodeLinkName, encodeNewLink } from "../../src/protocols/netlink/link.ts";
import { PcapReader } from "../../src/protocols/pcap/file-reader.ts";
import { decodeVsockmon } from "../../src/protocols/pcap/vsockmon.ts";
import {
  RECORD_BEGIN_BYTES,
  snapBytesFor,
  writeRecordBegin,
} from "../../src/protocols/pcap/vsock-record.ts";
import { VIRTIO_VSOCK_HEADER_BYTES } from "../../src/protocols/virtio-vsock/packet.ts";
import { readPcap } from "../support/pcap.ts";
import { packetBytes, pcapBytes } from "../support/vsock-packets.ts";
import { type Target, Violation } from "./targets.ts";

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Violation(promise);
}

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (input: Uint8Array) => new TextDecoder().decode(input);

const PROFILES: Target = {
  name: "profiles",
  corpus: [
    "vms:\n  web:\n    address: 3\n  build:\n    address: hybrid:/run/b.vsock\n    token_file: ~/b.token\n",
    'vms: {"a": {"address": "unix:/x"}}\n',
    "# none\n",
    "vms:\n",
    "vms:\n  a: &a {address: 3}\n  b: *a\n",
  ].map(bytes),
  codes: ["CONFIG", "USAGE"],
  run(input) {
    for (const [name, profile] of parseConfiguration(text(input), "config.yaml").profiles) {
      demand(name !== "", "a profile has a name");
      const { address } = profile;
      demand(
        Bun.deepEquals(parseAddress(formatAddress(address)), address),
        "an address can be written and read again",
      );
    }
  },
};

const VM_LISTS: Target = {
  name: "vm-lists",
  corpus: [
    "vms:\n  - guest_cid: 3\n    socket: /tmp/v3\n    uds_path: /tmp/u3\n    groups: a+b\n",
    "vms:\n  - guest_cid: 3\n    socket: /tmp/v3\n    uds_path: /tmp/u3\n  - guest-cid: 4\n    socket: /tmp/v4\n    forward-cid: 1\n    forward-listen: 9001+9002\n",
    '{"vms": [{"guest_cid": 5, "socket": "/s", "uds_path": "/u", "tx_buffer_size": 65536}]}\n',
  ].map(bytes),
  codes: ["CONFIG", "USAGE"],
  run(input) {
    const document = text(input);
    const vms = vmsFromYaml(document, "vms.yaml");
    demand(
      Bun.deepEquals(vmsFromYaml(configYaml(vms), "vms.yaml"), vms),
      "what is printed means the same",
    );
  },
};

/** All lines of a tree, those of shared nodes once. */
function linesOf(node: YamlNode, seen = new Set<YamlNode>()): number[] {
  if (seen.has(node)) return [];
  seen.add(node);
  if (node.kind === "list")
    return [node.line, ...node.items.flatMap((item) => linesOf(item, seen))];
  if (node.kind === "scalar") return [node.line];
  return node.entries.flatMap(({ line, value }) => [node.line, line, ...linesOf(value, seen)]);
}

const YAML_TREES: Target = {
  name: "yaml-trees",
  corpus: [
    "vms:\n  - a: &a {b: 0644}\n    <<: *a\n  - [1, 'x', \"y\", null, ~]\n",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    "? key\n: |\n  text\n  more\n",
    "%YAML 1.1\n---\na: !!set {b, c}\n",
    `${"[".repeat(300)}${"]".repeat(300)}`,
    `${"- ".repeat(300)}\n`,
  ].map(bytes),
  codes: ["CONFIG"],
  run(input) {
    const document = text(input);
    const count = document.split("\n").length;
    const inText = (line: number) => line >= 1 && line <= count;
    const tree = parseYamlTree(document, (message, line = 1) => {
      demand(inText(line), "the line of an error is in the text");
      return new VsockboxError({ code: "CONFIG", operation: "read", message });
    });
    demand(linesOf(tree).every(inText), "a line is in the text");
  },
};

/** Texts of the four files, one after the other, each ended by a line of dashes. */
const INDEX_SEPARATOR = "----\n";

const MODULE_INDEXES: Target = {
  name: "module-index",
  corpus: [
    [
      "kernel/net/vsock.ko:\nkernel/net/loop.ko.xz: kernel/net/common.ko kernel/net/vsock.ko\nkernel/net/common.ko: kernel/net/vsock.ko\n",
      "kernel/fs/ext4/ext4.ko\n",
      "softdep loop pre: crc32c common post: vsock\n",
      "alias crc32c vsock\nalias pci:v*d* virtio_pci\n",
    ].join(INDEX_SEPARATOR),
    ["a.ko: b.ko\nb.ko: a.ko\n", "", "softdep a pre: b\nsoftdep b pre: a\n", ""].join(
      INDEX_SEPARATOR,
    ),
  ].map(bytes),
  codes: ["UNAVAILABLE"],
  run(input) {
    const [dependencies = "", builtin = "", softDependencies = "", aliases = ""] =
      text(input).split(INDEX_SEPARATOR);
    const texts = { dependencies, builtin, softDependencies, aliases };
    const tree = { modules: "/m", installHint: "install it" };
    const index = parseModuleIndex(tree.modules, texts);
    const names = [...index.files.keys()];
    for (const name of names) demand(!/[-/]/.test(name), "a name is as the kernel has it");
    const ordered = orderModules(tree, index, names);
    const seen = ordered.map(({ name }) => name);
    demand(new Set(seen).size === seen.length, "each module is loaded once");
    demand(
      names.map(moduleName).every((name) => seen.includes(name) || index.builtin.has(name)),
      "every module that was asked for is loaded or built in",
    );
  },
};

/** A small 64-bit ELF file with a dynamic section, made by hand from elf(5). */
function sampleElf(): Uint8Array {
  const file = new Uint8Array(1024);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 3, true);
  view.setUint16(18, 62, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, 0x400n, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 3, true);
  const header = (index: number, type: number, offset: number, size: number) => {
    const at = 64 + index * 56;
    view.setUint32(at, type, true);
    view.setUint32(at + 4, 5, true);
    for (const field of [8, 16, 24]) view.setBigUint64(at + field, BigInt(offset), true);
    view.setBigUint64(at + 32, BigInt(size), true);
    view.setBigUint64(at + 40, BigInt(size), true);
    view.setBigUint64(at + 48, 8n, true);
  };
  header(0, 1, 0, 1024);
  header(1, 3, 256, 28);
  header(2, 2, 320, 160);
  file.set(bytes("/lib64/ld-linux-x86-64.so.2\0"), 256);
  const strings = bytes("\0libc.so.6\0libm.so.6\0name.so\0read\0");
  file.set(strings, 512);
  const dynamic: [number, number][] = [
    [1, 1],
    [1, 11],
    [14, 21],
    [5, 512],
    [23, 640],
    [2, 24],
    [6, 700],
    [0, 0],
  ];
  for (const [index, [tag, value]] of dynamic.entries()) {
    view.setBigUint64(320 + index * 16, BigInt(tag), true);
    view.setBigUint64(328 + index * 16, BigInt(value), true);
  }
  view.setBigUint64(640, 0x380n, true);
  view.setUint32(652, 1, true);
  view.setUint32(724, 29, true);
  return file;
}

const ELF: Target = {
  name: "elf",
  corpus: [sampleElf()],
  codes: ["CONFIG"],
  run(input) {
    const head = parseElfHead(input.subarray(0, 20));
    const file = ElfFile.inMemory(input, "file");
    demand(head?.machine === file.machine, "both readers see the same machine");
    const names = [...file.needed, file.soname ?? "", file.interpreter ?? ""];
    demand(
      names.every((name) => !name.includes("\0")),
      "a name ends at its NUL",
    );
    file.callSlot("read");
    demand(file.loaded.length <= file.headers.length, "loaded segments are headers");
  },
};

/** The archive's entries, read by hand from the format's description. */
function readCpio(archive: Uint8Array): { path: string; mode: number; data: string }[] {
  const found: { path: string; mode: number; data: string }[] = [];
  const latin1 = Buffer.from(archive).toString("latin1");
  for (let at = 0; at < archive.length;) {
    demand(latin1.slice(at, at + 6) === "070701", "each entry begins with the magic");
    const field = (index: number) =>
      Number.parseInt(latin1.slice(at + 6 + index * 8, at + 14 + index * 8), 16);
    const [mode, size, nameBytes] = [field(1), field(6), field(11)];
    const nameEnd = at + CPIO_HEADER_BYTES + nameBytes;
    const path = Buffer.from(archive.subarray(at + CPIO_HEADER_BYTES, nameEnd - 1)).toString();
    const dataAt = nameEnd + ((4 - (nameEnd % 4)) % 4);
    found.push({ path, mode, data: latin1.slice(dataAt, dataAt + size) });
    at = dataAt + size;
    at += (4 - (at % 4)) % 4;
  }
  return found;
}

const CPIO: Target = {
  name: "cpio",
  corpus: ["a", "bin/file", "x".repeat(300), "odd"].map(bytes),
  codes: [],
  run(input) {
    const name = Buffer.from(input.subarray(0, 40)).toString("hex") || "e";
    const entries: CpioEntry[] = [
      { kind: "directory", path: "d", mode: 0o755 },
      { kind: "file", path: `d/${name}`, mode: 0o644, data: input },
      { kind: "symlink", path: "link", target: name },
      { kind: "character device", path: "null", mode: 0o666, major: 1, minor: 3 },
    ];
    const archive = Buffer.concat([...archiveBytes(entries)]);
    demand(archive.length % 4 === 0 && padding(archive.length).length === 0, "it is aligned");
    const [directory, file, link, device, trailer] = readCpio(archive);
    demand(directory?.path === "d" && directory.mode === 0o040755, "the directory is there");
    demand(
      file?.path === `d/${name}` && file.data === Buffer.from(input).toString("latin1"),
      "the file is there",
    );
    demand(link?.data === name && link.mode === 0o120777, "the link is there");
    demand(device?.mode === 0o020666, "the device is there");
    demand(trailer?.path === "TRAILER!!!", "the trailer is last");
  },
};

const PCAP: Target = {
  name: "pcap",
  corpus: [
    new Uint8Array(VIRTIO_VSOCK_HEADER_BYTES + 10).fill(7),
    new Uint8Array(VIRTIO_VSOCK_HEADER_BYTES),
  ],
  codes: [],
  run(input) {
    const header = new Uint8Array(VIRTIO_VSOCK_HEADER_BYTES);
    header.set(input.subarray(0, VIRTIO_VSOCK_HEADER_BYTES));
    const payload = input.subarray(VIRTIO_VSOCK_HEADER_BYTES, VIRTIO_VSOCK_HEADER_BYTES + 256);
    const view = new DataView(header.buffer);
    const [op, length] = [view.getUint16(30, true), view.getUint32(24, true)];
    const time = (input[0] ?? 0) * 1e9 + (input[1] ?? 0) / 7;
    const record = new Uint8Array(RECORD_BEGIN_BYTES + payload.length);
    const facts = { time, op, captured: payload.length, length: length % 0x7fff_0000 };
    writeRecordBegin(new DataView(record.buffer), 0, header, facts);
    record.set(payload, RECORD_BEGIN_BYTES);
    const file = readPcap(Buffer.concat([encodeFileHeader(snapBytesFor(256)), record, record]));
    demand(file.packets.length === 2, "a record is as long as it says");
    const [packet] = file.packets;
    demand(
      packet?.seconds === Math.floor(time / 1000) &&
        packet.op === op &&
        packet.srcCid === view.getBigUint64(0, true) &&
        Buffer.from(packet.payload).equals(payload),
      "a record has the packet's fields and payload",
    );
  },
};

const CAPTURED = ["", "hello", "\u001b[2J"].map((payload) => ({ bytes: packetBytes({ payload }) }));

const PCAP_READER: Target = {
  name: "pcap-reader",
  corpus: [true, false].flatMap((isLittleEndian) =>
    [true, false].map((hasNanoseconds) => pcapBytes(CAPTURED, { isLittleEndian, hasNanoseconds })),
  ),
  codes: ["BAD_DATA"],
  run(input) {
    const reader = new PcapReader("fuzz");
    const records = reader.push(input);
    const again = new PcapReader("fuzz");
    const half = Math.floor(input.length / 2);
    const parts = [input.subarray(0, half), input.subarray(half)].flatMap((part) =>
      again.push(part),
    );
    demand(Bun.deepEquals(parts, records), "chunks of any size have the same packets");
    const written = Buffer.concat([
      encodeFileHeader(MAX_SNAP_BYTES),
      encodeRecords(records, MAX_SNAP_BYTES),
    ]);
    const copy = new PcapReader("fuzz").push(written);
    demand(copy.length === records.length, "what is read can be written");
    for (const [index, record] of records.entries()) {
      const same = Buffer.from(copy[index]?.bytes ?? []).equals(record.bytes);
      demand(same && copy[index]?.length === record.length, "a copy has the same packets");
      const packet = decodeVsockmon(record.bytes, record.length);
      demand((packet === undefined) === record.bytes.length < 32, "what has addresses is decoded");
      if (packet === undefined) continue;
      for (const view of ["none", "text", "hex"] as const) {
        for (const line of packetLines(record, packet, view)) {
          demand(!/\p{Cc}/u.test(line), "a terminal obeys nothing of a packet");
        }
      }
      JSON.stringify(packetJson(record, packet, true));
    }
    reader.end();
  },
};

const CHUNKED: Target = {
  name: "chunked-body",
  corpus: ["5\r\nhello\r\n0\r\n\r\n", "a;x=y\r\n0123456789\r\n0\r\nField: x\r\n\r\n"].map(bytes),
  codes: ["BAD_DATA"],
  run(input) {
    const read = (size: number) => {
      const reader = new ChunkedBodyReader();
      const parts: Uint8Array[] = [];
      for (let at = 0; at < input.length; at += size) {
        parts.push(...reader.push(input.subarray(at, at + size)));
      }
      return { body: Buffer.concat(parts).toString("latin1"), isOver: reader.isOver };
    };
    const whole = read(Math.max(1, input.length));
    demand(whole.body.length <= input.length, "a body is shorter than its chunks");
    demand(Bun.deepEquals(read(3), whole), "pieces of any size have the same body");
  },
};

const LINKS: Target = {
  name: "netlink-link",
  corpus: [encodeNewLink("vsockbox0", "vsockmon"), encodeLinkName("lo")],
  codes: ["BAD_DATA"],
  run(input) {
    const { name, kind } = decodeLink(input);
    demand(name.length <= input.length && (kind ?? "").length <= input.length, "names are short");
    demand(!`${name}${kind}`.includes("\0"), "names end at their NUL");
  },
};

const MANIFEST: Manifest = {
  version: "0.1.0",
  service: "systemd",
  agentArgs: "--allow-cid 2",
  unfinished: undefined,
  entries: [
    { kind: "file", path: "/usr/bin/vsockbox", sha256: "a".repeat(64) },
    { kind: "link", path: "/usr/bin/vsock-shell-server", target: "vsockbox" },
    { kind: "lines", path: "/etc/inittab", sha256: "0".repeat(64) },
    { kind: "directory", path: "/usr/lib/vsockbox" },
  ],
};

const MANIFESTS: Target = {
  name: "manifest",
  corpus: [
    encodeManifest(MANIFEST),
    encodeManifest({ ...MANIFEST, unfinished: "0123456789ab", agentArgs: undefined }),
  ].map(bytes),
  codes: ["CONFIG", "BAD_DATA"],
  run(input) {
    const manifest = decodeManifest(text(input), "install.json");
    for (const { path } of manifest.entries) {
      demand(
        path.startsWith("/") &&
          path
            .slice(1)
            .split("/")
            .every((part) => !["", ".", ".."].includes(part)),
        "paths are plain and absolute",
      );
    }
    demand(
      Bun.deepEquals(decodeManifest(encodeManifest(manifest), "x"), manifest),
      "decode(encode(x)) is x",
    );
  },
};

const INIT_CONFIGS: Target = {
  name: "init-config",
  corpus: [
    encodeInitConfig(DEFAULT_INIT_CONFIG),
    encodeInitConfig({
      kernel: "6.1.0",
      modules: ["vsock", "virtio_pci"],
      mounts: [{ source: "src", directory: "/work" }],
      command: ["agent", "--allow-local"],
      onExit: "reboot",
    }),
  ],
  codes: ["CONFIG", "BAD_DATA"],
  run(input) {
    const config = decodeInitConfig(input);
    for (const name of config.modules) demand(/^\w+$/.test(name), "a module's name is one word");
    demand(
      Bun.deepEquals(decodeInitConfig(encodeInitConfig(config)), config),
      "decode(encode(x)) is x",
    );
  },
};

const WORDS: Target = {
  name: "words",
  corpus: ["agent --allow-cid 2", "sh -c 'echo \"a b\"' x\\ y", `"a\\"b" ''`].map(bytes),
  codes: ["USAGE"],
  run(input) {
    const words = splitLine(text(input), "command");
    const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
    demand(Bun.deepEquals(splitLine(quoted, "command"), words), "quoted words are the same words");
  },
};

const HTTP_ADDRESSES: Target = {
  name: "http-address",
  corpus: ["127.0.0.1:9464", "[::1]:9464", ":0", "tcp:*:80", "unix:/run/m.sock"].map(bytes),
  codes: ["USAGE"],
  run(input) {
    const endpoint = parseHttpAddress(text(input), "metrics-listen");
    if (endpoint.kind === "unix") demand(!/^$|\0/.test(endpoint.path), "a path can be bound");
    else {
      demand(endpoint.port <= 65_535 && endpoint.host !== "", "host and port can be bound");
      demand(formatEndpoint(endpoint).endsWith(`:${endpoint.port}`), "it can be shown");
    }
  },
};

/** All of them. */
export const CONFIG_TARGETS: readonly Target[] = [
  PROFILES,
  VM_LISTS,
  YAML_TREES,
  MODULE_INDEXES,
  ELF,
  CPIO,
  PCAP,
  PCAP_READER,
  CHUNKED,
  LINKS,
  MANIFESTS,
  INIT_CONFIGS,
  WORDS,
  HTTP_ADDRESSES,
];
