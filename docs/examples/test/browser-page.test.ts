import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { TestTenovos } from "@effect-tenovos/testing"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import * as chromium from "../../../packages/server/test/fixtures/chromium.ts"
import { routes } from "../browser-page.ts"

const Backend = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
  Layer.provideMerge(TenovosClient.layer),
  Layer.provideMerge(TenovosAuth.layer(TestTenovos.credentials)),
  Layer.provide(TestTenovos.layer())
)

const origin = Effect.map(HttpServer.HttpServer, ({ address }) => HttpServer.formatAddress(address))

describe("browser-page.ts", () => {
  it.live("searches for its own page only", () =>
    Effect.gen(function*() {
      const url = yield* origin
      const search = (site: string, body: unknown) =>
        Effect.promise(() =>
          fetch(`${url}/api/search`, {
            method: "POST",
            headers: { "content-type": "application/json", "sec-fetch-site": site },
            body: JSON.stringify(body)
          })
        )

      assert.strictEqual((yield* search("same-origin", { from: 0 })).status, 200)
      assert.strictEqual((yield* search("cross-site", { from: 0 })).status, 403)
      assert.strictEqual((yield* search("same-origin", { from: -1 })).status, 400)
    }).pipe(Effect.provide(Backend)))

  it.live.skipIf(chromium.isSkipped)(
    `shows assets, and no token gets into the browser${chromium.reason}`,
    () =>
      Effect.gen(function*() {
        const url = yield* origin
        const auth = yield* TenovosAuth.TenovosAuth
        const session = yield* auth.session
        const browser = yield* Effect.acquireRelease(
          Effect.promise(() => chromium.launch()),
          (browser) => Effect.promise(() => browser.close())
        )

        const seen = yield* Effect.promise(async () => {
          const page = await browser.newPage()
          const seen: Array<Promise<string>> = []
          page.on("response", (response) => {
            seen.push(response.allHeaders().then((headers) => JSON.stringify(headers)), response.text())
            seen.push(response.request().allHeaders().then((headers) => JSON.stringify(headers)))
          })
          await page.goto(url)
          await page.getByText("50 assets").waitFor()
          await page.getByRole("button", { name: "More" }).click()
          await page.getByText("100 assets").waitFor()
          assert.strictEqual(await page.locator("li").last().textContent(), "winter-0100.jpg")
          return (await Promise.all(seen)).join("\n")
        })

        assert.include(seen, "winter-0100.jpg")
        for (
          const secret of [session.accessToken, session.idToken, session.refreshToken, TestTenovos.credentials.apiKey]
        ) {
          if (secret !== undefined) assert.notInclude(seen, Redacted.value(secret))
        }
        assert.notInclude(seen, "eyJ")
      }).pipe(Effect.scoped, Effect.provide(Backend))
  )
})
