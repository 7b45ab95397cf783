import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { sha256 } from "./sha256.ts"

// What the log and the journal may say of a request and of an answer. A token is known by its place, or by its form: three or five
// parts of base64url, the first of which begins a JSON object.

export const fingerprint = (secret: string | Redacted.Redacted): string => {
  const text = typeof secret === "string" ? secret : Redacted.value(secret)
  return `sha256:${sha256(text).slice(0, 12)}`
}

const hidden = "<redacted>"
const tokens = /eyJ[\w-]+(?:\.[\w-]*){2,4}/g
const isToken = (text: string): boolean => new RegExp(`^${tokens.source}$`).test(text)

const maxText = 4096

export const text = (value: string): string => value.replace(tokens, fingerprint).slice(0, maxText)

export const headers = (all: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(all).map(([name, value]) => [name, header(name, value)]))

const header = (name: string, value: string): string => {
  if (value === "") return ""
  if (name === "x-api-key" || name === "accesstoken") return fingerprint(value)
  // A bare id token; anything else there holds a password.
  if (name === "authorization") return isToken(value) ? fingerprint(value) : hidden
  return /cookie|auth|token|key|secret|passw/i.test(name) ? hidden : text(value)
}

/** The JSON of a body, masked; `null` for a body that is none, or that is too long to keep. */
export const body = (given: string): Schema.Json => {
  const json = Option.map(decode(given), (value) => mask("", value))
  return Option.getOrNull(Option.filter(json, (value) => JSON.stringify(value).length <= maxText))
}

const decode = Schema.decodeOption(Schema.fromJsonString(Schema.Json))

const mask = (name: string, value: Schema.Json): Schema.Json => {
  if (value === null || value === "") return value
  if (/passw|secret/i.test(name)) return hidden
  if (/token|authorization|api-?key/i.test(name)) return typeof value === "string" ? fingerprint(value) : hidden
  if (typeof value === "string") return text(value)
  if (typeof value !== "object") return value
  if (isArray(value)) return value.map((item) => mask("", item))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [text(key), mask(key, item)]))
}

const isArray: (value: Schema.Json) => value is Schema.JsonArray = Array.isArray
