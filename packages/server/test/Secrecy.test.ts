import { Audit, Authority, AuthorityServer, Database, Keys, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import { SqlClient } from "effect/sql/SqlClient"
import * as Tracer from "effect/Tracer"
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { inspect } from "node:util"
import { keys } from "./fixtures/authority.ts"
import { cheap } from "./fixtures/hashes.ts"
import { kind, shared } from "./support/databases.ts"

const apiKey = "canary-api-key-5d1c"
const username = "ada"
const password = "canary-password-9f2e"
const seed = { apiKeys: [Redacted.make(apiKey)], users: [{ username, password: Redacted.make(password) }] }
const masterKey = "canary+master+key+7c41ABCDEFGHIJKLMNOPQRSTU="

/** What an authority shows of itself: each log line whole, and each span as an exporter sends it. */
const watch = () => {
  const lines: Array<string> = []
  const spans: Array<Tracer.NativeSpan> = []
  const logger = Logger.make((options) => {
    const { cause, message } = options
    lines.push(
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
  return {
    lines,
    spans,
    layer: Logger.layer([logger]).pipe(
      Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Trace")),
      Layer.provideMerge(Layer.succeed(Tracer.Tracer, tracer)),
      Layer.provideMerge(Layer.succeed(HttpMiddleware.TracerHeaderFilter, () => true))
    ),
    seen: Effect.sync(() => [
      ...lines,
      ...spans.flatMap((span) => [
        inspect([span.name, [...span.attributes], span.events], { depth: 8 }),
        // Of the outcome, only a failure.
        span.status._tag === "Ended" && Exit.isFailure(span.status.exit) ? Cause.pretty(span.status.exit.cause) : ""
      ])
    ])
  }
}

const assertNone = (texts: ReadonlyArray<string>, secrets: ReadonlyArray<string>) => {
  for (const secret of secrets) {
    assert.isAtLeast(secret.length, 10)
    for (const text of texts) assert.notInclude(text, secret)
  }
}

describe("secrets", () => {
  it.effect("are in no log line, at any level, in no span, and not in the database", () =>
    Effect.gen(function*() {
      const database = yield* shared
      const { layer, seen, spans } = watch()
      const rows: Array<Audit.Entry> = []

      const tokens = yield* Effect.gen(function*() {
        yield* Seed.apply(seed)
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
            database,
            // What is kept for a retry is a secret too.
            refreshAnswer: "replaces",
            limits: { perUser: { limit: 5, window: "1 hour" } },
            masterKey: Redacted.make(masterKey)
          }).pipe(Layer.provideMerge(layer))
        )
      )
      const texts = [...yield* seen, JSON.stringify(rows)]
      const files = kind === "postgres"
        ? [yield* allRows(database)]
        : readdirSync(dirname(database)).map((name) => readFileSync(join(dirname(database), name), "latin1"))

      assert.isAbove(texts.filter((line) => line.includes("/v1/auth/token")).length, 5)
      assert.isAbove(spans.length, 20)
      const operations = ["authorize", "refresh", "expire", "verify"].map((name) => `Authority.${name}`)
      assert.includeMembers(spans.map(({ name }) => name), operations)
      assert.isAbove(texts.filter((line) => line.includes("status=429")).length, 1)
      assert.isAbove(texts.filter((line) => line.includes("path=/v1/asset/sha256:")).length, 1)
      assert.include(texts.join(""), "http.request.header.accesstoken")
      assert.include(files.join(""), username)
      assert.includeMembers(rows.map(({ reason }) => reason), [
        "wrong password",
        "unknown user",
        "unknown key",
        "command"
      ])
      const pem = keys.access.privateKey.export({ type: "pkcs8", format: "pem" }).toString().split("\n").slice(1, 10)
      assertNone([...texts, ...files], [apiKey, password, masterKey, "PRIVATE KEY", ...pem, ...tokens])
    }))

  it.effect("are in no log line and no span either when a statement of a request fails", () =>
    Effect.gen(function*() {
      const database = yield* shared
      const { layer, lines, seen } = watch()

      const tokens = yield* Effect.gen(function*() {
        yield* Seed.apply(seed)
        const sql = yield* SqlClient
        const { endpointUrl } = yield* AuthorityServer.AuthorityServer
        const send = sendTo(endpointUrl)
        const first = yield* Effect.promise(() => send("POST", "/auth/token", { username, password }))
        const { session } = first
        const headers = { AccessToken: session.accessToken, Authorization: session.authorization }
        for (const table of ["users", "sessions", "retired_tokens", "audit", "api_keys"]) {
          yield* sql`ALTER TABLE ${sql(table)} RENAME TO elsewhere`
          yield* Effect.promise(() => send("POST", "/auth/token", { username, password }))
          yield* Effect.promise(() => send("POST", "/auth/token", first))
          yield* Effect.promise(() => send("GET", `/asset/${session.accessToken}`, undefined, headers))
          yield* Effect.promise(() => send("DELETE", "/auth/token", first, headers))
          yield* sql`ALTER TABLE elsewhere RENAME TO ${sql(table)}`
        }
        return session
      }).pipe(
        Effect.provide(
          AuthorityServer.layerNode({ keys, port: 0, database, refreshAnswer: "replaces", passwords: cheap }).pipe(
            Layer.merge(Database.layer(database)),
            Layer.provideMerge(layer)
          )
        )
      )

      assert.isAbove(lines.filter((line) => line.includes("A request could not be answered")).length, 20)
      assertNone(yield* seen, [apiKey, password, ...partsOf(tokens)])
    }))
})

/** Every row of every table, as PostgreSQL writes them. */
const allRows = (database: string) =>
  SqlClient.use((sql) =>
    Effect.flatMap(
      sql`SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`.values,
      (tables) => Effect.forEach(tables, ([table]) => sql`SELECT t::text FROM ${sql(String(table))} t`.values)
    )
  ).pipe(Effect.provide(Database.layer(database)), Effect.map(String))

/** A session with its mistakes. Its tokens, and the parts of them that nobody may see. */
const live = async (endpointUrl: string): Promise<ReadonlyArray<string>> => {
  const send = sendTo(endpointUrl)
  const first = await send("POST", "/auth/token", { username, password })
  const second = await send("POST", "/auth/token", first)
  const { session } = second
  const tokens = { AccessToken: session.accessToken, Authorization: session.authorization }
  await send("GET", "/security/template", undefined, tokens)
  await send("GET", "/security/template", undefined, { ...tokens, Authorization: "x" })
  await send("GET", `/nothing?password=${password}`, undefined, tokens)
  for (const token of [session.accessToken, session.authorization, session.refreshToken]) {
    await send("GET", `/asset/${token}`, undefined, tokens)
    await send("GET", `/nothing/${token}/${token}`, undefined, { ...tokens, "X-API-Key": "unknown" })
  }
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
  return [first, second].flatMap(({ session }) => partsOf(session))
}

const sendTo = (endpointUrl: string) =>
async (
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string> = {}
) => {
  const response = await fetch(endpointUrl + path, {
    method,
    headers: { "X-API-Key": apiKey, "Content-Type": "application/json", ...headers },
    ...(method === "GET" ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
  })
  return response.json()
}

const partsOf = (session: Record<"accessToken" | "authorization" | "refreshToken", string>): ReadonlyArray<string> =>
  [session.accessToken, session.authorization, session.refreshToken].flatMap((token) => [
    token,
    token.slice(token.lastIndexOf(".") + 1)
  ])
