/**
 * The main job, shown on a real authority: sign in, call, outlive an outage, refresh, sign out, be refused.
 *
 * Every line is a step that held, with the seconds since the start. A step that does not hold ends the demo with
 * exit code 1.
 */
import { Session, TenovosAuth, TenovosClient, TokenEndpoint } from "@effect-tenovos/core"
import { AuthorityServer, Seed } from "@effect-tenovos/server"
import { AuthorityControl } from "@effect-tenovos/testing"
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, DateTime, Duration, Effect, Fiber, Layer, Redacted, Ref, Stream } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"

const tokenLife = Duration.seconds(8)

const demo = Effect.gen(function*() {
  const startedAt = yield* Clock.currentTimeMillis
  const say = (text: string) =>
    Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => Console.log(`${((now - startedAt) / 1000).toFixed(2).padStart(5)} s  ${text}`)
    )

  const { endpointUrl, origin } = yield* AuthorityServer.AuthorityServer
  const made = yield* Seed.firstStart
  const credentials = yield* Effect.fromOption(made)
  yield* say(`An authority listens on ${endpointUrl}. Its access tokens live for ${Duration.format(tokenLife)}.`)

  const signIns = yield* Ref.make(0)
  const refreshes = yield* Ref.make(0)
  const Http = countExchanges({ signIns, refreshes })
  const Auth = TenovosAuth.layer({ endpointUrl, ...credentials })

  yield* Effect.gen(function*() {
    const auth = yield* TenovosAuth.TenovosAuth
    const client = yield* TenovosClient.TenovosClient
    const call = client.get("/security/template")

    const statuses = yield* Effect.replicateEffect(
      Effect.flatMap(call, (response) => Effect.as(response.text, response.status)),
      1000,
      { concurrency: "unbounded" }
    )
    const first = yield* auth.session
    yield* check("1,000 calls are answered", statuses.every((status) => status === 200))
    yield* check("with one sign-in", (yield* Ref.get(signIns)) === 1)
    yield* say(`1,000 concurrent calls were answered, with one sign-in, as ${first.username}.`)

    const refreshableUntil = yield* Effect.fromOption(Session.refreshTokenExpiresAt(first))
    yield* say(`The refresh token can be used until ${DateTime.formatIsoDate(refreshableUntil)}.`)

    yield* say("Waiting until a renewal is due, and for an outage …")
    const before = yield* auth.session
    const { faults } = yield* AuthorityControl.make({ origin })
    yield* faults.inject({ payload: { fault: { kind: "status", status: 503 }, operations: ["refresh"] } })
    const failed = yield* auth.events.pipe(
      Stream.filter(({ _tag }) => _tag === "RefreshFailed"),
      Stream.runHead,
      Effect.forkChild({ startImmediately: true })
    )
    const left = Session.remaining(before, yield* DateTime.now)
    yield* Effect.sleep(Duration.subtract(left, Duration.millis(1200)))
    const meanwhile = yield* Effect.forkChild(call)
    yield* Fiber.join(failed)
    yield* faults.clear({})
    yield* check("a call during the outage is answered", (yield* Fiber.join(meanwhile)).status === 200)
    yield* say("The authority failed to renew it. A call was answered all the same, with the token in hand.")

    yield* say("Waiting until the access token has ended …")
    yield* Effect.sleep(Session.remaining(before, yield* DateTime.now))
    const again = yield* call
    const second = yield* auth.session
    yield* check("a call after the end is answered", again.status === 200)
    yield* check("with a new token", second.generation > before.generation)
    yield* check("which a refresh brought", (yield* Ref.get(refreshes)) >= 1)
    yield* check("and no sign-in", (yield* Ref.get(signIns)) === 1)
    yield* say("The next call went out with a new token, by a refresh and no sign-in.")

    const outcome = yield* auth.signOut
    yield* check("the authority confirms the sign-out", outcome._tag === "Expired")
    yield* say("Signed out, and the authority confirmed it.")

    const plain = yield* HttpClient.HttpClient
    const refused = yield* plain.get(`${endpointUrl}/security/template`, {
      headers: {
        "x-api-key": Redacted.value(credentials.apiKey),
        accesstoken: Redacted.value(second.accessToken),
        authorization: second.idToken === undefined ? "" : Redacted.value(second.idToken)
      }
    })
    yield* check("the old token is refused", refused.status === 401)
    yield* say(`The old token, not yet at its end, is refused with ${refused.status}.`)
  }).pipe(Effect.provide(TenovosClient.layer.pipe(Layer.provideMerge(Auth), Layer.provideMerge(Http))))

  yield* Effect.gen(function*() {
    const auth = yield* TenovosAuth.TenovosAuth
    const before = yield* Ref.get(signIns)
    const error = yield* Effect.flip(auth.session)
    yield* check("a wrong password is a typed 401", error.reason._tag === "Unauthorized")
    yield* say(`A wrong password fails with ${error.reason._tag}: ${error.reason.message}`)

    const later = yield* Effect.flip(auth.session)
    yield* check("it is not sent again", later.reason._tag === "CredentialsRejected")
    yield* check("not even once", (yield* Ref.get(signIns)) === before + 1)
    yield* say(`Asked again it fails with ${later.reason._tag}, and nothing is sent: the account is not locked.`)
  }).pipe(Effect.provide(
    TenovosAuth.layer({ endpointUrl, ...credentials, password: Redacted.make("wrong") }).pipe(Layer.provide(Http))
  ))

  yield* Effect.gen(function*() {
    const endpoint = yield* TokenEndpoint.TokenEndpoint
    const error = yield* Effect.flip(endpoint.authorize({ endpointUrl, ...credentials, username: "" }))
    yield* check("a bad request is a typed 400", error.reason._tag === "BadRequest")
    yield* say(`A sign-in without a user name fails with ${error.reason._tag}: ${error.reason.message}`)
  }).pipe(Effect.provide(TokenEndpoint.layer(credentials).pipe(Layer.provide(Http))))

  yield* say("All steps held.")
})

const check = (what: string, holds: boolean) => holds ? Effect.void : Effect.die(new Error(`Does not hold: ${what}`))

/** Counts the exchanges with the authority, below everything that the library does. */
const countExchanges = (counters: { readonly signIns: Ref.Ref<number>; readonly refreshes: Ref.Ref<number> }) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(
      HttpClient.HttpClient,
      HttpClient.tapRequest((request) => {
        if (!request.url.endsWith("/auth/token") || request.body._tag !== "Uint8Array") return Effect.void
        const isRefresh = new TextDecoder().decode(request.body.body).includes("refreshToken")
        return Ref.update(isRefresh ? counters.refreshes : counters.signIns, (n) => n + 1)
      })
    )
  ).pipe(Layer.provide(FetchHttpClient.layer))

demo.pipe(
  Effect.provide(AuthorityServer.layerNode({ port: 0, accessTokenLife: tokenLife, dev: true })),
  NodeRuntime.runMain
)
