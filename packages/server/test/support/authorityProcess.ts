// An authority in a process of its own, to be killed at any moment. Its standard input is its options, and then requests,
// one a line; its standard output says `open`, and then has an answer a line.
import type { Authentication } from "@effect-tenovos/core/TenovosApi"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { createInterface } from "node:readline"
import * as Authority from "../../src/Authority.ts"
import { layerAuthority } from "../../src/AuthorityServer.ts"
import * as Seed from "../../src/Seed.ts"

export interface Tokens {
  readonly refreshToken: string
  readonly accessToken: string
  readonly idToken: string
}

export type AuthorityOptions = Pick<Authority.Options, "profile" | "refreshAnswer" | "rotationGrace">

export type Request = { readonly id: number; readonly what: "signIn" } | {
  readonly id: number
  readonly what: "refresh" | "expire" | "isLive"
  readonly tokens: Tokens
}

export interface Answer {
  readonly id: number
  /** Whether it was accepted. */
  readonly isOk: boolean
  readonly tokens?: Tokens
}

const tenant = "default"
const user = { username: "ada", password: Redacted.make("secret") }

const answer = Effect.fnUntraced(function*(request: Request) {
  const authority = yield* Authority.Authority
  const issued = <E>(effect: Effect.Effect<Authentication, E>) =>
    Effect.map(effect, ({ session }) => ({
      id: request.id,
      isOk: true,
      tokens: {
        refreshToken: reveal(session.refreshToken),
        accessToken: reveal(session.accessToken),
        idToken: reveal(session.authorization)
      }
    }))
  if (request.what === "signIn") return yield* issued(authority.authorize({ tenant, ...user }))
  const accessToken = Redacted.make(request.tokens.accessToken)
  switch (request.what) {
    case "refresh":
      return yield* issued(
        authority.refresh({ tenant, accessToken, refreshToken: Redacted.make(request.tokens.refreshToken) })
      )
    case "expire":
      return yield* Effect.as(authority.expire({ tenant, accessToken }), { id: request.id, isOk: true })
    case "isLive":
      return yield* Effect.map(
        authority.verify({ tenant, accessToken, idToken: Redacted.make(request.tokens.idToken) }),
        (user) => ({ id: request.id, isOk: Option.isSome(user) })
      )
  }
}, (effect, { id }) => Effect.orElseSucceed(effect, () => ({ id, isOk: false })))

const reveal = (secret: Redacted.Redacted | undefined): string => secret === undefined ? "" : Redacted.value(secret)

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const say = (line: string) => process.stdout.write(`${line}\n`)
const nextLine = Effect.promise(() => lines.next())

const options: AuthorityOptions & { readonly database: string } = JSON.parse((await lines.next()).value ?? "")
Effect.gen(function*() {
  yield* Seed.apply({ apiKeys: [], users: [user] })
  say("open")
  while (true) {
    const { done, value } = yield* nextLine
    if (done === true) return
    yield* Effect.forkChild(Effect.map(answer(JSON.parse(value)), (answer) => say(JSON.stringify(answer))))
  }
}).pipe(Effect.provide(layerAuthority(options)), Effect.runFork)
