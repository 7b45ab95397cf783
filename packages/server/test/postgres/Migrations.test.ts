import { Authority, AuthorityServer } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as fixtures from "../fixtures/authority.ts"
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
})
