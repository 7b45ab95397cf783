import { type AuthError, SessionStore, TenovosAuth } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { healthy, options, session, settled } from "./support/scripted.ts"

type Operation = keyof SessionStore.SessionStore["Service"]
type Name = AuthError.StoreFailure["operation"]

/** One that has everything but an answer to this. */
const make = (hung: Operation) =>
  Effect.map(SessionStore.makeMemory, (memory) => ({
    ...memory,
    ...(hung === "read" || hung === "lease" || hung === "listen"
      ? { [hung]: Effect.never }
      : { [hung]: () => Effect.never })
  }))

/** What failed, as the events tell from now on. */
const told = Effect.gen(function*() {
  const auth = yield* TenovosAuth.TenovosAuth
  const failures: Array<string> = []
  yield* auth.events.pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        if (event._tag === "StoreFailed") failures.push(nameOf(event.error))
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
  return failures
})

const nameOf = ({ reason }: AuthError.AuthError) => reason._tag === "StoreFailure" ? reason.operation : reason._tag

const refused: ScriptedAuthority.Script = () => Effect.succeed(Response.json({ message: "no" }, { status: 401 }))

describe("a store that doesn't answer", () => {
  const cases: ReadonlyArray<readonly [Operation, Name, ScriptedAuthority.Script]> = [
    ["read", "read", healthy],
    ["lease", "lease", healthy],
    ["commit", "commit", healthy],
    ["refusal", "read", healthy],
    ["refuse", "commit", refused]
  ]
  for (const [hung, name, script] of cases) {
    it.effect(`is told of after ten seconds, by name, and stops nobody: ${hung}`, () =>
      Effect.gen(function*() {
        const store = Layer.succeed(SessionStore.SessionStore, yield* make(hung))
        yield* Effect.gen(function*() {
          const failures = yield* told
          const caller = yield* Effect.forkChild(Effect.exit(session), { startImmediately: true })
          yield* TestClock.adjust("9999 millis")
          assert.deepStrictEqual(failures, [])
          yield* TestClock.adjust("1 millis")
          yield* settled

          assert.strictEqual(failures[0], name)
          yield* TestClock.adjust("1 minute")
          assert.strictEqual((yield* Fiber.join(caller))._tag, script === healthy ? "Success" : "Failure")
        }).pipe(
          Effect.provide(TenovosAuth.layer(options, store).pipe(Layer.provideMerge(ScriptedAuthority.layer(script))))
        )
      }))
  }

  it.effect("is told to who signs out: clear", () =>
    Effect.gen(function*() {
      const store = Layer.succeed(SessionStore.SessionStore, yield* make("clear"))
      yield* Effect.gen(function*() {
        yield* session
        const caller = yield* Effect.forkChild(TenovosAuth.TenovosAuth.use((auth) => auth.signOut))
        yield* settled
        yield* TestClock.adjust("10 seconds")
        const outcome = yield* Fiber.join(caller)

        assert.strictEqual(outcome._tag === "Forgotten" && nameOf(outcome.error), "clear")
      }).pipe(
        Effect.provide(TenovosAuth.layer(options, store).pipe(Layer.provideMerge(ScriptedAuthority.layer(healthy))))
      )
    }))

  it.effect("is told of to who waits for another's exchange: listen", () =>
    Effect.gen(function*() {
      const memory = yield* make("listen")
      const store = Layer.succeed(SessionStore.SessionStore, memory)
      yield* Effect.gen(function*() {
        const failures = yield* told
        // Somebody else's, for good.
        yield* memory.lease
        const caller = yield* Effect.forkChild(session, { startImmediately: true })
        yield* TestClock.adjust("10 seconds")
        yield* settled

        assert.deepStrictEqual(failures, ["lease"])
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(caller)
      }).pipe(
        Effect.provide(TenovosAuth.layer(options, store).pipe(Layer.provideMerge(ScriptedAuthority.layer(healthy))))
      )
    }))
})
