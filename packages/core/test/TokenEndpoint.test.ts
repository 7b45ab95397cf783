import { type AuthError, type Credentials, Session, TokenEndpoint } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Base64, Base64Url } from "effect/encoding"
import * as Fiber from "effect/Fiber"
import type { HttpClient } from "effect/http"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import fixture from "./fixtures/authentication.json" with { type: "json" }

const credentials: Credentials.Credentials = {
  endpointUrl: "https://api.example/v1",
  apiKey: Redacted.make("key-canary"),
  username: "ada",
  password: Redacted.make("password-canary")
}

const now = Date.UTC(2026, 0, 1)

const jwt = (claims: object) => `e30.${Base64Url.encode(JSON.stringify(claims))}.c2ln`

const accessToken = jwt({ iat: now / 1000, exp: now / 1000 + 3600, auth_time: now / 1000, sub: "s", username: "ada" })

const answer = {
  endpointUrl: "https://tenant.example/v1",
  clientId: "client",
  userPoolId: "us-east-1_pool",
  username: "ada",
  password: "",
  session: {
    authorization: jwt({ sub: "s", email: "ada@example.com" }),
    refreshToken: "refresh-canary",
    accessToken,
    expireEpoch: now + 3_600_000
  }
}

const json = (body: unknown, init?: ResponseInit) => Effect.sync(() => Response.json(body, init))

const text = (body: string, init?: ResponseInit) => Effect.sync(() => new Response(body, init))

/** Runs against the script, in 2026 by the test's clock. */
const against = <A, E>(
  script: ScriptedAuthority.Script,
  use: (endpoint: TokenEndpoint.TokenEndpoint["Service"]) => Effect.Effect<
    A,
    E,
    HttpClient.HttpClient | ScriptedAuthority.ScriptedAuthority
  >,
  options?: Partial<TokenEndpoint.Options>
) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(now)
    return yield* use(yield* TokenEndpoint.make({ apiKey: credentials.apiKey, ...options }))
  }).pipe(Effect.provide(ScriptedAuthority.layer(script)))

const received = ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received)

const signIn = (body: Effect.Effect<Response>) => against(() => body, (endpoint) => endpoint.authorize(credentials))

const session = signIn(json(answer))

const assertNoCanary = (error: AuthError.AuthError) => {
  for (
    const text of [String(error), JSON.stringify(error), inspect(error, { depth: 9 }), Cause.pretty(Cause.fail(error))]
  ) {
    assert.notMatch(text, /canary/)
    assert.notInclude(text, accessToken)
  }
}

describe("authorize", () => {
  it.effect("sends the API key, and the credentials in the body only", () =>
    against(() => json(answer), (endpoint) =>
      Effect.gen(function*() {
        yield* endpoint.authorize(credentials)

        const [request] = yield* received
        assert.strictEqual(request?.method, "POST")
        assert.strictEqual(request?.url.href, "https://api.example/v1/auth/token")
        assert.deepStrictEqual(request?.headers, {
          "x-api-key": "key-canary",
          "content-type": "application/json",
          "content-length": String(request?.body.length),
          accept: "application/json"
        })
        assert.deepStrictEqual(JSON.parse(request?.body ?? ""), { username: "ada", password: "password-canary" })
      })))

  it.effect("adds Basic authentication when asked to", () =>
    against(() => json(answer), (endpoint) =>
      Effect.gen(function*() {
        yield* endpoint.authorize(credentials)

        const [request] = yield* received
        assert.strictEqual(request?.headers["authorization"], `Basic ${Base64.encode("ada:password-canary")}`)
      }), { basicAuthentication: true }))

  it.effect("makes a session of the answer", () =>
    Effect.gen(function*() {
      const session = yield* signIn(json(answer))

      assert.strictEqual(session.endpointUrl, "https://tenant.example/v1")
      assert.strictEqual(Redacted.value(session.accessToken), accessToken)
      assert.strictEqual(session.refreshToken && Redacted.value(session.refreshToken), "refresh-canary")
      assert.strictEqual(DateTime.toEpochMillis(session.expiresAt), now + 3_600_000)
      assert.strictEqual(DateTime.toEpochMillis(session.authenticatedAt), now)
      assert.strictEqual(Duration.toMillis(session.clockOffset), 0)
      assert.strictEqual(session.generation, 1)
      assert.deepInclude({ ...session }, {
        username: "ada",
        clientId: "client",
        userPoolId: "us-east-1_pool",
        subject: "s",
        email: "ada@example.com"
      })
    }))

  it.effect("understands the page's own example, at its time", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_613_752_820_000)
      const endpoint = yield* TokenEndpoint.make({ apiKey: credentials.apiKey })
      const session = yield* endpoint.authorize(credentials)

      assert.strictEqual(session.endpointUrl, "https://endpoint.url/v1")
      assert.strictEqual(DateTime.formatIso(session.expiresAt), "2021-02-19T17:40:20.000Z")
      assert.strictEqual(DateTime.formatIso(session.authenticatedAt), "2021-02-19T16:40:17.000Z")
      assert.strictEqual(session.email, "jeff@tenovos.com")
    }).pipe(Effect.provide(ScriptedAuthority.layer(() => json(fixture)))))

  it.effect("goes on with nothing but an access token", () =>
    Effect.gen(function*() {
      const session = yield* signIn(json({ session: { accessToken: "opaque" } }))

      assert.strictEqual(session.endpointUrl, credentials.endpointUrl)
      assert.isUndefined(session.refreshToken)
      assert.isUndefined(session.idToken)
      assert.strictEqual(DateTime.toEpochMillis(session.expiresAt), now + 3_600_000)
    }))

  it.effect("never keeps a password that is echoed back", () =>
    Effect.gen(function*() {
      const session = yield* signIn(json({ ...answer, password: "password-canary" }))

      assert.notInclude(
        JSON.stringify(
          Object.values(session).map((value) => Redacted.isRedacted(value) ? Redacted.value(value) : value)
        ),
        "password-canary"
      )
    }))

  for (
    const [name, fields, expiresAt] of [
      ["an expireEpoch in seconds", { expireEpoch: now / 1000 + 600 }, now + 600_000],
      ["an expireEpoch as a string", { expireEpoch: String(now + 600_000) }, now + 600_000],
      ["no expireEpoch: the claim says the same", { expireEpoch: undefined }, now + 3_600_000],
      ["an expireEpoch of zero: the claim says the same", { expireEpoch: 0 }, now + 3_600_000],
      ["an expireEpoch from before the issue: the claim is right", { expireEpoch: now - 1 }, now + 3_600_000],
      ["two statements: the earlier one", { expireEpoch: now + 7_200_000 }, now + 3_600_000],
      ["an opaque token and an expireEpoch from before the issue: one hour", {
        expireEpoch: 1_546_300_800_000,
        accessToken: "opaque"
      }, now + 3_600_000],
      ["no statement at all: one hour", { expireEpoch: undefined, accessToken: "opaque" }, now + 3_600_000]
    ] as const
  ) {
    it.effect(`reads the end of the token's life from ${name}`, () =>
      Effect.gen(function*() {
        const session = yield* signIn(
          json({ ...answer, session: { ...answer.session, ...fields } }, {
            headers: { date: new Date(now).toUTCString() }
          })
        )

        assert.strictEqual(DateTime.toEpochMillis(session.expiresAt), expiresAt)
      }))
  }

  it.effect("counts one hour from the answer's Date where nothing else is known, and keeps the offset", () =>
    Effect.gen(function*() {
      const date = now - 86_400_000
      const session = yield* signIn(
        json({ session: { accessToken: "opaque" } }, { headers: { date: new Date(date).toUTCString() } })
      )

      assert.strictEqual(DateTime.toEpochMillis(session.expiresAt), date + 3_600_000)
      // What a stamp of whole seconds leaves open is taken off the session's life.
      assert.strictEqual(
        Duration.toMillis(Session.remaining(session, DateTime.makeUnsafe(now))),
        3_600_000 - 1000
      )
    }))

  it.effect("falls back to its own endpoint for one that is no URL", () =>
    Effect.gen(function*() {
      const session = yield* signIn(json({ ...answer, endpointUrl: "tenant.example/v1" }))

      assert.strictEqual(session.endpointUrl, credentials.endpointUrl)
    }))

  for (
    const [name, body, status, path, expected] of [
      ["an error page", text("<html>hello</html>"), 200, "", "a JSON object"],
      ["an empty body", text(""), 200, "", "a JSON object"],
      ["a truncated body", text(JSON.stringify(answer).slice(0, 300)), 200, "", "a JSON object"],
      ["null", json(null), 200, "", "an object"],
      ["an array", json([answer]), 200, "", "an object"],
      ["no session", json({ ...answer, session: undefined }), 200, "session", "an object"],
      ["a session of the wrong shape", json({ session: "s3cret-canary" }), 200, "session", "an object"],
      [
        "no access token",
        json({ ...answer, session: { ...answer.session, accessToken: undefined } }),
        200,
        "session.accessToken",
        "a non-empty string"
      ],
      [
        "an empty access token",
        json({ session: { accessToken: "" } }),
        200,
        "session.accessToken",
        "a non-empty string"
      ],
      ["a number", json({ session: { accessToken: 4242 } }), 200, "session.accessToken", "a non-empty string"],
      ["a downgrade", json({ ...answer, endpointUrl: "http://tenant.example" }), 200, "endpointUrl", "an https URL"],
      ["a refusal by somebody else", text("<html>", { status: 401 }), 401, "", "an answer of the API"],
      ["a refusal without a message", json({ error: "no" }, { status: 400 }), 400, "", "an answer of the API"],
      [
        "a loud downgrade",
        json({ ...answer, endpointUrl: "HTTP://tenant.example" }),
        200,
        "endpointUrl",
        "an https URL"
      ],
      [
        "a hidden downgrade",
        json({ ...answer, endpointUrl: " http://tenant.example" }),
        200,
        "endpointUrl",
        "an https URL"
      ],
      ["a page of somebody else", text("not here", { status: 404 }), 404, "", "an answer of the API"],
      ["a redirect", text("", { status: 302, headers: { location: "/x" } }), 302, "", "an answer of the API"]
    ] as const
  ) {
    it.effect(`says where an answer is wrong: ${name}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(signIn(body))

        assert.deepInclude(error.reason, { _tag: "InvalidResponse", status, path, expected })
        assert.isTrue(error.ambiguous)
        assert.strictEqual(error.retryable, status === 200 && path === "")
        assertNoCanary(error)
      }))
  }

  const refusal = (status: number, message: string) => json({ status: "error", message }, { status })

  for (
    const [body, tag, retryable, fields] of [
      [refusal(400, "Invalid Authentication Parameters"), "BadRequest", false, {
        message: "Invalid Authentication Parameters"
      }],
      [refusal(401, "Missing required parameter PASSWORD"), "Unauthorized", false, {
        message: "Missing required parameter PASSWORD"
      }],
      [json({ message: "Forbidden" }, { status: 403 }), "Forbidden", false, { message: "Forbidden" }],
      [json({ message: "Too Many Requests" }, { status: 429 }), "RateLimited", true, {}],
      [json({ message: "Limit Exceeded" }, { status: 429, headers: { "retry-after": "7" } }), "RateLimited", true, {
        retryAfter: Duration.seconds(7)
      }],
      [text("", { status: 408 }), "Unavailable", true, { problem: "Status", status: 408 }],
      [json({ message: "Internal server error" }, { status: 502 }), "Unavailable", true, {
        problem: "Status",
        status: 502
      }],
      [text("<html>", { status: 503, headers: { "retry-after": "3" } }), "Unavailable", true, {
        status: 503,
        retryAfter: Duration.seconds(3)
      }],
      [json({ message: "Endpoint request timed out" }, { status: 504 }), "Unavailable", true, { status: 504 }]
    ] as const
  ) {
    it.effect(`knows ${tag} with ${JSON.stringify(fields)}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(signIn(body))

        assert.strictEqual(error.reason._tag, tag)
        assert.deepInclude(error.reason, fields)
        assert.strictEqual(error.retryable, retryable)
        assert.strictEqual(error.ambiguous, tag === "Unavailable")
      }))
  }

  it.effect("takes control characters out of the authority's message", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(signIn(refusal(400, "clear\u001b[2J\u0007 screen")))

      assert.strictEqual(error.reason.message, "clear [2J  screen")
    }))

  it.effect("takes what was sent out of the authority's message", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        signIn(refusal(400, "Value 'password-canary' at 'password' with key-canary failed to satisfy constraint"))
      )

      assert.deepInclude(error.reason, {
        message: "Value '<redacted>' at 'password' with <redacted> failed to satisfy constraint"
      })
      assertNoCanary(error)
    }))

  it.effect("keeps the transport's cause, and nothing of the request", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        against(() => Effect.fail(new ScriptedAuthority.Dropped()), (endpoint) => endpoint.authorize(credentials))
      )

      assert.deepInclude(error.reason, { _tag: "Unavailable", problem: "Transport" })
      assert.strictEqual(error.cause instanceof Error && error.cause.message, "Dropped: ")
      assertNoCanary(error)
    }))

  it.effect("reports an endpoint that is no URL", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        against(() => json(answer), (endpoint) => endpoint.authorize({ ...credentials, endpointUrl: "nowhere" }))
      )

      assert.deepInclude(error.reason, {
        _tag: "CredentialsRejected",
        message: "The endpoint URL is no absolute URL"
      })
    }))

  it.effect("reports a session that is over on arrival as skewed clocks", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        signIn(json({ session: { accessToken: "opaque", expireEpoch: now - 60_000 } }))
      )

      assert.deepInclude(error.reason, { _tag: "ClockSkew", overSince: Duration.minutes(1) })
    }))

  it.effect("gives up after 35 seconds", () =>
    against(() => Effect.never, (endpoint) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Effect.flip(endpoint.authorize(credentials)), { startImmediately: true })
        yield* TestClock.adjust("34 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 second")

        assert.deepInclude((yield* Fiber.join(fiber)).reason, { _tag: "Unavailable", problem: "Timeout" })
      })))
})

describe("instants beyond all calendars", () => {
  for (
    const [name, claims, date] of [
      ["a Date", {}, "Sat, 13 Sep 275760 00:00:00 GMT"],
      ["an iat", { iat: 8_640_000_000_000 }, undefined],
      ["an auth_time", { auth_time: 8_640_000_000_000 }, undefined],
      ["an exp", { exp: 8_640_000_000_001 }, undefined]
    ] as const
  ) {
    it.effect(`are not believed: ${name}`, () =>
      Effect.gen(function*() {
        const session = yield* signIn(
          json(
            { session: { accessToken: jwt(claims), refreshToken: "r" } },
            date === undefined ? {} : { headers: { date } }
          )
        )

        assert.strictEqual(DateTime.toEpochMillis(session.expiresAt), now + 3_600_000)
        assert.strictEqual(DateTime.toEpochMillis(session.authenticatedAt), now)
      }))
  }
})

describe("clocks", () => {
  const hours = (n: number) => n * 3_600_000

  for (const skew of [hours(-24), -1500, 0, 400, 1500, hours(24)]) {
    it.effect(`counts the life from the sending when the authority is ${skew} ms ahead`, () =>
      Effect.gen(function*() {
        const issued = Math.floor((now + skew) / 1000)
        const token = jwt({ iat: issued, exp: issued + 3600 })
        const session = yield* signIn(json({ session: { accessToken: token } }))
        const life = Duration.toMillis(Session.remaining(session, DateTime.makeUnsafe(now)))

        // By the authority's clock it is over at `expiresAt`; it must not count as alive then.
        const trueLife = (issued + 3600) * 1000 - (now + skew)
        assert.isAtMost(life, skew === 400 ? trueLife + 1000 : trueLife)
        assert.isAtLeast(life, trueLife - 1000)
      }))
  }
})

describe("refresh", () => {
  const refreshed = (fields: object) =>
    Effect.gen(function*() {
      const before = yield* session
      return yield* against(
        () => json({ ...answer, session: { ...answer.session, ...fields } }),
        (endpoint) => endpoint.refresh(before)
      )
    })

  it.effect("is of the same sign-in, whatever the answer says of when that was", () =>
    Effect.gen(function*() {
      const later = jwt({ iat: now / 1000, exp: now / 1000 + 3600, auth_time: now / 1000 + 60 })

      assert.strictEqual(DateTime.toEpochMillis((yield* refreshed({ accessToken: later })).authenticatedAt), now)
    }))

  it.effect("sends both tokens to the session's endpoint", () =>
    Effect.gen(function*() {
      const before = yield* session
      yield* against(() => json(answer), (endpoint) =>
        Effect.gen(function*() {
          yield* endpoint.refresh(before)

          const [request] = yield* received
          assert.strictEqual(request?.url.href, "https://tenant.example/v1/auth/token")
          assert.deepStrictEqual(JSON.parse(request?.body ?? ""), {
            session: { refreshToken: "refresh-canary", accessToken }
          })
        }))
    }))

  for (
    const [name, refreshToken, expected] of [
      ["the same", "refresh-canary", "refresh-canary"],
      ["a new", "another", "another"],
      ["an empty", "", "refresh-canary"],
      ["no", undefined, "refresh-canary"],
      ["an unreadable", null, "refresh-canary"]
    ] as const
  ) {
    it.effect(`holds the right refresh token after an answer with ${name} one`, () =>
      Effect.gen(function*() {
        const after = yield* refreshed({ refreshToken })

        assert.strictEqual(after.refreshToken && Redacted.value(after.refreshToken), expected)
        assert.strictEqual(after.generation, 2)
      }))
  }

  it.effect("keeps what the answer does not repeat", () =>
    Effect.gen(function*() {
      const before = yield* session
      const after = yield* against(
        () => json({ session: { accessToken: "opaque" } }),
        (endpoint) => endpoint.refresh(before)
      )

      assert.deepStrictEqual(
        Object.keys(after).sort(),
        Object.keys(before).sort()
      )
      assert.strictEqual(DateTime.toEpochMillis(after.authenticatedAt), DateTime.toEpochMillis(before.authenticatedAt))
      assert.strictEqual(after.email, "ada@example.com")
    }))

  it.effect("hides the tokens when the authority repeats them", () =>
    Effect.gen(function*() {
      const before = yield* session
      const error = yield* Effect.flip(against(
        () => json({ status: "error", message: `bad refresh-canary for ${accessToken}` }, { status: 401 }),
        (endpoint) => endpoint.refresh(before)
      ))

      assert.deepInclude(error.reason, { _tag: "Unauthorized", message: "bad <redacted> for <redacted>" })
      assertNoCanary(error)
    }))

  it.effect("gives up after 10 seconds", () =>
    Effect.gen(function*() {
      const before = yield* session
      yield* against(() => Effect.never, (endpoint) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Effect.flip(endpoint.refresh(before)), { startImmediately: true })
          yield* TestClock.adjust("10 seconds")

          assert.deepInclude((yield* Fiber.join(fiber)).reason, { problem: "Timeout" })
        }))
    }))
})

describe("expire", () => {
  it.effect("sends the session with its token in the header", () =>
    Effect.gen(function*() {
      const before = yield* session
      yield* against(
        () => json({ ...answer, session: { ...answer.session, accessToken: "", authorization: "" } }),
        (endpoint) =>
          Effect.gen(function*() {
            yield* endpoint.expire(before)

            const [request] = yield* received
            assert.strictEqual(request?.method, "DELETE")
            assert.strictEqual(request?.headers["accesstoken"], accessToken)
            assert.deepStrictEqual(JSON.parse(request?.body ?? ""), {
              endpointUrl: "https://tenant.example/v1",
              clientId: "client",
              userPoolId: "us-east-1_pool",
              username: "ada",
              session: { authorization: answer.session.authorization, accessToken, refreshToken: "refresh-canary" }
            })
          })
      )
    }))

  it.effect("fails with what the authority says", () =>
    Effect.gen(function*() {
      const before = yield* session
      const error = yield* Effect.flip(against(
        () => json({ status: "error", message: "Failed to Expire Session and Logout 1" }, { status: 401 }),
        (endpoint) => endpoint.expire(before)
      ))

      assert.deepInclude(error.reason, { message: "Failed to Expire Session and Logout 1" })
    }))
})
