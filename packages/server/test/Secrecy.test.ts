import { Audit, Authority, AuthorityServer, Keys, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { mkdtempSync, readdirSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import { keys } from "./fixtures/authority.ts"

const apiKey = "canary-api-key-5d1c"
const username = "ada"
const password = "canary-password-9f2e"
const masterKey = "canary+master+key+7c41ABCDEFGHIJKLMNOPQRSTU="

describe("secrets", () => {
  it.effect("are in no log line, at any level, in no span, and not in the database", () =>
    Effect.gen(function*() {
      const directory = mkdtempSync(join(tmpdir(), "authority-"))
      const seen: Array<string> = []
      const logger = Logger.make((options) => {
        const { cause, message } = options
        seen.push(
          inspect([message, cause], { depth: 8 }),
          Logger.formatJson.log(options),
          Logger.formatLogFmt.log(options)
        )
      })
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const spans: Array<Tracer.NativeSpan> = []
      const rows: Array<Audit.Entry> = []

      const tokens = yield* Effect.gen(function*() {
        yield* Seed.apply({
          apiKeys: [Redacted.make(apiKey)],
          users: [{ username, password: Redacted.make(password) }]
        })
        yield* (yield* Authority.Authority).authorize({
          tenant: Authority.defaultTenant,
          username,
          password: Redacted.make(password)
        })
        const { endpointUrl } = yield* AuthorityServer.AuthorityServer
        const tokens = yield* Effect.promise(() => live(endpointUrl))
        yield* (yield* Keys.Keys).rotate()
        rows.push(...yield* (yield* Audit.Audit).recent())
        return tokens
      }).pipe(
        Effect.provide(
          AuthorityServer.layerNode({
            keys,
            port: 0,
            database: join(directory, "authority.sqlite"),
            // What is kept for a retry is a secret too.
            refreshAnswer: "replaces",
            limits: { perUser: { limit: 5, window: "1 hour" } },
            masterKey: Redacted.make(masterKey)
          }).pipe(
            Layer.provideMerge(Logger.layer([logger])),
            Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Trace")),
            Layer.provideMerge(Layer.succeed(Tracer.Tracer, tracer)),
            Layer.provideMerge(Layer.succeed(HttpMiddleware.TracerHeaderFilter, () => true))
          )
        )
      )
      for (const span of spans) {
        // What an exporter sends: of the outcome, only a failure.
        const failure = span.status._tag === "Ended" && Exit.isFailure(span.status.exit)
          ? Cause.pretty(span.status.exit.cause)
          : ""
        seen.push(inspect([span.name, [...span.attributes], span.events], { depth: 8 }), failure)
      }
      const files = readdirSync(directory).map((name) => readFileSync(join(directory, name), "latin1"))

      assert.isAbove(seen.filter((line) => line.includes("/v1/auth/token")).length, 5)
      assert.isAbove(spans.length, 20)
      const operations = ["authorize", "refresh", "expire", "verify"].map((name) => `Authority.${name}`)
      assert.includeMembers(spans.map(({ name }) => name), operations)
      assert.isAbove(seen.filter((line) => line.includes("status=429")).length, 1)
      assert.include(seen.join(""), "http.request.header.accesstoken")
      assert.include(files.join(""), username)
      assert.includeMembers(rows.map(({ reason }) => reason), [
        "wrong password",
        "unknown user",
        "unknown key",
        "command"
      ])
      seen.push(JSON.stringify(rows))
      const pem = keys.access.privateKey.export({ type: "pkcs8", format: "pem" }).toString().split("\n").slice(1, 10)
      for (const secret of [apiKey, password, masterKey, "PRIVATE KEY", ...pem, ...tokens]) {
        assert.isAtLeast(secret.length, 10)
        for (const text of [...seen, ...files]) assert.notInclude(text, secret)
      }
    }))
})

/** A session with its mistakes. Its tokens, and the parts of them that nobody may see. */
const live = async (endpointUrl: string): Promise<ReadonlyArray<string>> => {
  const send = async (method: string, path: string, body: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(endpointUrl + path, {
      method,
      headers: { "X-API-Key": apiKey, "Content-Type": "application/json", ...headers },
      ...(method === "GET" ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
    })
    return response.json()
  }
  const first = await send("POST", "/auth/token", { username, password })
  const second = await send("POST", "/auth/token", first)
  const { session } = second
  const tokens = { AccessToken: session.accessToken, Authorization: session.authorization }
  await send("GET", "/security/template", undefined, tokens)
  await send("GET", "/security/template", undefined, { ...tokens, Authorization: "x" })
  await send("GET", `/nothing?password=${password}`, undefined, tokens)
  await send("POST", "/search/keyword", { password, session }, tokens)
  await send("POST", "/auth/token", { username, password: `${password}x` })
  await send("POST", "/auth/token", { username: password, password: apiKey })
  await send("POST", "/auth/token", `{"username":"${username}","password":"${password}`)
  await send("POST", "/auth/token", { username, password: [password] })
  await send("POST", "/auth/token", { session: { ...session, accessToken: `${session.accessToken}x` } })
  await send("POST", "/auth/token", { username, password }, { "X-API-Key": `${apiKey}x` })
  await send("DELETE", "/auth/token", { ...second, clientId: undefined }, tokens)
  await send("DELETE", "/auth/token", { ...second, password }, tokens)
  await send("POST", "/auth/token", second)
  // Until the user is locked, and what was typed for a user has no more tries.
  for (let i = 0; i < 9; i++) {
    await send("POST", "/auth/token", { username, password: `${password}x` })
    await send("POST", "/auth/token", { username: password, password: apiKey })
  }
  return [first, second].flatMap(({ session }) =>
    [session.accessToken, session.authorization, session.refreshToken].flatMap((token: string) => [
      token,
      token.slice(token.lastIndexOf(".") + 1)
    ])
  )
}
