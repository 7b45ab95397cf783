import { Session } from "@effect-tenovos/core"
import { Arbitraries } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import { assertEquals } from "@effect/vitest/utils"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"

const Json = Schema.fromJsonString(Schema.toCodecJson(Session.Session))

const at = (millis: number) => DateTime.makeUnsafe(millis)

describe("Session", () => {
  it("encodes to JSON and decodes to itself", () =>
    fc.assert(fc.property(Arbitraries.session, (session) => {
      assertEquals(Schema.decodeSync(Json)(Schema.encodeSync(Json)(session)), session)
    })))

  it("compares by its tokens too", () =>
    fc.assert(fc.property(Arbitraries.session, Arbitraries.token, (session, accessToken) => {
      const other = new Session.Session({ ...session, accessToken })

      assert.throws(() => assertEquals(other, session))
    })))

  it("loses as much life as time passes, whatever the clocks", () =>
    fc.assert(fc.property(Arbitraries.session, fc.nat(1e12), fc.nat(1e9), (session, now, elapsed) => {
      const before = Duration.toMillis(Session.remaining(session, at(now)))
      const after = Duration.toMillis(Session.remaining(session, at(now + elapsed)))

      assert.strictEqual(before - after, elapsed)
    })))

  it("is expired from the instant the authority's clock reaches its end", () =>
    fc.assert(fc.property(Arbitraries.session, (session) => {
      const end = DateTime.toEpochMillis(session.expiresAt) - Duration.toMillis(session.clockOffset)

      assert.isFalse(Session.isExpired(session, at(end - 1)))
      assert.isTrue(Session.isExpired(session, at(end)))
    })))

  it("can be refreshed for 30 days from the sign-in, and not without a refresh token", () =>
    fc.assert(fc.property(Arbitraries.session, (session) => {
      const end = DateTime.toEpochMillis(session.authenticatedAt) + 30 * 86_400_000 -
        Duration.toMillis(session.clockOffset)

      assert.strictEqual(Session.isRefreshable(session, at(end - 1)), session.refreshToken !== undefined)
      assert.isFalse(Session.isRefreshable(session, at(end)))
      assert.strictEqual(Option.isSome(Session.refreshTokenExpiresAt(session)), session.refreshToken !== undefined)
    })))
})
