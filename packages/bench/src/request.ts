/** The CPU that a request costs on top of the client that it goes through. */
import * as TenovosClient from "@effect-tenovos/core/TenovosClient"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as endpoint from "./endpoint.ts"
import { atMost, compare, cpu, type Figure, plain, round } from "./figure.ts"
import * as peers from "./peers.ts"

const times = 20_000
const rounds = 11

/** A service that answers at once. */
const fetch = () => Promise.resolve(new Response("{}"))
const url = `${endpoint.endpointUrl}/asset/1`
const headers = { "x-api-key": "key", accesstoken: "access-0", authorization: "id" }

const many = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<void, E> =>
  Effect.gen(function*() {
    for (let i = 0; i < times; i++) yield* effect
  })

export const run: Effect.Effect<ReadonlyArray<Figure>, unknown> = Effect.gen(function*() {
  const client = yield* HttpClient.HttpClient
  const ours = yield* TenovosClient.TenovosClient
  yield* ours.get(url)
  const time = yield* compare(rounds, cpu, {
    fetch: Effect.promise(async () => {
      for (let i = 0; i < times; i++) await fetch()
    }),
    client: many(client.get(url, { headers })),
    ours: many(ours.get(url)),
    relative: many(ours.get("/asset/1"))
  })
  const micros = (name: string) => time(name) / times * 1000
  return [
    atMost("added to a request", micros("ours") - micros("client"), 10, "µs of CPU"),
    atMost("added to a request with a relative URL", micros("relative") - micros("client"), 10, "µs of CPU"),
    plain("HttpClient, the headers by hand", `${round(micros("client"))} µs`),
    plain("TenovosClient", `${round(micros("ours"))} µs`),
    plain("the fetch underneath", `${round(micros("fetch"))} µs`)
  ]
}).pipe(
  Effect.provide(
    TenovosClient.layer.pipe(
      Layer.provide(peers.layer(endpoint.make({ life: 3_600_000, delay: 0 }))),
      Layer.provideMerge(FetchHttpClient.layer),
      Layer.provideMerge(Layer.succeed(FetchHttpClient.Fetch, fetch))
    )
  )
)
