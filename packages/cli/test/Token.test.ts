import { assert, describe, it } from "@effect/vitest"
import { readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assertDocumented, assertRefused, assertUsage, authority, secrets, user } from "./support/user.ts"

const jwt = /^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+$/

describe("tenovos token", { timeout: 60_000 }, () => {
  const { control, signedIn, url } = authority()

  const statusOf = async (headers: Record<string, string>) =>
    (await fetch(`${url()}/security/template`, { headers })).status

  it("prints the access token alone, the headers as lines, and all as JSON", async () => {
    const ada = await signedIn()

    const alone = await ada.run(["token"])
    const lines = await ada.run(["token", "--header"])
    const json = await ada.run(["token", "--json"])

    assert.deepInclude(alone, { code: 0, stderr: "" })
    assert.match(alone.stdout, /^eyJ\S+\n$/)
    const headers = Object.fromEntries(
      lines.stdout.trimEnd().split("\n").map((line): [string, string] => {
        const [name = "", value = ""] = line.split(": ")
        return [name, value]
      })
    )
    assert.deepStrictEqual(Object.keys(headers), ["X-API-Key", "AccessToken", "Authorization"])
    assert.strictEqual(`${headers["AccessToken"]}\n`, alone.stdout)
    assert.match(headers["Authorization"] ?? "", jwt)
    assert.strictEqual(await statusOf(headers), 200)
    assertDocumented("token", json.stdout)
    assert.deepStrictEqual(JSON.parse(json.stdout).headers, headers)
  })

  it("says the same from the full program as from the quick one", async () => {
    const ada = await signedIn()

    const quick = await ada.run(["token"])
    const full = await ada.run(["token", "--log-level", "error"])

    assert.deepStrictEqual(full, quick)
  })

  it("signs in by itself where the environment has the credentials, and once for many", async () => {
    const ada = user(url())
    const env = { TENOVOS_USERNAME: "grace", TENOVOS_PASSWORD: secrets.password }
    const before = (await control("journal?operation=authorize")).length

    const results = await Promise.all(Array.from({ length: 4 }, () => ada.run(["token"], { env })))

    assert.deepStrictEqual(results.map(({ code }) => code), [0, 0, 0, 0], results.map(({ stderr }) => stderr).join())
    assert.strictEqual(new Set(results.map(({ stdout }) => stdout)).size, 1)
    assert.strictEqual((await control("journal?operation=authorize")).length, before + 1)
  })

  it("needs no network while the session is good", async () => {
    const ada = await signedIn()

    const env = { HTTP_PROXY: "http://127.0.0.1:1", NODE_USE_ENV_PROXY: "1" }

    const offline = await ada.run(["token"], { env })
    await ada.endAccessToken()
    const ended = await ada.run(["token"], { env })

    assert.deepStrictEqual([offline.code, ended.code], [0, 4])
  })

  it("tells that there is no session", async () => {
    assertRefused(await user(url()).run(["token"]), 3, /Run `tenovos login`/)
  })

  it("tells that there is no API key", async () => {
    assertRefused(await user(url()).run(["token"], { env: { TENOVOS_API_KEY: "" } }), 2, /Set TENOVOS_API_KEY/)
  })

  it("does not serve a session of another endpoint", async () => {
    const ada = await signedIn()

    const elsewhere = await ada.run(["token"], { env: { TENOVOS_ENDPOINT_URL: "https://elsewhere.example/v1" } })

    assertRefused(elsewhere, 3, /Run `tenovos login`/)
  })

  it("keeps profiles apart", async () => {
    const ada = user(url())
    await ada.login({ env: { TENOVOS_PROFILE: "one" } })

    assert.strictEqual((await ada.run(["token", "--profile", "one"])).code, 0)
    assert.strictEqual((await ada.run(["token", "--profile=one"])).code, 0)
    assert.strictEqual((await ada.run(["token"])).code, 3)
  })

  it("goes without a record that is damaged, which status tells of", async () => {
    const ada = await signedIn()
    const [file = ""] = readdirSync(ada.sessions)
    writeFileSync(join(ada.sessions, file), "tenovos-session 1 plain nonsense\n{}")

    const status = await ada.run(["status"])
    const token = await ada.run(["token"])

    assertRefused(token, 3, /Run `tenovos login`/)
    assert.strictEqual(status.code, 3)
    assert.match(status.stderr, /^tenovos: .*can't be read: .* A copy is kept in .*sessions/)
    await ada.login()
    assert.strictEqual((await ada.run(["token"])).code, 0)
  })

  it("can't read a record that was encrypted with another key, and leaves it alone", async () => {
    const ada = user(url())
    const key = { TENOVOS_STORE_KEY: Buffer.alloc(32, 7).toString("base64") }
    await ada.login({ env: key })

    assertRefused(await ada.run(["token"]), 1, /encrypted with the key \S+, which is not at hand/)
    assert.strictEqual((await ada.run(["token"], { env: key })).code, 0)
  })

  it("is silent when nobody reads", async () => {
    const ada = await signedIn()
    const { child, result } = ada.start(["token"])
    child.stdout.destroy()

    assert.deepInclude(await result(), { stderr: "" })
  })

  it("refuses bad values", () =>
    assertUsage(user(url()), [
      [["token", "--headers"], /Unrecognized flag: --headers/],
      [["token", "--profile"], /--profile/],
      [["token", "--profile", "a b"], /profile's name/],
      [["token", "--json=maybe"], /maybe/],
      [["token", "x"], /x/]
    ]))
})

describe("tenovos token, of an access token that has ended", { timeout: 60_000 }, () => {
  const { control, endFaults, url } = authority()

  it("renews it, and tells when it can't", async () => {
    const ada = user(url())
    await ada.login()
    const before = (await ada.run(["token"])).stdout
    await ada.endAccessToken()

    const renewed = await ada.run(["token"])
    assert.strictEqual(renewed.code, 0, renewed.stderr)
    assert.match(renewed.stdout, /^eyJ/)
    assert.notStrictEqual(renewed.stdout, before)

    await ada.endAccessToken()
    await control("faults", { fault: { kind: "status", status: 503 }, operations: ["refresh"] })
    const unreachable = await ada.run(["token"])
    await endFaults()
    assertRefused(unreachable, 4, /The authority answered with status 503/)

    await control("revoke", { username: "ada" })
    assertRefused(await ada.run(["token"]), 3, /Run `tenovos login`/)
  })
})
