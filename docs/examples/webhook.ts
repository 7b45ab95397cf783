/**
 * Receives webhooks, and asks the API about the asset that each tells of: a webhook says only which one it was.
 *
 * It is answered when the work is done. Tenovos sends again what is not answered with 200 within 30 seconds, so when the
 * API is out of reach, or this process dies, nothing is lost. One may come twice, or after a later one.
 */
import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { NodeCrypto, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { ByteSize, Clock, Config, Console, Duration, Effect, Layer, Redacted, Schema } from "effect"
import { Mac } from "effect/crypto"
import {
  FetchHttpClient,
  HttpClient,
  HttpClientResponse,
  HttpIncomingMessage,
  HttpRouter,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { createServer } from "node:http"

const Event = Schema.fromJsonString(Schema.Struct({
  eventType: Schema.String,
  asset: Schema.optionalKey(Schema.Struct({ id: Schema.String }))
}))

const Asset = Schema.Struct({ objectId: Schema.String, filename: Schema.String })

/** One that was sent longer ago is somebody's copy. */
const tolerance = Duration.minutes(5)

/** Whether Tenovos signed this: see "Verifying Webhook Signatures" in its developer portal. */
const isSigned = Effect.fnUntraced(function*(
  mac: Mac.Mac["Service"],
  key: Mac.Key,
  request: HttpServerRequest.HttpServerRequest,
  body: string
) {
  const { "webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": signatures = "" } = request.headers
  const age = Math.abs((yield* Clock.currentTimeMillis) - Number(seconds) * 1000)
  if (!(age <= Duration.toMillis(tolerance))) return false

  const signed = new TextEncoder().encode(`${id}.${seconds}.${body}`)
  // More than one while the secret is being changed.
  const tags = signatures.split(" ").filter((signature) => signature.startsWith("v1,"))
  const verdicts = yield* Effect.forEach(tags, (tag) => mac.verify(key, Buffer.from(tag.slice(3), "base64"), signed))
  return verdicts.includes(true)
})

export const routes = (options: {
  /** Of the webhook's endpoint, as Tenovos shows it: `whsec_…`. */
  readonly secret: Redacted.Redacted
  readonly onAsset: (eventType: string, asset: typeof Asset.Type) => Effect.Effect<void>
}) =>
  HttpRouter.use(Effect.fnUntraced(function*(router) {
    const client = (yield* TenovosClient.TenovosClient).pipe(HttpClient.filterStatusOk)
    const mac = yield* Mac.Mac
    const secret = Redacted.value(options.secret).replace(/^whsec_/, "")
    const key = yield* Mac.key(Mac.hmacSha256, Buffer.from(secret, "base64"))

    yield* router.add(
      "POST",
      "/webhooks/tenovos",
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const body = yield* request.text
        if (!(yield* isSigned(mac, key, request, body))) return HttpServerResponse.empty({ status: 401 })

        const { asset, eventType } = yield* Schema.decodeEffect(Event)(body)
        if (asset !== undefined && !/\.(?:deleted|purged)$/.test(eventType)) {
          const found = yield* client.get(`/asset/${encodeURIComponent(asset.id)}`).pipe(
            Effect.flatMap(HttpClientResponse.schemaBodyJson(Asset)),
            Effect.timeout("20 seconds")
          )
          yield* options.onAsset(eventType, found)
        }
        return HttpServerResponse.empty({ status: 200 })
      }).pipe(
        Effect.tapError((error) => Effect.logWarning("A webhook was not dealt with", error)),
        Effect.orElseSucceed(() => HttpServerResponse.empty({ status: 503 })),
        Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(64 * 1024))
      )
    )
  })).pipe(Layer.provide(NodeCrypto.layer))

const Live = Layer.unwrap(Effect.map(
  Config.Redacted("WEBHOOK_SECRET"),
  (secret) => routes({ secret, onAsset: (eventType, { filename }) => Console.log(eventType, filename) })
)).pipe(
  Layer.provide(TenovosClient.layer),
  Layer.provide(TenovosAuth.layerConfig()),
  Layer.provide(FetchHttpClient.layer)
)

if (import.meta.main) {
  HttpRouter.serve(Live).pipe(
    Layer.provide(
      NodeHttpServer.layerConfig(createServer, { port: Config.Port("PORT").pipe(Config.withDefault(8080)) })
    ),
    Layer.launch,
    NodeRuntime.runMain
  )
}
