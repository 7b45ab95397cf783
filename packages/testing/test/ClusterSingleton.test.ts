import { Credentials, RefreshPolicy, SessionStore, TenovosAuth } from "@effect-tenovos/core"
import { Sqlite } from "@effect-tenovos/server"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import {
  MessageStorage,
  RunnerAddress,
  RunnerHealth,
  Runners,
  Sharding,
  ShardingConfig,
  Singleton,
  SqlRunnerStorage
} from "effect/cluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { HttpClient } from "effect/http"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"

// The recipe of docs/guide/share-a-session.md.

const credentials = Credentials.make({
  endpointUrl: "https://api.example/v1",
  apiKey: Redacted.make("key"),
  username: "ada",
  password: Redacted.make("secret")
})

const authority = ScriptedAuthority.layer((_, index) =>
  Effect.map(Clock.currentTimeMillis, (now) =>
    Response.json({
      username: "ada",
      session: { accessToken: `access-${index}`, refreshToken: `refresh-${index}`, expireEpoch: now + 3_600_000 }
    }))
)

const Renewal = Singleton.make(
  "tenovos-session",
  TenovosAuth.TenovosAuth.use((auth) => Effect.retry(auth.session, Schedule.spaced("1 minute"))).pipe(
    Effect.andThen(Effect.never),
    Effect.provide(
      TenovosAuth.layer(
        { ...credentials, policy: RefreshPolicy.batch },
        Layer.effect(SessionStore.SessionStore, SessionStore.SessionStore)
      ),
      { local: true }
    )
  )
)

const Program = TenovosAuth.layer(
  { ...credentials, policy: RefreshPolicy.standard.pipe(RefreshPolicy.withAdvisoryWindow("3 minutes")) },
  Layer.effect(SessionStore.SessionStore, SessionStore.SessionStore)
)

/** A client that notes in whose name it exchanges. */
const noted = (name: string, journal: Array<string>) =>
  Layer.effect(
    HttpClient.HttpClient,
    HttpClient.HttpClient.useSync(HttpClient.tapRequest((request) =>
      Effect.sync(() => {
        const isRefresh = request.body._tag === "Uint8Array" &&
          new TextDecoder().decode(request.body.body).includes("refreshToken")
        journal.push(`${name} ${isRefresh ? "refreshes" : "signs in"}`)
      })
    ))
  )

const cluster = (port: number) =>
  Sharding.layer.pipe(
    Layer.provideMerge(Runners.layerNoop),
    Layer.provideMerge(MessageStorage.layerMemory),
    Layer.provide([SqlRunnerStorage.layer, RunnerHealth.layerNoop]),
    Layer.provide(ShardingConfig.layer({
      runnerAddress: Option.some(RunnerAddress.make("runner", port)),
      shardsPerGroup: 4,
      refreshAssignmentsInterval: "1 minute",
      shardLockRefreshInterval: "1 minute",
      shardLockExpiration: "5 minutes",
      entityMessagePollInterval: "1 hour"
    }))
  )

/** One of the fleet: a runner of the cluster, which makes calls of its own. */
const member = Effect.fnUntraced(function*(index: number, journal: Array<string>) {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(
    Layer.mergeAll(
      Renewal.pipe(Layer.provide(cluster(index)), Layer.provide(noted(`singleton ${index}`, journal))),
      Program.pipe(Layer.provide(noted(`program ${index}`, journal)))
    ),
    scope
  )
  return { auth: Context.get(context, TenovosAuth.TenovosAuth), stop: Scope.close(scope, Exit.void) }
})

describe("the renewal as a singleton of a cluster", () => {
  it.effect(
    "is made by one of the fleet, while all others adopt, and goes to another when that one is gone",
    () =>
      Effect.gen(function*() {
        const journal: Array<string> = []
        const members = new Map(
          yield* Effect.forEach(
            [0, 1, 2],
            (index) => Effect.map(member(index, journal), (member) => [index, member] as const)
          )
        )
        /** All call every five minutes. */
        const pass = Effect.fnUntraced(function*(hours: number) {
          for (let call = 0; call < hours * 12; call++) {
            yield* TestClock.adjust("5 minutes")
            for (const { auth } of members.values()) yield* auth.session
          }
        })
        yield* pass(3)
        assert.lengthOf(journal, 4)
        const [first = ""] = journal
        assert.match(first, /^singleton \d signs in$/)
        const owner = Number(first.split(" ")[1])
        assert.deepStrictEqual(journal.splice(0).slice(1), Array(3).fill(`singleton ${owner} refreshes`))
        const generations = yield* Effect.forEach(members.values(), ({ auth }) => auth.session)
        assert.deepStrictEqual(generations.map(({ generation }) => generation), [4, 4, 4])

        yield* members.get(owner)?.stop ?? Effect.void
        members.delete(owner)
        yield* pass(3)
        const [next = ""] = journal
        assert.match(next, /^singleton \d refreshes$/)
        assert.notStrictEqual(next, `singleton ${owner} refreshes`)
        assert.deepStrictEqual(journal, Array(3).fill(next))
        for (const { stop } of members.values()) yield* stop
      }).pipe(
        Effect.provide([SessionStore.layerMemory, Sqlite.layer({ filename: ":memory:" }), authority])
      ),
    60_000
  )
})
