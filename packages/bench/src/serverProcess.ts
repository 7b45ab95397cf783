import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

/** A server in a process of its own, which ends with the scope. */
export interface ServerProcess {
  /** Where it listens: `http://127.0.0.1:4010`. */
  readonly origin: string
  /** Milliseconds from its start until it said where it listens. */
  readonly start: number
  readonly usage: Effect.Effect<Usage>
  readonly pid: number
}

/** What a process has used so far. */
export type Usage = typeof Usage.Type
const Usage = Schema.Struct({
  /** Milliseconds of CPU, those of all its threads. */
  cpu: Schema.Finite,
  /** MiB that it holds in memory now. */
  memory: Schema.Finite
})

export interface Options {
  /** The path of the program. It writes a URL with its port when it listens. */
  readonly program: string
  readonly args?: ReadonlyArray<string>
  /** Files that it loads first. */
  readonly imports?: ReadonlyArray<string>
  /** The folder that it runs in. */
  readonly cwd?: string
}

/** The compiled form of a module beside this one. */
export const beside = (name: string): string => fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url))

export const make = Effect.fnUntraced(
  function*({ args = [], cwd, imports = [], program }: Options): Effect.fn.Return<ServerProcess, never, Scope.Scope> {
    const before = performance.now()
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        fork(program, args, {
          execArgv: [beside("meter"), ...imports].flatMap((path) => ["--import", path]),
          stdio: ["ignore", "pipe", "pipe", "ipc"],
          ...(cwd === undefined ? {} : { cwd })
        })
      ),
      (child) => Effect.promise(() => end(child))
    )
    const { pid } = child
    if (pid === undefined) return yield* Effect.die(new Error(`${program} doesn't start`))
    const origin = yield* Effect.promise(() => listening(child))
    const start = performance.now() - before
    const usage = Effect.promise(() => {
      const answer = once(child, "message")
      child.send("usage")
      return answer
    }).pipe(Effect.flatMap(([used]) => Effect.orDie(Schema.decodeUnknownEffect(Usage)(used))))
    return { origin, start, usage, pid }
  }
)

const listening = (child: ChildProcess) =>
  new Promise<string>((resolve, reject) => {
    let said = ""
    const listen = (chunk: Buffer) => {
      said += chunk.toString()
      const [url] = /http:\/\/[\d.]+:\d+/.exec(said) ?? []
      if (url !== undefined) resolve(url)
    }
    child.stdout?.on("data", listen)
    child.stderr?.on("data", listen)
    child.once("exit", () => reject(new Error(said)))
  })

const end = async (child: ChildProcess) => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, "exit")
  // It exits by itself, as one that is told to stop: what V8 has compiled is kept for its next start.
  child.disconnect()
  await ended
}
