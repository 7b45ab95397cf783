import { AuthorityServer, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { mkdtempSync } from "node:fs"
import { Agent, get } from "node:http"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as fixtures from "./fixtures/authority.ts"

const newFile = () => join(mkdtempSync(join(tmpdir(), "authority-")), "authority.sqlite")

/** What a program without this library does: `fetch`, and JSON. */
const plain = async (url: string, method: string, headers: Record<string, string>, body?: unknown) => {
  const response = await fetch(url, {
    method,
    headers: { "X-API-Key": fixtures.apiKey, "Content-Type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  return { status: response.status, body: await response.json() }
}

const credentials = { username: fixtures.username, password: fixtures.password }

describe("layerNode", () => {
  it.effect("serves a plain fetch client: sign in, refresh in both forms, call, expire", () =>
    Effect.gen(function*() {
      const { endpointUrl, origin } = yield* AuthorityServer.AuthorityServer

      yield* Effect.promise(async () => {
        const first = await plain(`${endpointUrl}/auth/token`, "POST", {}, credentials)
        assert.strictEqual(first.status, 200)
        assert.strictEqual(first.body.endpointUrl, endpointUrl)
        const { accessToken, refreshToken } = first.body.session
        const short = await plain(`${endpointUrl}/auth/token`, "POST", {}, { session: { refreshToken, accessToken } })
        assert.strictEqual(short.status, 200)
        const long = await plain(`${endpointUrl}/auth/token`, "POST", {}, short.body)
        assert.strictEqual(long.status, 200)

        const { session } = long.body
        const tokens = { AccessToken: session.accessToken, Authorization: session.authorization }
        const templates = await plain(`${long.body.endpointUrl}/security/template`, "GET", tokens)
        assert.strictEqual(templates.status, 200)
        const search = await plain(`${endpointUrl}/search/keyword`, "POST", tokens, { keyword: "x" })
        assert.strictEqual(search.status, 200)

        const ended = await plain(
          `${endpointUrl}/auth/token`,
          "DELETE",
          { AccessToken: session.accessToken },
          long.body
        )
        assert.deepStrictEqual([ended.status, ended.body.session.accessToken], [200, ""])
        const after = await plain(`${endpointUrl}/security/template`, "GET", tokens)
        assert.deepStrictEqual([after.status, after.body], [401, { message: "Unauthorized" }])
        const health = await plain(`${origin}/health`, "GET", {})
        assert.deepStrictEqual(health.body, { status: "ok" })
      })
    }).pipe(Effect.provide(fixtures.layerNode())))

  it.effect("says where it is bound, and announces another address when told to", () =>
    Effect.gen(function*() {
      const server = yield* AuthorityServer.AuthorityServer

      const { body } = yield* Effect.promise(() => plain(`${server.origin}/v1/auth/token`, "POST", {}, credentials))

      assert.match(server.origin, /^http:\/\/127\.0\.0\.1:[1-9]\d*$/)
      assert.strictEqual(server.endpointUrl, "https://tenovos.example/v1")
      assert.strictEqual(body.endpointUrl, "https://tenovos.example/v1")
    }).pipe(Effect.provide(fixtures.layerNode({ endpointUrl: "https://tenovos.example/v1" }))))

  it.effect("moves with the test clock", () =>
    Effect.gen(function*() {
      const { endpointUrl } = yield* AuthorityServer.AuthorityServer
      const { body } = yield* Effect.promise(() => plain(`${endpointUrl}/auth/token`, "POST", {}, credentials))
      const tokens = { AccessToken: body.session.accessToken, Authorization: body.session.authorization }
      yield* TestClock.adjust("1 hour")

      const { status } = yield* Effect.promise(() => plain(`${endpointUrl}/security/template`, "GET", tokens))

      assert.strictEqual(status, 401)
    }).pipe(Effect.provide(fixtures.layerNode())))

  it.effect("keeps keys, installation, users and sessions in its file", () =>
    Effect.gen(function*() {
      const database = newFile()
      const options = { database, port: 0 }
      const before = yield* Effect.gen(function*() {
        yield* Seed.apply(fixtures.seed)
        const { endpointUrl } = yield* AuthorityServer.AuthorityServer
        return yield* Effect.promise(() => plain(`${endpointUrl}/auth/token`, "POST", {}, credentials))
      }).pipe(Effect.provide(AuthorityServer.layerNode(options)))

      yield* Effect.gen(function*() {
        const { endpointUrl } = yield* AuthorityServer.AuthorityServer
        yield* Effect.promise(async () => {
          const { session } = before.body
          const tokens = { AccessToken: session.accessToken, Authorization: session.authorization }
          const called = await plain(`${endpointUrl}/security/template`, "GET", tokens)
          const refreshed = await plain(`${endpointUrl}/auth/token`, "POST", {}, before.body)
          const signedIn = await plain(`${endpointUrl}/auth/token`, "POST", {}, credentials)

          assert.deepStrictEqual([called.status, refreshed.status, signedIn.status], [200, 200, 200])
          assert.deepStrictEqual(
            [refreshed.body.clientId, refreshed.body.userPoolId],
            [before.body.clientId, before.body.userPoolId]
          )
        })
      }).pipe(Effect.provide(Layer.fresh(AuthorityServer.layerNode(options))))
    }))

  it.effect("starts on a database that it knows without writing to it", () =>
    Effect.gen(function*() {
      const database = newFile()
      const start = Effect.scoped(
        Layer.build(Layer.fresh(AuthorityServer.layerAuthority({ database, keys: fixtures.keys })))
      )
      yield* start
      const other = new DatabaseSync(database)
      // Nobody else can write now.
      other.exec("BEGIN IMMEDIATE")

      yield* start

      other.close()
    }))

  it.effect("answers others while a sign-in waits for another process's lock", () =>
    Effect.gen(function*() {
      const database = newFile()
      yield* Effect.gen(function*() {
        const { endpointUrl, origin } = yield* AuthorityServer.AuthorityServer
        const other = new DatabaseSync(database)
        other.exec("BEGIN EXCLUSIVE")

        yield* Effect.promise(async () => {
          let isSignedIn = false
          const signIns = Promise.all(
            Array.from({ length: 5 }, () => plain(`${endpointUrl}/auth/token`, "POST", {}, credentials))
          ).finally(() => isSignedIn = true)
          const started = performance.now()
          while (performance.now() - started < 500) {
            assert.strictEqual((await fetch(`${origin}/health`)).status, 200)
          }
          const took = performance.now() - started
          assert.isFalse(isSignedIn)
          other.exec("ROLLBACK")
          other.close()

          assert.isBelow(took, 2000)
          assert.deepStrictEqual((await signIns).map(({ status }) => status), [200, 200, 200, 200, 200])
        })
      }).pipe(Effect.provide(fixtures.layerNode({ database })))
    }))

  it.effect("fails when the port is taken", () =>
    Effect.gen(function*() {
      const { origin } = yield* AuthorityServer.AuthorityServer
      const port = Number(new URL(origin).port)

      const error = yield* Layer.build(Layer.fresh(AuthorityServer.layerNode({ keys: fixtures.keys, port }))).pipe(
        Effect.flip
      )

      assert.strictEqual(error._tag, "ServeError")
    }).pipe(Effect.provide(fixtures.layerNode())))

  it.live("stops promptly with idle, half-sent and silent connections open", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(fixtures.layerNode(), scope)
      const { origin } = yield* Effect.provide(AuthorityServer.AuthorityServer, context)
      const { hostname, port } = new URL(origin)
      const agent = new Agent({ keepAlive: true })
      yield* Effect.callback<void>((resume) => {
        get(`${origin}/health`, { agent }, (response) => response.resume().on("end", () => resume(Effect.void)))
      })
      const silent = connect({ host: hostname, port: Number(port) })
      const halfSent = connect({ host: hostname, port: Number(port) })
      yield* Effect.callback<void>((resume) => {
        halfSent.write(
          `POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nX-API-Key: ${fixtures.apiKey}\r\n` +
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
          () => resume(Effect.void)
        )
      })
      const halfHead = connect({ host: hostname, port: Number(port) })
      yield* Effect.callback<void>((resume) => {
        halfHead.write("POST /v1/auth/token HTTP/1.1\r\nHost:", () => resume(Effect.void))
      })
      let open = 3
      for (const socket of [silent, halfSent, halfHead]) socket.on("error", () => {}).on("close", () => open--).resume()
      yield* Effect.sleep("50 millis")

      const started = yield* Clock.currentTimeMillis
      yield* Scope.close(scope, Exit.void)
      const took = (yield* Clock.currentTimeMillis) - started
      yield* Effect.sleep("50 millis")
      const refused = yield* Effect.promise(() => fetch(`${origin}/health`).then(() => false, () => true))

      assert.isBelow(took, 3000)
      assert.isTrue(refused)
      assert.strictEqual(open, 0)
      agent.destroy()
    }))

  it.live("lets a request under way finish when it stops", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(fixtures.layerNode(), scope)
      const { origin } = yield* Effect.provide(AuthorityServer.AuthorityServer, context)
      const { hostname, port } = new URL(origin)
      const body = JSON.stringify(credentials)
      const socket = connect({ host: hostname, port: Number(port) })
      const read = Effect.callback<string>((resume) => {
        socket.once("data", (data) => resume(Effect.succeed(String(data))))
      })
      socket.write(
        `POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nX-API-Key: ${fixtures.apiKey}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`
      )
      // The handler reads the body, so the request is under way.
      const asked = yield* read

      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* Effect.sleep("20 millis")
      socket.write(body)
      const answer = yield* read
      yield* Fiber.join(closing)

      assert.match(asked, /^HTTP\/1\.1 100 /)
      assert.match(answer, /^HTTP\/1\.1 200 /)
    }))
})

describe("layerHttpClient", () => {
  it.effect("answers whatever the host, and never touches the network", () =>
    Effect.gen(function*() {
      const response = yield* HttpClient.get("https://nowhere.invalid/health")

      assert.deepStrictEqual(yield* response.json, { status: "ok" })
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("follows the clock of whoever asks, also when it was built under another", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(fixtures.layer()).pipe(
        Effect.provideService(Clock.Clock, Clock.Clock.defaultValue())
      )

      const { session } = yield* Effect.provide(fixtures.signIn, context)

      assert.strictEqual(session.expireEpoch, 3_600_000)
    }))

  it.effect("limits bodies as the socket does", () =>
    Effect.gen(function*() {
      const body = new TextEncoder().encode(JSON.stringify({ username: "x".repeat(70_000), password: "x" }))
      const post = HttpClientRequest.post(`${fixtures.origin}/v1/auth/token`, {
        headers: { "X-API-Key": fixtures.apiKey }
      })

      for (
        const request of [
          HttpClientRequest.bodyUint8Array(post, body, "application/json"),
          HttpClientRequest.bodyStream(post, Stream.succeed(body), { contentType: "application/json" })
        ]
      ) {
        const response = yield* HttpClient.execute(request)
        assert.deepStrictEqual([response.status, yield* response.json], [413, { message: "Request Too Long" }])
      }
    }).pipe(Effect.provide(fixtures.layer())))
})
