import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { SampleApi } from "@effect-tenovos/server"
import { TestTenovos } from "@effect-tenovos/testing"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { TestClock } from "effect/testing"
import { createHmac } from "node:crypto"
import { createServer } from "node:http"
import { routes } from "../webhook.ts"
import * as wire from "./support/wire.ts"

const secret = Buffer.from("a secret of the endpoint's own")

const { objectId } = SampleApi.asset(7)

/** What the receiver asked of the API, and was told. */
class Seen extends Context.Service<Seen, { readonly asked: Array<string>; readonly told: Array<string> }>()(
  "examples/Seen"
) {}

const Receiver = Layer.unwrap(Effect.map(Seen, ({ told }) =>
  HttpRouter.serve(
    routes({
      secret: Redacted.make(`whsec_${secret.toString("base64")}`),
      onAsset: (eventType, { filename }) => Effect.sync(() => void told.push(`${eventType} ${filename}`))
    }),
    { disableLogger: true, disableListenLog: true }
  ))).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.provide(TenovosClient.layer),
    Layer.provideMerge(TenovosAuth.layer(TestTenovos.credentials)),
    Layer.provide(
      Layer.unwrap(
        Effect.map(
          Seen,
          ({ asked }) =>
            wire.tap(({ method, url }) => Effect.sync(() => void asked.push(`${method} ${new URL(url).pathname}`)))
        )
      )
    ),
    Layer.provide(TestTenovos.layer()),
    Layer.provideMerge(Layer.sync(Seen, () => ({ asked: [], told: [] })))
  )

const sign = (signed: string) => `v1,${createHmac("sha256", secret).update(signed).digest("base64")}`

/** Sends a webhook, signed at second 1000 unless told otherwise, and gives the status of the answer. */
const send = Effect.fnUntraced(function*(
  event: object,
  options?: { readonly signature?: (good: string) => string; readonly seconds?: number }
) {
  const { address } = yield* HttpServer.HttpServer
  const body = JSON.stringify(event)
  const seconds = options?.seconds ?? 1000
  const good = sign(`msg_1.${seconds}.${body}`)
  const { status } = yield* Effect.promise(() =>
    fetch(`${HttpServer.formatAddress(address)}/webhooks/tenovos`, {
      method: "POST",
      body,
      headers: {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": String(seconds),
        "webhook-signature": options?.signature?.(good) ?? good
      }
    })
  )
  return status
})

const created = { eventType: "asset.created", asset: { id: objectId } }

describe("webhook.ts", () => {
  it.effect("asks the API about the asset of each, with one sign-in for all", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1000_000)

      const statuses = yield* Effect.replicateEffect(send(created), 5, { concurrency: 5 })
      statuses.push(yield* send({ ...created, eventType: "asset.deleted" }))
      statuses.push(yield* send({ eventType: "user.created", user: { id: "1" } }))

      assert.deepStrictEqual(statuses, [200, 200, 200, 200, 200, 200, 200])
      const { asked, told } = yield* Seen
      assert.deepStrictEqual(told, Array.from({ length: 5 }, () => "asset.created autumn-0007.jpg"))
      assert.deepStrictEqual(asked, ["POST /v1/auth/token", ...told.map(() => `GET /v1/asset/${objectId}`)])
    }).pipe(Effect.provide(Receiver)))

  it.effect("refuses what Tenovos did not sign, or not now, and asks nothing about it", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1000_000)
      const other = sign(`msg_1.1000.${JSON.stringify({ ...created, eventType: "asset.shared" })}`)

      assert.strictEqual(yield* send(created, { signature: () => other }), 401)
      assert.strictEqual(yield* send(created, { signature: () => "" }), 401)
      assert.strictEqual(yield* send(created, { signature: (good) => good.replace("v1,", "v2,") }), 401)
      assert.strictEqual(yield* send(created, { seconds: 699 }), 401)
      assert.strictEqual(yield* send(created, { seconds: 1301 }), 401)
      assert.deepStrictEqual((yield* Seen).asked, [])

      // While the secret is being changed, one of two is good.
      assert.strictEqual(yield* send(created, { signature: (good) => `${other} ${good}`, seconds: 700 }), 200)
    }).pipe(Effect.provide(Receiver)))

  it.effect("is sent again what it could not deal with", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1000_000)

      assert.strictEqual(yield* send({ ...created, asset: { id: "nothing" } }), 503)
      assert.strictEqual(yield* send({ eventType: 7 }), 503)
    }).pipe(Effect.provide(Receiver)))
})
