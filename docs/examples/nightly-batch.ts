/**
 * A nightly batch of many processes, on one machine or many: they share a session in Redis, so one of them signs in and
 * the others take what it has stored. The next night's begin with a refresh.
 *
 * Nobody signs out at the end: the session is the next night's, and those who are still at work need it.
 */
import {
  Credentials,
  RefreshPolicy,
  SessionEncryption,
  SessionStoreRedis,
  TenovosAuth,
  TenovosClient
} from "@effect-tenovos/core"
import { NodeRedis, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"

const pageSize = 100

const Page = Schema.Struct({
  hitCount: Schema.Int,
  result: Schema.Array(Schema.Struct({ filename: Schema.String }))
})

/** Looks at the pages that fall to this worker, and counts the assets whose file name has no extension. */
export const batch = Effect.fn("batch")(function*(share: { readonly worker: number; readonly workers: number }) {
  const auth = yield* TenovosAuth.TenovosAuth
  const client = (yield* TenovosClient.TenovosClient).pipe(HttpClient.filterStatusOk)
  const { reason } = yield* auth.serve()

  const search = (from: number) =>
    HttpClientRequest.post("/search/keyword").pipe(
      HttpClientRequest.bodyJsonUnsafe({
        searchTerm: ["*"],
        from,
        limit: pageSize,
        // The same order for all workers.
        sortBy: [{ metadataDefinitionSearchField: "createdEpoch", order: "asc" }]
      }),
      client.execute,
      Effect.flatMap(HttpClientResponse.schemaBodyJson(Page))
    )
  const pages = yield* Stream.iterate(share.worker * pageSize, (from) => from + share.workers * pageSize).pipe(
    Stream.mapEffect(search),
    Stream.takeUntil(({ hitCount }) => hitCount < pageSize),
    Stream.runCollect
  )
  const assets = pages.flatMap(({ result }) => result)
  return {
    session: reason,
    looked: assets.length,
    bare: assets.filter(({ filename }) => !filename.includes(".")).length
  }
})

/** Without a `TENOVOS_STORE_KEY`, from `openssl rand -base64 32`, Redis holds the session in plain text. */
const Store = Layer.unwrap(
  Effect.map(Config.String("REDIS_URL"), (url) =>
    // Connects when the session is first needed, so the batch comes up while Redis is down.
    SessionStoreRedis.layerLazy(NodeRedis.layer({ url }), { key: "tenovos:session:nightly" }))
).pipe(Layer.provide(SessionEncryption.layerConfig))

const account = Config.map(Credentials.config, (credentials) => ({
  ...credentials,
  // Renews in good time by itself, whether anybody asks or not: a batch may be busy with one call for long.
  policy: RefreshPolicy.batch
}))

export const Live = TenovosClient.layer.pipe(
  Layer.provideMerge(TenovosAuth.layerConfig(account, Store)),
  Layer.provide(FetchHttpClient.layer)
)

if (import.meta.main) {
  Effect.gen(function*() {
    const share = yield* Config.all({
      worker: Config.Int("WORKER").pipe(Config.withDefault(0)),
      workers: Config.Int("WORKERS").pipe(Config.withDefault(1))
    })
    yield* Console.log(JSON.stringify({ ...share, ...yield* batch(share) }))
  }).pipe(Effect.provide(Live), NodeRuntime.runMain)
}
