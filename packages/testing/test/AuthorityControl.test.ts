import { TenovosAuth } from "@effect-tenovos/core"
import { AuthorityServer, Journal } from "@effect-tenovos/server"
import { AuthorityControl } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"

const Live = Layer.merge(AuthorityServer.layerNode({ dev: true, port: 0 }), FetchHttpClient.layer)

const own = Effect.flatMap(AuthorityServer.AuthorityServer, ({ origin }) => AuthorityControl.makeTenant({ origin }))

const session = TenovosAuth.TenovosAuth.use((auth) => auth.session)

describe("makeTenant", () => {
  it.live("shows what a program does when an answer is lost", () =>
    Effect.gen(function*() {
      const { control, credentials } = yield* own
      yield* control.faults.inject({ payload: { fault: { kind: "lostAnswer" }, operations: ["authorize"], times: 1 } })

      const { refreshToken } = yield* Effect.provide(session, TenovosAuth.layer(credentials))

      const counts = yield* control.journal.counts()
      assert.deepStrictEqual(counts.authorize.statuses, { none: 1, 200: 1 })
      const [, answered] = yield* control.journal.find({ query: { operation: "authorize" } })
      assert.isDefined(refreshToken)
      if (refreshToken !== undefined) {
        assert.include(JSON.stringify(answered?.answered), Journal.fingerprint(refreshToken))
      }
      assert.strictEqual(answered?.received.headers["x-api-key"], Journal.fingerprint(credentials.apiKey))
    }).pipe(Effect.scoped, Effect.provide(Live)))

  it.live("lets files share a server, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const { origin } = yield* AuthorityServer.AuthorityServer
      const whole = yield* AuthorityControl.make({ origin })
      const kept = yield* Effect.scoped(Effect.gen(function*() {
        const [one, two] = [yield* own, yield* own]
        const files = [one, two].map(({ control, credentials }) =>
          Effect.gen(function*() {
            const first = yield* session
            yield* control.clock.advance({ payload: { advance: 3_600_000 } })
            yield* TenovosAuth.TenovosAuth.use((auth) => auth.sessionWith({ forceRefresh: true }))
            return [first.generation, yield* control.journal.counts()] as const
          }).pipe(Effect.provide(TenovosAuth.layer(credentials)))
        )

        for (const [, counts] of yield* Effect.all(files, { concurrency: "unbounded" })) {
          assert.deepStrictEqual([counts.authorize.requests, counts.refresh.requests], [1, 1])
        }
        assert.strictEqual((yield* whole.clock.read()).advanced, 0)
        return one
      }))

      assert.deepStrictEqual(yield* whole.tenants.list(), [])
      const [answer] = yield* Effect.all([Effect.flip(kept.control.clock.read())])
      assert.deepInclude(answer, { message: "There is no such tenant" })
    }).pipe(Effect.provide(Live)))

  it.live("has the users that it is given", () =>
    Effect.gen(function*() {
      const { origin } = yield* AuthorityServer.AuthorityServer
      const password = Redacted.make("correct horse")
      const { control, credentials } = yield* AuthorityControl.makeTenant({
        origin,
        users: [{ username: "grace", password }, { username: "linus", password }]
      })

      const { username } = yield* Effect.provide(session, TenovosAuth.layer(credentials))

      assert.strictEqual(username, "grace")
      assert.deepStrictEqual((yield* control.accounts.users()).map(({ username }) => username), ["grace", "linus"])
    }).pipe(Effect.scoped, Effect.provide(Live)))
})
