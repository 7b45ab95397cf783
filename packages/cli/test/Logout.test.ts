import { assert, describe, it } from "@effect/vitest"
import { rmSync, writeFileSync } from "node:fs"
import { assertDocumented, assertNoSecrets, assertRefused, authority, user } from "./support/user.ts"

describe("tenovos logout", { timeout: 60_000 }, () => {
  const { control, endFaults, url } = authority()

  const statusOf = async (ada: ReturnType<typeof user>) => {
    const { headers } = JSON.parse((await ada.run(["token", "--json"])).stdout)
    return async () => (await fetch(`${url()}/security/template`, { headers })).status
  }

  it("ends the session at the authority and here", async () => {
    const ada = user(url())
    await ada.login()
    const status = await statusOf(ada)
    assert.strictEqual(await status(), 200)

    const result = await ada.run(["logout", "--json"])

    assert.deepInclude(result, { code: 0, stderr: "" })
    assertDocumented("logout", result.stdout)
    assert.deepInclude(JSON.parse(result.stdout), { revoked: true, forgotten: true })
    assert.strictEqual(await status(), 401)
    assert.strictEqual((await ada.run(["token"])).code, 3)
    assertNoSecrets(ada.written())
  })

  it("says that there was none", async () => {
    const result = await user(url()).run(["logout"])

    assert.deepStrictEqual(result, { code: 0, stdout: "There was no session to end.\n", stderr: "" })
  })

  it("says that it is only forgotten here, and why", async () => {
    const ada = user(url())
    await ada.login()
    const status = await statusOf(ada)
    await control("faults", { fault: { kind: "status", status: 503 }, operations: ["expire"] })

    const result = await ada.run(["logout", "--json"])
    await endFaults()

    assertRefused(result, 4, /The authority has not ended it, .*: The authority answered with status 503/)
    assert.deepInclude(JSON.parse(result.stdout), { revoked: false, forgotten: true })
    assert.strictEqual(await status(), 200)
    assert.strictEqual((await ada.run(["token"])).code, 3)
  })

  it("does not say that it has forgotten what may still be stored", async () => {
    const ada = user(url())
    await ada.login()
    rmSync(ada.sessions, { recursive: true })
    writeFileSync(ada.sessions, "a file")

    const result = await ada.run(["logout"])

    assertRefused(result, 1, /The session may still be stored here/)
    assert.strictEqual(result.stdout, "")
  })

  it("refuses an unknown flag", async () => {
    assertRefused(await user(url()).run(["logout", "--all"]), 2, /Unrecognized flag: --all/)
  })
})

describe("tenovos logout, hours after the last command", { timeout: 60_000 }, () => {
  const { control, url } = authority()

  it("ends a session whose access token has ended", async () => {
    const ada = user(url())
    await ada.login()
    await ada.endAccessToken()
    await control("clock", { advance: 3_601_000 })

    const result = await ada.run(["logout", "--json"])

    assert.deepInclude(JSON.parse(result.stdout), { revoked: true, forgotten: true })
    const [session] = await control("sessions")
    assert.isNotNull(session.revokedAt)
  })
})
