/** The steps of `vsockbox demo`: commands of a user, and their expected output. */

/** One command of the demo. In its lines `$AGENT` is the agent's address, `$DIR` the demo's directory. */
export interface DemoStep {
  /** Printed before it. */
  caption: string;
  /** A command that runs in the background from then on, and the socket that it makes. */
  background?: { line: string; socket: string };
  /** A shell line. */
  line: string;
  status: number;
  /** What its output must match. */
  output: RegExp;
}

const WAIT: DemoStep = {
  caption: "Wait until the agent in the guest is ready:",
  line: "vsockbox wait $AGENT",
  status: 0,
  output: /^$/,
};

const COMMANDS: readonly DemoStep[] = [
  {
    caption: "A command with its output:",
    line: "vsockbox exec $AGENT -- uname -a",
    status: 0,
    output: /^Linux .*\d/,
  },
  {
    caption: "Input goes in, output comes back:",
    line: "echo hello, guest | vsockbox exec $AGENT -- tr a-z A-Z",
    status: 0,
    output: /^HELLO, GUEST$/,
  },
  {
    caption: "Arguments arrive as they are, and the environment is yours to set:",
    line: `vsockbox exec $AGENT --env WHO='the host' -- sh -c 'echo "asked by $WHO: $1"' sh 'a  b $HOME'`,
    status: 0,
    output: /^asked by the host: a {2}b \$HOME$/,
  },
  {
    caption: "The exit status is the command's own:",
    line: "vsockbox exec $AGENT -- sh -c 'exit 7'",
    status: 7,
    output: /^$/,
  },
  {
    caption: "A time limit ends it with status 124:",
    line: "vsockbox exec $AGENT --timeout 1 -- sleep 60",
    status: 124,
    output: /^vsockbox: .* ran longer than --timeout 1s$/,
  },
];

/** Steps that need a VM at the other end. */
const GUEST_COMMANDS: readonly DemoStep[] = [
  {
    caption: "A file goes up,",
    line: "head -c 8000000 /dev/urandom > $DIR/data; vsockbox cp $DIR/data $AGENT:/tmp/data",
    status: 0,
    output: /^$/,
  },
  {
    caption: "and down again, the same:",
    line: "vsockbox cp $AGENT:/tmp/data $DIR/back && sha256sum $DIR/data $DIR/back",
    status: 0,
    output: /^([0-9a-f]{64}) .*\n\1 .*$/,
  },
  {
    caption: "A web server in the guest, which stays when this command is over,",
    line: "vsockbox exec --detach $AGENT -- sh -c 'echo a page of the guest > /tmp/page; exec httpd -f -p 80 -h /tmp'",
    status: 0,
    output: /^\S+$/,
  },
  {
    caption: "and its port as a socket on this machine:",
    background: {
      line: "vsockbox forward $AGENT --quiet -L $DIR/web.socket:127.0.0.1:80",
      socket: "$DIR/web.socket",
    },
    line: "printf 'GET /page HTTP/1.0\\r\\n\\r\\n' | vsockbox connect unix:$DIR/web.socket | tail -n 1",
    status: 0,
    output: /^a page of the guest$/,
  },
  {
    caption: "The other way: the guest connects to port 7000 of the host, CID 2:",
    background: {
      line: "vsockbox listen $AGENT:7000 --quiet --keep-open --exec 'tr a-z A-Z'",
      socket: "$DIR/vm.vsock_7000",
    },
    line: "echo hello, host | vsockbox exec $AGENT -- vsockbox connect host:7000",
    status: 0,
    output: /^HELLO, HOST$/,
  },
  {
    caption: "The end of the guest, whose init is the agent:",
    line: "vsockbox shutdown $AGENT",
    status: 0,
    output: /^$/,
  },
];

/** The commands for a guest, whose device is there and which boots. */
export const GUEST_STEPS: readonly DemoStep[] = [WAIT, ...COMMANDS, ...GUEST_COMMANDS];

/** The commands without a guest. */
export const LOCAL_STEPS: readonly DemoStep[] = [
  {
    ...WAIT,
    caption: "The agent, and waiting until it is ready:",
    background: {
      line: "vsockbox agent --listen $AGENT --quiet",
      socket: "$DIR/agent.socket",
    },
  },
  ...COMMANDS,
];
