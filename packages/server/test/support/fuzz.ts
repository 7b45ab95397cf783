import * as fc from "fast-check"
import { bytes, type RawRequest } from "../fixtures/rawHttp.ts"

// Random programs of requests, from well-formed to noise. A step tells only what to send; which session it is about is an
// index into those that the program has been given so far, so that programs shrink and can be replayed.

/** What a program was given by a sign-in or a refresh, as JSON. */
export interface Answer {
  readonly session: { readonly accessToken: string; readonly authorization: string; readonly refreshToken: string }
}

export interface World {
  readonly apiKey: string
  readonly username: string
  readonly password: string
  /** Which requests for tokens have a Basic header too. */
  readonly basic: "all" | "some" | "none"
  readonly answers: ReadonlyArray<Answer>
  /** The newest of the control plane. */
  readonly snapshot: string
}

export interface Step {
  readonly kind: string
  readonly of: number
  readonly damages: ReadonlyArray<Damage>
}

/** A change to a request that was fine, by where in it and with what. */
interface Damage {
  readonly to: "method" | "path" | "header" | "value" | "body" | "bytes"
  readonly at: number
  readonly with: string
  readonly way: "replace" | "insert" | "cut" | "repeat"
}

const hostile = fc.constantFrom(
  "",
  "\0",
  "\r\n",
  "'; DROP TABLE users; --",
  "{\"$ne\":null}",
  "__proto__",
  "null",
  "-1",
  "1e999",
  "../../etc/passwd",
  "%00",
  "%2e%2e/",
  "http://example.com/",
  "\ud800",
  "text/plain",
  "chunked",
  "gzip",
  "99999999999",
  "Bearer x",
  "*",
  "[".repeat(2000),
  "a".repeat(10_000)
)

/** Stands for what the program was given last, so that secrets come where none belongs. */
const secret = fc.constantFrom("<accessToken>", "<authorization>", "<refreshToken>")

const piece = fc.oneof(
  { weight: 2, arbitrary: secret },
  { weight: 3, arbitrary: hostile },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
  { weight: 2, arbitrary: fc.json() },
  { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 200 }) }
)

const damage: fc.Arbitrary<Damage> = fc.record({
  to: fc.constantFrom("method", "path", "header", "value", "body", "body", "body", "bytes"),
  // Not `fc.double`, which is near zero nearly always: it draws evenly of all that there are.
  at: fc.nat(9999).map((at) => at / 10_000),
  with: piece,
  way: fc.constantFrom("replace", "insert", "cut", "repeat")
})

/** What is asked of the control plane. Of all that these change, sign-ins with the API key of the seed go on. */
const control: Record<string, readonly [method: string, path: string, body?: unknown]> = {
  "control: time": ["GET", "/clock?tenant=default"],
  "control: advance": ["POST", "/clock", { advance: 60_000 }],
  "control: faults": ["GET", "/faults"],
  "control: status": ["POST", "/faults", { fault: { kind: "status", status: 418 }, times: 1 }],
  "control: limit": ["POST", "/faults", { fault: { kind: "rateLimit", retryAfter: 1 }, times: 1, share: 0.5, seed: 3 }],
  "control: truncate": ["POST", "/faults", { fault: { kind: "truncate" }, times: 1 }],
  "control: latency": ["POST", "/faults?tenant=default", { fault: { kind: "latency", mean: 2 }, times: 2 }],
  "control: clear": ["DELETE", "/faults"],
  "control: journal": ["GET", "/journal?limit=20&wait=10"],
  "control: counts": ["GET", "/journal/counts"],
  "control: sessions": ["GET", "/sessions"],
  "control: users": ["GET", "/users"],
  "control: lock": ["POST", "/users", { username: "bob", action: "lock", milliseconds: 1000 }],
  "control: disable": ["POST", "/users", { username: "bob", action: "disable" }],
  "control: revoke": ["POST", "/revoke", { username: "bob" }],
  "control: snapshot": ["POST", "/snapshots"],
  "control: restore": ["POST", "/restore"],
  "control: reset": ["POST", "/reset"],
  "control: tenants": ["GET", "/tenants"],
  "control: add": ["POST", "/tenants", { tenant: "acme", users: [{ username: "eve", password: "of eve" }] }],
  "control: remove": ["DELETE", "/tenants/acme"],
  "control: rotate": ["POST", "/keys/rotate", { immediately: true }],
  "control: contract": ["GET", "/openapi.json"]
}

const kinds = [
  "sign in",
  "sign in",
  "swapped",
  "refresh",
  "refresh",
  "expire",
  "sample",
  "sample",
  "search",
  "page",
  "health",
  "noise"
]

const signIn: Step = { kind: "sign in", of: 0, damages: [] }

/** Most of them begin with a sign-in, without which little else is accepted. */
const programOf = (kind: fc.Arbitrary<string>): fc.Arbitrary<ReadonlyArray<Step>> =>
  fc.tuple(
    fc.constantFrom([], [signIn], [signIn], [signIn]),
    fc.array(
      fc.record({
        kind,
        of: fc.nat(7),
        damages: fc.oneof(
          { weight: 1, arbitrary: fc.constant([]) },
          { weight: 3, arbitrary: fc.array(damage, { minLength: 1, maxLength: 4 }) }
        )
      }),
      { minLength: 1, maxLength: 24 }
    )
  ).map(([first, rest]) => [...first, ...rest])

export const program = programOf(fc.constantFrom(...kinds))

/** Of an authority under control. */
export const controlled = programOf(
  fc.oneof(fc.constantFrom(...kinds), fc.constantFrom(...Object.keys(control)))
)

/** The bytes that a step sends. */
export const toBytes = (step: Step, world: World): Buffer => {
  const { kind } = step
  const last = (world.answers.at(-1) ?? nothing).session
  const damages = step.damages.map((damage) => ({
    ...damage,
    with: damage.with
      .replace("<accessToken>", last.accessToken)
      .replace("<authorization>", last.authorization)
      .replace("<refreshToken>", last.refreshToken)
  }))
  if (kind === "noise") return Buffer.from(damages.map((damage) => damage.with).join("\r\n"), "latin1")
  const damaged = damages.filter(({ to }) => to !== "bytes").reduce(spoil, wellFormed(step, world))
  return damages.filter(({ to }) => to === "bytes").reduce(
    (all, { at, way, with: text }) => Buffer.from(changed(all.toString("latin1"), at, way, text), "latin1"),
    bytes(damaged)
  )
}

const wellFormed = ({ kind, of }: Step, world: World): RawRequest => {
  const answer = world.answers.at(of % Math.max(1, world.answers.length)) ?? nothing
  const tokens = [`AccessToken: ${answer.session.accessToken}`, `Authorization: ${answer.session.authorization}`]
  const common = [
    "Host: localhost",
    "Connection: close",
    `X-API-Key: ${world.apiKey}`,
    "Content-Type: application/json"
  ]
  const basic = `Authorization: Basic ${btoa(`${world.username}:${world.password}`)}`
  const hasBasic = world.basic === "all" || (world.basic === "some" && of % 2 === 0)
  const ofTokens = hasBasic ? [...common, basic] : common
  const [method, path, body] = control[kind] ?? []
  if (method !== undefined) {
    const sent = kind === "control: restore" ? { snapshot: world.snapshot } : body
    return {
      method,
      path: `/__control${path}`,
      headers: common,
      ...(sent === undefined ? {} : { body: JSON.stringify(sent) })
    }
  }
  switch (kind) {
    case "sign in":
      return { headers: ofTokens, body: JSON.stringify({ username: world.username, password: world.password }) }
    case "swapped":
      return { headers: ofTokens, body: JSON.stringify({ username: world.password, password: world.username }) }
    case "refresh":
      return { headers: ofTokens, body: JSON.stringify(answer) }
    case "expire":
      return {
        method: "DELETE",
        headers: hasBasic ? [...ofTokens, `AccessToken: ${answer.session.accessToken}`] : [...common, ...tokens],
        body: JSON.stringify(answer)
      }
    case "sample":
      return { method: "GET", path: "/v1/security/template", headers: [...common, ...tokens] }
    case "search":
      return { path: "/v1/search/keyword", headers: [...common, ...tokens], body: "{\"keyword\":\"autumn\"}" }
    default:
      return { method: "GET", path: kind === "page" ? "/docs" : "/health", headers: common }
  }
}

const nothing: Answer = { session: { accessToken: "a", authorization: "b", refreshToken: "c" } }

const spoil = (request: RawRequest, { at, to, way, with: text }: Damage): RawRequest => {
  const { headers = [], method = "POST", path = "/v1/auth/token" } = request
  const index = Math.floor(at * headers.length)
  switch (to) {
    case "method":
      return { ...request, method: changed(method, at, way, text) }
    case "path":
      return { ...request, path: changed(path, at, way, text) }
    case "header":
      return {
        ...request,
        headers: way === "cut" ? headers.toSpliced(index, 1) : headers.toSpliced(index, 0, headers[index] ?? "", text)
      }
    case "value":
      return {
        ...request,
        headers: headers.map((header, i) => {
          const [name = "", value = ""] = header.split(/: (.*)/s)
          return i === index ? `${name}: ${changed(value, at, way, text)}` : header
        })
      }
    default:
      return { ...request, body: spoiledBody(String(request.body ?? ""), at, way, text) }
  }
}

/** Half of the time the body stays JSON, and one of its values changes. */
const spoiledBody = (body: string, at: number, way: Damage["way"], text: string): string => {
  const places = [...body.matchAll(/(?<=:)(?:"(?:[^"\\]|\\.)*"|\d+|null|true|false)/g)]
  const place = places[Math.floor(at * 2 * places.length)]
  if (place === undefined) return changed(body, at, way, text)
  const value = way === "cut" ? "null" : way === "repeat" ? `[${place[0]},${place[0]}]` : JSON.stringify(text)
  return body.slice(0, place.index) + value + body.slice(place.index + place[0].length)
}

const changed = (text: string, at: number, way: Damage["way"], by: string): string => {
  const index = Math.floor(at * (text.length + 1))
  switch (way) {
    case "replace":
      return by
    case "insert":
      return text.slice(0, index) + by + text.slice(index)
    case "cut":
      return text.slice(0, index)
    case "repeat":
      return text + text.slice(index)
  }
}
