import { AuthorityServer } from "@effect-tenovos/server"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Browser, Page } from "playwright-core"
import * as fixtures from "./fixtures/authority.ts"
import * as chromium from "./fixtures/chromium.ts"

const json = { "Content-Type": "application/json", "X-API-Key": fixtures.apiKey }

const post = (origin: string, body: unknown) =>
  fetch(`${origin}/v1/auth/token`, { method: "POST", headers: json, body: JSON.stringify(body) })

const signIn = async (origin: string): Promise<fixtures.Issued> => {
  const response = await post(origin, { username: fixtures.username, password: fixtures.password })
  return response.json()
}

const call = async (origin: string, { session }: fixtures.Issued) => {
  const response = await fetch(`${origin}/v1/security/template`, {
    headers: { ...json, AccessToken: session.accessToken, Authorization: session.authorization }
  })
  return response.status
}

let browser: Browser

/** A page that shows the inspector of a new authority, and all that it complained of. */
const inspect = (
  use: (page: Page, origin: string) => Promise<void>,
  options?: { readonly colorScheme: "dark" | "light" }
) =>
  Effect.gen(function*() {
    const { origin } = yield* AuthorityServer.AuthorityServer
    const context = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newContext(options)),
      (context) => Effect.promise(() => context.close())
    )
    yield* Effect.promise(async () => {
      const page = await context.newPage()
      page.setDefaultTimeout(15_000)
      const complaints: Array<string> = []
      page.on("pageerror", (error) => complaints.push(error.message))
      page.on("console", (message) => {
        if (message.type() === "error" || message.type() === "warning") complaints.push(message.text())
      })
      await page.goto(`${origin}/__inspector`)
      await page.locator("#status", { hasText: "live" }).waitFor()
      await use(page, origin)
      assert.deepStrictEqual(complaints, [])
    })
  }).pipe(Effect.scoped, Effect.provide(fixtures.layerNode({ dev: true })))

describe.skipIf(chromium.isSkipped)(`/__inspector in a browser${chromium.reason}`, () => {
  // One for all tests, each of which has a context of its own in it.
  beforeAll(async () => {
    browser = await chromium.launch()
  })
  afterAll(() => browser.close())

  it.live("shows sessions, their claims and requests as they come, and no secret", () =>
    inspect(async (page, origin) => {
      const issued = await signIn(origin)
      await call(origin, issued)

      const session = page.locator("#sessions details")
      await session.getByText("59m").waitFor()
      await session.getByText("29d 23h").waitFor()
      const before = await session.locator("time").first().textContent()
      await session.locator("summary").click()
      assert.include(await session.locator("pre").textContent(), `"token_use": "access"`)
      assert.include(await session.locator("pre").textContent(), `"email": "ada@example.com"`)
      const requests = page.locator("#journal details")
      await requests.nth(1).waitFor()
      assert.match(await requests.first().locator("summary").innerText(), /200[^]*call[^]*GET \/v1\/security\/template/)
      await requests.first().locator("summary").click()
      assert.include(await requests.first().locator("pre").textContent(), `"accesstoken": "sha256:`)
      // It ticks.
      await page.waitForFunction(
        (before) => document.querySelector("#sessions time")?.textContent !== before,
        before
      )

      // Asked for anew, so that what the page got is compared too, not only what it shows.
      const text = await page.content() +
        await page.evaluate(async () =>
          (await Promise.all(
            ["sessions", "users", "journal", "tenants", "faults"].map((path) =>
              fetch(`/__control/${path}`).then((response) => response.text())
            )
          )).join("\n")
        )
      const { accessToken, authorization, refreshToken } = issued.session
      const parts = [accessToken, authorization, refreshToken].map((token) => token.split(".").at(-1) ?? "")
      for (const secret of [...parts, fixtures.apiKey, fixtures.password]) assert.notInclude(text, secret)
    }))

  it.live("moves the clock, revokes, snapshots, restores and resets", () =>
    inspect(async (page, origin) => {
      const issued = await signIn(origin)
      const status = page.locator("#status")
      const press = async (name: string, said: RegExp) => {
        await page.getByRole("button", { name, exact: true }).click()
        await status.filter({ hasText: said }).waitFor()
      }
      await page.locator("#sessions details").waitFor()

      await press("Snapshot", /Kept a snapshot/)
      await press("Revoke all", /Revoked 1 sessions/)
      assert.strictEqual(await call(origin, issued), 401)
      await press("Restore", /Restored the snapshot/)
      assert.strictEqual(await call(origin, issued), 200)
      await press("+1 hour", /Moved the clock by 1 hour/)
      assert.strictEqual(await call(origin, issued), 401)
      await page.locator("#advanced", { hasText: "1h 0m ahead" }).waitFor()
      await page.locator("#sessions").getByText("over").waitFor()
      const renewed: fixtures.Issued = await (await post(origin, issued)).json()
      await page.locator("#sessions summary").click()
      await press("Revoke ada's session", /Revoked a session of ada/)
      assert.strictEqual(await call(origin, renewed), 401)
      await press("+30 days", /Moved the clock by 30 days/)
      await press("Reset", /Reset sessions, faults and journal/)
      await page.waitForFunction(() => document.querySelectorAll("#sessions details, #journal details").length === 0)
    }))

  it.live("locks, unlocks, disables and enables a user, and rotates keys", () =>
    inspect(async (page, origin) => {
      const issued = await signIn(origin)
      const press = async (name: string, said: string) => {
        await page.getByRole("button", { name, exact: true }).click()
        await page.locator("#status", { hasText: said }).waitFor()
      }
      const attempt = async () =>
        (await post(origin, { username: fixtures.username, password: fixtures.password })).status
      const signingKid = async () => {
        const { session } = await signIn(origin)
        return JSON.parse(atob(session.accessToken.split(".")[0] ?? "")).kid
      }

      await press("lock ada", "Locked ada")
      assert.deepStrictEqual([await attempt(), await call(origin, issued)], [401, 200])
      await press("unlock ada", "Unlocked ada")
      assert.strictEqual(await attempt(), 200)
      await press("disable ada", "Disabled ada")
      assert.deepStrictEqual([await attempt(), await call(origin, issued)], [401, 401])
      await press("enable ada", "Enabled ada")
      assert.deepStrictEqual([await attempt(), await call(origin, issued)], [200, 200])

      const before = await signingKid()
      await press("Rotate keys", "Rotated the keys")
      assert.notStrictEqual(await signingKid(), before)
      assert.strictEqual(await call(origin, issued), 200)
    }))

  it.live("injects faults and takes them back", () =>
    inspect(async (page, origin) => {
      const form = page.locator("#fault")
      await form.getByLabel("What").selectOption("rateLimit")
      await form.getByLabel("Seconds").fill("9")
      await form.getByLabel("Operation").selectOption("authorize")
      await form.getByLabel("Times").fill("1")
      await form.getByRole("button", { name: "Inject" }).click()
      await page.locator("#faults").getByText("rateLimit · retryAfter 9 · authorize · 1 times · injected 0").waitFor()

      const limited = await post(origin, { username: "ada", password: "x" })
      assert.deepStrictEqual([limited.status, limited.headers.get("retry-after")], [429, "9"])
      await page.locator("#journal").getByText("fault: rateLimit").waitFor()
      await page.waitForFunction(() => document.querySelectorAll("#faults .row").length === 0)

      await form.getByLabel("What").selectOption("real")
      assert.isTrue(await page.locator("#value-label").isHidden())
      await form.getByRole("button", { name: "Inject" }).click()
      await page.locator("#faults").getByRole("button", { name: "Remove latency" }).click()
      await page.waitForFunction(() => document.querySelectorAll("#faults .row").length === 0)
    }))

  it.live("shows one tenant alone, and controls it alone", () =>
    inspect(async (page, origin) => {
      await signIn(origin)
      await page.locator("#journal details").waitFor()
      await page.getByRole("button", { name: "Add a tenant" }).click()
      await page.locator("#status", { hasText: "Added tenant-" }).waitFor()
      await page.waitForFunction(() => document.querySelectorAll("#tenant option").length === 3)
      const names = await page.locator("#tenant option").evaluateAll((options) =>
        options.map((option) => option.textContent)
      )

      await page.locator("#tenant").selectOption(names[2] ?? "")
      await page.locator("#status", { hasText: "live" }).waitFor()
      await page.waitForFunction(() => document.querySelectorAll("#sessions details, #journal details").length === 0)
      await page.getByRole("button", { name: "+1 day" }).click()
      await page.locator("#advanced", { hasText: "1d 0h ahead" }).waitFor()
      await page.locator("#tenant").selectOption("default")
      await page.waitForFunction(() => document.querySelectorAll("#sessions details").length === 1)
      await page.waitForFunction(() => document.querySelector("#advanced")?.textContent === "")
    }))

  it.live("works with the keyboard alone, and keeps focus and open rows when it shows what is new", () =>
    inspect(async (page, origin) => {
      await signIn(origin)
      const summary = page.locator("#sessions summary")
      await summary.waitFor()
      const isFocused = () => summary.evaluate((element) => element === document.activeElement)
      for (let presses = 0; presses < 30 && !await isFocused(); presses++) await page.keyboard.press("Tab")
      assert.isTrue(await isFocused())
      await page.keyboard.press("Enter")
      await page.keyboard.press("Tab")

      // A request makes the page show the sessions anew.
      await post(origin, { username: "ada", password: "wrong" })
      await page.locator("#journal details").nth(1).waitFor()
      await page.locator("#sessions details[open]").waitFor()
      assert.strictEqual(
        await page.evaluate(() => document.activeElement?.getAttribute("aria-label")),
        "Revoke ada's session"
      )
      await page.keyboard.press("Enter")
      await page.locator("#status", { hasText: "Revoked a session of ada" }).waitFor()
      await page.locator("#sessions").getByText("revoked").waitFor()
    }))

  for (const colorScheme of ["light", "dark"] as const) {
    it.live(`is ${colorScheme} for who prefers it`, () =>
      inspect(async (page) => {
        const [text, background] = await page.evaluate(() => {
          const { backgroundColor, color } = getComputedStyle(document.body)
          return [color, backgroundColor].map((value) => Number(/\d+/.exec(value)?.[0]))
        })
        assert.strictEqual((text ?? 0) > (background ?? 0), colorScheme === "dark")
      }, { colorScheme }))
  }

  it.live("takes what a program sends for text, and no page of another origin can reach it", () =>
    inspect(async (page, origin) => {
      await fetch(`${origin}/v1/<img src=x onerror=alert(1)>`, { headers: { "X-API-Key": "<b>key</b>" } })
      await page.locator("#journal details").waitFor()
      assert.strictEqual(await page.locator("#journal img, #journal b").count(), 0)

      const { port } = new URL(origin)
      const stranger = await page.context().newPage()
      // Another name of this machine is another origin.
      await stranger.goto(`http://localhost:${port}/health`)
      const outcomes = await stranger.evaluate(async (origin) => {
        const attempt = (path: string, init: RequestInit) =>
          fetch(`${origin}${path}`, init).then(({ status, type }) => `${type} ${status}`, () => "failed")
        return Promise.all([
          attempt("/__control/reset", { method: "POST", mode: "no-cors" }),
          attempt("/__control/clock", { method: "POST", mode: "no-cors", body: JSON.stringify({ advance: 1 }) }),
          attempt("/__control/clock", {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ advance: 1 })
          }),
          attempt("/__control/journal", { method: "DELETE" }),
          attempt("/__control/sessions", {})
        ])
      }, origin)
      for (const outcome of outcomes) assert.match(outcome, /^(?:opaque 0|failed)$/)
      await stranger.close()
      const state = await (await fetch(`${origin}/__control/clock`)).json()
      assert.deepInclude(state, { advanced: 0 })
      assert.strictEqual(await page.locator("#journal details").count(), 1)
    }))
})
