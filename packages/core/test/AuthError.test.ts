import { AuthError } from "@effect-tenovos/core"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Json = Schema.fromJsonString(Schema.toCodecJson(AuthError.AuthError))

const reasons: ReadonlyArray<readonly [AuthError.Reason, retryable: boolean, message: string]> = [
  [new AuthError.BadRequest({ message: "Invalid" }), false, "Invalid. Check that"],
  [new AuthError.Unauthorized({ message: "Wrong." }), false, "Wrong. Check the user name"],
  [new AuthError.Forbidden({ message: "Forbidden" }), false, "Forbidden. Check the API key"],
  [new AuthError.RateLimited({}), true, "Too many requests. Wait"],
  [new AuthError.RateLimited({ retryAfter: Duration.seconds(7) }), true, "Too many requests for 7s. Wait"],
  [new AuthError.Unavailable({ problem: "Status", status: 502 }), true, "The authority answered with status 502. Try"],
  [new AuthError.Unavailable({ problem: "Transport" }), true, "The authority could not be reached. Try"],
  [new AuthError.Unavailable({ problem: "Timeout" }), true, "The authority did not answer in time. Try"],
  [
    new AuthError.InvalidResponse({ status: 200, path: "session.accessToken", expected: "a non-empty string" }),
    false,
    "Expected a non-empty string at session.accessToken in an answer with status 200. Check the endpoint URL"
  ],
  [
    new AuthError.InvalidResponse({ status: 200, path: "", expected: "a JSON object" }),
    true,
    "Expected a JSON object in an answer with status 200. Check"
  ],
  [new AuthError.SessionExpired(), false, "The session is over. Sign in again."],
  [new AuthError.CredentialsRejected({ message: "Wrong" }), false, "Wrong. Correct the credentials"],
  [
    new AuthError.ClockSkew({ overSince: Duration.minutes(90) }),
    false,
    "A new session was over 1h 30m before it arrived: one of the clocks is wrong. Set"
  ],
  [new AuthError.StoreFailure({ operation: "commit" }), true, "The session store failed to commit. Check"],
  [new AuthError.NotReplayable(), false, "The access token was refused, and the body can't be sent twice. Send"]
]

describe("AuthError", () => {
  for (const [reason, retryable, message] of reasons) {
    it.effect(`${reason._tag} says what to do next: ${message}…`, () =>
      Effect.gen(function*() {
        const error = new AuthError.AuthError({ reason })

        assert.isTrue(
          error.message.startsWith(message.replace("Check the endpoint URL", "Check that the endpoint URL")),
          error.message
        )
        assert.strictEqual(error.retryable, retryable)
        const decoded = yield* Schema.decodeEffect(Json)(yield* Schema.encodeEffect(Json)(error))
        assert.strictEqual(decoded.reason._tag, reason._tag)
        assert.strictEqual(decoded.message, error.message)
      }))
  }

  it("covers every reason", () => {
    assert.deepStrictEqual(
      new Set(reasons.map(([{ _tag }]) => _tag)),
      new Set(AuthError.Reason.members.map((member) => member.fields._tag.schema.literal))
    )
  })

  it.effect("is handled by reason", () =>
    Effect.gen(function*() {
      const program = Effect.fail(new AuthError.AuthError({ reason: new AuthError.RateLimited({}) }))
      const handled = yield* Effect.catchReason(program, "AuthError", "RateLimited", () => Effect.succeed("waited"))

      assert.strictEqual(handled, "waited")
    }))
})
