import { assert, describe, it, onTestFinished } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { readdirSync, writeFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { emptyFolder, tenovos } from "./support/tenovos.ts"

const signIn = (url: string, credentials: Readonly<Record<string, string>>) =>
  fetch(`${url}/auth/token`, {
    method: "POST",
    headers: { "x-api-key": credentials["TENOVOS_API_KEY"] ?? "", "content-type": "application/json" },
    body: JSON.stringify({ username: credentials["TENOVOS_USERNAME"], password: credentials["TENOVOS_PASSWORD"] })
  })

const variables = (stdout: string) =>
  Object.fromEntries([...stdout.matchAll(/^ {2}(TENOVOS_\w+)=(.+)$/gm)].map(([, name, value]) => [name, value]))

describe("tenovos serve", () => {
  it("makes one user and one API key at first start, prints them once, and keeps them", async () => {
    const folder = emptyFolder()
    const first = tenovos(folder, "serve", "--port", "0")
    const url = await first.listening
    const credentials = variables(first.stdout())

    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/v1$/)
    assert.strictEqual(credentials["TENOVOS_ENDPOINT_URL"], url)
    assert.strictEqual((await signIn(url, credentials)).status, 200)
    assert.strictEqual((await fetch(new URL("/health", url))).status, 200)
    first.stop("SIGTERM")
    assert.deepInclude(await first.result(), { code: 0, stderr: "" })

    const second = tenovos(folder, "serve", "--port", "0")
    assert.strictEqual((await signIn(await second.listening, credentials)).status, 200)
    assert.match(second.stdout(), /^listening on \S+\n$/)
    second.stop("SIGINT")
    assert.deepInclude(await second.result(), { code: 0, stderr: "" })
    // Stopped cleanly, so that nothing is left in a journal beside the database.
    assert.deepStrictEqual(readdirSync(folder), ["tenovos.sqlite"])
  })

  it("takes users and keys from a seed file", async () => {
    const folder = emptyFolder()
    const credentials = { TENOVOS_API_KEY: "a key", TENOVOS_USERNAME: "grace", TENOVOS_PASSWORD: "pass word" }
    writeFileSync(
      join(folder, "seed.json"),
      JSON.stringify({ apiKeys: ["a key"], users: [{ username: "grace", password: "pass word", email: "g@x.org" }] })
    )
    const server = tenovos(folder, "serve", "--port", "0", "--database", ":memory:", "--seed", "seed.json")
    const url = await server.listening

    assert.strictEqual((await signIn(url, credentials)).status, 200)
    assert.strictEqual((await signIn(url, { ...credentials, TENOVOS_PASSWORD: "wrong" })).status, 401)
    server.stop("SIGTERM")
    const { stderr, stdout } = await server.result()
    assert.notInclude(stdout + stderr, "pass word")
    assert.deepStrictEqual(readdirSync(folder), ["seed.json"])
  })

  it("speaks the contract as its flags say", async () => {
    const folder = emptyFolder()
    writeFileSync(
      join(folder, "seed.json"),
      JSON.stringify({ apiKeys: ["a-key"], users: [{ username: "ada", password: "a-password" }] })
    )
    const options = "--profile strict --refresh-answer replaces --basic-authentication required".split(" ")
    const times = ["--rotation-grace", "0 seconds", "--access-token-life", "5 minutes", "--refresh-token-life", "1 day"]
    const seeded = ["--database", ":memory:", "--seed", "seed.json"]
    const server = tenovos(folder, "serve", "--port", "0", ...seeded, ...options, ...times)
    const url = await server.listening
    const post = async (body: unknown, headers?: Record<string, string>) => {
      const response = await fetch(`${url}/auth/token`, {
        method: "POST",
        headers: { "x-api-key": "a-key", "content-type": "application/json", ...headers },
        body: JSON.stringify(body)
      })
      return { status: response.status, body: await response.json() }
    }
    const basic = { authorization: `Basic ${btoa("ada:a-password")}` }
    const claims = (jwt: string) => JSON.parse(Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString())

    const without = await post({ username: "ada", password: "a-password" })
    const nobody = await post({ username: "bob", password: "x" }, { authorization: `Basic ${btoa("bob:x")}` })
    const first = await post({ username: "ada", password: "a-password" }, basic)
    const second = await post(first.body, basic)
    const reused = await post(first.body, basic)

    assert.strictEqual(without.status, 401)
    assert.strictEqual(nobody.body.message, "User does not exist.")
    const { exp, iat } = claims(first.body.session.accessToken)
    assert.strictEqual(exp - iat, 300)
    assert.notStrictEqual(second.body.session.refreshToken, first.body.session.refreshToken)
    assert.strictEqual(reused.body.message, "Refresh Token has been revoked")
  })

  it("takes a seed from a pipe, as a shell's <(…) is one", async () => {
    const folder = emptyFolder()
    const pipe = join(folder, "pipe")
    execFileSync("mkfifo", [pipe])
    const server = tenovos(folder, "serve", "--port", "0", "--database", ":memory:", "--seed", pipe)
    await writeFile(pipe, JSON.stringify({ apiKeys: ["k"], users: [{ username: "grace", password: "p" }] }))
    const credentials = { TENOVOS_API_KEY: "k", TENOVOS_USERNAME: "grace", TENOVOS_PASSWORD: "p" }

    assert.strictEqual((await signIn(await server.listening, credentials)).status, 200)
  })

  for (
    const [seed, missing] of [
      [{ apiKeys: ["k"] }, "user"],
      [{ users: [{ username: "ada", password: "p" }] }, "API key"],
      [{}, "API key and no user"]
    ] as const
  ) {
    it(`says that there is no ${missing} after the seed`, async () => {
      const folder = emptyFolder()
      writeFileSync(join(folder, "seed.json"), JSON.stringify(seed))
      const server = tenovos(folder, "serve", "--port", "0", "--database", ":memory:", "--seed", "seed.json")
      await server.listening
      server.stop("SIGTERM")

      assert.deepInclude(await server.result(), {
        code: 0,
        stderr: `Nobody can sign in: there is no ${missing}. Add one with --seed\n`
      })
    })
  }

  it("announces the address that it is told", async () => {
    const announced = "https://authority.example/v1"
    const args = ["--port", "0", "--database", ":memory:", "--host", "0.0.0.0", "--endpoint-url", announced]
    const server = tenovos(emptyFolder(), "serve", ...args, "--json")
    while (!server.stdout().includes("\n")) await new Promise(setImmediate)
    server.stop("SIGTERM")

    const { credentials, endpointUrl } = JSON.parse(server.stdout())
    assert.deepStrictEqual([endpointUrl, credentials.TENOVOS_ENDPOINT_URL], [announced, announced])
    assert.deepInclude(await server.result(), { code: 0, stderr: "" })
  })

  it("advises to tell it an address when it listens on all of them", async () => {
    const server = tenovos(emptyFolder(), "serve", "--port", "0", "--database", ":memory:", "--host", "0.0.0.0")
    const url = await server.listening
    server.stop("SIGTERM")

    const { stderr } = await server.result()
    assert.strictEqual(stderr, `${url} is no address for clients: say with --endpoint-url which one is\n`)
  })

  it("keeps a database whose name looks like a URI", async () => {
    const folder = emptyFolder()
    const server = tenovos(folder, "serve", "--port", "0", "--database", "file:a.sqlite")
    await server.listening
    server.stop("SIGTERM")
    await server.result()

    assert.deepStrictEqual(readdirSync(folder), ["file:a.sqlite"])
  })

  it("refuses a database that another process keeps for itself with a sentence", async () => {
    const folder = emptyFolder()
    const first = tenovos(folder, "serve", "--port", "0")
    await first.listening
    first.stop("SIGTERM")
    await first.result()
    const other = new DatabaseSync(join(folder, "tenovos.sqlite"))
    onTestFinished(() => other.close())
    other.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")

    const { code, stderr } = await tenovos(folder, "serve", "--port", "0").result()

    assert.strictEqual(code, 1)
    assert.match(stderr, /Can't use the database tenovos\.sqlite: [^\n]+: database is locked\n$/)
  })

  it("says where it listens as JSON", async () => {
    const server = tenovos(emptyFolder(), "serve", "--port", "0", "--database", ":memory:", "--json")
    while (!server.stdout().includes("\n")) await new Promise(setImmediate)
    const { credentials, endpointUrl } = JSON.parse(server.stdout())

    assert.strictEqual((await signIn(endpointUrl, credentials)).status, 200)
    server.stop("SIGTERM")
    assert.strictEqual((await server.result()).code, 0)
  })

  it("lets tests move the clock with --dev", async () => {
    const server = tenovos(emptyFolder(), "serve", "--port", "0", "--database", ":memory:", "--dev")
    const url = await server.listening
    const credentials = variables(server.stdout())
    const { session } = await (await signIn(url, credentials)).json()
    const call = async () => {
      const headers = {
        "x-api-key": credentials["TENOVOS_API_KEY"] ?? "",
        accesstoken: session.accessToken,
        authorization: session.authorization
      }
      return (await fetch(`${url}/security/template`, { headers })).status
    }
    const before = await call()
    const inspector = /^inspector on (\S+)$/m.exec(server.stdout())?.[1] ?? ""
    assert.strictEqual(inspector, new URL("/__inspector", url).href)
    assert.strictEqual((await fetch(inspector)).status, 200)

    const moved = await fetch(new URL("/__control/clock", url), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ advance: 3_600_000 })
    })

    const { advanced, now } = await moved.json()
    assert.deepStrictEqual([before, moved.status, advanced, await call()], [200, 200, 3_600_000, 401])
    assert.closeTo(Date.parse(now), Date.now() + 3_600_000, 60_000)
    server.stop("SIGTERM")
    assert.deepInclude(await server.result(), { code: 0, stderr: "" })
  })

  it("has no control plane without --dev", async () => {
    const server = tenovos(emptyFolder(), "serve", "--port", "0", "--database", ":memory:")

    const url = await server.listening
    for (const path of ["/__control/clock", "/__control/docs", "/__inspector"]) {
      assert.strictEqual((await fetch(new URL(path, url))).status, 404, path)
    }
    assert.notInclude(server.stdout(), "inspector")
  })

  it("stops at once although a client keeps its connection", async () => {
    const server = tenovos(emptyFolder(), "serve", "--port", "0", "--database", ":memory:")
    const url = await server.listening
    await (await fetch(new URL("/health", url))).text()
    server.stop("SIGTERM")

    assert.strictEqual((await server.result()).code, 0)
  })

  for (
    const [name, args, code, message] of [
      ["a port out of range", ["--port", "70000"], 2, "Expected a port from 0 to 65535"],
      ["a port that is no number", ["--port", "http"], 2, "--port"],
      ["an unknown flag", ["--prot", "1"], 2, "--prot"],
      ["a life that is no time", ["--access-token-life", "soon"], 2, "Expected a time such as"],
      ["a life without end", ["--refresh-token-life", "Infinity"], 2, "Expected a time such as"],
      ["a negative time", ["--rotation-grace=-1 seconds"], 2, "Expected a time such as"],
      ["a profile that isn't there", ["--profile", "lax"], 2, "strict"],
      ["a seed file that is not there", ["--seed", "missing.json"], 1, "missing.json: NotFound"],
      ["a folder as seed", ["--seed", "."], 1, "Can't read the seed file"],
      ["a seed with a key that no header carries", ["--seed", "blank.json"], 1, "[\"apiKeys\"][0]"],
      ["an address to announce that is no URL", ["--endpoint-url", "localhost:80"], 2, "http://"],
      ["an address to announce that is not for HTTP", ["--endpoint-url", "ftp://h/"], 2, "http://"],
      ["a seed that is not JSON", ["--seed", "broken.json"], 1, "broken.json is not JSON"],
      ["a seed of another form", ["--seed", "wrong.json"], 1, "[\"users\"][0][\"password\"]"],
      ["a folder as database", ["--database", "."], 1, "illegal operation on a directory"],
      ["a file that is no database", ["--database", "broken.json"], 1, "file is not a database"],
      [
        "a PostgreSQL that is out of reach",
        ["--database", "postgres://u:s3cret@127.0.0.1:1/d?password=s3cret"],
        1,
        "postgres://u:***@127.0.0.1:1/d?password=***: The database can't be reached: connect ECONNREFUSED"
      ],
      ["a URL of a database that is none", ["--database", "postgres://u:s3cret@h:x/d"], 1, "postgres://…: The URL"],
      ["an address that isn't this machine's", ["--host", "192.0.2.1", "--database", ":memory:"], 1, "no such address"],
      ["a control plane for others", ["--dev", "--host", "0.0.0.0"], 1, "--dev is only for loopback"]
    ] as const
  ) {
    it(`refuses ${name} with a sentence`, async () => {
      const folder = emptyFolder()
      writeFileSync(join(folder, "broken.json"), "{ \"apiKeys\": [\"s3cret\" ")
      writeFileSync(join(folder, "blank.json"), JSON.stringify({ apiKeys: ["s3cret\n"] }))
      writeFileSync(join(folder, "wrong.json"), JSON.stringify({ users: [{ username: "ada", password: ["s3cret"] }] }))
      const result = await tenovos(folder, "serve", ...args).result()

      assert.strictEqual(result.code, code)
      assert.include(result.stderr, message)
      assert.notInclude(result.stdout + result.stderr, "s3cret")
      assert.notMatch(result.stderr, /^\s+at .*:\d+:\d+/m)
    })
  }

  it("refuses a port that is taken with a sentence", async () => {
    const taken = createServer().listen(0, "127.0.0.1")
    onTestFinished(() => void taken.close())
    await once(taken, "listening")
    const address = taken.address()
    assert.isObject(address)
    const port = String(typeof address === "object" && address?.port)
    const result = await tenovos(emptyFolder(), "serve", "--port", port, "--database", ":memory:").result()

    assert.strictEqual(result.code, 1)
    assert.include(result.stderr, `Can't listen on 127.0.0.1:${port}: the port is taken`)
  })
})
