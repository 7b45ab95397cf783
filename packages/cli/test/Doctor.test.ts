import { assert, describe, it, onTestFinished } from "@effect/vitest"
import { once } from "node:events"
import { chmodSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { assertDocumented, assertNoSecrets, assertRefused, authority, secrets, user } from "./support/user.ts"

describe("tenovos doctor", { timeout: 60_000 }, () => {
  const { control, signedIn, url } = authority()

  const states = (stdout: string) =>
    Object.fromEntries([...stdout.matchAll(/^(ok|warn|fail) +([\w ]+):/gm)].map(([, state, name]) => [name, state]))

  const healthy = {
    configuration: "ok",
    endpoint: "ok",
    "API key": "ok",
    clock: "ok",
    store: "ok",
    lock: "ok",
    encryption: "ok",
    session: "ok",
    request: "ok"
  }
  const encrypted = { TENOVOS_STORE_KEY: Buffer.alloc(32, 7).toString("base64") }

  it("finds that all is well, without a sign-in that fails", async () => {
    const ada = user(url())
    await ada.login({ env: encrypted })

    const result = await ada.run(["doctor"], { env: encrypted })
    const json = await ada.run(["doctor", "--json"], { env: encrypted })

    assert.deepStrictEqual(states(result.stdout), healthy)
    assert.deepInclude(result, { code: 0, stderr: "" })
    assertDocumented("doctor", json.stdout.replaceAll(/"advice":"[^"]*"/g, "\"advice\":null"))
    assertNoSecrets(result.stdout + json.stdout)
  })

  it("tells what is wrong with the store", async () => {
    const ada = await signedIn()
    chmodSync(ada.sessions, 0o755)
    chmodSync(ada.config, 0o644)
    const open = await ada.run(["doctor"])
    rmSync(ada.sessions, { recursive: true })
    writeFileSync(ada.sessions, "a file")
    const broken = await ada.run(["doctor"])

    assert.deepStrictEqual(states(open.stdout), {
      ...healthy,
      configuration: "warn",
      store: "warn",
      encryption: "warn"
    })
    assert.strictEqual(open.code, 0)
    assert.deepInclude(states(broken.stdout), { lock: "fail", session: "fail" })
    assert.strictEqual(broken.code, 1)
  })

  it("tells that the API key is refused, or is none", async () => {
    const ada = await signedIn()

    const refused = await ada.run(["doctor"], { env: { TENOVOS_API_KEY: "another" } })
    const none = await ada.run(["doctor"], { env: { TENOVOS_API_KEY: "" } })

    assert.deepInclude(states(refused.stdout), { endpoint: "ok", "API key": "fail", request: "fail" })
    assert.strictEqual(refused.code, 1)
    assert.deepInclude(states(none.stdout), { "API key": "fail" })
    assert.strictEqual(none.code, 2)
  })

  it("tells that the endpoint is out of reach, or something else", async () => {
    const server = createServer((_, response) => response.end("<html>")).listen(0, "127.0.0.1")
    onTestFinished(() => void server.close())
    await once(server, "listening")
    const address = server.address()
    const other = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/v1`

    const away = await user("http://127.0.0.1:9/v1").run(["doctor"])
    const strange = await user(other).run(["doctor"])

    assert.deepInclude(states(away.stdout), { endpoint: "fail", session: "fail" })
    assert.match(strange.stdout, /^fail +endpoint: .* answers with status 200\. Check TENOVOS_ENDPOINT_URL/m)
    assert.deepStrictEqual([away.code, strange.code], [4, 4])
  })

  it("sends nobody's password", async () => {
    const ada = user(url())
    const before = (await control("journal?operation=authorize")).length
    const env = { TENOVOS_USERNAME: "ada", TENOVOS_PASSWORD: "wrong" }

    const result = await ada.run(["doctor"], { env })

    assert.deepInclude(states(result.stdout), { session: "ok" })
    // One, without a user, tells about endpoint, key and clock.
    assert.strictEqual((await control("journal?operation=authorize")).length - before, 1)
  })

  it("tells that the clocks differ", async () => {
    const ada = await signedIn()
    await control("clock", { advance: 120_000 })

    const result = await ada.run(["doctor"])

    assert.match(result.stdout, /^warn +clock: 1(19|20|21) s behind the endpoint\. .*set this machine's clock/m)
    assert.strictEqual(result.code, 0)
  })

  it("tells that the lock is held, and that nobody is signed in", async () => {
    const ada = user(url())
    await control("faults", { fault: { kind: "latency", milliseconds: 20_000 }, operations: ["authorize"], times: 1 })
    const { child } = ada.start(["login", "--username", "ada", "--password-stdin"], { stdin: secrets.password })
    await ada.leased()
    assert.isNull(child.exitCode)

    const result = await ada.run(["doctor"], { env: { TENOVOS_USERNAME: "ada" } })

    assert.deepInclude(states(result.stdout), { lock: "warn", session: "fail" })
    assert.strictEqual(result.code, 3)
  })

  it("refuses an unknown flag", async () => {
    assertRefused(await user(url()).run(["doctor", "--fix"]), 2, /Unrecognized flag: --fix/)
  })
})
