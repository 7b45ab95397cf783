import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePort } from "../../../server/test/support/freePort.ts"

/** The URL of a Redis that is there already. */
export const given = process.env["TENOVOS_TEST_REDIS"]

const hasBinary = spawnSync("redis-server", ["--version"]).status === 0

/** Why tests can't start one, if so. */
export const missing = hasBinary ? undefined : "no redis-server on the PATH"

/** Why there is none at all, if so. */
export const noneAtAll = missing === undefined || given !== undefined
  ? undefined
  : `${missing}, and no URL of one in TENOVOS_TEST_REDIS`

export interface Server {
  readonly port: number
  readonly url: string
  /** Starts it, on the same port and with what is left in its folder. */
  readonly start: Effect.Effect<void>
  /** `kill -9`. */
  readonly kill: Effect.Effect<void>
}

/** A server that is not started yet. It is gone with the scope. */
export const make = Effect.fnUntraced(
  function*(...args: ReadonlyArray<string>): Effect.fn.Return<Server, never, Scope.Scope> {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "redis-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const port = yield* Effect.promise(freePort)
    let server: ChildProcess | undefined

    const kill = Effect.promise(async () => {
      if (server === undefined) return
      const stopped = once(server, "exit")
      server.stdin?.end()
      await stopped
      server = undefined
    })
    const start = Effect.promise(async () => {
      // Ends with the standard input, and so also when the runner is killed.
      const script = "\"$@\" & exec >&-; read -r line; kill -KILL $!; wait"
      const address = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
      const started = spawn("sh", ["-c", script, "sh", "redis-server", ...address, ...args])
      server = started
      let log = ""
      await new Promise<void>((resolve, reject) => {
        started.stdout.setEncoding("utf8").on("data", (text: string) => {
          log += text
          if (log.includes("Ready to accept connections")) resolve()
        })
        started.stdout.once("end", () => reject(new Error(`redis-server doesn't start: ${log}`)))
      })
    })

    yield* Effect.addFinalizer(() => kill)
    return { port, url: `redis://127.0.0.1:${port}`, start, kill }
  }
)

export const started = (...args: ReadonlyArray<string>): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.tap(make(...args), ({ start }) => start)
