/**
 * `tenovos serve`: runs an authority until it is told to stop.
 *
 * @since 0.1.0
 */
import * as Authority from "@effect-tenovos/server/Authority"
import * as AuthorityServer from "@effect-tenovos/server/AuthorityServer"
import * as Database from "@effect-tenovos/server/Database"
import * as MasterKey from "@effect-tenovos/server/MasterKey"
import * as Seed from "@effect-tenovos/server/Seed"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { isIP } from "node:net"
import { contractFlags } from "./internal/contractFlags.ts"
import * as databases from "./internal/database.ts"

/**
 * The authority could not start.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServeFailed extends Data.TaggedError("ServeFailed")<{ readonly message: string }> {
  override get [CliError.userMessage](): string {
    return this.message
  }
}

const isHttpUrl = (text: string): boolean => {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol)
}

const flags = {
  host: Flag.String("host").pipe(
    Flag.withDefault("127.0.0.1"),
    Flag.withDescription("Address to listen on. Others than loopback are reachable from outside.")
  ),
  port: Flag.Int("port").pipe(
    Flag.filter((port) => port >= 0 && port <= 65535, () => "Expected a port from 0 to 65535"),
    Flag.withDefault(4010),
    Flag.withDescription("Port to listen on; 0 takes a free one.")
  ),
  database: databases.flag(
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
  dev: Flag.Boolean("dev").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Let tests control it, at /__control and /__inspector. Only on loopback.")
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Say where it listens as one line of JSON.")
  )
}

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "serve",
  flags,
  ({ database, dev, endpointUrl: announced, host, json, port, seed: file, ...contract }) =>
    Effect.gen(function*() {
      const masterKeys = yield* MasterKey.config
      const seed = yield* Effect.transposeOption(Option.map(file, readSeed))

      return yield* Effect.gen(function*() {
        const { endpointUrl, origin } = yield* AuthorityServer.AuthorityServer
        if (isWildcard(host) && Option.isNone(announced)) {
          yield* Console.error(`${endpointUrl} is no address for clients: say with --endpoint-url which one is`)
        }
        const made = yield* Option.match(seed, {
          onNone: () => Seed.firstStart,
          onSome: (seed) => Effect.as(Seed.apply(seed), Option.none())
        })
        const missing = missingOf(yield* (yield* Authority.Authority).count)
        if (missing !== undefined) {
          yield* Console.error(`Nobody can sign in: there is no ${missing}. Add one with --seed`)
        }
        const credentials = Option.getOrUndefined(Option.map(made, ({ apiKey, password, username }) => ({
          TENOVOS_ENDPOINT_URL: endpointUrl,
          TENOVOS_API_KEY: Redacted.value(apiKey),
          TENOVOS_USERNAME: username,
          TENOVOS_PASSWORD: Redacted.value(password)
        })))
        if (json) {
          yield* Console.log(JSON.stringify({ endpointUrl, database: Database.toPrintable(database), credentials }))
        } else {
          if (credentials !== undefined) {
            yield* Console.log("A new authority, with one user and one API key. They are shown this once:")
            yield* Effect.forEach(Object.entries(credentials), ([name, value]) => Console.log(`  ${name}=${value}`))
          }
          if (dev) yield* Console.log(`inspector on ${origin}/__inspector`)
          yield* Console.log(`listening on ${endpointUrl}`)
        }
        return yield* Effect.never
      }).pipe(
        Effect.provide(
          AuthorityServer.layerNode({
            ...contract,
            host,
            port,
            database,
            dev,
            endpointUrl: Option.getOrUndefined(announced),
            ...masterKeys
          })
        ),
        databases.catchLate,
        Effect.catchTags({
          NotLoopback: () => failed(`--dev is only for loopback, such as --host 127.0.0.1, and ${host} is not`),
          ServeError: ({ cause }) => failed(`Can't listen on ${host}:${port}: ${reasonOf(cause)}`),
          ...databases.failures(database)
        })
      )
    })
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

/** An address that means all of this machine's, and that no client can connect to. */
const isWildcard = (host: string): boolean => host === "" || (/^[0:.]+$/.test(host) && isIP(host) !== 0)

const missingOf = ({ apiKeys, users }: { readonly apiKeys: number; readonly users: number }): string | undefined => {
  if (apiKeys === 0) return users === 0 ? "API key and no user" : "API key"
  return users === 0 ? "user" : undefined
}

/** The file's values may be secrets: what is wrong is told by its place alone. */
const readSeed = (path: string) =>
  FileSystem.FileSystem.use((files) => files.readFileString(path)).pipe(
    Effect.catch((error) => failed(`Can't read the seed file ${path}: ${error.reason._tag}`)),
    Effect.flatMap((text) =>
      Schema.decodeEffect(Schema.fromJsonString(Schema.Unknown))(text).pipe(
        Effect.catch(() => failed(`The seed file ${path} is not JSON`))
      )
    ),
    Effect.flatMap((json) =>
      Effect.catch(
        Schema.decodeUnknownEffect(Seed.Seed)(json, { errors: "all", onExcessProperty: "error" }),
        (error) => failed(`The seed file ${path} is not right:\n${error.message}`)
      )
    )
  )

const failed = (message: string) => Effect.fail(new ServeFailed({ message }))

const reasonOf = (cause: unknown): string => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined
  switch (code) {
    case "EADDRINUSE":
      return "the port is taken; choose another with --port"
    case "EACCES":
      return "not allowed; choose a port above 1023 with --port"
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return "this machine has no such address"
    default:
      return String(code ?? cause)
  }
}
