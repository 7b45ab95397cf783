import { Authority, AuthorityServer, Database, Migrations } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { inject } from "vitest"
import * as fixtures from "../fixtures/authority.ts"
import { before, isWaitedFor } from "../support/before.ts"
import { schema } from "../support/databases.ts"

const pathOf = (url: string) => String(new URL(url).searchParams.get("options"))

/** The URL with another schema after its own. */
const followedBy = (url: string, other: string): string => {
  const both = new URL(url)
  both.searchParams.set("options", `${pathOf(url)},${pathOf(other).replace("-c search_path=", "")}`)
  return both.href
}

describe("Migrations on PostgreSQL", () => {
  it.effect("are of the first schema in the search path alone", () =>
    Effect.gen(function*() {
      const mine = yield* schema
      const theirs = yield* schema
      const on = <A, E>(database: string, run: Effect.Effect<A, E, Authority.Authority>) =>
        Effect.provide(run, AuthorityServer.layerAuthority({ database, keys: fixtures.keys }))
      const add = (key: string) => Authority.Authority.use((authority) => authority.addApiKey(Redacted.make(key)))
      const count = Effect.map(Authority.Authority.use((authority) => authority.count), ({ apiKeys }) => apiKeys)
      yield* on(theirs, Effect.andThen(add("a"), add("b")))

      // The second time all is up to date.
      yield* on(followedBy(mine, theirs), add("c"))
      yield* on(followedBy(mine, theirs), count)

      assert.deepStrictEqual([yield* on(mine, count), yield* on(theirs, count)], [1, 2])
    }))

  it.effect("are run once where a second process looks before they are done", () =>
    Effect.gen(function*() {
      const database = yield* schema
      const process = Effect.provide(Migrations.run, Database.layer(database))
      const watch = yield* Layer.build(Database.layer(database))
      const second = yield* Deferred.make<Fiber.Fiber<void, unknown>>()

      yield* process.pipe(before("ALTER TABLE denied_tokens", (pid) =>
        Effect.forkScoped(process).pipe(
          Effect.flatMap((fiber) => Deferred.succeed(second, fiber)),
          Effect.andThen(Effect.provideContext(isWaitedFor(pid), watch))
        )))

      yield* Fiber.join(yield* Deferred.await(second))
    }))

  it.effect("say so where the search path names no schema that exists", () =>
    Effect.gen(function*() {
      const database = new URL(inject("postgres"))
      database.searchParams.set("options", "-c search_path=nowhere")

      const refused = yield* Effect.flip(Effect.provide(Migrations.run, Database.layer(database.href)))

      assert.strictEqual(
        refused.message,
        "The search path names no schema that exists and may be used."
      )
    }))
})
