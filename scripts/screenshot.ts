// What does the inspector look like? Starts an authority, lets some programs use it, and writes docs/inspector.png. Needs
// a chromium on the PATH.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { statSync } from "node:fs"
import { createInterface } from "node:readline"
import { launch } from "../packages/server/test/fixtures/chromium.ts"

const file = "docs/inspector.png"
const most = 200_000

const authority = spawn(
  process.execPath,
  ["packages/cli/src/bin.ts", "serve", "--dev", "--port", "0", "--database", ":memory:", "--json"],
  { stdio: ["ignore", "pipe", "inherit"] }
)
const [ready] = await once(createInterface({ input: authority.stdout }), "line")
const { endpointUrl } = JSON.parse(ready)
const { origin } = new URL(endpointUrl)

const send = async (url: string, method: string, body?: unknown, headers: Record<string, string> = {}) => {
  const response = await fetch(url, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  }).catch(() => undefined)
  return response?.json().catch(() => undefined)
}
const control = (path: string, body: unknown) => send(`${origin}/__control/${path}`, "POST", body)

const users = ["ada", "grace", "linus"].map((username) => ({
  username,
  password: `${username}'s password`,
  email: `${username}@example.com`
}))
const { apiKey } = await control("tenants", { tenant: "acme", users })
const key = { "X-API-Key": apiKey }
const token = (body: unknown) => send(`${endpointUrl}/auth/token`, "POST", body, key)
const call = ({ session }: { readonly session: Record<"accessToken" | "authorization", string> }) =>
  send(`${endpointUrl}/security/template`, "GET", undefined, {
    ...key,
    AccessToken: session.accessToken,
    Authorization: session.authorization
  })

const [ada, grace] = await Promise.all(users.map(({ password, username }) => token({ username, password })))
await control("clock", { advance: 2_400_000 })
await call(ada)
await control("faults", { fault: { kind: "lostAnswer" }, operations: ["refresh"], times: 2 })
await token(ada)
await control("faults", { fault: { kind: "rateLimit", retryAfter: 5 }, operations: ["authorize"], share: 0.2 })
await token(grace)
await token(grace)
await control("revoke", { username: "linus" })
await call(grace)

const browser = await launch()
const page = await browser.newPage({ viewport: { width: 1200, height: 820 } })
await page.goto(`${origin}/__inspector`)
await page.locator("#status", { hasText: "live" }).waitFor()
await page.locator("#sessions summary", { hasText: "ada" }).click()
await page.screenshot({ path: file })
await browser.close()
authority.kill()

const { size } = statSync(file)
console.log(`${file}: ${size} bytes`)
process.exitCode = size < most ? 0 : 1
