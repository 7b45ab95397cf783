import { AuthError, type Credentials, RefreshPolicy, Session, TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { Arbitraries, ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { Base64 } from "effect/encoding"
import * as Exit from "effect/Exit"
import { HttpClient } from "effect/http"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Tracer from "effect/Tracer"
import * as fc from "fast-check"
import { inspect } from "node:util"

/** Everything that a program might print of a value. */
const printed = (value: unknown): ReadonlyArray<string> => [
  String(value),
  `${value}`,
  JSON.stringify(value) ?? "",
  inspect(value, { depth: 20, showHidden: true }),
  value instanceof Error ? `${value.stack}` : "",
  Cause.pretty(Cause.fail(value)),
  Cause.pretty(Cause.die(value)),
  inspect(Cause.fail(value), { depth: 20 }),
  JSON.stringify(Exit.fail(value))
]

/** A run's log lines at every level and in every format, and its spans. */
const observed = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const spans: Array<Tracer.Span> = []
    const loggers = [Logger.formatSimple, Logger.formatLogFmt, Logger.formatJson].map((logger) =>
      Logger.map(logger, (line) => void lines.push(line))
    )
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    const exit = yield* effect.pipe(
      Effect.exit,
      Effect.tap((exit) => Effect.logTrace("it ended", exit)),
      Effect.provide(Logger.layer(loggers)),
      Effect.provideService(References.MinimumLogLevel, "All"),
      Effect.provideService(Tracer.Tracer, tracer)
    )
    const traced = spans.map((span) =>
      inspect([
        span.name,
        Array.from(span.attributes),
        span.status,
        span instanceof Tracer.NativeSpan ? span.events : []
      ], { depth: 20 })
    )
    return { exit, texts: [...lines, ...traced], lines, spans }
  })

const secretsOf = (credentials: Credentials.Credentials, session: Session.Session) =>
  [credentials.apiKey, credentials.password, session.accessToken, session.idToken, session.refreshToken]
    .filter((secret) => secret !== undefined)
    .map((secret) => Redacted.value(secret))

const assertHidden = (secrets: ReadonlyArray<string>, texts: ReadonlyArray<string>) => {
  for (const secret of secrets) {
    for (
      const form of [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), Base64.encode(secret)]
    ) {
      for (const text of texts) assert.isFalse(text.includes(form), `${JSON.stringify(secret)} in ${text}`)
    }
  }
}

const answer = (session: Session.Session) => ({
  session: {
    accessToken: Redacted.value(session.accessToken),
    authorization: session.idToken && Redacted.value(session.idToken),
    refreshToken: session.refreshToken && Redacted.value(session.refreshToken)
  }
})

const run = <A, E>(effect: Effect.Effect<A, E>) => Effect.runPromise(effect.pipe(Effect.provide(TestClock.layer())))

const params = { numRuns: 60 }

const once = RefreshPolicy.withRetry(RefreshPolicy.standard, Schedule.recurs(0))

describe("no secret shows", () => {
  it("in a session, whatever prints it", () =>
    fc.assert(fc.property(Arbitraries.credentials, Arbitraries.session, (credentials, session) => {
      assertHidden(secretsOf(credentials, session), [
        ...printed(session),
        ...printed(credentials),
        ...printed({ session })
      ])
    })))

  it("in what a decoding error of a session says", () =>
    fc.assert(fc.property(Arbitraries.credentials, Arbitraries.session, (credentials, session) => {
      const encoded = Schema.encodeSync(Session.Session)(session)
      const exit = Schema.decodeUnknownExit(Session.Session)({ ...encoded, generation: encoded.accessToken })

      assert.isTrue(Exit.isFailure(exit))
      assertHidden(secretsOf(credentials, session), printed(exit))
    })))

  it("in headers, requests, responses, logs and spans of a program that signs in, calls and signs out", () =>
    fc.assert(
      fc.asyncProperty(Arbitraries.credentials, Arbitraries.session, (credentials, session) =>
        run(Effect.gen(function*() {
          const program = Effect.gen(function*() {
            const auth = yield* TenovosAuth.TenovosAuth
            const client = yield* TenovosClient.TenovosClient
            const headers = yield* auth.headers
            const response = yield* client.get("/asset/1")
            yield* Effect.log(headers, response, response.request, yield* auth.session, yield* auth.accessToken)
            return [auth, client, headers, response, response.request, yield* auth.signOut] as const
          }).pipe(Effect.provide(
            TenovosClient.layer.pipe(
              Layer.provideMerge(TenovosAuth.layer({ ...credentials, basicAuthentication: true, policy: once })),
              Layer.provideMerge(ScriptedAuthority.layer(() =>
                Effect.succeed(Response.json(answer(session)))
              ))
            )
          ))
          const { exit, lines, spans, texts } = yield* observed(program)

          assert.isTrue(Exit.isSuccess(exit), inspect(exit))
          assert.isAbove(lines.length, 3)
          assert.isAbove(spans.length, 3)
          const values = Exit.isSuccess(exit) ? exit.value : []
          // Here no fiber runs, and none says which headers to hide.
          assertHidden(secretsOf(credentials, session), [...texts, ...values.flatMap(printed)])
        }))),
      params
    ))

  it("in errors, of an authority that repeats in its message whatever it was sent", () =>
    fc.assert(
      fc.asyncProperty(
        Arbitraries.credentials,
        Arbitraries.session,
        fc.constantFrom(400, 401, 403, 429, 500, 200),
        (credentials, session, status) =>
          run(Effect.gen(function*() {
            const echo: ScriptedAuthority.Script = (request) =>
              Effect.succeed(Response.json({
                status: "error",
                message: `${JSON.stringify(request.headers)} ${Object.values(JSON.parse(request.body)).join(" ")}`
              }, { status }))
            const program = Effect.logError("failed").pipe(
              Effect.andThen(TenovosAuth.TenovosAuth.use((auth) => Effect.tapError(auth.session, Effect.logError))),
              Effect.provide(
                TenovosAuth.layer({ ...credentials, basicAuthentication: true, policy: once }).pipe(
                  Layer.provide(ScriptedAuthority.layer(echo))
                )
              )
            )
            const { exit, texts } = yield* observed(program)
            const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined

            assert.instanceOf(error, AuthError.AuthError)
            assertHidden(secretsOf(credentials, session), [
              ...texts,
              ...printed(error),
              ...printed(exit),
              JSON.stringify(yield* Schema.encodeUnknownEffect(Schema.toCodecJson(AuthError.AuthError))(error))
            ])
          }))
      ),
      params
    ))

  it("in errors, where one secret begins with another, or is a part of it", () =>
    fc.assert(
      fc.asyncProperty(Arbitraries.credentials, fc.nat(40), fc.nat(40), (credentials, from, length) =>
        run(Effect.gen(function*() {
          const whole = Redacted.value(credentials.password)
          const part = whole.slice(from % whole.length).slice(0, length + 1)
          fc.pre(!/\s/.test(part))
          const echo: ScriptedAuthority.Script = () =>
            Effect.succeed(Response.json({ status: "error", message: `${part} ${whole} ${part}` }, { status: 400 }))
          const error = yield* Effect.flip(TenovosAuth.TenovosAuth.use((auth) =>
            auth.session
          )).pipe(Effect.provide(
            TenovosAuth.layer({ ...credentials, apiKey: Redacted.make(part) }).pipe(
              Layer.provide(ScriptedAuthority.layer(echo))
            )
          ))

          assert.strictEqual(error.reason.message, "<redacted> <redacted> <redacted>")
        }))),
      params
    ))

  it("in headers that a program copied, as long as it prints them where the layer reaches", () =>
    run(Effect.gen(function*() {
      const { exit, lines } = yield* observed(
        Effect.gen(function*() {
          const client = yield* HttpClient.HttpClient
          const headers = yield* TenovosAuth.TenovosAuth.use((auth) => auth.headers)
          const response = yield* client.get("https://tenant.example", { headers: { ...headers } })
          yield* Effect.log(response.request, response.request.headers)
        }).pipe(Effect.provide(
          TenovosAuth.layer({ apiKey: Redacted.make("canary-key"), username: "ada", password: Redacted.make("p") })
            .pipe(
              Layer.provideMerge(
                ScriptedAuthority.layer(() =>
                  Effect.succeed(
                    Response.json({ session: { accessToken: "canary-access", authorization: "canary-id" } })
                  )
                )
              )
            )
        ))
      )

      assert.isTrue(Exit.isSuccess(exit))
      assertHidden(["canary-key", "canary-access", "canary-id"], lines)
    })))

  it("in the requests to the authority, where a program taps its client", () =>
    fc.assert(
      fc.asyncProperty(Arbitraries.credentials, Arbitraries.session, (credentials, session) =>
        run(Effect.gen(function*() {
          const tapped = Layer.effect(
            HttpClient.HttpClient,
            Effect.map(
              HttpClient.HttpClient,
              HttpClient.tapRequest((request) =>
                Effect.logInfo(request, `${request}`)
              )
            )
          )
          const { exit, lines, texts } = yield* observed(
            TenovosAuth.TenovosAuth.use((auth) => Effect.andThen(auth.session, auth.signOut)).pipe(
              Effect.provide(
                TenovosAuth.layer(credentials).pipe(
                  Layer.provide(tapped),
                  Layer.provide(ScriptedAuthority.layer(() => Effect.succeed(Response.json(answer(session)))))
                )
              )
            )
          )

          assert.isTrue(Exit.isSuccess(exit))
          assert.isAbove(lines.length, 5)
          assertHidden(secretsOf(credentials, session), texts)
        }))),
      params
    ))
})
