import { RefreshPolicy, TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { Arbitraries, LifeHistory, ScriptedAuthority, TestTenovos } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { HttpClient } from "effect/http"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as Plain from "./support/plain.ts"

/** A client that copes, and one that does not, of one authority. */
const live = (options?: TestTenovos.Options, policy = RefreshPolicy.standard) =>
  Layer.merge(Plain.layer(), TenovosClient.layer).pipe(
    Layer.provideMerge(TenovosAuth.layer({ ...TestTenovos.credentials, policy })),
    Layer.provideMerge(TestTenovos.layer(options))
  )

const controls = Effect.service(TestTenovos.TestTenovos)

const plain = Plain.call

/** Where a clock can be set back without coming to before 1970. */
const start = Date.UTC(2026, 0, 1)

const session = TenovosAuth.TenovosAuth.use((auth) => auth.session)

const call = Effect.map(
  TenovosClient.TenovosClient.use((client) => client.get("/security/template")),
  ({ status }) => status
)

/** The same while time passes, as a retry needs it. */
const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    yield* TestClock.adjust("2 seconds")
    return yield* Fiber.join(fiber)
  })

const failure = Effect.flip(session).pipe(Effect.map(({ reason }) => reason._tag))

describe("the clock of the test", () => {
  it.effect("lets thirty days pass: refreshes on the way, and a new sign-in at the end", () =>
    Effect.gen(function*() {
      const first = yield* session

      for (let day = 1; day < 30; day++) {
        yield* TestClock.adjust("1 day")
        assert.strictEqual(yield* call, 200)
      }
      const last = yield* session
      assert.strictEqual(last.generation, 30)
      assert.deepStrictEqual(last.authenticatedAt, first.authenticatedAt)

      yield* TestClock.adjust("1 day")
      assert.strictEqual(yield* call, 200)
      assert.notDeepEqual((yield* session).authenticatedAt, first.authenticatedAt)
    }).pipe(Effect.provide(live())))

  it.effect("waits for every answer, also to what nobody asked for", () =>
    Effect.gen(function*() {
      yield* session

      yield* TestClock.adjust("10 hours")

      // One each 55 minutes, less up to a fifth of the window.
      const { refreshes, signIns } = yield* Effect.flatMap(controls, ({ counts }) => counts)
      assert.deepStrictEqual([signIns, refreshes], [1, (yield* session).generation - 1])
      assert.isAtLeast(refreshes, 10)
      assert.isAtMost(refreshes, 11)
    }).pipe(Effect.provide(live({}, RefreshPolicy.batch))))

  it.effect("waits for what was under way before it moved", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(call, { startImmediately: true })

      yield* TestClock.adjust("1 hour")

      assert.strictEqual(yield* Fiber.join(fiber), 200)
      assert.deepInclude(yield* Effect.flatMap(controls, ({ counts }) => counts), { signIns: 1, calls: 1 })
    }).pipe(Effect.provide(live())))

  it.live("may as well be the real one", () =>
    Effect.gen(function*() {
      yield* Effect.flatMap(controls, ({ delay }) => delay("5 millis"))

      assert.deepStrictEqual(yield* Effect.replicateEffect(call, 20, { concurrency: "unbounded" }), Array(20).fill(200))
    }).pipe(Effect.provide(live())))

  it.effect("does not wait for an answer that takes its time", () =>
    Effect.gen(function*() {
      yield* Effect.flatMap(controls, ({ delay }) => delay("10 minutes"))
      const fiber = yield* Effect.forkChild(plain)

      yield* TestClock.adjust("1199999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")

      assert.strictEqual(yield* Fiber.join(fiber), 200)
    }).pipe(Effect.provide(live())))
})

describe("a failure", () => {
  it.effect("meets the next requests of a kind", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      yield* tenovos.fail(503, { next: 1, operations: ["authorize"] })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(plain)))
      assert.strictEqual(yield* plain, 200)

      yield* tenovos.fail("html", { next: 2, operations: ["call"] })
      assert.deepStrictEqual([yield* plain, yield* plain, yield* plain], [502, 502, 200])

      yield* tenovos.fail({ kind: "status", status: 418, body: { message: "tea" } }, { operations: ["call"] })
      assert.deepStrictEqual([yield* plain, yield* call], [418, 418])
      yield* tenovos.heal
      assert.deepStrictEqual([yield* plain, yield* call], [200, 200])
    }).pipe(Effect.provide(live())))

  it.effect("is got over by who tries again", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      yield* tenovos.fail("drop", { next: 1 })
      yield* tenovos.fail("rateLimit", { next: 1 })

      assert.strictEqual(yield* eventually(call), 200)
      assert.strictEqual((yield* tenovos.counts).signIns, 3)
    }).pipe(Effect.provide(live())))

  it.effect("meets a share of the requests, the same with the same seed", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      yield* plain
      const met = (seed: number) =>
        Effect.gen(function*() {
          yield* tenovos.fail(500, { share: 0.5, seed })
          const statuses = yield* Effect.replicateEffect(plain, 20)
          yield* tenovos.heal
          return statuses
        })
      const statuses = yield* met(7)

      assert.includeMembers(statuses, [200, 500])
      assert.deepStrictEqual(yield* met(7), statuses)
      assert.notDeepEqual(yield* met(8), statuses)
    }).pipe(Effect.provide(live())))

  it.effect("loses an answer after the operation took effect, or half of it", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      yield* tenovos.fail("lostAnswer", { next: 1 })
      yield* tenovos.fail("truncate", { next: 1 })

      assert.isTrue(Exit.isFailure(yield* Effect.exit(plain)))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(plain)))

      // Two sessions that nobody has.
      assert.strictEqual((yield* tenovos.controls.sessions).length, 2)
      assert.deepStrictEqual(
        (yield* tenovos.journal()).map(({ fault, operation, status }) => [operation, status, fault]),
        [["authorize", null, "lostAnswer"], ["authorize", 200, "truncate"]]
      )
    }).pipe(Effect.provide(live())))

  it.effect("that can't be is a defect", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      for (const wrong of [tenovos.fail(200), tenovos.fail("drop", { share: 2 }), tenovos.delay("2 hours")]) {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(wrong)))
      }
    }).pipe(Effect.provide(live())))
})

describe("a delay", () => {
  it.effect("is longer than a client is patient", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      yield* tenovos.delay("1 minute", { next: 1, operations: ["authorize"] })
      const fiber = yield* Effect.forkChild(session)
      yield* TestClock.adjust("40 seconds")

      yield* Fiber.join(fiber)
      assert.deepStrictEqual((yield* tenovos.journal()).map(({ delay, status }) => [delay, status]), [
        [60_000, null],
        [0, 200]
      ])
    }).pipe(Effect.provide(live())))

  it.effect("is that of the real service, so that a refresh is faster than a sign-in", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      yield* tenovos.delay("real")
      const fiber = yield* Effect.forkChild(Effect.andThen(
        session,
        TenovosAuth.TenovosAuth.use((auth) => auth.sessionWith({ forceRefresh: true }))
      ))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)

      const [signIn = 0, refresh = 0] = (yield* tenovos.journal()).map(({ delay }) => delay)
      assert.isAbove(signIn, 1000)
      assert.isBelow(refresh, 1000)
    }).pipe(Effect.provide(live())))
})

describe("what an operator does", () => {
  it.effect("revokes: who only keeps a token is out", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      assert.deepStrictEqual([yield* plain, yield* call], [200, 200])

      assert.strictEqual(yield* tenovos.revoke, 2)

      assert.deepStrictEqual([yield* plain, yield* call], [401, 200])
      assert.deepInclude(yield* tenovos.counts, { signIns: 3 })
    }).pipe(Effect.provide(live())))

  it.effect("locks: a session goes on, and a new one has to wait", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      assert.strictEqual(yield* plain, 200)
      yield* tenovos.lock("10 minutes")

      assert.strictEqual(yield* plain, 200)
      assert.strictEqual(yield* failure, "Unauthorized")
      yield* TestClock.adjust("11 minutes")
      assert.strictEqual(yield* plain.pipe(Effect.provide(Plain.layer())), 200)
      yield* tenovos.lock()
      yield* tenovos.unlock
      assert.strictEqual(yield* plain.pipe(Effect.provide(Plain.layer())), 200)
    }).pipe(Effect.provide(live())))

  it.effect("disables, with the sessions, and enables", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      yield* plain
      yield* tenovos.disable
      assert.strictEqual(yield* plain, 401)

      yield* tenovos.enable
      assert.strictEqual(yield* plain, 200)
    }).pipe(Effect.provide(live())))

  it.effect("rotates keys: who takes them for fixed is wrong, and no token ends", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      yield* plain
      const { accessToken } = yield* session
      yield* tenovos.rotateKeys
      const next = yield* TenovosAuth.TenovosAuth.use((auth) => auth.sessionWith({ forceRefresh: true }))

      const header = (token: Redacted.Redacted) => Redacted.value(token).split(".")[0]
      assert.notStrictEqual(header(next.accessToken), header(accessToken))
      assert.deepStrictEqual([yield* plain, yield* call], [200, 200])
    }).pipe(Effect.provide(live())))
})

describe("the tokens of Arbitraries", () => {
  it.effect("are good for nothing, as nobody has signed them", () =>
    Effect.gen(function*() {
      const http = yield* HttpClient.HttpClient
      const { expired, foreign, wellFormed } = Arbitraries.tokensAt(DateTime.makeUnsafe(0))
      const any = fc.oneof(wellFormed, expired, foreign)
      for (const token of fc.sample(any, { numRuns: 10, seed: 1 })) {
        const response = yield* http.get(`${TestTenovos.credentials.endpointUrl}/security/template`, {
          headers: {
            "x-api-key": Redacted.value(TestTenovos.credentials.apiKey),
            accesstoken: Redacted.value(token),
            authorization: Redacted.value(token)
          }
        })
        assert.strictEqual(response.status, 401)
      }
    }).pipe(Effect.provide(TestTenovos.layer())))
})

describe("a clock offset", () => {
  for (const offset of ["-1 day", "-90 seconds", "90 seconds", "1 day"] as const) {
    it.effect(`of ${offset} is told by the answers, and followed by who looks`, () =>
      Effect.gen(function*() {
        const { clockOffset } = yield* session

        assert.closeTo(Duration.toMillis(clockOffset), Duration.toMillis(offset), 1001)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(yield* call, 200)
      }).pipe(
        Effect.provide(live({ clockOffset: offset })),
        (self) => Effect.andThen(TestClock.setTime(start), self)
      ))
  }

  it.effect("before 1970 is a defect", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      assert.isTrue(Exit.hasDies(yield* Effect.exit(tenovos.setClockOffset("-1 second"))))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(Effect.provide(session, live({ clockOffset: "-1 second" })))))
    }).pipe(Effect.provide(live())))

  it.effect("can change: whoever goes by the local clock is late", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      assert.strictEqual(yield* plain, 200)
      yield* tenovos.setClockOffset("1 hour")

      assert.deepStrictEqual([yield* plain, yield* call], [401, 200])
    }).pipe(Effect.provide(live())))
})

describe("the journal", () => {
  it.effect("tells what was received, without secrets, and counts", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      yield* call
      yield* TenovosAuth.TenovosAuth.use((auth) => auth.sessionWith({ forceRefresh: true }))
      yield* TenovosAuth.TenovosAuth.use((auth) => auth.signOut)

      assert.deepStrictEqual(yield* tenovos.counts, { signIns: 1, refreshes: 1, expiries: 1, calls: 1 })
      const [refresh] = yield* tenovos.journal({ operation: "refresh" })
      assert.deepInclude(refresh, { method: "POST", path: "/v1/auth/token", status: 200 })
      const text = JSON.stringify(yield* tenovos.journal())
      for (const secret of (yield* tenovos.secrets).keys()) assert.notInclude(text, JSON.stringify(secret).slice(1, -1))
      assert.deepStrictEqual(Array.from((yield* tenovos.secrets).values()), [
        "API key",
        "password",
        "id token 1",
        "access token 1",
        "refresh token 1",
        "id token 2",
        "access token 2"
      ])

      yield* tenovos.forget
      assert.deepStrictEqual(yield* tenovos.counts, { signIns: 0, refreshes: 0, expiries: 0, calls: 0 })
      assert.deepStrictEqual(yield* tenovos.journal(), [])
    }).pipe(Effect.provide(live())))
})

describe("an option", () => {
  it.effect("that is undefined is the default", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* session).endpointUrl, TestTenovos.credentials.endpointUrl)
    }).pipe(Effect.provide(live({ endpointUrl: undefined, passwords: undefined }))))
})

describe("two authorities", () => {
  it.effect("in one program know nothing of each other", () =>
    Effect.gen(function*() {
      const tenovos = yield* controls
      yield* tenovos.fail(500)
      yield* tenovos.setClockOffset("1 hour")

      const inner = Effect.gen(function*() {
        const other = yield* controls
        assert.strictEqual(yield* plain, 200)
        assert.strictEqual((yield* other.journal())[0]?.at, "1970-01-01T00:00:00.000Z")
      })
      yield* Effect.provide(inner, Layer.provideMerge(Plain.layer(), TestTenovos.layer()))

      assert.isTrue(Exit.isFailure(yield* Effect.exit(plain)))
      assert.strictEqual((yield* tenovos.journal())[0]?.at, "1970-01-01T01:00:00.000Z")
    }).pipe(Effect.provide(live())))
})

describe("a life history", () => {
  it.effect("lets happen what it says, and prints as a line", () =>
    Effect.gen(function*() {
      const { Call, Delay, Fail, Heal, Lock, Revoke, RotateKeys, Unlock, Wait } = LifeHistory.Step
      const history = new LifeHistory.LifeHistory({
        clockOffset: Duration.minutes(-5),
        steps: [
          Call(),
          Delay({ duration: Duration.seconds(3) }),
          Fail({ failure: 503, next: 1 }),
          Wait({ duration: Duration.hours(1) }),
          Call(),
          Heal(),
          Lock(),
          Unlock(),
          Revoke(),
          RotateKeys(),
          Call()
        ]
      })
      yield* TestClock.setTime(start)
      yield* LifeHistory.play(history, { layer: Plain.layer(), request: plain })

      assert.strictEqual(
        String(history),
        "authority 5m behind: call, delay by 3s, fail next 1 with 503, wait 1h, call, heal, lock, unlock, revoke, " +
          "rotate keys, call"
      )
      assert.deepStrictEqual(
        (yield* Effect.flatMap(controls, ({ journal }) => journal())).map(({ at, operation, status }) => [
          operation,
          status,
          at
        ]),
        [
          ["authorize", 200, "2025-12-31T23:55:00.000Z"],
          ["call", 200, "2025-12-31T23:55:00.001Z"],
          ["call", 503, "2026-01-01T00:55:00.001Z"],
          ["call", 401, "2026-01-01T00:55:00.002Z"]
        ]
      )
    }).pipe(Effect.provide(live())))

  it.effect("sets the clock by what is no whole millisecond", () =>
    Effect.gen(function*() {
      const steps = [LifeHistory.Step.SetClock({ by: Duration.micros(1500n) }), LifeHistory.Step.Call()]
      const history = new LifeHistory.LifeHistory({ clockOffset: Duration.zero, steps })
      yield* LifeHistory.play(history, { layer: Plain.layer(), request: plain })

      assert.strictEqual((yield* Effect.flatMap(controls, ({ counts }) => counts)).calls, 1)
    }).pipe(Effect.provide(live())))
})

describe("a script", () => {
  const scripted = (steps: ScriptedAuthority.Steps) =>
    TenovosClient.layer.pipe(
      Layer.provideMerge(TenovosAuth.layer(TestTenovos.credentials)),
      Layer.provideMerge(TestTenovos.layerScripted(steps))
    )
  const received = Effect.map(
    ScriptedAuthority.ScriptedAuthority.use(({ received }) => received),
    (all) => all.map(({ method, url }) => `${method} ${url.pathname}`)
  )

  it.effect("answers step by step, and then in good health", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* eventually(call), 200)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(yield* call, 200)
      yield* TenovosAuth.TenovosAuth.use((auth) => auth.signOut)

      const token = "POST /v1/auth/token"
      const get = "GET /v1/security/template"
      assert.deepStrictEqual(yield* received, [token, token, token, get, token, get, "DELETE /v1/auth/token"])
    }).pipe(Effect.provide(scripted(["drop", { status: 502, body: "<html>" }]))))

  it.effect("answers as a function of the request says, or never", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.flip(session))
      yield* TestClock.adjust("1 minute")

      const { reason } = yield* Fiber.join(fiber)
      assert.deepInclude(reason, { _tag: "BadRequest", message: "POST 1" })
    }).pipe(Effect.provide(scripted([
      "hang",
      ({ method }, index) => Effect.succeed({ status: 400, body: { message: `${method} ${index}` } })
    ]))))
})
