import { RefreshPolicy, TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { Laws, TestTenovos } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Tracer from "effect/Tracer"
import * as Plain from "./support/plain.ts"

const { credentials } = TestTenovos

const [apiKey, password] = [Redacted.value(credentials.apiKey), Redacted.value(credentials.password)]

const session = TenovosAuth.TenovosAuth.use((auth) => auth.session)

const auth = TenovosAuth.layer(credentials)

/** Where the secrets show, and which. */
const leaks = <A, E, R>(effect: Effect.Effect<A, E | Laws.SecretLeaked, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, Laws.SecretLeaked)
    return error.leaks.map(({ secret, where }) => `${secret} in ${where}`)
  })

describe("noSecretLeak", () => {
  it.effect("lets through what TenovosAuth does, and its error", () =>
    Effect.gen(function*() {
      const { generation } = yield* Laws.noSecretLeak(Effect.provide(
        Effect.gen(function*() {
          const held = yield* session
          yield* Effect.logInfo("signed in", held)
          yield* Console.log(held)
          yield* TenovosAuth.TenovosAuth.use((auth) => auth.signOut)
          return held
        }),
        Layer.provide(auth, TestTenovos.layer())
      ))
      assert.strictEqual(generation, 1)

      const wrong = TenovosAuth.layer({ ...credentials, username: "bob" })
      const error = yield* Effect.flip(Laws.noSecretLeak(
        Effect.provide(session, Layer.provide(wrong, TestTenovos.layer()))
      ))
      assert.strictEqual(error._tag, "AuthError")
    }))

  it.effect("finds each secret in each place and form, and shows none", () =>
    Effect.gen(function*() {
      const leaky = Effect.gen(function*() {
        const { accessToken, idToken, refreshToken } = yield* session
        yield* Effect.logDebug("got", Redacted.value(accessToken), "for", apiKey)
        yield* Effect.annotateCurrentSpan("header", btoa(`ada:${password}`))
        yield* Effect.annotateCurrentSpan("body", JSON.stringify({ password }))
        yield* Console.error(Redacted.value(refreshToken ?? credentials.password))
        yield* Console.dir({ password })
        process.stdout.write(Redacted.value(idToken ?? credentials.password))
        yield* Effect.callback((resume) => {
          process.stderr.write(Buffer.from(`?password=${encodeURIComponent(password)}`), () => resume(Effect.void))
        })
        yield* Effect.withSpan(Effect.void, `with ${apiKey}`, { attributes: { apiKey } })
        return yield* Effect.fail({ apiKey: Buffer.from(apiKey).toString("hex") })
      }).pipe(Effect.withSpan("leaky"), Effect.provide(Layer.provide(auth, TestTenovos.layer())))

      const error = yield* Effect.flip(Laws.noSecretLeak(leaky))

      assert.instanceOf(error, Laws.SecretLeaked)
      assert.sameMembers(error.leaks.map(({ secret, where }) => `${secret} in ${where}`), [
        "access token 1 in a log at Debug",
        "API key in a log at Debug",
        "password in the span leaky, header",
        "password in the span leaky, body",
        "refresh token 1 in console.error",
        "password in console.dir",
        "id token 1 in stdout",
        "password in stderr",
        "API key in the name of a span",
        "API key in the span with <API key>, apiKey",
        "API key in the span leaky, its failure",
        "API key in the error"
      ])
      assert.include(error.message, "The access token 1 is in a log at Debug: ")
      assert.include(error.message, "got message=<access token 1> message=for message=<API key>")
      const shown = `${error.message} ${Cause.pretty(Cause.fail(error))} ${JSON.stringify(error)}`
      for (const secret of [password, apiKey, btoa(password).slice(0, -4), "eyJ"]) assert.notInclude(shown, secret)
    }))

  it.effect("finds what is easy to miss", () =>
    Effect.gen(function*() {
      const body = JSON.stringify({ password })
      const failed = Object.assign(new Error("failed"), { body })
      const shows = (effect: Effect.Effect<unknown, unknown>) =>
        leaks(Laws.noSecretLeak(effect, { secrets: { password: credentials.password } }))
      const log = (text: string) => shows(Effect.logInfo(text))
      const link = { span: Tracer.externalSpan({ spanId: "1", traceId: "2" }), attributes: { password } }
      const round: Record<string, unknown> = { body }
      round["itself"] = round

      // A form, a URL that was put together by hand, and one with the password where it belongs.
      for (const url of [new URLSearchParams({ password }), new URL(`https://x/?password=${password}`)]) {
        assert.deepStrictEqual(yield* log(`${url}`), ["password in a log at Info"])
      }
      assert.deepStrictEqual(yield* log(encodeURI(`https://x/?password=${password}`)), ["password in a log at Info"])
      const long = { body: "-".repeat(20_000) + body }
      assert.deepStrictEqual(yield* shows(Effect.withSpan(Effect.void, "long", { attributes: { long } })), [
        "password in the span long, long"
      ])
      assert.deepStrictEqual(
        yield* log(Object.assign(new URL("https://ada@x"), { password }).href),
        ["password in a log at Info"]
      )
      assert.deepStrictEqual(
        yield* shows(Effect.logError("no luck", Cause.fail(failed))),
        ["password in a log at Error"]
      )
      assert.deepStrictEqual(yield* shows(Effect.withSpan(Effect.void, "linked", { links: [link] })), [
        "password in the span linked, a link"
      ])
      assert.deepStrictEqual(
        yield* shows(Effect.sync(() => console.dir([[[[[[password]]]]]], { depth: 9 }))),
        ["password in console.dir"]
      )
      const parts = [password.slice(0, 9), password.slice(9)]
      assert.deepStrictEqual(
        yield* shows(Effect.sync(() => parts.forEach((part) => process.stdout.write(part)))),
        ["password in stdout"]
      )
      assert.deepStrictEqual(yield* shows(Effect.fail({ request: { body } })), ["password in the error"])
      assert.deepStrictEqual(yield* shows(Effect.fail(round)), ["password in the error"])
      assert.deepStrictEqual(yield* shows(Effect.fail(Object.assign(Object.create(null), { body }))), [
        "password in the error"
      ])
    }))

  it.effect("finds a secret in a metric", () =>
    Effect.gen(function*() {
      // Metrics are the whole process's, so it is no other test's.
      const account = "number 7 of all accounts"
      const counted = Metric.update(Metric.withAttributes(Metric.counter("calls"), { account }), 1)

      assert.deepStrictEqual(
        yield* leaks(Laws.noSecretLeak(counted, { secrets: { account: Redacted.make(account) } })),
        ["account in a metric"]
      )
    }))

  it.effect("can be asked of an effect within another, which knows what that one has met and shown", () =>
    Effect.gen(function*() {
      const secrets = { "database password": Redacted.make("hunter2!") }
      const inner = Laws.noSecretLeak(Effect.andThen(Console.log("of hunter2!"), session)).pipe(
        Effect.provide(Layer.provide(auth, TestTenovos.layer()))
      )
      assert.deepStrictEqual(yield* leaks(Laws.noSecretLeak(inner, { secrets })), [
        "database password in console.log"
      ])

      const after = Effect.flatMap(inner, ({ accessToken }) => Console.log(Redacted.value(accessToken)))
      assert.deepStrictEqual(yield* leaks(Laws.noSecretLeak(after)), ["access token 1 in console.log"])
    }))

  it.effect("knows the secrets of an authority around the effect, and those that it is given", () =>
    Effect.gen(function*() {
      const tell = (text: string) => Laws.noSecretLeak(Effect.logTrace(text))
      const { accessToken } = yield* session
      const token = Redacted.value(accessToken)

      assert.deepStrictEqual(yield* leaks(tell(token)), ["access token 1 in a log at Trace"])
      // Its signature alone makes up for the rest, which anybody may know.
      assert.deepStrictEqual(yield* leaks(tell(token.split(".")[2] ?? "")), ["access token 1 in a log at Trace"])
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(tell(token.split(".")[0] ?? ""))))
      assert.deepStrictEqual(
        yield* leaks(Laws.noSecretLeak(Effect.fail("of hunter2!"), {
          secrets: { "database password": Redacted.make("hunter2!") }
        })),
        ["database password in the error"]
      )
    }).pipe(Effect.provide(Layer.provideMerge(auth, TestTenovos.layer()))))

  it.effect("knows the tokens of a script", () =>
    Effect.gen(function*() {
      const tell = Effect.flatMap(session, ({ accessToken }) => Effect.die(Redacted.value(accessToken)))

      assert.deepStrictEqual(
        yield* leaks(Laws.noSecretLeak(Effect.provide(tell, Layer.provide(auth, TestTenovos.layerScripted())))),
        ["access token 1 in the error"]
      )
    }))

  it.effect("catches the client that prints the answer to its sign-in", () =>
    Effect.gen(function*() {
      const client = Plain.layer({ tells: (body) => Effect.sync(() => console.log("signed in:", body)) })

      assert.includeMembers(
        yield* leaks(Laws.noSecretLeak(Effect.provide(Plain.call, Layer.provide(client, TestTenovos.layer())))),
        ["access token 1 in console.log", "refresh token 1 in console.log", "id token 1 in console.log"]
      )
    }))

  it.effect("leaves the console as it was, also when it is interrupted", () =>
    Effect.gen(function*() {
      const before = [console.log, process.stdout.write]
      const interrupted = Laws.noSecretLeak(Effect.interrupt, { secrets: { secret: Redacted.make("a secret") } })
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(interrupted)))

      assert.deepStrictEqual([console.log, process.stdout.write], before)
    }))

  it.effect("does not accept an effect that has met no secret, or one that could be any text", () =>
    Effect.gen(function*() {
      assert.isTrue(Exit.hasDies(yield* Effect.exit(Laws.noSecretLeak(Effect.void))))
      const short = Laws.noSecretLeak(Effect.void, { secrets: { pin: Redacted.make("1234567") } })
      assert.isTrue(Exit.hasDies(yield* Effect.exit(short)))
    }))
})

describe("neverStale", () => {
  const request = TenovosClient.TenovosClient.use((client) => client.get("/security/template"))
  const client = (policy: RefreshPolicy.RefreshPolicy) => ({
    layer: Layer.provide(TenovosClient.layer, TenovosAuth.layer({ ...credentials, policy })),
    request
  })

  it.effect("holds for TenovosClient", () => Laws.neverStale(client(RefreshPolicy.standard), { runs: 25 }))

  it.effect("holds where the session is renewed in the background", () =>
    Laws.neverStale(client(RefreshPolicy.batch), { runs: 8, longestWait: "1 hour" }))

  const caught = [
    ["keeps its token for ever", "never", /wait/],
    ["goes by its own clock", "by its own clock", /ahead|clock back/],
    ["goes on with its token where there is no other", "if it can", /fail|clock back/]
  ] as const
  for (const [name, renews, culprit] of caught) {
    it.effect(`catches a client that ${name}, and says when in a few steps`, () =>
      Effect.gen(function*() {
        const client = { layer: Plain.layer({ renews }), request: Plain.call }
        const error = yield* Effect.flip(Laws.neverStale(client, { longestWait: "1 hour" }))

        assert.match(error.history, culprit)
        assert.isAtMost(error.history.split(", ").length, 5)
        assert.include(error.message, `before: ${error.history} (seed 1)`)
      }))
  }

  it.effect("makes the program anew, also where it is there already", () => {
    const { layer, request } = client(RefreshPolicy.standard)
    return Laws.neverStale({ layer, request }, { runs: 2 }).pipe(
      Effect.provide(Layer.provide(layer, TestTenovos.layer()))
    )
  })

  it.effect("ends what is under way when it is interrupted", () =>
    Effect.gen(function*() {
      const [begun, ended] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const endless = Deferred.succeed(begun, undefined).pipe(
        Effect.andThen(Effect.never),
        Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
      )
      const law = Laws.neverStale({ layer: Layer.effectDiscard(endless), request: Effect.void })
      const fiber = yield* Effect.forkChild(law)
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)

      yield* Deferred.await(ended)
    }))

  it.effect("does not accept a client that sends nothing", () =>
    Effect.gen(function*() {
      const idle = Laws.neverStale({ layer: Layer.empty, request: Effect.void }, { runs: 1 })
      assert.isTrue(Exit.hasDies(yield* Effect.exit(idle)))
    }))
})
