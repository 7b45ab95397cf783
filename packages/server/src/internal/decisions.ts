import { Unauthorized } from "@effect-tenovos/core/TenovosApi"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SqlClient } from "effect/sql/SqlClient"
import type { Audit, Decision } from "../Audit.ts"
import type { User } from "../Authority.ts"

type Untold = Omit<Decision, "outcome">

/** How the authority carries out what it decides, and has it written down. */
export const make = (audit: Audit["Service"], sql: SqlClient) => ({
  /** A statement that decides and, if what it brings is an acceptance, the row about it: both are kept, or neither. */
  accept: <A>(statement: Effect.Effect<A>, tell: (result: A) => Option.Option<Untold>): Effect.Effect<A> =>
    Effect.tap(statement, (result) =>
      Option.match(tell(result), {
        onNone: () => Effect.void,
        onSome: (decision) => audit.record({ ...decision, outcome: "accepted" })
      })).pipe(sql.withTransaction, Effect.orDie),
  refuse: (message: string, decision: Untold): Effect.Effect<never, Unauthorized> =>
    Effect.andThen(audit.note({ ...decision, outcome: "refused" }), new Unauthorized({ message }))
})

/** The user that a decision is about. */
export const namesOf = ({ sub, username }: User) => ({ subject: sub, username })
