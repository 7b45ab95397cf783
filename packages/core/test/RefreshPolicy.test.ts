import { AuthError, RefreshPolicy, TenovosAuth } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"

const millis = (policy: RefreshPolicy.RefreshPolicy) => ({
  advisoryWindow: Duration.toMillis(policy.advisoryWindow),
  mandatoryWindow: Duration.toMillis(policy.mandatoryWindow),
  authorizeTimeout: Duration.toMillis(policy.authorizeTimeout),
  refreshTimeout: Duration.toMillis(policy.refreshTimeout),
  expireTimeout: Duration.toMillis(policy.expireTimeout),
  jitter: policy.jitter,
  keepFresh: policy.keepFresh
})

const standard = {
  advisoryWindow: 300_000,
  mandatoryWindow: 30_000,
  authorizeTimeout: 35_000,
  refreshTimeout: 10_000,
  expireTimeout: 10_000,
  jitter: 0.2,
  keepFresh: false
}

describe("policies", () => {
  it("are what the documentation says", () => {
    assert.deepStrictEqual(millis(RefreshPolicy.standard), standard)
    assert.deepStrictEqual(millis(RefreshPolicy.batch), { ...standard, keepFresh: true })
    assert.deepStrictEqual(millis(RefreshPolicy.serverless), { ...standard, advisoryWindow: 30_000, jitter: 0 })
  })

  it("change in one thing and keep the rest, in a pipe or not", () => {
    const { standard: policy } = RefreshPolicy
    const own = Schedule.recurs(1)
    const changes = [
      [policy.pipe(RefreshPolicy.withAdvisoryWindow("1 minute")), { advisoryWindow: 60_000 }],
      [RefreshPolicy.withAdvisoryWindow(policy, "1 minute"), { advisoryWindow: 60_000 }],
      [policy.pipe(RefreshPolicy.withMandatoryWindow("1 second")), { mandatoryWindow: 1000 }],
      [RefreshPolicy.withMandatoryWindow(policy, "1 second"), { mandatoryWindow: 1000 }],
      [policy.pipe(RefreshPolicy.withJitter(0.5)), { jitter: 0.5 }],
      [RefreshPolicy.withJitter(policy, 0.5), { jitter: 0.5 }],
      [policy.pipe(RefreshPolicy.withKeepFresh(true)), { keepFresh: true }],
      [RefreshPolicy.withKeepFresh(policy, true), { keepFresh: true }],
      [policy.pipe(RefreshPolicy.withTimeouts({ authorize: "1 second" })), { authorizeTimeout: 1000 }],
      [RefreshPolicy.withTimeouts(policy, { refresh: "2 seconds", expire: 3 }), {
        refreshTimeout: 2000,
        expireTimeout: 3
      }]
    ] as const

    for (const [changed, fields] of changes) {
      assert.deepStrictEqual(millis(changed), { ...standard, ...fields })
      assert.strictEqual(changed.retry, policy.retry)
    }
    assert.deepStrictEqual(millis(policy.pipe(RefreshPolicy.withRetry(own))), standard)
    assert.strictEqual(policy.pipe(RefreshPolicy.withRetry(own)).retry, own)
    assert.strictEqual(RefreshPolicy.withRetry(policy, own).retry, own)
  })
})

/** The instants of the attempts at an authority that always fails in this way, in seconds. */
const attempts = (policy: RefreshPolicy.RefreshPolicy, failure: () => Response) =>
  Effect.gen(function*() {
    const instants: Array<number> = []
    const waiter = yield* Effect.flip(TenovosAuth.TenovosAuth.use((auth) => auth.session)).pipe(
      Effect.provide(
        TenovosAuth.layer({
          endpointUrl: "https://api.example/v1",
          apiKey: Redacted.make("key"),
          username: "ada",
          password: Redacted.make("secret"),
          policy
        }).pipe(Layer.provide(ScriptedAuthority.layer(() =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            instants.push(now / 1000)
            return failure()
          })
        )))
      ),
      Effect.forkChild({ startImmediately: true })
    )
    for (let second = 0; second < 200; second++) yield* TestClock.adjust("1 second")
    return { instants, error: yield* Fiber.join(waiter) }
  })

const unavailable = () => new Response("", { status: 503 })

describe("retry", () => {
  it.effect("backs off from half a second to half a minute, with jitter, for two minutes", () =>
    Effect.gen(function*() {
      const { error, instants } = yield* attempts(RefreshPolicy.standard, unavailable)
      const pauses = instants.slice(1).map((instant, index) => instant - (instants[index] ?? NaN))

      assert.strictEqual(error.reason._tag, "Unavailable")
      assert.isAtLeast(pauses.length, 7)
      pauses.forEach((pause, index) => {
        const whole = Math.min(30, 0.5 * 2 ** index)
        assert.isAtLeast(pause, whole * 0.8 - 0.001)
        assert.isAtMost(pause, whole * 1.2 + 0.001)
      })
      assert.isTrue(pauses.some((pause) => Math.abs(Math.log2(pause / 0.5) % 1) > 0.001), "no jitter")
      assert.isAtMost(instants.at(-1) ?? NaN, 120 + 36)
    }))

  it.effect("never comes earlier than the authority asks", () =>
    Effect.gen(function*() {
      const { instants } = yield* attempts(
        RefreshPolicy.standard,
        () => new Response("", { status: 429, headers: { "retry-after": "20" } })
      )

      assert.isAtLeast(instants.length, 4)
      instants.slice(1).forEach((instant, index) => assert.isAtLeast(instant - (instants[index] ?? NaN), 20))
    }))

  it.effect("backs off as usual where the authority does not say for how long", () =>
    Effect.gen(function*() {
      const { instants } = yield* attempts(RefreshPolicy.standard, () => new Response("", { status: 429 }))

      assert.isAtLeast(instants.length, 8)
      assert.isAtMost(instants[1] ?? NaN, 0.6)
    }))

  it.effect("waits for two minutes where the authority asks for them, and no longer", () =>
    Effect.gen(function*() {
      for (const [seconds, times] of [["120", 2], ["121", 1]] as const) {
        const { instants } = yield* attempts(
          RefreshPolicy.standard,
          () => new Response("", { status: 429, headers: { "retry-after": seconds } })
        )

        assert.lengthOf(instants, times)
      }
    }))

  it.effect("ends at once when the authority asks for more time than there is, and says for how much", () =>
    Effect.gen(function*() {
      for (const seconds of ["3600", "99999999999999"]) {
        const { error, instants } = yield* attempts(
          RefreshPolicy.standard,
          () => new Response("", { status: 429, headers: { "retry-after": seconds } })
        )

        assert.lengthOf(instants, 1)
        assert.strictEqual(
          error.reason._tag === "RateLimited" && error.reason.retryAfter && Duration.toSeconds(error.reason.retryAfter),
          Number(seconds)
        )
      }
    }))

  it.effect("is the user's own schedule, where there is one", () =>
    Effect.gen(function*() {
      const policy = RefreshPolicy.withRetry(
        RefreshPolicy.standard,
        Schedule.spaced("7 seconds").pipe(Schedule.upTo({ times: 2 }))
      )
      const { instants } = yield* attempts(policy, unavailable)

      assert.deepStrictEqual(instants, [0, 7, 14])
    }))

  it.effect("does not repeat what was refused, whatever the schedule", () =>
    Effect.gen(function*() {
      const policy = RefreshPolicy.withRetry(RefreshPolicy.standard, Schedule.spaced("1 second"))
      for (const status of [400, 401, 403]) {
        const { error, instants } = yield* attempts(policy, () => Response.json({ message: "no" }, { status }))

        assert.lengthOf(instants, 1)
        assert.instanceOf(error, AuthError.AuthError)
      }
    }))
})
