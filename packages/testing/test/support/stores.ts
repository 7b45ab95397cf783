import { AuthError, Session, type SessionStore } from "@effect-tenovos/core"
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { inspect } from "node:util"

export type Store = SessionStore.SessionStore["Service"]

/** What must not be in any error. */
export const canary = "canary-4711"

export const session = (generation: number, accessToken = `${canary}-${generation}`) =>
  new Session.Session({
    endpointUrl: "https://api.example/v1",
    accessToken: Redacted.make(accessToken),
    refreshToken: Redacted.make(canary),
    issuedAt: DateTime.makeUnsafe(0),
    expiresAt: DateTime.makeUnsafe(4_102_444_800_000),
    authenticatedAt: DateTime.makeUnsafe(0),
    clockOffset: Duration.zero,
    generation
  })

/** How an operation of a store fails, after it was seen that no form of the error shows a secret. */
export const causeOf = <A, R>(operation: Effect.Effect<A, AuthError.AuthError, R>): Effect.Effect<string, A, R> =>
  Effect.map(Effect.flip(operation), (error) => {
    assert.strictEqual(error.reason._tag, "StoreFailure")
    const forms = [
      String(error),
      inspect(error, { depth: Infinity, showHidden: true }),
      JSON.stringify(error),
      JSON.stringify(Schema.encodeSync(Schema.toCodecJson(AuthError.AuthError))(error)),
      Cause.pretty(Cause.fail(error))
    ]
    for (const form of forms) assert.notInclude(form, canary)
    return error.cause instanceof Error ? error.cause.message : String(error.cause)
  })

/** What `count` do at once who want the lease over and over: how often it was given, and to how many at one time at most. */
export const race = Effect.fnUntraced(
  function*(stores: ReadonlyArray<Store>, turns: number) {
    let [given, now, most, last] = [0, 0, 0, 0]
    yield* Effect.forEach(stores, (store) =>
      Effect.gen(function*() {
        const changed = yield* store.listen
        for (let turn = 0; turn < turns;) {
          const isGiven = yield* Effect.scoped(Effect.gen(function*() {
            const lease = yield* store.lease
            if (Option.isNone(lease)) return false
            assert.isAbove(lease.value.fence, last)
            last = lease.value.fence
            most = Math.max(most, ++now)
            const { generation } = yield* store.read
            const isTaken = yield* store.commit(session(generation + 1), generation, lease.value)
            assert.isTrue(isTaken)
            given++
            now--
            return true
          }))
          if (isGiven) turn++
          else yield* Effect.race(changed, Effect.sleep("5 millis"))
        }
      }).pipe(Effect.scoped), { concurrency: "unbounded" })
    return { given, most }
  }
)

/** But for the clock offset, which is set for who reads. */
export const isStored = (stored: SessionStore.Stored, session: Session.Session): boolean =>
  Option.exists(
    stored.session,
    (read) => Equal.equals(new Session.Session({ ...read, clockOffset: session.clockOffset }), session)
  )
