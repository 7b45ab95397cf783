import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"

// A commit waits for the disk, and that takes a thousand times as long as a write. So the writes that are ready in one
// turn of the event loop share a transaction, one after the other, and each is answered after its commit. While the disk
// is busy more requests arrive, and they are the next group.

export interface GroupCommit {
  /** Runs one statement in the next group. When it throws, the others go on: SQLite undoes just that statement. */
  readonly statement: <A>(run: () => A) => Effect.Effect<A, SqlError>
  /** Waits for a place in a group, and keeps it until it commits, rolls back, or its scope closes. */
  readonly transaction: Effect.Effect<Transaction, SqlError, Scope.Scope>
}

interface Transaction {
  /** Succeeds when the whole group is on the disk. */
  readonly commit: Effect.Effect<void, SqlError>
  readonly rollback: Effect.Effect<void>
}

interface Member {
  /** What it does between the group's begin and commit. */
  readonly work: Effect.Effect<void, SqlError>
  /** How the group ended. */
  readonly settle: (exit: Exit.Exit<void, SqlError>) => void
}

export const make = Effect.fnUntraced(function*(options: {
  readonly attempt: <A>(run: () => A) => Effect.Effect<A, SqlError>
  readonly execute: (sql: string) => void
  readonly isOpen: () => boolean
  /** Runs the effect between begin and commit, and undoes what it did when one of the three fails. */
  readonly group: (members: Effect.Effect<void, SqlError>) => Effect.Effect<void, SqlError>
}): Effect.fn.Return<GroupCommit, never, Scope.Scope> {
  const { attempt, execute, group, isOpen } = options
  const waiting = yield* Queue.unbounded<Member>()
  const join = (member: Member) => {
    if (!Queue.offerUnsafe(waiting, member)) member.settle(Exit.interrupt())
  }

  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      const late = yield* Queue.clear(waiting)
      yield* Queue.shutdown(waiting)
      for (const { settle } of late) settle(Exit.interrupt())
    })
  )
  // From the first member to the answers nothing comes in between: closing the scope waits.
  yield* Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const first = yield* restore(Queue.take(waiting))
      yield* endOfTurn
      const members = [first, ...yield* Queue.clear(waiting)]
      const exit = yield* Effect.exit(group(Effect.forEach(members, ({ work }) => work, { discard: true })))
      for (const { settle } of members) settle(exit)
    })
  ).pipe(Effect.forever, Effect.forkScoped)

  const statement = <A>(run: () => A): Effect.Effect<A, SqlError> =>
    Effect.callback<A, SqlError>((resume) => {
      let isWanted = true
      let outcome: Exit.Exit<A, SqlError> | undefined
      join({
        work: Effect.suspend(() => {
          if (!isWanted) return Effect.void
          return Effect.flatMap(Effect.exit(attempt(run)), (exit) => {
            outcome = exit
            // A full disk, for one, undoes not just the statement but the transaction.
            return isOpen() ? Effect.void : Exit.asVoid(exit)
          })
        }),
        settle: (exit) => resume(Exit.isFailure(exit) ? Exit.failCause(exit.cause) : outcome ?? Effect.interrupt)
      })
      return Effect.sync(() => {
        isWanted = false
      })
    })

  const transaction = Effect.gen(function*() {
    const entered = Deferred.makeUnsafe<void, SqlError>()
    const left = Deferred.makeUnsafe<"keep" | "undo">()
    const settled = Deferred.makeUnsafe<void, SqlError>()
    const leave = (how: "keep" | "undo") => Deferred.succeed(left, how)

    yield* Effect.addFinalizer(() => leave("undo"))
    join({
      work: Effect.gen(function*() {
        yield* attempt(() => execute("SAVEPOINT member"))
        yield* Deferred.succeed(entered, undefined)
        if ((yield* Deferred.await(left)) === "undo") yield* attempt(() => execute("ROLLBACK TO member"))
        yield* attempt(() => execute("RELEASE member"))
      }),
      settle: (exit) => {
        Deferred.doneUnsafe(entered, exit)
        Deferred.doneUnsafe(settled, exit)
      }
    })
    yield* Deferred.await(entered)
    return {
      commit: Effect.andThen(leave("keep"), Deferred.await(settled)),
      rollback: Effect.asVoid(leave("undo"))
    }
  })

  return { statement, transaction }
})

/** Whatever has arrived by now is handled before, so those that it makes ready are in the group. */
const endOfTurn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})
