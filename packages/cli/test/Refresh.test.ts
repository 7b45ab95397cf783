import { assert, describe, it } from "@effect/vitest"
import { assertDocumented, assertNoSecrets, assertRefused, authority, user } from "./support/user.ts"

describe("tenovos refresh", { timeout: 60_000 }, () => {
  const { control, endFaults, signedIn, url } = authority()

  it("renews a session that would still do", async () => {
    const ada = await signedIn()
    const before = await ada.run(["token"])
    const refreshes = (await control("journal?operation=refresh")).length

    const result = await ada.run(["refresh", "--json"])

    assert.deepInclude(result, { code: 0, stderr: "" })
    assertDocumented("status", result.stdout)
    assertNoSecrets(result.stdout)
    assert.strictEqual((await control("journal?operation=refresh")).length, refreshes + 1)
    assert.notStrictEqual((await ada.run(["token"])).stdout, before.stdout)
  })

  it("tells that there is none", async () => {
    assertRefused(await user(url()).run(["refresh"]), 3, /Run `tenovos login`/)
  })

  it("tells that the authority fails", async () => {
    const ada = await signedIn()
    await control("faults", { fault: { kind: "drop" }, operations: ["refresh"] })

    const result = await ada.run(["refresh"])
    await endFaults()

    assertRefused(result, 4, /could not be reached/)
    // The session is what it was.
    assert.strictEqual((await ada.run(["token"])).code, 0)
  })

  it("refuses an unknown flag", async () => {
    assertRefused(await user(url()).run(["refresh", "--force"]), 2, /Unrecognized flag: --force/)
  })
})
