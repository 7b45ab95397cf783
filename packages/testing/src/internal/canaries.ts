import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { inspect } from "node:util"

// The secrets that a test has seen, so that they can be looked for where they must not be.

/** From a secret to its name. */
export type Canaries = Map<string, string>

/** Where the authorities of an effect leave their secrets too. */
export const Planted = Context.Reference<Canaries | undefined>("@effect-tenovos/testing/internal/canaries/Planted", {
  defaultValue: () => undefined
})

const decodeBody = Schema.decodeOption(Schema.fromJsonString(Schema.Struct({
  password: Schema.optionalKey(Schema.Unknown),
  session: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown))
})))

/** Remembers the credentials that are sent, and the tokens that are answered. */
export const watch = (
  client: HttpClient.HttpClient,
  canaries: Canaries,
  planted: Canaries | undefined
): HttpClient.HttpClient =>
  HttpClient.transform(client, (response, request) => {
    if (!request.url.endsWith("/auth/token")) return response
    const plant = (name: string, secret: unknown) =>
      Effect.map(Planted, (around) => {
        for (const all of [canaries, planted, around]) {
          if (all !== undefined && typeof secret === "string" && secret !== "" && !all.has(secret)) {
            all.set(secret, name === "API key" || name === "password" ? name : numbered(name, all))
          }
        }
      })
    const plantBody = (body: string) =>
      Effect.forEach(Option.toArray(decodeBody(body)), ({ password, session }) =>
        Effect.all([
          plant("password", password),
          plant("id token", session?.["authorization"]),
          plant("access token", session?.["accessToken"]),
          plant("refresh token", session?.["refreshToken"])
        ]))
    return plant("API key", request.headers["x-api-key"]).pipe(
      Effect.andThen(plantBody(request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : "")),
      Effect.andThen(response),
      // An answer that ends in the middle is for the client to find.
      Effect.tap(({ text }) => Effect.flatMap(Effect.orElseSucceed(text, () => ""), plantBody))
    )
  })

const numbered = (name: string, canaries: Canaries): string =>
  `${name} ${Array.from(canaries.values()).filter((other) => other.startsWith(name)).length + 1}`

/** Where the secrets show: each once in a place, with the text around it and none of them in it. */
export const find = (texts: ReadonlyArray<Text>, canaries: Canaries): ReadonlyArray<Finding> => {
  const needles = Array.from(canaries).flatMap(([secret, name]) => formsOf(secret).map((form) => ({ form, name })))
    // One may be a part of another.
    .sort((a, b) => b.form.length - a.form.length)
  const masked = (text: string) => needles.reduce((text, { form, name }) => text.replaceAll(form, `<${name}>`), text)
  const findings = new Map<string, Finding>()
  for (const { text, where } of texts) {
    for (const { form, name } of needles) {
      const at = text.indexOf(form)
      const key = `${name} ${where}`
      if (at < 0 || findings.has(key)) continue
      const before = masked(text.slice(0, at)).slice(-40)
      const after = masked(text.slice(at + form.length)).slice(0, 40)
      // A span may be named after a secret.
      findings.set(key, { secret: name, where: masked(where), text: `${before}<${name}>${after}`.trim() })
    }
  }
  return Array.from(findings.values())
}

interface Text {
  readonly where: string
  readonly text: string
}

interface Finding extends Text {
  readonly secret: string
}

/** As it may be written: plain, in text that is quoted, in a URL or a form, in base64 at any place, and in hex. */
const formsOf = (secret: string): ReadonlyArray<string> => {
  const parts = secret.split(".")
  // The signature is what makes a token good.
  const signature = parts.length > 2 ? parts.at(-1) ?? "" : ""
  const plain = [secret, signature].filter((text) => text.length >= 8)
  return Array.from(
    new Set(plain.flatMap((text) => [
      text,
      ...quoted(text),
      // As a body of JSON has it, which is printed in turn.
      ...quoted(text).flatMap(quoted),
      ...inUrl(text.toWellFormed()),
      ...[0, 1, 2].flatMap((shift) => base64At(text, shift)),
      Buffer.from(text).toString("hex")
    ]))
  )
}

/** In JSON, and as Node inspects it. */
const quoted = (text: string): ReadonlyArray<string> =>
  [JSON.stringify(text), inspect(text)].map((it) => it.slice(1, -1))

const inUrl = (text: string): ReadonlyArray<string> => {
  const { password, search } = Object.assign(new URL("https://host"), { password: text, search: text })
  const form = new URLSearchParams({ "": text }).toString()
  return [encodeURIComponent(text), encodeURI(text), password, search.slice(1), form.slice(1)]
}

/** The characters that stand for the text in base64, wherever it begins, without those that its neighbours share. */
const base64At = (text: string, shift: number): ReadonlyArray<string> => {
  const bytes = Buffer.concat([Buffer.alloc(shift), Buffer.from(text)])
  const cut = (encoded: string) => encoded.slice(Math.ceil(shift * 4 / 3), Math.floor(bytes.length * 8 / 6))
  return [cut(bytes.toString("base64")), cut(bytes.toString("base64url"))]
}
