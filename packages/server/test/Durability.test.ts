import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Answer, Request, Tokens } from "./support/authorityProcess.ts"
import { emptyFolder } from "./support/databases.ts"

const rounds = process.env["TENOVOS_LONG_RUN"] === undefined ? 20 : 200

/** Numbers from 0 to 1, the same ones each time (mulberry32). */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

/** All else that is ready in this process runs first. */
const turn = Effect.callback<void>((resume) => void setImmediate(resume, Effect.void))

const source = fileURLToPath(new URL("./support/authorityProcess.ts", import.meta.url))

/** A process that has loaded its code, but no database yet. */
const prepare = Effect.acquireRelease(
  Effect.sync(() => {
    const child = spawn(process.execPath, [source], { stdio: ["pipe", "pipe", "inherit"] })
    // What is written to it after its end.
    child.stdin.on("error", () => {})
    const exited = once(child, "exit")
    const opened = Deferred.makeUnsafe<void>()
    const asked = new Map<number, Deferred.Deferred<Answer | undefined>>()
    const settle = (id: number, answer: Answer | undefined) => {
      const deferred = asked.get(id)
      asked.delete(id)
      if (deferred !== undefined) Deferred.doneUnsafe(deferred, Effect.succeed(answer))
    }
    let requests = 0
    let left = 0
    let enough = Deferred.makeUnsafe<void>()
    let isGone = false
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line === "open") {
        Deferred.doneUnsafe(opened, Effect.void)
        return
      }
      const answer: Answer = JSON.parse(line)
      if (--left === 0) Deferred.doneUnsafe(enough, Effect.void)
      settle(answer.id, answer)
    })
    const open = (database: string) =>
      Effect.suspend(() => {
        child.stdin.write(`${database}\n`)
        return Deferred.await(opened)
      })
    /** The answer, or nothing when there will be none. */
    const ask = (request: { readonly what: Request["what"]; readonly tokens?: Tokens }) =>
      Effect.suspend(() => {
        const id = requests++
        const deferred = Deferred.makeUnsafe<Answer | undefined>()
        asked.set(id, deferred)
        if (isGone) settle(id, undefined)
        else child.stdin.write(`${JSON.stringify({ ...request, id })}\n`)
        return Deferred.await(deferred)
      })
    /** Until so many answers more have come. */
    const answers = (count: number) =>
      Effect.suspend(() => {
        left = count
        enough = Deferred.makeUnsafe()
        return Deferred.await(enough)
      })
    const kill = Effect.promise(async () => {
      child.kill("SIGKILL")
      await exited
      isGone = true
      for (const id of asked.keys()) settle(id, undefined)
    })
    return { open, ask, kill, answers }
  }),
  ({ kill }) => kill
)
type AuthorityProcess = Effect.Success<typeof prepare>

interface Known {
  readonly tokens: Tokens
  /** What the last acknowledged answer says of it, or nothing when an answer is missing. */
  state: "lives" | "ended" | undefined
}

/** Signs in, refreshes and ends sessions until the process is gone, and writes down what it was told. */
const program = Effect.fnUntraced(function*({ ask }: AuthorityProcess, known: Array<Known>, next: () => number) {
  while (true) {
    const first = yield* ask({ what: "signIn" })
    if (first?.tokens === undefined) return
    const all: Array<Known> = [{ tokens: first.tokens, state: "lives" }]
    known.push(...all)
    let { tokens } = first
    for (let i = Math.floor(next() * 8); i > 0; i--) {
      const answer = yield* ask({ what: "refresh", tokens })
      if (answer === undefined) return
      assert.isDefined(answer.tokens)
      if (answer.tokens !== undefined) tokens = answer.tokens
      const one: Known = { tokens, state: "lives" }
      all.push(one)
      known.push(one)
    }
    if (next() < 0.3) continue
    for (const one of all) one.state = undefined
    const answer = yield* ask({ what: "expire", tokens })
    if (answer === undefined) return
    assert.isTrue(answer.isOk)
    for (const one of all) one.state = "ended"
  }
})

describe("kill -9", () => {
  it.live(`loses nothing that was acknowledged, at ${rounds} moments under load`, () =>
    Effect.gen(function*() {
      const database = join(yield* emptyFolder, "a.sqlite")
      const next = random(20260101)
      const all: Array<Known> = []
      let checked = 0
      let process = yield* prepare

      for (let round = 0; round < rounds; round++) {
        // Loads while the one before it works.
        const spare = yield* prepare
        yield* process.open(database)
        for (const { state, tokens } of all.slice(-30)) {
          if (state === undefined) continue
          const isLive = yield* process.ask({ what: "isLive", tokens })
          assert.strictEqual(isLive?.isOk, state === "lives", `an access token that ${state}, round ${round}`)
          const refreshed = yield* process.ask({ what: "refresh", tokens })
          assert.strictEqual(refreshed?.isOk, state === "lives", `a refresh token that ${state}, round ${round}`)
          checked++
        }
        const known: Array<Known> = []
        const programs = yield* Effect.forkChild(
          Effect.all(Array.from({ length: 4 }, () => program(process, known, next)), { concurrency: "unbounded" })
        )
        yield* process.answers(5 + Math.floor(next() * 60))
        // Somewhere between that answer and the next ones.
        yield* Effect.replicateEffect(turn, Math.floor(next() * 2000), { discard: true })
        yield* process.kill
        yield* Fiber.join(programs)
        all.push(...known)
        process = spare
      }

      assert.isAtLeast(checked, rounds * 5)
      assert.isAtLeast(all.filter(({ state }) => state === "ended").length, rounds)
    }), { timeout: rounds * 15_000 })
})
