import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Answer, AuthorityOptions, Request, Tokens } from "./support/authorityProcess.ts"
import { emptyFolder } from "./support/databases.ts"

const rounds = process.env["TENOVOS_LONG_RUN"] === undefined ? 10 : 100

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
    const open = (options: AuthorityOptions & { readonly database: string }) =>
      Effect.suspend(() => {
        child.stdin.write(`${JSON.stringify(options)}\n`)
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

interface Token {
  readonly tokens: Tokens
  /** Whether the access token is good, by the last acknowledged answer, or nothing when an answer is missing. */
  isLive: boolean | undefined
  /** Whether the refresh token is. */
  renews: boolean | undefined
}

/** The tokens of one session, in the order of their answers. */
type Session = Array<Token>

/** The session has ended, if the call is answered. */
const ending = Effect.fnUntraced(function*(session: Session, call: Effect.Effect<Answer | undefined>) {
  // What was refused before is refused whatever comes of it.
  for (const token of session) {
    token.isLive = token.isLive === false ? false : undefined
    token.renews = token.renews === false ? false : undefined
  }
  const answer = yield* call
  if (answer === undefined) return undefined
  for (const token of session) token.isLive = token.renews = false
  return answer
})

/** Signs in, refreshes and expires until the process is gone, and writes down what it was told. */
const program = Effect.fnUntraced(
  function*(options: AuthorityOptions, { ask }: AuthorityProcess, known: Array<Session>, next: () => number) {
    while (true) {
      const first = yield* ask({ what: "signIn" })
      if (first?.tokens === undefined) return
      let last: Token = { tokens: first.tokens, isLive: true, renews: true }
      const session: Session = [last]
      known.push(session)
      for (let i = Math.floor(next() * 8); i > 0; i--) {
        if (options.refreshAnswer === "replaces") last.renews = undefined
        const answer = yield* ask({ what: "refresh", tokens: last.tokens })
        if (answer === undefined) return
        if (answer.tokens === undefined) return assert.fail("A good refresh token is refused")
        if (options.refreshAnswer === "replaces") last.renews = false
        last = { tokens: answer.tokens, isLive: true, renews: true }
        session.push(last)
      }
      if (next() < 0.3) continue
      const { tokens } = last
      const expire = ask({ what: "expire", tokens })
      if (options.profile === "safe") {
        const answer = yield* ending(session, expire)
        if (answer === undefined) return
        assert.isTrue(answer.isOk)
      } else {
        last.isLive = undefined
        const answer = yield* expire
        if (answer === undefined) return
        assert.isTrue(answer.isOk)
        last.isLive = false
      }
    }
  }
)

/** What was acknowledged of a session holds, also when a refresh token that was replaced is shown at last. */
const check = Effect.fnUntraced(
  function*(options: AuthorityOptions, { ask }: AuthorityProcess, session: Session, when: string) {
    for (const { isLive, tokens } of session) {
      if (isLive === undefined) continue
      const answer = yield* ask({ what: "isLive", tokens })
      assert.strictEqual(answer?.isOk, isLive, `an access token is good, ${when}`)
    }
    for (const token of session.filter(({ renews }) => renews === true)) {
      const answer = yield* ask({ what: "refresh", tokens: token.tokens })
      assert.isTrue(answer?.isOk, `a refresh token is good, ${when}`)
      if (options.refreshAnswer !== "replaces" || answer?.tokens === undefined) continue
      token.renews = false
      session.push({ tokens: answer.tokens, isLive: true, renews: true })
    }
    for (const { tokens } of session.filter(({ renews }) => renews === false)) {
      const answer = yield* ending(session, ask({ what: "refresh", tokens }))
      assert.isFalse(answer?.isOk, `a refresh token is good no more, ${when}`)
    }
    const ended = session.filter(({ isLive, renews }) => isLive === false && renews === false)
    for (const { tokens } of ended) {
      assert.isFalse((yield* ask({ what: "isLive", tokens }))?.isOk, `an access token of what has ended, ${when}`)
      assert.isFalse((yield* ask({ what: "refresh", tokens }))?.isOk, `a refresh token of what has ended, ${when}`)
    }
  }
)

const kinds: ReadonlyArray<AuthorityOptions> = [
  { profile: "safe", refreshAnswer: "replaces", rotationGrace: 0 },
  { profile: "strict", refreshAnswer: "repeats" }
]

describe("kill -9", () => {
  for (const options of kinds) {
    it.live(
      `loses nothing that was acknowledged, at ${rounds} moments under load, ${options.profile}`,
      () =>
        Effect.gen(function*() {
          const database = join(yield* emptyFolder, "a.sqlite")
          const next = random(20260101)
          const all: Array<Session> = []
          let checked = 0
          let process = yield* prepare

          for (let round = 0; round <= rounds; round++) {
            // Loads while the one before it works.
            const spare = yield* prepare
            yield* process.open({ ...options, database })
            for (const session of all.slice(-10)) {
              yield* check(options, process, session, `round ${round}`)
              checked += session.length
            }
            if (round === rounds) break
            const known: Array<Session> = []
            const programs = yield* Effect.forkChild(
              Effect.all(Array.from({ length: 4 }, () => program(options, process, known, next)), {
                concurrency: "unbounded"
              })
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
        }),
      { timeout: rounds * 15_000 }
    )
  }
})
