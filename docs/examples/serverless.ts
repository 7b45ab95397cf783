/**
 * A serverless function. What stands outside of the handler is made once per instance, and lives on while the instance is
 * warm; a session in Redis outlives the instances, so that a new one takes what another has left there.
 *
 * The first call of all signs in. A warm instance exchanges nothing with `/auth/token`, and neither does a cold one, until
 * the access token's end is near: then one of them refreshes for all. Should the platform freeze that one in the middle of
 * it, its lease ends by itself, and another refreshes.
 */
import { SessionEncryption, SessionStoreRedis, TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { NodeRedis } from "@effect/platform-node"
import { Config, Effect, Layer, ManagedRuntime, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"

const Store = Layer.unwrap(
  Effect.map(
    Config.String("REDIS_URL"),
    (url) => SessionStoreRedis.layerLazy(NodeRedis.layer({ url }), { key: "tenovos:session:serverless" })
  )
).pipe(Layer.provide(SessionEncryption.layerConfig))

/** Nothing is built, and no connection opened, before the first call. */
export const runtime = ManagedRuntime.make(
  TenovosClient.layer.pipe(
    Layer.provide(TenovosAuth.layerConfig(undefined, Store)),
    Layer.provide(FetchHttpClient.layer)
  )
)

const Asset = Schema.Struct({ objectId: Schema.String, filename: Schema.String })

const filenameOf = Effect.fn("filenameOf")(function*(assetId: string) {
  const client = (yield* TenovosClient.TenovosClient).pipe(HttpClient.filterStatusOk)
  const response = yield* client.get(`/asset/${encodeURIComponent(assetId)}`)
  return (yield* HttpClientResponse.schemaBodyJson(Asset)(response)).filename
})

/** What the platform calls, with as many calls at a time as it likes. */
export const handler = (event: { readonly assetId: string }): Promise<{ readonly filename: string }> =>
  runtime.runPromise(
    Effect.map(filenameOf(event.assetId), (filename) => ({ filename })).pipe(
      // Sooner than the platform gives up, so that the caller is told why.
      Effect.timeout("40 seconds")
    )
  )

// The session is not signed out of: it is the other instances' too.
process.once("SIGTERM", () => runtime.dispose())
