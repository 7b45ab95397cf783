import { assert, describe, it, onTestFinished } from "@effect/vitest"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import { createServer, type IncomingMessage } from "node:http"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { assertDocumented, assertRefused, assertUsage, authority, user } from "./support/user.ts"

interface Seen {
  readonly method: string | undefined
  readonly headers: IncomingMessage["headers"]
  readonly body: string
}

/** Another server, that tells what it was sent. */
const elsewhere = async () => {
  const seen: Array<Seen> = []
  const server = createServer((request, response) =>
    void text(request).then((body) => {
      seen.push({ method: request.method, headers: request.headers, body })
      response.end("elsewhere")
    })
  ).listen(0, "127.0.0.1")
  onTestFinished(() => void server.close())
  await once(server, "listening")
  const address = server.address()
  return { seen, url: `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/` }
}

describe("tenovos request", { timeout: 60_000 }, () => {
  const { control, signedIn, url } = authority()

  it("prints the body and nothing else", async () => {
    const ada = await signedIn()

    const found = await ada.run(["request", "GET", "/security/template"])
    const missing = await ada.run(["request", "GET", "/nowhere"])
    const json = await ada.run(["request", "GET", "/security/template", "--json"])

    assert.deepInclude(found, { code: 0, stderr: "" })
    assert.isArray(JSON.parse(found.stdout))
    assert.notMatch(found.stdout, /\n$/)
    assert.deepStrictEqual(missing, { code: 1, stdout: "{\"message\":\"Missing Authentication Token\"}", stderr: "" })
    assertDocumented("request", json.stdout)
    assert.deepInclude(JSON.parse(json.stdout), { status: 200, body: found.stdout })
  })

  it("sends bodies and headers, and its own headers only to the endpoint", async () => {
    const ada = await signedIn()
    const { seen, url: there } = await elsewhere()
    writeFileSync(join(ada.home, "body.xml"), "<a/>")

    const text = await ada.run(["request", "POST", there, "--data", "{\"a\":\"ü\"}"])
    const file = [
      "request",
      "PUT",
      there,
      "--data",
      "@body.xml",
      "--header",
      "Content-Type: text/xml",
      "--header",
      "X-A:b"
    ]
    await ada.run(file)
    await ada.run(["request", "DELETE", there, "--data", "-"], { stdin: "from a pipe" })

    assert.deepInclude(text, { code: 0, stdout: "elsewhere", stderr: "" })
    assert.deepStrictEqual(seen.map(({ body, method }) => [method, body]), [
      ["POST", "{\"a\":\"ü\"}"],
      ["PUT", "<a/>"],
      ["DELETE", "from a pipe"]
    ])
    assert.deepStrictEqual(seen.map(({ headers }) => headers["content-type"]), [
      "application/json",
      "text/xml",
      "application/json"
    ])
    assert.strictEqual(seen[1]?.headers["x-a"], "b")
    for (const { headers } of seen) {
      for (const name of ["x-api-key", "accesstoken", "authorization", "traceparent", "b3"]) {
        assert.notProperty(headers, name)
      }
    }
  })

  it("renews a session that the API refuses, and sends again", async () => {
    const ada = await signedIn()
    await control("clock", { advance: 3_601_000 })

    const result = await ada.run(["request", "POST", "/search/keyword", "--data", "{}"])

    assert.strictEqual(result.code, 0, result.stdout + result.stderr)
  })

  it("tells that there is no session, and no network", async () => {
    const ada = await signedIn()

    assertRefused(await user(url()).run(["request", "GET", "/asset/1"]), 3, /Run `tenovos login`/)
    assertRefused(await ada.run(["request", "GET", "http://127.0.0.1:9/x"]), 4, /could not be reached/)
  })

  it("is silent when nobody reads to the end", async () => {
    const ada = await signedIn()
    const { child, result } = ada.start(["request", "GET", "/security/template"])
    child.stdout.destroy()

    assert.deepInclude(await result(), { stderr: "" })
  })

  it("refuses bad values", () =>
    assertUsage(user(url()), [
      [["request", "FETCH", "/"], /<METHOD>: "FETCH"/],
      [["request", "GET"], /PATH/],
      [["request", "GET", "/", "--header", "abc"], /--header 'NAME: VALUE'/],
      [["request", "GET", "/", "--header", "a: b\nc: d"], /--header 'NAME: VALUE'/],
      [["request", "GET", "/", "--header", "accesstoken: x"], /is that of the session/],
      [["request", "POST", "/", "--data", "@nowhere"], /Can't read the file nowhere: NotFound/],
      [["request", "GET", "/", "--data", "x"], /GET request has no body/],
      [["request", "GET", "/", "--profile", "/"], /profile's name/]
    ]))
})
