/**
 * `tenovos serve`: runs an authority until it is told to stop.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { contractFlags } from "./internal/contractFlags.ts"
import * as databaseFlag from "./internal/databaseFlag.ts"
import { json, onOff } from "./internal/flags.ts"
import * as defaults from "./internal/serveDefaults.ts"

const isHttpUrl = (text: string): boolean => {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol)
}

const flags = {
  host: Flag.String("host").pipe(
    Flag.withDefault(defaults.host),
    Flag.withDescription("Address to listen on. Others than loopback are reachable from outside.")
  ),
  port: Flag.Int("port").pipe(
    Flag.filter((port) => port >= 0 && port <= 65535, () => "Expected a port from 0 to 65535"),
    Flag.withDefault(defaults.port),
    Flag.withDescription("Port to listen on; 0 takes a free one.")
  ),
  database: databaseFlag.make(
    "FILE|:memory:|postgres://…",
    "Where keys, users and sessions are kept. TENOVOS_DATABASE says it out of others' sight."
  ),
  endpointUrl: Flag.String("endpoint-url").pipe(
    Flag.filter(isHttpUrl, () => "Expected a URL that begins with http:// or https://"),
    Flag.optional,
    Flag.withMetavar("URL"),
    Flag.withDescription("Base URL that the answers announce. Without it, the address that it listens on, under /v1.")
  ),
  ...contractFlags,
  // Not a `File`, which has to be a regular one: a shell gives /dev/fd/63 for <(…).
  seed: Flag.Path("seed").pipe(
    Flag.optional,
    Flag.withDescription("JSON file: { \"apiKeys\": [\"…\"], \"users\": [{ \"username\", \"password\", \"email\"? }] }")
  ),
  dev: onOff("dev", "Let tests control it, at /__control and /__inspector. Only on loopback."),
  json: json("where it listens")
}

/**
 * The command. What it runs is loaded when it does.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "serve",
  flags,
  // Loaded when it runs: help and completions need none of it.
  (options) => Effect.flatMap(Effect.promise(() => import("./internal/serving.ts")), ({ serve }) => serve(options))
).pipe(
  Command.withDescription("Run an authority: the Tenovos authentication API on this machine."),
  Command.withExamples([
    { command: "tenovos serve", description: "Keep everything in tenovos.sqlite, and make one user at first start" },
    { command: "tenovos serve --database :memory: --seed seed.json", description: "Forget everything at the end" },
    {
      command: "TENOVOS_DATABASE=postgres://… tenovos serve",
      description: "Share a PostgreSQL with other processes, behind a balancer"
    }
  ])
)

export { ServeFailed } from "./internal/serveFailed.ts"
