/**
 * A page in a browser whose calls its backend authenticates: the page asks for what it wants to show, and the backend
 * puts the headers on. No token and no API key gets into the browser, where any script of the page could read them.
 *
 * Who may see the page is for your own sign-in to say, before these routes.
 */
import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Schema } from "effect"
import {
  FetchHttpClient,
  HttpClient,
  HttpClientRequest,
  HttpClientResponse,
  HttpRouter,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"

const pageSize = 50

const Wanted = Schema.Struct({ from: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9_950 })) })

const Found = Schema.Struct({
  hitCount: Schema.Int,
  result: Schema.Array(Schema.Struct({ filename: Schema.String }))
})

/** Another site's page would search with the session of this one. Browsers say where a request comes from. */
const isOwn = ({ headers }: HttpServerRequest.HttpServerRequest) => headers["sec-fetch-site"] === "same-origin"

export const routes = HttpRouter.use(Effect.fnUntraced(function*(router) {
  const client = (yield* TenovosClient.TenovosClient).pipe(HttpClient.filterStatusOk)

  // One operation, with what the page needs of it, and not whatever a browser may send.
  const search = Effect.fn("search")(function*(from: number) {
    const response = yield* HttpClientRequest.post("/search/keyword").pipe(
      HttpClientRequest.bodyJsonUnsafe({ searchTerm: ["*"], from, limit: pageSize }),
      client.execute
    )
    const { hitCount, result } = yield* HttpClientResponse.schemaBodyJson(Found)(response)
    return { assets: result, isLast: hitCount < pageSize }
  })

  yield* router.add(
    "GET",
    "/",
    HttpServerResponse.file(fileURLToPath(new URL("browser-page.html", import.meta.url)), { contentType: "text/html" })
  )
  yield* router.add(
    "POST",
    "/api/search",
    Effect.gen(function*() {
      if (!isOwn(yield* HttpServerRequest.HttpServerRequest)) return HttpServerResponse.empty({ status: 403 })
      const wanted = yield* Effect.option(HttpServerRequest.schemaBodyJson(Wanted))
      if (wanted._tag === "None") return HttpServerResponse.empty({ status: 400 })
      return yield* search(wanted.value.from).pipe(
        Effect.map((found) => HttpServerResponse.jsonUnsafe(found)),
        // Why is for the log, and not for the browser.
        Effect.tapError((error) => Effect.logWarning("A search failed", error)),
        Effect.orElseSucceed(() => HttpServerResponse.empty({ status: 502 }))
      )
    })
  )
}))

const Live = routes.pipe(
  Layer.provide(TenovosClient.layer),
  Layer.provide(TenovosAuth.layerConfig()),
  Layer.provide(FetchHttpClient.layer)
)

if (import.meta.main) {
  HttpRouter.serve(Live).pipe(
    Layer.provide(
      NodeHttpServer.layerConfig(createServer, {
        host: Config.succeed("127.0.0.1"),
        port: Config.Port("PORT").pipe(Config.withDefault(8080))
      })
    ),
    Layer.launch,
    NodeRuntime.runMain
  )
}
