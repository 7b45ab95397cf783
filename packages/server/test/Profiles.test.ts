import { Authority } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { HttpClient } from "effect/http/HttpClient"
import { readFileSync } from "node:fs"
import * as fixtures from "./fixtures/authority.ts"

const { call, expire, password, sample, signIn, token, username } = fixtures

const page = new URL("../../../docs/authority-profiles.md", import.meta.url)

/** Each row of the page names one test, in its last column. */
const listed = Array.from(
  readFileSync(page, "utf8").matchAll(/^\|.*\| `([^`|]+)` \|$/gm),
  ([, title]) => title
)

const titles: Array<string> = []

/** The same requests to either, and what each answers. */
const difference = <A>(
  title: string,
  requests: Effect.Effect<A, unknown, HttpClient | Authority.Authority>,
  expected: { readonly safe: A; readonly strict: A }
) => {
  titles.push(title)
  it.effect(title, () =>
    Effect.gen(function*() {
      const safe = yield* Effect.provide(requests, fixtures.layer())
      const strict = yield* Effect.provide(requests, fixtures.layer({ profile: "strict" }))

      assert.deepStrictEqual({ safe, strict }, expected)
      assert.notDeepEqual(safe, strict)
    }))
}

const answer = (body: unknown) => Effect.map(token(body), ({ body, status }) => [status, body] as const)

const error = (status: number, message: string) => [status, { status: "error", message }] as const

const parameters = "Invalid Authentication Parameters"

const ended = [200, "emptied"] as const

describe("the strict profile", () => {
  difference("tells who exists", answer({ username: "nobody", password }), {
    safe: error(401, parameters),
    strict: error(401, "User does not exist.")
  })

  difference(
    "tells a wrong password from a wrong user",
    Effect.all([answer({ username, password: "wrong" }), answer({ username: "nobody", password: "wrong" })]),
    {
      safe: [error(401, parameters), error(401, parameters)],
      strict: [error(401, "Incorrect username or password."), error(401, "User does not exist.")]
    }
  )

  difference("misses an empty password", answer({ username, password: "" }), {
    safe: error(401, parameters),
    strict: error(401, "Missing required parameter PASSWORD")
  })

  const user = { tenant: fixtures.tenant, username }

  difference(
    "tells a lock",
    Effect.gen(function*() {
      yield* Effect.replicateEffect(token({ username, password: "wrong" }), 5)
      return yield* answer({ username, password })
    }),
    { safe: error(401, parameters), strict: error(401, "Password attempts exceeded") }
  )

  difference(
    "tells who is disabled",
    Effect.gen(function*() {
      yield* (yield* Authority.Authority).setDisabled(user, true)
      return yield* answer({ username, password })
    }),
    { safe: error(401, parameters), strict: error(401, "User is disabled.") }
  )

  difference(
    "takes a password that is too long for a wrong one",
    Effect.gen(function*() {
      const attempt = (username: string) => answer({ username, password: "x".repeat(257) })
      const answers = [yield* attempt("nobody")]
      for (let i = 0; i < 6; i++) answers.push(yield* attempt(username))
      yield* (yield* Authority.Authority).setDisabled({ ...user, username: "bob" }, true)
      return [...answers, yield* attempt("bob")]
    }),
    {
      safe: Array.from({ length: 8 }, () => error(401, parameters)),
      strict: [
        error(401, "User does not exist."),
        ...Array.from({ length: 5 }, () => error(401, "Incorrect username or password.")),
        error(401, "Password attempts exceeded"),
        error(401, "User is disabled.")
      ]
    }
  )

  difference("misses a password that isn't there", answer({ username }), {
    safe: error(400, parameters),
    strict: error(401, "Missing required parameter PASSWORD")
  })

  difference(
    "falls over an expiry without client or pool",
    Effect.gen(function*() {
      const { clientId, userPoolId, ...rest } = yield* signIn
      const headers = { AccessToken: rest.session.accessToken }
      return yield* Effect.forEach(
        [
          { ...rest, userPoolId },
          { ...rest, clientId },
          { ...rest, userPoolId, clientId: "" },
          { ...rest, userPoolId: 1, clientId },
          { ...rest, userPoolId, clientId }
        ],
        (body) =>
          Effect.map(
            call("DELETE", "/v1/auth/token", { headers, body }),
            ({ body, status }) => [status, status === 200 ? "emptied" : body] as const
          )
      )
    }),
    {
      safe: [...Array.from({ length: 4 }, () => error(400, parameters)), ended],
      strict: [...Array.from({ length: 4 }, () => [502, { message: "Internal server error" }] as const), ended]
    }
  )

  difference(
    "expires the access token alone",
    Effect.gen(function*() {
      const first = yield* signIn
      const second = yield* fixtures.refresh(first)
      const statuses: Array<number> = []
      const look = Effect.fnUntraced(
        function*(answer: Effect.Effect<{ readonly status: number }, unknown, HttpClient>) {
          statuses.push((yield* answer).status)
        }
      )
      yield* look(expire(first))
      yield* look(sample(first))
      // Each of the ended two with a good one.
      yield* look(sample({ ...first, session: { ...first.session, accessToken: second.session.accessToken } }))
      yield* look(sample({ ...first, session: { ...first.session, authorization: second.session.authorization } }))
      yield* look(expire(first))
      yield* look(sample(second))
      yield* look(token(first))
      return statuses
    }),
    {
      safe: [200, 401, 401, 401, 401, 401, 401],
      strict: [200, 401, 401, 401, 401, 200, 200]
    }
  )

  difference(
    "repeats the password of an expiry",
    Effect.gen(function*() {
      const issued = yield* signIn
      const { body } = yield* expire({ ...issued, password: "sent by mistake" })
      return body !== null && typeof body === "object" && "password" in body ? body.password : undefined
    }),
    { safe: "", strict: "sent by mistake" }
  )

  it("differs from the safe one where the page says so, and nowhere else", () => {
    assert.isAbove(listed.length, 0)
    assert.deepStrictEqual(listed, titles)
  })
})
