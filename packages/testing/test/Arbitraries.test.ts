import { AuthError, Session, TenovosAuth } from "@effect-tenovos/core"
import { Fault } from "@effect-tenovos/server"
import { Arbitraries, Laws, LifeHistory, ScriptedAuthority, TestTenovos } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"

const now = DateTime.makeUnsafe("2026-01-01T00:00:00Z")
const tokens = Arbitraries.tokensAt(now)
const answers = Arbitraries.answersAt(now)

const run = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.runPromise(
    Effect.andThen(TestClock.setTime(DateTime.toEpochMillis(now)), effect).pipe(Effect.provide(TestClock.layer()))
  )

const session = TenovosAuth.TenovosAuth.use((auth) => auth.session)

/** What comes of a session that a script grants or not, when there has been time enough. */
const outcome = (steps: ScriptedAuthority.Steps) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.exit(session))
    yield* TestClock.adjust("10 minutes")
    return yield* Fiber.join(fiber)
  }).pipe(
    Effect.provide(TenovosAuth.layer(TestTenovos.credentials).pipe(Layer.provide(TestTenovos.layerScripted(steps))))
  )

const params = { numRuns: 50, seed: 1 }

describe("tokens", () => {
  it("are what they are called, to a client that can only read them", () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom("wellFormed", "expired", "foreign", "broken").chain((kind) =>
          fc.tuple(fc.constant(kind), tokens[kind])
        ),
        ([kind, token]) =>
          run(Effect.gen(function*() {
            const exit = yield* outcome([{ body: { session: { accessToken: Redacted.value(token) } } }])
            const good = kind === "wellFormed" || kind === "foreign" ||
              // It says nothing, but it can be sent.
              kind === "broken" && /^[!-~]+$/.test(Redacted.value(token))
            assert.strictEqual(Exit.isSuccess(exit), good, kind)
            const reason = Option.getOrUndefined(Exit.findErrorOption(exit))?.reason._tag
            if (kind === "expired") assert.strictEqual(reason, "ClockSkew")
          }))
      ),
      params
    ))
})

describe("answers", () => {
  it("that are valid or lenient make a session", () =>
    fc.assert(
      fc.asyncProperty(fc.oneof(answers.valid, answers.lenient), (answer) =>
        run(Effect.gen(function*() {
          assert.isTrue(Exit.isSuccess(yield* outcome([answer])))
        }))),
      params
    ))

  it("that are hostile make none, but an error, which tells no secret", () =>
    fc.assert(
      fc.asyncProperty(answers.hostile, (answer) =>
        run(Effect.gen(function*() {
          const exit = yield* Laws.noSecretLeak(outcome(Array.from({ length: 100 }, () => answer)))

          assert.instanceOf(Option.getOrUndefined(Exit.findErrorOption(exit)), AuthError.AuthError)
        }))),
      params
    ))
})

describe("fault scripts", () => {
  it("are got over", () =>
    fc.assert(
      fc.asyncProperty(Arbitraries.faultScript, (steps) =>
        run(Effect.gen(function*() {
          assert.isTrue(Exit.isSuccess(yield* outcome(steps)))
        }))),
      params
    ))
})

describe("what a property fails with", () => {
  /** The smallest value that does not hold, as fast-check prints it. */
  const smallest = <A>(arbitrary: fc.Arbitrary<A>, holds: (value: A) => boolean) =>
    fc.stringify(fc.check(fc.property(arbitrary, holds), { seed: 1, numRuns: 1000 }).counterexample?.[0])

  it("is small, and can be read", () => {
    const hasLocked = ({ steps }: LifeHistory.LifeHistory) => steps.some(({ _tag }) => _tag === "Lock")
    const hasWaitedLong = ({ clockOffset, steps }: LifeHistory.LifeHistory) =>
      Duration.toMillis(clockOffset) > 60_000 &&
      steps.some((step) => step._tag === "Wait" && Duration.isGreaterThan(step.duration, Duration.hours(3)))

    assert.strictEqual(smallest(Arbitraries.history, (history) => !hasLocked(history)), "lock")
    assert.strictEqual(
      smallest(Arbitraries.history, (history) => !hasWaitedLong(history)),
      "authority 5m ahead: wait 4h"
    )
    assert.strictEqual(smallest(Arbitraries.faultScript, (steps) => steps.length < 2), "[\"drop\",\"drop\"]")
    assert.strictEqual(smallest(Arbitraries.failure, (failure) => typeof failure !== "number"), "500")
  })

  it("shows no secret", () => {
    const { password, ...others } = TestTenovos.credentials
    assert.notInclude(fc.stringify({ password, ...others }), Redacted.value(password))
    assert.notInclude(smallest(Arbitraries.session, () => false), "AAAA")
  })
})

describe("Effect's own", () => {
  it.effect.prop("makes sessions and faults from their schemas", [
    Arbitrary.schema(Session.Session),
    Arbitrary.schema(Fault.Rule)
  ], ([session, rule]) =>
    Effect.sync(() => {
      assert.instanceOf(session, Session.Session)
      assert.isString(rule.fault.kind)
    }))
})
