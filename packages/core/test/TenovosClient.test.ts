import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { HttpApi, HttpApiClient, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import { createServer, type IncomingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"

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

  for (
    const [url, own] of [
      ["https://tenant.example/other", true],
      ["HTTPS://TENANT.EXAMPLE/v2", true],
      ["//evil.example/x", true],
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
            const { port } = server.address() as AddressInfo
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
