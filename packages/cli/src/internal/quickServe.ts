import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import { CommandError } from "../CommandError.ts"
import * as runtime from "./runtime.ts"
import * as defaults from "./serveDefaults.ts"
import { serve } from "./serving.ts"

// Tests start an authority before each of their runs, and mostly say no more than where it keeps what it knows and where
// it listens. Then nothing has to be loaded but the authority. What else there is to say, the command itself reads, and
// it tells what is wrong.

/** Does what `tenovos serve` would, if these are such arguments. Tells whether they are. */
export const quickly = (args: ReadonlyArray<string>): boolean => {
  const given = parse(args)
  if (given === undefined) return false
  Effect.gen(function*() {
    return yield* serve({
      host: given.host ?? defaults.host,
      port: given.port ?? defaults.port,
      database: given.database ?? (yield* Config.withDefault(defaults.databaseConfig, defaults.database)),
      endpointUrl: Option.none(),
      seed: Option.map(Option.fromNullishOr(given.seed), (path) => resolve(path)),
      dev: given.dev,
      json: given.json
    })
  }).pipe(
    Effect.mapError((error) =>
      error._tag === "ConfigError" ? error : new CommandError({ kind: "refused", message: error.message })
    ),
    runtime.run
  )
  return true
}

/** The arguments, where they can be read in one way only. */
const parse = (args: ReadonlyArray<string>) => {
  try {
    const { tokens, values } = parseArgs({
      args,
      tokens: true,
      options: {
        host: { type: "string" },
        port: { type: "string" },
        database: { type: "string" },
        seed: { type: "string" },
        dev: { type: "boolean" },
        json: { type: "boolean" }
      }
    })
    const isPlain = tokens.every((token) =>
      token.kind === "option" && (token.value === undefined || /^[^-]/.test(token.value))
    )
    const isTwice = new Set(tokens.map((token) => token.kind === "option" && token.name)).size < tokens.length
    const { dev = false, json = false, port, ...rest } = values
    const isPort = port === undefined || (/^\d{1,5}$/.test(port) && Number(port) <= 65535)
    if (!isPlain || isTwice || !isPort) return undefined
    return { ...rest, dev, json, port: port === undefined ? undefined : Number(port) }
  } catch {
    return undefined
  }
}
