import { remaining } from "@effect-tenovos/core/Session"
import { SessionStore } from "@effect-tenovos/core/SessionStore"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { parseArgs } from "node:util"
import * as Account from "../Account.ts"
import * as logging from "./logging.ts"
import * as token from "./token.ts"

// A program may ask for a token before each of its calls, and mostly there is one that is good. Then nothing has to be
// loaded but what reads it. In all other cases the command itself does its work, and tells what is wrong.

/** Does what `tenovos token` would, if there is a good token. Tells whether it did. */
export const quickly = (args: ReadonlyArray<string>): Promise<boolean> => {
  const options = parse(args)
  return options === undefined ? Promise.resolve(false) : Effect.runPromise(print(options))
}

const parse = (args: ReadonlyArray<string>) => {
  try {
    const { values } = parseArgs({
      args,
      options: { header: { type: "boolean" }, json: { type: "boolean" }, profile: { type: "string" } }
    })
    return { header: false, json: false, ...values }
  } catch {
    return undefined
  }
}

const print = (options: NonNullable<ReturnType<typeof parse>>): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const account = yield* Account.find(Option.fromNullishOr(options.profile))
    const { store } = yield* Account.placeOf(account)
    const stored = yield* SessionStore.use(({ read }) => read).pipe(Effect.provide(store))
    const session = yield* Effect.fromOption(stored.session)
    const apiKey = yield* Effect.fromOption(account.apiKey)
    if (Duration.toSeconds(remaining(session, yield* DateTime.now)) <= 30) return false
    yield* Console.log(token.toText(session, apiKey, options))
    return true
  }).pipe(
    Effect.provide([NodeFileSystem.layer, logging.layer]),
    Effect.orElseSucceed(() => false)
  )
