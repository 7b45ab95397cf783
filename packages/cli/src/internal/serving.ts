import * as Authority from "@effect-tenovos/server/Authority"
import * as AuthorityServer from "@effect-tenovos/server/AuthorityServer"
import * as Database from "@effect-tenovos/server/Database"
import * as MasterKey from "@effect-tenovos/server/MasterKey"
import * as Seed from "@effect-tenovos/server/Seed"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { isIP } from "node:net"
import { exitCodes } from "../CommandError.ts"
import * as databases from "./database.ts"
import { ServeFailed } from "./serveFailed.ts"
import * as smallHeap from "./smallHeap.ts"
import { exitWith } from "./terminal.ts"

interface Options extends Omit<AuthorityServer.Options, "database" | "endpointUrl"> {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly endpointUrl: Option.Option<string>
  /** The path of a file. */
  readonly seed: Option.Option<string>
  readonly dev: boolean
  readonly json: boolean
}

/** Runs an authority until it is told to stop. */
export const serve = Effect.fnUntraced(
  function*({ database, dev, endpointUrl: announced, host, json, port, seed: file, ...contract }: Options) {
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
      yield* smallHeap.keep
      // Told to stop, it has done what it should.
      return yield* Effect.onInterrupt(Effect.never, () => exitWith(exitCodes.done))
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
  }
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
    // Loaded where there is a seed.
    Effect.provide(
      Layer.unwrap(
        Effect.map(Effect.promise(() => import("@effect/platform-node/NodeFileSystem")), ({ layer }) => layer)
      )
    ),
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
