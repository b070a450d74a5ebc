/** All cases, in the order of the protocol's page. */
import type { Case } from "../runner.ts";
import { backpressureCases } from "./backpressure.ts";
import { badInputCases } from "./bad-input.ts";
import { cancelCases } from "./cancel.ts";
import { channelCases } from "./channels.ts";
import { execCases } from "./exec.ts";
import { fileCases } from "./files.ts";
import { forwardCases } from "./forward.ts";
import { frameCases } from "./frames.ts";
import { pipeCases } from "./pipe.ts";
import { readyCases } from "./ready.ts";
import { streamCases } from "./stream.ts";
import { ttyCases } from "./tty.ts";
import { userCases } from "./users.ts";

export const ALL_CASES: readonly Case[] = [
  ...frameCases,
  ...execCases,
  ...streamCases,
  ...pipeCases,
  ...ttyCases,
  ...cancelCases,
  ...userCases,
  ...forwardCases,
  ...fileCases,
  ...badInputCases,
  ...backpressureCases,
  ...channelCases,
  ...readyCases,
];
