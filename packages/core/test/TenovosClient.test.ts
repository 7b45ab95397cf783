import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest } from "effect/http"
import { HttpApi, HttpApiClient, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { createServer, type IncomingHttpHeaders } from "node:http"

const options: TenovosAuth.Options = {
  endpointUrl: "https://api.example/v1",
  apiKey: Redacted.make("key"),
  username: "ada",
  password: Redacted.make("secret")
}

const issue = (endpointUrl: string, index: number) =>
  Effect.map(Clock.currentTimeMillis, (now) =>
    Response.json({
      endpointUrl,
      session: {
        authorization: `id-${index}`,
        accessToken: `access-${index}`,
        refreshToken: "r",
        expireEpoch: now + 3_600_000
      }
    }))

const script: ScriptedAuthority.Script = (request, index) =>
  request.url.pathname.endsWith("/auth/token")
    ? issue("https://tenant.example/v1/", index)
    : Effect.succeed(Response.json({ ok: true }))

const scripted = Effect.provide(
  TenovosClient.layer.pipe(
    Layer.provideMerge(TenovosAuth.layer(options)),
    Layer.provideMerge(ScriptedAuthority.layer(script))
  )
)

const lastReceived = Effect.map(
  ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received),
  (all) => {
    const last = all.at(-1)
    assert.isDefined(last)
    return last
  }
)

const secrets = (headers: Readonly<Record<string, unknown>> | IncomingHttpHeaders) => ({
  "x-api-key": headers["x-api-key"],
  accesstoken: headers["accesstoken"],
  authorization: headers["authorization"]
})

const none = { "x-api-key": undefined, accesstoken: undefined, authorization: undefined }

describe("TenovosClient", () => {
  it.effect("sends the three headers, to the session's endpoint, and keeps the rest of the request", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient
      const response = yield* client.post("/search/keyword", {
        urlParams: { page: "2" },
        headers: { "x-mine": "1" }
      })
      const received = yield* lastReceived

      assert.deepStrictEqual(yield* response.json, { ok: true })
      assert.strictEqual(received.url.href, "https://tenant.example/v1/search/keyword?page=2")
      assert.strictEqual(received.headers["x-mine"], "1")
      assert.deepStrictEqual(secrets(received.headers), {
        "x-api-key": "key",
        accesstoken: "access-0",
        authorization: "id-0"
      })
    }).pipe(scripted))

  it.effect("sends the headers of the session of that moment", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient
      yield* client.get("/asset/1")
      yield* TestClock.adjust("1 hour")
      yield* client.get("/asset/1")

      assert.strictEqual((yield* lastReceived).headers["accesstoken"], "access-2")
    }).pipe(scripted))

  it.effect("goes by the endpoint of the session whose headers it sends, also when a renewal changes it", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient
      const call = client.get("/asset/1")
      for (let hour = 0; hour < 3; hour++) {
        yield* call
        yield* TestClock.adjust("59 minutes")
        // In the advisory window: this one is served the old session, and the next one the new.
        yield* call
        yield* call
      }

      const received = yield* ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received)
      for (const { headers, url } of received.filter((request) => request.url.pathname === "/asset/1")) {
        assert.strictEqual(headers["accesstoken"]?.replace("access-", ""), url.hostname.match(/\d+/)?.[0])
      }
    }).pipe(Effect.provide(
      TenovosClient.layer.pipe(
        Layer.provideMerge(TenovosAuth.layer(options)),
        Layer.provideMerge(ScriptedAuthority.layer((request, index) =>
          request.url.pathname.endsWith("/auth/token")
            ? issue(`https://tenant${index}.example`, index)
            : Effect.succeed(Response.json({}))
        ))
      )
    )))

  for (
    const [url, own] of [
      ["https://tenant.example/other", true],
      ["HTTPS://TENANT.EXAMPLE/v2", true],
      ["//evil.example/x", true],
      ["/asset/urn:uuid:1", true],
      ["https://tenant.example.evil.example/v1", false],
      ["https://tenant.example:8443/v1", false],
      ["http://tenant.example/v1", false],
      ["https://tenant.example@evil.example/v1", false],
      ["https://elsewhere.example/asset", false]
    ] as const
  ) {
    it.effect(`${own ? "authorises" : "leaves alone"} a request to ${url}`, () =>
      Effect.gen(function*() {
        const client = yield* TenovosClient.TenovosClient
        yield* client.get(url)
        const received = yield* lastReceived

        assert.deepStrictEqual(
          secrets(received.headers),
          own ? { "x-api-key": "key", accesstoken: "access-0", authorization: "id-0" } : none
        )
        assert.strictEqual(received.url.origin === "https://tenant.example", own)
      }).pipe(scripted))
  }

  it.effect("sends no trace header", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient
      yield* client.get("/asset/1")

      for (const { headers } of yield* ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received)) {
        assert.doesNotHaveAnyKeys(headers, ["traceparent", "b3"])
      }
    }).pipe(Effect.withSpan("program"), scripted))

  it.effect("sends trace headers to the API where that is asked for, and never to the token endpoint", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient
      const span = yield* Effect.currentSpan
      yield* client.get("/asset/1")
      const [token, asset] = yield* ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received)

      assert.doesNotHaveAnyKeys(token?.headers, ["traceparent", "b3"])
      assert.include(asset?.headers["traceparent"], span.traceId)
      assert.strictEqual(asset?.headers["accesstoken"], "access-0")
    }).pipe(
      Effect.withSpan("program"),
      Effect.provideService(TenovosClient.TracePropagation, true),
      scripted
    ))

  it.effect("serves a client that is derived from an HttpApi", () =>
    Effect.gen(function*() {
      const Api = HttpApi.make("assets").add(
        HttpApiGroup.make("assets").add(
          HttpApiEndpoint.get("find", "/asset/:id", {
            params: { id: Schema.String },
            success: Schema.Struct({ ok: Schema.Boolean })
          })
        )
      )
      const httpClient = yield* TenovosClient.TenovosClient
      const client = yield* HttpApiClient.makeWith(Api, { httpClient })

      assert.deepStrictEqual(yield* client.assets.find({ params: { id: "7" } }), { ok: true })
      assert.strictEqual((yield* lastReceived).url.pathname, "/v1/asset/7")
    }).pipe(scripted))

  it.effect("authorises a client of one's own, after what it maps itself", () =>
    Effect.gen(function*() {
      const own = (yield* HttpClient.HttpClient).pipe(
        HttpClient.mapRequest(HttpClientRequest.setHeader("accesstoken", "stale"))
      )
      const client = yield* TenovosClient.authorize(own)
      yield* client.get("/asset/1")

      assert.strictEqual((yield* lastReceived).headers["accesstoken"], "access-0")
    }).pipe(scripted))
})

describe("a 401", () => {
  /** The API accepts the tokens that `accepts` does. */
  const provideApi = (accepts: (token: string) => boolean) =>
    Effect.provide(
      TenovosClient.layer.pipe(
        Layer.provideMerge(TenovosAuth.layer(options)),
        Layer.provideMerge(ScriptedAuthority.layer((request, index) =>
          request.url.pathname.endsWith("/auth/token")
            ? issue("https://tenant.example/v1/", index)
            : Effect.succeed(
              accepts(request.headers["accesstoken"] ?? "")
                ? Response.json({ body: request.body })
                : Response.json({ message: "Unauthorized" }, { status: 401 })
            )
        ))
      )
    )

  const paths = Effect.map(
    ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received),
    (all) => all.map((request) => `${request.url.pathname} ${request.headers["accesstoken"] ?? ""}`.trim())
  )

  it.effect("renews the session, and sends the request once more", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient
      const response = yield* client.post("/search/keyword", { body: HttpBody.jsonUnsafe({ q: "autumn" }) })

      assert.strictEqual(response.status, 200)
      assert.deepStrictEqual(yield* response.json, { body: "{\"q\":\"autumn\"}" })
      assert.deepStrictEqual(yield* paths, [
        "/v1/auth/token",
        "/v1/search/keyword access-0",
        "/v1/auth/token",
        "/v1/search/keyword access-2"
      ])
    }).pipe(provideApi((token) => token !== "access-0")))

  it.effect("comes back when the new token is refused as well: there is one replay", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient

      assert.strictEqual((yield* client.get("/asset/1")).status, 401)
      assert.deepStrictEqual(yield* paths, [
        "/v1/auth/token",
        "/v1/asset/1 access-0",
        "/v1/auth/token",
        "/v1/asset/1 access-2"
      ])
    }).pipe(provideApi(() => false)))

  it.effect("causes one renewal when it comes to many at once, and none when the token was an older one", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient
      const auth = yield* TenovosAuth.TenovosAuth
      const first = yield* auth.session
      const statuses = yield* Effect.replicateEffect(
        Effect.map(client.get("/asset/1"), (response) => response.status),
        50,
        { concurrency: "unbounded" }
      )
      yield* auth.invalidate(first)
      yield* client.get("/asset/1")

      assert.deepStrictEqual(new Set(statuses), new Set([200]))
      assert.lengthOf((yield* paths).filter((path) => path.startsWith("/v1/auth/token")), 2)
    }).pipe(provideApi((token) => token !== "access-0")))

  it.effect("fails with NotReplayable where the body can be read once only; the next request goes through", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient
      const upload = client.post("/asset", {
        body: HttpBody.stream(Stream.succeed(new TextEncoder().encode("bytes")), "application/octet-stream")
      })
      const error = yield* Effect.flip(upload)

      assert.strictEqual(error._tag === "AuthError" && error.reason._tag, "NotReplayable")
      assert.strictEqual((yield* upload).status, 200)
    }).pipe(provideApi((token) => token !== "access-0")))

  const bytes = new TextEncoder().encode("bytes")
  for (
    const [kind, body, replayed] of [
      ["a form", HttpBody.formData(new FormData()), true],
      ["text of the transport's", HttpBody.raw("text"), true],
      ["bytes of the transport's", HttpBody.raw(bytes), true],
      ["a buffer of the transport's", HttpBody.raw(bytes.buffer), true],
      ["what only the transport knows", HttpBody.raw(new Blob([bytes]).stream()), false]
    ] as const
  ) {
    it.effect(`${replayed ? "is followed by a replay of" : "is not followed by a replay of"} ${kind}`, () =>
      Effect.gen(function*() {
        const client = yield* TenovosClient.TenovosClient
        const outcome = yield* Effect.match(client.post("/asset", { body }), {
          onFailure: (error) => error._tag === "AuthError" ? error.reason._tag : error._tag,
          onSuccess: ({ status }) => status
        })

        assert.strictEqual(outcome, replayed ? 200 : "NotReplayable")
      }).pipe(provideApi((token) => token !== "access-0")))
  }

  it.effect("comes back where there is no other session to be had", () =>
    Effect.gen(function*() {
      const { serve, session } = yield* TenovosAuth.TenovosAuth
      const served = yield* serve()
      const client = yield* Effect.flatMap(HttpClient.HttpClient, TenovosClient.authorize).pipe(
        Effect.provideService(TenovosAuth.TenovosAuth, {
          ...yield* TenovosAuth.TenovosAuth,
          serve: () => Effect.succeed(served)
        })
      )

      assert.strictEqual((yield* client.get("/asset/1")).status, 401)
      assert.deepStrictEqual(yield* paths, ["/v1/auth/token", "/v1/asset/1 access-0"])
      assert.notStrictEqual(yield* session, served.session)
    }).pipe(provideApi(() => false)))

  it.effect("is told apart from a 403, which renews nothing", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient

      assert.strictEqual((yield* client.get("/asset/1")).status, 403)
      assert.lengthOf(yield* paths, 2)
    }).pipe(Effect.provide(
      TenovosClient.layer.pipe(
        Layer.provideMerge(TenovosAuth.layer(options)),
        Layer.provideMerge(ScriptedAuthority.layer((request, index) =>
          request.url.pathname.endsWith("/auth/token")
            ? issue("https://tenant.example/v1/", index)
            : Effect.succeed(Response.json({ message: "Forbidden" }, { status: 403 }))
        ))
      )
    )))

  it.effect("of another origin is not ours", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient

      assert.strictEqual((yield* client.get("https://elsewhere.example/x")).status, 401)
      assert.lengthOf(yield* paths, 2)
    }).pipe(provideApi(() => false)))
})

describe("per request", () => {
  it.effect("headers can be left out", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient
      yield* TenovosClient.withoutAuthorization(client.get("https://tenant.example/v1/public"))

      assert.deepStrictEqual(secrets((yield* lastReceived).headers), none)
      assert.lengthOf(yield* ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received), 1)
    }).pipe(scripted))

  it.effect("a session can be asked for that lives on for long enough", () =>
    Effect.gen(function*() {
      const client = yield* TenovosClient.TenovosClient
      yield* client.get("/asset/1")
      yield* TestClock.adjust("30 minutes")
      yield* client.post("/asset").pipe(TenovosClient.withMinimumLife("20 minutes"))
      assert.strictEqual((yield* lastReceived).headers["accesstoken"], "access-0")

      yield* client.post("/asset").pipe(TenovosClient.withMinimumLife("40 minutes"))
      assert.strictEqual((yield* lastReceived).headers["accesstoken"], "access-3")
    }).pipe(scripted))
})

describe("redirects over a real socket", () => {
  /** Answers by the function, at a free port of loopback, and tells what came. */
  const serve = (
    answer: (path: string) => { readonly status: number; readonly location?: string; readonly body?: string }
  ) =>
    Effect.acquireRelease(
      Effect.callback<
        { readonly url: string; readonly seen: Array<[string, IncomingHttpHeaders]>; readonly close: () => void }
      >(
        (resume) => {
          const seen: Array<[string, IncomingHttpHeaders]> = []
          const server = createServer((request, response) => {
            seen.push([request.url ?? "", request.headers])
            const { body, location, status } = answer(request.url ?? "")
            response.writeHead(status, location === undefined ? {} : { location }).end(body)
          })
          server.listen(0, "127.0.0.1", () => {
            const address = server.address()
            const port = typeof address === "object" ? address?.port : undefined
            const close = () => {
              server.closeAllConnections()
              server.close()
            }
            resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, seen, close }))
          })
        }
      ),
      ({ close }) => Effect.sync(close)
    )

  it.live("takes the headers along within the origin, and not to another", () =>
    Effect.gen(function*() {
      const elsewhere = yield* serve(() => ({ status: 200, body: "elsewhere" }))
      const api = yield* serve((path) => {
        switch (path) {
          case "/v1/auth/token":
            return {
              status: 200,
              body: JSON.stringify({ session: { accessToken: "access", authorization: "id", refreshToken: "r" } })
            }
          case "/v1/moved":
            return { status: 307, location: "/v1/here" }
          case "/v1/away":
            return { status: 302, location: `${elsewhere.url}/asset` }
          default:
            return { status: 200, body: "here" }
        }
      })
      yield* Effect.gen(function*() {
        const client = yield* TenovosClient.TenovosClient

        assert.strictEqual(yield* Effect.flatMap(client.get("/moved"), (response) => response.text), "here")
        assert.strictEqual(yield* Effect.flatMap(client.get("/away"), (response) => response.text), "elsewhere")

        const paths = api.seen.map(([path]) => path)
        assert.deepStrictEqual(paths, ["/v1/auth/token", "/v1/moved", "/v1/here", "/v1/away"])
        for (const [, headers] of api.seen.slice(1)) {
          assert.deepStrictEqual(secrets(headers), { "x-api-key": "key", accesstoken: "access", authorization: "id" })
        }
        assert.deepStrictEqual(elsewhere.seen.map(([, headers]) => secrets(headers)), [none])
      }).pipe(Effect.provide(
        TenovosClient.layer.pipe(
          Layer.provide(TenovosAuth.layer({ ...options, endpointUrl: `${api.url}/v1` })),
          Layer.provide(FetchHttpClient.layer)
        )
      ))
    }))

  it.live("never sends credentials after a redirect", () =>
    Effect.gen(function*() {
      const elsewhere = yield* serve(() => ({ status: 200, body: "{}" }))
      const api = yield* serve(() => ({ status: 307, location: `${elsewhere.url}/auth/token` }))
      const error = yield* Effect.flip(TenovosAuth.TenovosAuth.use((auth) => auth.session)).pipe(Effect.provide(
        TenovosAuth.layer({ ...options, endpointUrl: api.url }).pipe(Layer.provide(FetchHttpClient.layer))
      ))

      assert.deepInclude(error.reason, { _tag: "InvalidResponse", status: 307 })
      assert.deepStrictEqual(elsewhere.seen, [])
    }))
})
