import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { emptyFolder, tenovosWith } from "./support/tenovos.ts"

const masterKey = "canary+master+key+7c41ABCDEFGHIJKLMNOPQRSTU="
const otherKey = "0f".repeat(32)

const kidsAt = async (url: string): Promise<ReadonlyArray<string>> => {
  const response = await fetch(new URL("/.well-known/jwks.json", url))
  const { keys } = await response.json()
  return keys.map(({ kid }: { readonly kid: string }) => kid)
}

// Each command is a process of its own, and starting one takes seconds on a busy machine.
describe("tenovos keys rotate", { timeout: 120_000 }, () => {
  it("gives a running server its next keys, and each accepts the tokens of the other", async () => {
    const folder = emptyFolder()
    const first = tenovosWith(folder, {}, "serve", "--port", "0")
    const url = await first.listening
    const credentials = Object.fromEntries(
      [...first.stdout().matchAll(/^ {2}(TENOVOS_\w+)=(.+)$/gm)].map(([, name, value]) => [name, value])
    )
    const signIn = async (at: string) => {
      const response = await fetch(`${at}/auth/token`, {
        method: "POST",
        headers: { "x-api-key": credentials["TENOVOS_API_KEY"] ?? "", "content-type": "application/json" },
        body: JSON.stringify({ username: credentials["TENOVOS_USERNAME"], password: credentials["TENOVOS_PASSWORD"] })
      })
      return (await response.json()).session
    }
    const statusOf = async (at: string, session: { readonly accessToken: string; readonly authorization: string }) => {
      const response = await fetch(`${at}/security/template`, {
        headers: {
          "x-api-key": credentials["TENOVOS_API_KEY"] ?? "",
          accesstoken: session.accessToken,
          authorization: session.authorization
        }
      })
      return response.status
    }
    const old = await signIn(url)
    const before = await kidsAt(url)

    const rotated = await tenovosWith(folder, {}, "keys", "rotate", "--immediately", "--json").result()

    assert.deepInclude(rotated, { code: 0, stderr: "" })
    const { useFrom } = JSON.parse(rotated.stdout)
    assert.isAtMost(Math.abs(Date.now() - Date.parse(useFrom)), 60_000)

    // The second has the new keys from its start, and the first learns them from the second's tokens.
    const second = tenovosWith(folder, {}, "serve", "--port", "0")
    const otherUrl = await second.listening
    const young = await signIn(otherUrl)
    assert.deepStrictEqual(
      [
        await statusOf(url, young),
        await statusOf(url, old),
        await statusOf(otherUrl, old),
        await statusOf(otherUrl, young)
      ],
      [200, 200, 200, 200]
    )
    assert.includeMembers(Array.from(await kidsAt(url)), Array.from(before))
    assert.sameMembers(Array.from(await kidsAt(url)), Array.from(await kidsAt(otherUrl)))
    assert.strictEqual((await kidsAt(url)).length, 4)
    const kidOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).kid
    assert.notInclude(before, kidOf(young.accessToken))
    assert.strictEqual(kidOf((await signIn(url)).accessToken), kidOf(young.accessToken))
  })

  it("publishes without using at first, and says from when", async () => {
    const folder = emptyFolder()
    const server = tenovosWith(folder, {}, "serve", "--port", "0")
    await server.listening
    server.stop()
    await server.result()

    const once = await tenovosWith(folder, {}, "keys", "rotate").result()
    const again = await tenovosWith(folder, {}, "keys", "rotate").result()

    assert.strictEqual(once.code, 0)
    const at = /^The next keys are published, and used from (\S+)\n$/.exec(once.stdout)?.[1] ?? ""
    assert.approximately(Date.parse(at), Date.now() + 600_000, 60_000)
    assert.deepStrictEqual(again, once)
  })

  it("makes no database", async () => {
    const folder = emptyFolder()

    const { code, stderr, stdout } = await tenovosWith(folder, {}, "keys", "rotate", "--database", "no.sqlite").result()

    assert.strictEqual(code, 1)
    assert.include(stdout + stderr, "There is no database no.sqlite")
    assert.deepStrictEqual(readdirSync(folder), [])
  })

  it("and serve want the master key of the database, and say so", async () => {
    const folder = emptyFolder()
    const server = tenovosWith(folder, { TENOVOS_MASTER_KEY: masterKey }, "serve", "--port", "0")
    await server.listening
    server.stop()
    assert.deepInclude(await server.result(), { code: 0, stderr: "" })
    const before = readFileSync(join(folder, "tenovos.sqlite"))
    assert.notInclude(before.toString("latin1"), "PRIVATE KEY")

    const refusals = await Promise.all([
      tenovosWith(folder, {}, "serve", "--port", "0").result(),
      tenovosWith(folder, { TENOVOS_MASTER_KEY: otherKey }, "keys", "rotate").result(),
      tenovosWith(folder, { TENOVOS_MASTER_KEY: masterKey.slice(1) }, "keys", "rotate").result()
    ])

    assert.deepStrictEqual(refusals.map(({ code }) => code), [1, 1, 1])
    const [missing, other, malformed] = refusals.map(({ stderr, stdout }) => stdout + stderr)
    assert.include(
      missing,
      "Can't use the database tenovos.sqlite: The keys in the database are encrypted: give the master key, in TENOVOS_MASTER_KEY"
    )
    assert.include(other, "encrypted with another master key")
    assert.include(malformed, "The master key is not 32 bytes in base64 or hex")
    for (const said of [missing, other, malformed]) {
      for (const secret of [masterKey.slice(1, -1), otherKey]) assert.notInclude(said, secret)
    }
    assert.deepStrictEqual(readFileSync(join(folder, "tenovos.sqlite")), before)

    const changed = await tenovosWith(
      folder,
      { TENOVOS_MASTER_KEY: otherKey, TENOVOS_MASTER_KEY_PREVIOUS: masterKey },
      "keys",
      "rotate"
    ).result()
    assert.strictEqual(changed.code, 0)
    assert.strictEqual(
      (await tenovosWith(folder, { TENOVOS_MASTER_KEY: masterKey }, "keys", "rotate").result()).code,
      1
    )
  })
})
