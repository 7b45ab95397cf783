import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Headers from "effect/http/Headers"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as UrlParams from "effect/http/UrlParams"
import * as Option from "effect/Option"
import * as Redactable from "effect/Redactable"

/** The headers that carry secrets, as Effect spells them. */
export const secretNames: ReadonlyArray<string> = ["accesstoken", "authorization", "x-api-key"]

// Effect hides the headers that the running fiber lists. These hide their secrets without such a list, so that they
// also print safely where no fiber runs.
const SecretHeadersProto: object = Object.create(Object.getPrototypeOf(Headers.empty), {
  [Redactable.symbolRedactable]: {
    value(this: Headers.Headers, context: Context.Context<never>): unknown {
      return Headers.redact(this, [...Context.get(context, Headers.CurrentRedactedNames), ...secretNames])
    }
  }
})

/** Headers that never print the three that authenticate. */
export const secretHeaders = (...parts: ReadonlyArray<Readonly<Record<string, string>>>): Headers.Headers =>
  Object.assign(Object.create(SecretHeadersProto), ...parts)

/** The body, printing as `<redacted>`. */
export const secretBody = <Body extends HttpBody.HttpBody>(body: Body): Body =>
  Object.defineProperty(body, "toJSON", {
    value: () => ({ _id: "effect/HttpBody", _tag: body._tag, body: "<redacted>" })
  })

/**
 * What holds for every request that carries secrets. No span shows them. No trace header goes along: the API is a third
 * party, and adding one would replace the headers by some that print. And `fetch`, which takes these headers along
 * across a redirect, follows none.
 */
export const sendSecretly = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.contextWith((context: Context.Context<R>) => {
    const init = Option.getOrUndefined(Context.getOption(context, FetchHttpClient.RequestInit))
    return effect.pipe(
      Effect.provideService(FetchHttpClient.RequestInit, { ...init, redirect: "manual" }),
      Effect.updateService(Headers.CurrentRedactedNames, (names) => [...names, ...secretNames]),
      Effect.updateService(UrlParams.CurrentRedactedNames, (names) => [...names, ...secretNames]),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false)
    )
  })

/**
 * The text with every one of the secrets taken out, also where it is escaped: what an authority or a transport says may
 * repeat what was sent.
 */
export const scrub = (text: string, secrets: ReadonlyArray<string>): string => {
  const forms = secrets
    .filter((secret) => secret !== "")
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(wellFormed(secret))])
    // A secret may begin with another one.
    .sort((a, b) => b.length - a.length)
    .map((form) => form.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"))
  return forms.length === 0 ? text : text.replace(new RegExp(forms.join("|"), "g"), "<redacted>")
}

// As `String.prototype.toWellFormed`, which is younger than some runtimes.
const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, "\ufffd")

/** Whether a header can carry it as it is. What can't be sent would be told by the transport's error. */
export const isHeaderValue = (text: string): boolean => /^[\t\x20-\x7e\x80-\xff]+$/.test(text) && text.trim() === text
