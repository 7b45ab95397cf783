import { RefreshPolicy, TenovosApi, TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { Authority, AuthorityServer } from "@effect-tenovos/server"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"

const apiKey = Redacted.make("an-api-key")
const password = Redacted.make("correct horse")

/** An authority on a free port of loopback, with one user. It follows the test's clock. */
const Server = Layer.effectDiscard(Effect.gen(function*() {
  const authority = yield* Authority.Authority
  yield* authority.addApiKey(apiKey)
  yield* authority.addUser({ username: "ada", password, email: "ada@example.com" })
})).pipe(Layer.provideMerge(AuthorityServer.layerNode({ port: 0 })))

const once = RefreshPolicy.withRetry(RefreshPolicy.standard, Schedule.recurs(0))

const transports = {
  fetch: FetchHttpClient.layer,
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layerNodeHttp
}

for (const [name, Transport] of Object.entries(transports)) {
  describe(`over a real socket, through ${name}`, () => {
    const provideAll = (options?: Partial<TenovosAuth.Options>) =>
      Effect.provide(
        Layer.unwrap(
          Effect.map(AuthorityServer.AuthorityServer, ({ endpointUrl }) =>
            TenovosClient.layer.pipe(
              Layer.provideMerge(TenovosAuth.layer({ endpointUrl, apiKey, username: "ada", password, ...options }))
            ))
        ).pipe(Layer.provideMerge(Server), Layer.provideMerge(Transport))
      )

    it.effect("a program signs in, calls, refreshes and signs out", () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(Date.UTC(2026, 0, 1))
        const auth = yield* TenovosAuth.TenovosAuth
        const client = yield* TenovosClient.TenovosClient
        const { endpointUrl } = yield* AuthorityServer.AuthorityServer

        const responses = yield* Effect.replicateEffect(client.get("/security/template"), 50, {
          concurrency: "unbounded"
        })
        const first = yield* auth.session
        assert.deepStrictEqual(new Set(responses.map((response) => response.status)), new Set([200]))
        assert.strictEqual(first.generation, 1)
        assert.strictEqual(first.endpointUrl, endpointUrl)
        assert.strictEqual(first.username, "ada")
        assert.strictEqual(first.email, "ada@example.com")
        assert.strictEqual(Duration.toMillis(DateTime.distance(first.issuedAt, first.expiresAt)), 3_600_000)
        assert.strictEqual(Duration.toMillis(first.clockOffset), 0)

        yield* TestClock.adjust("1 hour")
        assert.strictEqual((yield* client.get("/security/template")).status, 200)
        const second = yield* auth.session
        assert.strictEqual(second.generation, 2)
        assert.strictEqual(
          DateTime.toEpochMillis(second.authenticatedAt),
          DateTime.toEpochMillis(first.authenticatedAt)
        )
        assert.notStrictEqual(Redacted.value(second.accessToken), Redacted.value(first.accessToken))

        const headers = { ...yield* auth.headers }
        assert.strictEqual((yield* auth.signOut)._tag, "Expired")
        const plain = yield* HttpClient.HttpClient
        assert.strictEqual((yield* plain.get(`${endpointUrl}/security/template`, { headers })).status, 401)
      }).pipe(provideAll()))

    it.effect("a wrong password is a typed 401, and a wrong API key a typed 403", () =>
      Effect.gen(function*() {
        const attempt = (options: Partial<TenovosAuth.Options>) =>
          Effect.flip(TenovosAuth.TenovosAuth.use((auth) => auth.session)).pipe(provideAll(options))

        assert.deepInclude((yield* attempt({ password: Redacted.make("wrong") })).reason, {
          _tag: "Unauthorized",
          message: "Invalid Authentication Parameters"
        })
        assert.deepInclude((yield* attempt({ apiKey: Redacted.make("wrong") })).reason, {
          _tag: "Forbidden",
          message: "Forbidden"
        })
      }))

    it.effect("an authority that is not there is unavailable", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(TenovosAuth.TenovosAuth.use((auth) => auth.session))

        assert.deepInclude(error.reason, { _tag: "Unavailable", problem: "Transport" })
      }).pipe(provideAll({ endpointUrl: "http://127.0.0.1:1/v1", policy: once })))
  })
}

describe("clients derived from the contract", () => {
  it.effect("sign in, and know the errors by their class", () =>
    Effect.gen(function*() {
      const { endpointUrl } = yield* AuthorityServer.AuthorityServer
      const contract = yield* HttpApiClient.make(TenovosApi.TenovosApi, { baseUrl: endpointUrl }).pipe(
        Effect.provide(TenovosApi.layerApiKey(apiKey))
      )
      const answer = yield* contract.authorization.authorize({ payload: { username: "ada", password } })
      assert.strictEqual(answer.endpointUrl, endpointUrl)

      const refused = yield* Effect.flip(
        contract.authorization.authorize({ payload: { username: "ada", password: Redacted.make("wrong") } })
      )
      assert.instanceOf(refused, TenovosApi.Unauthorized)
    }).pipe(Effect.provide(Layer.merge(Server, FetchHttpClient.layer))))
})
