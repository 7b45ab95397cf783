import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("../../server/test/support/runPostgres.ts", import.meta.url))

/** A PostgreSQL that waits for the disk, new and gone with the scope. */
const started: Effect.Effect<Option.Option<string>, never, Scope.Scope> = Effect.gen(function*() {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, [program], { stdio: ["pipe", "pipe", "inherit"] })),
    (child) =>
      Effect.promise(async () => {
        const ended = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined
        child.stdin.end()
        await ended
      })
  )
  const lines = createInterface(child.stdout)
  const line = yield* Effect.promise(async () => (await lines[Symbol.asyncIterator]().next()).value)
  return Option.fromNullishOr(line)
})

/** The URL of the one that TENOVOS_TEST_POSTGRES names, or of a new one, as the tests have it. None where there is none. */
export const postgres: Effect.Effect<Option.Option<string>, Config.ConfigError, Scope.Scope> = Effect.gen(function*() {
  const given = yield* Config.option(Config.String("TENOVOS_TEST_POSTGRES"))
  return Option.isSome(given) ? given : yield* started
})
