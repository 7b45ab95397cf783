import { assert, describe, it, onTestFinished } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { emptyFolder } from "./support/tenovos.ts"
import {
  assertDocumented,
  assertNoSecrets,
  assertRefused,
  assertUsage,
  atTerminal,
  authority,
  noTerminal,
  secrets,
  user
} from "./support/user.ts"

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

/** A file system that is full. */
const fullDisk = (): string | undefined => {
  const folder = emptyFolder()
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", folder]).status !== 0) return undefined
  onTestFinished(() => void spawnSync("umount", [folder]))
  writeFileSync(join(folder, "rest"), "x".repeat(8192))
  return folder
}

const mountable = (() => {
  const folder = spawnSync("mktemp", ["-d"], { encoding: "utf8" }).stdout.trim()
  const isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", folder]).status === 0
  if (isMounted) spawnSync("umount", [folder])
  spawnSync("rmdir", [folder])
  return isMounted
})()

const credentials = { TENOVOS_USERNAME: "ada", TENOVOS_PASSWORD: secrets.password }

describe("tenovos login", { timeout: 60_000 }, () => {
  const { control, url } = authority()

  it("takes the password from standard input, and keeps the session where only its user gets at it", async () => {
    const ada = user(url())

    const result = await ada.login()

    assertDocumented("status", result.stdout)
    const { expiresAt } = JSON.parse(result.stdout).accessToken
    assert.approximately(Date.parse(expiresAt), Date.now() + 3_600_000, 60_000)
    assert.match(result.stderr, /^tenovos: The session is kept in plain text\. [^\n]+\n$/)
    assertNoSecrets(result.stdout + result.stderr)
    assert.deepStrictEqual(
      [modeOf(ada.sessions), ...readdirSync(ada.sessions).map((file) => modeOf(join(ada.sessions, file)))],
      ["700", "600"]
    )
    assert.deepStrictEqual([modeOf(join(ada.config, "..")), modeOf(ada.config)], ["700", "600"])
    // Neither the password is kept, nor a key that the environment has.
    assert.notInclude(ada.written(), secrets.apiKey)
    assert.notInclude(ada.written(), "8f27e4d1c0b6")
  })

  it("takes all from the environment, and encrypts with its key", async () => {
    const ada = user(url())
    const env = { ...credentials, TENOVOS_STORE_KEY: Buffer.alloc(32, 7).toString("base64") }

    const result = await ada.run(["login"], { env })

    assert.deepInclude(result, { code: 0, stderr: "" })
    assert.match(result.stdout, /^session: +valid$/m)
    assert.match(result.stdout, /, encrypted$/m)
    assertNoSecrets(result.stdout + ada.written())
  })

  it.skipIf(noTerminal !== undefined)(
    `asks at a terminal, and shows no secret [${noTerminal ?? "python3's"}]`,
    async () => {
      const ada = user(url())
      const terminal = atTerminal(ada, ["login"], { TENOVOS_API_KEY: undefined })

      await terminal.sees(/API key/)
      terminal.type(`${secrets.apiKey}\r`)
      await terminal.sees(/User name/)
      terminal.type("ada\r")
      await terminal.sees(/Password/)
      terminal.type(`${secrets.password}\r`)

      assert.strictEqual(await terminal.ended(), 0, terminal.screen())
      assert.match(terminal.screen(), /Signing in at/)
      assertNoSecrets(terminal.screen())
      // Typed in, the key is kept for the commands that follow; the password is not.
      assert.strictEqual(JSON.parse(readFileSync(ada.config, "utf8")).profiles.default.apiKey, secrets.apiKey)
      assert.notInclude(ada.written(), "8f27e4d1c0b6")
      const after = await ada.run(["request", "GET", "/security/template"], {
        env: { TENOVOS_API_KEY: undefined, TENOVOS_ENDPOINT_URL: undefined }
      })
      assert.strictEqual(after.code, 0, after.stderr)
    }
  )

  it.skipIf(noTerminal !== undefined)("ends with 130 when the question is interrupted", async () => {
    const ada = user(url())
    const terminal = atTerminal(ada, ["login", "--username", "ada"])

    await terminal.sees(/Password/)
    terminal.type("\x03")

    assert.strictEqual(await terminal.ended(), 130)
    assert.deepStrictEqual(readdirSync(ada.home).filter((name) => name === ".config"), [])
  })

  it("says what is missing where nobody can be asked", async () => {
    const result = await user(url()).run(["login"], { env: { TENOVOS_API_KEY: "" } })

    assertRefused(result, 2, /missing: TENOVOS_API_KEY, TENOVOS_USERNAME \(or --username\), TENOVOS_PASSWORD/)
  })

  it("refuses a wrong password, and keeps nothing", async () => {
    const ada = user(url())

    const result = await ada.run(["login", "--username", "ada", "--password-stdin"], { stdin: `x${secrets.password}` })

    assertRefused(result, 1, /Check the user name and the password/)
    assertNoSecrets(result.stderr)
    assert.strictEqual((await ada.run(["status"])).code, 3)
  })

  it("refuses a wrong API key", async () => {
    const result = await user(url()).run(["login", "--username", "ada", "--password-stdin"], {
      stdin: secrets.password,
      env: { TENOVOS_API_KEY: "another-key" }
    })

    assertRefused(result, 1, /Check the API key/)
  })

  it("gives up after some seconds where there is no network", async () => {
    const server = createServer().listen(0, "127.0.0.1")
    await once(server, "listening")
    const address = server.address()
    const port = typeof address === "object" ? address?.port : undefined
    server.close()
    await once(server, "close")

    const result = await user(`http://127.0.0.1:${port}/v1`).run(["login", "--username", "ada", "--password-stdin"], {
      stdin: secrets.password
    })

    assertRefused(result, 4, /could not be reached: .*ECONNREFUSED/)
  })

  it("replaces the session, also one of another user", async () => {
    const ada = user(url())
    await ada.login()

    await ada.run(["login", "--username", "grace", "--password-stdin"], { stdin: secrets.password })

    assert.include((await ada.run(["status"])).stdout, "grace")
  })

  it("sends no remembered key to another endpoint, and forgets one that is replaced", async () => {
    const ada = user(url())
    const remember = (endpointUrl: string) => {
      mkdirSync(join(ada.home, ".config/tenovos"), { recursive: true })
      writeFileSync(ada.config, JSON.stringify({ profiles: { default: { endpointUrl, apiKey: "old-key" } } }))
    }
    const login = ["login", "--username", "ada", "--password-stdin"]
    remember("http://127.0.0.1:1/v1")

    const result = await ada.run(login, { stdin: secrets.password, env: { TENOVOS_API_KEY: undefined } })
    assertRefused(result, 2, /this is missing: TENOVOS_API_KEY/)

    remember(url())
    const { code } = await ada.run(login, { stdin: secrets.password })
    assert.strictEqual(code, 0)
    assert.notInclude(readFileSync(ada.config, "utf8"), "old-key")
  })

  it("leaves no lease when it is interrupted while it signs in", async () => {
    const ada = user(url())
    await control("faults", { fault: { kind: "latency", milliseconds: 20_000 }, operations: ["authorize"], times: 1 })
    const started = ada.start(["login", "--username", "ada", "--password-stdin"], { stdin: secrets.password })
    await ada.leased()

    started.child.kill("SIGINT")

    assert.deepInclude(await started.result(), { code: 130, stdout: "", stderr: "" })
    assert.match((await ada.run(["doctor"])).stdout, /^ok +lock: free/m)
  })

  it("sends no password before it knows that the session can be kept", async () => {
    const ada = user(url())
    mkdirSync(join(ada.home, ".local"), { recursive: true })
    writeFileSync(join(ada.home, ".local/state"), "a file")
    const before = (await control("journal?operation=authorize")).length

    const result = await ada.run(["login", "--username", "ada", "--password-stdin"], { stdin: secrets.password })

    assertRefused(result, 1, /The session store failed to lease: .*\.local\/state/)
    assert.strictEqual((await control("journal?operation=authorize")).length, before)
  })

  it("says that the settings can't be written", async () => {
    const ada = user(url())
    writeFileSync(join(ada.home, ".config"), "a file")

    const result = await ada.run(["login", "--username", "ada", "--password-stdin"], { stdin: secrets.password })

    assertRefused(result, 1, /Can't (read|write) the configuration file .*\.config\/tenovos\/config\.json/)
  })

  it.skipIf(!mountable)(
    `says that the disk is full [${mountable ? "a tmpfs" : "skipped: nothing can be mounted"}]`,
    async () => {
      const ada = user(url())

      const result = await ada.run(["login", "--username", "ada", "--password-stdin"], {
        stdin: secrets.password,
        env: { XDG_STATE_HOME: fullDisk() }
      })

      assertRefused(result, 1, /The session store failed to lease: .*(ENOSPC|no space)/i)
    }
  )

  it("closes a folder that was open to others", async () => {
    const ada = user(url())
    await ada.login()
    chmodSync(ada.sessions, 0o755)

    const { stderr } = await ada.run(["status"])

    assert.include(stderr, "was open to others")
    assert.strictEqual(modeOf(ada.sessions), "700")
  })

  it("refuses bad values", () =>
    assertUsage(user(url()), [
      [["login", "--profile", "a/b"], /profile's name/],
      [["login"], /profile's name/, { TENOVOS_PROFILE: "../x" }],
      [["login", "--endpoint-url", "localhost"], /endpoint URL is no absolute http/, credentials],
      [["login", "--endpoint-url", "http://u:p@h/v1"], /endpoint URL is no absolute http/, credentials],
      [["login"], /The API key is empty, or holds/, { ...credentials, TENOVOS_API_KEY: "a\nb" }],
      [["login"], /TENOVOS_STORE_KEY is not 32 bytes/, { ...credentials, TENOVOS_STORE_KEY: "abc" }],
      [["login", "--password-stdin"], /no password on standard input/, credentials],
      [["login", "--password", "secret"], /Unrecognized flag: --password/],
      [["login", "--username"], /--username/],
      [["login", "--json=maybe"], /maybe/],
      [["login", "ada"], /ada/]
    ]))
})
