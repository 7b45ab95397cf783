/**
 * Two tenants side by side: which security templates does one have that the other lacks?
 *
 * Each has credentials of its own, in variables that begin with its name: `NORTH_TENOVOS_API_KEY` and so on. Each signs
 * in once, when its first call needs a session, and neither ever sees the other's.
 */
import { Credentials, TenovosAuthMap, TenovosClient } from "@effect-tenovos/core"
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"

const Templates = Schema.Array(Schema.Struct({ templateName: Schema.String }))

/** Does what it is given as this tenant. */
const asTenant = (account: Credentials.Credentials) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  TenovosAuthMap.TenovosAuthMap.use((tenants) =>
    Effect.provide(effect, TenovosClient.layer.pipe(Layer.provide(tenants.get(account))))
  )

const templateNames = Effect.gen(function*() {
  const client = (yield* TenovosClient.TenovosClient).pipe(HttpClient.filterStatusOk)
  const response = yield* client.get("/security/template")
  const templates = yield* HttpClientResponse.schemaBodyJson(Templates)(response)
  return templates.map(({ templateName }) => templateName)
})

export const compare = Effect.fn("compare")(
  function*(tenants: { readonly north: Credentials.Credentials; readonly south: Credentials.Credentials }) {
    const [north, south] = yield* Effect.all(
      [templateNames.pipe(asTenant(tenants.north)), templateNames.pipe(asTenant(tenants.south))],
      { concurrency: 2 }
    )
    return {
      both: north.filter((name) => south.includes(name)),
      onlyNorth: north.filter((name) => !south.includes(name)),
      onlySouth: south.filter((name) => !north.includes(name))
    }
  }
)

if (import.meta.main) {
  Effect.gen(function*() {
    const tenants = yield* Config.all({
      north: Config.nested(Credentials.config, "NORTH"),
      south: Config.nested(Credentials.config, "SOUTH")
    })
    yield* Console.log(yield* compare(tenants))
  }).pipe(
    Effect.provide(TenovosAuthMap.layer().pipe(Layer.provideMerge(FetchHttpClient.layer))),
    NodeRuntime.runMain
  )
}
